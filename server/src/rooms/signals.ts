import type { RoomSignal } from '@atom/contract/socket.ts'
import sql from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'

export interface SignalsOptions {
  readonly database: Database
  readonly log: Log
  /** Signals for other processes are gathered this long, so that an answer growing token by token is one piece. */
  readonly gatherMs?: number
}

type Heard = (signal: RoomSignal) => void

const channel = 'atom_signals'
/** PostgreSQL takes a payload below 8,000 bytes. */
const payloadBytes = 7_900
/** What waits for other processes when the database is slow; beyond this the newest are lost. */
const mostWaiting = 500

/**
 * What is told and never stored: somebody types, an answer grows. This process hears it at once, the others a moment later,
 * merged. Nothing is kept, and any of it may be lost: a client that misses a piece of an answer sees the gap in its offsets.
 */
export class Signals implements AsyncDisposable {
  readonly #database: Database
  readonly #log: Log
  readonly #gatherMs: number
  /** Tells this process's own notifications from the others'. */
  readonly #self = newId()
  readonly #subscribers = new Set<Heard>()
  #waiting: RoomSignal[] = []
  #sending: Promise<void> | undefined
  #listening: AsyncDisposable | undefined
  #closed = false

  private constructor(options: SignalsOptions) {
    this.#database = options.database
    this.#log = options.log
    this.#gatherMs = options.gatherMs ?? 50
  }

  /** Resolves once other processes are heard. */
  static async open(options: SignalsOptions): Promise<Signals> {
    const signals = new Signals(options)
    signals.#listening = await options.database.listen(channel, (payload) => signals.#heard(payload))
    return signals
  }

  /** Never waits and never throws. */
  tell(signal: RoomSignal): void {
    this.#announce(signal)
    if (this.#closed) return
    merge(this.#waiting, signal)
    if (this.#waiting.length > mostWaiting) this.#waiting.pop()
    this.#sending ??= this.#send()
  }

  subscribe(heard: Heard): Disposable {
    this.#subscribers.add(heard)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(heard) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#subscribers.clear()
    await this.#sending
    await this.#listening?.[Symbol.asyncDispose]()
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0) {
      if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, this.#gatherMs))
      const signals = this.#waiting
      this.#waiting = []
      try {
        const payloads = packed(this.#self, signals)
        await this.#database.query(
          sql`select pg_notify(${channel}, payload) from unnest(${payloads}::text[]) as payload`,
        )
      } catch (error) {
        this.#log.debug({ err: error, signals: signals.length }, 'signals did not reach other processes')
      }
    }
    this.#sending = undefined
  }

  #heard(payload: string): void {
    // Empty after a lost session: what was missed is missed.
    if (payload === '' || payload.startsWith(this.#self)) return
    try {
      for (const signal of JSON.parse(payload.slice(this.#self.length)) as RoomSignal[])
        this.#announce(signal)
    } catch (error) {
      this.#log.warn({ err: error }, 'signals of another process could not be read')
    }
  }

  #announce(signal: RoomSignal): void {
    for (const heard of this.#subscribers) {
      try {
        heard(signal)
      } catch (error) {
        this.#log.error({ err: error }, 'somebody who hears signals failed')
      }
    }
  }
}

/** Adds a signal; a delta that follows on the last one of its message becomes part of it. */
export function merge(waiting: RoomSignal[], signal: RoomSignal): void {
  if (signal.kind === 'delta') {
    const at = waiting.findLastIndex(
      (other) => other.kind === 'delta' && other.messageId === signal.messageId,
    )
    const last = waiting[at]
    if (
      last?.kind === 'delta' &&
      last.attempt === signal.attempt &&
      last.offset + last.text.length === signal.offset
    ) {
      waiting[at] = { ...last, text: last.text + signal.text }
      return
    }
  }
  waiting.push(signal)
}

/** Payloads that fit: as many signals in each as go in, long deltas in pieces. */
export function packed(self: string, signals: readonly RoomSignal[]): string[] {
  const payloads: string[] = []
  let parts: string[] = []
  let bytes = 0
  const finish = () => {
    if (parts.length > 0) payloads.push(`${self}[${parts.join(',')}]`)
    parts = []
    bytes = self.length + 2
  }
  finish()
  for (const signal of signals.flatMap(inPieces)) {
    const part = JSON.stringify(signal)
    const size = Buffer.byteLength(part) + 1
    if (bytes + size > payloadBytes) finish()
    if (bytes + size > payloadBytes) continue
    parts.push(part)
    bytes += size
  }
  finish()
  return payloads
}

/** A code unit takes six bytes at most (`\u0000`), so pieces of this many always fit. */
const pieceLength = 1_000

function inPieces(signal: RoomSignal): RoomSignal[] {
  if (signal.kind !== 'delta' || signal.text.length <= pieceLength) return [signal]
  const pieces: RoomSignal[] = []
  for (let at = 0; at < signal.text.length; at += pieceLength) {
    pieces.push({ ...signal, offset: signal.offset + at, text: signal.text.slice(at, at + pieceLength) })
  }
  return pieces
}
