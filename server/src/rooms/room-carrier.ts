import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import type { Log } from '#foundation/log.ts'

interface CarriedNews {
  readonly roomId: string
  readonly head: number
  readonly events?: readonly RoomEvent[]
}

export interface RoomCarrierOptions {
  readonly broadcast: Broadcast
  readonly tell: (news: CarriedNews) => void
  readonly log: Log
  /** How long events may be on their way after the database has told their number. */
  readonly patienceMs?: number | undefined
}

/** The topic of what is carried about a room. */
function topicOf(roomId: string): string {
  return `events:${roomId}`
}
const eventsPerMessage = 64

/**
 * Carries committed events between processes, so that the sockets of another one get them without a query there. The database
 * tells the number of every commit all the same; as long as the broadcast hears a room, that number waits a moment for the
 * events themselves. So a broadcast that loses something, or all, costs that moment and never an event.
 */
export class RoomCarrier implements Disposable {
  readonly #broadcast: Broadcast
  readonly #tell: (news: CarriedNews) => void
  readonly #log: Log
  readonly #patienceMs: number
  readonly #rooms = new Map<string, CarriedRoom>()

  constructor(options: RoomCarrierOptions) {
    this.#broadcast = options.broadcast
    this.#tell = options.tell
    this.#log = options.log
    this.#patienceMs = options.patienceMs ?? 100
  }

  /** Somebody here wants the events of the room. */
  follow(roomId: string): Disposable {
    const room = this.#rooms.get(roomId) ?? this.#open(roomId)
    room.followers++
    let gone = false
    return {
      [Symbol.dispose]: () => {
        if (gone) return
        gone = true
        room.followers--
        if (room.followers > 0) return
        room[Symbol.dispose]()
        this.#rooms.delete(roomId)
      },
    }
  }

  /** Events that this process has committed, in order. */
  carry(roomId: string, events: readonly RoomEvent[]): void {
    this.#rooms.get(roomId)?.reached(events.at(-1)?.seq ?? 0)
    for (let at = 0; at < events.length; at += eventsPerMessage) {
      this.#broadcast.tell(topicOf(roomId), JSON.stringify(events.slice(at, at + eventsPerMessage)))
    }
  }

  /** The database tells that this many events exist. True: nobody need be told, since they have come or are about to. */
  expects(roomId: string, head: number): boolean {
    const room = this.#rooms.get(roomId)
    if (room === undefined) return false
    if (this.#broadcast.hears(topicOf(roomId))) return room.expect(head)
    room.reached(head)
    return false
  }

  /** A timeline may have been put back to an earlier state: numbers from before say nothing about what comes. */
  forget(): void {
    for (const room of this.#rooms.values()) room.forget()
  }

  [Symbol.dispose](): void {
    for (const room of this.#rooms.values()) room[Symbol.dispose]()
    this.#rooms.clear()
  }

  #open(roomId: string): CarriedRoom {
    const room = new CarriedRoom(
      (head, events) => this.#tell({ roomId, head, ...(events && { events }) }),
      this.#patienceMs,
    )
    room.listening = this.#broadcast.listen(
      topicOf(roomId),
      (message) => {
        try {
          room.arrived(JSON.parse(message) as RoomEvent[])
        } catch (error) {
          // Of another version perhaps. The number from the database stands for them.
          this.#log.warn({ err: error, roomId }, 'events of another process could not be read')
        }
      },
      () => room.release(),
    )
    this.#rooms.set(roomId, room)
    return room
  }
}

/** What has come of one room, and what should. */
class CarriedRoom implements Disposable {
  followers = 0
  listening: Disposable | undefined
  readonly #tell: (head: number, events?: readonly RoomEvent[]) => void
  readonly #patienceMs: number
  /** Everything up to here was told. Undefined: nothing has come yet. */
  #head: number | undefined
  /** The database, or what came ahead of its turn, says that this many exist. */
  #wanted = 0
  /** Came ahead of their turn. */
  #waiting: (readonly RoomEvent[])[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(tell: (head: number, events?: readonly RoomEvent[]) => void, patienceMs: number) {
    this.#tell = tell
    this.#patienceMs = patienceMs
  }

  reached(head: number): void {
    this.#head = Math.max(this.#head ?? 0, head)
  }

  expect(head: number): true {
    this.#wanted = Math.max(this.#wanted, head)
    if (this.#wanted > (this.#head ?? 0)) this.#await()
    return true
  }

  arrived(events: readonly RoomEvent[]): void {
    const [first, last] = [events[0], events.at(-1)]
    if (first === undefined || last === undefined || last.seq <= (this.#head ?? 0)) return
    this.#wanted = Math.max(this.#wanted, last.seq)
    if (this.#head !== undefined && first.seq > this.#head + 1) {
      this.#waiting.push(events)
      this.#await()
      return
    }
    this.reached(last.seq)
    this.#tell(last.seq, events)
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting.sort((one, other) => (one[0]?.seq ?? 0) - (other[0]?.seq ?? 0))
    this.#waiting = []
    for (const later of waiting) this.arrived(later)
  }

  /** Whatever should have come and did not is told by its number: to be read. */
  release(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#waiting = []
    if (this.#wanted <= (this.#head ?? 0)) return
    this.reached(this.#wanted)
    this.#tell(this.#wanted)
  }

  forget(): void {
    this.release()
    this.#head = undefined
    this.#wanted = 0
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.listening?.[Symbol.dispose]()
  }

  #await(): void {
    if (this.#timer !== undefined) return
    const patientFor = this.#wanted
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if ((this.#head ?? 0) < patientFor) this.release()
      else if ((this.#head ?? 0) < this.#wanted) this.#await()
    }, this.#patienceMs)
    this.#timer.unref()
  }
}
