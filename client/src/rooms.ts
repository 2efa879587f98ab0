import {
  type FoundMessage,
  type Member,
  type Room as RoomDescription,
  type RoomEvent,
  type RoomRole,
  roomRoutes,
} from '@atom/contract/rooms.ts'
import type { Answer } from '@atom/contract/route.ts'
import { type RoomSignal, socketLimits } from '@atom/contract/socket.ts'
import { v7 as uuidv7 } from 'uuid'
import { isAmendment, isMessage, type RoomMessage } from './amendments.ts'
import { AtomClientError, asAtomClientError } from './atom-client-error.ts'
import { Progress } from './message-progress.ts'
import { ObservableState } from './observable.ts'
import { ObservableList } from './observable-list.ts'
import { PendingChanges, type Wish } from './pending-changes.ts'
import type { Addressing, Committed, Outbox, OutgoingMessage } from './realtime/outbox.ts'
import type { Realtime } from './realtime/realtime.ts'
import { type Cursor, type FeedSnapshot, RoomFeed } from './realtime/room-feed.ts'
import { RoomReader } from './realtime/room-reader.ts'
import { RoomStretch, type StretchSnapshot } from './room-stretch.ts'
import { readUpTo, withEvents, withMarks } from './room-summary.ts'
import type { Session } from './session.ts'

/** How I came to be out of a room: another took me out, I left, or the room was ended. */
export type Left = 'removed' | 'left' | 'ended'
export type PinnedMessage = Answer<typeof roomRoutes.pins>['items'][number]
export type Saying = Addressing

export interface MemberRef {
  readonly kind: 'account' | 'agent'
  readonly id: string
}

export interface Edit {
  readonly text: string
  readonly mentions?: readonly string[]
}

export interface RoomSnapshot extends FeedSnapshot {
  /** Mine, that are not in `events` yet, in order. */
  readonly outgoing: readonly OutgoingMessage[]
  /** How far I have read. */
  readonly readSeq: number
  /** How far each message of mine has come: on its way in `outgoing`, then as this says. */
  readonly progress: Progress
  /** Name and members; undefined until fetched. */
  readonly description?: RoomDescription
  /** `seq` of every pinned message, once known. */
  readonly pinned: ReadonlySet<number>
  /** Where `goTo` went away from the newest end. */
  readonly stretch?: StretchSnapshot
  /** The room is closed to me. */
  readonly left?: Left
}

type MarkSignal = Extract<RoomSignal, { kind: 'read' | 'delivered' }>

const pageSize = 100
const readAfterMs = 500
/** After an absence the list is asked for again within this time. */
const lookWithinMs = 5_000
/** What could not be had just now is asked for again within this time. */
const againMs = 2_000
const nobody: readonly Member[] = []
const nonePinned: ReadonlySet<number> = new Set()

interface Parts {
  readonly session: Session
  readonly realtime: Realtime
  readonly outbox: Outbox
}

/** What a room tells the list that it is in. */
interface ListWire {
  readonly described: () => RoomDescription | undefined
  readonly describe: (description: RoomDescription) => void
  readonly onEvents: (events: readonly RoomEvent[]) => void
  readonly onMarks: (signal: MarkSignal) => void
  readonly onLeft: () => void
  /** The list hears this room itself, so leaving its page must not end that. */
  readonly followed: () => boolean
  /** Somebody holds the list: it looks at all its rooms after an absence. */
  readonly held: () => boolean
}

/** My rooms, and the one place where each room's live object is. */
export class Rooms extends ObservableList<RoomDescription> {
  readonly #parts: Parts
  readonly #onEvents: (roomId: string, events: readonly RoomEvent[]) => void
  readonly #rooms = new Map<string, Room>()
  #followers = 0
  #unlisten: (() => void) | undefined
  readonly #joined = new Set<string>()
  /** Rooms that I was put into and that are asked for; whoever is taken out of one meanwhile is not in it. */
  readonly #comingIn = new Set<string>()
  #joining: Promise<void> | undefined
  /** The socket was lost, and with it perhaps the word of a new room. */
  #wasAway = false
  #lookTimer: ReturnType<typeof setTimeout> | undefined

  /** @param onEvents hears committed events of rooms as they come */
  constructor(parts: Parts & { onEvents: (roomId: string, events: readonly RoomEvent[]) => void }) {
    super()
    this.#parts = parts
    this.#onEvents = parts.onEvents
  }

  /** Fetches my rooms, the most recently active first. */
  async list(): Promise<readonly RoomDescription[]> {
    const rooms = await this.load(async () => {
      const told: RoomDescription[] = []
      let cursor: string | null = null
      do {
        const page: { items: RoomDescription[]; next: string | null } = await this.#parts.session.call(
          roomRoutes.rooms,
          { query: cursor === null ? { limit: 200 } : { limit: 200, cursor } },
        )
        told.push(...page.items)
        cursor = page.next
      } while (cursor !== null)
      return this.#latest(told)
    })
    this.#joinAll()
    return rooms
  }

  /** Creates a room of mine with these others in it; with the default agent where nobody is named. */
  async create(room: string | { name: string; members?: readonly MemberRef[] }): Promise<RoomDescription> {
    const { name, members } = typeof room === 'string' ? { name: room } : room
    return this.#entered(
      await this.#parts.session.call(roomRoutes.createRoom, {
        body: { name, ...(members === undefined ? {} : { members: [...members] }) },
      }),
    )
  }

  /** The one direct room with somebody, made where there is none. */
  async direct(other: MemberRef): Promise<RoomDescription> {
    return this.#entered(
      await this.#parts.session.call(roomRoutes.createRoom, {
        body: { direct: { kind: other.kind, id: other.id } },
      }),
    )
  }

  /** Finds messages in my rooms, or in one; `next` is the cursor of the page after. */
  search(
    q: string,
    options: {
      roomId?: string
      from?: string
      order?: 'newest' | 'best'
      cursor?: string
      limit?: number
    } = {},
  ): Promise<{ items: FoundMessage[]; next: string | null }> {
    return this.#parts.session.call(roomRoutes.search, { query: { q, ...options } })
  }

  /**
   * Hears all my rooms, so that the list stays true while none of them is open; counted. Rooms are resumed from the place
   * that the list knows, so one without news costs nothing. The most recent ones, as many as one handshake may name.
   */
  follow(): Disposable {
    this.#followers += 1
    if (this.#followers === 1) this.#listen()
    this.#parts.realtime.need()
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        this.#followers -= 1
        if (this.#followers > 0) return
        this.#unlisten?.()
        this.#unlisten = undefined
        this.#joined.clear()
        clearTimeout(this.#lookTimer)
      },
    }
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
        describe: (description) => this.#put(description),
        onEvents: (events) => this.#advance(id, events),
        onMarks: (signal) => this.#mark(signal),
        onLeft: () => this.#drop(id),
        followed: () => this.#takesOver(id),
        held: () => this.#followers > 0,
      })
      this.#rooms.set(id, room)
    }
    return room
  }

  /** Forgets everything of the person who has left. */
  override clear(): void {
    for (const room of this.#rooms.values()) room.close()
    this.#rooms.clear()
    this.#joined.clear()
    this.#comingIn.clear()
    clearTimeout(this.#lookTimer)
    super.clear()
  }

  #listen(): void {
    this.#unlisten = this.#parts.realtime.listen({
      cursors: () =>
        Object.fromEntries(this.#unopened().map(({ id, epoch, head }) => [id, { epoch, seq: head }])),
      connected: (hello) => {
        this.#joined.clear()
        for (const [id, entry] of Object.entries(hello.rooms)) if (entry.ok) this.#joined.add(id)
        this.#joinAll()
        this.#lookAfterAbsence()
      },
      frame: (frame) => {
        if (frame.name === 'room.added') void this.#added(frame.body.roomId)
        if (frame.name === 'room.left') {
          this.#joined.delete(frame.body.roomId)
          this.#comingIn.delete(frame.body.roomId)
        }
        if (frame.name === 'room.left' && !this.#isOpen(frame.body.roomId)) this.#drop(frame.body.roomId)
        if (frame.name === 'room.events' && !this.#isOpen(frame.body.roomId)) {
          this.#advance(frame.body.roomId, frame.body.events)
        }
        if (frame.name === 'room.signal' && isMark(frame.body) && !this.#isOpen(frame.body.roomId)) {
          this.#mark(frame.body)
        }
      },
      lost: () => {
        this.#joined.clear()
        this.#wasAway = true
        clearTimeout(this.#lookTimer)
      },
    })
    this.#joinAll()
  }

  /** An answer may be older than what was heard of a room, or read in it, while it was on its way. */
  #latest(told: readonly RoomDescription[]): readonly RoomDescription[] {
    const heads = new Map(this.getSnapshot().items.map(({ id, head }) => [id, head]))
    return told.map((room) => {
      const isBehind = (heads.get(room.id) ?? 0) > room.head
      return (isBehind ? this.room(room.id) : this.#rooms.get(room.id))?.latest(room) ?? room
    })
  }

  #isOpen(id: string): boolean {
    return this.#rooms.get(id)?.isOpen ?? false
  }

  /** The page of a room was left: does the list hear it on? A room that was opened before the list came it has to join yet. */
  #takesOver(id: string): boolean {
    if (this.#joined.has(id)) return true
    if (this.#followers === 0 || !this.#unopened().some((room) => room.id === id)) return false
    this.#joinAll()
    return true
  }

  #unopened(): readonly RoomDescription[] {
    return this.getSnapshot()
      .items.filter(({ id }) => !this.#isOpen(id))
      .slice(0, socketLimits.cursors)
  }

  /** Rooms that the socket was opened without; one after the other, for nobody waits for them. */
  #joinAll(): void {
    if (this.#followers === 0) return
    this.#joining ??= this.#joinEach().finally(() => {
      this.#joining = undefined
    })
  }

  async #joinEach(): Promise<void> {
    const { realtime } = this.#parts
    for (;;) {
      const next = this.#unopened().find(({ id }) => !this.#joined.has(id))
      if (next === undefined || !realtime.connected || this.#followers === 0) return
      const { id, epoch, head } = next
      this.#joined.add(id)
      try {
        const answer = await realtime.request('room.join', { roomId: id, after: head, epoch })
        if (answer.reset !== true) this.#advance(id, answer.events)
      } catch (thrown) {
        const error = asAtomClientError(thrown)
        // A room that is not mine leaves the list with the next time that it is fetched.
        if (!error.retryable) continue
        this.#joined.delete(id)
        await pause(againIn(error))
      }
    }
  }

  /** Somebody put me into a room. */
  async #added(id: string): Promise<void> {
    this.#comingIn.add(id)
    try {
      // An answer that is on its way may not know of it yet, and would take its place.
      await this.loading?.catch(() => undefined)
      if (this.getSnapshot().state !== 'ready') return
      const description = await this.#parts.session.call(roomRoutes.room, { params: { id } })
      // Out again while it was asked for.
      if (!this.#comingIn.delete(id)) return
      this.#put(description)
      this.#joinAll()
    } catch (thrown) {
      // Out again before anybody could look, or away: the list says so the next time it is asked.
      if (!(thrown instanceof AtomClientError)) throw thrown
    }
  }

  /** What was told while there was no socket is asked for, at a moment of one's own: others have come back as well. */
  #lookAfterAbsence(): void {
    const { state } = this.getSnapshot()
    if (state === 'loading' || (state === 'ready' && !this.#wasAway)) return
    this.#wasAway = false
    this.#lookIn(Math.random() * lookWithinMs)
  }

  /** Until there is an answer, or no socket; the list itself says meanwhile that it could not be had. */
  #lookIn(ms: number): void {
    clearTimeout(this.#lookTimer)
    this.#lookTimer = setTimeout(() => {
      this.list().catch((thrown: unknown) => {
        if (!(thrown instanceof AtomClientError)) throw thrown
        if (thrown.retryable && this.#followers > 0 && this.#parts.realtime.connected)
          this.#lookIn(againIn(thrown))
      })
    }, ms)
  }

  #entered(room: RoomDescription): RoomDescription {
    this.amend((items) => [room, ...items.filter(({ id }) => id !== room.id)])
    this.#joinAll()
    return room
  }

  #put(description: RoomDescription): void {
    const { state } = this.getSnapshot()
    this.amend((items) => {
      if (items.some(({ id }) => id === description.id))
        return items.map((item) => (item.id === description.id ? description : item))
      // Before the list is there, one room alone would look like all of them.
      return state === 'ready' ? [description, ...items] : items
    })
  }

  #drop(id: string): void {
    this.#joined.delete(id)
    this.amend((items) => items.filter((item) => item.id !== id))
  }

  #mark(signal: MarkSignal): void {
    const known = this.getSnapshot().items.find((item) => item.id === signal.roomId)
    if (known === undefined) return
    this.#put(afterMark(known, signal))
  }

  /** Keeps the list true for rooms whose events are seen here: what is new in them, and their order. */
  #advance(id: string, events: readonly RoomEvent[]): void {
    const known = this.getSnapshot().items.find((item) => item.id === id)
    const me = this.#parts.session.me?.account.id
    if (known !== undefined && me !== undefined && known.head < (events.at(-1)?.seq ?? 0)) {
      const { room, unsure } = withEvents(known, events, me)
      this.amend((items) => [room, ...items.filter((item) => item.id !== id)])
      if (unsure) void this.room(id).look()
    }
    this.#onEvents(id, events)
  }
}

/** One room as this device holds it: its timeline, what is being written, and what I have sent but is not in it yet. */
export class Room extends ObservableState<RoomSnapshot> {
  readonly id: string
  readonly #session: Session
  readonly #realtime: Realtime
  readonly #outbox: Outbox
  readonly #list: ListWire
  readonly #feed: RoomFeed
  readonly #pending: PendingChanges
  #stretch: RoomStretch | undefined
  #views = 0
  /** How many of them show the timeline. */
  #looks = 0
  #unlisten: (() => void) | undefined
  readonly #unsubscribe: (() => void)[]
  #description: RoomDescription | undefined
  #pinned = nonePinned
  #progress: { readonly members: readonly Member[]; readonly me: string; readonly said: Progress } | undefined
  #pinsAsked = 0
  #pinsShown = 0
  #pinLooks = 0
  #looksAsked = 0
  #looksShown = 0
  #lookTimer: ReturnType<typeof setTimeout> | undefined
  /** A question without an answer waits for the socket. */
  #owesLook = false
  /** The socket was lost, and with it perhaps how far others have read. */
  #wasAway = false
  #readSeq = 0
  #readTold = 0
  #readTimer: ReturnType<typeof setTimeout> | undefined
  #typedAt = Number.NEGATIVE_INFINITY
  #left: Left | undefined
  /** The last question why the socket said that I am out, until it is answered or does not matter any more. */
  #asksWhy: object | undefined
  #closed = false

  constructor(parts: Parts & ListWire & { id: string }) {
    super()
    this.id = parts.id
    this.#session = parts.session
    this.#realtime = parts.realtime
    this.#outbox = parts.outbox
    this.#list = parts
    this.#pending = new PendingChanges({
      me: () => this.#session.me?.account.id ?? '',
      changed: () => this.changed(),
    })
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
            : this.#page({ after: seq, limit: 200 }),
        before: (seq) =>
          this.#page(seq === undefined ? { limit: pageSize } : { before: seq, limit: pageSize }),
      },
      onEvents: (events) => this.#hear(events),
      // What lies before the page that it begins anew with may have changed who is in it, and what is pinned.
      onReset: () => {
        void this.look()
        void this.#lookAtPins()
      },
    })
    this.#unsubscribe = [
      this.#feed.subscribe(() => this.changed()),
      this.#outbox.subscribe(() => this.changed()),
    ]
  }

  /** Somebody looks at it, and it is joined. */
  get isOpen(): boolean {
    return this.#views > 0
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
  send(text: string, to: Addressing = {}): Promise<Committed> {
    this.#realtime.need()
    return this.#outbox.send(this.id, text, to)
  }

  retry(clientId: string): Promise<void> {
    return this.#outbox.retry(clientId)
  }

  discard(clientId: string): Promise<void> {
    return this.#outbox.discard(clientId)
  }

  /** Changes what a message of mine says; shown at once, taken back where it is refused. */
  async edit(seq: number, { text, mentions = [] }: Edit): Promise<void> {
    const body = { clientId: uuidv7(), text, ...(mentions.length === 0 ? {} : { mentions: [...mentions] }) }
    await this.#wish(seq, { kind: 'edit', text, mentions }, () =>
      this.#realtime.connected
        ? this.#realtime.request('message.edit', { roomId: this.id, seq, ...body })
        : this.#session.call(roomRoutes.editMessage, { params: { id: this.id, seq }, body }),
    )
  }

  /** Erases a message: mine, or as owner or admin anybody's. */
  async delete(seq: number): Promise<void> {
    await this.#wish(seq, { kind: 'delete' }, () =>
      this.#realtime.connected
        ? this.#realtime.request('message.delete', { roomId: this.id, seq })
        : this.#session.call(roomRoutes.deleteMessage, { params: { id: this.id, seq } }),
    )
  }

  react(seq: number, emoji: string): Promise<void> {
    return this.#react(seq, emoji, true)
  }

  unreact(seq: number, emoji: string): Promise<void> {
    return this.#react(seq, emoji, false)
  }

  /** For everybody in the room. */
  async pinMessage(seq: number): Promise<void> {
    await this.#session.call(roomRoutes.pin, { params: { id: this.id, seq } })
    this.#showPinned(new Set([...this.#pinned, seq]))
  }

  async unpinMessage(seq: number): Promise<void> {
    await this.#session.call(roomRoutes.unpin, { params: { id: this.id, seq } })
    this.#showPinned(new Set([...this.#pinned].filter((each) => each !== seq)))
  }

  /** The pinned messages, the latest pin first. */
  async pins(): Promise<readonly PinnedMessage[]> {
    this.#pinsAsked += 1
    const asked = this.#pinsAsked
    const { items } = await this.#session.call(roomRoutes.pins, { params: { id: this.id } })
    // An answer to a later question may have come before.
    if (asked > this.#pinsShown) {
      this.#pinsShown = asked
      this.#showPinned(new Set(items.map(({ message }) => message.seq)))
    }
    return items
  }

  /** For its owner and admins. */
  async rename(name: string): Promise<void> {
    this.#describe(
      await this.#session.call(roomRoutes.changeRoom, { params: { id: this.id }, body: { name } }),
    )
  }

  /** Ends the room for everybody, with all that is in it; for its owner. */
  async end(): Promise<void> {
    await this.#session.call(roomRoutes.deleteRoom, { params: { id: this.id } })
    this.#goOut('ended')
  }

  async addMember(member: MemberRef): Promise<Member> {
    const added = await this.#session.call(roomRoutes.addMember, { params: { id: this.id }, body: member })
    await this.look()
    return added
  }

  async removeMember(memberId: string): Promise<void> {
    await this.#session.call(roomRoutes.removeMember, { params: { id: this.id, memberId } })
    if (memberId === this.#session.me?.account.id) this.#goOut('left')
    else await this.look()
  }

  /** Takes me out of the room. */
  async leave(): Promise<void> {
    const me = this.#session.me?.account.id
    if (me === undefined) throw new AtomClientError('unauthenticated')
    await this.removeMember(me)
  }

  async setRole(memberId: string, role: RoomRole): Promise<void> {
    await this.#session.call(roomRoutes.changeMember, { params: { id: this.id, memberId }, body: { role } })
    await this.look()
  }

  /** I want no notice of it, unless it names me. */
  mute(muted: boolean): Promise<void> {
    return this.#place({ muted })
  }

  /** It stands above the others in my list. */
  pin(pinned: boolean): Promise<void> {
    return this.#place({ pinned })
  }

  /**
   * The page before what is shown; a no-op where there is none. Away from the newest end it is the stretch that grows.
   */
  loadOlder(): Promise<void> {
    return this.#stretch?.load('older') ?? this.#feed.loadOlder()
  }

  /** The page after the stretch. Where that reaches what is held the two become one. */
  async loadNewer(): Promise<void> {
    await this.#stretch?.load('newer')
    this.#bridge()
  }

  /**
   * Makes sure that a message can be shown: it is held, or a stretch around it is read.
   *
   * @throws AtomClientError `not_found` where the room does not keep it
   */
  async goTo(seq: number): Promise<void> {
    const shown = this.#stretch?.getSnapshot().events ?? this.#feed.getSnapshot().events
    const first = shown[0]?.seq
    if (first !== undefined && seq >= first && seq <= (shown.at(-1)?.seq ?? 0)) return
    if (this.#feed.at(seq) !== undefined) {
      this.goToNewest()
      return
    }
    const stretch = await RoomStretch.around(
      seq,
      {
        before: (before, limit) => this.#page({ before, limit }),
        after: (after, limit) => this.#page({ after, limit }),
      },
      () => this.changed(),
    )
    if (this.#closed) return
    this.#stretch = stretch
    this.#bridge()
    this.changed()
  }

  /** One message, held or not; undefined where there is none of this `seq`. */
  async message(seq: number): Promise<RoomMessage | undefined> {
    const held = this.#feed.at(seq) ?? this.#stretch?.getSnapshot().events.find((event) => event.seq === seq)
    const event = held ?? (await this.#page({ before: seq + 1, limit: 1 })).events.at(-1)
    return event?.seq === seq && isMessage(event) ? event : undefined
  }

  /** Lets go of a stretch. */
  goToNewest(): void {
    this.#stretch = undefined
    this.changed()
  }

  /** Everything up to `seq` has been read. Told at most twice a second; only ever forward. */
  markRead(seq: number): void {
    const { head, events } = this.#feed.getSnapshot()
    const upTo = Math.min(seq, head)
    const known = this.#known()
    if (upTo <= this.#currentReadSeq()) return
    this.#readSeq = upTo
    this.changed()
    const me = this.#session.me?.account.id
    if (known !== undefined && me !== undefined) {
      this.#describe(readUpTo({ ...known, head: Math.max(known.head, upTo) }, upTo, events, me))
    }
    this.#readTimer ??= setTimeout(() => void this.#tellRead(), readAfterMs)
  }

  /** "Mark as unread": this message and what came after it count as unread again. */
  async markUnreadFrom(seq: number): Promise<void> {
    clearTimeout(this.#readTimer)
    this.#readTimer = undefined
    this.#readSeq = 0
    this.#readTold = 0
    await this.#place({ unreadFrom: seq })
  }

  /** I am writing. Call it with every key: it is told once in three seconds. */
  typing(): void {
    const now = Date.now()
    if (now - this.#typedAt < socketLimits.typingEveryMs || !this.#realtime.connected) return
    this.#typedAt = now
    // Told, never owed: nobody minds one that is lost.
    this.#realtime.request('signal', { roomId: this.id, kind: 'typing' }).catch(() => undefined)
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

  /**
   * Fetches name, members and what is unread again; where that is refused the room says why. Where there is no answer it is
   * asked again by itself, for as long as somebody looks at the room or holds the list.
   */
  async look(): Promise<void> {
    clearTimeout(this.#lookTimer)
    this.#looksAsked += 1
    const asked = this.#looksAsked
    try {
      const description = await this.#session.call(roomRoutes.room, { params: { id: this.id } })
      // An answer to a later question may have come before.
      if (this.#closed || this.#left !== undefined || asked < this.#looksShown) return
      this.#looksShown = asked
      this.#owesLook = false
      this.#describe(this.latest(description))
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      this.#feed.refused(error)
      if (error.retryable && asked === this.#looksAsked) this.#lookIn(againIn(error))
    }
  }

  /** What the server has told of the room, with what is known here and may be newer: what was read in it, and what came. */
  latest(told: RoomDescription): RoomDescription {
    const me = this.#session.me?.account.id ?? ''
    const known = this.#known()
    const events = this.#feed.cursor?.epoch === told.epoch ? this.#feed.getSnapshot().events : []
    const { room, unsure } = withEvents(told, events, me)
    const isBehind = known?.epoch === room.epoch && known.head > room.head
    if (unsure || isBehind) this.#lookIn(againIn())
    if (isBehind) return known
    return this.#readSeq > room.readSeq ? readUpTo(room, this.#readSeq, events, me) : room
  }

  /** The person has left. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#views > 0) this.#leave()
    this.#feed.close()
    this.#pending.clear()
    clearTimeout(this.#readTimer)
    clearTimeout(this.#lookTimer)
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }

  protected override compose(): RoomSnapshot {
    const description = this.#known()
    const feed = this.#feed.getSnapshot()
    const stretch = this.#stretch?.getSnapshot()
    return {
      ...feed,
      events: stretch === undefined ? this.#pending.over(feed.events) : feed.events,
      outgoing: this.#outbox.ofRoom(this.id),
      readSeq: this.#currentReadSeq(),
      progress: this.#currentProgress(description?.members),
      pinned: this.#pinned,
      ...(description === undefined ? {} : { description }),
      ...(stretch === undefined
        ? {}
        : { stretch: { ...stretch, events: this.#pending.over(stretch.events) } }),
      ...(this.#left === undefined ? {} : { left: this.#left }),
    }
  }

  /** The same one as long as nobody's mark has moved. */
  #currentProgress(members: readonly Member[] = nobody): Progress {
    const me = this.#session.me?.account.id ?? ''
    if (this.#progress?.members !== members || this.#progress.me !== me)
      this.#progress = { members, me, said: new Progress(members, me) }
    return this.#progress.said
  }

  #known(): RoomDescription | undefined {
    return this.#list.described() ?? this.#description
  }

  #currentReadSeq(): number {
    return Math.max(this.#readSeq, this.#known()?.readSeq ?? 0)
  }

  #page(query: {
    after?: number
    before?: number
    limit: number
  }): Promise<Answer<typeof roomRoutes.events>> {
    return this.#session.call(roomRoutes.events, { params: { id: this.id }, query })
  }

  #describe(description: RoomDescription): void {
    this.#description = description
    this.#list.describe(description)
    this.changed()
  }

  async #place(place: { muted?: boolean; pinned?: boolean; unreadFrom?: number }): Promise<void> {
    this.#describe(await this.#session.call(roomRoutes.myPlace, { params: { id: this.id }, body: place }))
  }

  async #react(seq: number, emoji: string, on: boolean): Promise<void> {
    await this.#wish(seq, { kind: 'react', emoji, on }, () =>
      this.#realtime.connected
        ? this.#realtime.request('message.react', { roomId: this.id, seq, emoji, on })
        : this.#session.call(on ? roomRoutes.react : roomRoutes.unreact, {
            params: { id: this.id, seq, emoji },
          }),
    )
  }

  async #wish(seq: number, wish: Wish, ask: () => Promise<unknown>): Promise<void> {
    await this.#pending.make(seq, wish, ask)
  }

  #hear(events: readonly RoomEvent[]): void {
    for (const event of events) {
      this.#outbox.seen(event)
      if (!isAmendment(event)) continue
      this.#pending.seen(event)
      this.#stretch?.amend(event)
    }
    this.#list.onEvents(events)
    if (events.some(changesPins)) void this.#lookAtPins()
    if (events.some(({ type }) => type === 'member.joined' || type === 'member.left')) void this.look()
    this.#bridge()
  }

  /** A stretch that has grown up to what is held is one with it. */
  #bridge(): void {
    if (this.#stretch === undefined) return
    const { events, hasOlder } = this.#stretch.getSnapshot()
    if (this.#feed.adopt(this.#stretch.epoch, events, hasOlder)) this.goToNewest()
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#lookTimer)
    this.#lookTimer = setTimeout(() => {
      if (this.#closed || this.#left !== undefined || !(this.isOpen || this.#list.held())) return
      if (this.#realtime.connected) void this.look()
      else this.#owesLook = true
    }, ms)
  }

  /** Asks until there is an answer, for as long as somebody looks and nothing newer is asked: no other word of it comes. */
  async #lookAtPins(): Promise<void> {
    this.#pinLooks += 1
    const look = this.#pinLooks
    while (look === this.#pinLooks && this.#views > 0 && !this.#closed) {
      try {
        await this.pins()
        return
      } catch (thrown) {
        if (!(thrown instanceof AtomClientError)) throw thrown
        // The marks stay as they were; the panel of pins asks for itself and says what is wrong.
        if (!thrown.retryable) return
        await pause(againIn(thrown))
      }
    }
  }

  #showPinned(pinned: ReadonlySet<number>): void {
    this.#pinned = pinned
    this.changed()
  }

  /** The room is closed to me, for good or until I am let in again. */
  #goOut(how: Left): void {
    if (this.#closed) return
    this.#left ??= how
    this.#feed.refused(new AtomClientError(how === 'ended' ? 'not_found' : 'not_a_member'))
    this.#list.onLeft()
    this.changed()
  }

  /** The socket says that I am out. Whether the room is still there says why. */
  async #out(): Promise<void> {
    if (this.#left !== undefined) return
    const asked = {}
    this.#asksWhy = asked
    try {
      await this.#session.call(roomRoutes.room, { params: { id: this.id } })
      if (this.#asksWhy !== asked) return
      // Out and in again before anybody could look: what was missed comes with joining anew.
      if (this.#views > 0 && this.#realtime.connected) this.#feed.connected()
    } catch (thrown) {
      // What was true when it was asked is not any more.
      if (this.#asksWhy !== asked) return
      const { code } = asAtomClientError(thrown)
      if (code === 'not_found') this.#goOut('ended')
      else if (code === 'not_a_member') this.#goOut('removed')
    } finally {
      if (this.#asksWhy === asked) this.#asksWhy = undefined
    }
  }

  #marked(signal: MarkSignal): void {
    if (this.#description !== undefined) this.#description = afterMark(this.#description, signal)
    this.#list.onMarks(signal)
    this.changed()
  }

  /** Taken out while somebody looked at it, and in again; or nobody knows yet why it was told to be out. */
  #letIn(): void {
    if (this.#left === undefined && this.#asksWhy === undefined) return
    this.#left = undefined
    this.#asksWhy = undefined
    if (this.#realtime.connected) this.#feed.connected()
    this.changed()
  }

  #enter(): void {
    if (this.#closed) return
    this.#left = undefined
    this.#outbox.watchRoom(this.id, true)
    this.#unlisten = this.#realtime.listen({
      cursors: () => {
        const { cursor } = this.#feed
        return cursor === undefined ? {} : { [this.id]: cursor }
      },
      connected: (hello) => {
        const entry = hello.rooms[this.id]
        // The list looks at all of its rooms by itself.
        if (this.#owesLook || (this.#wasAway && !this.#list.held()))
          this.#lookIn(Math.random() * lookWithinMs)
        this.#wasAway = false
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
        if (frame.name === 'room.left' && frame.body.roomId === this.id) void this.#out()
        if (frame.name === 'room.added' && frame.body.roomId === this.id) this.#letIn()
        if (frame.name !== 'room.signal' || frame.body.roomId !== this.id) return
        if (isMark(frame.body)) this.#marked(frame.body)
        if (frame.body.kind === 'typing' && frame.body.actor.id === this.#session.me?.account.id) return
        this.#feed.signal(frame.body)
      },
      lost: () => {
        this.#wasAway = true
        this.#feed.lost()
      },
    })
    if (this.#realtime.connected) this.#feed.connected()
    else if (this.#feed.cursor === undefined) void this.#feed.preload()
    this.#realtime.need()
    void this.look()
    void this.#lookAtPins()
  }

  #leave(): void {
    this.#unlisten?.()
    this.#unlisten = undefined
    this.#outbox.watchRoom(this.id, false)
    this.#feed.lost()
    this.#stretch = undefined
    if (this.#list.followed()) return
    // Best effort: a socket that has gone has left by itself.
    this.#realtime.request('room.leave', { roomId: this.id }).catch(() => undefined)
  }

  async #tellRead(): Promise<void> {
    clearTimeout(this.#readTimer)
    this.#readTimer = undefined
    const seq = this.#readSeq
    try {
      await this.#realtime.request('room.read', { roomId: this.id, seq })
      this.#readTold = Math.max(this.#readTold, seq)
    } catch (thrown) {
      if (!(thrown instanceof AtomClientError)) throw thrown
      // Told again after a moment, and without a socket with the next one.
      if (thrown.retryable && this.#realtime.connected && !this.#closed)
        this.#readTimer ??= setTimeout(() => void this.#tellRead(), againIn(thrown))
    }
  }
}

/** In ms: others ask as well. */
function againIn(error?: AtomClientError): number {
  return (error?.retryAfterMs ?? 0) + Math.random() * againMs
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function isMark(signal: RoomSignal): signal is MarkSignal {
  return signal.kind === 'read' || signal.kind === 'delivered'
}

function afterMark(room: RoomDescription, signal: MarkSignal): RoomDescription {
  return signal.kind === 'read'
    ? withMarks(room, 'readSeq', signal.readers)
    : withMarks(room, 'deliveredSeq', signal.to)
}

function changesPins(event: RoomEvent): boolean {
  return (
    event.type === 'message.pinned' || event.type === 'message.unpinned' || event.type === 'message.deleted'
  )
}
