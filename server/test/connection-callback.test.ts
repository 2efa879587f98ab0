import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import {
  type Browser,
  type ConnectionHouse,
  connected,
  newKeyring,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { appKey } from './support/openid-server.ts'
import { testDatabase } from './support/postgres.ts'
import { tenant, workAsMicrosoft } from './support/provider-wires.ts'

interface Scene extends AsyncDisposable {
  readonly loopback: LoopbackProvider
  readonly house: ConnectionHouse
  /** Another process of the same installation, at another address. */
  readonly moved: ConnectionHouse
  readonly ada: Person
}

async function scene({ sandbox = true } = {}): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  const { database } = stack.use(await testDatabase())
  const options = {
    database,
    sandbox: sandbox ? loopback : undefined,
    reach: [loopback.url],
    keyring: newKeyring(),
    ...(!sandbox && { detour: loopback.origins }),
  }
  const house = stack.use(await openHouse(options))
  const moved = stack.use(await openHouse(options))
  const ada = await house.person()
  return { loopback, house, moved, ada, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

function back(authorizeUrl: URL, code = 'code-1'): URL {
  const url = new URL(authorizeUrl.searchParams.get('redirect_uri') ?? '')
  url.searchParams.set('state', authorizeUrl.searchParams.get('state') ?? '')
  url.searchParams.set('code', authorizeUrl.searchParams.get('nonce') ?? code)
  return url
}

async function connect(person: Person, browser: Browser, provider: string, wish: object = {}) {
  const url = await browser.connect(provider, wish)
  return { url, connection: await connected(person, await browser.open(back(url))) }
}

test('[CN112] whoever signed out before the callback comes has connected nothing, and the code is not spent', async () => {
  await using it = await scene()
  const browser = it.ada.browser()
  const url = await browser.connect('github')
  const page = await browser.connect('github')
  await it.house.signOut(it.ada)
  const reply = await browser.open(back(url), { page: false })
  assert.deepEqual([reply.status, reply.body.code], [403, 'flow_signed_out'])
  const sent = await browser.open(back(page))
  assert.equal(sent.headers.get('location'), '/connections?problem=flow_signed_out&provider=github')
  assert.deepEqual(it.loopback.requests('github.com', '/login/oauth/access_token'), [])
  // Who signs in again begins again.
  const again = await it.house.visited({
    ...it.ada,
    principal: { ...it.ada.principal, sessionId: crypto.randomUUID() },
  } as Person)
  await connect(again, again.browser(), 'github')
})

test('[CN113] an answer at another address than the one that was sent is flow_invalid, and the code is not spent', async () => {
  await using it = await scene()
  const browser = it.ada.browser()
  const url = await browser.connect('github')
  const elsewhere = (await it.moved.visited(it.ada)).browser()
  for (const [name, cookie] of browser.cookies) elsewhere.cookies.set(name, cookie)
  const address = back(url)
  const reply = await elsewhere.open(address.pathname + address.search, { page: false })
  assert.deepEqual([reply.status, reply.body.code], [400, 'flow_invalid'])
  assert.match(reply.body.detail, /address of this server has changed/)
  assert.deepEqual(it.loopback.requests('github.com', '/login/oauth/access_token'), [])
  await connected(it.ada, await browser.open(address))
})

test('[CN114] with a key, a Microsoft app sends an assertion and no secret, as Entra wants it', async () => {
  await using it = await scene({ sandbox: false })
  workAsMicrosoft(it.loopback)
  const key = await appKey('RS256')
  const entered = { ...key.own, kid: undefined, 'x5t#S256': 'a-certificate-thumbprint' }
  const app = { clientId: it.loopback.apps.microsoft.clientId, privateKey: JSON.stringify(entered) }
  const view = await it.ada.call('PUT', '/v1/providers/microsoft/app', { json: app })
  assert.equal(view.status, 200, view.text)
  const { connection } = await connect(it.ada, it.ada.browser(), 'microsoft')
  assert.equal((await it.ada.call('POST', `/v1/connections/${connection.id}/refresh`)).status, 200)
  const sent = [
    ...it.loopback.requests('login.microsoftonline.com', '/common/oauth2/v2.0/token'),
    ...it.loopback.requests('login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`),
  ].map(({ body }) => new URLSearchParams(body))
  assert.equal(sent.length, 2)
  for (const [n, at] of ['common', tenant].entries()) {
    const assertion = sent[n]?.get('client_assertion') ?? ''
    assert.equal(sent[n]?.has('client_secret'), false)
    assert.equal(decodeJwt(assertion).aud, `https://login.microsoftonline.com/${at}/oauth2/v2.0/token`)
    assert.equal(decodeProtectedHeader(assertion)['x5t#S256'], 'a-certificate-thumbprint')
  }
})

test('[CN111] Figma: Basic, refreshes at an address of their own, errors of the API’s form, no way to end the access', async () => {
  await using it = await scene()
  const { clientId, clientSecret } = it.loopback.apps.figma
  const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  let turn = 1
  let failure: object | undefined
  it.loopback.on('api.figma.com', '/v1/oauth/token', ({ headers, body }) =>
    headers.authorization === basic && new URLSearchParams(body).has('code_verifier')
      ? {
          body: {
            user_id_string: '42',
            access_token: 'figu_1',
            token_type: 'bearer',
            expires_in: 7_776_000,
            refresh_token: 'figur_1',
          },
        }
      : { status: 400, body: { error: true, status: 400, message: 'Invalid client' } },
  )
  it.loopback.on('api.figma.com', '/v1/oauth/refresh', ({ headers, body }) => {
    if (failure !== undefined) return { status: 400, body: failure }
    const fits =
      headers.authorization === basic && new URLSearchParams(body).get('refresh_token') === 'figur_1'
    turn += 1
    return fits
      ? { body: { access_token: `figu_${turn}`, token_type: 'bearer', expires_in: 7_776_000 } }
      : { status: 400, body: { error: true, status: 400, message: 'no' } }
  })
  it.loopback.on('api.figma.com', '/v1/me', ({ headers }) =>
    headers.authorization === `Bearer figu_${turn}`
      ? { body: { id: '42', handle: 'Ada Lovelace', email: 'ada@example.org', img_url: '' } }
      : { status: 403, body: {} },
  )
  const { url, connection } = await connect(it.ada, it.ada.browser(), 'figma')
  assert.equal(
    url.searchParams.get('scope'),
    'current_user:read file_content:read file_comments:read file_comments:write',
  )
  assert.deepEqual(
    [connection.status, connection.identity.id, connection.identity.name],
    ['active', '42', 'Ada Lovelace'],
  )
  const refresh = () => it.ada.call('POST', `/v1/connections/${connection.id}/refresh`)
  for (let n = 0; n < 2; n++) assert.equal((await refresh()).status, 200)
  assert.equal((await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/v1/me`)).status, 200)
  failure = { error: true, status: 400, message: 'Client authentication failed' }
  assert.equal((await refresh()).body.code, 'provider_misconfigured')
  failure = { error: true, status: 400, message: 'Invalid refresh token' }
  assert.equal((await refresh()).body.code, 'connection_needs_reconnect')
  const receipt = (await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body
  assert.deepEqual([receipt.revocation, /figma\.com\/settings/.test(receipt.detail)], ['unsupported', true])
})

test('[CN111] Zendesk: the person names the subdomain; pairs rotate; the token in hand is what is revoked', async () => {
  await using it = await scene()
  const { clientSecret } = it.loopback.apps.zendesk
  let turn = 0
  it.loopback.on('acme.zendesk.com', '/oauth/tokens', ({ body }) => {
    const sent = new URLSearchParams(body)
    if (sent.get('client_secret') !== clientSecret) return { status: 401, body: { error: 'invalid_client' } }
    const first = sent.get('grant_type') === 'authorization_code'
    if (!first && sent.get('refresh_token') !== `zr-${turn}`)
      return { status: 400, body: { error: 'invalid_grant' } }
    turn += 1
    return {
      body: {
        access_token: `zt-${turn}`,
        refresh_token: `zr-${turn}`,
        token_type: 'bearer',
        scope: 'read write',
        expires_in: 1800,
        refresh_token_expires_in: 7_776_000,
      },
    }
  })
  const own = (headers: { authorization?: string | undefined }) =>
    headers.authorization === `Bearer zt-${turn}`
  it.loopback.on('acme.zendesk.com', '/api/v2/users/me.json', ({ headers }) => ({
    body: {
      user: own(headers)
        ? { id: 7, name: 'Ada Lovelace', email: 'ada@example.org', photo: null }
        : { id: null, name: 'Anonymous user' },
    },
  }))
  it.loopback.on('acme.zendesk.com', '/api/v2/oauth/tokens/current.json', ({ method, headers }) => ({
    status: method === 'DELETE' && own(headers) ? 204 : 404,
  }))
  for (const particulars of [
    undefined,
    { subdomain: 'evil.example/' },
    { subdomain: 'a.b' },
    { subdomain: '' },
  ]) {
    const reply = await it.ada.call('POST', '/v1/connections', { json: { provider: 'zendesk', particulars } })
    assert.equal(reply.body.code, 'validation_failed', JSON.stringify(particulars))
  }
  const wish = { particulars: { subdomain: 'acme' } }
  const { url, connection } = await connect(it.ada, it.ada.browser(), 'zendesk', wish)
  assert.equal(url.pathname, '/acme.zendesk.com/oauth/authorizations/new')
  assert.deepEqual(
    [connection.status, connection.identity.id, connection.identity.name],
    ['active', 'acme.7', 'Ada Lovelace'],
  )
  for (let n = 0; n < 2; n++)
    assert.equal((await it.ada.call('POST', `/v1/connections/${connection.id}/refresh`)).status, 200)
  const me = await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/users/me.json`)
  assert.equal(me.body.user.id, 7)
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
})
