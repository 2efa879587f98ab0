import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { type JWK, SignJWT } from 'jose'
import sql from 'sql-template-tag'
import { catalog } from '#providers/catalog.ts'
import {
  type Browser,
  type ConnectionHouse,
  connected,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'

interface Scene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  readonly browser: Browser
  /** Lets time pass for the house. */
  pass(ms: number): void
}

async function scene({ sandbox = true } = {}): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const provider = stack.use(await LoopbackProvider.start())
  provider.workAsGitHub()
  provider.workAsGoogle()
  const database = stack.use(await testDatabase())
  let passed = 0
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: sandbox ? provider : undefined,
      reach: [provider.url],
      clock: { now: () => new Date(Date.now() + passed) },
    }),
  )
  const ada = await house.person()
  return {
    provider,
    database,
    house,
    ada,
    browser: ada.browser(),
    pass: (ms) => {
      passed += ms
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** The address a provider sends the browser back to after consent; the code carries the nonce, as the loopback Google needs it. */
function back(authorizeUrl: URL, changes: Readonly<Record<string, string | undefined>> = {}): URL {
  const asked = authorizeUrl.searchParams
  const url = new URL(asked.get('redirect_uri') ?? '')
  const query = { state: asked.get('state') ?? '', code: asked.get('nonce') ?? 'code-1', ...changes }
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) url.searchParams.set(name, value)
  return url
}

/** A problem must look the same to a program and, as a redirect, to a person. */
async function problemOf(browser: Browser, url: URL): Promise<{ code: string; status: number }> {
  const reply = await browser.open(url, { page: false })
  assert.equal(reply.headers.get('content-type'), 'application/problem+json')
  return { code: reply.body.code, status: reply.status }
}

test('[CN1] a person connects GitHub by the code flow with PKCE and gets an active connection with name and picture', async () => {
  await using it = await scene()
  const url = await it.browser.connect('github')
  assert.equal(`${url.origin}${url.pathname}`, `${it.provider.url}/github.com/login/oauth/authorize`)
  const asked = (name: string) => url.searchParams.get(name)
  assert.equal(asked('response_type'), 'code')
  assert.equal(asked('client_id'), it.provider.apps.github.clientId)
  assert.equal(asked('redirect_uri'), `${it.house.url}/v1/oauth/callback/github`)
  assert.equal(asked('scope'), 'read:user user:email repo')
  assert.equal(asked('code_challenge_method'), 'S256')
  const reply = await it.browser.open(back(url, { iss: 'https://github.com/login/oauth' }))
  const connection = await connected(it.ada, reply)
  assert.equal(connection.status, 'active')
  assert.deepEqual(connection.identity, {
    id: '4711',
    name: 'Ada Lovelace',
    handle: 'octo-ada',
    email: 'ada@example.org',
    avatarUrl: 'data:image/png;base64,iVBORw0KGgo=',
  })
  assert.deepEqual(connection.scopes, ['read:user', 'repo', 'user:email'])
  assert.equal(connection.expiresAt, null)
  assert.equal(connection.sandbox, true)
  const [sent] = it.provider.requests('github.com', '/login/oauth/access_token')
  const form = new URLSearchParams(sent?.body)
  const verifier = form.get('code_verifier') ?? ''
  assert.equal(createHash('sha256').update(verifier).digest('base64url'), asked('code_challenge'))
  assert.equal(form.get('redirect_uri'), asked('redirect_uri'))
  assert.equal(form.get('client_secret'), it.provider.apps.github.clientSecret)
})

test('[CN1] a person connects Google, whose id_token is verified', async () => {
  await using it = await scene()
  const url = await it.browser.connect('google', { returnTo: '/rooms?x=1#here' })
  assert.equal(url.searchParams.get('access_type'), 'offline')
  assert.equal(url.searchParams.get('prompt'), 'consent')
  const reply = await it.browser.open(
    back(url, { iss: 'https://accounts.google.com', authuser: '0', scope: 'openid' }),
  )
  const connection = await connected(it.ada, reply)
  assert.equal(reply.headers.get('location'), `/rooms?x=1&connected=${connection.id}#here`)
  assert.equal(connection.identity.id, 'google-person-1')
  assert.equal(connection.identity.email, 'grace@example.org')
  assert.deepEqual(connection.missingScopes, [])
  assert.ok(Date.parse(connection.expiresAt ?? '') > Date.now() + 3_500_000)
})

test('[CN2] a state that Atom never made is flow_invalid, and so is none at all', async () => {
  await using it = await scene()
  const url = await it.browser.connect('github')
  assert.deepEqual(await problemOf(it.browser, back(url, { state: 'A'.repeat(43) })), {
    code: 'flow_invalid',
    status: 400,
  })
  const without = back(url)
  without.searchParams.delete('state')
  assert.deepEqual(await problemOf(it.browser, without), { code: 'flow_invalid', status: 400 })
  const page = await it.browser.open(back(url, { state: 'A'.repeat(43) }))
  assert.equal(page.headers.get('location'), '/connections?problem=flow_invalid&provider=github')
  assert.equal(it.provider.requests('github.com', '/login/oauth/access_token').length, 0)
})

test('[CN2] the answer to a flow of one provider is flow_invalid at the callback of another', async () => {
  await using it = await scene()
  const url = back(await it.browser.connect('github'))
  url.pathname = '/v1/oauth/callback/google'
  assert.deepEqual(await problemOf(it.browser, url), { code: 'flow_invalid', status: 400 })
  url.pathname = '/v1/oauth/callback/nobody'
  assert.deepEqual(await problemOf(it.browser, url), { code: 'provider_unknown', status: 404 })
})

test('[CN2] after ten minutes an answer is flow_expired', async () => {
  await using it = await scene()
  const url = await it.browser.connect('github')
  it.pass(10 * 60_000 + 1)
  assert.deepEqual(await problemOf(it.browser, back(url)), { code: 'flow_expired', status: 410 })
})

test('[CN2] of the same answer twice at once one connects and the other is flow_used; so is every later one', async () => {
  await using it = await scene()
  const address = back(await it.browser.connect('github'))
  const again = it.ada.browser()
  for (const [name, cookie] of it.browser.cookies) again.cookies.set(name, cookie)
  const third = it.ada.browser()
  for (const [name, cookie] of it.browser.cookies) third.cookies.set(name, cookie)
  const replies = await Promise.all([it.browser.open(address), again.open(address)])
  const places = replies.map(
    (reply) => new URL(reply.headers.get('location') ?? '', it.house.url).searchParams,
  )
  assert.equal(places.filter((place) => place.has('connected')).length, 1)
  assert.equal(places.filter((place) => place.get('problem') === 'flow_used').length, 1)
  assert.deepEqual(await problemOf(third, address), { code: 'flow_used', status: 409 })
  assert.equal(it.provider.requests('github.com', '/login/oauth/access_token').length, 1)
})

test('[CN2] in another browser an answer is flow_other_browser, and the right browser can still use it', async () => {
  await using it = await scene()
  const address = back(await it.browser.connect('github'))
  const eve = await it.house.person()
  const stranger = eve.browser()
  await stranger.connect('github')
  assert.deepEqual(await problemOf(stranger, address), { code: 'flow_other_browser', status: 403 })
  assert.equal(it.provider.requests('github.com', '/login/oauth/access_token').length, 0)
  await connected(it.ada, await it.browser.open(address))
})

test('[CN2] two tabs of one browser connect at the same time without disturbing each other', async () => {
  await using it = await scene()
  const first = await it.browser.connect('github')
  const second = await it.browser.connect('google')
  const third = await it.browser.connect('github')
  for (const url of [second, first, third]) await connected(it.ada, await it.browser.open(back(url)))
  assert.equal((await it.ada.call('GET', '/v1/connections')).body.items.length, 2)
  assert.equal(it.browser.cookies.size, 0)
})

test('[CN2] the cookie of a flow is HttpOnly, lax, and for the callback only', async () => {
  await using it = await scene()
  const reply = await it.ada.call('POST', '/v1/connections', { json: { provider: 'github' } })
  assert.match(
    reply.headers.get('set-cookie') ?? '',
    /^atom_flow_[0-9a-f]{16}=[\w-]{43}; Max-Age=600; Path=\/v1\/oauth; HttpOnly; SameSite=Lax$/,
  )
})

test('[CN3] consent denied is consent_denied, and nothing is connected', async () => {
  await using it = await scene()
  const denied = { code: undefined, error: 'access_denied', error_description: '<b>no</b>' }
  const page = await it.browser.open(
    without(back(await it.browser.connect('github', { returnTo: '/settings' }), denied)),
  )
  assert.equal(page.status, 303)
  assert.equal(page.headers.get('location'), '/settings?problem=consent_denied&provider=github')
  const program = without(back(await it.browser.connect('github'), denied))
  assert.deepEqual(await problemOf(it.browser, program), { code: 'consent_denied', status: 403 })
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN3] an app that the provider does not accept is provider_misconfigured, told at the callback or at the exchange', async () => {
  await using it = await scene()
  const mismatch = without(back(await it.browser.connect('github'), { error: 'redirect_uri_mismatch' }))
  assert.deepEqual(await problemOf(it.browser, mismatch), { code: 'provider_misconfigured', status: 502 })
  // GitHub answers errors with 200.
  it.provider.on('github.com', '/login/oauth/access_token', () => ({
    body: {
      error: 'incorrect_client_credentials',
      error_description: 'The client_id and/or client_secret passed are incorrect.',
    },
  }))
  const github = back(await it.browser.connect('github'))
  assert.deepEqual(await problemOf(it.browser, github), { code: 'provider_misconfigured', status: 502 })
  it.provider.on('oauth2.googleapis.com', '/token', () => ({
    status: 401,
    body: { error: 'invalid_client' },
  }))
  const google = back(await it.browser.connect('google'))
  assert.deepEqual(await problemOf(it.browser, google), { code: 'provider_misconfigured', status: 502 })
})

test('[CN3] a code that the provider does not take is provider_refused and names its error', async () => {
  await using it = await scene()
  it.provider.on('github.com', '/login/oauth/access_token', () => ({
    body: { error: 'bad_verification_code' },
  }))
  const reply = await it.browser.open(back(await it.browser.connect('github')), { page: false })
  assert.equal(reply.body.code, 'provider_refused')
  assert.match(reply.body.detail, /bad_verification_code/)
})

test('[CN160] a token with a sign that no token has is provider_refused, whatever it would pass for', async () => {
  await using it = await scene()
  const source = JSON.stringify({ flow: 'client_credentials', scopes: [], values: {}, particulars: {} })
  for (const answer of [
    { refresh_token: `\u0001${source}` },
    { access_token: 'token\r\nx-injected: 1' },
    { access_token: 'tökén' },
  ]) {
    it.provider.workAsGoogle(() => answer)
    const reply = await it.browser.open(back(await it.browser.connect('google')), { page: false })
    assert.equal(reply.body.code, 'provider_refused', JSON.stringify(answer))
  }
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN3] a provider that is down during the exchange is provider_unavailable, and the next attempt works', async () => {
  await using it = await scene()
  for (const outage of [
    { status: 503, body: 'maintenance' },
    { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>captive portal</html>' },
    undefined,
  ]) {
    it.provider.on('github.com', '/login/oauth/access_token', (_seen, { request }) => {
      if (outage === undefined) request.socket.destroy()
      return outage
    })
    const page = await it.browser.open(back(await it.browser.connect('github')))
    assert.equal(page.headers.get('location'), '/connections?problem=provider_unavailable&provider=github')
    const program = back(await it.browser.connect('github'))
    assert.deepEqual(await problemOf(it.browser, program), { code: 'provider_unavailable', status: 503 })
  }
  it.provider.workAsGitHub()
  await connected(it.ada, await it.browser.open(back(await it.browser.connect('github'))))
})

test('[CN3] a provider that does not say whose account it is connects nothing', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/user', () => ({ body: { login: 'no id' } }))
  const refused = back(await it.browser.connect('github'))
  assert.deepEqual(await problemOf(it.browser, refused), { code: 'provider_refused', status: 502 })
  it.provider.on('api.github.com', '/user', () => ({ status: 502, body: {} }))
  const down = back(await it.browser.connect('github'))
  assert.deepEqual(await problemOf(it.browser, down), { code: 'provider_unavailable', status: 503 })
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN4] an answer that names another issuer is refused before the code is sent anywhere', async () => {
  await using it = await scene()
  const url = back(await it.browser.connect('github'), { iss: 'https://evil.example' })
  assert.deepEqual(await problemOf(it.browser, url), { code: 'provider_refused', status: 502 })
  assert.equal(it.provider.requests('github.com', '/login/oauth/access_token').length, 0)
})

test('[CN4] an id_token with a wrong signature, audience, issuer, nonce or time connects nothing', async () => {
  await using it = await scene()
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const past = Math.floor(Date.now() / 1000) - 3600
  const claims = (nonce: string) => ({
    nonce,
    sub: 'google-person-1',
    iss: 'https://accounts.google.com',
    aud: it.provider.apps.google.clientId,
    iat: past + 3600,
    exp: past + 7200,
  })
  const forgeries: Readonly<Record<string, (nonce: string) => Promise<string | undefined>>> = {
    'signed by a stranger': (nonce) =>
      new SignJWT(claims(nonce)).setProtectedHeader({ alg: 'RS256', kid: 'k1' }).sign(stranger),
    'not signed': async (nonce) =>
      `${[{ alg: 'none' }, claims(nonce)].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`,
    'by the client secret': (nonce) =>
      new SignJWT(claims(nonce))
        .setProtectedHeader({ alg: 'HS256' })
        .sign(Buffer.from(it.provider.apps.google.clientSecret)),
    'by a key that it brings along': async (nonce) => {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const jwk = { ...publicKey.export({ format: 'jwk' }) } as JWK
      return await new SignJWT(claims(nonce)).setProtectedHeader({ alg: 'RS256', jwk }).sign(privateKey)
    },
    'for several, and made for another': (nonce) =>
      it.provider.idToken({ nonce, aud: [it.provider.apps.google.clientId, 'other'], azp: 'other' }),
    'for several, and made for nobody': (nonce) =>
      it.provider.idToken({ nonce, aud: [it.provider.apps.google.clientId, 'other'] }),
    'without an end': (nonce) => it.provider.idToken({ nonce, exp: undefined as never }),
    'of the future': (nonce) => it.provider.idToken({ nonce, nbf: past + 2 * 3600 }),
    'for another app': (nonce) => it.provider.idToken({ nonce, aud: 'another-client' }),
    'of another issuer': (nonce) => it.provider.idToken({ nonce, iss: 'https://evil.example' }),
    'of another request': () => it.provider.idToken({ nonce: 'another' }),
    'without a nonce': () => it.provider.idToken({}),
    expired: (nonce) => it.provider.idToken({ nonce, iat: past - 60, exp: past }),
    absent: async () => undefined,
  }
  for (const [name, forge] of Object.entries(forgeries)) {
    const url = await it.browser.connect('google')
    it.provider.workAsGoogle(async () => ({ id_token: await forge(url.searchParams.get('nonce') ?? '') }))
    assert.deepEqual(await problemOf(it.browser, back(url)), { code: 'provider_refused', status: 502 }, name)
  }
  it.provider.workAsGoogle(async () => ({ sub: 'x' }))
  it.provider.on('openidconnect.googleapis.com', '/v1/userinfo', () => ({ body: { sub: 'somebody-else' } }))
  const other = back(await it.browser.connect('google'))
  assert.deepEqual(await problemOf(it.browser, other), { code: 'provider_refused', status: 502 })
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN5] returnTo leads to a path of this server and nowhere else', async () => {
  await using it = await scene()
  for (const returnTo of [
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/a/../..//evil.example',
    'javascript:alert(1)',
    'connections',
    '',
    '/\u0000',
  ]) {
    const reply = await it.ada.call('POST', '/v1/connections', { json: { provider: 'github', returnTo } })
    const expected = returnTo.includes('\u0000')
      ? ['return_to_refused', 'validation_failed']
      : ['return_to_refused']
    assert.ok(expected.includes(reply.body.code), `${JSON.stringify(returnTo)}: ${reply.body.code}`)
    assert.equal(reply.status, 400)
  }
})

test('[CN6] without an app or a sandbox connecting is provider_not_configured; an unknown provider is provider_unknown', async () => {
  await using it = await scene({ sandbox: false })
  const none = await it.ada.call('POST', '/v1/connections', { json: { provider: 'github' } })
  assert.equal(none.status, 409)
  assert.equal(none.body.code, 'provider_not_configured')
  const unknown = await it.ada.call('POST', '/v1/connections', { json: { provider: 'nobody' } })
  assert.equal(unknown.status, 404)
  assert.equal(unknown.body.code, 'provider_unknown')
  const listed = (await it.ada.call('GET', '/v1/providers')).body.items
  assert.deepEqual(
    listed.map((view: { id: string; app: string; sandboxAvailable: boolean }) => [
      view.id,
      view.app,
      view.sandboxAvailable,
    ]),
    // With an MCP server Atom registers itself.
    [...catalog.keys()].map((id) => [id, id === 'mcp' ? 'configured' : 'none', false]),
  )
})

test('[CN6] an operator enters an app; its secret is sealed, shown to nobody, and used at the real addresses', async () => {
  await using it = await scene()
  const clientSecret = 'a-very-secret-client-secret-42'
  const member = await it.house.person('member', it.ada.principal.workspaceId)
  const app = { clientId: 'Iv1.abc', clientSecret, scopes: ['repo'] }
  assert.equal((await member.call('PUT', '/v1/providers/github/app', { json: app })).body.code, 'forbidden')
  assert.equal(
    (await it.ada.call('PUT', '/v1/providers/nobody/app', { json: app })).body.code,
    'provider_unknown',
  )
  const view = await it.ada.call('PUT', '/v1/providers/github/app', { json: app })
  assert.equal(view.status, 200)
  assert.equal(view.body.app, 'configured')
  assert.equal(view.body.redirectUri, `${it.house.url}/v1/oauth/callback/github`)
  assert.deepEqual(
    view.body.scopes.map(({ scope }: { scope: string }) => scope),
    ['repo'],
  )
  const url = await member.browser().connect('github')
  assert.equal(`${url.origin}${url.pathname}`, 'https://github.com/login/oauth/authorize')
  assert.equal(url.searchParams.get('client_id'), 'Iv1.abc')
  const stored = await it.database.database.query<{ client_secret: Buffer }>(
    sql`select client_secret from provider_apps`,
  )
  assert.ok(!stored[0]?.client_secret.includes(clientSecret))
  assert.ok(![...it.house.answers, ...it.house.lines].some((text) => text.includes(clientSecret)))
  // Another workspace still has none of its own.
  const bob = await it.house.person()
  assert.equal((await bob.call('GET', '/v1/providers')).body.items[0].app, 'sandbox')
  assert.equal((await it.ada.call('DELETE', '/v1/providers/github/app')).status, 204)
  assert.equal((await it.ada.call('GET', '/v1/providers')).body.items[0].app, 'sandbox')
})

test('[CN7] a person who grants less than was asked has a degraded connection that names what is missing', async () => {
  await using it = await scene()
  it.provider.workAsGitHub(() => ({ scope: 'read:user' }))
  const connection = await connected(it.ada, await it.browser.open(back(await it.browser.connect('github'))))
  assert.equal(connection.status, 'degraded')
  assert.deepEqual(connection.missingScopes, ['user:email', 'repo'])
  assert.equal(connection.reason, 'GitHub was not allowed: user:email, repo.')
})

test('[CN7] connecting the same account again renews the same connection; of another person it is another one', async () => {
  await using it = await scene()
  const first = await connected(it.ada, await it.browser.open(back(await it.browser.connect('github'))))
  it.provider.on('api.github.com', '/user', () => ({ body: { id: 4711, login: 'renamed', name: null } }))
  const second = await connected(it.ada, await it.browser.open(back(await it.browser.connect('github'))))
  assert.equal(second.id, first.id)
  assert.equal(second.identity.name, 'renamed')
  const bob = await it.house.person('member', it.ada.principal.workspaceId)
  const bobs = bob.browser()
  const third = await connected(bob, await bobs.open(back(await bobs.connect('github'))))
  assert.notEqual(third.id, first.id)
  assert.equal((await it.ada.call('GET', '/v1/connections')).body.items.length, 1)
  for (const method of ['GET', 'DELETE']) {
    assert.equal((await it.ada.call(method, `/v1/connections/${third.id}`)).body.code, 'not_found')
  }
  assert.equal((await it.ada.call('POST', `/v1/connections/${third.id}/refresh`)).body.code, 'not_found')
})

test('[CN8] a picture that is missing, huge, or not a picture leaves the connection without one', async () => {
  await using it = await scene()
  for (const picture of [
    { status: 404 },
    { headers: { 'content-type': 'image/svg+xml' }, body: '<svg xmlns="http://www.w3.org/2000/svg"/>' },
    { headers: { 'content-type': 'text/html' }, body: '<script>alert(1)</script>' },
    { headers: { 'content-type': 'image/png' }, body: Buffer.alloc(128 * 1024 + 1) },
    { status: 302, headers: { location: 'http://169.254.169.254/' } },
  ]) {
    it.provider.on('github.com', '/ada.png', () => picture)
    const connection = await connected(
      it.ada,
      await it.browser.open(back(await it.browser.connect('github'))),
    )
    assert.equal(connection.identity.avatarUrl, undefined)
  }
})

test('[CN5] scopes that are no scopes are refused by name', async () => {
  await using it = await scene()
  const reply = await it.ada.call('POST', '/v1/connections', {
    json: { provider: 'github', scopes: ['repo', 'a b'] },
  })
  assert.equal(reply.body.code, 'validation_failed')
  assert.equal(reply.body.errors[0].pointer, '/scopes/1')
})

function without(url: URL): URL {
  url.searchParams.delete('code')
  return url
}

test('[CN7] connections are listed newest first, page by page, and only one’s own', async () => {
  await using it = await scene()
  const ids: string[] = []
  for (let n = 1; n <= 5; n++) {
    it.provider.on('api.github.com', '/user', () => ({ body: { id: n, login: `person-${n}`, name: null } }))
    ids.unshift((await connected(it.ada, await it.browser.open(back(await it.browser.connect('github'))))).id)
  }
  const seen: string[] = []
  let path = '/v1/connections?limit=2'
  for (let page = 1; page <= 3; page++) {
    const { items, next } = (await it.ada.call('GET', path)).body
    seen.push(...items.map(({ id }: { id: string }) => id))
    assert.equal(next === null, page === 3)
    path = `/v1/connections?limit=2&cursor=${next}`
  }
  assert.deepEqual(seen, ids)
  assert.equal((await it.ada.call('GET', '/v1/connections?cursor=x')).body.code, 'validation_failed')
  const bob = await it.house.person('owner', it.ada.principal.workspaceId)
  assert.deepEqual((await bob.call('GET', '/v1/connections')).body, { items: [], next: null })
  assert.equal(
    (await it.house.room.connections.ownedBy(it.ada.principal.workspaceId, it.ada.principal.id, 'github'))
      .length,
    5,
  )
  assert.equal(
    (await it.house.room.connections.ownedBy(it.ada.principal.workspaceId, it.ada.principal.id, 'google'))
      .length,
    0,
  )
})
