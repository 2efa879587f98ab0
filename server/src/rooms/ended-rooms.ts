import { setTimeout as delay } from 'node:timers/promises'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { outside } from '#foundation/telemetry/trace.ts'
import * as store from './ended-room-store.ts'
import type { Timeline } from './timeline.ts'

/** Deletes what somebody else keeps of these places of a room. */
export type Clearing = (tx: Transaction, roomId: string, places: store.Places) => Promise<void>

export interface EndedRoomsOptions {
  readonly database: Database
  readonly timeline: Pick<Timeline, 'subscribe'>
  readonly log: Log
  /** Besides what the rooms keep themselves. */
  readonly clearings?: readonly Clearing[]
  /** How many places one transaction deletes. */
  readonly piece?: number
  /** How often rooms are looked for that another process has ended, or left half deleted. */
  readonly sweepMs?: number
}

/**
 * Deletes what ended rooms held, a piece at a time: each is a short transaction that also says how far it has come, so that
 * whoever comes next goes on from there, whatever became of the one before. Several processes take different rooms.
 */
export class EndedRooms implements AsyncDisposable {
  readonly #database: Database
  readonly #log: Log
  readonly #clearings: readonly Clearing[]
  readonly #piece: number
  readonly #release = new DisposableStack()
  readonly #closing = new AbortController()
  #working: Promise<void> | undefined
  #again = false

  constructor(options: EndedRoomsOptions) {
    this.#database = options.database
    this.#log = options.log
    this.#clearings = options.clearings ?? []
    this.#piece = options.piece ?? 2_000
    this.#release.use(
      options.timeline.subscribe(({ ended }) => ended === true && this.#look(), undefined, 'own'),
    )
    const sweep = setInterval(() => this.#look(), options.sweepMs ?? 60_000)
    sweep.unref()
    this.#release.defer(() => clearInterval(sweep))
    this.#look()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.#release.dispose()
    await this.#working
  }

  #look(): void {
    this.#again = true
    this.#working ??= outside(() => this.#work())
  }

  /** Never rejects: what could not be deleted is found by the next look. */
  async #work(): Promise<void> {
    const { signal } = this.#closing
    try {
      while (this.#again && !signal.aborted) {
        this.#again = false
        const began = performance.now()
        if (!(await this.#database.transaction((tx) => this.#deleteNext(tx)))) continue
        this.#again = true
        // As long as it took, so that half of what it takes is left to who waits for an answer.
        await delay(performance.now() - began, undefined, { signal })
      }
    } catch (error) {
      if (!signal.aborted) {
        const passing = error instanceof AtomError && error.row.retryable
        this.#log[passing ? 'debug' : 'error']({ err: error }, 'what ended rooms held could not be deleted')
      }
    }
    this.#working = undefined
  }

  /** False: nothing is left, or others are at it. */
  async #deleteNext(tx: Transaction): Promise<boolean> {
    const next = await store.takeNext(tx, this.#piece)
    if (next === undefined) return false
    const { roomId, places, last } = next
    for (const clear of this.#clearings) await clear(tx, roomId, places)
    await store.deletePlaces(tx, roomId, places)
    if (last) await store.forget(tx, roomId)
    else await store.goOnFrom(tx, roomId, places.to)
    return true
  }
}
