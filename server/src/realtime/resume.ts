import { setTimeout as delay } from 'node:timers/promises'
import { type EventPage, limits } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'
import type { Log } from '#foundation/log.ts'
import type { Standing } from '#rooms/rooms.ts'
import type { Cursor, Timeline } from '#rooms/timeline.ts'
import { type Follower, type Hub, type Outlet, takenOut } from './hub.ts'
import type { Relay } from './relay.ts'
import type { SocketTraffic } from './socket-traffic.ts'

/** The text so far of every answer that is being written in a room, as deltas from offset 0. */
export interface Drafts {
  open(roomId: string): readonly Extract<RoomSignal, { kind: 'delta' }>[]
  /** The same of answers that other processes write; told a moment later. */
  elsewhere?(roomId: string, tell: (delta: Extract<RoomSignal, { kind: 'delta' }>) => void): void
}

export interface ResumingOutlet extends Outlet {
  tell(signal: RoomSignal): void
  /** Resolves when the socket can take more. */
  room(): Promise<void>
}

const retryMs = 1_000
/** How many of the newest events a client gets that has none. */
const newestEvents = limits.pageEvents

/** Brings a socket from where it was to where the room is: pages first, then what was held meanwhile, then live. */
export class Resume<O extends ResumingOutlet = ResumingOutlet> {
  readonly #hub: Hub<O>
  readonly #relay: Relay<O>
  readonly #timeline: Timeline
  readonly #drafts: Drafts
  readonly #isMember: (accountId: string, roomId: string) => Promise<boolean>
  readonly #log: Log
  readonly #traffic: SocketTraffic

  constructor(options: {
    readonly hub: Hub<O>
    readonly relay: Relay<O>
    readonly timeline: Timeline
    readonly drafts: Drafts
    readonly isMember: (accountId: string, roomId: string) => Promise<boolean>
    readonly log: Log
    readonly traffic: SocketTraffic
  }) {
    this.#hub = options.hub
    this.#relay = options.relay
    this.#timeline = options.timeline
    this.#drafts = options.drafts
    this.#isMember = options.isMember
    this.#log = options.log
    this.#traffic = options.traffic
  }

  /**
   * The first page for a follower: after its cursor, or the newest page where it has none or one that is void (`reset`).
   * Call `begin` once the page is on its way.
   */
  async open(follower: Follower<O>, cursor: Cursor | undefined): Promise<EventPage> {
    const { id } = follower.room
    if (cursor !== undefined) return await this.#timeline.since(id, cursor.seq, undefined, cursor.epoch)
    // `more` speaks of what follows.
    return { ...(await this.#timeline.newest(id)), more: false }
  }

  /** The page was handed over as an answer: the rest follows by itself. */
  begin(follower: Follower<O>, page: EventPage): void {
    this.#relay.agree(follower.room, page.epoch)
    follower.epoch = page.epoch
    follower.cursor = page.events.at(-1)?.seq ?? page.head
    void this.#catchUp(follower, page.more)
  }

  /** Resumes from a known place; where nothing was missed, without reading. */
  resume(follower: Follower<O>, epoch: string, cursor: number, head: number): void {
    this.#relay.agree(follower.room, epoch)
    follower.epoch = epoch
    follower.cursor = cursor
    void this.#catchUp(follower, cursor < head)
  }

  /** For a cursor that is void: the newest page, then live. */
  restart(follower: Follower<O>, { epoch, head, floor }: Standing): void {
    this.resume(follower, epoch, Math.max(floor - 1, head - newestEvents), head)
  }

  /** Reads on from the cursor of a follower that was suspended. */
  again(follower: Follower<O>): void {
    void this.#catchUp(follower, true)
  }

  async #catchUp(follower: Follower<O>, behind: boolean): Promise<void> {
    let read = behind
    while (follower.mode === 'holding') {
      if (read) {
        try {
          await follower.outlet.room()
          if (follower.mode !== 'holding') return
          // What is delivered from here on is either in the page or held.
          follower.held = []
          this.#traffic.pages++
          const { room, cursor, epoch } = follower
          const page = await this.#timeline.since(room.id, cursor, undefined, epoch)
          if (follower.mode !== 'holding') return
          const end = takenOut(follower.outlet.accountId, page.events)
          // Long ago, or just now? What came after is for members only.
          if (end > 0 && !(await this.#isMember(follower.outlet.accountId, follower.room.id))) {
            if (page.reset !== true) follower.pass(page.events.slice(0, end))
            this.#hub.expel(follower)
            return
          }
          if (page.reset === true) follower.restart(page)
          else follower.pass(page.events)
          if (page.more) continue
        } catch (error) {
          this.#log.warn(
            { err: error, roomId: follower.room.id },
            'a socket could not read what it missed; trying again',
          )
          await delay(retryMs)
          continue
        }
      }
      if (this.#hub.cutOver(follower)) {
        this.#relay.catchUp(follower.room)
        for (const draft of this.#drafts.open(follower.room.id)) follower.outlet.tell(draft)
        this.#drafts.elsewhere?.(follower.room.id, (draft) => {
          if (follower.mode !== 'gone') follower.outlet.tell(draft)
        })
        return
      }
      read = true
    }
  }
}
