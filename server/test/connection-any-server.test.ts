import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openHouse } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import {
  api,
  appKey,
  foreignToken,
  issuer,
  jwtBearer,
  OpenIdServer,
  tokenExchange,
} from './support/openid-server.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code'
const clientSecret = 'a_client-secret.with~marks/and+0123456789'
const grants = [
  'authorization_code',
  'refresh_token',
  'client_credentials',
  deviceCode,
  tokenExchange,
  jwtBearer,
]
const addresses = {
  authorization: `${issuer}/auth`,
  token: `${issuer}/token`,
  account: `${api}/me`,
  revocation: `${issuer}/token/revocation`,
}

/** A certified server that is described by what an operator says of it, or by its name alone. */
async function scene(provider: 'oauth2' | 'openid') {
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
  const key = await appKey('ES256')
  // RFC 6749 2.3.1 has Basic encoded first, which servers without metadata seldom know; the form is the same for all.
  const method = provider === 'oauth2' ? 'client_secret_post' : 'client_secret_basic'
  await server.open({
    redirectUris: [`${house.url}/v1/oauth/callback/${provider}`],
    clients: [
      {
        client_id: 'atom',
        client_secret: clientSecret,
        grant_types: grants,
        token_endpoint_auth_method: method,
      },
    ],
    asserting: { atom: key.known },
  })
  const ada = await house.person('admin')
  const configure = (settings: object, entry: object = {}) =>
    ada.call('PUT', `/v1/providers/${provider}/app`, {
      json: { clientId: 'atom', clientSecret, settings: { ...settings, authentication: method }, ...entry },
    })
  const connect = (wish: object, person = ada) =>
    person.call('POST', '/v1/connections', { json: { provider, ...wish } })
  const asked = () => server.requests('/token').map((form) => form.get('grant_type'))
  return {
    ...{ server, house, clock, key, ada, configure, connect, asked },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

test('[CN173] a server without metadata offers the ways to connect that its operator says, and no other is tried', async () => {
  await using it = await scene('oauth2')
  const flows = async (settings: object) => (await it.configure({ ...addresses, ...settings })).body.flows
  assert.deepEqual(await flows({}), ['authorization_code'])
  for (const flow of ['device_code', 'client_credentials', 'token_exchange', 'jwt_bearer', 'api_key']) {
    const credential = { token: foreignToken, tokenType: 'urn:ietf:params:oauth:token-type:jwt' }
    const given = {
      token_exchange: { credential },
      jwt_bearer: { credential: { subject: 'ada' } },
      api_key: { credential: { key: 'a-key-of-adas' } },
    }[flow]
    const refused = await it.connect({ flow, ...given })
    assert.equal(refused.body.code, 'provider_not_configured', `${flow}: ${refused.text}`)
  }
  assert.deepEqual(it.server.seen, [])
  assert.deepEqual(
    await flows({ device: `${issuer}/device/auth`, grants: 'client_credentials,token_exchange' }),
    ['authorization_code', 'device_code', 'token_exchange', 'client_credentials'],
  )
  for (const grants of ['password', 'client_credentials,', 'api_key api_key', 'implicit'])
    assert.equal((await it.configure({ ...addresses, grants })).body.errors[0].pointer, '/settings/grants')
  for (const keyheader of ['cookie', 'host', 'Authorization', 'content-length', 'x y', 'proxy-authorization'])
    assert.equal(
      (await it.configure({ ...addresses, keyheader })).body.errors[0].pointer,
      '/settings/keyheader',
    )
})

test('[CN173] at such a server: by device code, in the app’s own name, by another token and by an assertion, each renewed and ended', async () => {
  await using it = await scene('oauth2')
  const settings = {
    ...addresses,
    device: `${issuer}/device/auth`,
    grants: 'client_credentials,jwt_bearer,token_exchange',
  }
  const entered = await it.configure(settings, {
    privateKey: JSON.stringify(it.key.own),
    scopes: ['profile'],
  })
  assert.equal(entered.status, 200, entered.text)
  const { flowId, device } = (await it.connect({ flow: 'device_code' })).body
  await it.server.enter(device.verificationUri, device.userCode)
  const flow = async () => (await it.ada.call('GET', `/v1/connections/flows/${flowId}`)).body
  await until(async () => (await flow()).status !== 'pending')
  const byDevice = (await it.ada.call('GET', `/v1/connections/${(await flow()).connectionId}`)).body
  assert.deepEqual([byDevice.flow, byDevice.identity.id], ['device_code', 'api.example.test ada'])

  const member = await it.house.person('member', it.ada.principal.workspaceId)
  const tokenType = 'urn:ietf:params:oauth:token-type:jwt'
  const wishes = [
    ['client_credentials', {}, 'as.example.test app atom'],
    ['token_exchange', { credential: { token: foreignToken, tokenType } }, 'api.example.test ada'],
    ['jwt_bearer', { credential: { subject: 'grace' } }, 'api.example.test grace'],
  ] as const
  for (const [name, wish, id] of wishes) {
    const begun = await it.connect({ flow: name, ...wish })
    assert.equal(begun.status, 201, begun.text)
    const { connection } = begun.body
    assert.deepEqual([connection.flow, connection.identity.id], [name, id])
    const path = `/v1/connections/${connection.id}`
    it.clock.pass(2 * 3600_000)
    assert.equal((await it.ada.call('POST', `${path}/refresh`)).status, 200, name)
    const grant = it.asked().slice(-2)
    assert.ok(
      (grant[0] === grant[1] && grant[0]?.endsWith(name.replace('_', '-'))) || name === 'client_credentials',
      name,
    )
    assert.equal((await it.ada.call('DELETE', path)).body.revocation, 'revoked', name)
  }
  // Whoever has the app's own key sign, or its secret, could name anybody.
  for (const wish of [
    { flow: 'client_credentials' },
    { flow: 'jwt_bearer', credential: { subject: 'grace' } },
  ])
    assert.equal((await it.connect(wish, member)).body.code, 'forbidden')
  const own = JSON.stringify((await appKey('RS256')).own)
  const credential = { subject: 'grace', issuer: 'atom', privateKey: own }
  const stranger = await it.connect({ flow: 'jwt_bearer', credential }, member)
  assert.match(stranger.body.detail, /invalid_grant/)
})

test('[CN173] at such a server: a key of one’s own, in the header that its operator says, told by its account', async () => {
  await using it = await scene('oauth2')
  const key = 'a-key-of-adas-0123456789'
  const sent: (string | undefined)[] = []
  it.server.answers.set('/me', (response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":7,"name":"Ada"}')
  })
  it.server.answers.set('/things', (response) => {
    sent.push(response.req.headers['x-api-key'] as string | undefined)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ key }))
  })
  await it.configure({ ...addresses, grants: 'api_key', keyheader: 'x-api-key' })
  const begun = await it.connect({ flow: 'api_key', credential: { key } })
  assert.equal(begun.status, 201, begun.text)
  const { connection } = begun.body
  assert.deepEqual([connection.identity.id, connection.status], ['api.example.test 7', 'active'])
  const path = `/v1/connections/${connection.id}`
  const called = await it.ada.call('GET', `${path}/proxy/things`)
  assert.deepEqual([called.status, sent], [200, [key]])
  assert.ok(!called.text.includes(key))
  assert.equal((await it.ada.call('POST', `${path}/refresh`)).status, 200)
  assert.equal((await it.ada.call('DELETE', path)).body.revocation, 'unsupported')
})

test('[CN174] a server that publishes what it offers: by an assertion as well; what it says that it does not take is not told to it', async () => {
  await using it = await scene('openid')
  await it.configure({ issuer, api }, { privateKey: JSON.stringify(it.key.own) })
  const begun = await it.connect({ flow: 'jwt_bearer', credential: { subject: 'grace' } })
  assert.equal(begun.status, 201, begun.text)
  const { connection } = begun.body
  assert.deepEqual([connection.flow, connection.identity.id], ['jwt_bearer', `${issuer}.grace`])
  it.clock.pass(2 * 3600_000)
  assert.equal((await it.ada.call('POST', `/v1/connections/${connection.id}/refresh`)).status, 200)
  // The secret proves the app, as the operator said, and the key signs the assertion alone.
  assert.ok(it.server.requests('/token').every((form) => form.get('client_assertion') === null))
  it.server.metadata = (document) => ({ ...document, grant_types_supported: ['authorization_code'] })
  it.clock.pass(61 * 60_000)
  const before = it.server.requests('/token').length
  for (const wish of [
    { flow: 'jwt_bearer', credential: { subject: 'grace' } },
    {
      flow: 'token_exchange',
      credential: { token: foreignToken, tokenType: 'urn:ietf:params:oauth:token-type:jwt' },
    },
    { flow: 'client_credentials' },
    { flow: 'device_code' },
  ]) {
    const refused = await it.connect(wish)
    assert.deepEqual(
      [refused.body.code, /does not offer/.test(refused.body.detail)],
      ['provider_refused', true],
      refused.text,
    )
  }
  assert.equal(it.server.requests('/token').length, before)
})
