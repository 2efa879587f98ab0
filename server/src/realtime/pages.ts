import type { EventPage } from '@atom/contract/rooms.ts'
import type { Timeline } from '#rooms/timeline.ts'

/**
 * Reads of timelines for sockets: so many at a time that a thousand clients who come back at once leave sessions of the
 * database for everybody else, and each page once for all who wait for the same one.
 */
export class Pages {
  readonly #timeline: Pick<Timeline, 'since' | 'newest'>
  readonly #most: number
  /** By the room as it is here, so that nothing read before somebody entered an empty room is taken for news. */
  readonly #underWay = new WeakMap<object, Map<number, Promise<EventPage>>>()
  readonly #waiting: (() => void)[] = []
  #running = 0

  /** `most`: reads at a time. */
  constructor(options: { readonly timeline: Pick<Timeline, 'since' | 'newest'>; readonly most: number }) {
    this.#timeline = options.timeline
    this.#most = options.most
  }

  /** The page after a cursor; shared with who asks for it meanwhile. Throws as `Timeline.since` does. */
  since(room: { readonly id: string }, after: number): Promise<EventPage> {
    return this.#shared(room, after, () => this.#timeline.since(room.id, after))
  }

  newest(room: { readonly id: string }): Promise<EventPage> {
    return this.#shared(room, Number.POSITIVE_INFINITY, () => this.#timeline.newest(room.id))
  }

  /** Does something else that reads, when its turn comes. */
  async inTurn<T>(read: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      return await read()
    } finally {
      // The place goes to the next one without being given back, so nobody comes between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  #shared(room: object, key: number, read: () => Promise<EventPage>): Promise<EventPage> {
    let pages = this.#underWay.get(room)
    if (pages === undefined) {
      pages = new Map()
      this.#underWay.set(room, pages)
    }
    const shared = pages.get(key)
    if (shared !== undefined) return shared
    const mine = pages
    const page = this.inTurn(read).finally(() => mine.delete(key))
    pages.set(key, page)
    return page
  }
}
