import type { Log } from '#foundation/log.ts'
import type { RoomNews, Timeline } from '#rooms/timeline.ts'
import type { Hub, Outlet, RoomHere } from './hub.ts'
import { Pace } from './pace.ts'
import type { Pages } from './pages.ts'

/**
 * Carries committed events to the sockets of this process. News only wake it: what is delivered is the room's timeline from
 * the room's position on, in order and without a hole, whatever news were lost, doubled or late. Events that come with the
 * news are taken where they follow on, which saves reading what this process has just written.
 *
 * What is new is delivered at the end of the turn of the event loop, and a few milliseconds later when the process has its
 * hands full: more of it then goes into one frame.
 */
export class Relay<O extends Outlet = Outlet> implements Disposable {
  readonly #hub: Hub<O>
  readonly #timeline: Timeline
  readonly #pages: Pages
  readonly #log: Log
  readonly #pace: Pick<Pace, 'gatherMs'>
  readonly #subscription: Disposable
  readonly #reading = new Set<RoomHere<O>>()
  #due = new Set<RoomHere<O>>()
  #scheduled = false
  #rechecking = false
  #closed = false

  constructor(options: {
    readonly hub: Hub<O>
    readonly timeline: Timeline
    readonly pages: Pages
    readonly log: Log
    readonly pace?: Pick<Pace, 'gatherMs'>
  }) {
    this.#hub = options.hub
    this.#timeline = options.timeline
    this.#pages = options.pages
    this.#log = options.log
    this.#pace = options.pace ?? new Pace()
    this.#subscription = options.timeline.subscribe(
      (news) => this.#heard(news),
      () => void this.#recheck(),
      'followed',
    )
  }

  /** Makes sure that a room's sockets get everything heard of so far; for a room whose position was just set. */
  catchUp(room: RoomHere<O>): void {
    if (room.position !== undefined && room.wanted > reached(room, room.position)) this.#soon(room)
  }

  /** Delivers what is gathered for a room now, so that what is told next does not come before it. */
  flush(roomId: string): void {
    const room = this.#hub.room(roomId)
    if (room !== undefined) this.#deliver(room)
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#subscription[Symbol.dispose]()
  }

  #heard({ roomId, head, events, ended }: RoomNews): void {
    const room = this.#hub.room(roomId)
    if (room === undefined) return
    if (ended === true) {
      this.#deliver(room)
      this.#hub.end(roomId)
      return
    }
    room.wanted = Math.max(room.wanted, head)
    // Before its first page is read the room has no position; `catchUp` follows then.
    if (room.position === undefined) return
    const last = reached(room, room.position)
    if (head <= last) return
    if (events?.[0]?.seq === last + 1 && !this.#reading.has(room)) room.queued.push(...events)
    this.#soon(room)
  }

  #soon(room: RoomHere<O>): void {
    this.#due.add(room)
    if (this.#scheduled) return
    this.#scheduled = true
    const { gatherMs } = this.#pace
    if (gatherMs === 0) setImmediate(this.#turn)
    else setTimeout(this.#turn, gatherMs)
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#closed) return
    const due = this.#due
    this.#due = new Set()
    for (const room of due) {
      this.#deliver(room)
      if (room.position !== undefined && room.wanted > room.position) void this.#read(room)
    }
  }

  #deliver(room: RoomHere<O>): void {
    const { queued } = room
    if (queued.length === 0) return
    room.queued = []
    this.#hub.deliver(room, queued)
  }

  async #read(room: RoomHere<O>): Promise<void> {
    if (this.#reading.has(room)) return
    this.#reading.add(room)
    let inVain = 0
    try {
      while (room.followers.size > 0 && room.position !== undefined && room.wanted > room.position) {
        const page = await this.#pages.since(room, room.position)
        if (page.epoch !== room.epoch || page.reset === true || page.floor > room.position + 1) {
          this.#hub.restart(room, await this.#pages.newest(room))
          break
        }
        const { position } = room
        const fresh = page.events.filter((event) => event.seq > position)
        if (fresh.length > 0) this.#hub.deliver(room, fresh)
        // A read that was shared may have begun before the room came so far; the next one has not.
        else if (page.head >= room.wanted || ++inVain > 2) break
      }
    } catch (error) {
      // The next news or recheck tries again from the same position.
      this.#log.warn({ err: error, roomId: room.id }, 'a timeline could not be read for its sockets')
    } finally {
      this.#reading.delete(room)
    }
  }

  async #recheck(): Promise<void> {
    const roomIds = this.#hub.roomIds
    if (this.#rechecking || roomIds.length === 0) return
    this.#rechecking = true
    try {
      const heads = await this.#timeline.heads(roomIds)
      for (const roomId of roomIds) {
        const found = heads.get(roomId)
        const room = this.#hub.room(roomId)
        if (found === undefined) this.#heard({ roomId, head: 0, ended: true })
        else if (room?.position !== undefined && room.epoch !== found.epoch) {
          this.#hub.restart(room, await this.#pages.newest(room))
        } else this.#heard({ roomId, head: found.head })
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'the heads of the rooms could not be compared')
    } finally {
      this.#rechecking = false
    }
  }
}

/** The last event that is delivered or about to be. */
function reached<O extends Outlet>(room: RoomHere<O>, position: number): number {
  return room.queued.at(-1)?.seq ?? position
}
