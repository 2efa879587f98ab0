import type { MembershipChange } from '#rooms/membership-news.ts'

interface Word {
  readonly now: MembershipChange['now']
  readonly seq: number
}

/** Who comes and goes in more rooms than this while one socket is open may be told of the oldest ones in any order. */
const most = 1_000

/**
 * What a socket was told last of its person's coming into rooms and going out of them. Words of it come on several ways, and a
 * later one may be quicker; which is the later one is said by the room's own log.
 */
export class Comings {
  // Made when there is something to remember: most sockets never hear such a word.
  #last: Map<string, Word> | undefined

  /** Remembers a word; false where the same or a later one was heard before. One without a place is true, and forgotten. */
  heard(roomId: string, now: Word['now'], seq: number | undefined): boolean {
    if (seq === undefined) {
      this.#last?.delete(roomId)
      return true
    }
    const known = this.#last?.get(roomId)
    if (known !== undefined && (seq < known.seq || (seq === known.seq && now === known.now))) return false
    this.#last ??= new Map()
    this.#last.delete(roomId)
    this.#last.set(roomId, { now, seq })
    for (const oldest of this.#last.keys()) {
      if (this.#last.size <= most) break
      this.#last.delete(oldest)
    }
    return true
  }

  /** Whether the last word is that they came in, at a place after this one. */
  cameAfter(roomId: string, seq: number): boolean {
    const known = this.#last?.get(roomId)
    return known?.now === 'in' && known.seq > seq
  }
}
