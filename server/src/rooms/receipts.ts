import type { RoomSignal } from '@atom/contract/socket.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Notes } from '#foundation/database/notes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
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

type ReadSignal = Extract<RoomSignal, { kind: 'read' }>

/** In larger rooms nobody looks for who has read what, and it would cost each message a signal from every member. */
const tellUpTo = 100
/** What waits when the database is slow; then whoever reads on is asked to wait. */
const mostWaiting = 50_000
const perNote = 40
/** How often the last marks are tried to be written when the process ends. */
const lastTries = 5
const retryMs = 500

/**
 * How far people have read, written together: a mark is kept in memory for a moment and only the furthest one of a person in a
 * room is written. The end of the process writes what is left; kill -9 loses the marks of that moment, and they come again with
 * the next message that is read.
 */
export class Receipts implements AsyncDisposable {
  readonly #with: ReceiptsOptions
  readonly #everyMs: number
  readonly #heard = new Set<(mark: OwnMark) => void>()
  readonly #hearing: Disposable
  #waiting = new Map<string, store.ReadMark>()
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
    const key = `${roomId} ${accountId}`
    const known = this.#waiting.get(key)
    if (known !== undefined && known.seq >= seq) return
    if (known === undefined && this.#waiting.size >= mostWaiting) {
      throw new AtomError('busy', 'Read marks are written more slowly than they come.', {
        retryAfterMs: 1_000,
      })
    }
    this.#waiting.set(key, { roomId, accountId, seq })
    this.#timer ??= setTimeout(() => void this.#write(), this.#everyMs)
  }

  /** Before somebody is shown what they have read: their marks are written. Without any it costs nothing. */
  async settled(accountId: string): Promise<void> {
    await this.#writing
    for (const mark of this.#waiting.values()) {
      if (mark.accountId === accountId) return await this.#write()
    }
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
    await this.#writing
    const marks = this.#waiting
    if (marks.size === 0) return
    this.#waiting = new Map()
    this.#writing = this.#writeAll(marks)
    await this.#writing
  }

  async #writeAll(marks: ReadonlyMap<string, store.ReadMark>): Promise<void> {
    try {
      const moved = await store.markAllRead(this.#with.database, [...marks.values()])
      this.#tell(moved.map(({ members, ...mark }) => ({ ...mark, shared: members <= tellUpTo })))
    } catch (error) {
      this.#with.log.warn({ err: error, marks: marks.size }, 'read marks could not be written; trying again')
      for (const [key, mark] of marks) {
        if ((this.#waiting.get(key)?.seq ?? -1) < mark.seq) this.#waiting.set(key, mark)
      }
      this.#timer ??= setTimeout(() => void this.#write(), Math.max(this.#everyMs, retryMs))
    } finally {
      this.#writing = undefined
    }
  }

  #tell(marks: readonly OwnMark[]): void {
    for (const [roomId, shared] of Map.groupBy(
      marks.filter((mark) => mark.shared),
      (mark) => mark.roomId,
    )) {
      const readers = shared.map(({ accountId: id, seq }) => ({ id, seq }))
      this.#with.signals.tell({ roomId, kind: 'read', readers } satisfies ReadSignal)
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
