import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createLog } from '#foundation/log.ts'
import { neighbourhoodOf, networkOf } from '#foundation/network-address.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { allowanceOf, type Limit, type RateLimits, type Verdict } from '#foundation/rate-limit/rate-limit.ts'
import { RedisRateLimits } from '#foundation/rate-limit/redis-rate-limit.ts'
import { type CountingLine, LimitsAmongWorkers, LimitsOfWorkers } from '../src/commands/worker-limits.ts'
import { testLog } from './support/postgres.ts'
import { TestRedis } from './support/redis.ts'
import { until } from './support/until.ts'

/** So slow that nothing comes back while a test runs. */
const slow = { burst: 100, everyUs: 36_000_000 }

interface Admission {
  readonly from: number
  readonly to: number
}

/** Every pair of admissions of one subject, each span measured as short as it can have been. */
function requireBound(
  admitted: readonly Admission[],
  { burst, everyUs }: { burst: number; everyUs: number },
) {
  for (const [first, { from }] of admitted.entries())
    for (let last = first; last < Math.min(admitted.length, first + 4 * burst); last++) {
      const span = (admitted[last]?.to ?? 0) - from
      const most = burst + Math.floor(span / everyUs)
      assert.ok(last - first + 1 <= most, `${last - first + 1} within ${span} µs, at most ${most}`)
    }
}

function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** A limit in memory whose time a test moves. */
function inMemory(allowance: { burst: number; everyUs: number }, capacity?: number) {
  const time = { now: 1_000_000_000 }
  const limits = new MemoryRateLimits({ nowUs: () => time.now })
  const limit = limits.limit('test', allowance, capacity === undefined ? {} : { capacity })
  return {
    time,
    limit,
    tries: (subject: string, cost = 1) => (limit.take(subject, cost) as Verdict).admitted,
  }
}

async function admittedOf(verdicts: readonly (Verdict | Promise<Verdict>)[]): Promise<number> {
  return (await Promise.all(verdicts)).filter(({ admitted }) => admitted).length
}

test('[RL1] in no span of time does a subject get more than its burst and what that time brings, whatever it asks for', () => {
  for (const seed of [1, 2, 3, 4]) {
    const random = seeded(seed)
    const allowance = { burst: 1 + Math.floor(random() * 20), everyUs: 1 + Math.floor(random() * 50_000) }
    const { time, limit } = inMemory(allowance)
    const admitted: Admission[] = []
    let refusedFor = 0
    for (let step = 0; step < 50_000; step++) {
      const quiet = random() < 0.02 ? allowance.burst * 2 : random() * 1.5
      time.now += Math.floor(random() * allowance.everyUs * quiet)
      const cost = 1 + Math.floor(random() * 3)
      const verdict = limit.take('a', cost) as Verdict
      if (verdict.admitted)
        for (let point = 0; point < Math.min(cost, allowance.burst); point++)
          admitted.push({ from: time.now, to: time.now })
      else refusedFor += verdict.waitUs
    }
    assert.ok(admitted.length > 1_000)
    assert.ok(refusedFor > 0)
    requireBound(admitted, allowance)
  }
})

test('[RL2] whoever waits as long as they were told gets what they asked for, and not a microsecond before', () => {
  const random = seeded(9)
  const { time, limit, tries } = inMemory({ burst: 7, everyUs: 1_003 })
  for (let step = 0; step < 5_000; step++) {
    time.now += Math.floor(random() * 900)
    const cost = 1 + Math.floor(random() * 9)
    const verdict = limit.take('a', cost) as Verdict
    if (verdict.admitted) continue
    time.now += verdict.waitUs - 1
    assert.equal(tries('a', cost), false)
    time.now += 1
    assert.equal(tries('a', cost), true)
  }
})

test('[RL3] no boundary between two windows can be used to get twice as much', () => {
  const { time, tries } = inMemory(allowanceOf(50, 50))
  // A fixed window of a second gives 100 within 82 ms to who asks at its end and at the beginning of the next.
  time.now += 959_000
  let admitted = 0
  for (let asked = 0; asked < 200; asked++) {
    if (tries('a')) admitted++
    if (asked === 99) time.now += 82_000
  }
  assert.equal(admitted, 50 + 4)
})

test('[RL4] twenty thousand other subjects do not free one that is held back, and take no more room than there is', () => {
  const capacity = 500
  const { time, limit, tries } = inMemory({ burst: 10, everyUs: 60_000_000 }, capacity)
  let admitted = 0
  for (let asked = 0; asked < 60; asked++) if (tries('held')) admitted++
  assert.equal(admitted, 10)
  let others = 0
  for (let other = 0; other < 20_000; other++) {
    if (tries(`other ${other}`)) others++
    if (other % 400 === 0) assert.equal(tries('held'), false)
  }
  // The rest shared 1,024 buckets of ten.
  assert.ok(others <= capacity + 10 * 1_024, `${others}`)
  assert.ok(limit.busiest(100_000).length <= capacity)
  assert.equal(limit.busiest(1)[0]?.subject, 'held')
  assert.equal(limit.busiest(1)[0]?.heldBack, true)
  time.now += 60_000_000
  assert.equal(tries('held'), true)
  // Whoever has not been heard of is forgotten, and everybody has a place again.
  time.now += 20 * 60_000_000
  assert.equal(tries('somebody new'), true)
  assert.equal(limit.busiest(100_000).length, 1)
})

test('[RL5] a limit changed while it is in use holds from the next request on, and holds nobody longer than its burst', () => {
  const { time, limit, tries } = inMemory({ burst: 4, everyUs: 60_000_000 })
  for (let asked = 0; asked < 4; asked++) assert.equal(tries('a'), true)
  assert.equal(tries('a'), false)
  limit.change({ burst: 4, everyUs: 1_000_000 })
  assert.equal(tries('a'), false)
  time.now += 1_000_000
  assert.equal(tries('a'), true)
  limit.change({ burst: 1, everyUs: 1_000 })
  assert.equal(tries('a'), false)
  time.now += 1_000
  assert.equal(tries('a'), true)
})

/** To the process that counts, as if it were another one: nothing is answered in the turn in which it is asked. */
function lineTo(counting: LimitsOfWorkers): CountingLine {
  let listener: ((word: unknown) => void) | undefined
  const worker = {
    isConnected: () => true,
    send: (word: unknown) => setImmediate(() => listener?.(structuredClone(word))) !== undefined,
  }
  return {
    open: true,
    tell: (word) => void setImmediate(() => counting.heard(structuredClone(word), worker)),
    hear: (heard) => {
      listener = heard
    },
  }
}

describe('wherever limits are kept', () => {
  const places: readonly (readonly [string, () => Promise<{ limits: RateLimits } & AsyncDisposable>])[] = [
    [
      'in memory',
      async () => {
        const limits = new MemoryRateLimits()
        return { limits, [Symbol.asyncDispose]: () => limits[Symbol.asyncDispose]() }
      },
    ],
    [
      'among workers',
      async () => {
        const limits = new LimitsAmongWorkers({ line: lineTo(new LimitsOfWorkers()), patienceMs: 20_000 })
        return { limits, [Symbol.asyncDispose]: () => limits[Symbol.asyncDispose]() }
      },
    ],
    [
      'in Redis',
      async () => {
        const redis = await TestRedis.started()
        const limits = await RedisRateLimits.open({ url: redis.url, log: testLog })
        return {
          limits,
          async [Symbol.asyncDispose]() {
            await limits[Symbol.asyncDispose]()
            await redis[Symbol.asyncDispose]()
          },
        }
      },
    ],
  ]
  for (const [name, open] of places) {
    test(`[RL6] ${name}: a thousand requests at once against a hundred points get a hundred, and the rest learn when to come back`, async () => {
      await using place = await open()
      const limit = place.limits.limit('test', slow)
      const verdicts = await Promise.all(Array.from({ length: 1_000 }, () => limit.take('a')))
      assert.equal(await admittedOf(verdicts), 100)
      for (const { admitted, waitUs, remaining } of verdicts) {
        assert.ok(admitted ? waitUs === 0 : waitUs > 0 && waitUs <= slow.everyUs)
        assert.ok(remaining >= 0 && remaining < 100)
      }
      assert.equal(await admittedOf([limit.take('b')]), 1)
      assert.equal(limit.admitted, 101)
      assert.equal(limit.refused, 900)
    })

    test(`[RL7] ${name}: what was free is given back, and what cost more is charged afterwards`, async () => {
      await using place = await open()
      const limit = place.limits.limit('test', { burst: 5, everyUs: 36_000_000 })
      for (let times = 0; times < 20; times++) {
        assert.equal(await admittedOf([limit.take('a')]), 1)
        limit.giveBack('a')
      }
      limit.charge('a', 3)
      assert.equal(await admittedOf([limit.take('a'), limit.take('a'), limit.take('a')]), 2)
      limit.charge('b', 1_000)
      assert.equal(await admittedOf([limit.take('b')]), 0)
      limit.giveBack('b')
      assert.equal(await admittedOf([limit.take('b'), limit.take('b')]), 1)
    })

    test(`[RL8] ${name}: requests of several points get all of them or none`, async () => {
      await using place = await open()
      const limit = place.limits.limit('test', { burst: 10, everyUs: 36_000_000 })
      assert.equal(await admittedOf(Array.from({ length: 9 }, () => limit.take('a', 4))), 2)
      assert.equal(await admittedOf([limit.take('a', 2)]), 1)
      assert.equal(await admittedOf([limit.take('b', 50), limit.take('b')]), 1)
    })
  }
})

test('[RL9] two nodes with five hundred requests each, all at once, let exactly a hundred pass together', async () => {
  await using redis = await TestRedis.started()
  await using one = await RedisRateLimits.open({ url: redis.url, log: testLog, patienceMs: 20_000 })
  await using other = await RedisRateLimits.open({ url: redis.url, log: testLog, patienceMs: 20_000 })
  assert.ok(one.shared && other.shared)
  const limits = [one.limit('test', slow), other.limit('test', slow)]
  const asked = limits.flatMap((limit) => Array.from({ length: 500 }, () => limit.take('a')))
  assert.equal(await admittedOf(asked), 100)
})

test('[RL10] nodes that take points ahead stay within the bound together, in every span of time', async () => {
  await using redis = await TestRedis.started()
  const allowance = { burst: 400, everyUs: 1_000 }
  const open = () => RedisRateLimits.open({ url: redis.url, log: testLog, patienceMs: 20_000 })
  await using one = await open()
  await using other = await open()
  const limits = [one.limit('test', allowance), other.limit('test', allowance)]
  const admitted: Admission[] = []
  const now = () => performance.now() * 1_000
  let atOnce = 0
  const ask = async (limit: Limit) => {
    const from = now()
    const verdict = limit.take('a')
    if (!(verdict instanceof Promise)) atOnce++
    if ((await verdict).admitted) admitted.push({ from, to: now() })
  }
  const random = seeded(5)
  // Below its limit first, where points are taken ahead, then far above it.
  const ends = performance.now() + 700
  while (performance.now() < ends) {
    const above = performance.now() > ends - 300
    const many = above ? 20 : 1
    await Promise.all(limits.flatMap((limit) => Array.from({ length: many }, () => ask(limit))))
    await delay(random() * (above ? 2 : 6))
  }
  assert.ok(atOnce > 20, `${atOnce} were answered without a round trip`)
  assert.ok(admitted.length > 400)
  requireBound(
    admitted.toSorted((a, b) => a.to - b.to),
    allowance,
  )
})

test('[RL11] Redis is killed under load: nobody fails, nobody is refused too early, the limit holds on, and it is one again when Redis is back', async () => {
  await using redis = await TestRedis.started()
  const lines: string[] = []
  const log = createLog({ level: 'info', write: (line) => void lines.push(line) })
  const told = (word: string) => lines.filter((line) => line.includes(word)).length
  const open = () => RedisRateLimits.open({ url: redis.url, log, retryMs: 20, startMs: 10_000 })
  await using one = await open()
  await using other = await open()
  const limits = [one.limit('test', slow), other.limit('test', slow)] as const
  const ask = async (count: number) =>
    await admittedOf(limits.flatMap((limit) => Array.from({ length: count }, () => limit.take('a'))))
  assert.equal(await ask(20), 40)
  const underWay = Promise.all(Array.from({ length: 10 }, () => ask(1)))
  await redis.kill()
  // 60 of 100 at the most are used by then: whoever is refused now is refused wrongly.
  assert.equal(
    (await underWay).reduce((sum, admitted) => sum + admitted, 0),
    20,
  )
  assert.equal(await ask(1), 2)
  await until(() => !one.shared && !other.shared)
  // Each knows what was used, by itself or from Redis, and lets no more pass than its limit.
  const alone = await ask(300)
  assert.ok(alone >= 2 * 30 && alone <= 2 * 61, `${alone}`)
  assert.equal(await ask(50), 0)
  assert.equal(told('by itself'), 2)
  await redis.start()
  await until(() => one.shared && other.shared)
  // The new Redis knows nothing, and learns from the nodes that nothing is left.
  assert.equal(await ask(50), 0)
  assert.equal(await admittedOf(limits.map((limit) => limit.take('b'))), 2)
  assert.equal(told('together, in Redis'), 4)
})

test('[RL12] a Redis that does not answer costs a request no more than its patience', async () => {
  await using redis = await TestRedis.started()
  await using limits = await RedisRateLimits.open({
    url: redis.url,
    log: testLog,
    patienceMs: 30,
    retryMs: 20,
  })
  const limit = limits.limit('test', slow)
  assert.equal(await admittedOf([limit.take('a')]), 1)
  redis.freeze()
  let admitted = 0
  for (let asked = 0; asked < 300; asked++) if ((await limit.take('a')).admitted) admitted++
  assert.equal(admitted, 99)
  assert.equal(limits.shared, false)
  redis.thaw()
  await until(() => limits.shared)
  assert.equal(await admittedOf([limit.take('a'), limit.take('b')]), 1)
})

test('[RL13] an address counts by itself, an IPv6 address with its network of 64 bits', () => {
  for (const [address, network, neighbourhood] of [
    ['192.0.2.7', '192.0.2.7', '192.0.2.0/24'],
    ['::ffff:192.0.2.7', '192.0.2.7', '192.0.2.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['2001:db8::1', '2001:db8:0:0::/64', '2001:db8:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64', 'fe80:0:0::/48'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64', '64:ff9b:0::/48'],
    ['', '', ''],
  ] as const) {
    assert.equal(networkOf(address), network)
    assert.equal(neighbourhoodOf(network), neighbourhood)
  }
})
