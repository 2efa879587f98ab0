import pg from 'pg'
import { type Clock, systemClock } from '#foundation/clock.ts'
import type { Log } from '#foundation/log.ts'
import { unavailable } from './failures.ts'
import type { DatabaseAddress } from './pool.ts'

export interface DatabaseProbeOptions {
  readonly connection: DatabaseAddress
  readonly log: Log
  readonly clock?: Clock
  /** How long a connection, and then an answer, may take. */
  readonly timeoutMs?: number
}

/** What the database answered, and when. */
export interface DatabaseAnswer {
  readonly latencyMs: number
  /** How far this machine's clock is ahead of the database's, in ms. */
  readonly clockAheadMs: number
}

/**
 * Asks the database how it is, on a session of its own: a pool that is full of slow work would make a busy database look dead, and
 * take every process out of traffic at once.
 */
export class DatabaseProbe implements AsyncDisposable {
  readonly #connection: DatabaseAddress
  readonly #log: Log
  readonly #clock: Clock
  readonly #timeoutMs: number
  #session: pg.Client | undefined
  #closed = false

  constructor(options: DatabaseProbeOptions) {
    this.#connection = options.connection
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
    this.#timeoutMs = options.timeoutMs ?? 1_000
  }

  /** @throws AtomError `unavailable` */
  async ask(): Promise<DatabaseAnswer> {
    let session = this.#session
    try {
      session ??= await this.#connect()
      const asked = this.#clock.now().getTime()
      const began = performance.now()
      const { rows } = await session.query<{ at: number }>(
        'select extract(epoch from clock_timestamp())::float8 * 1000 as at',
      )
      const latencyMs = performance.now() - began
      const at = rows[0]?.at ?? Number.NaN
      return { latencyMs, clockAheadMs: asked + latencyMs / 2 - at }
    } catch (error) {
      if (session !== undefined) this.#drop(session)
      throw unavailable(error)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    if (this.#session !== undefined) this.#drop(this.#session)
  }

  async #connect(): Promise<pg.Client> {
    const session = new pg.Client({
      application_name: 'atom',
      ...this.#connection,
      connectionTimeoutMillis: this.#timeoutMs,
      query_timeout: this.#timeoutMs,
      statement_timeout: this.#timeoutMs,
    })
    session.on('error', (error) => {
      this.#log.debug({ err: error }, 'the session that asks the database how it is was lost')
      if (this.#session === session) this.#session = undefined
    })
    await session.connect()
    if (this.#closed) {
      this.#drop(session)
      throw new Error('the probe of the database was closed')
    }
    this.#session = session
    return session
  }

  /** Says goodbye without waiting for an answer: whoever hangs gives none. */
  #drop(session: pg.Client): void {
    if (this.#session === session) this.#session = undefined
    session.end().catch((error) => this.#log.debug({ err: error }, 'a session with the database complained'))
  }
}
