import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { Receipts } from '#rooms/receipts.ts'
import type { Follower, Outlet, RoomHere } from './hub.ts'

export interface EchoingOutlet extends Outlet {
  /** Calls back when the client has everything that was sent to it until now; never, where it ends before. */
  echo(arrived: () => void): void
  /** It reads so slowly that what it was sent is not there for long. */
  readonly crowded: boolean
}

/** Devices are asked at most this often what has arrived. */
const defaultEveryMs = 1_000
/** In larger rooms, this many times as seldom: everybody hears of everybody. */
const largeRoom = 20
const largeRoomFactor = 5

/**
 * What has arrived at people's devices. After something was said in a room its sockets are asked for an echo, all rooms of a
 * socket with one, at most once a second; what comes back moves a mark per person and room, which is written with those of
 * reading. So it costs a ping per socket and second while there is talk, and nothing by the message.
 */
export class Deliveries<O extends EchoingOutlet = EchoingOutlet> implements Disposable {
  readonly #receipts: Pick<Receipts, 'arrived' | 'minds'>
  readonly #everyMs: number
  readonly #rooms = new Map<RoomHere<O>, number>()
  readonly #followers = new Set<Follower<O>>()
  #turn = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: {
    readonly receipts: Pick<Receipts, 'arrived' | 'minds'>
    readonly deliverEveryMs?: number
  }) {
    this.#receipts = options.receipts
    this.#everyMs = options.deliverEveryMs ?? defaultEveryMs
  }

  /** These events were sent to everybody in the room. */
  sent(room: RoomHere<O>, events: readonly RoomEvent[]): void {
    if (this.#rooms.has(room) || !events.some(saidBySomebody) || !this.#receipts.minds(room.id)) return
    this.#rooms.set(room, this.#turn)
    this.#soon()
  }

  /** One of them was handed what it had missed. */
  caughtUp(follower: Follower<O>): void {
    if (!this.#receipts.minds(follower.room.id)) return
    this.#followers.add(follower)
    this.#soon()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#rooms.clear()
    this.#followers.clear()
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#ask()
    }, this.#everyMs)
    this.#timer.unref()
  }

  #ask(): void {
    this.#turn++
    const asked = new Map<O, Follower<O>[]>()
    const add = (follower: Follower<O>) => {
      const { outlet, mode } = follower
      // Who holds back is asked when it has caught up.
      if ((mode !== 'live' && mode !== 'ahead') || outlet.crowded) return
      const followers = asked.get(outlet)
      if (followers === undefined) asked.set(outlet, [follower])
      else followers.push(follower)
    }
    for (const follower of this.#followers) add(follower)
    this.#followers.clear()
    for (const [room, since] of this.#rooms) {
      if (room.followers.size > largeRoom && this.#turn - since < largeRoomFactor) continue
      this.#rooms.delete(room)
      for (const follower of room.followers) add(follower)
    }
    for (const [outlet, followers] of asked) {
      const marks = new Map(
        followers.map(({ room, mode, cursor }) => [room.id, mode === 'live' ? (room.position ?? 0) : cursor]),
      )
      outlet.echo(() => {
        for (const [roomId, seq] of marks) this.#receipts.arrived(outlet.accountId, roomId, seq)
      })
    }
    if (this.#rooms.size > 0) this.#soon()
  }
}

/** People are told what became of what they said; agents do not ask. */
function saidBySomebody(event: RoomEvent): boolean {
  return event.type === 'message.created' && event.actor.kind === 'account'
}
