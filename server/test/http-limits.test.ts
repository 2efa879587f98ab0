import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { test } from 'node:test'
import { limitPolicies } from '@atom/contract/limits.ts'
import { type Route, route } from '@atom/contract/route.ts'
import { parseList } from 'structured-headers'
import { Type } from 'typebox'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { RedisRateLimits } from '#foundation/rate-limit/redis-rate-limit.ts'
import { PolicyLimits } from '#http/policy-limits.ts'
import { assertProblem, call } from './support/calls.ts'
import { type Doors, type DoorsOptions, founder, openDoors, TestClock } from './support/doors.ts'
import { somebody } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { TestRedis } from './support/redis.ts'

const closed = { additionalProperties: false }
const hello = (path: string, more: Partial<Route> = {}) =>
  route({
    method: 'GET',
    path,
    summary: 'A greeting',
    audience: 'member',
    answers: { 200: Type.Object({ hello: Type.Literal(true) }, closed) },
    errors: [],
    ...more,
  } as Route)

/** Doors with limits of a test's own, in memory, in the test's time. */
async function openLimited(
  db: Awaited<ReturnType<typeof testDatabase>>,
  options: DoorsOptions = {},
): Promise<{ doors: Doors; limits: PolicyLimits; clock: TestClock }> {
  const clock = options.clock ?? new TestClock()
  const limits =
    options.edge?.limits ??
    new PolicyLimits(new MemoryRateLimits({ nowUs: () => clock.now().getTime() * 1_000 }))
  const doors = await openDoors(db.database, {
    ...options,
    clock,
    edge: { ...options.edge, limits },
    register: ({ guards: { guard } }) => {
      guard(hello('/v1/hello'), async () => ({ status: 200, body: { hello: true } }))
      guard(hello('/v1/costly', { priority: 'bulk' }), async () => ({ status: 200, body: { hello: true } }))
      guard(hello('/v1/operators', { audience: 'operator' }), async () => ({
        status: 200,
        body: { hello: true },
      }))
    },
  })
  return { doors, limits, clock }
}

async function tokenOf(doors: Doors): Promise<{ token: string; id: string }> {
  const person = somebody()
  return { token: (await doors.tokens.mint(person)).accessToken, id: person.id }
}

/** The fields as a client reads them that knows nothing but RFC 9651 and the draft. */
function fieldsOf(answer: { headers: Headers }): {
  policies: Map<string, { q: number; w: number }>
  limit: { name: string; r: number; t: number }
} {
  const list = (name: string) => parseList(answer.headers.get(name) ?? '')
  const number = (value: unknown): number => {
    assert.ok(typeof value === 'number' && Number.isInteger(value) && value >= 0, String(value))
    return value
  }
  const policies = new Map(
    list('ratelimit-policy').map(([name, of]) => {
      assert.equal(typeof name, 'string')
      return [String(name), { q: number(of.get('q')), w: number(of.get('w')) }]
    }),
  )
  const [[name, of] = assert.fail('no RateLimit field')] = list('ratelimit')
  assert.equal(typeof name, 'string')
  return { policies, limit: { name: String(name), r: number(of.get('r')), t: number(of.get('t')) } }
}

test('[RL14] every answer says what is left, in fields that any Structured Fields parser reads, and a refusal says which limit and when', async () => {
  await using db = await testDatabase()
  const { doors, limits, clock } = await openLimited(db)
  await using _doors = doors
  const { token } = await tokenOf(doors)
  limits.of('account').change({ burst: 5, everyUs: 2_500_000 })
  const get = (path: string, as?: string) =>
    call(doors.url, 'GET', path, as === undefined ? {} : { token: as })
  for (const [path, as, status, policy] of [
    ['/v1/setup', undefined, 200, 'address'],
    ['/v1/hello', token, 200, 'account'],
    ['/v1/operators', token, 403, 'account'],
    ['/v1/hello', undefined, 401, 'address'],
    ['/v1/hello', 'nonsense', 401, 'address'],
    ['/v1/nowhere', undefined, 404, 'address'],
    ['/status', undefined, 200, 'address'],
    ['/openapi.json', undefined, 200, 'address'],
  ] as const) {
    const answer = await get(path, as)
    assert.equal(answer.status, status, path)
    const { policies, limit } = fieldsOf(answer)
    assert.equal(limit.name, policy)
    const { burst, everyUs } = limits.of(policy).allowance
    assert.deepEqual(policies.get(policy), { q: burst, w: Math.ceil((burst * everyUs) / 1e6) })
    assert.ok(limit.r < burst && limit.t >= 1)
  }
  while ((await get('/v1/hello', token)).status === 200);
  const refused = await get('/v1/hello', token)
  const problem = assertProblem(refused, 'rate_limited')
  const { limit } = fieldsOf(refused)
  assert.deepEqual(limit, { name: 'account', r: 0, t: 3 })
  assert.deepEqual(problem.violatedPolicies, ['account'])
  assert.match(problem.detail, /"account"/)
  const retryAfter = Number(refused.headers.get('retry-after'))
  assert.ok(retryAfter >= limit.t && retryAfter * 1_000 >= (problem.retryAfterMs ?? Infinity))
  clock.pass(retryAfter * 1_000)
  assert.equal((await get('/v1/hello', token)).status, 200)
  for (const probe of ['/live', '/ready']) assert.equal((await get(probe)).headers.get('ratelimit'), null)
})

test('[RL15] forwarded addresses count only where a trusted proxy said them, and nobody else’s word moves a bucket', async () => {
  await using db = await testDatabase()
  const two = '127.0.0.1'
  for (const [trusted, forwarded, counted] of [
    // Nobody is trusted: whatever is sent, it is the connection that counts.
    [[], undefined, two],
    [[], '203.0.113.5', two],
    [[], '203.0.113.5, 198.51.100.7', two],
    [['10.0.0.0/8'], '203.0.113.5', two],
    [['10.0.0.0/8'], '127.0.0.1', two],
    // The nearest is trusted: what it saw counts, and not what it was told.
    [[two], undefined, two],
    [[two], '203.0.113.5', '203.0.113.5'],
    [[two], '203.0.113.6,198.51.100.7', '198.51.100.7'],
    [[two], '1.1.1.1, 2.2.2.2, 198.51.100.8', '198.51.100.8'],
    [[two], '127.0.0.1, 198.51.100.9', '198.51.100.9'],
    [['127.0.0.0/8'], '203.0.113.7, 127.0.0.9', '203.0.113.7'],
    // Two trusted in a row.
    [[two, '10.0.0.0/8'], '203.0.113.8, 10.1.2.3', '203.0.113.8'],
    [[two, '10.0.0.0/8'], '203.0.113.9, 198.51.100.1, 10.1.2.3', '198.51.100.1'],
    [[two, '10.0.0.0/8'], '10.1.2.3, 203.0.113.10', '203.0.113.10'],
    [[two, '10.0.0.0/8'], '10.1.2.3, 10.1.2.4', '10.1.2.3'],
    // IPv6: one network is one caller, and an IPv4 address is itself however it is written.
    [[two], '2001:db8:0:1::1', '2001:db8:0:1::/64'],
    [[two], '2001:db8:0:1:ffff:ffff:ffff:ffff', '2001:db8:0:1::/64'],
    [[two], '2001:db8:0:2::1', '2001:db8:0:2::/64'],
    [[two], '::ffff:203.0.113.11', '203.0.113.11'],
    [[two, '2001:db8:feed::/48'], '2001:db8:0:3::1, 2001:db8:feed::1', '2001:db8:0:3::/64'],
    // Spaces, empty parts and nonsense do not lead behind the last address that was understood.
    [[two], '  203.0.113.12  ', '203.0.113.12'],
    [[two], '203.0.113.13,  198.51.100.2', '198.51.100.2'],
  ] as const) {
    const { doors, limits } = await openLimited(db, { http: { trustedProxies: trusted } })
    await using _doors = doors
    const headers: Record<string, string> = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
    await call(doors.url, 'GET', '/v1/setup', { headers: { ...headers, 'x-real-ip': '192.0.2.99' } })
    assert.deepEqual(
      limits
        .of('address')
        .busiest(5)
        .map(({ subject }) => subject),
      [counted],
      `${trusted} ${forwarded}`,
    )
  }
})

test('[RL16] unknown addresses, wrong tokens and broken requests are counted, and cost more than what is there', async () => {
  await using db = await testDatabase()
  const { doors, limits } = await openLimited(db)
  await using _doors = doors
  const left = () => 1_000 * (1 - (limits.of('address').busiest(1)[0]?.used ?? 0))
  limits.of('address').change({ burst: 1_000, everyUs: 3_600_000_000 })
  const cost = async (path: string, options: { token?: string } = {}) => {
    const before = left()
    await call(doors.url, 'GET', path, options)
    return Math.round(before - left())
  }
  assert.equal(await cost('/v1/setup'), 1)
  assert.equal(await cost('/v1/nowhere'), 5)
  assert.equal(await cost('/%zz'), 5)
  assert.equal(await cost('/v1/hello'), 21)
  assert.equal(await cost('/v1/hello', { token: 'nonsense' }), 21)
  assert.equal(await cost('/v1/hello', { token: (await tokenOf(doors)).token }), 1)
  assert.equal(await cost('/live'), 0)
  // Guessing tokens uses up what an address has; then everything from there is refused, the right token as well.
  let guesses = 0
  while (assertStatus(await call(doors.url, 'GET', '/v1/hello', { token: 'guess' })) === 401) guesses++
  assert.ok(guesses < 50, `${guesses}`)
  const { token } = await tokenOf(doors)
  assertProblem(await call(doors.url, 'GET', '/v1/hello', { token }), 'rate_limited')
  assert.equal((await call(doors.url, 'GET', '/ready')).status, 200)
})

function assertStatus(answer: { status: number }): number {
  return answer.status
}

test('[RL17] a person has the same limit from all addresses together, and their neighbours have their own', async () => {
  await using db = await testDatabase()
  const { doors, limits } = await openLimited(db, { http: { trustedProxies: ['127.0.0.1'] } })
  await using _doors = doors
  limits.of('account').change({ burst: 30, everyUs: 3_600_000_000 })
  const [ada, bob] = [await tokenOf(doors), await tokenOf(doors)]
  const ask = async (token: string, at: number) =>
    (
      await call(doors.url, 'GET', '/v1/hello', {
        token,
        headers: { 'x-forwarded-for': `203.0.113.${at % 7}` },
      })
    ).status
  const statuses = await Promise.all(Array.from({ length: 100 }, (_, at) => ask(ada.token, at)))
  assert.equal(statuses.filter((status) => status === 200).length, 30)
  assert.equal(statuses.filter((status) => status === 429).length, 70)
  assert.equal(await ask(bob.token, 0), 200)
  assert.deepEqual(
    limits.refusals.recent(5).map(({ policy, subject, refused }) => ({ policy, subject, refused })),
    [{ policy: 'account', subject: ada.id, refused: 70 }],
  )
})

test('[RL18] what is costly has a limit of its own, and being refused there uses up nothing else', async () => {
  await using db = await testDatabase()
  const { doors, limits } = await openLimited(db)
  await using _doors = doors
  limits.of('account').change({ burst: 10, everyUs: 3_600_000_000 })
  limits.of('bulk').change({ burst: 3, everyUs: 3_600_000_000 })
  const { token } = await tokenOf(doors)
  const ask = async (path: string) => await call(doors.url, 'GET', path, { token })
  for (let times = 0; times < 3; times++) assert.equal((await ask('/v1/costly')).status, 200)
  for (let times = 0; times < 20; times++)
    assert.deepEqual(assertProblem(await ask('/v1/costly'), 'rate_limited').violatedPolicies, ['bulk'])
  for (let times = 0; times < 7; times++) assert.equal((await ask('/v1/hello')).status, 200)
  assert.deepEqual(assertProblem(await ask('/v1/hello'), 'rate_limited').violatedPolicies, ['account'])
})

test('[RL19] nodes slow guessing down together: who has used up their guesses at one has none at the other', async () => {
  await using db = await testDatabase()
  await using redis = await TestRedis.started()
  const open = async () => {
    const store = await RedisRateLimits.open({ url: redis.url, log: testLog, patienceMs: 20_000 })
    const { doors } = await openLimited(db, { edge: { limits: new PolicyLimits(store) } })
    return { doors, store }
  }
  const one = await open()
  const other = await open()
  await using _released = {
    async [Symbol.asyncDispose]() {
      for (const { doors, store } of [one, other]) {
        await doors[Symbol.asyncDispose]()
        await store[Symbol.asyncDispose]()
      }
    },
  }
  const guess = async ({ doors }: { doors: Doors }, email: string) =>
    await call(doors.url, 'POST', '/v1/auth/login', { body: { email, password: 'a wrong guess of mine' } })
  const guesses = await Promise.all(
    Array.from({ length: 12 }, (_, at) => guess(at % 2 === 0 ? one : other, founder.email)),
  )
  assert.equal(guesses.filter(({ status }) => status === 401).length, limitPolicies['sign-in'].burst)
  const refused = guesses.find(({ status }) => status === 429) ?? assert.fail('nobody was refused')
  assert.deepEqual(assertProblem(refused, 'rate_limited').violatedPolicies, ['sign-in'])
  assert.equal((await guess(other, 'somebody.else@example.com')).status, 401)
})

test('[RL20] pages of other origins read the fields, and their preflights are counted like everything else', async () => {
  await using db = await testDatabase()
  const origin = 'https://app.example.org'
  const { doors, limits } = await openLimited(db, { http: { allowedOrigins: [origin] } })
  await using _doors = doors
  limits.of('address').change({ burst: 4, everyUs: 3_600_000_000 })
  const preflight = async () =>
    await new Promise<{ status: number; exposed: string; allowed: string }>((resolve, reject) => {
      const headers = { origin, 'access-control-request-method': 'GET' }
      httpRequest(`${doors.url}/v1/setup`, { method: 'OPTIONS', headers }, (answer) => {
        answer.resume()
        resolve({
          status: answer.statusCode ?? 0,
          exposed: String(answer.headers['access-control-expose-headers']),
          allowed: String(answer.headers['access-control-allow-origin']),
        })
      })
        .once('error', reject)
        .end()
    })
  const first = await preflight()
  assert.equal(first.status, 204)
  assert.match(first.exposed, /ratelimit, ratelimit-policy/)
  while ((await preflight()).status === 204);
  const refused = await preflight()
  assert.equal(refused.status, 429)
  assert.equal(refused.allowed, origin)
})
