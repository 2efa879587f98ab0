import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { Log } from '#foundation/log.ts'
import { unavailable } from './failures.ts'

/** A session without traffic is asked this often whether it is still there: a dead link sends no goodbye. */
const heartbeatMs = 15_000
const answerWithinMs = 5_000
const longestPauseMs = 5_000

type Heard = (payload: string) => void

/** The one session that hears NOTIFY, for all channels; lost sessions are replaced until it is disposed. */
export class Notifications implements AsyncDisposable {
  readonly #settings: pg.ClientConfig
  readonly #log: Log
  readonly #restMs: (() => number) | undefined
  readonly #listeners = new Map<string, Set<Heard>>()
  readonly #ended = new AbortController()
  #session: pg.Client | undefined
  #opening: Promise<pg.Client> | undefined
  #returning: Promise<void> | undefined
  #resting: { readonly over: NodeJS.Timeout; readonly stream: pg.Connection['stream'] } | undefined
  #settling = false
  /** Something was heard since this was looked at. */
  #more = false
  // LISTEN and UNLISTEN go to the server one after the other, so that their order is the order of the calls.
  #turn: Promise<unknown> = Promise.resolve()

  /**
   * `restMs`: asked after each reading how long to let further ones wait; 0: not at all. To be woken is most of what a
   * notification costs, so those that nobody is in a hurry for are better read together.
   */
  constructor(options: {
    readonly settings: pg.ClientConfig
    readonly log: Log
    readonly restMs?: () => number
  }) {
    // A paused socket goes on reading until this much has gathered, and each reading is what the rest is to spare. (One made for
    // TLS has a buffer of its own, and rests less well.)
    const small = { allowHalfOpen: false, highWaterMark: 1 }
    const stream = () => new Socket(small)
    this.#settings = options.restMs === undefined ? options.settings : { ...options.settings, stream }
    this.#log = options.log
    this.#restMs = options.restMs
  }

  async listen(channel: string, heard: Heard): Promise<AsyncDisposable> {
    const listeners = this.#listeners.get(channel) ?? new Set()
    // A wrapper, so that the same function may listen twice and leave once.
    const listener: Heard = (payload) => heard(payload)
    this.#listeners.set(channel, listeners)
    listeners.add(listener)
    try {
      await this.#inTurn((session) => session.query(`listen ${pg.escapeIdentifier(channel)}`))
    } catch (error) {
      this.#forget(channel, listener)
      throw unavailable(error)
    }
    return {
      [Symbol.asyncDispose]: async () => {
        if (!this.#forget(channel, listener) || this.#session === undefined) return
        try {
          await this.#inTurn(async (session) => {
            if (!this.#listeners.has(channel)) await session.query(`unlisten ${pg.escapeIdentifier(channel)}`)
          })
        } catch (error) {
          this.#log.debug({ err: error }, 'UNLISTEN failed; nobody listens any more all the same')
        }
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#listeners.clear()
    await this.#returning
    await this.#opening?.catch(() => undefined)
    this.wake()
    await this.#session?.end()
  }

  /** Whoever rests reads on now, and is asked anew. */
  wake(): void {
    if (this.#resting === undefined) return
    clearTimeout(this.#resting.over)
    this.#resting.stream.resume()
    this.#resting = undefined
  }

  /** Nobody listens, or the session that does is there. */
  get hears(): boolean {
    return this.#listeners.size === 0 || this.#session !== undefined
  }

  /** True when the channel has nobody left. */
  #forget(channel: string, listener: Heard): boolean {
    const listeners = this.#listeners.get(channel)
    if (listeners === undefined || !listeners.delete(listener) || listeners.size > 0) return false
    return this.#listeners.delete(channel)
  }

  async #inTurn(work: (session: pg.Client) => Promise<unknown>): Promise<void> {
    const done = this.#turn.then(async () => {
      await work(this.#session ?? (await this.#open()))
    })
    this.#turn = done.catch(() => undefined)
    await done
  }

  #open(): Promise<pg.Client> {
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #connect(): Promise<pg.Client> {
    this.#ended.signal.throwIfAborted()
    const session = new pg.Client({ ...this.#settings, query_timeout: answerWithinMs })
    session.on('error', (error) => this.#log.debug({ err: error }, 'the listening session complained'))
    session.on('notification', ({ channel, payload }) => {
      this.#tell(channel, payload ?? '')
      if (this.#restMs !== undefined) this.#rest(session)
    })
    try {
      await session.connect()
      for (const channel of this.#listeners.keys())
        await session.query(`listen ${pg.escapeIdentifier(channel)}`)
    } catch (error) {
      session.end().catch((late) => this.#log.debug({ err: late }, 'a half-open session complained'))
      throw error
    }
    const heartbeat = setInterval(() => {
      this.#turn = this.#turn
        .then(() => session.query('select 1'))
        .catch((error) => {
          this.#log.warn({ err: error }, 'the listening session does not answer and is replaced')
          session.end().catch((late) => this.#log.debug({ err: late }, 'a silent session complained'))
        })
    }, heartbeatMs)
    heartbeat.unref()
    session.once('end', () => {
      clearInterval(heartbeat)
      this.wake()
      if (this.#session !== session) return
      this.#session = undefined
      if (!this.#ended.signal.aborted) this.#returning ??= this.#comeBack()
    })
    this.#session = session
    return session
  }

  /**
   * Lets the next ones wait in the connection, to be read in one go; but only when a turn of the event loop has brought nothing:
   * one reading is 64 KB at most, and who rests after each would fall behind those who tell more.
   */
  #rest({ connection: { stream } }: pg.Client): void {
    this.#more = true
    if (this.#resting !== undefined || this.#settling) return
    this.#settling = true
    const settle = () => {
      if (this.#more) {
        this.#more = false
        setImmediate(settle)
        return
      }
      this.#settling = false
      const ms = this.#restMs?.() ?? 0
      if (ms === 0 || this.#ended.signal.aborted) return
      stream.pause()
      const over = setTimeout(() => {
        this.#resting = undefined
        stream.resume()
      }, ms)
      this.#resting = { over, stream }
    }
    setImmediate(settle)
  }

  async #comeBack(): Promise<void> {
    this.#log.warn('the session that hears notifications was lost')
    for (let pauseMs = 50; !this.#ended.signal.aborted; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: this.#ended.signal })
        if (this.#session === undefined) await this.#open()
        if (this.#session === undefined) continue
        this.#returning = undefined
        this.#log.info('notifications are heard again')
        for (const channel of this.#listeners.keys()) this.#tell(channel, '')
        return
      } catch (error) {
        this.#log.debug({ err: error }, 'notifications are not heard yet')
      }
    }
  }

  #tell(channel: string, payload: string): void {
    for (const heard of this.#listeners.get(channel) ?? []) {
      try {
        heard(payload)
      } catch (error) {
        this.#log.error({ err: error, channel }, 'a listener failed on a notification')
      }
    }
  }
}
