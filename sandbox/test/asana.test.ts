import assert from 'node:assert/strict'
import { test } from 'node:test'
import asanaSdk from 'asana'
import * as oauth from 'oauth4webapi'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import {
  api,
  askConsent,
  connect,
  dial,
  dialling,
  exchange,
  redirectUri,
  redirectUris,
  refreshOf,
} from './support/clients.ts'

type Json = Record<string, unknown>
type Row = Json & { gid: string; name: string }

const asana = (sandbox: Sandbox, token: string, path: string, init?: RequestInit) =>
  api(sandbox, token, `https://app.asana.com/api/1.0${path}`, init)
const rows = async (response: Response) =>
  (await response.json()) as { data: Row[]; next_page?: { offset: string; uri: string } | null }
const row = async (response: Response) => ((await response.json()) as { data: Row }).data
const sending = (method: string, data: object) => ({ method, body: JSON.stringify({ data }) })
const problemOf = async (response: Response) => {
  const { errors } = (await response.json()) as { errors: Json[] }
  return [response.status, errors[0]?.['message']] as const
}

test('[SB58] an OpenID Connect client discovers Asana and connects; the token answer says who it is, a refresh brings no refresh token', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const issuer = new URL('https://app.asana.com/api/1.0')
  const as = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, dialling(sandbox)),
  )
  const asked = await askConsent(sandbox, 'asana', { scope: 'openid email profile users:read', as })
  const response = await exchange(sandbox, 'asana', asked)
  const tokens = await oauth.processAuthorizationCodeResponse(as, asked.client, response, {
    expectedNonce: asked.nonce,
    requireIdToken: true,
  })
  await oauth.validateApplicationLevelSignature(as, response, dialling(sandbox))
  assert.equal(tokens.expires_in, 3600)
  const data = tokens['data'] as unknown as Json
  assert.equal(data['email'], 'ada@atom-labs.example')
  assert.equal(data['name'], 'Ada Lovelace')
  const claims = oauth.getValidatedIdTokenClaims(tokens)
  assert.equal(claims?.sub, data['gid'])
  const info = await oauth.userInfoRequest(as, asked.client, tokens.access_token, dialling(sandbox))
  const person = await oauth.processUserInfoResponse(as, asked.client, claims?.sub ?? '', info)
  assert.equal(person.email, 'ada@atom-labs.example')
  const me = await row(
    await asana(sandbox, tokens.access_token, '/users/me?opt_fields=name,email,workspaces.name'),
  )
  assert.deepEqual([me.gid, me.name], [data['gid'], 'Ada Lovelace'])

  const kept = tokens.refresh_token ?? ''
  for (const _round of [1, 2]) {
    const again = await oauth.processRefreshTokenResponse(
      as,
      asked.client,
      await refreshOf(sandbox, 'asana', kept),
    )
    assert.equal(again.refresh_token, undefined)
    assert.notEqual(again.access_token, tokens.access_token)
  }
  sandbox.control.advance(3601)
  assert.equal((await asana(sandbox, tokens.access_token, '/users/me')).status, 401)
  assert.equal((await refreshOf(sandbox, 'asana', kept)).status, 200, 'the refresh token does not age')
})

test('[SB59] Asana revokes by refresh token only: an access token is refused, an unknown one counts as revoked', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { asked, body, token } = await connect(sandbox, 'asana', { scope: 'default' })
  const revoke = (value: string, secret = asked.secret) =>
    oauth.revocationRequest(asked.as, asked.client, oauth.ClientSecretPost(secret), value, dialling(sandbox))
  assert.equal((await revoke(token)).status, 400)
  assert.equal((await revoke(String(body['refresh_token']), 'wrong')).status, 401)
  assert.equal((await asana(sandbox, token, '/users/me')).status, 200)
  await oauth.processRevocationResponse(await revoke(String(body['refresh_token'])))
  assert.equal((await asana(sandbox, token, '/users/me')).status, 401, 'its access tokens die with it')
  const dead = await refreshOf(sandbox, 'asana', String(body['refresh_token']))
  assert.deepEqual([dead.status, ((await dead.json()) as Json)['error']], [400, 'invalid_grant'])
  assert.equal((await revoke('2/1/1:nothing')).status, 200)

  const used = await askConsent(sandbox, 'asana', { scope: 'default' })
  assert.equal(
    (await exchange(sandbox, 'asana', used, 'z'.repeat(50))).status,
    400,
    'the verifier is checked',
  )
  assert.equal((await exchange(sandbox, 'asana', { ...used, secret: 'wrong' })).status, 401)
})

test('[SB60] Asana’s answers come wrapped in data, opt_fields reach inside, and lists go in pages where asked', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'asana', { scope: 'default' })
  const get = async (path: string) => rows(await asana(sandbox, token, path))
  const [workspace] = (await get('/workspaces')).data
  assert.deepEqual(Object.keys(workspace ?? {}).sort(), ['gid', 'name', 'resource_type'], 'compact')
  const projects = (await get(`/workspaces/${workspace?.gid}/projects`)).data
  assert.deepEqual(
    projects.map(({ name }) => name),
    ['Website relaunch', 'Customer onboarding', 'Security'],
  )
  const fields = 'name,assignee.name,memberships.section.name,completed'
  const inside = (await get(`/projects/${projects[0]?.gid}/tasks?opt_fields=${fields}`)).data
  assert.deepEqual(inside[0]?.['assignee'], {
    gid: '1204601815121010',
    resource_type: 'user',
    name: 'Ada Lovelace',
  })
  const memberships = inside[0]?.['memberships'] as { section: Row; project?: Row }[]
  assert.equal(memberships[0]?.section.name, 'In progress')
  assert.equal(memberships[0]?.project, undefined)
  assert.equal(
    (await get(`/projects/${projects[0]?.gid}/tasks?completed_since=now`)).data.length,
    inside.length - 1,
  )

  const paged: string[] = []
  let next: string | undefined = `${sandbox.url}/asana/api/1.0/tasks?project=${projects[0]?.gid}&limit=2`
  while (next !== undefined) {
    const page = await rows(await fetch(next, { headers: { authorization: `Bearer ${token}` } }))
    paged.push(...page.data.map(({ gid }) => gid))
    next = page.next_page?.uri
  }
  assert.deepEqual(
    paged,
    inside.map(({ gid }) => gid),
  )
  const mine = await get(`/tasks?assignee=me&workspace=${workspace?.gid}&opt_fields=assignee.gid`)
  assert.ok(
    mine.data.length >= 4 && mine.data.every((task) => (task['assignee'] as Row).gid === '1204601815121010'),
  )
  const found = await get(`/workspaces/${workspace?.gid}/tasks/search?text=northwind`)
  assert.deepEqual(
    found.data.map(({ name }) => name),
    ['Northwind: connect single sign-on'],
  )
  assert.deepEqual((await problemOf(await asana(sandbox, token, '/tasks')))[0], 400)
  assert.deepEqual(await problemOf(await asana(sandbox, token, '/tasks/1')), [404, 'task: Unknown object: 1'])
  assert.equal((await problemOf(await asana(sandbox, token, '/workspaces?limit=101')))[0], 400)
})

test('[SB61] an Asana task that is made, changed, discussed and deleted is counted as an effect once each', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'asana', { scope: 'default' })
  const [project] = (await rows(await asana(sandbox, token, '/projects?workspace=1204601815121001'))).data
  const fields = {
    name: 'Measure the pages',
    projects: [project?.gid],
    assignee: 'grace@atom-labs.example',
    due_on: '2027-01-11',
  }
  const answer = await asana(sandbox, token, '/tasks', sending('POST', fields))
  assert.equal(answer.status, 201)
  const made = await row(answer)
  assert.equal((made['assignee'] as Row).name, 'Grace Hopper')
  assert.equal(made['due_on'], '2027-01-11')
  const done = await row(
    await asana(sandbox, token, `/tasks/${made.gid}`, sending('PUT', { completed: true })),
  )
  assert.ok(done['completed'] && done['completed_at'])
  const said = await asana(
    sandbox,
    token,
    `/tasks/${made.gid}/stories`,
    sending('POST', { text: 'All under a second.' }),
  )
  assert.equal(said.status, 201)
  const stories = await rows(
    await asana(sandbox, token, `/tasks/${made.gid}/stories?opt_fields=text,created_by.name`),
  )
  assert.equal(stories.data[0]?.['text'], 'All under a second.')
  const page = await fetch(String(made['permalink_url']))
  assert.match(await page.text(), /Measure the pages.*Grace Hopper.*All under a second\./s)
  assert.deepEqual(await (await asana(sandbox, token, `/tasks/${made.gid}`, { method: 'DELETE' })).json(), {
    data: {},
  })
  assert.equal((await asana(sandbox, token, `/tasks/${made.gid}`)).status, 404)
  assert.deepEqual(
    sandbox.control.effects({ provider: 'asana' }).map(({ kind, person }) => [kind, person]),
    ['task.created', 'task.changed', 'comment.created', 'task.deleted'].map((kind) => [
      kind,
      'ada@atom-labs.example',
    ]),
  )
  for (const wrong of [
    { name: 'Nowhere' },
    { name: 'x', workspace: '1' },
    { name: 'x', projects: ['1'] },
    { name: 'x', projects: [project?.gid], assignee: 'nobody@atom-labs.example' },
    { name: 'x', projects: [project?.gid], due_on: 'tomorrow' },
  ]) {
    assert.equal((await asana(sandbox, token, '/tasks', sending('POST', wrong))).status, 400)
  }
  const bare = await asana(sandbox, token, '/tasks', { method: 'POST', body: JSON.stringify(fields) })
  assert.equal(bare.status, 400, 'not wrapped in data')
})

test('[SB62] Asana refuses in its own words: forbidden_scopes, a scope that is missing, a dead token, 429 with Retry-After', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const strange = await askConsent(sandbox, 'asana', { scope: 'openid everything' })
  assert.equal(`${strange.stop.url.origin}${strange.stop.url.pathname}`, redirectUri('asana'))
  assert.equal(strange.stop.url.searchParams.get('error'), 'forbidden_scopes')
  const page = await askConsent(sandbox, 'asana', { scope: 'default', extra: { client_id: '1' } })
  assert.match(page.stop.text, /invalid_client/)
  const denied = await askConsent(sandbox, 'asana', { scope: 'default', decision: 'cancel' })
  assert.equal(denied.stop.url.searchParams.get('error'), 'access_denied')

  const { token } = await connect(sandbox, 'asana', { scope: 'users:read' })
  assert.equal((await asana(sandbox, token, '/users/me')).status, 200)
  assert.deepEqual(await problemOf(await asana(sandbox, token, '/workspaces')), [
    403,
    'You do not have the required scopes: workspaces:read',
  ])
  assert.equal((await fetch(dial(sandbox, 'https://app.asana.com/api/1.0/users/me'))).status, 401)
  sandbox.control.fault({ path: '/asana/api/*', outcome: 'rate_limited', retryAfterSeconds: 30 })
  const struck = await asana(sandbox, token, '/users/me')
  assert.equal(struck.headers.get('retry-after'), '30')
  assert.equal((await problemOf(struck))[0], 429)
  sandbox.control.rateLimit('asana', 1)
  const over = await asana(sandbox, token, '/users/me')
  assert.equal(over.status, 429)
  assert.ok(Number(over.headers.get('retry-after')) > 0)
})

test('[SB60] Asana’s own SDK reads, pages and writes here by its base path', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'asana', { scope: 'default' })
  const client = asanaSdk.ApiClient.instance
  client.basePath = `${sandbox.origins['https://app.asana.com']}/api/1.0`
  client.authentications.token.accessToken = token
  const me = await new asanaSdk.UsersApi().getUser('me', { opt_fields: 'name,email' })
  assert.equal(me.data.email, 'ada@atom-labs.example')
  const tasks = new asanaSdk.TasksApi()
  const [project] = (await rows(await asana(sandbox, token, '/projects'))).data
  const first = await tasks.getTasksForProject(project?.gid ?? '', { limit: 2 })
  const second = await first.nextPage()
  assert.equal(new Set([...first.data, ...second.data].map(({ gid }) => gid)).size, 4)
  const made = await tasks.createTask({ data: { name: 'By the SDK', workspace: '1204601815121001' } }, {})
  assert.deepEqual(
    sandbox.control.effects({ provider: 'asana' }).map(({ target }) => target),
    [made.data.gid],
  )
})
