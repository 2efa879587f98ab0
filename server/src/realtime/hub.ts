import type { EventPage, RoomEvent } from '@atom/contract/rooms.ts'
import type { RoomSignal, ServerFrame } from '@atom/contract/socket.ts'

/** What the hub needs of a socket. */
export interface Outlet {
  readonly id: string
  /** Whose socket it is. */
  readonly accountId: string
  emit(name: 'room.events', frame: ServerFrame<'room.events'>): void
  /** The room is closed to this socket's person, from this place of its log on. */
  expelled(roomId: string, seq: number): void
}

/** Sends one frame, encoded once, to every follower of the room that is live. */
export type Broadcast<O extends Outlet = Outlet> = {
  events(room: RoomHere<O>, frame: ServerFrame<'room.events'>): void
  signal(room: RoomHere<O>, signal: RoomSignal): void
  /** The first socket of this process has come to the room. Disposed when the last one leaves. */
  follow?(roomId: string): Disposable
}

/** Hears what went out to sockets. */
export interface Watcher<O extends Outlet> {
  sent(room: RoomHere<O>, events: readonly RoomEvent[]): void
  caughtUp(follower: Follower<O>): void
}

/** Events held for a socket that still reads its page; beyond this it reads them from the database instead. */
const mostHeld = 500
const eventsPerFrame = 64
/** A frame ends early when it is larger than this, in UTF-16 code units as they are counted here, but holds at least one event. */
const framePayload = 32 * 1024
/** What an event takes besides its text: ids, times, names. */
const aroundText = 400

/**
 * How one socket stands in one room. `cursor` is the last event handed to it.
 *
 * - `holding`: a page is being read; what is delivered meanwhile is held (or, with `held` undefined, left to the next page).
 * - `ahead`: the page reached further than the relay has come; gets what the others get, less what it has.
 * - `live`: gets what everybody gets, at the room's position.
 */
export class Follower<O extends Outlet = Outlet> {
  readonly outlet: O
  readonly room: RoomHere<O>
  cursor: number
  mode: 'holding' | 'ahead' | 'live' | 'gone' = 'holding'
  held: RoomEvent[] | undefined = []
  /** Its cursor is of a timeline that is no more. */
  stale = false
  /** It was handed something that others had before. */
  fed = false
  /** When it last said that its person types; `performance.now()`. */
  typedAt = Number.NEGATIVE_INFINITY

  constructor(outlet: O, room: RoomHere<O>, cursor: number) {
    this.outlet = outlet
    this.room = room
    this.cursor = cursor
  }

  /** It gets what is said in the room, so its person is a member. */
  get isIn(): boolean {
    return this.mode === 'live' || this.mode === 'ahead'
  }

  /** Hands over the events after its cursor. Never leaves one out: false where they do not follow on. */
  pass(events: readonly RoomEvent[]): boolean {
    const fresh = events.filter((event) => event.seq > this.cursor)
    const [first] = fresh
    if (first === undefined) return true
    if (first.seq !== this.cursor + 1) return false
    for (const part of inFrames(fresh)) {
      this.outlet.emit('room.events', { roomId: this.room.id, epoch: this.room.epoch, events: part })
    }
    this.cursor = fresh.at(-1)?.seq ?? this.cursor
    this.fed = true
    return true
  }

  /** Its cursor is void: says so, with the newest page of the timeline that there is now. */
  restart({ epoch, head, events }: EventPage): void {
    const [first = [], ...others] = inFrames(events)
    this.outlet.emit('room.events', { roomId: this.room.id, epoch, events: first, reset: true })
    for (const part of others) this.outlet.emit('room.events', { roomId: this.room.id, epoch, events: part })
    this.cursor = events.at(-1)?.seq ?? head
  }
}

/** A room that sockets of this process are in. */
export interface RoomHere<O extends Outlet = Outlet> {
  readonly id: string
  /** Empty until the first page has been read. */
  epoch: string
  /** Last event delivered here. Undefined until the first follower has its page. */
  position: number | undefined
  /** Number of the newest event heard of. */
  wanted: number
  /** What came with the news, follows on the position, and is gathered to be delivered in one go. */
  queued: RoomEvent[]
  readonly followers: Set<Follower<O>>
  /** What brings news of other processes here. */
  readonly news: Disposable | undefined
}

/** The sockets of this process, by room. */
export class Hub<O extends Outlet = Outlet> {
  readonly #broadcast: Broadcast<O>
  readonly #watcher: Watcher<O> | undefined
  readonly #rooms = new Map<string, RoomHere<O>>()

  constructor(broadcast: Broadcast<O>, watcher?: Watcher<O>) {
    this.#broadcast = broadcast
    this.#watcher = watcher
  }

  get roomIds(): readonly string[] {
    return [...this.#rooms.keys()]
  }

  room(roomId: string): RoomHere<O> | undefined {
    return this.#rooms.get(roomId)
  }

  /** From now on nothing of the room passes this socket by: it is held until `cutOver`. */
  follow(outlet: O, roomId: string): Follower<O> {
    let room = this.#rooms.get(roomId)
    if (room === undefined) {
      const news = this.#broadcast.follow?.(roomId)
      const followers = new Set<Follower<O>>()
      room = { id: roomId, epoch: '', position: undefined, wanted: 0, queued: [], followers, news }
      this.#rooms.set(roomId, room)
    }
    const follower = new Follower(outlet, room, 0)
    room.followers.add(follower)
    return follower
  }

  leave(follower: Follower<O>): void {
    follower.mode = 'gone'
    follower.held = undefined
    const { room } = follower
    room.followers.delete(follower)
    if (room.followers.size > 0) return
    this.#rooms.delete(room.id)
    room.news?.[Symbol.dispose]()
  }

  /** Stops live events for this socket; what it misses it reads later, from its cursor. False: they had not begun. */
  suspend(follower: Follower<O>): boolean {
    if (follower.mode !== 'live' && follower.mode !== 'ahead') return false
    if (follower.mode === 'live') follower.cursor = follower.room.position ?? follower.cursor
    follower.mode = 'holding'
    follower.held = undefined
    return true
  }

  /**
   * Lets a follower that has read its pages go live: hands over what was held, and joins it to the others. False where that
   * would leave a hole, so another page is needed. All of it happens at once, so nothing can come between.
   */
  cutOver(follower: Follower<O>): boolean {
    if (follower.mode === 'gone') return true
    if (follower.held === undefined || !follower.pass(follower.held)) return false
    const { room } = follower
    room.position ??= follower.cursor
    if (follower.cursor < room.position) return false
    follower.held = undefined
    this.#settle(follower)
    if (follower.fed) this.#watcher?.caughtUp(follower)
    follower.fed = false
    return true
  }

  /** The room is gone. */
  end(roomId: string): void {
    for (const follower of this.#rooms.get(roomId)?.followers ?? [])
      this.expel(follower, Number.MAX_SAFE_INTEGER)
  }

  /** Takes a socket out of a room that is closed to its person, from this place of its log on, and tells it. */
  expel(follower: Follower<O>, seq: number): void {
    if (follower.mode === 'gone') return
    this.leave(follower)
    follower.outlet.expelled(follower.room.id, seq)
  }

  /** Delivers the events that follow on the room's position to all its sockets here. */
  deliver(room: RoomHere<O>, events: readonly RoomEvent[]): void {
    // Who is taken out still sees that, and nothing after it.
    const end = events.findIndex((event) => event.type === 'member.left') + 1
    if (end > 0 && end < events.length) {
      this.deliver(room, events.slice(0, end))
      this.deliver(room, events.slice(end))
      return
    }
    const last = events.at(-1)
    if (last === undefined) return
    let live = false
    const ahead: Follower<O>[] = []
    for (const follower of room.followers) {
      if (follower.mode === 'live') live = true
      else if (follower.mode === 'ahead') ahead.push(follower)
      else if (follower.held !== undefined) {
        if (follower.held.length + events.length > mostHeld) follower.held = undefined
        else follower.held.push(...events)
      }
    }
    // Step by step: a socket that falls behind at one of the frames goes on after that one.
    for (const part of live ? inFrames(events) : []) {
      room.position = part.at(-1)?.seq ?? last.seq
      this.#broadcast.events(room, { roomId: room.id, epoch: room.epoch, events: part })
    }
    room.position = last.seq
    for (const follower of ahead) {
      follower.pass(events)
      // It may have fallen behind with this.
      if (follower.mode === 'ahead') this.#settle(follower)
    }
    this.#watcher?.sent(room, events)
    if (last.type !== 'member.left') return
    for (const follower of room.followers) {
      if (follower.outlet.accountId !== last.member.id) continue
      // Its page reached further, and was given to it because they are in again.
      if (follower.mode === 'ahead' && follower.cursor > last.seq) continue
      this.expel(follower, last.seq)
    }
  }

  /** The timeline was replaced: everybody here starts over with its newest page. */
  restart(room: RoomHere<O>, page: EventPage): void {
    room.epoch = page.epoch
    room.position = page.head
    room.wanted = page.head
    room.queued = []
    for (const follower of room.followers) {
      if (follower.mode === 'holding') {
        follower.stale = true
        follower.held = undefined
        continue
      }
      follower.restart(page)
      if (follower.mode === 'ahead') this.#settle(follower)
    }
  }

  tell(signal: RoomSignal): void {
    const room = this.#rooms.get(signal.roomId)
    if (room !== undefined) this.#broadcast.signal(room, signal)
  }

  #settle(follower: Follower<O>): void {
    follower.mode = follower.cursor === follower.room.position ? 'live' : 'ahead'
  }
}

/** Where these events take somebody out of the room: the place right after. 0: they do not. */
export function takenOut(accountId: string, events: readonly RoomEvent[]): number {
  return events.findLastIndex((event) => event.type === 'member.left' && event.member.id === accountId) + 1
}

function inFrames(events: readonly RoomEvent[]): RoomEvent[][] {
  const frames: RoomEvent[][] = []
  let size = Number.POSITIVE_INFINITY
  let frame: RoomEvent[] = []
  for (const event of events) {
    const more = aroundText + ('text' in event ? event.text.length : 0)
    if (size + more > framePayload || frame.length === eventsPerFrame) {
      frame = []
      frames.push(frame)
      size = 0
    }
    frame.push(event)
    size += more
  }
  return frames
}
