import {
  type Member,
  type Room as RoomDescription,
  type RoomEvent,
  roomRoutes,
} from '@atom/contract/rooms.ts'
import { socketLimits } from '@atom/contract/socket.ts'
import { AtomClientError, asAtomClientError } from './atom-client-error.ts'
import { ObservableState } from './observable.ts'
import { ObservableList } from './observable-list.ts'
import type { Committed, Outbox, OutgoingMessage } from './realtime/outbox.ts'
import type { Realtime } from './realtime/realtime.ts'
import { type Cursor, type FeedSnapshot, RoomFeed } from './realtime/room-feed.ts'
import { RoomReader } from './realtime/room-reader.ts'
import type { Session } from './session.ts'

export interface RoomSnapshot extends FeedSnapshot {
  /** Mine, that are not in `events` yet, in order. */
  readonly outgoing: readonly OutgoingMessage[]
  /** How far I have read. */
  readonly readSeq: number
  /** Name and members; undefined until fetched. */
  readonly description?: RoomDescription
}

const pageSize = 100
const readAfterMs = 500

interface Parts {
  readonly session: Session
  readonly realtime: Realtime
  readonly outbox: Outbox
}

/** My rooms, and the one place where each room's live object is. */
export class Rooms extends ObservableList<RoomDescription> {
  readonly #parts: Parts
  readonly #onEvents: (roomId: string, events: readonly RoomEvent[]) => void
  readonly #rooms = new Map<string, Room>()

  /** @param onEvents hears committed events of open rooms as they come */
  constructor(parts: Parts & { onEvents: (roomId: string, events: readonly RoomEvent[]) => void }) {
    super()
    this.#parts = parts
    this.#onEvents = parts.onEvents
  }

  /** Fetches my rooms, the most recently active first. */
  list(): Promise<readonly RoomDescription[]> {
    return this.load(async () => {
      const rooms: RoomDescription[] = []
      let cursor: string | null = null
      do {
        const page: { items: RoomDescription[]; next: string | null } = await this.#parts.session.call(
          roomRoutes.rooms,
          { query: cursor === null ? { limit: 200 } : { limit: 200, cursor } },
        )
        rooms.push(...page.items)
        cursor = page.next
      } while (cursor !== null)
      return rooms
    })
  }

  /** Creates a room with me, and the default agent, in it. */
  async create(name: string): Promise<RoomDescription> {
    const room = await this.#parts.session.call(roomRoutes.createRoom, { body: { name } })
    this.amend((items) => [room, ...items.filter(({ id }) => id !== room.id)])
    return room
  }

  /** The same object for the same id, until the person leaves. */
  room(anyCase: string): Room {
    const id = anyCase.toLowerCase()
    let room = this.#rooms.get(id)
    if (room === undefined) {
      room = new Room({
        ...this.#parts,
        id,
        described: () => this.getSnapshot().items.find((item) => item.id === id),
        describe: (description) =>
          this.amend((items) =>
            items.some((item) => item.id === id)
              ? items.map((item) => (item.id === id ? description : item))
              : items,
          ),
        onEvents: (events) => {
          this.#advance(id, events)
          this.#onEvents(id, events)
        },
      })
      this.#rooms.set(id, room)
    }
    return room
  }

  /** Forgets everything of the person who has left. */
  override clear(): void {
    for (const room of this.#rooms.values()) room.close()
    this.#rooms.clear()
    super.clear()
  }

  /** Keeps the list's `head` true for rooms whose events are seen here. */
  #advance(id: string, events: readonly RoomEvent[]): void {
    const head = events.at(-1)?.seq ?? 0
    const known = this.getSnapshot().items.find((item) => item.id === id)
    if (known === undefined || known.head >= head) return
    this.amend((items) => items.map((item) => (item.id === id ? { ...item, head } : item)))
  }
}

/** One room as this device holds it: its timeline, what is being written, and what I have sent but is not in it yet. */
export class Room extends ObservableState<RoomSnapshot> {
  readonly id: string
  readonly #session: Session
  readonly #realtime: Realtime
  readonly #outbox: Outbox
  readonly #described: () => RoomDescription | undefined
  readonly #describe: (description: RoomDescription) => void
  readonly #feed: RoomFeed
  #views = 0
  /** How many of them show the timeline. */
  #looks = 0
  #unlisten: (() => void) | undefined
  readonly #unsubscribe: (() => void)[]
  #description: RoomDescription | undefined
  #readSeq = 0
  #readTold = 0
  #readTimer: ReturnType<typeof setTimeout> | undefined
  #typedAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(
    parts: Parts & {
      id: string
      described: () => RoomDescription | undefined
      describe: (description: RoomDescription) => void
      onEvents: (events: readonly RoomEvent[]) => void
    },
  ) {
    super()
    this.id = parts.id
    this.#session = parts.session
    this.#realtime = parts.realtime
    this.#outbox = parts.outbox
    this.#described = parts.described
    this.#describe = parts.describe
    this.#feed = new RoomFeed({
      wire: {
        join: (cursor) =>
          this.#realtime.request('room.join', {
            roomId: this.id,
            ...(cursor === undefined ? {} : { after: cursor.seq, epoch: cursor.epoch }),
          }),
        after: (seq) =>
          this.#realtime.connected
            ? this.#realtime.request('room.fetch', { roomId: this.id, after: seq, limit: 200 })
            : this.#session.call(roomRoutes.events, {
                params: { id: this.id },
                query: { after: seq, limit: 200 },
              }),
        before: (seq) =>
          this.#session.call(roomRoutes.events, {
            params: { id: this.id },
            query: seq === undefined ? { limit: pageSize } : { before: seq, limit: pageSize },
          }),
      },
      onEvents: (events) => {
        for (const event of events) this.#outbox.seen(event)
        if (events.some(({ type }) => type === 'member.joined' || type === 'member.left')) void this.#look()
        parts.onEvents(events)
      },
    })
    this.#unsubscribe = [
      this.#feed.subscribe(() => this.changed()),
      this.#outbox.subscribe(() => this.changed()),
    ]
  }

  /** Joins, and stays joined until disposed; counted, so that several views may hold it. */
  open(): Disposable {
    this.#looks += 1
    this.#feed.lookedAt(true)
    return this.#hold(() => {
      this.#looks -= 1
      this.#feed.lookedAt(this.#looks > 0)
    })
  }

  #hold(released: () => void = () => undefined): Disposable {
    this.#views += 1
    if (this.#views === 1) this.#enter()
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        this.#views -= 1
        if (this.#views === 0) this.#leave()
        released()
      },
    }
  }

  /**
   * Keeps the message on this device, sends it as soon as there is a line, and resolves when it is committed. Its state is
   * in `outgoing` meanwhile; a failed one stays there until `retry` or `discard`.
   */
  send(text: string): Promise<Committed> {
    this.#realtime.need()
    return this.#outbox.send(this.id, text)
  }

  retry(clientId: string): Promise<void> {
    return this.#outbox.retry(clientId)
  }

  discard(clientId: string): Promise<void> {
    return this.#outbox.discard(clientId)
  }

  /** The page before `loadedFrom`; a no-op where there is none. */
  loadOlder(): Promise<void> {
    return this.#feed.loadOlder()
  }

  /** Everything up to `seq` has been read. Told at most twice a second; only ever forward. */
  markRead(seq: number): void {
    const upTo = Math.min(seq, this.#feed.getSnapshot().head)
    if (upTo <= this.#currentReadSeq()) return
    this.#readSeq = upTo
    this.changed()
    const description = this.#described() ?? this.#description
    if (description !== undefined) this.#describe({ ...description, readSeq: upTo })
    this.#readTimer ??= setTimeout(() => void this.#tellRead(), readAfterMs)
  }

  /** I am writing. Call it with every key: it is told once in three seconds. */
  typing(): void {
    const now = Date.now()
    if (now - this.#typedAt < socketLimits.typingEveryMs || !this.#realtime.connected) return
    this.#typedAt = now
    // Told, never owed: nobody minds one that is lost.
    this.#realtime.request('signal', { roomId: this.id, kind: 'typing' }).catch(() => undefined)
  }

  async addMember(member: { kind: 'account' | 'agent'; id: string }): Promise<Member> {
    const added = await this.#session.call(roomRoutes.addMember, { params: { id: this.id }, body: member })
    await this.#look()
    return added
  }

  /**
   * Every committed event after `after` (where absent: after the newest one at the first `next`), once and in order, now and in
   * future, across lost lines and restarted servers. The room is open while it is read; a slow reader grows no memory.
   *
   * @throws AtomClientError `timeline_reset` from the iterator, where the room was restored from a backup: begin anew
   */
  feed(options: { after?: number | Cursor; signal?: AbortSignal } = {}): RoomReader {
    return new RoomReader({
      feed: this.#feed,
      open: () => this.#hold(),
      after: options.after,
      signal: options.signal,
    })
  }

  /** The person has left. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#views > 0) this.#leave()
    this.#feed.close()
    clearTimeout(this.#readTimer)
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }

  protected override compose(): RoomSnapshot {
    const description = this.#described() ?? this.#description
    return {
      ...this.#feed.getSnapshot(),
      outgoing: this.#outbox.ofRoom(this.id),
      readSeq: this.#currentReadSeq(),
      ...(description === undefined ? {} : { description }),
    }
  }

  #currentReadSeq(): number {
    return Math.max(this.#readSeq, (this.#described() ?? this.#description)?.readSeq ?? 0)
  }

  #enter(): void {
    if (this.#closed) return
    this.#outbox.watchRoom(this.id, true)
    this.#unlisten = this.#realtime.listen({
      cursors: () => {
        const { cursor } = this.#feed
        return cursor === undefined ? {} : { [this.id]: cursor }
      },
      connected: (hello) => {
        const entry = hello.rooms[this.id]
        if (entry?.ok === false) {
          this.#feed.connected()
          return
        }
        this.#feed.connected(entry)
        if (this.#readSeq > this.#readTold) void this.#tellRead()
      },
      frame: (frame) => {
        if (frame.name === 'room.events' && frame.body.roomId === this.id)
          this.#feed.receive(frame.body.epoch, frame.body.events)
        if (frame.name !== 'room.signal' || frame.body.roomId !== this.id) return
        if (frame.body.kind === 'typing' && frame.body.actor.id === this.#session.me?.account.id) return
        this.#feed.signal(frame.body)
      },
      lost: () => this.#feed.lost(),
    })
    if (this.#realtime.connected) this.#feed.connected()
    else if (this.#feed.cursor === undefined) void this.#feed.preload()
    this.#realtime.need()
    void this.#look()
  }

  #leave(): void {
    this.#unlisten?.()
    this.#unlisten = undefined
    this.#outbox.watchRoom(this.id, false)
    this.#feed.lost()
    // Best effort: a socket that has gone has left by itself.
    this.#realtime.request('room.leave', { roomId: this.id }).catch(() => undefined)
  }

  async #look(): Promise<void> {
    try {
      const description = await this.#session.call(roomRoutes.room, { params: { id: this.id } })
      if (this.#closed) return
      this.#description = { ...description, readSeq: Math.max(description.readSeq, this.#readSeq) }
      this.#describe(this.#description)
      this.changed()
    } catch (thrown) {
      this.#feed.refused(asAtomClientError(thrown))
    }
  }

  async #tellRead(): Promise<void> {
    clearTimeout(this.#readTimer)
    this.#readTimer = undefined
    const seq = this.#readSeq
    try {
      await this.#realtime.request('room.read', { roomId: this.id, seq })
      this.#readTold = Math.max(this.#readTold, seq)
    } catch (thrown) {
      // Told again with the next socket, or with the next thing that is read.
      if (!(thrown instanceof AtomClientError)) throw thrown
    }
  }
}
