import type { RoomSignal } from '@atom/contract/socket.ts'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import type { Log } from '#foundation/log.ts'

export interface SignalsOptions {
  readonly broadcast: Broadcast
  readonly log: Log
  /** Signals for other processes are gathered this long, so that an answer growing token by token is one piece. */
  readonly gatherMs?: number
}

type Heard = (signal: RoomSignal) => void

/** What waits for other processes while signals are gathered; beyond this the newest are lost. */
const mostWaiting = 500

/**
 * What is told and never stored: somebody types, an answer grows. This process hears it at once, the others a moment later,
 * merged, of the rooms that it follows. Nothing is kept, and any of it may be lost: a client that misses a piece of an answer
 * sees the gap in its offsets.
 */
export class Signals implements AsyncDisposable {
  readonly #broadcast: Broadcast
  readonly #log: Log
  readonly #gatherMs: number
  readonly #subscribers = new Set<Heard>()
  #waiting: RoomSignal[] = []
  #sending: Promise<void> | undefined
  #closed = false

  constructor(options: SignalsOptions) {
    this.#broadcast = options.broadcast
    this.#log = options.log
    this.#gatherMs = options.gatherMs ?? 50
  }

  /** Somebody here wants what other processes signal about this room. */
  follow(roomId: string): Disposable {
    return this.#broadcast.listen(topicOf(roomId), (message) => this.#heard(message))
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
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0) {
      if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, this.#gatherMs))
      const signals = this.#waiting
      this.#waiting = []
      for (const [roomId, ofRoom] of Map.groupBy(signals, (signal) => signal.roomId)) {
        for (const message of packed(ofRoom, this.#broadcast.mostBytes)) {
          this.#broadcast.tell(topicOf(roomId), message)
        }
      }
    }
    this.#sending = undefined
  }

  #heard(message: string): void {
    try {
      for (const signal of JSON.parse(message) as RoomSignal[]) this.#announce(signal)
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

function topicOf(roomId: string): string {
  return `signals:${roomId}`
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

/** Messages that fit: as many signals in each as go in, long deltas in pieces. */
export function packed(signals: readonly RoomSignal[], mostBytes: number): string[] {
  const payloads: string[] = []
  let parts: string[] = []
  let bytes = 0
  const finish = () => {
    if (parts.length > 0) payloads.push(`[${parts.join(',')}]`)
    parts = []
    bytes = 2
  }
  finish()
  for (const signal of signals.flatMap(inPieces)) {
    const part = JSON.stringify(signal)
    const size = Buffer.byteLength(part) + 1
    if (bytes + size > mostBytes) finish()
    if (bytes + size > mostBytes) continue
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
