import assert from 'node:assert/strict'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { createLog } from '#foundation/log.ts'
import { networkOf } from '#foundation/network-address.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import type { RateLimits } from '#foundation/rate-limit/rate-limit.ts'
import { RedisRateLimits } from '#foundation/rate-limit/redis-rate-limit.ts'
import { Callers } from '#http/callers.ts'
import { Edge } from '#http/edge.ts'
import { Health } from '#http/health.ts'
import { healthDoors } from '#http/health-doors.ts'
import { knockAt, LoadShedding } from '#http/load-shedding.ts'
import { PolicyLimits } from '#http/policy-limits.ts'
import { Readiness } from '#http/readiness.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from '#http/server.ts'
import { metricsDoor } from '#operations/metrics-door.ts'
import { assertProblem, call } from './support/calls.ts'
import { testLog } from './support/log.ts'
import { TestRedis } from './support/redis.ts'
import { until } from './support/until.ts'

interface Doorstep extends AsyncDisposable {
  readonly http: HttpServer
  readonly url: string
  readonly limits: PolicyLimits
  readonly shedding: LoadShedding
  readonly failures: Failures
  readonly lines: string[]
}

/** A server with nothing behind it but what a test registers. */
async function doorstep(
  register: (http: HttpServer) => void,
  options: { readonly http?: Partial<HttpServerOptions>; readonly store?: RateLimits } = {},
): Promise<Doorstep> {
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => void lines.push(line) })
  const failures = new Failures()
  const http = createHttpServer({ log, failures, closeMs: 2_000, ...options.http })
  const limits = new PolicyLimits(options.store ?? new MemoryRateLimits())
  const shedding = new LoadShedding({ log: testLog, utilisation: () => 1, knock: async () => 1_000 })
  shedding[Symbol.dispose]()
  http.protect(new Edge({ limits, callers: new Callers(), shedding }))
  register(http)
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  http.takeTraffic()
  return {
    ...{ http, url, limits, shedding, failures, lines },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  }
}

/** A stranger's connection that says what the test wants and closes nothing by itself. */
function stranger(url: string, bytes: string): { readonly socket: Socket; readonly said: () => string } {
  const { hostname, port } = new URL(url)
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  let said = ''
  socket.on('data', (chunk: Buffer) => {
    said += chunk
  })
  socket.on('error', () => undefined)
  socket.write(bytes, 'latin1')
  return { socket, said: () => said }
}

const left = (limits: PolicyLimits) =>
  Math.round(1_000 * (1 - (limits.of('address').busiest(1)[0]?.used ?? 0)))

/** A thousand points that do not come back while a test runs. */
function scarce(limits: PolicyLimits): void {
  limits.of('address').change({ burst: 1_000, everyUs: 3_600_000_000 })
}

test('[ER150] what HTTP lets a server pass over is passed over, and is a request like any other', async () => {
  await using it = await doorstep((http) =>
    http.get('/hello', async (_request, reply) => reply.send({ hello: true })),
  )
  scarce(it.limits)
  // As if sockets were served here.
  it.http.node.on('upgrade', (_request, socket) => socket.destroy())
  const offers: Readonly<Record<string, string>> = {
    'an expectation nobody knows': 'Expect: nonsense\r\n',
    'HTTP/2, as Java and curl offer it':
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n',
    'a protocol nobody knows': 'Connection: Upgrade\r\nUpgrade: nonsense/7\r\n',
  }
  for (const [name, fields] of Object.entries(offers)) {
    const before = left(it.limits)
    const asked = stranger(it.url, `GET /hello HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)
    await until(() => asked.said().endsWith('{"hello":true}'))
    assert.match(asked.said(), /^HTTP\/1\.1 200 OK\r\n/, name)
    assert.match(asked.said(), /x-content-type-options: nosniff/i, name)
    assert.equal(before - left(it.limits), 1, name)
    asked.socket.destroy()
  }
  // With a body, too, and the connection goes on.
  const body = stranger(
    it.url,
    'POST /hello HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}',
  )
  await until(() => /^HTTP\/1\.1 405 .*"method_not_allowed".*}$/s.test(body.said()))
  body.socket.write('GET /hello HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => body.said().endsWith('{"hello":true}'))
  body.socket.destroy()
})

test('[ER151] nothing is written into an answer that has begun; the connection is cut instead', async () => {
  await using it = await doorstep((http) =>
    http.get('/endless', async (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/plain' })
      reply.raw.write('the beginning of an answer')
      return reply
    }),
  )
  const reader = stranger(it.url, 'GET /endless HTTP/1.1\r\nHost: a\r\n\r\n')
  await until(() => reader.said().includes('the beginning'))
  reader.socket.write('this is no request\r\n\r\n')
  await until(() => it.http.connections.open.size === 0)
  assert.equal(reader.said().match(/HTTP\/1\.1/g)?.length, 1, reader.said())
  reader.socket.destroy()
})

test('[ER152] who sends nonsense and stays is told, counted among the errors, and cut off', async () => {
  await using it = await doorstep(() => undefined, {
    http: { headersTimeoutMs: 60_000, requestTimeoutMs: 60_000 },
  })
  const visitor = stranger(it.url, 'this is no request\r\n\r\n')
  await until(() => visitor.said().includes('malformed_request'))
  await until(() => it.http.connections.open.size === 0)
  const [group] = it.failures.take()
  assert.deepEqual([group?.place, group?.code, group?.count], ['unreadable', 'malformed_request', 1])
  visitor.socket.destroy()
})

test('[ER153] the line of a failed request has what was thrown and its causes, and nothing that a client has hung onto them', async () => {
  const cause = Object.assign(new Error('the provider said no'), {
    code: 'E_REFUSED',
    requestBody: { messages: ['what a person wrote'] },
    responseHeaders: { 'x-served-for': 'somebody' },
  })
  const thrown: unknown[] = [
    new Error('it failed', { cause }),
    new AtomError('provider_unavailable', undefined, { cause }),
  ]
  await using it = await doorstep((http) =>
    http.get('/fails', async () => {
      throw thrown.shift()
    }),
  )
  for (let at = thrown.length; at > 0; at--) await call(it.url, 'GET', '/fails')
  const lines = it.lines.filter((line) => line.includes('"failure"'))
  assert.equal(lines.length, 2)
  for (const line of lines) {
    assert.match(line, /the provider said no.*E_REFUSED/)
    assert.doesNotMatch(line, /what a person wrote|somebody/)
  }
  assert.match(lines[0] ?? '', /it failed/)
})

test('[ER154] every 503 says when to come back', async () => {
  const health = new Health({
    log: testLog,
    checks: [{ name: 'database', required: true, check: () => Promise.reject(new Error('away')) }],
  })
  await using it = await doorstep((http) =>
    healthDoors(http, {
      health,
      readiness: new Readiness({ phase: () => http.phase, health }),
      mayKnow: async () => false,
      about: { node: 'here', version: '0', startedAt: new Date() },
    }),
  )
  await health.start()
  using _health = health
  for (const path of ['/health', '/ready']) {
    const answer = await call(it.url, 'GET', path)
    assert.equal(answer.status, 503)
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/, path)
  }
})

test('[RL25] tokens that open nothing are as dear at `/metrics` and `/health` as anywhere', async () => {
  const health = new Health({ log: testLog, checks: [] })
  await using it = await doorstep((http) => {
    metricsDoor(http, {
      text: async () => '',
      tokens: { verify: () => Promise.reject(new AtomError('unauthenticated')) },
      scraperToken: undefined,
    })
    healthDoors(http, {
      health,
      readiness: new Readiness({ phase: () => http.phase, health }),
      mayKnow: async () => false,
      about: { node: 'here', version: '0', startedAt: new Date() },
    })
  })
  scarce(it.limits)
  const cost = async (path: string, token?: string) => {
    const before = left(it.limits)
    await call(it.url, 'GET', path, token === undefined ? {} : { token })
    return before - left(it.limits)
  }
  assert.equal(await cost('/health'), 1)
  assert.equal(await cost('/health', 'a-guess'), 21)
  assert.equal(await cost('/metrics', 'a-guess'), 21)
})

test('[RL26] an address is the same with the port that some proxies write beside it', async () => {
  assert.equal(networkOf('192.0.2.1:4711'), '192.0.2.1')
  assert.equal(networkOf('[2001:db8:1:2::9]:4711'), networkOf('2001:db8:1:2::9'))
  assert.equal(networkOf('[2001:db8:1:2::9]'), networkOf('2001:db8:1:2::9'))
  const callers = new Callers()
  const expiresAt = new Date(Date.now() + 60_000)
  callers.rule([{ verdict: 'block', network: '192.0.2.0/24', accountId: null, expiresAt }])
  for (const address of ['192.0.2.7', '192.0.2.7:1', '::ffff:192.0.2.7', '[::ffff:192.0.2.7]:1'])
    assert.equal(callers.of(address).standing, 'blocked', address)
  await using it = await doorstep((http) => http.get('/hello', async (_request, reply) => reply.send({})), {
    http: { trustedProxies: ['127.0.0.1'] },
  })
  scarce(it.limits)
  for (let port = 1; port <= 5; port++)
    await call(it.url, 'GET', '/hello', { headers: { 'x-forwarded-for': `198.51.100.4:${port}` } })
  assert.deepEqual(
    it.limits
      .of('address')
      .busiest(10)
      .map(({ subject }) => subject),
    ['198.51.100.4'],
  )
})

test('[RL27] in Redis, too, a limit that was made wider holds from the next request on', async () => {
  await using redis = await TestRedis.started()
  await using store = await RedisRateLimits.open({ url: redis.url, log: testLog, patienceMs: 20_000 })
  const limit = store.limit('test', { burst: 1, everyUs: 3_600_000_000 })
  assert.equal((await limit.take('a')).admitted, true)
  assert.equal((await limit.take('a')).admitted, false)
  assert.equal((await limit.take('a')).admitted, false)
  limit.change({ burst: 100, everyUs: 1 })
  assert.equal(
    (await limit.take('a')).admitted,
    false,
    'what was used stays used, as long as the new burst is long',
  )
  await delay(1)
  await until(async () => (await limit.take('a')).admitted)
})

test('[RL28] where nodes count together, too, who has nothing left is refused at an address that cannot be read', async () => {
  await using redis = await TestRedis.started()
  await using store = await RedisRateLimits.open({ url: redis.url, log: testLog, patienceMs: 20_000 })
  await using it = await doorstep(() => undefined, { store })
  it.limits.of('address').change({ burst: 10, everyUs: 3_600_000_000 })
  const answers = []
  for (let at = 0; at < 4; at++) answers.push(await call(it.url, 'GET', '/%zz'))
  assert.deepEqual(
    answers.map(({ status }) => status),
    [400, 400, 429, 429],
  )
  for (const answer of answers.slice(2)) assertProblem(answer, 'rate_limited')
})

test('[RL31] the fields of a refusal are those of the limit that refused, also where only one room asks it', async () => {
  await using it = await doorstep((http) =>
    http.get('/guess', async () => {
      throw new AtomError('rate_limited', undefined, { retryAfterMs: 29_500, policies: ['sign-in'] })
    }),
  )
  const { headers } = await call(it.url, 'GET', '/guess')
  assert.equal(headers.get('ratelimit'), '"sign-in";r=0;t=30')
  assert.equal(headers.get('ratelimit-policy'), '"sign-in";q=5;w=150')
  assert.equal(headers.get('retry-after'), '30')
})

test('[LS12] who is turned away for load is counted as a failure of this server, by route and code', async () => {
  await using it = await doorstep((http) => http.get('/hello', async (_request, reply) => reply.send({})))
  for (let tick = 0; tick < 30; tick++) {
    for (let request = 0; request < 2_000; request++) it.shedding.admits('people', () => 'the flood')
    it.shedding.tick()
    await Promise.resolve()
  }
  let turnedAway = 0
  for (let asked = 0; asked < 20; asked++)
    if ((await call(it.url, 'GET', '/hello')).status === 503) turnedAway++
  assert.ok(turnedAway >= 17, `${turnedAway}`)
  await until(() => [...it.http.traffic.counts()].every(({ inFlight }) => inFlight === 0))
  const [counts] = [...it.http.traffic.counts()].filter(({ route }) => route === '/hello')
  assert.deepEqual([counts?.failed, counts?.upstream], [turnedAway, 0])
  assert.equal(counts?.codes.get('busy')?.count, turnedAway)
  const groups = it.failures.take().map(({ code, place, count }) => [code, place, count])
  assert.deepEqual(groups, [['busy', 'GET /hello', turnedAway]])
  assert.ok(it.lines.every((line) => !line.includes('"status":503') || line.includes('"level":"debug"')))
})

test('[LS13] a knock that is closed without a word is over, and makes nobody believe in an overload', async () => {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const farewell = createServer((socket) => socket.end())
  await new Promise<void>((resolve) => farewell.listen(0, '127.0.0.1', resolve))
  const other = farewell.address()
  assert.ok(typeof other === 'object' && other !== null)
  for (const { port } of [address, other]) {
    const late = AbortSignal.timeout(10_000)
    const over = knockAt({ host: '127.0.0.1', port })
    await Promise.race([
      over,
      new Promise((_resolve, reject) => late.addEventListener('abort', () => reject(late.reason))),
    ])
  }
  server.close()
  farewell.close()
})
