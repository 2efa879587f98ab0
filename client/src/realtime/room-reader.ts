import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { Cursor, RoomFeed } from './room-feed.ts'

/**
 * A room's committed events, one after the other, without gaps or doubles, across everything that happens to the line. Read
 * with `for await`; it ends when the loop is left, `return` is called, or the signal asks for it, also in the middle of a wait.
 * It throws `timeline_reset` where going on would leave something out.
 */
export class RoomReader implements AsyncIterableIterator<RoomEvent>, AsyncDisposable {
  readonly #stop = new AbortController()
  readonly #events: AsyncGenerator<RoomEvent>
  #cursor: Cursor | undefined

  /** @param open keeps the room joined while it is read */
  constructor(parts: {
    feed: RoomFeed
    open: () => Disposable
    after: number | Cursor | undefined
    signal: AbortSignal | undefined
  }) {
    const signal = parts.signal ? AbortSignal.any([parts.signal, this.#stop.signal]) : this.#stop.signal
    const reached = (cursor: Cursor) => {
      this.#cursor = cursor
    }
    this.#events = (async function* () {
      const held = parts.open()
      try {
        yield* parts.feed.follow(parts.after, signal, reached)
      } finally {
        held[Symbol.dispose]()
      }
    })()
  }

  /** Right behind the last event that was handed over: keep it, and `feed({ after: cursor })` goes on from there, ever after. */
  get cursor(): Cursor | undefined {
    return this.#cursor
  }

  next(): Promise<IteratorResult<RoomEvent>> {
    return this.#events.next()
  }

  return(): Promise<IteratorResult<RoomEvent>> {
    // First the wait, then the generator: a generator alone would finish waiting for the next event before it returned.
    this.#stop.abort()
    return this.#events.return(undefined)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
