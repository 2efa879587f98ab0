import { setTimeout as delay } from 'node:timers/promises'
import type { FoundMessage } from '@atom/contract/rooms.ts'
import type { Principal } from '#access/principal.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { isMessage } from './amendments.ts'
import { readMomentCursor, writeMomentCursor } from './moment-cursor.ts'
import { eventsAt } from './room-store.ts'
import type { Rooms } from './rooms.ts'
import * as store from './search-store.ts'
import type { RoomNews, Timeline } from './timeline.ts'

export interface SearchOptions {
  readonly database: Database
  readonly timeline: Timeline
  readonly rooms: Rooms
  readonly log: Log
  /** How often rooms are looked for whose news did not come through. */
  readonly sweepMs?: number
}

/** Rooms that one sweep finds; the next one finds the others. */
const sweepRooms = 500
/** A search for the best goes on no further than this; who needs more words it better. */
const mostSkipped = 1_000

/**
 * Finds what was said. The index follows the timeline a moment behind it, from a cursor of its own for each room: nothing that
 * is said waits for it, and what it missed, it takes up later.
 */
export class Search implements AsyncDisposable {
  readonly #database: Database
  readonly #rooms: Rooms
  readonly #log: Log
  readonly #release = new DisposableStack()
  readonly #behind = new Set<string>()
  /** What this process has committed so far. */
  #told = 0
  #working: Promise<void> | undefined
  readonly #closing = new AbortController()

  constructor(options: SearchOptions) {
    this.#database = options.database
    this.#rooms = options.rooms
    this.#log = options.log
    this.#release.use(options.timeline.subscribe((news) => this.#heard(news), undefined, 'own'))
    const sweep = setInterval(() => void this.#sweep(), options.sweepMs ?? 60_000)
    sweep.unref()
    this.#release.defer(() => clearInterval(sweep))
    void this.#sweep()
  }

  /** @throws AtomError `not_found`, `not_a_member` for a room named; `validation_failed` for a cursor that is not one */
  async find(
    principal: Principal,
    asked: {
      readonly q: string
      readonly roomId?: string | undefined
      readonly from?: string | undefined
      readonly order?: 'newest' | 'best' | undefined
      readonly cursor?: string | undefined
      readonly limit?: number | undefined
    },
  ): Promise<{ items: FoundMessage[]; next: string | null }> {
    const { roomId, from, limit = 20 } = asked
    if (roomId !== undefined) await this.#rooms.requireMember(principal, roomId)
    const page = pageOf(asked.order ?? 'best', asked.cursor)
    const found = await store.find(this.#database, principal, wantedOf(asked.q), {
      roomId,
      from,
      limit: limit + 1,
      page,
    })
    const hits = found.slice(0, limit)
    const messages = new Map(
      (await eventsAt(this.#database, hits)).map(({ roomId: id, event }) => [`${id} ${event.seq}`, event]),
    )
    const items = hits.flatMap((hit): FoundMessage[] => {
      const message = messages.get(`${hit.roomId} ${hit.seq}`)
      // It may have been deleted between the two looks.
      if (message === undefined || !isMessage(message) || message.deletedAt !== undefined) return []
      return [{ roomId: hit.roomId, message, ...unmarked(hit.excerpt) }]
    })
    const last = found.length > limit ? hits.at(-1) : undefined
    return { items, next: last === undefined ? null : nextOf(page, last, limit) }
  }

  /** Resolves when everything heard of so far is in the index. */
  async settled(): Promise<void> {
    while (this.#working !== undefined) await this.#working
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.#release.dispose()
    await this.#working
  }

  #heard({ roomId, ended, echo }: RoomNews): void {
    // Another process wrote it and indexes it; should it die before, the sweep finds the room.
    if (ended === true || echo === true) return
    this.#told++
    this.#behind.add(roomId)
    this.#working ??= this.#work()
  }

  async #sweep(): Promise<void> {
    try {
      const rooms = await store.roomsBehind(this.#database, sweepRooms)
      for (const roomId of rooms) this.#behind.add(roomId)
      if (rooms.length > 0 && !this.#closing.signal.aborted) this.#working ??= this.#work()
    } catch (error) {
      this.#failed(error)
    }
  }

  /** One room after the other, a step at a time, so that a long one keeps nobody waiting. Never rejects. */
  async #work(): Promise<void> {
    // What is said at the same time is taken up together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#behind.size > 0 && !this.#closing.signal.aborted) {
      const [roomId] = this.#behind
      if (roomId === undefined) break
      this.#behind.delete(roomId)
      const told = this.#told
      const began = performance.now()
      try {
        const { more } = await this.#database.transaction((tx) => store.indexNext(tx, roomId))
        if (more) this.#behind.add(roomId)
      } catch (error) {
        this.#failed(error)
      }
      const restMs = restAfter(performance.now() - began, this.#told !== told)
      if (restMs > 0) await delay(restMs, undefined, { signal: this.#closing.signal }).catch(() => undefined)
    }
    this.#working = undefined
  }

  /** The sweep finds the room again. */
  #failed(error: unknown): void {
    const passing = error instanceof AtomError && error.row.retryable
    this.#log[passing ? 'debug' : 'error']({ err: error }, 'messages could not be made searchable')
  }
}

/** What is nobody's to wait for leaves three quarters of its time to those who wait for their answer. */
const restsPerStep = 3
/** Also after a step that took long for another reason, such as a database that stood still. */
const longestRestMs = 1_000

/**
 * How long the index rests after a step, in milliseconds. Taking up a message is three to four times the work of storing it, and
 * without rest a crowd that talks would share its database with that; in quiet there is nobody to give way to.
 *
 * @param told whether something was said during the step
 */
export function restAfter(workedMs: number, told: boolean): number {
  return told ? Math.min(restsPerStep * workedMs, longestRestMs) : 0
}

/**
 * The last word may be half typed: it is also looked for as the beginning of one. Not where the query says more than words, since
 * its last word then belongs to a phrase, an exclusion, or a choice.
 */
export function wantedOf(q: string): store.Wanted {
  const query = q.trim()
  const typed = /^(?:(?<rest>.*)\s)?(?<last>[\p{L}\p{N}]{2,})$/su.exec(query)?.groups
  if (typed?.['last'] === undefined || /["-]|(?:^|\s)or(?:\s|$)/iu.test(query)) return { query }
  return { query, typed: { rest: (typed['rest'] ?? '').trim(), last: typed['last'] } }
}

function unmarked(marked: string): Pick<FoundMessage, 'excerpt' | 'matches'> {
  let excerpt = ''
  const matches: { start: number; end: number }[] = []
  for (const [index, part] of marked.split(/[\uE000\uE001]/u).entries()) {
    // Marks come in pairs, so every second part lies between two.
    if (index % 2 === 1) matches.push({ start: excerpt.length, end: excerpt.length + part.length })
    excerpt += part
  }
  return { excerpt, matches }
}

type Page = Parameters<typeof store.find>[3]['page']

function pageOf(order: 'newest' | 'best', cursor: string | undefined): Page {
  if (cursor === undefined) return order === 'newest' ? { order } : { order, skip: 0 }
  if (order === 'newest') {
    const { at, id, seq } = readMomentCursor(cursor) ?? {}
    if (at !== undefined && id !== undefined && seq !== undefined)
      return { order, after: { at, roomId: id, seq } }
  } else {
    const skip = Number(/^(\d{1,4})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1] ?? Number.NaN)
    if (skip <= mostSkipped) return { order, skip }
  }
  throw new AtomError('validation_failed', 'The cursor is not one of ours; start again without it.')
}

function nextOf(page: Page, last: store.Found, limit: number): string | null {
  if (page.order === 'newest') return writeMomentCursor({ at: last.at, id: last.roomId, seq: last.seq })
  const skip = page.skip + limit
  return skip > mostSkipped ? null : Buffer.from(String(skip)).toString('base64url')
}
