import { setTimeout as delay } from 'node:timers/promises'
import { type EventPage, limits } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'
import type { Log } from '#foundation/log.ts'
import { type Cursor, isVoid } from '#rooms/timeline.ts'
import { type Follower, type Hub, type Outlet, type RoomHere, takenOut } from './hub.ts'
import type { Pages } from './pages.ts'
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
  readonly #pages: Pages
  readonly #drafts: Drafts
  readonly #isMember: (accountId: string, roomId: string) => Promise<boolean>
  readonly #log: Log
  readonly #traffic: SocketTraffic

  constructor(options: {
    readonly hub: Hub<O>
    readonly relay: Relay<O>
    readonly pages: Pages
    readonly drafts: Drafts
    readonly isMember: (accountId: string, roomId: string) => Promise<boolean>
    readonly log: Log
    readonly traffic: SocketTraffic
  }) {
    this.#hub = options.hub
    this.#relay = options.relay
    this.#pages = options.pages
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
    if (cursor !== undefined) {
      const page = await this.#pages.since(follower.room, cursor.seq)
      if (page.reset !== true && !isVoid(cursor, page)) return page
    }
    const newest = await this.#pages.newest(follower.room)
    // `more` speaks of what follows.
    return { ...newest, more: false, ...(cursor !== undefined && { reset: true }) }
  }

  /** The page was handed over as an answer: the rest follows by itself. */
  begin(follower: Follower<O>, page: EventPage): void {
    follower.fed = page.events.length > 0
    this.#resume(follower, page.epoch, page.events.at(-1)?.seq ?? page.head, page.more)
  }

  /** Resumes from a known place; where nothing was missed, without reading. */
  resume(follower: Follower<O>, epoch: string, cursor: number, head: number): void {
    this.#resume(follower, epoch, cursor, cursor < head)
  }

  /** For a cursor that is void: the newest page, then live. */
  restart(follower: Follower<O>, { epoch, head, floor }: Extent): void {
    this.resume(follower, epoch, Math.max(floor - 1, head - newestEvents), head)
  }

  /** Reads on from the cursor of a follower that was suspended. */
  again(follower: Follower<O>): void {
    void this.#catchUp(follower, true)
  }

  #resume(follower: Follower<O>, epoch: string, cursor: number, behind: boolean): void {
    const { room } = follower
    follower.cursor = cursor
    if (room.position === undefined) room.epoch = epoch
    // The room was, or has to be, started over: which of the two is the newer timeline is read.
    else if (room.epoch !== epoch) follower.stale = true
    void this.#catchUp(follower, behind || follower.stale)
  }

  async #catchUp(follower: Follower<O>, behind: boolean): Promise<void> {
    const { room, outlet } = follower
    let read = behind
    while (follower.mode === 'holding') {
      if (read) {
        try {
          await outlet.room()
          if (follower.mode !== 'holding') return
          // What is delivered from here on is either in the page or held.
          follower.held = []
          if (follower.stale) {
            if (await this.#startOver(follower)) read = false
            continue
          }
          this.#traffic.pages++
          const page = await this.#pages.since(room, follower.cursor)
          if (follower.mode !== 'holding') return
          if (page.reset === true || page.epoch !== room.epoch || isVoid({ seq: follower.cursor }, page)) {
            follower.stale = true
            continue
          }
          const end = takenOut(outlet.accountId, page.events)
          // Long ago, or just now? What came after is for members only.
          if (end > 0 && !(await this.#isMember(outlet.accountId, room.id))) {
            follower.pass(page.events.slice(0, end))
            this.#hub.expel(follower, follower.cursor)
            return
          }
          follower.pass(page.events)
          if (page.more) continue
        } catch (error) {
          this.#log.warn(
            { err: error, roomId: room.id },
            'a socket could not read what it missed; trying again',
          )
          await delay(retryMs)
          continue
        }
      }
      if (this.#hub.cutOver(follower)) {
        this.#relay.catchUp(room)
        for (const draft of this.#drafts.open(room.id)) outlet.tell(draft)
        this.#drafts.elsewhere?.(room.id, (draft) => {
          if (follower.mode !== 'gone') outlet.tell(draft)
        })
        return
      }
      read = true
    }
  }

  /** The newest page instead of what the cursor is void for. False where the room was started over meanwhile: once more. */
  async #startOver(follower: Follower<O>): Promise<boolean> {
    const { room, outlet } = follower
    const { epoch } = room
    const page = await this.#pages.newest(room)
    // Whether it was taken out is not seen on a page that begins later.
    const isMember = await this.#isMember(outlet.accountId, room.id)
    if (follower.mode !== 'holding' || room.epoch !== epoch) return false
    if (!isMember) {
      // Their going lies somewhere on it, and their coming back, if they were told of one, after the question.
      this.#hub.expel(follower, page.head)
      return false
    }
    this.#renew(room, page)
    follower.stale = false
    follower.held ??= []
    follower.restart(page)
    return true
  }

  #renew(room: RoomHere<O>, page: EventPage): void {
    if (room.epoch === page.epoch) return
    if (room.position === undefined) room.epoch = page.epoch
    else this.#hub.restart(room, page)
  }
}

/** What there is of a timeline. */
interface Extent {
  readonly epoch: string
  readonly head: number
  /** Oldest event still kept. */
  readonly floor: number
}
