import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection } from '@atom/contract/connections.ts'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import { sandboxProviders } from '../src/local-sandbox.ts'
import {
  type ConnectionHouse,
  connected,
  openHouse,
  type Person,
  type Reply,
} from './support/connection-house.ts'
import { testDatabase } from './support/postgres.ts'
import { type Visit, visitSandbox } from './support/sandbox-visitor.ts'

interface Scene extends AsyncDisposable {
  readonly sandbox: Sandbox
  readonly house: ConnectionHouse
  readonly ada: Person
}

async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const sandbox = stack.use(await startSandbox())
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: { providers: sandboxProviders, running: () => sandbox, open: async () => sandbox },
      reach: [sandbox.url],
    }),
  )
  for (const provider of sandboxProviders) sandbox.allowRedirect(`${house.url}/v1/oauth/callback/${provider}`)
  return {
    sandbox,
    house,
    ada: await house.person(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** Through the provider's pages and back. */
async function install(it: Scene, provider: string, visit: Partial<Visit> = {}): Promise<Reply> {
  const browser = it.ada.browser()
  const url = await browser.connect(provider, { flow: 'app_installation' })
  return await browser.open(await visitSandbox(url, { person: 'ada', decision: 'agree', ...visit }))
}

function problem(reply: Reply): string | null {
  return new URL(reply.headers.get('location') ?? '', 'http://atom.test').searchParams.get('problem')
}

async function byKey(it: Scene, provider: string, credential: object): Promise<Connection> {
  const wish = { provider, flow: 'jwt_bearer', credential }
  const reply = await it.ada.call('POST', '/v1/connections', { json: wish })
  assert.equal(reply.status, 201, reply.text)
  return reply.body.connection
}

/** How often a token was asked for with success so far. */
function given({ sandbox }: Scene, path: string, status = 200): number {
  return sandbox.control.requests({ method: 'POST', path }).filter((request) => request.status === status)
    .length
}

test('[CN164] a GitHub App is installed in the sandbox, acts in its own name, renews its token after an hour, and is told when it is gone', async () => {
  await using it = await scene()
  const { sandbox, ada } = it
  const connection = await connected(ada, await install(it, 'github'))
  assert.deepEqual(
    [connection.flow, connection.status, connection.identity.name, connection.sandbox],
    ['app_installation', 'active', 'atom-labs', true],
  )
  assert.ok(connection.scopes.includes('issues:write'), connection.scopes.join())
  const here = `/v1/connections/${connection.id}`
  const reach = await ada.call('GET', `${here}/proxy/installation/repositories`)
  assert.equal(reach.status, 200, reach.text)
  assert.ok(reach.body.total_count > 0)
  const issue = await ada.call('POST', `${here}/proxy/repos/atom-labs/app/issues`, {
    json: { title: 'Written by nobody in particular' },
  })
  assert.equal(issue.status, 201, issue.text)
  assert.deepEqual([issue.body.user.login, issue.body.user.type], ['atom-sandbox[bot]', 'Bot'])
  // No person stands behind it.
  assert.equal((await ada.call('GET', `${here}/proxy/user`)).status, 403)

  const tokens = () => given(it, '/github/api/app/installations/*/access_tokens', 201)
  assert.equal(tokens(), 1)
  sandbox.control.advance(3601)
  const later = await ada.call('GET', `${here}/proxy/repos/atom-labs/app/issues`)
  assert.equal(later.status, 200, later.text)
  assert.equal(tokens(), 2)

  const token = sandbox.control.issued().findLast((each) => each.startsWith('ghs_')) ?? ''
  const asked = () =>
    fetch(`${sandbox.url}/github/api/installation/repositories`, {
      headers: { authorization: `Bearer ${token}`, 'user-agent': 'test' },
    })
  assert.equal((await asked()).status, 200)
  const receipt = (await ada.call('DELETE', here)).body
  assert.equal(receipt.revocation, 'revoked')
  assert.match(receipt.remains[0].what, /stays installed/)
  assert.equal((await asked()).status, 401)
  for (const text of [...it.house.lines, ...it.house.answers]) assert.ok(!text.includes('ghs_'), text)
})

test('[CN165] a GitHub App that an owner has to approve is pending, one that is suspended or uninstalled needs reconnect, and installing it again mends it', async () => {
  await using it = await scene()
  const { sandbox, ada } = it
  assert.equal(problem(await install(it, 'github', { person: 'katherine' })), 'consent_pending')
  const connection = await connected(ada, await install(it, 'github'))
  const read = () => ada.call('GET', `/v1/connections/${connection.id}/proxy/installation/repositories`)
  assert.equal((await read()).status, 200)
  sandbox.control.revoke('github')
  assert.equal((await read()).body.code, 'connection_needs_reconnect')
  assert.equal((await ada.call('GET', `/v1/connections/${connection.id}`)).body.status, 'needs_reconnect')
  const again = await connected(ada, await install(it, 'github'))
  assert.deepEqual([again.id, again.status], [connection.id, 'active'])
  assert.equal((await read()).status, 200)
  sandbox.control.fault({ path: '/github/api/app/installations/*', outcome: { status: 502 }, times: 3 })
  sandbox.control.expireTokens('github')
  assert.equal((await read()).body.code, 'provider_unavailable')
  sandbox.control.clearFaults()
  assert.equal((await read()).status, 200)
})

test('[CN166] an administrator’s consent at Microsoft in the sandbox connects the directory, whose token is asked for anew each hour, until the consent is withdrawn', async () => {
  await using it = await scene()
  const { sandbox, ada } = it
  assert.equal(problem(await install(it, 'microsoft', { decision: 'cancel' })), 'consent_denied')
  assert.equal(problem(await install(it, 'microsoft', { person: 'grace' })), 'consent_denied')
  const connection = await connected(ada, await install(it, 'microsoft'))
  assert.deepEqual(
    [connection.flow, connection.status, connection.identity.name],
    ['app_installation', 'active', 'Atom Labs'],
  )
  const here = `/v1/connections/${connection.id}`
  const mail = () => ada.call('GET', `${here}/proxy/v1.0/users/grace@atom-labs.example/messages?$top=2`)
  const answer = await mail()
  assert.equal(answer.status, 200, answer.text)
  assert.equal(answer.body.value.length, 2)
  assert.equal((await ada.call('GET', `${here}/proxy/v1.0/me`)).status, 400)

  const tokens = () => given(it, '/microsoft/*/oauth2/v2.0/token')
  assert.equal(tokens(), 1)
  sandbox.control.advance(3600)
  assert.equal((await mail()).status, 200)
  assert.equal(tokens(), 2)

  // Microsoft has nothing to revoke with; what ends it is the administrator.
  const receipt = (await ada.call('DELETE', here)).body
  assert.equal(receipt.revocation, 'unsupported')
  const again = await connected(ada, await install(it, 'microsoft'))
  sandbox.control.revoke('microsoft')
  const lost = await ada.call('GET', `/v1/connections/${again.id}/proxy/v1.0/organization`)
  assert.equal(lost.body.code, 'connection_needs_reconnect', lost.text)
})

test('[CN167] a Slack organisation in the sandbox is connected as one, says which workspace it means, and outlives the twelve hours of its tokens', async () => {
  await using it = await scene()
  const { sandbox, ada } = it
  sandbox.control.turnOnSlackTokenRotation()
  // The workspace alone, which is what the page offers first.
  assert.equal(problem(await install(it, 'slack')), 'provider_refused')
  // Who does not administer the organisation is not asked at all.
  const says = { choice: 'E0ATOMORG' }
  assert.equal(problem(await install(it, 'slack', { person: 'grace', says })), 'provider_refused')
  const connection = await connected(ada, await install(it, 'slack', { says }))
  assert.deepEqual(
    [connection.flow, connection.status, connection.identity.name],
    ['app_installation', 'active', 'Ada Lovelace'],
  )
  const here = `/v1/connections/${connection.id}`
  const ask = async (path: string) => (await ada.call('GET', `${here}/proxy/${path}`)).body
  const who = await ask('auth.test')
  assert.deepEqual([who.is_enterprise_install, who.enterprise_id], [true, 'E0ATOMORG'])
  assert.equal((await ask('conversations.list')).error, 'missing_argument')
  assert.equal((await ask('conversations.list?team_id=T0OTHER')).error, 'team_access_not_granted')
  const [workspace] = (await ask('auth.teams.list')).teams
  assert.ok((await ask(`conversations.list?team_id=${workspace.id}`)).channels.length > 0)

  const tokens = () => given(it, '/slack/api/oauth.v2.access')
  const before = tokens()
  sandbox.control.advance(12 * 3600 + 1)
  assert.equal((await ask('auth.test')).is_enterprise_install, true)
  assert.equal(tokens() - before, 1)

  const token = sandbox.control.issued().findLast((each) => each.startsWith('xoxe.xoxb')) ?? ''
  assert.equal((await ada.call('DELETE', here)).body.revocation, 'revoked')
  const answer = await fetch(`${sandbox.url}/slack/api/auth.test`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(((await answer.json()) as { error: string }).error, 'token_revoked')
})

test('[CN168] Google’s service account and Salesforce’s signed assertion live through an hour and a revocation in the sandbox, and end where the administrator ends them', async () => {
  await using it = await scene()
  const { sandbox, ada } = it
  const keyFile = sandbox.control.serviceKey('google')
  const person = 'ada@atom-labs.example'
  const google = await byKey(it, 'google', { keyFile, person })
  const salesforce = await byKey(it, 'salesforce', {
    username: person,
    privateKey: sandbox.control.serviceKey('salesforce'),
  })
  const places = [
    [google, 'calendar/v3/calendars/primary/events', '/google/token'],
    [salesforce, 'services/data/v60.0/sobjects', '/salesforce/*/services/oauth2/token'],
  ] as const
  for (const [{ id }, path, tokenPath] of places) {
    const read = () => ada.call('GET', `/v1/connections/${id}/proxy/${path}`)
    const first = await read()
    assert.equal(first.status, 200, first.text)
    const before = given(it, tokenPath)
    sandbox.control.advance(2 * 3600 + 1)
    assert.equal((await read()).status, 200, path)
    assert.equal(given(it, tokenPath) - before, 1, path)
  }
  const kept = await byKey(it, 'google', { keyFile, person: 'grace@atom-labs.example' })
  for (const [{ id }, path] of places) {
    const receipt = (await ada.call('DELETE', `/v1/connections/${id}`)).body
    // What Google gave for an assertion ends by itself; the receipt says when.
    assert.equal(receipt.revocation, id === google.id ? 'unsupported' : 'revoked', path)
    assert.ok(receipt.gone.length > 0)
  }
  // The domain's administrator takes the delegation away: no key helps any more.
  sandbox.control.revoke('google')
  const lost = await ada.call('GET', `/v1/connections/${kept.id}/proxy/calendar/v3/calendars/primary/events`)
  assert.ok(['connection_needs_reconnect', 'provider_misconfigured'].includes(lost.body.code), lost.text)
})
