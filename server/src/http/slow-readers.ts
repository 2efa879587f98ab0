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
  /** Bytes of writes that are over. */
  written: number
  /** Bytes of the write under way that the kernel has not taken. */
  queued: number
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
      const written = socket.bytesWritten - socket.writableLength
      const queued = queuedIn(socket)
      const watched = this.#watched.get(socket)
      const taken =
        watched === undefined ? 0 : written - watched.written + Math.max(0, watched.queued - queued)
      if (watched === undefined || taken >= this.#rate.bytes) {
        this.#watched.set(socket, { written, queued, since: now })
      } else if (now - watched.since >= this.#rate.overMs) {
        this.ended++
        socket.destroy()
      }
    }
  }
}

/**
 * What the kernel has not taken of the write under way, bytes. An answer is one write, and to the stream it is all there until its last
 * byte is gone, which takes minutes over a slow line. Only the handle tells how far it is; Node's own time-out of a socket asks
 * it the same.
 */
function queuedIn(
  socket: Socket & { readonly _handle?: { readonly writeQueueSize?: number } | null },
): number {
  return socket._handle?.writeQueueSize ?? 0
}
