import assert from 'node:assert/strict'
import { createPrivateKey, type JsonWebKey } from 'node:crypto'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { decodeProtectedHeader } from 'jose'
import sql from 'sql-template-tag'
import { type ConnectionHouse, connected, openHouse, type Person } from './support/connection-house.ts'
import { api, appKey, issuer, OpenIdServer, type ServerManners } from './support/openid-server.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'

interface Scene extends AsyncDisposable {
  readonly server: OpenIdServer
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  /** Lets time pass for the house. */
  pass(ms: number): void
}

async function scene(provider: string, manners: Omit<ServerManners, 'redirectUris'>): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const server = stack.use(await OpenIdServer.start())
  const database = stack.use(await testDatabase())
  let passed = 0
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: undefined,
      reach: [server.url],
      detour: server.origins,
      clock: { now: () => new Date(Date.now() + passed) },
    }),
  )
  await server.open({ redirectUris: [`${house.url}/v1/oauth/callback/${provider}`], ...manners })
  const ada = await house.person()
  return {
    server,
    database,
    house,
    ada,
    pass: (ms) => {
      passed += ms
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

const clientSecret = 'a_client-secret.with~marks/and+0123456789'

async function configure(it: Scene, provider: string, app: object) {
  return await it.ada.call('PUT', `/v1/providers/${provider}/app`, {
    json: { clientId: 'atom', clientSecret, ...app },
  })
}

async function connect(it: Scene, provider: string, wish: object = {}) {
  const browser = it.ada.browser()
  const url = await browser.connect(provider, wish)
  return { url, connection: await connected(it.ada, await browser.open(await it.server.visit(url))) }
}

const refresh = (it: Scene, id: string) => it.ada.call('POST', `/v1/connections/${id}/refresh`)

test('[CN100] an issuer is all that an operator says: a person connects, refreshes, calls the API, and ends the grant', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  const view = await configure(it, 'openid', { settings: { issuer, api: `${api}/v1` } })
  assert.equal(view.status, 200, view.text)
  assert.equal(view.body.app, 'configured')
  const { url, connection } = await connect(it, 'openid')
  assert.equal(url.origin, issuer)
  assert.deepEqual(
    [connection.status, connection.identity, connection.scopes],
    [
      'active',
      { id: `${issuer}.ada`, name: 'Ada Lovelace', handle: 'ada', email: 'ada@example.org' },
      ['openid', 'profile', 'email', 'offline_access'],
    ],
  )
  assert.equal((await refresh(it, connection.id)).status, 200)
  const called = await it.ada.call('POST', `/v1/connections/${connection.id}/proxy/things`, { body: 'x' })
  assert.deepEqual([called.status, called.body.id, called.body.body], [200, 'ada', 'x'])
  assert.deepEqual(it.server.asked.at(-1), {
    method: 'POST',
    path: '/v1/things',
    scheme: 'Bearer',
    proven: false,
  })
  const receipt = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
  assert.equal(receipt.body.revocation, 'revoked', receipt.text)
  assert.equal(it.server.requests('/token/revocation').length, 1)
  // One reading of what the server says of itself served all of it.
  assert.equal(it.server.seen.filter(({ path }) => path.startsWith('/.well-known')).length, 1)
})

test('[CN101] an app proves itself as its server wants: basic, post, a signed secret, a key of any kind, or not at all', async () => {
  const keys = {
    RS256: await appKey('RS256'),
    ES256: await appKey('ES256'),
    EdDSA: await appKey('EdDSA'),
  }
  await using it = await scene('openid', {
    clients: [
      { client_id: 'basic', client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_basic' },
      { client_id: 'post', client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_post' },
      { client_id: 'jwt', client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_jwt' },
      { client_id: 'none', token_endpoint_auth_method: 'none' },
      ...Object.entries(keys).map(([alg, { known }]) => ({
        client_id: alg,
        token_endpoint_auth_method: 'private_key_jwt' as const,
        token_endpoint_auth_signing_alg: alg as 'RS256',
        jwks: { keys: [known as never] },
      })),
    ],
  })
  const pem = createPrivateKey({ key: keys.RS256.own as JsonWebKey, format: 'jwk' })
  const apps: readonly [string, object][] = [
    ['basic', { settings: { issuer } }],
    ['post', { settings: { issuer, authentication: 'client_secret_post' } }],
    ['jwt', { settings: { issuer, authentication: 'client_secret_jwt' } }],
    ['none', { clientSecret: undefined, settings: { issuer, authentication: 'none' } }],
    ['RS256', { privateKey: pem.export({ type: 'pkcs1', format: 'pem' }) }],
    ['RS256', { privateKey: pem.export({ type: 'pkcs8', format: 'pem' }) }],
    ['ES256', { privateKey: JSON.stringify(keys.ES256.own) }],
    ['EdDSA', { privateKey: JSON.stringify(keys.EdDSA.own) }],
  ]
  for (const [clientId, app] of apps) {
    const byKey = 'privateKey' in app && {
      clientSecret: undefined,
      settings: { issuer, authentication: 'private_key_jwt' },
    }
    const view = await configure(it, 'openid', { clientId, ...byKey, ...app })
    assert.equal(view.status, 200, `${clientId}: ${view.text}`)
    const { connection } = await connect(it, 'openid')
    assert.equal((await refresh(it, connection.id)).status, 200, clientId)
    const ended = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
    assert.equal(ended.body.revocation, 'revoked', clientId)
  }
  const [assertion] = it.server.requests('/token').flatMap((sent) => sent.get('client_assertion') ?? [])
  assert.equal(decodeProtectedHeader(assertion ?? '').alg, 'HS256')
  const stored = await it.database.database.query<{ private_key: Buffer }>(
    sql`select private_key from provider_apps where private_key is not null`,
  )
  const secret = keys.EdDSA.own.d ?? ''
  assert.ok(stored.length > 0 && stored.every(({ private_key }) => !private_key.includes(secret)))
  assert.ok(![...it.house.answers, ...it.house.lines].some((line) => line.includes(secret)))
})

test('[CN101] a key that is none, too short or of a kind that does not sign is refused, and never quoted', async () => {
  await using it = await scene('openid', {})
  const short =
    '-----BEGIN PRIVATE KEY-----\nMIICdQIBADANBgkqhkiG9w0BAQEFAASCAl8wggJbAgEAAoGBA\n-----END PRIVATE KEY-----'
  const x25519 = { kty: 'OKP', crv: 'X25519', d: 'AAAA', x: 'AAAA' }
  for (const privateKey of ['hello', short, JSON.stringify(x25519), '{"kty":"RSA"}']) {
    const reply = await configure(it, 'openid', { privateKey, settings: { issuer } })
    assert.equal(reply.status, 400)
    assert.equal(reply.body.errors[0].pointer, '/privateKey')
    assert.ok(!reply.text.includes('MIICdQ'))
  }
  const none = await configure(it, 'gitlab', { privateKey: JSON.stringify((await appKey('ES256')).own) })
  assert.equal(none.body.errors[0].pointer, '/privateKey')
})

test('[CN102] a server that takes pushed requests only gets them; the browser carries a reference and nothing else', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
    pushedOnly: true,
  })
  await configure(it, 'openid', { settings: { issuer } })
  const { url } = await connect(it, 'openid')
  assert.deepEqual([...url.searchParams.keys()], ['client_id', 'request_uri'])
  const [pushed] = it.server.requests('/request')
  assert.equal(pushed?.get('code_challenge_method'), 'S256')
  // A server that does not know the app says so before anybody is sent away.
  await configure(it, 'openid', { clientSecret: 'another-secret-0123456789', settings: { issuer } })
  const refused = await it.ada.call('POST', '/v1/connections', { json: { provider: 'openid' } })
  assert.equal(refused.body.code, 'provider_misconfigured', refused.text)
})

test('[CN103] with DPoP, tokens are bound to a key of the connection, and every request proves it, also with a nonce', async () => {
  for (const nonces of [false, true]) {
    await using it = await scene('openid', {
      clients: [{ client_id: 'atom', client_secret: clientSecret }],
      nonces,
    })
    const settings = { issuer, api, resource: `${api}/`, dpop: 'on' }
    assert.equal(
      (await configure(it, 'openid', { settings, scopes: ['offline_access', 'api:read'] })).status,
      200,
    )
    const { connection } = await connect(it, 'openid')
    assert.equal(connection.status, 'active', connection.reason)
    const path = `/v1/connections/${connection.id}/proxy/things`
    const call = () => it.ada.call('POST', path, { body: 'payload' })
    for (let n = 0; n < 2; n++) {
      const { status, body } = await call()
      assert.deepEqual([status, body.id, body.body], [200, 'ada', 'payload'])
    }
    assert.ok(it.server.asked.filter(({ proven }) => proven).length >= 2)
    // The first request learns the nonce, the second has it.
    assert.equal(it.server.asked.length, nonces ? 3 : 2)
    assert.equal((await refresh(it, connection.id)).status, 200)
    it.server.nextNonce()
    assert.equal((await call()).status, 200)
    assert.ok(it.server.asked.every(({ scheme }) => scheme === 'DPoP'))
    if (nonces) {
      // What streams through cannot be sent again by Atom, so its sender is asked to; the nonce is known then.
      it.server.nextNonce()
      const big = () =>
        it.ada.call('POST', path, { body: Readable.from([Buffer.alloc(2 * 1024 * 1024, 'x')]) })
      assert.equal((await big()).body.code, 'provider_unavailable')
      assert.equal((await big()).body.body.length, 2 * 1024 * 1024)
    }
    // Not one refresh more than was asked for: a nonce is no rejected token.
    const refreshes = it.server
      .requests('/token')
      .filter((sent) => sent.get('grant_type') === 'refresh_token')
    assert.equal(new Set(refreshes.map((sent) => sent.get('refresh_token'))).size, 1)
    const [row] = await it.database.database.query<{ dpop_key: Buffer }>(
      sql`select dpop_key from credentials`,
    )
    assert.ok(row !== undefined && row.dpop_key.length > 100 && !row.dpop_key.includes('"d"'))
  }
})

test('[CN103] a new consent brings a new key, and a consent without DPoP none', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  const keys = async () =>
    await it.database.database.query<{ dpop_key: Buffer | null }>(sql`select dpop_key from credentials`)
  const settings = { issuer, api, resource: `${api}/`, dpop: 'on' }
  await configure(it, 'openid', { settings, scopes: ['offline_access', 'api:read'] })
  const first = (await connect(it, 'openid')).connection
  const [before] = await keys()
  const second = (await connect(it, 'openid')).connection
  assert.equal(second.id, first.id)
  const [after] = await keys()
  assert.notDeepEqual(after?.dpop_key, before?.dpop_key)
  assert.equal((await it.ada.call('GET', `/v1/connections/${first.id}/proxy/x`)).status, 200)
  await configure(it, 'openid', {
    settings: { ...settings, dpop: 'off' },
    scopes: ['offline_access', 'api:read'],
  })
  await connect(it, 'openid')
  assert.deepEqual(await keys(), [{ dpop_key: null }])
  assert.equal((await it.ada.call('GET', `/v1/connections/${first.id}/proxy/x`)).status, 200)
  assert.equal(it.server.asked.at(-1)?.scheme, 'Bearer')
})

test('[CN103] a server that does not bind gives bearer tokens; one that stops binding is not believed', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  const settings = { issuer, api, resource: `${api}/`, dpop: 'on' }
  await configure(it, 'openid', { settings, scopes: ['offline_access', 'api:read'] })
  const { connection } = await connect(it, 'openid')
  it.server.tokens = (answer) => ({ ...answer, token_type: 'Bearer' })
  assert.equal((await refresh(it, connection.id)).body.code, 'provider_refused')
  const bearer = await connect(it, 'openid')
  assert.equal(bearer.connection.id, connection.id)
  const rows = await it.database.database.query(sql`select dpop_key from credentials`)
  assert.deepEqual(rows, [{ dpop_key: null }])
})

test('[CN106] what a server said of itself is read again each hour, and holds for a day while the server is away', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  it.server.metadata = ({ pushed_authorization_request_endpoint: _none, ...document }) => document
  await configure(it, 'openid', { settings: { issuer } })
  const begin = async () =>
    (await it.ada.call('POST', '/v1/connections', { json: { provider: 'openid' } })).status
  const read = () => it.server.seen.filter(({ path }) => path.startsWith('/.well-known')).length
  assert.deepEqual([await begin(), await begin(), read()], [201, 201, 1])
  it.pass(61 * 60_000)
  assert.deepEqual([await begin(), read()], [201, 2])
  it.pass(61 * 60_000)
  it.server.away = true
  assert.equal(await begin(), 201)
  it.pass(24 * 60 * 60_000)
  assert.equal(await begin(), 503)
  it.server.away = false
  assert.equal(await begin(), 201)
})

test('[CN104] the resource is named wherever a token is asked for, and the token is for it alone', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  const settings = { issuer, api, resource: `${api}/` }
  await configure(it, 'openid', { settings, scopes: ['offline_access', 'api:read'] })
  const { connection } = await connect(it, 'openid')
  assert.equal(connection.status, 'active', connection.reason)
  await refresh(it, connection.id)
  for (const sent of [...it.server.requests('/request'), ...it.server.requests('/token')])
    assert.deepEqual(sent.getAll('resource'), [`${api}/`])
  assert.equal((await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/x`)).body.id, 'ada')
  await configure(it, 'openid', { settings: { ...settings, resource: 'https://other.example.test/' } })
  const refused = await it.ada.call('POST', '/v1/connections', { json: { provider: 'openid' } })
  assert.equal(refused.body.code, 'provider_misconfigured', refused.text)
})

test('[CN105] a server that announces its name in answers is not believed without it, nor under another', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  await configure(it, 'openid', { settings: { issuer } })
  for (const iss of [undefined, 'https://evil.example']) {
    it.server.callback = (url) => {
      assert.equal(url.searchParams.get('iss'), issuer)
      if (iss === undefined) url.searchParams.delete('iss')
      else url.searchParams.set('iss', iss)
      return url
    }
    const browser = it.ada.browser()
    const back = await it.server.visit(await browser.connect('openid'))
    const reply = await browser.open(back, { page: false })
    assert.equal(reply.body.code, 'provider_refused')
  }
  assert.deepEqual(it.server.requests('/token'), [])
})

test('[CN106] a server that calls itself otherwise, has an endpoint without https or is none is misconfigured, and nothing is sent there', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  const begin = () => it.ada.call('POST', '/v1/connections', { json: { provider: 'openid' } })
  const lies: readonly ((document: Record<string, unknown>) => Record<string, unknown>)[] = [
    (document) => ({ ...document, issuer: 'https://other.example.test' }),
    (document) => ({ ...document, token_endpoint: 'http://as.example.test/token' }),
    (document) => ({ ...document, token_endpoint: 'https://user:pass@as.example.test/token' }),
    ({ token_endpoint: _gone, ...document }) => document,
  ]
  await configure(it, 'openid', { settings: { issuer } })
  for (const lie of lies) {
    it.server.metadata = lie
    assert.equal((await begin()).body.code, 'provider_misconfigured')
  }
  it.server.metadata = (document) => document
  assert.equal((await begin()).status, 201)
  await configure(it, 'openid', { settings: { issuer: `${issuer}/nowhere` } })
  assert.equal((await begin()).body.code, 'provider_misconfigured')
  // What leads into a private network is not even called, whoever names it.
  await configure(it, 'openid', { settings: { issuer: 'https://127.0.0.1' } })
  assert.equal((await begin()).body.code, 'provider_misconfigured')
  await configure(it, 'openid', { clientId: 'inward', settings: { issuer } })
  it.pass(61 * 60_000)
  it.server.metadata = (document) => ({
    ...document,
    pushed_authorization_request_endpoint: 'https://169.254.169.254/request',
  })
  assert.equal((await begin()).body.code, 'provider_misconfigured')
})

test('[CN107] what an operator says of a server is complete and well formed, or refused by name; other settings are another app', async () => {
  await using it = await scene('openid', {
    clients: [{ client_id: 'atom', client_secret: clientSecret }],
  })
  const problem = async (settings: object) => {
    const reply = await configure(it, 'openid', { settings })
    return [reply.status, reply.body.errors?.[0].pointer]
  }
  assert.deepEqual(await problem({}), [400, '/settings/issuer'])
  for (const wrong of [
    'http://as.example.test',
    'https://as.example.test:8443',
    'https://user@as.example.test',
    'https://as.example.test/../x',
    'https://as.example.test?x=1',
    'as.example.test',
  ])
    assert.deepEqual(await problem({ issuer: wrong }), [400, '/settings/issuer'], wrong)
  assert.deepEqual(await problem({ issuer, colour: 'red' }), [400, '/settings/colour'])
  assert.deepEqual(await problem({ issuer, userinfo: issuer }), [400, '/settings/userinfo'])
  assert.deepEqual(await problem({ issuer, authentication: 'trust' }), [400, '/settings/authentication'])
  const secretless = await configure(it, 'openid', { clientSecret: undefined, settings: { issuer } })
  assert.equal(secretless.body.errors[0].pointer, '/clientSecret')

  await configure(it, 'openid', { settings: { issuer } })
  const view = (await it.ada.call('GET', '/v1/providers')).body.items.find(
    ({ id }: { id: string }) => id === 'openid',
  )
  const field = (name: string) =>
    view.appFields.find((one: { name: string }) => one.name === name) as Record<string, unknown>
  assert.deepEqual([field('issuer')['required'], field('issuer')['value']], [true, issuer])
  assert.deepEqual([field('api')['required'], field('dpop')['standard']], [false, 'off'])
  assert.deepEqual([field('privateKey')['secret'], field('privateKey')['value']], [true, undefined])
  assert.equal(field('userinfo'), undefined)

  const { connection } = await connect(it, 'openid')
  const elsewhere = { issuer: 'https://elsewhere.example.test' }
  await configure(it, 'openid', { clientSecret: 'secret-of-another-server', settings: elsewhere })
  // It lives on from the app and the server that it was made with, and that server gets no other's secret.
  assert.equal((await refresh(it, connection.id)).status, 200)
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
})

test('[CN108] a server without metadata works by the addresses that the operator says', async () => {
  await using it = await scene('oauth2', {
    clients: [
      { client_id: 'atom', client_secret: clientSecret, token_endpoint_auth_method: 'client_secret_post' },
    ],
  })
  const settings = {
    authorization: `${issuer}/auth`,
    token: `${issuer}/token`,
    revocation: `${issuer}/token/revocation`,
    account: `${api}/me`,
    authentication: 'client_secret_post',
    issuer,
  }
  const view = await configure(it, 'oauth2', { settings, scopes: ['offline_access'] })
  assert.equal(view.status, 200, view.text)
  const browser = it.ada.browser()
  const url = await browser.connect('oauth2', { scopes: ['openid', 'offline_access'] })
  url.searchParams.set('prompt', 'consent')
  const connection = await connected(it.ada, await browser.open(await it.server.visit(url)))
  assert.deepEqual(connection.identity, { id: 'api.example.test ada', name: 'Ada at the API' })
  const refreshed = await refresh(it, connection.id)
  assert.equal(refreshed.status, 200, refreshed.text)
  assert.equal((await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/x`)).status, 200)
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
  assert.ok(it.server.seen.every(({ path }) => !path.startsWith('/.well-known')))
})

test('[CN109] an MCP server is connected by its address alone: found, registered with once, bound to the resource', async () => {
  await using it = await scene('mcp', { registration: true })
  it.server.workAsMcp()
  const wish = { particulars: { server: `${api}/mcp` } }
  const { url, connection } = await connect(it, 'mcp', wish)
  assert.equal(url.origin, issuer)
  assert.deepEqual(
    [connection.status, connection.identity, connection.scopes],
    ['active', { id: `${api}/mcp`, name: 'Calculator', handle: `${api}/mcp` }, ['api:read']],
  )
  for (const sent of [...it.server.requests('/request'), ...it.server.requests('/token')])
    assert.equal(sent.get('resource'), `${api}/mcp`)
  assert.equal((await refresh(it, connection.id)).status, 200)
  const call = await it.ada.call('POST', `/v1/connections/${connection.id}/proxy/mcp`, { json: { id: 2 } })
  assert.equal(call.status, 200, call.text)
  assert.equal(it.server.asked.at(-1)?.path, '/mcp')

  // The second person of the workspace comes with the same registration; another workspace with its own.
  const bob = await it.house.person('member', it.ada.principal.workspaceId)
  const browser = bob.browser()
  await connected(bob, await browser.open(await it.server.visit(await browser.connect('mcp', wish))))
  assert.equal(it.server.requests('/reg').length, 1)
  const eve = await it.house.person()
  assert.equal(new URL((await eve.browser().connect('mcp', wish)).href).origin, issuer)
  assert.equal(it.server.requests('/reg').length, 2)
  const receipt = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
  assert.equal(receipt.body.revocation, 'revoked', receipt.text)
})

test('[CN109] reconnecting an MCP server asks it anew, and names its resource again', async () => {
  await using it = await scene('mcp', { registration: true })
  it.server.workAsMcp()
  const { connection } = await connect(it, 'mcp', { particulars: { server: `${api}/mcp` } })
  const again = await connect(it, 'mcp', { connectionId: connection.id })
  assert.equal(again.connection.id, connection.id)
  const pushed = it.server.requests('/request')
  assert.deepEqual(
    pushed.map((sent) => sent.get('resource')),
    [`${api}/mcp`, `${api}/mcp`],
  )
  assert.equal(it.server.requests('/reg').length, 1)
})

test('[CN109] a registration that its server has forgotten is made anew the next time', async () => {
  await using it = await scene('mcp', { registration: true })
  it.server.workAsMcp()
  const wish = { particulars: { server: `${api}/mcp` } }
  const first = await it.ada.browser().connect('mcp', wish)
  await it.server.forget(first.searchParams.get('client_id') ?? '')
  const begin = () => it.ada.call('POST', '/v1/connections', { json: { provider: 'mcp', ...wish } })
  assert.equal((await begin()).body.code, 'provider_misconfigured')
  assert.equal((await begin()).status, 201)
  assert.equal(it.server.requests('/reg').length, 2)
})

test('[CN110] an API that names another’s resource, another host’s metadata, no server or no PKCE is refused, and learns nothing', async () => {
  await using it = await scene('mcp', { registration: true })
  it.server.workAsMcp()
  const begin = (server = `${api}/mcp`) =>
    it.ada.call('POST', '/v1/connections', { json: { provider: 'mcp', particulars: { server } } })
  const resources: readonly [string, object][] = [
    ['another host', { resource: 'https://victim.example/mcp', authorization_servers: [issuer] }],
    ['another path', { resource: `${api}/other`, authorization_servers: [issuer] }],
    ['a longer name', { resource: `${api}/mc`, authorization_servers: [issuer] }],
    ['no server', { resource: `${api}/mcp`, authorization_servers: [] }],
    ['plain http', { resource: `${api}/mcp`, authorization_servers: ['http://as.example.test'] }],
    ['none', {}],
  ]
  for (const [name, metadata] of resources) {
    it.server.workAsMcp({ metadata })
    assert.equal((await begin()).body.code, 'provider_refused', name)
  }
  it.server.workAsMcp({ pointer: 'https://evil.example/.well-known/oauth-protected-resource' })
  assert.equal((await begin()).body.code, 'provider_refused')
  for (const server of [
    'http://api.example.test/mcp',
    `${api}/mcp?x=1`,
    'https://u:p@api.example.test/',
    'x',
  ])
    assert.equal((await begin(server)).body.code, 'validation_failed', server)
  assert.equal(
    (await it.ada.call('POST', '/v1/connections', { json: { provider: 'mcp' } })).body.errors[0].pointer,
    '/particulars/server',
  )
  it.server.workAsMcp()
  it.server.metadata = ({ code_challenge_methods_supported: _none, ...document }) => document
  assert.equal((await begin()).body.code, 'provider_misconfigured')
  assert.equal(it.server.requests('/reg').length, 0)
})

test('[CN110] where a server registers nobody, the operator’s app is used at its own issuer and nowhere else', async () => {
  await using it = await scene('mcp', { clients: [{ client_id: 'atom', client_secret: clientSecret }] })
  it.server.workAsMcp()
  const wish = { particulars: { server: `${api}/mcp` } }
  const begin = () => it.ada.call('POST', '/v1/connections', { json: { provider: 'mcp', ...wish } })
  assert.equal((await begin()).body.code, 'provider_not_configured')
  await configure(it, 'mcp', { settings: { issuer: 'https://other.example.test' } })
  assert.equal((await begin()).body.code, 'provider_not_configured')
  assert.ok(it.server.seen.every(({ body }) => !body.includes(clientSecret)))
  await configure(it, 'mcp', { settings: { issuer } })
  const { connection } = await connect(it, 'mcp', wish)
  assert.equal(connection.identity.name, 'Calculator')
})
