import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, openHouse, type Person } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { LoopbackProvider, type Said } from './support/loopback-provider.ts'
import { api, issuer, OpenIdServer, type ServerManners } from './support/openid-server.ts'
import { testDatabase } from './support/postgres.ts'

const clientSecret = 'a_client-secret.with~marks/and+0123456789'

/** A provider that answers whatever a test has it answer. */
async function loopbackScene() {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({ database: database.database, sandbox: loopback, reach: [loopback.url] }),
  )
  const ada = await house.person()
  const finish = async (changes: (back: URL) => void = () => undefined) => {
    const browser = ada.browser()
    const asked = (await browser.connect('github')).searchParams
    const back = new URL(asked.get('redirect_uri') ?? '')
    back.searchParams.set('state', asked.get('state') ?? '')
    back.searchParams.set('code', 'code-1')
    changes(back)
    return await browser.open(back, { page: false })
  }
  const connections = async () => (await ada.call('GET', '/v1/connections')).body.items
  return {
    ...{ loopback, house, ada, finish, connections },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** A certified server that says what a test has it say. */
async function serverScene(provider: string, manners: Omit<ServerManners, 'redirectUris'> = {}) {
  const stack = new AsyncDisposableStack()
  const server = stack.use(await OpenIdServer.start())
  const database = stack.use(await testDatabase())
  const clock = new TestClock()
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: undefined,
      reach: [server.url],
      detour: server.origins,
      clock,
    }),
  )
  const clients = [{ client_id: 'atom', client_secret: clientSecret }]
  await server.open({ redirectUris: [`${house.url}/v1/oauth/callback/${provider}`], clients, ...manners })
  const ada = await house.person()
  const configure = (person: Person = ada) =>
    person.call('PUT', `/v1/providers/${provider}/app`, {
      json: { clientId: 'atom', clientSecret, settings: { issuer } },
    })
  return { server, house, clock, ada, configure, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

const good = { access_token: 'token-1', token_type: 'bearer', scope: 'read:user,repo,user:email' }

test('[CN175] a token answer that is none, whatever is wrong with it, connects nothing, and is never an error of Atom’s own', async () => {
  await using it = await loopbackScene()
  const json = { 'content-type': 'application/json' }
  const answers: Readonly<Record<string, Said>> = {
    'of two megabytes': { body: { ...good, padding: 'x'.repeat(2 * 1024 * 1024) } },
    'a page': { headers: { 'content-type': 'text/html' }, body: '<html>sign in</html>' },
    'nothing at all': { headers: json, body: '' },
    'half of it': { headers: json, body: '{"access_token":"token-1","token_ty' },
    'a list': { headers: json, body: '[]' },
    'of another type of token': { body: { ...good, token_type: 'mac' } },
    'without a type': { body: { ...good, token_type: undefined } },
    'with no token': { body: { ...good, access_token: undefined } },
    'with an empty token': { body: { ...good, access_token: '' } },
    'with a token that is none': { body: { ...good, access_token: { toString: 'x' } } },
    'ended before it began': { body: { ...good, expires_in: -1 } },
    'ending at no time': { body: { ...good, expires_in: 'soon' } },
    'with scopes that are none': { body: { ...good, scope: { admin: true } } },
    'with a refresh token that is none': { body: { ...good, refresh_token: ['x'] } },
    'that leads elsewhere': { status: 307, headers: { location: 'https://evil.example/token' } },
  }
  for (const [name, answer] of Object.entries(answers)) {
    it.loopback.on('github.com', '/login/oauth/access_token', () => answer)
    const { status, body } = await it.finish()
    const codes = ['provider_refused', 'provider_unavailable']
    assert.ok(
      codes.includes(body?.code) && (status === 502 || status === 503),
      `${name}: ${status} ${body?.code}`,
    )
  }
  assert.deepEqual(await it.connections(), [])
})

test('[CN175] what a token answer says of its end is taken in every writing, and an end that nobody lives to see is none', async () => {
  await using it = await loopbackScene()
  const seconds = (text: string | null) =>
    text === null ? null : Math.round((new Date(text).getTime() - Date.now()) / 1000 / 600) * 600
  const ends: readonly [object, number | null, number | null][] = [
    [{ expires_in: 3600 }, 3600, null],
    [{ expires_in: '3600' }, 3600, null],
    [{ expires_in: 1e18 }, null, null],
    [{ expires_in: 3600, refresh_token: 'r', refresh_token_expires_in: 7200 }, 3600, 7200],
    [{ expires_in: 3600, refresh_token: 'r', refresh_expires_in: 0 }, 3600, null],
    [{ expires_in: 3600, refresh_token: 'r', refresh_token_expires_in: -5 }, 3600, null],
    [{ expires_in: 3600, refresh_token: 'r', refresh_token_expires_in: 1e300 }, 3600, null],
    [{ expires_in: 3600, refresh_token: 'r', refresh_token_expires_in: 'never' }, 3600, null],
  ]
  for (const [said, expires, refreshExpires] of ends) {
    it.loopback.on('github.com', '/login/oauth/access_token', () => ({ body: { ...good, ...said } }))
    const connection = await connected(it.ada, await it.finish())
    const [credential] = connection.credentials
    const name = JSON.stringify(said)
    assert.equal(seconds(connection.expiresAt), expires, name)
    assert.equal(seconds(credential?.refreshExpiresAt ?? null), refreshExpires, name)
  }
})

test('[CN176] an answer to a consent that says a thing twice, or none of what it has to, sends no code anywhere', async () => {
  await using it = await loopbackScene()
  const changes: Readonly<Record<string, (back: URL) => void>> = {
    'two codes': ({ searchParams }) => searchParams.append('code', 'code-2'),
    'two states': ({ searchParams }) => searchParams.append('state', 'another'),
    'two issuers': ({ searchParams }) => {
      searchParams.append('iss', 'https://github.com')
      searchParams.append('iss', 'https://evil.example')
    },
    'no code': ({ searchParams }) => searchParams.delete('code'),
    'an empty code': ({ searchParams }) => searchParams.set('code', ''),
    'an error beside a code': ({ searchParams }) => searchParams.set('error', 'access_denied'),
    'tokens in place of a code': ({ searchParams }) => {
      searchParams.delete('code')
      searchParams.set('access_token', 'token-of-mallory')
    },
    'an answer in a JWT': ({ searchParams }) => searchParams.set('response', 'a.b.c'),
  }
  for (const [name, change] of Object.entries(changes)) {
    const { status, body } = await it.finish(change)
    assert.ok(status >= 400 && status < 504 && status !== 500, `${name}: ${status} ${JSON.stringify(body)}`)
  }
  assert.equal(it.loopback.requests('github.com', '/login/oauth/access_token').length, 0)
  assert.deepEqual(await it.connections(), [])
})

test('[CN176] a code of another consent, put into one’s own answer, is of no use, also where it is one’s own app’s', async () => {
  await using it = await serverScene('openid')
  await it.configure()
  const victim = it.ada.browser()
  const stolen = await it.server.visit(await victim.connect('openid'))
  const mallory = await it.house.person('member', it.ada.principal.workspaceId)
  const browser = mallory.browser()
  const own = await it.server.visit(await browser.connect('openid'))
  own.searchParams.set('code', stolen.searchParams.get('code') ?? '')
  const refused = await browser.open(own, { page: false })
  assert.equal(refused.body.code, 'provider_refused', refused.text)
  assert.deepEqual((await mallory.call('GET', '/v1/connections')).body.items, [])
})

test('[CN177] a device code lives a day at most and is asked for once a second at most and once a minute at least, whatever is said', async () => {
  await using it = await loopbackScene()
  const answer = {
    device_code: 'device-code-1',
    user_code: 'WDJB-MJHT',
    verification_uri: 'https://github.com/login/device',
    expires_in: 900,
  }
  it.loopback.on('github.com', '/login/oauth/access_token', () => ({
    body: { error: 'authorization_pending' },
  }))
  const begin = async (said: object) => {
    it.loopback.on('github.com', '/login/device/code', () => ({ body: { ...answer, ...said } }))
    const wish = { provider: 'github', flow: 'device_code' }
    return (await it.ada.call('POST', '/v1/connections', { json: wish })).body
  }
  const taken: readonly [object, number, number][] = [
    [{}, 5, 900],
    [{ interval: 0.2 }, 1, 900],
    [{ interval: 1e9 }, 60, 900],
    [{ interval: 1e300 }, 60, 900],
    [{ interval: 7, expires_in: 1e18 }, 7, 86_400],
  ]
  for (const [said, interval, expiresIn] of taken) {
    const { device } = await begin(said)
    assert.deepEqual([device?.interval, device?.expiresIn], [interval, expiresIn], JSON.stringify(said))
  }
  for (const said of [
    { interval: 0 },
    { interval: -1 },
    { interval: '5s' },
    { expires_in: 0 },
    { expires_in: -900 },
    { expires_in: undefined },
    { device_code: '' },
    { user_code: 7 },
    { verification_uri: 'http://github.com/login/device' },
    { verification_uri_complete: 'data:text/html,x' },
  ]) {
    const { code, device } = await begin(said)
    const fine = device?.interval === 5 || code === 'provider_refused' || code === 'provider_unavailable'
    assert.ok(fine, `${JSON.stringify(said)}: ${code} ${JSON.stringify(device)}`)
  }
})

test('[CN178] a server whose description leads into a private network, to plain http or to another’s name is not followed', async () => {
  await using it = await serverScene('openid')
  let later = 0
  const begin = async (changes: object) => {
    it.server.metadata = (document) => ({ ...document, ...changes })
    const ada = await it.house.person()
    await it.configure(ada)
    // It is read anew an hour later; the server itself has not moved on.
    later += 61 * 60_000
    it.clock.pass(later)
    const browser = ada.browser()
    const begun = await browser.connect('openid').catch((error: Error) => error)
    it.clock.pass(-later)
    if (begun instanceof Error) return begun.message
    const back = await it.server.visit(begun)
    return (await browser.open(back, { page: false })).text
  }
  const within = [
    'https://127.0.0.1/x',
    'https://169.254.169.254/x',
    'https://[fd00::1]/x',
    'https://10.0.0.1/x',
  ]
  for (const address of within) {
    for (const name of ['token_endpoint', 'jwks_uri', 'pushed_authorization_request_endpoint'])
      assert.match(await begin({ [name]: address }), /"provider_misconfigured"/, `${name} ${address}`)
  }
  for (const changes of [
    { issuer: 'https://victim.example' },
    { token_endpoint: 'http://as.example.test/token' },
    { authorization_endpoint: 'javascript:alert(1)' },
    { userinfo_endpoint: 'file:///etc/passwd' },
    { revocation_endpoint: 7 },
  ])
    assert.match(await begin(changes), /"provider_misconfigured"/, JSON.stringify(changes))
})

test('[CN178] what a registration answers changes neither where Atom goes nor how it proves itself', async () => {
  await using it = await serverScene('mcp', { registration: true, clients: [] })
  it.server.workAsMcp()
  it.server.registered = (answer) => ({
    ...answer,
    token_endpoint: 'https://evil.example/token',
    authorization_endpoint: 'https://evil.example/auth',
    registration_client_uri: 'https://evil.example/client',
    redirect_uris: ['https://evil.example/callback'],
    issuer: 'https://evil.example',
    jwks_uri: 'https://evil.example/jwks',
  })
  const wish = { particulars: { server: `${api}/mcp` } }
  const browser = it.ada.browser()
  const url = await browser.connect('mcp', wish)
  assert.equal(url.origin, issuer)
  const connection = await connected(it.ada, await browser.open(await it.server.visit(url)))
  assert.equal(connection.status, 'active')
  const unusable: readonly object[] = [
    { client_id: undefined },
    { client_id: '' },
    { client_id: 7 },
    { client_secret: ['x'] },
    { client_secret: 's', client_secret_expires_at: 'never' },
  ]
  for (const changes of unusable) {
    it.server.registered = (answer) => ({ ...answer, ...changes })
    const mallory = await it.house.person()
    const refused = await mallory.call('POST', '/v1/connections', { json: { provider: 'mcp', ...wish } })
    assert.equal(refused.body.code, 'provider_refused', JSON.stringify(changes))
  }
})
