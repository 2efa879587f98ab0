import { type EventPage, limits, type RoomEvent } from '@atom/contract/rooms.ts'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import type { Database, Listening, Queryable, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { outside } from '#foundation/telemetry/trace.ts'
import { RoomCarrier } from './room-carrier.ts'
import * as store from './room-store.ts'

export type { EventDraft } from './room-store.ts'

/** Something was committed. */
export interface RoomNews {
  readonly roomId: string
  /** At least this many events exist now. */
  readonly head: number
  /** The room is gone, with everything in it. */
  readonly ended?: true
  /** What is new, in order: where this process wrote it, or another one carried it here. Otherwise the number says it all. */
  readonly events?: readonly RoomEvent[]
  /** Another process wrote it, which works on it as well; or this one, and has told of it before. */
  readonly echo?: true
}

/** What somebody says they have: everything up to `seq` of the timeline `epoch`. */
export interface Cursor {
  readonly epoch?: string | undefined
  readonly seq: number
}

/**
 * Whether a cursor leads nowhere: it names another timeline; or lies beyond the head, so that its timeline is no more, whatever
 * it names; or what followed it is no longer kept.
 */
export function isVoid({ epoch, seq }: Cursor, room: store.Heads): boolean {
  const another = epoch !== undefined && epoch.toLowerCase() !== room.epoch
  return another || seq > room.head || seq < room.floor - 1
}

export interface TimelineOptions {
  readonly database: Database
  readonly log: Log
  /** How often subscribers are told to look for themselves, should a notification have been lost. */
  readonly recheckMs?: number
  /**
   * Carries committed events to the processes where somebody follows their room. Without it, and whenever it loses one, they
   * are told the number by the database and read what it says.
   */
  readonly broadcast?: Broadcast | undefined
  /** How long events that a broadcast should bring may be on their way before they are read from the database. */
  readonly patienceMs?: number | undefined
}

/** As `append_room_events` names it. */
const channel = 'atom_rooms'
/**
 * After commits that nobody here waits for, the next ones may wait this long to be heard of: a node that is woken for each
 * commit of all the others spends more on that than on what they say. With a broadcast, which brings what is waited for;
 * without, where the first event of a room that has been silent may come that much later; and while nobody here follows any
 * room, where only the dispatcher listens, which waits longer anyway.
 */
const rests = { withBroadcast: 100, alone: 40, nobody: 500 } as const
/** A page ends early when its bodies are larger than this, but holds at least one event. */
const pageSize = 256 * 1024

/**
 * What of other processes somebody wants to hear; what this one commits everybody hears. `followed`: of rooms that somebody
 * here follows or watches. On a node that serves a few of very many rooms most commits are none of its business, so what is
 * not wanted must cost next to nothing.
 */
export type Earshot = 'all' | 'followed' | 'own'

interface Subscriber {
  readonly heard: (news: RoomNews) => void
  readonly recheck: (() => void) | undefined
  readonly earshot: Earshot
}

/** Every room's events, in order: to read, to add to, and to be told of. */
export class Timeline implements AsyncDisposable {
  readonly #database: Database
  readonly #log: Log
  readonly #subscribers = new Set<Subscriber>()
  /** Those of them who hear of commits of other processes: in any room, and in rooms that are followed. */
  #ofAll: readonly Subscriber[] = []
  #ofFollowed: readonly Subscriber[] = []
  /** How many follow or watch each room here. */
  readonly #followed = new Map<string, number>()
  /** What the database told last was waited for by somebody here. */
  #waitedFor = false
  readonly #carrier: RoomCarrier | undefined
  readonly #release = new AsyncDisposableStack()
  #listening: Listening | undefined

  private constructor(options: TimelineOptions) {
    this.#database = options.database
    this.#log = options.log
    this.#carrier =
      options.broadcast &&
      this.#release.use(
        new RoomCarrier({
          broadcast: options.broadcast,
          tell: (news) => this.#pass({ ...news, echo: true }, this.#ofFollowed),
          log: options.log,
          patienceMs: options.patienceMs,
        }),
      )
  }

  /** Resolves once commits of other processes are heard. */
  static async open(options: TimelineOptions): Promise<Timeline> {
    const timeline = new Timeline(options)
    const restMs = () => timeline.#restMs()
    timeline.#listening = timeline.#release.use(
      await options.database.listen(channel, (payload) => timeline.#heard(payload), { restMs }),
    )
    const recheck = setInterval(() => timeline.#recheck(), options.recheckMs ?? 5_000)
    recheck.unref()
    timeline.#release.defer(() => clearInterval(recheck))
    return timeline
  }

  /**
   * Events after `after`, oldest first; `more`: newer ones follow. Where `after` is no place in the timeline, or none of the
   * timeline `epoch`, or where what followed it is no longer kept: the newest page, with `reset`. Throws `not_found`.
   */
  async since(
    roomId: string,
    after: number,
    limit: number = limits.pageEvents,
    epoch?: string,
  ): Promise<EventPage> {
    const found = await this.#page(roomId, { after }, limit)
    if (isVoid({ epoch, seq: after }, found)) {
      const newest = await this.newest(roomId, limit)
      return { ...newest, more: false, reset: true, floor: found.floor }
    }
    let size = 0
    let kept = 0
    for (const bytes of found.sizes) {
      size += bytes
      if (kept > 0 && size > pageSize) break
      kept++
    }
    const events = found.events.slice(0, kept)
    const last = events.at(-1)?.seq ?? after
    return { epoch: found.epoch, head: found.head, floor: found.floor, events, more: last < found.head }
  }

  /** The last events before `before`, oldest first; `more`: older ones exist. Throws `not_found`. */
  async before(roomId: string, before: number, limit: number = limits.pageEvents): Promise<EventPage> {
    const found = await this.#page(roomId, { before }, limit)
    let size = 0
    let kept = 0
    for (const bytes of found.sizes.toReversed()) {
      size += bytes
      if (kept > 0 && size > pageSize) break
      kept++
    }
    const events = found.events.slice(found.events.length - kept)
    const first = events.at(0)?.seq ?? found.floor
    return { epoch: found.epoch, head: found.head, floor: found.floor, events, more: first > found.floor }
  }

  /** The newest page: `before` the end. */
  newest(roomId: string, limit: number = limits.pageEvents): Promise<EventPage> {
    return this.before(roomId, Number.MAX_SAFE_INTEGER, limit)
  }

  /**
   * Adds events inside somebody's transaction; they are told after its commit. Writing the same draft again answers with the
   * place it has. Rooms stay locked until the end of the transaction, so append last. Throws `not_found`.
   */
  async append(tx: Transaction, drafts: readonly store.EventDraft[]): Promise<store.Appended[]> {
    const verdicts = await store.publish(tx, drafts)
    const appended = verdicts.map((verdict) => {
      if (verdict.verdict !== 'stored') throw new AtomError('not_found', 'There is no such room.')
      return verdict
    })
    // Who reads it then works for everybody.
    tx.afterCommit(() => outside(() => this.committed(appended)))
    return appended
  }

  /** The newest number of each room; unknown rooms are absent. */
  heads(roomIds: readonly string[], db: Queryable = this.#database): Promise<Map<string, store.Heads>> {
    return store.heads(db, roomIds)
  }

  /**
   * Tells of everything committed, by this process and others. News may come twice, late, out of order, or merged into a
   * later one: they say that it is time to read. `recheck` is called when news may have been lost, and every few seconds:
   * compare your cursors with `heads`.
   */
  subscribe(heard: (news: RoomNews) => void, recheck?: () => void, earshot: Earshot = 'all'): Disposable {
    const subscriber = { heard, recheck, earshot }
    this.#subscribers.add(subscriber)
    this.#sort()
    return {
      [Symbol.dispose]: () => {
        this.#subscribers.delete(subscriber)
        this.#sort()
      },
    }
  }

  /** Somebody here wants this room's events as soon as they are committed, wherever that is. */
  follow(roomId: string): Disposable {
    const release = new DisposableStack()
    release.use(this.watch(roomId))
    if (this.#carrier !== undefined) release.use(this.#carrier.follow(roomId))
    return release
  }

  /** Somebody here wants to know that this room has new events, without the events. */
  watch(roomId: string): Disposable {
    // What has waited for nobody is not this one's to wait for.
    if (this.#followed.size === 0) this.#listening?.wake()
    this.#followed.set(roomId, (this.#followed.get(roomId) ?? 0) + 1)
    let over = false
    return {
      [Symbol.dispose]: () => {
        if (over) return
        over = true
        const others = (this.#followed.get(roomId) ?? 1) - 1
        if (others > 0) this.#followed.set(roomId, others)
        else this.#followed.delete(roomId)
      },
    }
  }

  /** Tells everybody, with the commit, that a room is gone. */
  async end(tx: Transaction, roomId: string): Promise<void> {
    await store.notifyEnd(tx, channel, roomId)
    tx.afterCommit(() => this.#tell({ roomId, head: 0, ended: true }))
  }

  /** For writers of this room of the house: tells this process at once, without the way through the database. */
  committed(appended: readonly store.Appended[]): void {
    const rooms = new Map<string, RoomEvent[]>()
    for (const { roomId, event, duplicate } of appended) {
      if (duplicate) continue
      const events = rooms.get(roomId)
      if (events === undefined) rooms.set(roomId, [event])
      else events.push(event)
    }
    for (const [roomId, events] of rooms) {
      this.#carrier?.carry(roomId, events)
      this.#tell({ roomId, head: events.at(-1)?.seq ?? 0, events })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscribers.clear()
    this.#sort()
    await this.#release.disposeAsync()
  }

  async #page(
    roomId: string,
    range: { readonly after: number } | { readonly before: number },
    limit: number,
  ): Promise<store.StoredPage> {
    const found = await store.page(this.#database, roomId, range, Math.min(limit, limits.pageEvents))
    if (found === undefined) throw new AtomError('not_found', 'There is no such room.')
    return found
  }

  /** The payload is `room:head room:head …`, or `room:end` for a room that is gone; empty after a lost session. */
  #heard(payload: string): void {
    if (payload === '') {
      this.#recheck()
      return
    }
    for (let at = 0; at < payload.length; ) {
      const colon = payload.indexOf(':', at)
      const space = payload.indexOf(' ', at)
      const end = space < 0 ? payload.length : space
      if (colon <= at || colon >= end) {
        this.#log.warn({ channel }, 'a notification could not be read')
        return
      }
      const roomId = payload.slice(at, colon)
      const head = numberIn(payload, colon + 1, end)
      if (head >= 0) this.#reached(roomId, head)
      else if (payload.slice(colon + 1, end) === 'end') this.#tell({ roomId, head: 0, ended: true })
      else this.#log.warn({ channel }, 'a notification could not be read')
      at = end + 1
    }
  }

  /** The database tells that a room has so many events. */
  #reached(roomId: string, head: number): void {
    if (!this.#followed.has(roomId)) {
      if (this.#ofAll.length > 0) this.#pass({ roomId, head, echo: true }, this.#ofAll)
    } else if (this.#carrier?.expects(roomId, head) !== true) {
      this.#waitedFor = true
      this.#pass({ roomId, head, echo: true }, this.#ofFollowed)
    }
  }

  #restMs(): number {
    if (this.#waitedFor) {
      this.#waitedFor = false
      return 0
    }
    if (this.#followed.size === 0) return rests.nobody
    return this.#carrier === undefined ? rests.alone : rests.withBroadcast
  }

  #tell(news: RoomNews): void {
    this.#pass(news, this.#subscribers)
  }

  /** One reader's failure is not the next one's. */
  #pass(news: RoomNews, subscribers: Iterable<Subscriber>): void {
    for (const { heard } of subscribers) {
      try {
        heard(news)
      } catch (error) {
        this.#failed(error)
      }
    }
  }

  #sort(): void {
    this.#ofAll = [...this.#subscribers].filter(({ earshot }) => earshot === 'all')
    this.#ofFollowed = [...this.#subscribers].filter(({ earshot }) => earshot !== 'own')
  }

  #recheck(): void {
    this.#carrier?.forget()
    for (const { recheck } of this.#subscribers) {
      try {
        recheck?.()
      } catch (error) {
        this.#failed(error)
      }
    }
  }

  #failed(error: unknown): void {
    this.#log.error({ err: error }, 'a reader of the timeline failed')
  }
}

/** The digits of a part of a text, without taking it out; -1 where there is anything else, or nothing, or too much. */
function numberIn(text: string, from: number, to: number): number {
  let number = 0
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return -1
    number = number * 10 + digit
  }
  return to > from && Number.isSafeInteger(number) ? number : -1
}
