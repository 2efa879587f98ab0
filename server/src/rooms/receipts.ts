import type { RoomSignal } from '@atom/contract/socket.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Notes } from '#foundation/database/notes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { outside } from '#foundation/telemetry/trace.ts'
import * as store from './membership-store.ts'
import type { Signals } from './signals.ts'

export interface ReceiptsOptions {
  readonly database: Database
  readonly signals: Pick<Signals, 'tell'>
  readonly notes: Pick<Notes, 'tell' | 'hear'>
  readonly log: Log
  /** Marks are gathered this long. */
  readonly everyMs?: number
}

/** How far a person has read a room: for their other devices. */
export interface OwnMark {
  readonly accountId: string
  readonly roomId: string
  readonly seq: number
  /** It is told to the whole room, too. */
  readonly shared: boolean
}

interface Size {
  /** Somebody would see what was delivered to whom. */
  readonly matters: boolean
  readonly until: number
}

/** In larger rooms nobody looks for who has read what, and it would cost each message a signal from every member. */
const tellUpTo = 100
/** What waits when the database is slow; then whoever reads on is asked to wait. */
const mostWaiting = 50_000
const perNote = 40
/** How many are in a room is believed for this long, of this many rooms. */
const believedMs = 60_000
const mostSizes = 20_000
/** How often the last marks are tried to be written when the process ends. */
const lastTries = 5
const retryMs = 500

/**
 * How far people have read, and how far their devices have what was said, written together: a mark is kept in memory for a
 * moment and only the furthest one of a person in a room is written, whatever was said in it meanwhile. The end of the process writes what is left; kill -9 loses the marks of that moment, and they come again with
 * the next message that is read.
 */
export class Receipts implements AsyncDisposable {
  readonly #with: ReceiptsOptions
  readonly #everyMs: number
  readonly #heard = new Set<(mark: OwnMark) => void>()
  readonly #hearing: Disposable
  readonly #sizes = new Map<string, Size>()
  #waiting = new Map<string, store.Mark>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined

  constructor(options: ReceiptsOptions) {
    this.#with = options
    this.#everyMs = options.everyMs ?? 400
    this.#hearing = options.notes.hear('read', (body) => {
      for (const mark of body as OwnMark[]) this.#announce(mark)
    })
  }

  /** For somebody who is known to be in the room. @throws AtomError `busy` */
  mark({ id: accountId }: AccountPrincipal, roomId: string, seq: number): void {
    if (this.#add({ roomId, accountId, read: seq, delivered: 0 })) return
    throw new AtomError('busy', 'Read marks are written more slowly than they come.', { retryAfterMs: 1_000 })
  }

  /** A device of somebody who is in the room has everything up to `seq`. Where marks are written too slowly it is let go. */
  arrived(accountId: string, roomId: string, seq: number): void {
    if (this.minds(roomId)) this.#add({ roomId, accountId, read: 0, delivered: seq })
  }

  /** False where it is known that nobody would see what was delivered to whom: a large room, or nobody else in it. */
  minds(roomId: string): boolean {
    const size = this.#sizes.get(roomId)
    return size === undefined || size.matters || size.until < performance.now()
  }

  /** Before somebody is shown what they have read: their marks are written. Without any it costs nothing. */
  async settled(accountId: string): Promise<void> {
    // What waited behind one writing is the next one, begun before this goes on.
    while (this.#writing !== undefined) await this.#writing
    for (const mark of this.#waiting.values()) {
      if (mark.accountId === accountId) return await this.#write()
    }
  }

  /** False: too many wait. */
  #add(mark: store.Mark): boolean {
    const key = `${mark.roomId} ${mark.accountId}`
    const known = this.#waiting.get(key)
    if (known === undefined && this.#waiting.size >= mostWaiting) return false
    if (known === undefined || known.read < mark.read || known.delivered < mark.delivered) {
      this.#waiting.set(key, further(mark, known))
      this.#timer ??= outside(() => setTimeout(() => void this.#write(), this.#everyMs))
    }
    return true
  }

  /** A mark that was written by somebody else; `back`: to before where it was, which concerns nobody but its person. */
  moved(
    { id: accountId }: AccountPrincipal,
    room: { id: string; readSeq: number; members: readonly unknown[] },
    back: boolean,
  ): void {
    const mark = { accountId, roomId: room.id, seq: room.readSeq }
    this.#tell([{ ...mark, shared: !back && room.members.length <= tellUpTo }])
  }

  /** What devices of a person should hear, wherever it was read. */
  subscribe(heard: (mark: OwnMark) => void): Disposable {
    this.#heard.add(heard)
    return { [Symbol.dispose]: () => void this.#heard.delete(heard) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let tries = 1; this.#waiting.size > 0 && tries <= lastTries; tries++) {
      if (tries > 1) await new Promise((resolve) => setTimeout(resolve, retryMs))
      await this.#write()
    }
    clearTimeout(this.#timer)
    await this.#writing
    if (this.#waiting.size > 0) this.#with.log.warn({ marks: this.#waiting.size }, 'read marks were lost')
    this.#hearing[Symbol.dispose]()
  }

  /** Never rejects: what could not be written waits for the next time. */
  async #write(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    while (this.#writing !== undefined) await this.#writing
    const marks = this.#waiting
    if (marks.size === 0) return
    this.#waiting = new Map()
    this.#writing = this.#writeAll(marks)
    await this.#writing
  }

  async #writeAll(marks: ReadonlyMap<string, store.Mark>): Promise<void> {
    try {
      await this.#measure(marks)
      const worth = [...marks.values()].filter(({ read, roomId }) => read > 0 || this.minds(roomId))
      if (worth.length === 0) return
      const moved = await store.moveMarks(this.#with.database, worth)
      this.#tellDelivered(moved.filter(({ deliveredMoved, readMoved }) => deliveredMoved && !readMoved))
      this.#tell(
        moved
          .filter(({ readMoved }) => readMoved)
          .map(({ accountId, roomId, read, members }) => ({
            accountId,
            roomId,
            seq: read,
            shared: members <= tellUpTo,
          })),
      )
    } catch (error) {
      this.#with.log.warn({ err: error, marks: marks.size }, 'read marks could not be written; trying again')
      for (const [key, mark] of marks) {
        this.#waiting.set(key, further(mark, this.#waiting.get(key)))
      }
      this.#timer ??= setTimeout(() => void this.#write(), Math.max(this.#everyMs, retryMs))
    } finally {
      this.#writing = undefined
    }
  }

  /** How large the rooms are that something was delivered in, where that is not known. */
  async #measure(marks: ReadonlyMap<string, store.Mark>): Promise<void> {
    const now = performance.now()
    const unknown = new Set<string>()
    for (const { roomId, delivered } of marks.values()) {
      if (delivered > 0 && (this.#sizes.get(roomId)?.until ?? 0) < now) unknown.add(roomId)
    }
    if (unknown.size === 0) return
    for (const { roomId, members, people } of await store.sizes(this.#with.database, [...unknown])) {
      this.#sizes.delete(roomId)
      this.#sizes.set(roomId, { matters: people > 1 && members <= tellUpTo, until: now + believedMs })
    }
    for (const oldest of this.#sizes.keys()) {
      if (this.#sizes.size <= mostSizes) break
      this.#sizes.delete(oldest)
    }
  }

  #tellDelivered(moved: readonly store.MovedMark[]): void {
    const shared = moved.filter(({ members }) => members <= tellUpTo)
    for (const [roomId, marks] of Map.groupBy(shared, (mark) => mark.roomId)) {
      const to = marks.map(({ accountId: id, delivered: seq }) => ({ id, seq }))
      this.#with.signals.tell({ roomId, kind: 'delivered', to })
    }
  }

  #tell(marks: readonly OwnMark[]): void {
    for (const [roomId, shared] of Map.groupBy(
      marks.filter((mark) => mark.shared),
      (mark) => mark.roomId,
    )) {
      const readers = shared.map(({ accountId: id, seq }) => ({ id, seq }))
      this.#with.signals.tell({ roomId, kind: 'read', readers } satisfies RoomSignal)
    }
    for (const mark of marks) this.#announce(mark)
    for (let at = 0; at < marks.length; at += perNote) {
      this.#with.notes.tell('read', marks.slice(at, at + perNote))
    }
  }

  #announce(mark: OwnMark): void {
    for (const heard of this.#heard) heard(mark)
  }
}

function further(mark: store.Mark, known: store.Mark | undefined): store.Mark {
  if (known === undefined) return mark
  return {
    ...mark,
    read: Math.max(mark.read, known.read),
    delivered: Math.max(mark.delivered, known.delivered),
  }
}
