import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openHouse } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { api, foreignToken, issuer, OpenIdServer, tokenExchange } from './support/openid-server.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code'
const clientSecret = 'a_client-secret.with~marks/and+0123456789'

/** A certified server, at which Atom is known for `grants`. */
async function scene(grants: readonly string[]) {
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
  const redirectUris = [`${house.url}/v1/oauth/callback/openid`]
  const client = { client_id: 'atom', client_secret: clientSecret, grant_types: [...grants] }
  await server.open({ redirectUris, clients: [client] })
  const ada = await house.person('admin')
  const settings = { issuer, api: `${api}/v1` }
  const entry = { json: { clientId: 'atom', clientSecret, settings } }
  assert.equal((await ada.call('PUT', '/v1/providers/openid/app', entry)).status, 200)
  const connect = (wish: object) =>
    ada.call('POST', '/v1/connections', { json: { provider: 'openid', ...wish } })
  return { server, clock, ada, connect, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

test('[CN156] a certified server: by device code, found in what it says of itself, with an id_token that is verified and a refresh', async () => {
  await using it = await scene([deviceCode, 'refresh_token', 'authorization_code'])
  const begun = await it.connect({ flow: 'device_code' })
  assert.equal(begun.status, 201, begun.text)
  const { flowId, device } = begun.body
  assert.ok(device.verificationUri.startsWith(`${issuer}/`))
  const flow = async () => (await it.ada.call('GET', `/v1/connections/flows/${flowId}`)).body
  await it.server.enter(device.verificationUri, device.userCode)
  await until(async () => (await flow()).status !== 'pending')
  const { status, connectionId } = await flow()
  assert.equal(status, 'connected')
  const path = `/v1/connections/${connectionId}`
  const connection = (await it.ada.call('GET', path)).body
  assert.deepEqual([connection.flow, connection.identity.id], ['device_code', `${issuer}.ada`])
  const asked = it.server.requests('/token').map((form) => form.get('grant_type'))
  assert.ok(asked.length > 0 && asked.every((grant) => grant === deviceCode))
  const called = await it.ada.call('GET', `${path}/proxy/things`)
  assert.deepEqual([called.status, called.body.id], [200, 'ada'])
})

test('[CN157] a certified server: in the app’s own name, and a token for another’s; each is asked for anew when it ends', async () => {
  await using it = await scene(['client_credentials', tokenExchange, 'authorization_code'])
  const begun = await it.connect({ flow: 'client_credentials' })
  assert.equal(begun.status, 201, begun.text)
  const own = begun.body.connection
  assert.deepEqual([own.status, own.identity.id, own.scopes], ['active', `${issuer}.atom`, []])
  const jwt = 'urn:ietf:params:oauth:token-type:jwt'
  const exchange = (token: string) =>
    it.connect({ flow: 'token_exchange', credential: { token, tokenType: jwt } })
  const answer = await exchange(foreignToken)
  assert.equal(answer.status, 201, answer.text)
  const { connection } = answer.body
  assert.deepEqual([connection.flow, connection.identity.name], ['token_exchange', 'Ada Lovelace'])
  const refused = await exchange('a-token-of-nobody')
  assert.deepEqual([refused.body.code, /invalid_grant/.test(refused.body.detail)], ['provider_refused', true])
  it.clock.pass(2 * 3600_000)
  assert.equal((await it.ada.call('POST', `/v1/connections/${own.id}/refresh`)).status, 200)
  const called = await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/things`)
  assert.deepEqual([called.status, called.body.id], [200, 'ada'])
  const grants = it.server.requests('/token').map((form) => form.get('grant_type'))
  const [app, token] = ['client_credentials', tokenExchange]
  assert.deepEqual(grants, [app, token, token, app, token])
  const receipt = (await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body
  assert.equal(receipt.revocation, 'revoked')
  const [ended] = it.server.requests('/token/revocation')
  // The token of somebody else is told to nobody any more, not even to be ended.
  assert.equal(ended?.get('token_type_hint'), 'access_token')
  assert.ok(!it.server.seen.some(({ path, body }) => path !== '/token' && body.includes(foreignToken)))
})
