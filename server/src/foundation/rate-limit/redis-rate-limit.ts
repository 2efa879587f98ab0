import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Log } from '#foundation/log.ts'
import type { Secret } from '#foundation/secret.ts'
import { type Kept, KeyTable } from './key-table.ts'
import { defaultCapacity } from './memory-rate-limit.ts'
import {
  type Allowance,
  type Limit,
  type LimitOptions,
  type RateLimits,
  type Standing,
  settled,
  steadyUs,
  taken,
  type Verdict,
  verdictOf,
} from './rate-limit.ts'

export interface RedisRateLimitsOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
  readonly url: Secret
  readonly log: Log
  /** How long a request waits for Redis at most; then this process judges by itself. */
  readonly patienceMs?: number
  /** How often a Redis that is away is tried again. */
  readonly retryMs?: number
  /** How long the start waits for it. */
  readonly startMs?: number
  readonly nowUs?: () => number
}

/** What else lives on the same Redis keeps its own names. */
const prefix = 'atom:limit:'
/** Requests judged in one round trip. */
const mostTogether = 256
/** So many round trips in a row without an answer in time, and Redis is away. */
const patience = 3
/** Part of the burst, and of what a second brings, that a process may take ahead for a subject that is busy. */
const aheadShare = 20
const aheadUs = 1_000_000

/**
 * KEYS[1] the subject's time; ARGV everyUs, burst, what the asking process knows to be used (µs), points it would like to have
 * ahead, then the cost of each request. Answers with the points given ahead, what is used now (µs), and 1 or 0 for each request.
 * Time is the one clock of Redis. What the process knows is believed, so that a Redis that lost its memory starts with it.
 */
const takeScript = `
local at = redis.call('TIME')
local now = at[1] * 1000000 + at[2]
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = burst * every
local unused = tonumber(redis.call('GET', KEYS[1]) or 0)
unused = math.min(math.max(unused, now + tonumber(ARGV[3])), now + full)
local answer = {0, 0}
local refused = false
for i = 5, #ARGV do
  local nextUnused = unused + math.min(tonumber(ARGV[i]), burst) * every
  if nextUnused <= now + full then
    unused = nextUnused
    answer[i - 2] = 1
  else
    refused = true
    answer[i - 2] = 0
  end
end
if not refused then
  local ahead = math.floor((now + full / 2 - unused) / every)
  ahead = math.max(0, math.min(ahead, tonumber(ARGV[4])))
  unused = unused + ahead * every
  answer[1] = ahead
end
answer[2] = unused - now
if unused > now then
  redis.call('SET', KEYS[1], string.format('%.0f', unused), 'PX', math.ceil((unused - now) / 1000))
end
return answer
`

/** KEYS[1]; ARGV everyUs, burst, points: taken where positive, given back where negative. */
const moveScript = `
local at = redis.call('TIME')
local now = at[1] * 1000000 + at[2]
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local unused = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + tonumber(ARGV[3]) * every
unused = math.min(unused, now + burst * every)
if unused > now then
  redis.call('SET', KEYS[1], string.format('%.0f', unused), 'PX', math.ceil((unused - now) / 1000))
else
  redis.call('DEL', KEYS[1])
end
`

interface Scripts {
  atomTake(key: string, ...args: (string | number)[]): Promise<number[]>
  atomMove(key: string, ...args: (string | number)[]): Promise<unknown>
}

/**
 * Limits that all nodes count together, in Redis 7 or later, or Valkey: exact over all of them, in one round trip, and without
 * any for a subject that is busy and far from its limit (see `RedisLimit`). Redis is never needed: while it is away each
 * process goes on by itself from what it knows, and says so once; when it is back it is told what was used meanwhile.
 */
export class RedisRateLimits implements RateLimits {
  readonly #log: Log
  readonly #redis: Redis & Scripts
  readonly #nowUs: () => number
  readonly #patienceMs: number
  readonly #trying: NodeJS.Timeout
  #shared = false
  #unanswered = 0
  #said = false
  #closed = false

  private constructor(options: RedisRateLimitsOptions) {
    this.#log = options.log
    this.#nowUs = options.nowUs ?? steadyUs
    this.#patienceMs = options.patienceMs ?? 50
    const redis = new Redis(options.url.reveal(), {
      lazyConnect: true,
      protocol: 2,
      connectionName: 'atom-limits',
      connectTimeout: 2_000,
      disconnectTimeout: 200,
      keepAlive: 10_000,
      // A request does not wait for a Redis that comes back some time.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: (tries) => Math.min(50 * 2 ** tries, 1_000) * (0.5 + Math.random() / 2),
      scripts: {
        atomTake: { lua: takeScript, numberOfKeys: 1 },
        atomMove: { lua: moveScript, numberOfKeys: 1 },
      },
    })
    redis.on('error', (error) => this.#log.debug({ err: error }, 'the session of the limits complained'))
    redis.on('ready', () => void this.#look())
    redis.on('close', () => this.#away('the session with Redis was lost'))
    this.#redis = redis as Redis & Scripts
    this.#trying = setInterval(() => void this.#look(), options.retryMs ?? 500)
    this.#trying.unref()
  }

  /** Resolves when Redis answers, or after `startMs` without: a Redis that is away keeps nobody from starting. */
  static async open(options: RedisRateLimitsOptions): Promise<RedisRateLimits> {
    const limits = new RedisRateLimits(options)
    const connected = limits.#redis.connect().then(
      () => limits.#look(),
      (error: unknown) => options.log.debug({ err: error }, 'Redis is not reached yet'),
    )
    await Promise.race([connected, delay(options.startMs ?? 2_000, undefined, { ref: false })])
    if (!limits.#shared) limits.#say()
    return limits
  }

  get shared(): boolean {
    return this.#shared
  }

  limit(name: string, allowance: Allowance, options: LimitOptions = {}): Limit {
    return new RedisLimit(name, allowance, options, { way: this, nowUs: this.#nowUs })
  }

  /** @returns undefined where Redis does not answer in time */
  async take(key: string, args: readonly number[]): Promise<number[] | undefined> {
    const answer = await this.#inTime(this.#redis.atomTake(prefix + key, ...args))
    return Array.isArray(answer) ? answer.map(Number) : undefined
  }

  /** Told and not waited for; what Redis does not hear, this process remembers. */
  move(key: string, args: readonly number[]): void {
    if (this.#shared) void this.#inTime(this.#redis.atomMove(prefix + key, ...args))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#shared = false
    clearInterval(this.#trying)
    this.#redis.disconnect()
  }

  async #inTime<T>(command: Promise<T>): Promise<T | undefined> {
    const late = Promise.withResolvers<undefined>()
    // A process that stood still has its answer in the socket: it is read before the time is declared over.
    const timer = setTimeout(() => setImmediate(() => late.resolve(undefined)), this.#patienceMs)
    const done = command.then(
      (answer) => ({ answer }),
      (error: unknown) => {
        this.#log.debug({ err: error }, 'Redis could not count')
        return undefined
      },
    )
    const outcome = await Promise.race([done, late.promise])
    clearTimeout(timer)
    if (outcome === undefined) {
      if (++this.#unanswered >= patience || this.#redis.status !== 'ready')
        this.#away('Redis does not answer')
      return undefined
    }
    this.#unanswered = 0
    return outcome.answer
  }

  async #look(): Promise<void> {
    if (this.#shared || this.#closed || this.#redis.status !== 'ready') return
    if ((await this.#inTime(this.#redis.ping())) !== 'PONG' || this.#closed || this.#shared) return
    this.#shared = true
    this.#said = false
    this.#log.info('nodes count their limits together, in Redis')
  }

  #away(why: string): void {
    if (!this.#shared) return
    this.#shared = false
    this.#say(why)
  }

  #say(why = 'Redis is not reached'): void {
    if (this.#said || this.#closed) return
    this.#said = true
    this.#log.warn(`${why}: this process goes on counting its limits by itself until it is back`)
  }
}

interface Asked {
  readonly cost: number
  readonly answer: (verdict: Verdict) => void
}

interface Known extends Kept {
  /** Points in hand run out by then if they are not used, µs. */
  handEndsAt: number
  /** Until then there is nothing for who costs at least so much. */
  refusedUntil: number
  refusedCost: number
  /** What held when it was refused; under anything else Redis is asked again. */
  refusedUnder: Allowance | undefined
  askedAt: number
  readonly waiting: Asked[]
  flying: boolean
}

/**
 * Exact over all nodes, although most requests ask nobody. A process may take points ahead for a busy subject that has more
 * than half of its burst left. In Redis they count as used at once. In the hand of the process they melt as quickly as Redis
 * grows new ones (both 1 per `everyUs`, and the process begins to count before Redis does), so what Redis holds and what all hands hold
 * together never exceeds the burst, and grows no quicker than it may: in any span of t at most `burst + t / everyUs` pass on all nodes
 * together. What melts unused is lost to the subject, never more than half of its burst; nearer to its limit each request
 * asks Redis, and nothing is lost. Who is refused is refused here until the time that Redis named.
 */
class RedisLimit implements Limit {
  readonly name: string
  #allowance: Allowance
  admitted = 0
  refused = 0
  readonly #way: RedisRateLimits
  readonly #nowUs: () => number
  readonly #table: KeyTable<Known>

  constructor(
    name: string,
    allowance: Allowance,
    options: LimitOptions,
    { way, nowUs }: { way: RedisRateLimits; nowUs: () => number },
  ) {
    this.name = name
    this.#allowance = allowance
    this.#way = way
    this.#nowUs = nowUs
    this.#table = new KeyTable<Known>({
      capacity: options.capacity ?? defaultCapacity,
      make: (key) => ({
        key,
        unusedAt: 0,
        handEndsAt: 0,
        refusedUntil: 0,
        refusedCost: 0,
        refusedUnder: undefined,
        askedAt: Number.NEGATIVE_INFINITY,
        waiting: [],
        flying: false,
      }),
      wider: options.wider,
      inUse: (entry, now) => entry.flying || entry.handEndsAt > now,
    })
  }

  get allowance(): Allowance {
    return this.#allowance
  }

  change(allowance: Allowance): void {
    this.#allowance = allowance
  }

  take(subject: string, asked = 1): Verdict | Promise<Verdict> {
    const now = this.#nowUs()
    const cost = Math.min(asked, this.#allowance.burst)
    const entry = this.#table.entry(subject, now)
    if (!this.#way.shared) return this.#takeAlone(entry, now, cost)
    if (entry.waiting.length === 0) {
      const price = cost * this.#allowance.everyUs
      if (entry.handEndsAt - now >= price) {
        entry.handEndsAt -= price
        return this.#admit(entry, now, cost)
      }
      const stillHolds = entry.refusedUnder === this.#allowance
      if (stillHolds && now < entry.refusedUntil && cost >= entry.refusedCost)
        return this.#refuse(entry, now, cost)
    }
    return new Promise((answer) => {
      entry.waiting.push({ cost, answer })
      if (!entry.flying) void this.#ask(entry)
    })
  }

  charge(subject: string, cost: number): void {
    this.#move(subject, cost)
  }

  giveBack(subject: string, cost = 1): void {
    this.#move(subject, -cost)
  }

  busiest(count: number): Standing[] {
    const { burst, everyUs } = this.#allowance
    return this.#table.busiest(count, this.#nowUs(), burst * everyUs, everyUs)
  }

  #takeAlone(entry: Known, now: number, cost: number): Verdict {
    const next = taken(this.#allowance, entry.unusedAt, now, cost)
    if (next === undefined) {
      const { burst, everyUs } = this.#allowance
      entry.unusedAt = settled(entry.unusedAt, now, burst * everyUs)
      return this.#refuse(entry, now, cost)
    }
    entry.unusedAt = next
    return this.#admit(entry, now, cost)
  }

  #admit(entry: Known, now: number, cost: number): Verdict {
    this.admitted += cost
    // What is in hand counts as used in Redis, and is not.
    const inHand = Math.max(0, entry.handEndsAt - now)
    return verdictOf(this.#allowance, entry.unusedAt - inHand, now, cost, true)
  }

  #refuse(entry: Known, now: number, cost: number): Verdict {
    this.refused++
    return verdictOf(this.#allowance, entry.unusedAt, now, cost, false)
  }

  /** One round trip at a time for a subject; who comes meanwhile is in the next. */
  async #ask(entry: Known): Promise<void> {
    entry.flying = true
    while (entry.waiting.length > 0) {
      const asked = entry.waiting.splice(0, mostTogether)
      const allowance = this.#allowance
      const { burst, everyUs } = allowance
      const sentAt = this.#nowUs()
      const busy = sentAt - entry.askedAt < aheadUs
      entry.askedAt = sentAt
      const ahead = busy ? Math.min(Math.floor(burst / aheadShare), Math.floor(aheadUs / everyUs)) : 0
      const knownUs = Math.max(0, entry.unusedAt - sentAt)
      const costs = asked.map(({ cost }) => cost)
      const answer = this.#way.shared
        ? await this.#way.take(this.#keyOf(entry), [everyUs, burst, knownUs, ahead, ...costs])
        : undefined
      const now = this.#nowUs()
      if (answer === undefined) {
        for (const { cost, answer: tell } of asked) tell(this.#takeAlone(entry, now, cost))
        continue
      }
      const [inHand = 0, usedUs = 0, ...admitted] = answer
      if (inHand > 0) entry.handEndsAt = Math.max(entry.handEndsAt, sentAt) + inHand * everyUs
      entry.unusedAt = settled(sentAt + usedUs, now, burst * everyUs)
      entry.refusedUntil = 0
      for (const [at, { cost, answer: tell }] of asked.entries()) {
        if (admitted[at] === 1) {
          tell(this.#admit(entry, now, cost))
          continue
        }
        // Redis judged after the question was sent: until then, counted from there, the answer cannot be another.
        const until = sentAt + usedUs + cost * everyUs - burst * everyUs
        if (entry.refusedUntil === 0 || cost < entry.refusedCost) {
          entry.refusedUntil = until
          entry.refusedCost = cost
          entry.refusedUnder = allowance
        }
        tell(this.#refuse(entry, now, cost))
      }
    }
    entry.flying = false
  }

  #move(subject: string, points: number): void {
    const { burst, everyUs } = this.#allowance
    const now = this.#nowUs()
    const full = burst * everyUs
    const entry = this.#table.entry(subject, now)
    entry.unusedAt = settled(settled(entry.unusedAt, now, full) + points * everyUs, now, full)
    if (points < 0) entry.refusedUntil = 0
    this.#way.move(this.#keyOf(entry), [everyUs, burst, points])
  }

  /** Nobody who looks into Redis finds addresses of people there. */
  #keyOf(entry: Known): string {
    return `${this.name}:${createHash('sha256').update(entry.key).digest('base64url').slice(0, 22)}`
  }
}
