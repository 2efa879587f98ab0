import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Log } from '#foundation/log.ts'
import type { Secret } from '#foundation/secret.ts'
import { CountedLimit, type Counter } from './counted-limit.ts'
import { type Allowance, type Limit, type LimitOptions, type RateLimits, steadyUs } from './rate-limit.ts'

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
/** So many round trips in a row without an answer in time, and Redis is away. */
const patience = 3

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
 * any for a subject that is busy and far from its limit (see `CountedLimit`). Redis is never needed: while it is away each
 * process goes on by itself from what it knows, and says so once; when it is back it is told what was used meanwhile.
 */
export class RedisRateLimits implements RateLimits, Counter {
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
    return new CountedLimit(name, allowance, options, { counter: this, nowUs: this.#nowUs })
  }

  async take(key: string, args: readonly number[]): Promise<number[] | undefined> {
    const answer = await this.#inTime(this.#redis.atomTake(prefix + key, ...args))
    return Array.isArray(answer) ? answer.map(Number) : undefined
  }

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
