import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import { Browser } from './support/browser.ts'
import { askConsent, dial, githubApi, redirectUri, redirectUris } from './support/clients.ts'

const grantRefresh = 'refresh_token'

function installable(sandbox: Sandbox) {
  const { installable: app } = sandbox.apps.github
  assert.ok(app)
  return app
}

const now = () => Math.floor(Date.now() / 1000)

/** As a GitHub App signs for itself; `claims` instead of what is right. */
function jwt(sandbox: Sandbox, claims: object = {}, key?: string, alg = 'RS256'): string {
  const { clientId, privateKey } = installable(sandbox)
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const said = { iat: now() - 30, exp: now() + 540, iss: clientId, ...claims }
  const text = `${part({ alg, typ: 'JWT' })}.${part(said)}`
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), createPrivateKey(key ?? privateKey)).toString('base64url')}`
}

interface Answered {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
  readonly body: any
}

async function api(
  sandbox: Sandbox,
  token: string,
  method: string,
  path: string,
  json?: unknown,
): Promise<Answered> {
  const answer = await githubApi(sandbox, token, path, {
    method,
    ...(json !== undefined && {
      body: JSON.stringify(json),
      headers: { 'content-type': 'application/json' },
    }),
  })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
}

/** Through GitHub's pages, as a person does. */
async function install(
  sandbox: Sandbox,
  form: readonly (readonly [string, string])[] = [],
  person = 'ada',
  browser = new Browser(),
) {
  const { slug } = installable(sandbox).settings
  const start = await browser.open(
    dial(sandbox, `https://github.com/apps/${slug}/installations/new?state=s%2F1`),
  )
  const page = await browser.submit(start, [['person', person]])
  assert.equal(page.status, 200, page.text)
  return { browser, page, stop: await browser.submit(page, [...form, ['decision', 'agree']]) }
}

async function installed(
  sandbox: Sandbox,
  form: readonly (readonly [string, string])[] = [],
  person = 'ada',
) {
  const { stop } = await install(sandbox, form, person)
  assert.ok(stop.left, stop.text)
  return String(stop.url.searchParams.get('installation_id'))
}

async function tokenOf(sandbox: Sandbox, id: string, wish?: object): Promise<Answered> {
  return await api(sandbox, jwt(sandbox), 'POST', `/app/installations/${id}/access_tokens`, wish)
}

test('[SB84] a person installs the GitHub App for an account and its repositories, or asks its owners to, and goes back with what became of it', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { page, stop } = await install(sandbox)
  assert.match(page.text, /All repositories/)
  assert.equal(stop.url.origin + stop.url.pathname, redirectUri('github'))
  assert.deepEqual([...stop.url.searchParams.keys()].sort(), ['installation_id', 'setup_action', 'state'])
  assert.deepEqual(
    [stop.url.searchParams.get('setup_action'), stop.url.searchParams.get('state')],
    ['install', 's/1'],
  )
  const id = String(stop.url.searchParams.get('installation_id'))
  const view = await api(sandbox, jwt(sandbox), 'GET', `/app/installations/${id}`)
  assert.deepEqual(
    [view.status, view.body.account.login, view.body.target_type, view.body.repository_selection],
    [200, 'atom-labs', 'Organization', 'all'],
  )
  assert.deepEqual(
    [view.body.suspended_at, view.body.permissions.issues, view.body.app_slug],
    [null, 'write', 'atom-sandbox'],
  )

  // Once more for the same account is a change of it, and none without a repository.
  const empty = await install(sandbox, [['selection', 'selected']])
  assert.deepEqual([empty.stop.left, empty.stop.status], [false, 400])
  const [, repository = ''] = /name="repository" value="(\d+)"/.exec(page.text) ?? []
  const changed = await install(sandbox, [
    ['selection', 'selected'],
    ['repository', repository],
  ])
  assert.deepEqual(
    [changed.stop.url.searchParams.get('setup_action'), changed.stop.url.searchParams.get('installation_id')],
    ['update', id],
  )
  assert.equal(
    (await api(sandbox, jwt(sandbox), 'GET', `/app/installations/${id}`)).body.repository_selection,
    'selected',
  )

  // Not hers to decide: nothing is installed until an owner says so.
  await api(sandbox, jwt(sandbox), 'DELETE', `/app/installations/${id}`)
  const asked = (await install(sandbox, [], 'katherine')).stop.url.searchParams
  assert.deepEqual([...asked.keys()].sort(), ['setup_action', 'state'])
  assert.equal(asked.get('setup_action'), 'request')
  assert.deepEqual((await api(sandbox, jwt(sandbox), 'GET', '/app/installations')).body, [])
  const settings = dial(sandbox, 'https://github.com/settings/installations')
  const list = await (await fetch(settings)).text()
  const [, request = ''] = /name="id" value="(\d+)"/.exec(list) ?? []
  await fetch(settings, { method: 'POST', body: new URLSearchParams({ id: request, action: 'approve' }) })
  const approved = (await api(sandbox, jwt(sandbox), 'GET', '/app/installations')).body
  assert.deepEqual([approved.length, approved[0].account.login], [1, 'atom-labs'])
  assert.notEqual(String(approved[0].id), id)

  // Nobody installs for somebody else, and a no leads nowhere.
  const foreign = await install(sandbox, [['account', 'ada']], 'grace')
  assert.equal(foreign.stop.status, 404)
  const { slug } = installable(sandbox).settings
  const no = await fetch(
    dial(sandbox, `https://github.com/apps/${slug}/installations/new/permissions?as=ada`),
    {
      method: 'POST',
      body: new URLSearchParams({ decision: 'cancel' }),
    },
  )
  assert.match(await no.text(), /Nothing was installed/)
})

test('[SB85] GitHub takes the app at its word only in a JWT of its key, in its time, and says what is wrong in GitHub’s words', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { appId } = installable(sandbox)
  for (const right of [{}, { iss: appId }, { iss: Number(appId) }, { exp: now() + 595 }]) {
    const answer = await api(sandbox, jwt(sandbox, right), 'GET', '/app')
    assert.deepEqual([answer.status, answer.body.slug], [200, 'atom-sandbox'], JSON.stringify(right))
  }
  const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
  const refusals: readonly (readonly [string, number, RegExp])[] = [
    [jwt(sandbox, {}, foreign), 401, /could not be decoded/],
    [jwt(sandbox, {}, undefined, 'none'), 401, /could not be decoded/],
    ['gho_nothing', 401, /could not be decoded/],
    [jwt(sandbox, { iss: 'Iv23liOther' }), 404, /Integration not found/],
    [jwt(sandbox, { iss: undefined }), 401, /Missing 'issuer' claim/],
    [jwt(sandbox, { exp: now() + 700 }), 401, /'exp'\) is too far in the future/],
    [jwt(sandbox, { exp: now() - 1 }), 401, /'exp'\) must be a numeric value representing the future time/],
    [jwt(sandbox, { iat: now() + 120 }), 401, /'iat'\) must be an Integer representing the time/],
    [jwt(sandbox, { iat: 'now' }), 401, /'iat'\) must be an Integer/],
  ]
  for (const [token, status, message] of refusals) {
    const answer = await api(sandbox, token, 'GET', '/app')
    assert.equal(answer.status, status, String(message))
    assert.match(answer.body.message, message)
  }
  // The app is nobody to the rest of the API.
  assert.equal((await api(sandbox, jwt(sandbox), 'GET', '/user')).body.message, 'Bad credentials')
})

test('[SB86] a token of an installation lasts an hour, reaches what it was given for and no person’s things, and ends with suspension, uninstallation and revocation', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const id = await installed(sandbox)
  const given = await tokenOf(sandbox, id)
  assert.equal(given.status, 201)
  assert.match(given.body.token, /^ghs_\w{36}$/)
  assert.deepEqual([given.body.repository_selection, given.body.permissions.issues], ['all', 'write'])
  const life = Date.parse(given.body.expires_at) - Date.now()
  assert.ok(life > 3_500_000 && life <= 3_600_000, String(life))
  const ask = (method: string, path: string, json?: object, token: string = given.body.token) =>
    api(sandbox, token, method, path, json)
  const reach = await ask('GET', '/installation/repositories')
  assert.ok(
    reach.body.repositories.every((each: { owner: { login: string } }) => each.owner.login === 'atom-labs'),
  )
  const hidden = reach.body.repositories.find((each: { private: boolean }) => each.private)
  assert.ok(hidden, 'a private repository to prove it on')
  assert.equal((await ask('GET', `/repos/${hidden.full_name}`)).status, 200)
  const issue = await ask('POST', `/repos/${hidden.full_name}/issues`, { title: 'From the app' })
  assert.deepEqual([issue.status, issue.body.user.login], [201, 'atom-sandbox[bot]'])
  for (const path of ['/user', '/user/repos', '/issues', '/user/emails', '/user/installations']) {
    assert.deepEqual((await ask('GET', path)).body.message, 'Resource not accessible by integration', path)
  }

  const less = await tokenOf(sandbox, id, { permissions: { issues: 'read' }, repositories: ['app'] })
  assert.deepEqual(
    [less.status, less.body.repository_selection, less.body.repositories.length, less.body.permissions],
    [201, 'selected', 1, { issues: 'read', metadata: 'read' }],
  )
  const weak: string = less.body.token
  assert.equal((await ask('GET', '/repos/atom-labs/app/issues', undefined, weak)).status, 200)
  const denied = await ask('POST', '/repos/atom-labs/app/issues', { title: 'No' }, weak)
  assert.deepEqual([denied.status, denied.body.message], [403, 'Resource not accessible by integration'])
  if (hidden.name !== 'app') {
    assert.equal((await ask('GET', `/repos/${hidden.full_name}`, undefined, weak)).status, 404)
  }
  for (const wish of [
    { permissions: { issues: 'admin' } },
    { permissions: { deployments: 'read' } },
    { repositories: ['no-such'] },
  ]) {
    assert.equal((await tokenOf(sandbox, id, wish)).status, 422, JSON.stringify(wish))
  }

  await api(sandbox, jwt(sandbox), 'PUT', `/app/installations/${id}/suspended`)
  assert.deepEqual(
    (await ask('GET', '/repos/atom-labs/app')).body.message,
    'This installation has been suspended',
  )
  assert.equal((await tokenOf(sandbox, id)).status, 403)
  await api(sandbox, jwt(sandbox), 'DELETE', `/app/installations/${id}/suspended`)
  assert.equal((await ask('GET', '/repos/atom-labs/app')).status, 200)

  assert.equal((await ask('DELETE', '/installation/token', undefined, weak)).status, 204)
  assert.equal((await ask('GET', '/repos/atom-labs/app', undefined, weak)).status, 401)
  sandbox.control.advance(3601)
  assert.equal((await ask('GET', '/repos/atom-labs/app')).status, 401)
  const next: string = (await tokenOf(sandbox, id)).body.token
  assert.ok(sandbox.control.issued().includes(next))
  assert.equal(sandbox.control.expireTokens('github'), 1)
  assert.equal((await ask('GET', '/repos/atom-labs/app', undefined, next)).status, 401)
  const last: string = (await tokenOf(sandbox, id)).body.token
  assert.equal((await api(sandbox, jwt(sandbox), 'DELETE', `/app/installations/${id}`)).status, 204)
  assert.equal((await ask('GET', '/repos/atom-labs/app', undefined, last)).status, 401)
  assert.equal((await tokenOf(sandbox, id)).status, 404)

  const again = await installed(sandbox)
  assert.notEqual(again, id)
  const ended: string = (await tokenOf(sandbox, again)).body.token
  // Somebody else's consent is not theirs.
  sandbox.control.revoke('github', 'grace')
  assert.equal((await ask('GET', '/repos/atom-labs/app', undefined, ended)).status, 200)
  assert.equal(sandbox.control.revoke('github', 'ada'), 1)
  assert.equal((await ask('GET', '/repos/atom-labs/app', undefined, ended)).status, 401)
  assert.equal((await tokenOf(sandbox, again)).status, 404)
})

test('[SB87] a GitHub App’s user token lives eight hours, is renewed once by its refresh token, dies with the renewal, and tells which installations are the person’s', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const app = installable(sandbox)
  sandbox.control.authorizeOnInstall(true)
  const browser = new Browser()
  let { stop } = await install(sandbox, [['account', 'ada']], 'ada', browser)
  while (!stop.left) {
    assert.equal(stop.status, 200, stop.text)
    const choosing = stop.text.includes('name="person"')
    stop = await browser.submit(stop, [choosing ? ['person', 'ada'] : ['decision', 'agree']])
  }
  const said = stop.url.searchParams
  assert.deepEqual([...said.keys()].sort(), ['code', 'installation_id', 'iss', 'setup_action', 'state'])
  assert.deepEqual([said.get('state'), said.get('setup_action')], ['s/1', 'install'])

  const token = async (fields: Record<string, string>): Promise<Answered> => {
    const answer = await fetch(dial(sandbox, 'https://github.com/login/oauth/access_token'), {
      method: 'POST',
      headers: { accept: 'application/json' },
      body: new URLSearchParams({ client_id: app.clientId, client_secret: app.clientSecret, ...fields }),
    })
    return { status: answer.status, body: await answer.json() }
  }
  const first = (await token({ code: String(said.get('code')) })).body
  assert.match(first.access_token, /^ghu_\w{36}$/)
  assert.match(first.refresh_token, /^ghr_\w{36}$/)
  assert.deepEqual(
    [first.expires_in, first.refresh_token_expires_in, first.scope, first.token_type],
    [28_800, 15_897_600, '', 'bearer'],
  )
  const user = (path: string, by: string = first.access_token) => api(sandbox, by, 'GET', path)
  assert.equal((await user('/user')).body.login, 'ada')

  // The callback's installation_id is anybody's word; this is how an app finds out that it is not theirs.
  const mine = (await user('/user/installations')).body
  assert.deepEqual([mine.total_count, String(mine.installations[0].id)], [1, said.get('installation_id')])
  const grace = await installedFor(sandbox, 'grace')
  const theirs = (await user('/user/installations')).body.installations.map(({ id }: { id: number }) =>
    String(id),
  )
  assert.ok(!theirs.includes(grace))
  assert.equal((await user(`/user/installations/${grace}/repositories`)).status, 404)

  const renewal = { grant_type: grantRefresh, refresh_token: first.refresh_token }
  const wrong = await token({ ...renewal, client_secret: 'wrong' })
  assert.deepEqual([wrong.status, wrong.body.error], [200, 'incorrect_client_credentials'])
  assert.equal((await user('/user')).status, 200)
  const second = (await token(renewal)).body
  assert.match(second.access_token, /^ghu_/)
  assert.equal((await user('/user')).status, 401)
  assert.equal((await user('/user', second.access_token)).status, 200)
  const reused = await token(renewal)
  assert.deepEqual([reused.status, reused.body.error], [200, 'bad_refresh_token'])
  sandbox.control.advance(28_801)
  assert.equal((await user('/user', second.access_token)).status, 401)
  const third = (await token({ grant_type: grantRefresh, refresh_token: second.refresh_token })).body
  assert.equal((await user('/user', third.access_token)).status, 200)
  const basic = `Basic ${Buffer.from(`${app.clientId}:${app.clientSecret}`).toString('base64')}`
  const gone = await githubApi(sandbox, undefined, `/applications/${app.clientId}/grant`, {
    method: 'DELETE',
    headers: { authorization: basic, 'content-type': 'application/json' },
    body: JSON.stringify({ access_token: third.access_token }),
  })
  assert.equal(gone.status, 204)
  assert.equal((await user('/user', third.access_token)).status, 401)
})

/** Installs for the person's own account, without their consent besides. */
async function installedFor(sandbox: Sandbox, person: string): Promise<string> {
  sandbox.control.authorizeOnInstall(false)
  return await installed(sandbox, [['account', person]], person)
}

test('[SB88] GitHub says in each authorization response who it is: `iss`, with a code and with a no', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  for (const decision of ['cancel', 'agree'] as const) {
    const { stop } = await askConsent(sandbox, 'github', { scope: 'read:user', decision })
    assert.ok(stop.left)
    assert.equal(stop.url.searchParams.get('iss'), 'https://github.com/login/oauth')
    assert.equal(stop.url.searchParams.has(decision === 'agree' ? 'code' : 'error'), true)
  }
})

test('[SB93] what was installed is there after a restart, and gone after a reset', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'sandbox-app-'))
  try {
    let id = ''
    let kept = ''
    {
      await using sandbox = await startSandbox({ redirectUris, dataDir })
      id = await installed(sandbox)
      kept = (await tokenOf(sandbox, id)).body.token
    }
    // Another port, so that no connection to the first one is taken for one to this.
    await using sandbox = await startSandbox({ redirectUris, dataDir, port: 0 })
    assert.equal((await api(sandbox, kept, 'GET', '/installation/repositories')).status, 200)
    assert.equal((await api(sandbox, jwt(sandbox), 'GET', `/app/installations/${id}`)).status, 200)
    sandbox.control.reset()
    assert.equal((await api(sandbox, kept, 'GET', '/installation/repositories')).status, 401)
    assert.equal((await api(sandbox, jwt(sandbox), 'GET', `/app/installations/${id}`)).status, 404)
    assert.notEqual(await installed(sandbox), id)
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})
