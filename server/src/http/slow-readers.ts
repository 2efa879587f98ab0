import type { Socket } from 'node:net'

export interface DrainRate {
  /** How long a connection is looked at before it is judged, ms. */
  readonly overMs: number
  /** What it must have taken off our hands in that time while something waited for it, bytes. */
  readonly bytes: number
}

/** 1 KiB a second: a tenth of what the slowest link that carries a page at all takes. */
export const defaultDrainRate: DrainRate = { overMs: 30_000, bytes: 30 * 1024 }

interface Watched {
  taken: number
  since: number
}

/**
 * Ends connections that ask and do not read: each keeps its answer in memory for as long as it likes. A connection for which
 * nothing waits is never judged, so streams may be quiet, and neither are those that have become WebSockets, which have rules of their own.
 */
export class SlowReaders {
  readonly #rate: DrainRate
  readonly #now: () => number
  readonly #watched = new WeakMap<Socket, Watched>()
  /** Connections that were ended. */
  ended = 0

  constructor(rate: DrainRate = defaultDrainRate, now: () => number = () => performance.now()) {
    this.#rate = rate
    this.#now = now
  }

  /** Looks at all of them; several times within `overMs`. */
  look(sockets: Iterable<Socket>): void {
    const now = this.#now()
    for (const socket of sockets) {
      if (socket.writableLength === 0) {
        this.#watched.delete(socket)
        continue
      }
      const taken = socket.bytesWritten - socket.writableLength
      const watched = this.#watched.get(socket)
      if (watched === undefined || taken - watched.taken >= this.#rate.bytes) {
        this.#watched.set(socket, { taken, since: now })
      } else if (now - watched.since >= this.#rate.overMs) {
        this.ended++
        socket.destroy()
      }
    }
  }
}
