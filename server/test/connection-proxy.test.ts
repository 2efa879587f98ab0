import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { Connection } from '@atom/contract/connections.ts'
import { type ConnectionHouse, connected, openHouse, type Person } from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

interface Scene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly house: ConnectionHouse
  readonly ada: Person
  readonly connection: Connection
  readonly proxy: string
}

async function scene(provider: 'github' | 'google' = 'github'): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  loopback.workAsGoogle()
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({ database: database.database, sandbox: loopback, reach: [loopback.url] }),
  )
  const ada = await house.person()
  const browser = ada.browser()
  const url = await browser.connect(provider)
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', url.searchParams.get('nonce') ?? 'code-1')
  const connection = await connected(ada, await browser.open(back))
  return {
    provider: loopback,
    house,
    ada,
    connection,
    proxy: `/v1/connections/${connection.id}/proxy`,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

const token = 'github-access-token-1'

test('[CN20] a proxied request reaches the provider with its credential and none of the caller’s, and what it says comes back', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/repos/o/r/issues', ({ body }) => ({
    status: 201,
    headers: { 'x-ratelimit-remaining': '42', 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({ got: body }),
  }))
  const reply = await it.ada.call('POST', `${it.proxy}/repos/o/r/issues?a=1&b=%2F`, {
    json: { title: 'Hello' },
    headers: {
      cookie: 'session=mine',
      'proxy-authorization': 'Basic abc',
      'x-forwarded-for': '10.0.0.1',
      'x-http-method-override': 'DELETE',
      'x-api-key': 'mine',
      referer: 'http://127.0.0.1/secret',
      'idempotency-key': 'k-1',
      'x-custom': 'yes',
    },
  })
  assert.equal(reply.status, 201)
  assert.deepEqual(reply.body, { got: '{"title":"Hello"}' })
  assert.equal(reply.headers.get('x-ratelimit-remaining'), '42')
  const [seen] = it.provider.requests('api.github.com', '/repos/o/r/issues')
  assert.equal(seen?.path, '/repos/o/r/issues?a=1&b=%2F')
  assert.equal(seen?.headers.authorization, `Bearer ${token}`)
  assert.equal(seen?.headers['x-custom'], 'yes')
  assert.equal(seen?.headers['idempotency-key'], 'k-1')
  assert.equal(seen?.headers.accept, 'application/vnd.github+json')
  assert.equal(seen?.headers['user-agent'], 'Atom')
  assert.equal(seen?.headers['x-github-api-version'], '2022-11-28')
  for (const name of [
    'cookie',
    'proxy-authorization',
    'x-forwarded-for',
    'x-http-method-override',
    'x-api-key',
    'referer',
  ]) {
    assert.equal(seen?.headers[name], undefined, name)
  }
})

test('[CN21] no credential, cookie or order to a browser comes back in the head of an answer', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/leaky', () => ({
    headers: {
      'set-cookie': ['sid=1', 'token=2'],
      authorization: `Bearer ${token}`,
      'www-authenticate': 'Basic realm="x"',
      'x-echo': `you sent ${token}`,
      'access-control-allow-origin': '*',
      'clear-site-data': '"*"',
      refresh: '0; url=https://evil.example',
      'content-security-policy': "default-src *; script-src 'unsafe-inline'",
      'content-type': 'text/html',
      link: '<https://api.github.com/x?page=2>; rel="next"',
    },
    body: '<script>alert(1)</script>',
  }))
  const { headers } = await it.ada.call('GET', `${it.proxy}/leaky`)
  for (const name of [
    'set-cookie',
    'authorization',
    'www-authenticate',
    'x-echo',
    'access-control-allow-origin',
    'clear-site-data',
    'refresh',
  ]) {
    assert.equal(headers.get(name), null, name)
  }
  assert.match(headers.get('content-security-policy') ?? '', /^sandbox; default-src 'none'/)
  assert.equal(headers.get('x-content-type-options'), 'nosniff')
  assert.equal(headers.get('link'), `<${it.house.url}${it.proxy}/x?page=2>; rel="next"`)
})

test('[CN20] a target outside the provider’s API is proxy_target_refused at the door, and nothing is sent anywhere', async () => {
  await using it = await scene()
  const before = it.provider.seen.length
  for (const path of [
    '//evil.example/x',
    '/https://evil.example/x',
    '/%2e%2e/%2e%2e/x',
    '/repos/..%2f..%2f..%2fx',
    '/evil.example/x',
    '/%5cevil.example',
    '/x%00y',
  ]) {
    const reply = await it.ada.call('GET', `${it.proxy}${path}`)
    assert.equal(reply.body?.code, 'proxy_target_refused', path)
    assert.equal(reply.status, 400)
  }
  assert.equal(it.provider.seen.length, before)
})

test('[CN22] only its owner uses a connection: not another member, not another workspace, not an agent acting for another', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/user', () => ({ body: { id: 4711, login: 'octo-ada', name: null } }))
  const colleague = await it.house.person('owner', it.ada.principal.workspaceId)
  const stranger = await it.house.person()
  for (const person of [colleague, stranger]) {
    const reply = await person.call('GET', `${it.proxy}/user`)
    assert.equal(reply.status, 404)
    assert.equal(reply.body.code, 'not_found')
  }
  assert.equal((await it.house.call('GET', `${it.proxy}/user`)).body.code, 'unauthenticated')
  const agent = {
    kind: 'agent',
    id: colleague.principal.id,
    workspaceId: it.ada.principal.workspaceId,
    name: 'Atom',
  } as const
  const ask = (onBehalfOf: string) =>
    it.house.room.proxy.request({ ...agent, onBehalfOf }, it.connection.id, { method: 'GET', path: '/user' })
  await assert.rejects(ask(colleague.principal.id), { code: 'not_found' })
  assert.equal((await ask(it.ada.principal.id)).status, 200)
  assert.equal((await it.ada.call('GET', '/v1/connections/none/proxy/user')).body.code, 'not_found')
})

test('[CN23] a redirect within the provider is followed; one that leads off it is handed over without ever being dialled', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/repos/old/name', () => ({
    status: 301,
    headers: { location: `${it.provider.url}/api.github.com/repositories/1?x=1` },
  }))
  it.provider.on('api.github.com', '/repositories/1', () => ({ body: { id: 1 } }))
  assert.deepEqual((await it.ada.call('GET', `${it.proxy}/repos/old/name`)).body, { id: 1 })
  assert.equal(
    it.provider.requests('api.github.com', '/repositories/1')[0]?.headers.authorization,
    `Bearer ${token}`,
  )
  for (const location of [
    `${it.provider.url}/github.com/archive`,
    'https://codeload.example/archive',
    'http://169.254.169.254/latest',
  ]) {
    it.provider.on('api.github.com', '/tarball', () => ({ status: 302, headers: { location } }))
    const reply = await it.ada.call('GET', `${it.proxy}/tarball`)
    assert.equal(reply.status, 302)
    assert.equal(reply.headers.get('location'), location)
  }
  assert.equal(it.provider.requests('github.com', '/archive').length, 0)
  // A write is not repeated elsewhere unless the provider says that it is the same request.
  assert.equal((await it.ada.call('DELETE', `${it.proxy}/repos/old/name`)).status, 301)
  it.provider.on('api.github.com', '/repos/old/name', () => ({
    status: 308,
    headers: { location: '/api.github.com/repositories/1' },
  }))
  assert.equal((await it.ada.call('PATCH', `${it.proxy}/repos/old/name`, { json: { a: 1 } })).status, 200)
  assert.equal(it.provider.requests('api.github.com', '/repositories/1').at(-1)?.body, '{"a":1}')
})

test('[CN24] a rejected token is renewed once and the request sent once more with its body', async () => {
  await using it = await scene('google')
  const write = '/calendar/v3/calendars/primary/events'
  it.provider.on('www.googleapis.com', write, ({ headers, body }) =>
    headers.authorization === 'Bearer google-access-token-1'
      ? { status: 401, body: { error: 'stale' } }
      : { body: { got: body } },
  )
  const reply = await it.ada.call('POST', `${it.proxy}${write}`, { json: { summary: 'Lunch' } })
  assert.equal(reply.status, 200)
  assert.deepEqual(reply.body, { got: '{"summary":"Lunch"}' })
  assert.equal(it.provider.requests('www.googleapis.com', write).length, 2)
})

test('[CN24] a 401 that is not about the token is the caller’s, after one look and no loop', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/secret', () => ({
    status: 401,
    body: { message: 'Requires authentication' },
  }))
  const reply = await it.ada.call('GET', `${it.proxy}/secret`)
  assert.equal(reply.status, 401)
  assert.deepEqual(reply.body, { message: 'Requires authentication' })
  assert.equal(it.provider.requests('api.github.com', '/secret').length, 1)
  assert.equal((await it.ada.call('GET', `/v1/connections/${it.connection.id}`)).body.status, 'active')
})

test('[CN24] a grant withdrawn at the provider turns the next call into connection_needs_reconnect', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/user', () => ({ status: 401, body: { message: 'Bad credentials' } }))
  const reply = await it.ada.call('GET', `${it.proxy}/user`)
  assert.equal(reply.status, 409)
  assert.equal(reply.body.code, 'connection_needs_reconnect')
  assert.match(reply.body.detail, /revoked there/)
})

test('[CN25] bodies stream both ways: the first bytes arrive before the last are sent', async () => {
  await using it = await scene()
  const release = Promise.withResolvers<void>()
  it.provider.on('api.github.com', '/stream', async (_seen, { response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    await release.promise
    response.end('data: 2\n\n')
    return undefined
  })
  const answer = await fetch(`${it.house.url}${it.proxy}/stream`, {
    headers: { authorization: `Bearer ${it.ada.token}` },
  })
  assert.ok(answer.body)
  const reader = answer.body.getReader()
  const decoder = new TextDecoder()
  assert.equal(decoder.decode((await reader.read()).value), 'data: 1\n\n')
  release.resolve()
  assert.equal(decoder.decode((await reader.read()).value), 'data: 2\n\n')
  assert.equal((await reader.read()).done, true)
})

test('[CN25] a body of ten mebibytes passes, a longer one is payload_too_large, with or without its length', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/upload', ({ body }) => ({ body: { length: body.length } }))
  const limit = 10 * 1024 * 1024
  const passed = await it.ada.call('PUT', `${it.proxy}/upload`, {
    body: Buffer.alloc(limit, 'a'),
    headers: { 'content-type': 'application/octet-stream' },
  })
  assert.deepEqual(passed.body, { length: limit })
  const long = await it.ada.call('PUT', `${it.proxy}/upload`, {
    body: Buffer.alloc(limit + 1, 'a'),
    headers: { 'content-type': 'application/octet-stream' },
  })
  assert.equal(long.status, 413)
  assert.equal(long.body.code, 'payload_too_large')
  async function* pieces() {
    for (let sent = 0; sent <= limit; sent += 65_536) yield Buffer.alloc(65_536, 'b')
  }
  const chunked = await it.ada.call('PUT', `${it.proxy}/upload`, {
    body: Readable.from(pieces()),
    headers: { 'content-type': 'application/octet-stream' },
  })
  assert.equal(chunked.status, 413)
  assert.equal(chunked.body.code, 'payload_too_large')
  assert.equal(it.provider.requests('api.github.com', '/upload').length, 1)
})

test('[CN25] when the caller goes away the provider’s answer is not read any further', async () => {
  await using it = await scene()
  let closed = false
  it.provider.on('api.github.com', '/endless', async (_seen, { response }) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    response.on('close', () => {
      closed = true
    })
    const more = () => {
      while (!closed && response.write(Buffer.alloc(65_536)));
      if (!closed) response.once('drain', more)
    }
    more()
    return undefined
  })
  const gone = new AbortController()
  const answer = await fetch(`${it.house.url}${it.proxy}/endless`, {
    headers: { authorization: `Bearer ${it.ada.token}` },
    signal: gone.signal,
  })
  await answer.body?.getReader().read()
  gone.abort()
  await until(() => closed)
})

test('[CN26] a provider that cannot be reached is provider_unavailable; what it answers by itself is passed on, errors included', async () => {
  await using it = await scene()
  it.provider.on('api.github.com', '/cut', (_seen, { request }) => {
    request.socket.destroy()
    return undefined
  })
  const cut = await it.ada.call('GET', `${it.proxy}/cut`)
  assert.equal(cut.status, 503)
  assert.equal(cut.body.code, 'provider_unavailable')
  it.provider.on('api.github.com', '/limited', () => ({
    status: 429,
    headers: { 'retry-after': '17', 'x-ratelimit-reset': '1' },
    body: { message: 'slow down' },
  }))
  const limited = await it.ada.call('GET', `${it.proxy}/limited`)
  assert.equal(limited.status, 429)
  assert.equal(limited.headers.get('retry-after'), '17')
  assert.deepEqual(limited.body, { message: 'slow down' })
})

test('[CN26] the use of a connection is noted', async () => {
  await using it = await scene()
  assert.equal(it.connection.lastUsedAt, null)
  await it.ada.call('GET', `${it.proxy}/user`)
  await until(
    async () => (await it.ada.call('GET', `/v1/connections/${it.connection.id}`)).body.lastUsedAt !== null,
  )
})
