import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { AtomError } from '#foundation/errors.ts'
import { randomToken } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Secret } from '#foundation/secret.ts'
import { type Broadcast, Listeners } from './broadcast.ts'

export interface RedisBroadcastOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` for TLS. */
  readonly url: Secret
  readonly log: Log
  /** How often this process tells itself something by way of Redis, to know that the way is open. */
  readonly beatMs?: number
  /** How long the start waits for Redis; afterwards it goes on without. */
  readonly patienceMs?: number
}

/**
 * What may be on its way to Redis, in UTF-16 code units; beyond it messages are lost, so that a Redis that stands still costs
 * no memory.
 */
const mostWaiting = 4 * 1024 * 1024
/** What else lives on the same Redis keeps its own names. */
const prefix = 'atom:'
/** The way counts as closed when this many beats in a row did not come back. */
const missedBeats = 3
const longestPauseMs = 1_000

interface Told {
  readonly topic: string
  readonly message: string
}

/**
 * Over the pub/sub of Redis 7 or later, or Valkey: sharded where the server knows it, plain where not. A process hears the
 * topics that it listens to and no others. Two sessions: one tells, one listens. Redis is never needed: while it is away
 * nothing is told, `hears` says so, and the way is tried again until it is open.
 */
export class RedisBroadcast implements Broadcast {
  readonly mostBytes = 512 * 1024
  readonly #log: Log
  /** Stands at the head of each message: this process's own come back to it. */
  readonly #self = randomToken(9)
  /** A topic of its own, for the beat. */
  readonly #pulse = `${prefix}pulse:${this.#self}`
  readonly #listeners: Listeners
  readonly #teller: Redis
  readonly #hearer: Redis
  readonly #beatMs: number
  /** Topics that Redis has confirmed on the present session. */
  readonly #confirmed = new Set<string>()
  #settling: Promise<void> | undefined
  #unsettled = false
  /** The listening session takes subscriptions. */
  #listens = false
  #sharded = false
  #outbox: Told[] = []
  #waiting = 0
  #flushing = false
  #unheardBeats = 0
  #open = false
  #opened = Promise.withResolvers<void>()
  #closed = false
  readonly #beating: NodeJS.Timeout

  private constructor(options: RedisBroadcastOptions) {
    this.#log = options.log
    this.#beatMs = options.beatMs ?? 1_000
    this.#listeners = new Listeners((err, topic) => this.#log.error({ err, topic }, 'a listener failed'))
    this.#teller = this.#session(options.url)
    this.#hearer = this.#session(options.url)
    this.#hearer.on('ready', () => void this.#began())
    this.#hearer.on('close', () => this.#lost())
    this.#teller.on('close', () => this.#lost())
    this.#teller.on('ready', () => this.#beat())
    for (const event of ['message', 'smessage']) {
      this.#hearer.on(event, (topic: string, message: string) => this.#heard(topic, message))
    }
    this.#beating = setInterval(() => this.#beat(), this.#beatMs)
    this.#beating.unref()
  }

  /** Resolves when messages go to and fro, or after `patienceMs` without: a Redis that is away keeps nobody from starting. */
  static async open(options: RedisBroadcastOptions): Promise<RedisBroadcast> {
    const broadcast = new RedisBroadcast(options)
    for (const session of [broadcast.#teller, broadcast.#hearer]) {
      session.connect().catch((error) => broadcast.#log.debug({ err: error }, 'Redis is not reached yet'))
    }
    await Promise.race([
      broadcast.#opened.promise,
      delay(options.patienceMs ?? 2_000, undefined, { ref: false }),
    ])
    if (!broadcast.#open) {
      broadcast.#log.warn('Redis is not reached: nodes hear of each other through PostgreSQL until it is')
    }
    return broadcast
  }

  /** Messages go to and fro. */
  get connected(): boolean {
    return this.#open
  }

  /** Messages go to and fro. @throws AtomError `unavailable` */
  async check(): Promise<void> {
    if (!this.#open) throw new AtomError('unavailable', 'Redis is not reached.')
  }

  tell(topic: string, message: string): void {
    if (!this.#open) return
    const size = this.#self.length + message.length
    // A code unit takes three bytes of UTF-8 at most; only where it matters are they counted.
    const fits = size * 3 <= this.mostBytes || Buffer.byteLength(message) <= this.mostBytes
    if (!fits || this.#waiting + size > mostWaiting) {
      this.#log.debug({ topic, size }, 'a message was too much for Redis and is not told')
      return
    }
    this.#waiting += size
    this.#outbox.push({ topic: prefix + topic, message: this.#self + message })
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => this.#flush())
  }

  listen(topic: string, heard: (message: string) => void, missed?: () => void): Disposable {
    const listener = this.#listeners.add(topic, heard, missed, () => this.#settle())
    this.#settle()
    return listener
  }

  hears(topic: string): boolean {
    return this.#open && this.#confirmed.has(prefix + topic)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#open = false
    clearInterval(this.#beating)
    this.#listeners.clear()
    this.#teller.disconnect()
    this.#hearer.disconnect()
    await this.#settling
  }

  #session(url: Secret): Redis {
    const session = new Redis(url.reveal(), {
      lazyConnect: true,
      // What servers of any age speak.
      protocol: 2,
      connectionName: 'atom',
      connectTimeout: 2_000,
      // A link that is dead says no goodbye either.
      disconnectTimeout: 200,
      keepAlive: 10_000,
      // What cannot be told now is not worth telling later.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      // Topics are subscribed to again by `#settle`, which knows which are still wanted.
      autoResubscribe: false,
      retryStrategy: (tries) => Math.min(50 * 2 ** tries, longestPauseMs) * (0.5 + Math.random() / 2),
    })
    session.on('error', (error) => this.#log.debug({ err: error }, 'a session with Redis complained'))
    return session
  }

  async #began(): Promise<void> {
    try {
      // Null for a command that the server does not know.
      const [known] = (await this.#hearer.call('COMMAND', 'INFO', 'SPUBLISH')) as [unknown]
      this.#sharded = Array.isArray(known)
    } catch (error) {
      this.#log.debug({ err: error }, 'Redis does not say what it can; plain pub/sub is used')
      this.#sharded = false
    }
    this.#listens = true
    this.#settle()
  }

  #lost(): void {
    this.#listens = this.#hearer.status === 'ready' && this.#listens
    if (!this.#listens) this.#confirmed.clear()
    this.#shut('a session with Redis was lost')
  }

  #shut(why: string): void {
    if (!this.#open) return
    this.#open = false
    if (!this.#closed) {
      this.#log.warn(`${why}: nodes hear of each other through PostgreSQL until it is back`)
    }
  }

  /** Tells itself something. Who does not answer is not believed any more, and its sessions are replaced. */
  #beat(): void {
    if (this.#closed) return
    if (++this.#unheardBeats > missedBeats) {
      this.#unheardBeats = 0
      this.#shut('Redis does not answer')
      for (const session of [this.#teller, this.#hearer]) {
        if (session.status === 'connect' || session.status === 'ready') session.disconnect(true)
      }
      return
    }
    if (this.#teller.status !== 'ready' || !this.#confirmed.has(this.#pulse)) return
    this.#publish([{ topic: this.#pulse, message: '' }])
  }

  #heard(topic: string, message: string): void {
    if (topic === this.#pulse) {
      this.#unheardBeats = 0
      if (this.#open || this.#closed) return
      this.#open = true
      this.#opened.resolve()
      this.#log.info({ sharded: this.#sharded }, 'Redis carries what nodes tell each other')
      this.#listeners.missed()
    } else if (!message.startsWith(this.#self)) {
      this.#listeners.tell(topic.slice(prefix.length), message.slice(this.#self.length))
    }
  }

  #flush(): void {
    const outbox = this.#outbox
    this.#outbox = []
    this.#flushing = false
    this.#publish(outbox)
  }

  #publish(outbox: readonly Told[]): void {
    const pipeline = this.#teller.pipeline()
    for (const { topic, message } of outbox) {
      if (this.#sharded) pipeline.spublish(topic, message)
      else pipeline.publish(topic, message)
    }
    const bytes = outbox.reduce((sum, told) => sum + told.message.length, 0)
    pipeline
      .exec()
      .then((answers) => answers?.find(([error]) => error !== null)?.[0] ?? undefined)
      .catch((error: unknown) => error)
      .then((error) => {
        this.#waiting -= bytes
        if (error !== undefined) this.#log.debug({ err: error }, 'what was told did not reach Redis')
      })
  }

  /** Brings what Redis sends us to what is listened to. One round at a time; what changes meanwhile is the next round's. */
  #settle(): void {
    this.#unsettled = true
    this.#settling ??= this.#settleAll().finally(() => {
      this.#settling = undefined
    })
  }

  async #settleAll(): Promise<void> {
    // Rooms that are left and joined in the same turn cost nothing.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#unsettled && !this.#closed) {
      this.#unsettled = false
      // The next session begins with a round of its own.
      if (!this.#listens) continue
      const wanted = new Set([this.#pulse])
      for (const topic of this.#listeners.topics) wanted.add(prefix + topic)
      const missing = [...wanted].filter((topic) => !this.#confirmed.has(topic))
      const needless = [...this.#confirmed].filter((topic) => !wanted.has(topic))
      for (const topic of needless) this.#confirmed.delete(topic)
      // One command each, written together: on a sharded server the topics of one command must share a slot.
      const outcomes = await Promise.allSettled([
        ...missing.map((topic) => this.#subscribe(topic)),
        ...needless.map((topic) =>
          this.#sharded ? this.#hearer.sunsubscribe(topic) : this.#hearer.unsubscribe(topic),
        ),
      ])
      if (missing.includes(this.#pulse)) this.#beat()
      const failed = outcomes.find((outcome) => outcome.status === 'rejected')
      if (failed === undefined || !this.#listens) continue
      this.#log.debug({ err: failed.reason }, 'a topic could not be subscribed to')
      await delay(longestPauseMs, undefined, { ref: false })
      this.#unsettled = true
    }
  }

  async #subscribe(topic: string): Promise<void> {
    await (this.#sharded ? this.#hearer.ssubscribe(topic) : this.#hearer.subscribe(topic))
    if (this.#listens) this.#confirmed.add(topic)
  }
}
