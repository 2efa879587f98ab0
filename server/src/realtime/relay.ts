import type { Log } from '#foundation/log.ts'
import type { RoomNews, Timeline } from '#rooms/timeline.ts'
import type { Hub, Outlet, RoomHere } from './hub.ts'

/**
 * Carries committed events to the sockets of this process. News only wake it: what is delivered is the room's timeline from
 * the room's position on, in order and without a hole, whatever news were lost, doubled or late. Events that come with the
 * news are taken where they follow on, which saves reading what this process has just written.
 */
export class Relay<O extends Outlet = Outlet> implements Disposable {
  readonly #hub: Hub<O>
  readonly #timeline: Timeline
  readonly #log: Log
  readonly #subscription: Disposable
  readonly #reading = new Set<RoomHere<O>>()
  #rechecking = false

  constructor(options: { readonly hub: Hub<O>; readonly timeline: Timeline; readonly log: Log }) {
    this.#hub = options.hub
    this.#timeline = options.timeline
    this.#log = options.log
    this.#subscription = options.timeline.subscribe(
      (news) => this.#heard(news),
      () => void this.#recheck(),
    )
  }

  /** Makes sure that a room's sockets get everything heard of so far; for a room whose position was just set. */
  catchUp(room: RoomHere<O>): void {
    if (room.position !== undefined && room.wanted > room.position) void this.#read(room)
  }

  /** A reader has found the room's timeline to be this one. Where it was another, its sockets begin anew. */
  agree(room: RoomHere<O>, epoch: string): void {
    if (room.position === undefined) room.epoch = epoch
    else if (room.epoch !== epoch) void this.#begin(room)
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]()
  }

  #heard({ roomId, head, events, ended }: RoomNews): void {
    if (ended === true) {
      this.#hub.end(roomId)
      return
    }
    const room = this.#hub.room(roomId)
    if (room === undefined) return
    room.wanted = Math.max(room.wanted, head)
    // Before its first page is read the room has no position; `catchUp` follows then.
    if (room.position === undefined || head <= room.position) return
    if (events?.[0]?.seq === room.position + 1 && !this.#reading.has(room)) this.#hub.deliver(room, events)
    else void this.#read(room)
  }

  async #read(room: RoomHere<O>): Promise<void> {
    if (this.#reading.has(room)) return
    this.#reading.add(room)
    try {
      while (room.followers.size > 0 && room.position !== undefined && room.wanted > room.position) {
        const page = await this.#timeline.since(room.id, room.position, undefined, room.epoch)
        if (page.reset === true) {
          this.#hub.restart(room, page)
          continue
        }
        if (page.events.length === 0) break
        this.#hub.deliver(room, page.events)
      }
    } catch (error) {
      // The next news or recheck tries again from the same position.
      this.#log.warn({ err: error, roomId: room.id }, 'a timeline could not be read for its sockets')
    } finally {
      this.#reading.delete(room)
    }
  }

  async #begin(room: RoomHere<O>): Promise<void> {
    if (this.#reading.has(room)) return
    this.#reading.add(room)
    try {
      const page = await this.#timeline.newest(room.id)
      if (page.epoch !== room.epoch) this.#hub.restart(room, page)
    } catch (error) {
      // The next recheck finds the same.
      this.#log.warn({ err: error, roomId: room.id }, 'a new timeline could not be read for its sockets')
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
        if (room !== undefined && found !== undefined) this.agree(room, found.epoch)
        this.#heard(found === undefined ? { roomId, head: 0, ended: true } : { roomId, head: found.head })
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'the heads of the rooms could not be compared')
    } finally {
      this.#rechecking = false
    }
  }
}
