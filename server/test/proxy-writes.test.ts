import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { type WriteClaim, WriteStore } from '#connections/proxy/write-store.ts'
import { fingerprint, newId } from '#foundation/ids.ts'
import { AtomProcess } from './support/atom-process.ts'
import type { CallOptions, Person, Reply } from './support/connection-house.ts'
import { founder, TestClock } from './support/doors.ts'
import { emptyTestDatabase, urlOf } from './support/postgres.ts'
import { type ProxyScene, proxyScene } from './support/proxy-scene.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'
import { until } from './support/until.ts'

const path = '/repos/o/r/issues'

/** A write with a key; the same request unless said otherwise. */
function written(it: ProxyScene, key: string, options: CallOptions & { at?: string } = {}): Promise<Reply> {
  const { at = path, ...rest } = options
  return it.ada.call('POST', `${it.proxy}${at}`, {
    ...(rest.body === undefined && { json: { title: 'Once' } }),
    ...rest,
    headers: { 'idempotency-key': key, ...rest.headers },
  })
}

/** The provider makes an issue of every request that arrives. */
function making(it: ProxyScene): { count(): number } {
  let made = 0
  it.provider.on('api.github.com', path, () => ({
    status: 201,
    headers: { 'x-made': String(++made), etag: '"1"' },
    body: { number: made },
  }))
  return { count: () => made }
}

test('[CN223] the same key with the same request gives the first answer again, in every process, and the write happens once', async () => {
  await using it = await proxyScene()
  const made = making(it)
  const first = await written(it, 'k-1')
  assert.equal(first.status, 201)
  assert.equal(first.headers.get('idempotency-replayed'), null)
  const again = await written(it, 'k-1')
  const elsewhere = await (await it.elsewhere()).call('POST', `${it.proxy}${path}`, {
    json: { title: 'Once' },
    headers: { 'idempotency-key': 'k-1' },
  })
  for (const reply of [again, elsewhere]) {
    assert.equal(reply.status, 201)
    assert.deepEqual(reply.body, first.body)
    assert.equal(reply.headers.get('x-made'), '1')
    assert.equal(reply.headers.get('idempotency-replayed'), 'true')
    assert.match(reply.headers.get('content-security-policy') ?? '', /^sandbox/)
  }
  assert.equal(made.count(), 1)
  assert.deepEqual((await written(it, 'k-2')).body, { number: 2 })
})

test('[HE50] a clock that is set forward while the server runs makes it forget no write that must not happen twice and no capability', async () => {
  const clock = new TestClock()
  await using it = await proxyScene('github', { clock })
  const made = making(it)
  const lend = async (who: Person) => {
    const json = { methods: ['GET'], paths: ['/user'], expiresIn: 600 }
    const reply = await who.call('POST', `/v1/connections/${it.connection.id}/capabilities`, { json })
    assert.equal(reply.status, 201, reply.text)
    return reply.body.token as string
  }
  const days = 3 * 24 * 3_600_000
  const token = await lend(it.ada)
  clock.pass(days)
  await lend(await it.elsewhere())
  clock.pass(-days)
  assert.equal((await it.house.call('GET', `${it.proxy}/user`, { token })).status, 200)
  await written(it, 'k-1')
  // By the database's clock its time is over, and by the one that nobody sets it is not, until it is.
  await it.database.database.query(sql`update proxied_writes set expires_at = now() - interval '1 hour'`)
  const writesAfter = async (key: string, unsetMs: number) => {
    const unsetTime = () => new Date(Date.now() - unsetMs)
    const store = new WriteStore({ database: it.database.database, unsetTime })
    const [{ ...row } = assert.fail()] = await it.database.database.query<Omit<WriteClaim, 'keyHash'>>(sql`
      select workspace_id as "workspaceId", connection_id as "connectionId", caller_id as "callerId",
        request_hash as "requestHash", 60 as "senderSeconds", 60 as "keepSeconds" from proxied_writes`)
    await store.claim({ ...row, id: newId(), keyHash: fingerprint(key) })
    return (await it.database.database.query(sql`select from proxied_writes`)).length
  }
  assert.equal(await writesAfter('k-2', 2 * 3_600_000), 2)
  assert.equal(await writesAfter('k-3', 0), 2)
  assert.equal(made.count(), 1)
})

test('[CN223] the answer is kept sealed', async () => {
  await using it = await proxyScene()
  const secret = randomBytes(12).toString('hex')
  it.provider.on('api.github.com', path, () => ({ status: 201, body: { secret } }))
  assert.equal((await written(it, 'k-1')).body.secret, secret)
  const [row] = await it.database.database.query<{ sealed: Buffer }>(sql`select sealed from kept_answers`)
  assert.ok(row)
  assert.ok(
    !row.sealed.includes(secret) && !row.sealed.includes(Buffer.from(secret).toString('base64').slice(2, -4)),
  )
  assert.equal((await written(it, 'k-1')).body.secret, secret)
})

test('[CN223] the same key with another request is idempotency_conflict, whatever differs', async () => {
  await using it = await proxyScene()
  const made = making(it)
  await written(it, 'k-1')
  for (const other of [
    { json: { title: 'Twice' } },
    { at: `${path}?x=1` },
    { body: '{"title":"Once"}', headers: { 'content-type': 'text/plain' } },
    { body: '' },
  ]) {
    const reply = await written(it, 'k-1', other)
    assert.equal(reply.status, 409, JSON.stringify(other))
    assert.equal(reply.body.code, 'idempotency_conflict')
  }
  assert.equal(made.count(), 1)
})

test('[CN223] a key says nothing to another caller, not even to one who was lent the connection', async () => {
  await using it = await proxyScene()
  const made = making(it)
  await written(it, 'k-1')
  const { body } = await it.ada.call('POST', `/v1/connections/${it.connection.id}/capabilities`, {
    json: { methods: ['POST'], paths: ['/repos/**'], expiresIn: 60 },
  })
  const lent = await written(it, 'k-1', { token: body.token })
  assert.deepEqual(lent.body, { number: 2 })
  assert.equal(made.count(), 2)
})

test('[CN224] of many with the same key at once one goes, and the others hear that it is under way', async () => {
  await using it = await proxyScene()
  const arrived = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  let made = 0
  it.provider.on('api.github.com', path, async () => {
    made++
    arrived.resolve()
    await release.promise
    return { status: 201, body: { number: made } }
  })
  const first = written(it, 'k-1')
  await arrived.promise
  const others = await Promise.all(Array.from({ length: 10 }, () => written(it, 'k-1')))
  for (const other of others) {
    assert.equal(other.status, 409)
    assert.equal(other.body.code, 'write_under_way')
    assert.equal(other.body.retryable, true)
  }
  release.resolve()
  assert.deepEqual((await first).body, { number: 1 })
  assert.deepEqual((await written(it, 'k-1')).body, { number: 1 })
  assert.equal(made, 1)
})

test('[CN224] its caller going away does not end a write; the answer is there when they come back', async () => {
  await using it = await proxyScene()
  const arrived = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  it.provider.on('api.github.com', path, async () => {
    arrived.resolve()
    await release.promise
    return { status: 201, body: { number: 1 } }
  })
  const gone = new AbortController()
  const call = fetch(`${it.house.url}${it.proxy}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${it.ada.token}`,
      'content-type': 'application/json',
      'idempotency-key': 'k-1',
    },
    body: '{"title":"Once"}',
    signal: gone.signal,
  })
  await arrived.promise
  gone.abort()
  await assert.rejects(call)
  release.resolve()
  await until(async () => (await written(it, 'k-1')).status === 201)
  assert.equal(it.provider.requests('api.github.com', path).length, 1)
})

test('[CN224] a write whose answer is lost is said to be unknown, and is not sent again', async () => {
  await using it = await proxyScene()
  it.provider.on('api.github.com', path, (_seen, { request }) => {
    request.socket.destroy()
    return undefined
  })
  assert.equal((await written(it, 'k-1')).body.code, 'provider_unavailable')
  it.provider.on('api.github.com', '/repos/o/half/issues', (_seen, { response }) => {
    response.writeHead(201, { 'content-type': 'application/json', 'content-length': '100' })
    response.write('{"half":', () => response.destroy())
    return undefined
  })
  const half = '/repos/o/half/issues'
  assert.equal((await written(it, 'k-2', { at: half })).body.code, 'provider_unavailable')
  for (const again of [await written(it, 'k-1'), await written(it, 'k-2', { at: half })]) {
    assert.equal(again.status, 409)
    assert.equal(again.body.code, 'write_outcome_unknown')
    assert.equal(again.body.retryable, false)
  }
  assert.equal(it.provider.requests('api.github.com', path).length, 1)
  assert.equal(it.provider.requests('api.github.com', half).length, 1)
})

test('[CN224] where surely nothing happened, the same key goes again: too many requests, a target refused, a renewed token', async () => {
  await using it = await proxyScene('google')
  const event = '/calendar/v3/calendars/primary/events'
  let calls = 0
  it.provider.on('www.googleapis.com', event, ({ headers }) => {
    if (headers.authorization === 'Bearer google-access-token-1') return { status: 401, body: {} }
    return ++calls === 1
      ? { status: 429, headers: { 'retry-after': '1' }, body: {} }
      : { status: 200, body: { calls } }
  })
  assert.equal((await written(it, 'k-1', { at: event })).status, 429)
  assert.deepEqual((await written(it, 'k-1', { at: event })).body, { calls: 2 })
  assert.deepEqual((await written(it, 'k-1', { at: event })).body, { calls: 2 })
  assert.equal((await written(it, 'k-2', { at: '/evil.example/x' })).body.code, 'proxy_target_refused')
  assert.deepEqual((await written(it, 'k-2', { at: event })).body, { calls: 3 })
})

test('[CN224] a refusal of the credential that comes with status 200 gives the key back as well', async () => {
  await using it = await proxyScene('slack')
  const post = '/api/chat.postMessage'
  let calls = 0
  it.provider.on('slack.com', post, () =>
    ++calls <= 2 ? { body: { ok: false, error: 'token_expired' } } : { body: { ok: true, calls } },
  )
  it.provider.on('slack.com', '/api/oauth.v2.access', () => ({ status: 503, body: {} }))
  assert.notEqual((await written(it, 'k-1', { at: '/chat.postMessage' })).body.ok, true)
  calls = 2
  assert.equal((await written(it, 'k-1', { at: '/chat.postMessage' })).body.ok, true)
})

test('[CN224] what the provider answered with an error is its answer too', async () => {
  await using it = await proxyScene()
  let calls = 0
  it.provider.on('api.github.com', path, () => ({ status: 500, body: { calls: ++calls } }))
  for (let round = 0; round < 2; round++) {
    const reply = await written(it, 'k-1')
    assert.equal(reply.status, 500)
    assert.deepEqual(reply.body, { calls: 1 })
  }
})

test('[CN225] limits: an answer beyond 256 KiB is not kept and says so, a body beyond 1 MiB and a strange key are refused', async () => {
  await using it = await proxyScene()
  for (const [length, code] of [
    [256 * 1024, undefined],
    [256 * 1024 + 1, 'write_answer_not_kept'],
  ] as const) {
    it.provider.on('api.github.com', path, () => ({
      status: 201,
      headers: { 'content-type': 'text/plain' },
      body: 'a'.repeat(length),
    }))
    assert.equal((await written(it, `k-${length}`)).text.length, length)
    const again = await written(it, `k-${length}`)
    assert.equal(again.body?.code, code)
    assert.equal(again.status, code === undefined ? 201 : 409)
    if (code !== undefined) assert.match(again.body.detail, /answered 201/)
  }
  const sent = it.provider.requests('api.github.com', path).length
  assert.equal(sent, 2)
  const body = Readable.from([Buffer.alloc(1024 * 1024 + 1, 'b')])
  assert.equal((await written(it, 'k-long', { body })).body.code, 'payload_too_large')
  for (const key of ['k'.repeat(256), 'k k', '']) {
    assert.equal((await written(it, key)).body.code, 'validation_failed', key)
  }
  assert.equal((await written(it, 'k'.repeat(255))).status, 201)
  // Reads have no use for one.
  for (let round = 0; round < 2; round++) {
    await it.ada.call('GET', `${it.proxy}/user`, { headers: { 'idempotency-key': 'k-read' } })
  }
  assert.equal(it.provider.requests('api.github.com', '/user').length, 3)
})

test('[CN225] kill -9 between sending and the answer: the next process says under way, then unknown, and never sends again', async () => {
  await using database = await emptyTestDatabase()
  await using atom = await AtomProcess.started({
    DATABASE_URL: urlOf(database.connection),
    ATOM_SANDBOX: '1',
    ATOM_SETUP_TOKEN: founder.token,
  })
  const call = async (
    method: string,
    at: string,
    options: { token?: string; body?: object; headers?: Readonly<Record<string, string>> } = {},
  ) => {
    const answer = await fetch(new URL(at, atom.url), {
      method,
      redirect: 'manual',
      headers: {
        ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
        ...(options.body !== undefined && { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    })
    const text = await answer.text()
    return {
      status: answer.status,
      headers: answer.headers,
      body: text === '' ? undefined : JSON.parse(text),
    }
  }
  const { accessToken: token } = (await call('POST', '/v1/setup', { body: founder })).body
  const begun = await call('POST', '/v1/connections', { token, body: { provider: 'github' } })
  const authorize = new URL(begun.body.authorizeUrl)
  const back = await visitSandbox(authorize, { person: 'ada', decision: 'agree' })
  const cookie = begun.headers
    .getSetCookie()
    .map((line) => line.split(';', 1)[0])
    .join('; ')
  const done = await call('GET', `${back.pathname}${back.search}`, {
    headers: { cookie, accept: 'text/html' },
  })
  const id = new URL(done.headers.get('location') ?? '', atom.url).searchParams.get('connected')
  const write = () =>
    call('POST', `/v1/connections/${id}/proxy/repos/atom-labs/app/issues`, {
      token,
      body: { title: 'Once and never again' },
      headers: { 'idempotency-key': 'k-1' },
    })
  const control = `${authorize.origin}/_control`
  const arrivals = async () => {
    const query = new URLSearchParams({ method: 'POST', path: '/github/api/repos/atom-labs/app/issues' })
    const { items } = (await (await fetch(`${control}/requests?${query}`)).json()) as { items: object[] }
    return items.length
  }
  await fetch(`${control}/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      path: '/github/api/repos/atom-labs/app/issues',
      method: 'POST',
      delayMs: 600_000,
    }),
  })
  const cut = assert.rejects(write())
  await until(async () => (await arrivals()) === 1)
  await atom.kill()
  await cut
  await atom.start()
  assert.equal((await write()).body.code, 'write_under_way')
  // As if the time that a sender has were over.
  await database.database.query(sql`update proxied_writes set sender_until = now() - interval '1 second'`)
  for (let round = 0; round < 2; round++) {
    const reply = await write()
    assert.equal(reply.status, 409)
    assert.equal(reply.body.code, 'write_outcome_unknown')
  }
  const listed = await call('GET', `/v1/connections/${id}/proxy/repos/atom-labs/app/issues?per_page=100`, {
    token,
  })
  assert.ok(!JSON.stringify(listed.body).includes('Once and never again'))
})
