import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import sql from 'sql-template-tag'
import { connected, openHouse, type Person } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { newCertificate } from './support/loopback-tls.ts'
import {
  api,
  foreignToken,
  issuer,
  mutualIssuer,
  OpenIdServer,
  tokenExchange,
} from './support/openid-server.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code'
const grants = ['authorization_code', 'refresh_token', 'client_credentials', deviceCode, tokenExchange]

/** One for all: what the process trusts is told apart by name, which they have in common. */
const own = newCertificate()
setDefaultCACertificates([...getCACertificates('default'), own.cert])

/** A certified server that listens by TLS, and Atom with an app there that is known by its certificate. */
async function scene() {
  const stack = new AsyncDisposableStack()
  const [app, other] = [newCertificate(), newCertificate()]
  const server = stack.use(await OpenIdServer.start({ ...own, ca: app.cert }))
  const database = stack.use(await testDatabase())
  const clock = new TestClock()
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: undefined,
      reach: [server.url, server.mutualUrl],
      detour: server.origins,
      clock,
    }),
  )
  const known = new X509Certificate(app.cert)
  const client = { grant_types: grants, tls_client_certificate_bound_access_tokens: true }
  await server.open({
    redirectUris: [`${house.url}/v1/oauth/callback/openid`, `${house.url}/v1/oauth/callback/oauth2`],
    clients: [
      {
        ...client,
        client_id: 'vouched',
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_san_ip: '127.0.0.1',
      },
      {
        ...client,
        client_id: 'self',
        token_endpoint_auth_method: 'self_signed_tls_client_auth',
        jwks: {
          keys: [
            { ...known.publicKey.export({ format: 'jwk' }), x5c: [known.raw.toString('base64')] },
          ] as never,
        },
      },
    ],
  })
  const ada = await house.person('owner')
  const configure = (
    clientId: string,
    { key, cert }: typeof app,
    authentication: string,
    person: Person = ada,
  ) =>
    person.call('PUT', '/v1/providers/openid/app', {
      json: { clientId, privateKey: `${key}${cert}`, settings: { issuer, api, authentication } },
    })
  const connect = (wish: object, person: Person = ada) =>
    person.call('POST', '/v1/connections', { json: { provider: 'openid', ...wish } })
  return {
    ...{ server, database, house, clock, ada, app, other, configure, connect },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

test('[CN170] an app proves itself by its certificate, made by itself or by another, at the addresses where the server asks for one', async () => {
  await using it = await scene()
  for (const [clientId, authentication] of [
    ['vouched', 'tls_client_auth'],
    ['self', 'self_signed_tls_client_auth'],
  ] as const) {
    const view = await it.configure(clientId, it.app, authentication)
    assert.equal(view.status, 200, view.text)
    it.server.certified.clear()
    const browser = it.ada.browser()
    const consent = await it.server.visit(await browser.connect('openid'))
    const connection = await connected(it.ada, await browser.open(consent))
    assert.deepEqual([connection.status, connection.identity.id], ['active', `${issuer}.ada`])
    const path = `/v1/connections/${connection.id}`
    assert.equal((await it.ada.call('POST', `${path}/refresh`)).status, 200)
    // The token is of use to whoever shows the certificate (RFC 8705 3), so the proxy shows it.
    const called = await it.ada.call('POST', `${path}/proxy/things`, { body: 'x' })
    assert.deepEqual([called.status, called.body.id], [200, 'ada'])
    assert.equal((await it.ada.call('DELETE', path)).body.revocation, 'revoked')
    // Whatever Atom asks itself goes where certificates are asked for; the browser goes where none is.
    assert.deepEqual(
      [...it.server.certified].sort(),
      ['/me', '/request', '/token', '/token/revocation', 'api/things'],
      clientId,
    )
  }
})

test('[CN170] by certificate too: a device code, the app’s own name and another token, each asked for anew when it ends', async () => {
  await using it = await scene()
  await it.configure('self', it.app, 'self_signed_tls_client_auth')
  const { flowId, device } = (await it.connect({ flow: 'device_code' })).body
  await it.server.enter(device.verificationUri, device.userCode)
  const flow = async () => (await it.ada.call('GET', `/v1/connections/flows/${flowId}`)).body
  await until(async () => (await flow()).status !== 'pending')
  assert.equal((await flow()).status, 'connected')
  const own = (await it.connect({ flow: 'client_credentials' })).body.connection
  const credential = { token: foreignToken, tokenType: 'urn:ietf:params:oauth:token-type:jwt' }
  const exchanged = (await it.connect({ flow: 'token_exchange', credential })).body.connection
  it.clock.pass(2 * 3600_000)
  for (const { id } of [own, exchanged])
    assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  assert.ok(it.server.certified.has('/device/auth') && it.server.certified.has('/token'))
})

test('[CN171] a bound token is of no use without its certificate, and no connection to the outside is shared between two of them', async () => {
  await using it = await scene()
  await it.configure('self', it.app, 'self_signed_tls_client_auth')
  const answers: Record<string, unknown>[] = []
  it.server.tokens = (answer) => {
    answers.push(answer)
    return answer
  }
  const browser = it.ada.browser()
  const consent = await it.server.visit(await browser.connect('openid'))
  const connection = await connected(it.ada, await browser.open(consent))
  assert.equal((await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/x`)).status, 200)
  const token = String(answers[0]?.['access_token'])
  const stolen = await fetch(`${it.server.mutualUrl}/api/x`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(stolen.status, 401)
  // Elsewhere the same client is entered with another's certificate, while connections with the right one are open.
  const mallory = await it.house.person('owner')
  await it.configure('self', it.other, 'self_signed_tls_client_auth', mallory)
  const refused = await it.connect({ flow: 'client_credentials' }, mallory)
  assert.equal(refused.body.code, 'provider_misconfigured', refused.text)
  const still = await it.ada.call('POST', `/v1/connections/${connection.id}/refresh`)
  assert.equal(still.status, 200)
})

test('[CN171] a certificate is entered below its key, sealed with it, never shown, and its end is foreseen', async () => {
  await using it = await scene()
  const method = 'tls_client_auth'
  const wrong: readonly [string, typeof it.app][] = [
    ['none', { ...it.app, cert: '' }],
    ['of another key', { ...it.app, cert: it.other.cert }],
    ['none that can be read', { ...it.app, cert: it.app.cert.replace(/\n.{40}/, `\n${'A'.repeat(40)}`) }],
  ]
  for (const [name, entry] of wrong) {
    const reply = await it.configure('vouched', entry, method)
    assert.deepEqual([reply.status, reply.body.errors?.[0]?.pointer], [400, '/privateKey'], name)
  }
  const before = await it.ada.call('PUT', '/v1/providers/openid/app', {
    json: {
      clientId: 'vouched',
      privateKey: `${it.app.cert}${it.app.key}`,
      settings: { issuer, authentication: method },
    },
  })
  assert.equal(before.status, 200, before.text)
  assert.equal(before.body.appFacts.clientSecretExpiresAt, '2049-01-01T00:00:00.000Z')
  const [row] = await it.database.database.query<{ private_key: Buffer }>(
    sql`select private_key from provider_apps`,
  )
  const der = it.app.cert.split('\n').slice(1, -2).join('')
  assert.ok(row !== undefined && !row.private_key.includes(der.slice(0, 60)))
  assert.ok(![...it.house.answers, ...it.house.lines].some((line) => line.includes(der.slice(0, 60))))
})

test('[CN172] with a certificate too, what a server says of itself leads to public https addresses only', async () => {
  await using it = await scene()
  const lead = async (token: string) => {
    it.server.metadata = (document) => ({ ...document, mtls_endpoint_aliases: { token_endpoint: token } })
    const ada = await it.house.person('owner')
    await it.configure('self', it.app, 'self_signed_tls_client_auth', ada)
    it.clock.pass(61 * 60_000)
    return (await it.connect({ flow: 'client_credentials' }, ada)).body
  }
  assert.equal((await lead('http://as.example.test/token')).code, 'provider_misconfigured')
  assert.equal((await lead('https://user:pass@as.example.test/token')).code, 'provider_misconfigured')
  for (const inner of ['https://127.0.0.1/token', 'https://169.254.169.254/token', 'https://[::1]/token']) {
    assert.equal((await lead(inner)).code, 'provider_misconfigured', inner)
  }
  assert.equal((await lead(`${mutualIssuer}/token`)).connection?.status, 'active')
})
