import type { EventPage, RoomEvent } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'
import { closeStream, type EventStream, type OpenStreams, type StreamCaller } from '#access/open-streams.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Signals } from '#rooms/signals.ts'
import { type Cursor, isVoid, type RoomNews, type Timeline } from '#rooms/timeline.ts'
import { takenOut } from './hub.ts'
import type { Drafts } from './resume.ts'

export interface RoomStreamsOptions {
  readonly rooms: Pick<Rooms, 'requireMember' | 'hasAccount'>
  readonly timeline: Timeline
  readonly signals: Pick<Signals, 'subscribe' | 'follow'>
  readonly drafts: Drafts
  readonly streams: OpenStreams
  readonly log: Log
}

const retryMs = 1_000

/**
 * Rooms as server-sent events, for callers without a socket. Each reader has a cursor and nothing else: news wake it, and what
 * it is sent is the timeline after its cursor, one page at a time and only as fast as it reads. So a slow one costs a page of
 * memory, and an absence of any length is a cursor that is further behind.
 */
export class RoomStreams implements Disposable {
  readonly #with: RoomStreamsOptions
  readonly #readers = new Map<string, Set<Reader>>()
  /** Pages under way, by room and cursor: readers that are woken by the same news read the same page. */
  readonly #pages = new Map<string, Promise<EventPage>>()
  readonly #release = new DisposableStack()
  #rechecking = false

  constructor(options: RoomStreamsOptions) {
    this.#with = options
    this.#release.use(
      options.timeline.subscribe(
        (news) => this.#heard(news),
        () => void this.#recheck(),
        'followed',
      ),
    )
    this.#release.use(
      options.signals.subscribe((signal) => {
        for (const reader of this.#readers.get(signal.roomId) ?? []) reader.tell(signal)
      }),
    )
  }

  /** @throws AtomError `not_found` · `not_a_member` · `draining` · `busy` */
  async open(
    caller: StreamCaller,
    asked: { readonly roomId: string; readonly cursor: Cursor | undefined; readonly signals: boolean },
  ): Promise<(stream: EventStream) => void> {
    this.#with.streams.requireTime(caller.principal)
    const roomId = asked.roomId.toLowerCase()
    await this.#with.rooms.requireMember(caller.principal, roomId)
    return (stream) => this.#begin(caller, { ...asked, roomId }, stream)
  }

  [Symbol.dispose](): void {
    this.#release.dispose()
  }

  #begin(
    caller: StreamCaller,
    { roomId, cursor, signals }: { roomId: string; cursor: Cursor | undefined; signals: boolean },
    stream: EventStream,
  ): void {
    const { drafts, rooms, timeline, streams, log } = this.#with
    if (!streams.admit(caller, stream)) return
    const { id: accountId } = caller.principal
    const reader = new Reader({
      stream,
      accountId,
      signals,
      page: (after) => this.#page(roomId, after),
      newest: () => timeline.newest(roomId),
      isMember: () => rooms.hasAccount(accountId, roomId),
      log,
    })
    const readers = this.#readers.get(roomId) ?? new Set()
    this.#readers.set(roomId, readers)
    readers.add(reader)
    // What other processes say of the room is brought here while somebody reads it.
    const news = timeline.follow(roomId)
    const told = signals ? this.#with.signals.follow(roomId) : undefined
    stream.once('close', () => {
      readers.delete(reader)
      news[Symbol.dispose]()
      told?.[Symbol.dispose]()
      if (readers.size === 0 && this.#readers.get(roomId) === readers) this.#readers.delete(roomId)
    })
    void reader.start(cursor).then(() => {
      if (!signals) return
      for (const draft of drafts.open(roomId)) reader.tell(draft)
      drafts.elsewhere?.(roomId, (draft) => reader.tell(draft))
    })
  }

  #heard({ roomId, head, events, ended }: RoomNews): void {
    for (const reader of this.#readers.get(roomId) ?? []) {
      if (ended === true) reader.leave()
      else reader.wake(head, events)
    }
  }

  async #recheck(): Promise<void> {
    const roomIds = [...this.#readers.keys()]
    if (this.#rechecking || roomIds.length === 0) return
    this.#rechecking = true
    try {
      const heads = await this.#with.timeline.heads(roomIds)
      for (const roomId of roomIds) {
        const head = heads.get(roomId)?.head
        this.#heard(head === undefined ? { roomId, head: 0, ended: true } : { roomId, head })
      }
    } catch (error) {
      this.#with.log.warn({ err: error }, 'the heads of rooms that are streamed could not be compared')
    } finally {
      this.#rechecking = false
    }
  }

  #page(roomId: string, after: number): Promise<EventPage> {
    const key = `${roomId} ${after}`
    const known = this.#pages.get(key)
    if (known !== undefined) return known
    const page = this.#with.timeline.since(roomId, after).finally(() => this.#pages.delete(key))
    this.#pages.set(key, page)
    return page
  }
}

interface ReaderOptions {
  readonly stream: EventStream
  readonly accountId: string
  readonly signals: boolean
  readonly page: (after: number) => Promise<EventPage>
  readonly newest: () => Promise<EventPage>
  readonly isMember: () => Promise<boolean>
  readonly log: Log
}

/** One open stream: a cursor in one room. */
class Reader {
  readonly #with: ReaderOptions
  readonly #stream: EventStream
  #epoch = ''
  #cursor = 0
  #wanted = 0
  #reading = true

  constructor(options: ReaderOptions) {
    this.#with = options
    this.#stream = options.stream
  }

  /** Everything up to the head, or the newest page where there is no cursor to go on from. Never rejects. */
  async start(cursor: Cursor | undefined): Promise<void> {
    await this.#untilDone(async () => {
      const page = cursor === undefined ? undefined : await this.#with.page(cursor.seq)
      if (page !== undefined && cursor !== undefined && !isVoid(cursor, page) && page.reset !== true) {
        this.#epoch = page.epoch
        this.#cursor = cursor.seq
        await this.#send(page.events)
        this.#wanted = Math.max(this.#wanted, page.head)
        return
      }
      const newest = await this.#with.newest()
      this.#restart(newest, cursor !== undefined)
      await this.#send(newest.events)
    })
    this.#reading = false
    await this.#read()
  }

  /** At least `head` events exist; `events` are the last of them, where they are at hand. */
  wake(head: number, events: readonly RoomEvent[] | undefined): void {
    this.#wanted = Math.max(this.#wanted, head)
    if (this.#reading || this.#stream.crowded || events?.[0]?.seq !== this.#cursor + 1) {
      void this.#read()
      return
    }
    // Whether somebody taken out is back in the same breath has to be asked.
    if (takenOut(this.#with.accountId, events) > 0) void this.#read()
    else this.#pass(events)
  }

  /** Told while it fits; a client that misses a piece of an answer sees the gap in its offsets. */
  tell(signal: RoomSignal): void {
    if (this.#with.signals && !this.#stream.crowded) this.#stream.send({ event: 'signal', data: signal })
  }

  /** The room is closed to this reader from now on. */
  leave(): void {
    closeStream(this.#stream, 'left')
  }

  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    while (this.#cursor < this.#wanted && !this.#stream.over) {
      await this.#untilDone(async () => {
        await this.#stream.room()
        if (this.#stream.over) return
        const wanted = this.#wanted
        const page = await this.#with.page(this.#cursor)
        if (page.reset === true || page.epoch !== this.#epoch || page.head < this.#cursor) {
          this.#restart(page.reset === true ? page : await this.#with.newest(), true)
          return
        }
        await this.#send(page.events)
        // Nothing there, and nothing heard since: the news was of what is known already.
        if (page.events.length === 0 && this.#wanted === wanted) this.#wanted = this.#cursor
      })
    }
    this.#reading = false
  }

  /** A reader without a cursor gets the newest page. */
  #restart(newest: EventPage, reset: boolean): void {
    const { epoch, head, floor } = newest
    this.#epoch = epoch
    this.#cursor = (newest.events[0]?.seq ?? head + 1) - 1
    // Never less than was heard of while it was read.
    this.#wanted = Math.max(this.#wanted, head)
    if (reset) {
      this.#stream.send({ event: 'reset', id: this.#id(this.#cursor), data: { epoch, head, floor } })
    }
  }

  async #send(events: readonly RoomEvent[]): Promise<void> {
    const end = takenOut(this.#with.accountId, events)
    // Long ago, or just now? What came after is for members only.
    if (end > 0 && !(await this.#with.isMember())) {
      this.#pass(events.slice(0, end))
      this.leave()
      return
    }
    this.#pass(events)
  }

  #pass(events: readonly RoomEvent[]): void {
    for (const event of events) {
      if (event.seq <= this.#cursor) continue
      this.#stream.send({ id: this.#id(event.seq), data: event })
      this.#cursor = event.seq
    }
  }

  #id(seq: number): string {
    return `${this.#epoch}:${seq}`
  }

  async #untilDone(work: () => Promise<void>): Promise<void> {
    while (!this.#stream.over) {
      try {
        await work()
        return
      } catch (error) {
        if (error instanceof AtomError && error.code === 'not_found') {
          this.leave()
          return
        }
        this.#with.log.warn({ err: error }, 'a stream could not read its room; trying again')
        await new Promise((resolve) => setTimeout(resolve, retryMs).unref())
      }
    }
  }
}

/** `epoch:seq`, as the stream names its events, or `seq` alone. @throws AtomError `validation_failed` */
export function cursorOf(
  lastEventId: string | undefined,
  query: { readonly after?: number | undefined; readonly epoch?: string | undefined },
): Cursor | undefined {
  if (lastEventId === undefined || lastEventId === '') {
    return query.after === undefined ? undefined : { seq: query.after, epoch: query.epoch }
  }
  const [, epoch, seq] =
    /^(?:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):)?(\d{1,15})$/i.exec(lastEventId) ?? []
  if (seq === undefined) {
    throw new AtomError('validation_failed', 'The Last-Event-ID is not one of ours; begin again without it.')
  }
  return { seq: Number(seq), epoch }
}
