import type { Actor, EventPage, RoomEvent } from '@atom/contract/rooms.ts'
import { type RoomSignal, socketLimits } from '@atom/contract/socket.ts'
import { type Amendment, amended, isAmendment } from '../amendments.ts'
import { AtomClientError, asAtomClientError } from '../atom-client-error.ts'
import { ObservableState } from '../observable.ts'

/** An answer being written. */
export interface Draft {
  readonly turnId: string
  readonly messageId: string
  readonly actor: Actor
  readonly text: string
  readonly attempt: number
}

export interface FeedSnapshot {
  /** In order, without gaps, from `loadedFrom` on. */
  readonly events: readonly RoomEvent[]
  /** By message id. */
  readonly drafts: ReadonlyMap<string, Draft>
  readonly typing: readonly Actor[]
  /** `seq` of the newest event that is known of. */
  readonly head: number
  /** Lowest `seq` held; 0 while nothing is. */
  readonly loadedFrom: number
  /** There is more before `loadedFrom`. */
  readonly hasOlder: boolean
  /** `stale`: what is shown may be behind, because the socket is away or the feed is catching up. */
  readonly state: 'loading' | 'live' | 'stale' | 'failed'
  readonly error?: AtomClientError
}

export interface Cursor {
  readonly epoch: string
  readonly seq: number
}

export interface JoinAnswer extends EventPage {
  readonly reset?: boolean
}

/** What the feed asks of the server. */
export interface FeedWire {
  /** From a cursor, or the newest page. Over the socket: live events follow. */
  join(cursor: Cursor | undefined): Promise<JoinAnswer>
  after(seq: number): Promise<EventPage>
  /** The page that ends right before `seq`, or the newest one; `more` means still older ones. */
  before(seq: number | undefined): Promise<EventPage>
}

const noDrafts: ReadonlyMap<string, Draft> = new Map()
const nobody: readonly Actor[] = []
/** More than this ahead of a gap is let go: the fetch that closes the gap brings it anyway. */
const heldLimit = 1_000
const retryCapMs = 10_000
/** As many newest events are kept where nobody looks at the room: who reads slower fetches what is older again. */
const keptUnseen = 500
/** As many messages and turns that are over are remembered; deltas that come later than that are not. */
const overLimit = 1_000

/**
 * The timeline of one room as a device holds it: a stretch without gaps up to a cursor. Whatever comes, in whatever order,
 * doubled or with pieces missing: an event is shown once, in its place, and nothing after a gap is shown before the gap is
 * closed. Text that is being written is kept beside it and gives way to the committed answer.
 */
export class RoomFeed extends ObservableState<FeedSnapshot> {
  readonly #wire: FeedWire
  readonly #onEvents: (events: readonly RoomEvent[]) => void
  readonly #onReset: () => void
  readonly #patienceMs: number
  readonly #retryMs: number
  #events: RoomEvent[] = []
  #epoch: string | undefined
  #cursor = 0
  #loadedFrom = 0
  #hasOlder = false
  #head = 0
  #joined = false
  #error: AtomClientError | undefined
  /** Events that are ahead of their turn, all of one epoch. */
  readonly #held = new Map<number, RoomEvent>()
  #heldEpoch: string | undefined
  /** What held events say of messages before `#loadedFrom`, by `seq` of the message, in order. */
  readonly #owed = new Map<number, Amendment[]>()
  readonly #drafts = new Map<string, Draft>()
  /** Messages and turns that are over: a delta that comes late must not raise them. */
  readonly #over = new Set<string>()
  readonly #typing = new Map<string, { actor: Actor; until: number }>()
  #typingTimer: ReturnType<typeof setTimeout> | undefined
  #watchdog: ReturnType<typeof setTimeout> | undefined
  /** The line on which a join is under way. */
  #joiningLine: number | undefined
  #healing = false
  #loadingOlder: Promise<void> | undefined
  #lineNumber = 0
  #closed = false
  #looked = false
  #shownEvents: readonly RoomEvent[] | undefined
  #shownDrafts: ReadonlyMap<string, Draft> | undefined
  #shownTyping: readonly Actor[] | undefined

  /**
   * @param onEvents hears events as they take their place, before anybody sees them
   * @param onReset hears that what was held is let go: what follows does not join on to it
   * @param patienceMs how long announced events may take to arrive before they are fetched
   * @param retryMs the widest first pause after a failed question; it doubles with each further one
   */
  constructor(parts: {
    wire: FeedWire
    onEvents?: (events: readonly RoomEvent[]) => void
    onReset?: () => void
    patienceMs?: number
    retryMs?: number
  }) {
    super()
    this.#wire = parts.wire
    this.#onEvents = parts.onEvents ?? (() => undefined)
    this.#onReset = parts.onReset ?? (() => undefined)
    this.#patienceMs = parts.patienceMs ?? 3_000
    this.#retryMs = parts.retryMs ?? 300
  }

  /** Up to where everything is held; undefined before the first page. */
  get cursor(): Cursor | undefined {
    return this.#epoch === undefined ? undefined : { epoch: this.#epoch, seq: this.#cursor }
  }

  /** The event of this `seq`, where it is held. */
  at(seq: number): RoomEvent | undefined {
    return this.#events[seq - this.#loadedFrom]
  }

  /** A first page without a socket, so that there is something to read while, or although, none comes. */
  async preload(): Promise<void> {
    try {
      const page = await this.#wire.before(undefined)
      if (this.#epoch === undefined && !this.#closed) this.#base(page, page.more)
    } catch (thrown) {
      this.#refused(asAtomClientError(thrown))
    }
  }

  /**
   * There is a socket.
   *
   * @param resumed what its `hello` says of this room: it is joined, and what was missed follows by itself
   */
  connected(resumed?: { epoch: string; head: number; reset?: boolean }): void {
    this.#lineNumber += 1
    if (this.#error !== undefined) this.#error = undefined
    if (resumed === undefined || resumed.epoch !== this.#epoch || resumed.reset === true) {
      if (resumed !== undefined) this.#reset()
      void this.#join()
      return
    }
    this.#joined = true
    this.#expect(resumed.head)
    this.changed()
  }

  /** The socket is away, and with it everything that was only told. */
  lost(): void {
    this.#lineNumber += 1
    this.#joined = false
    this.#typing.clear()
    this.#shownTyping = undefined
    this.changed()
  }

  /** The server does not let this person read the room. */
  refused(error: AtomClientError): void {
    this.#refused(error)
  }

  close(): void {
    this.#closed = true
    this.lost()
    clearTimeout(this.#typingTimer)
    clearTimeout(this.#watchdog)
  }

  /** Committed events, as the socket brought them. */
  receive(epoch: string, events: readonly RoomEvent[]): void {
    if (this.#closed) return
    if (this.#epoch === undefined) {
      // The first page is on its way; what is newer than it waits here.
      for (const event of events) this.#hold(epoch, event)
      return
    }
    if (epoch !== this.#epoch) {
      this.#reset()
      for (const event of events) this.#hold(epoch, event)
      void this.#join()
      return
    }
    this.#absorb(epoch, events)
  }

  signal(signal: RoomSignal): void {
    if (this.#closed) return
    if (signal.kind === 'typing') this.#type(signal.actor)
    else if (signal.kind === 'delta') this.#draft(signal)
  }

  /** The page before what is held. One at a time; a no-op where there is none. */
  loadOlder(): Promise<void> {
    if (!this.#hasOlder || this.#epoch === undefined) return Promise.resolve()
    this.#loadingOlder ??= this.#loadOlder().finally(() => {
      this.#loadingOlder = undefined
    })
    return this.#loadingOlder
  }

  /** Somebody looks at the timeline, so all of it that was loaded stays; else only its newest part does. */
  lookedAt(looked: boolean): void {
    this.#looked = looked
    this.#trim()
  }

  /**
   * Every event after `after`, once and in order, now and in future. Reads the held stretch by position and what is older
   * from the server, page by page, so a slow reader costs nothing but its own patience. Trouble that passes is waited out.
   *
   * @param after a place in this timeline; its end where absent. With an epoch, one of another timeline is told apart for sure
   * @param reached the place behind each event, before it is handed over
   * @throws AtomClientError `timeline_reset` where the room was restored from a backup or keeps nothing so old; the refusal
   * where it may not be read
   */
  async *follow(
    after: number | Cursor | undefined,
    signal: AbortSignal,
    reached: (cursor: Cursor) => void = () => undefined,
  ): AsyncGenerator<RoomEvent> {
    const over = () => signal.aborted || this.#closed
    let from = this.cursor
    while (from === undefined) {
      await this.#until(() => this.#epoch !== undefined, signal)
      if (over()) return
      from = this.cursor
    }
    const epoch = typeof after === 'object' ? after.epoch : from.epoch
    let seq = (typeof after === 'object' ? after.seq : after) ?? from.seq
    // Further than this device has come: another one may have, or the timeline is not the one it was.
    if (seq > this.#cursor) await this.#page(epoch, seq, signal)
    while (!over()) {
      if (this.#epoch !== epoch) {
        // Anew, and not known yet as what: the socket that says so is on its way.
        await this.#until(() => this.#epoch !== undefined, signal)
        if (over()) return
        if (this.#epoch !== epoch) throw new AtomClientError('timeline_reset')
      }
      const next = seq + 1
      const held = next <= this.#cursor ? this.at(next) : undefined
      if (held !== undefined) {
        seq = next
        reached({ epoch, seq })
        yield held
      } else if (next < this.#loadedFrom) {
        const page = await this.#page(epoch, seq, signal)
        if (page === undefined) return
        // A room that keeps no more events so old has no gapless answer.
        if (page.events[0]?.seq !== next) throw new AtomClientError('timeline_reset')
        for (const event of page.events) {
          if (event.seq !== seq + 1) break
          seq = event.seq
          reached({ epoch, seq })
          yield event
          if (over()) return
        }
      } else {
        await this.#until(() => this.#epoch !== epoch || this.#cursor >= next, signal)
      }
    }
  }

  protected override compose(): FeedSnapshot {
    this.#shownEvents ??= this.#events.slice()
    this.#shownDrafts ??= this.#drafts.size === 0 ? noDrafts : new Map(this.#drafts)
    this.#shownTyping ??=
      this.#typing.size === 0 ? nobody : [...this.#typing.values()].map(({ actor }) => actor)
    return {
      events: this.#shownEvents,
      drafts: this.#shownDrafts,
      typing: this.#shownTyping,
      head: this.#head,
      loadedFrom: this.#loadedFrom,
      hasOlder: this.#hasOlder,
      state: this.#state(),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    }
  }

  /** @throws AtomClientError `timeline_reset`, or what does not pass; undefined where it was given up */
  async #page(epoch: string, after: number, signal: AbortSignal): Promise<EventPage | undefined> {
    for (let failures = 0; !signal.aborted && !this.#closed; failures += 1) {
      let waitMs: number | undefined
      try {
        const page = await this.#wire.after(after)
        if (page.epoch !== epoch || page.head < after) throw new AtomClientError('timeline_reset')
        return page
      } catch (thrown) {
        const error = asAtomClientError(thrown)
        if (!error.retryable) throw error
        waitMs = error.retryAfterMs
      }
      await this.#pause(failures, waitMs, signal)
    }
    return undefined
  }

  #trim(): void {
    const surplus = this.#events.length - keptUnseen
    // In strides, so that not every event costs a copy.
    if (this.#looked || surplus < keptUnseen) return
    this.#events = this.#events.slice(surplus)
    this.#loadedFrom += surplus
    this.#hasOlder = true
    this.#owed.clear()
    for (const event of this.#events) if (isAmendment(event)) this.#owe(event, 'later')
    this.#shownEvents = undefined
    this.changed()
  }

  #isOver(id: string): void {
    this.#over.add(id)
    if (this.#over.size <= overLimit) return
    for (const oldest of this.#over) {
      this.#over.delete(oldest)
      return
    }
  }

  #state(): FeedSnapshot['state'] {
    if (this.#error !== undefined) return 'failed'
    if (this.#epoch === undefined) return 'loading'
    return this.#joined && this.#cursor >= this.#head ? 'live' : 'stale'
  }

  /** Joins over the socket. Where a join is under way on this line already, its answer serves this wish as well. */
  async #join(): Promise<void> {
    const line = this.#lineNumber
    if (this.#joiningLine === line) return
    this.#joiningLine = line
    await this.#joinOnce(line)
    if (this.#joiningLine === line) this.#joiningLine = undefined
  }

  async #joinOnce(line: number): Promise<void> {
    let failures = 0
    while (line === this.#lineNumber && !this.#closed) {
      try {
        const answer = await this.#wire.join(this.cursor)
        // An answer of a socket that is gone: the next one asks again.
        if (line !== this.#lineNumber || this.#closed) return
        this.#joined = true
        this.#error = undefined
        if (answer.reset === true || this.#epoch !== answer.epoch) {
          if (this.#epoch !== undefined) this.#reset()
          this.#base(answer, (answer.events[0]?.seq ?? 1) > 1)
        } else {
          this.#absorb(answer.epoch, answer.events)
        }
        this.#expect(answer.head)
        this.changed()
        return
      } catch (thrown) {
        const error = asAtomClientError(thrown)
        if (error.code === 'offline') return
        if (!error.retryable) {
          this.#refused(error)
          return
        }
        await this.#pause(failures, error.retryAfterMs)
        failures += 1
      }
    }
  }

  #refused(error: AtomClientError): void {
    // Passing trouble is shown by the state of the socket; only what will not pass makes the room fail.
    if (error.retryable || this.#closed) return
    if (error.code === 'aborted' || error.code === 'closed' || error.status === 401) return
    this.#error = error
    this.#joined = false
    this.changed()
  }

  /** The first page of a timeline: from here on there are no gaps. */
  #base(page: EventPage, hasOlder: boolean): void {
    const first = page.events[0]?.seq
    if (this.#heldEpoch !== page.epoch) {
      this.#held.clear()
      this.#head = 0
    }
    this.#epoch = page.epoch
    this.#loadedFrom = first ?? page.head + 1
    this.#cursor = this.#loadedFrom - 1
    this.#hasOlder = hasOlder && this.#loadedFrom > 1
    this.#absorb(page.epoch, page.events)
    this.#expect(page.head)
    this.changed()
  }

  #reset(): void {
    this.#events = []
    this.#shownEvents = undefined
    this.#epoch = undefined
    this.#cursor = 0
    this.#loadedFrom = 0
    this.#hasOlder = false
    this.#head = 0
    this.#held.clear()
    this.#owed.clear()
    this.#drafts.clear()
    this.#shownDrafts = undefined
    this.#over.clear()
    this.#onReset()
    this.changed()
  }

  #absorb(epoch: string, events: readonly RoomEvent[]): void {
    const placed: RoomEvent[] = []
    const place = (event: RoomEvent) => {
      this.#events.push(event)
      this.#cursor = event.seq
      this.#amend(event)
      placed.push(event)
    }
    for (const event of events) {
      if (event.seq === this.#cursor + 1) place(event)
      else if (event.seq > this.#cursor) this.#hold(epoch, event)
    }
    if (this.#held.size > 0) {
      for (let next = this.#held.get(this.#cursor + 1); next; next = this.#held.get(this.#cursor + 1))
        place(next)
      for (const seq of this.#held.keys()) if (seq <= this.#cursor) this.#held.delete(seq)
    }
    this.#head = Math.max(this.#head, this.#cursor)
    if (placed.length > 0) {
      this.#shownEvents = undefined
      for (const event of placed) {
        if (this.#typing.delete(event.actor.id)) this.#shownTyping = undefined
        this.#settle(event)
      }
      this.#onEvents(placed)
      this.changed()
      this.#trim()
    }
    if (this.#held.size > 0) {
      // Something newer exists than what is shown.
      this.changed()
      void this.#heal()
    }
  }

  #hold(epoch: string, event: RoomEvent): void {
    if (epoch !== this.#heldEpoch) {
      this.#held.clear()
      this.#heldEpoch = epoch
      if (this.#epoch === undefined) this.#head = 0
    }
    this.#head = Math.max(this.#head, event.seq)
    if (this.#held.size < heldLimit) this.#held.set(event.seq, event)
  }

  /** Up to `head` everything will come by itself; where it does not, it is fetched. */
  #expect(head: number): void {
    this.#head = Math.max(this.#head, head)
    clearTimeout(this.#watchdog)
    if (this.#cursor >= this.#head) return
    const seen = this.#cursor
    this.#watchdog = setTimeout(() => {
      if (this.#closed || !this.#joined || this.#cursor >= this.#head) return
      if (this.#cursor === seen) void this.#heal()
      this.#expect(this.#head)
    }, this.#patienceMs)
  }

  /** Fetches what is missing. One at a time; ends when nothing is, or when the socket is away. */
  async #heal(): Promise<void> {
    if (this.#healing || this.#epoch === undefined) return
    this.#healing = true
    let failures = 0
    try {
      while (this.#joined && !this.#closed && this.#cursor < this.#head && this.#epoch !== undefined) {
        const epoch: string = this.#epoch
        const before = this.#cursor
        try {
          const page = await this.#wire.after(before)
          if (this.#epoch !== epoch) return
          if (page.epoch !== epoch || page.reset === true) {
            this.#reset()
            void this.#join()
            return
          }
          this.#absorb(page.epoch, page.events)
        } catch (thrown) {
          const error = asAtomClientError(thrown)
          if (!error.retryable) {
            this.#refused(error)
            return
          }
        }
        if (this.#cursor > before) {
          failures = 0
          continue
        }
        await this.#pause(failures)
        failures += 1
      }
    } finally {
      this.#healing = false
    }
  }

  async #loadOlder(): Promise<void> {
    const epoch = this.#epoch
    const loadedFrom = this.#loadedFrom
    const page = await this.#wire.before(loadedFrom)
    if (this.#epoch !== epoch || page.epoch !== epoch || this.#loadedFrom !== loadedFrom) return
    const older: RoomEvent[] = []
    for (const event of page.events.toReversed()) {
      if (event.seq === this.#loadedFrom - 1 - older.length) older.push(event)
    }
    older.reverse()
    this.#prepend(older, page.more && older.length > 0)
  }

  /**
   * Puts a stretch of the same timeline before what is held. False where the two do not meet.
   *
   * @param hasOlder there is more before the stretch
   */
  adopt(epoch: string, stretch: readonly RoomEvent[], hasOlder: boolean): boolean {
    const first = stretch[0]
    const last = stretch.at(-1)
    if (epoch !== this.#epoch || first === undefined || last === undefined) return false
    if (last.seq < this.#loadedFrom - 1) return false
    if (first.seq < this.#loadedFrom) {
      this.#prepend(
        stretch.filter(({ seq }) => seq < this.#loadedFrom),
        hasOlder,
      )
    }
    return true
  }

  #prepend(older: readonly RoomEvent[], hasOlder: boolean): void {
    this.#hasOlder = hasOlder
    this.#loadedFrom -= older.length
    this.#events = [...older, ...this.#events]
    this.#shownEvents = undefined
    for (const event of older) {
      this.#settle(event)
      if (isAmendment(event) && event.targetSeq >= this.#loadedFrom) this.#amend(event)
    }
    // The page may have been read before what is held says of its messages. What the page itself says came before that.
    for (const { seq } of older) {
      for (const by of this.#owed.get(seq) ?? []) this.#amend(by)
      this.#owed.delete(seq)
    }
    for (const event of older.toReversed()) if (isAmendment(event)) this.#owe(event, 'earlier')
    this.changed()
  }

  /** What a later event says of a held one is shown in its place; of one that is not held, as soon as it is. */
  #amend(event: RoomEvent): void {
    if (!isAmendment(event)) return
    const place = event.targetSeq - this.#loadedFrom
    const held = this.#events[place]
    if (held !== undefined) this.#events[place] = amended(held, event)
    else this.#owe(event, 'later')
  }

  /** Keeps what an event says of a message that is not held, `earlier` or `later` than all that is kept of it. */
  #owe(by: Amendment, when: 'earlier' | 'later'): void {
    if (by.targetSeq >= this.#loadedFrom) return
    const owed = this.#owed.get(by.targetSeq)
    if (owed === undefined) this.#owed.set(by.targetSeq, [by])
    else if (when === 'later') owed.push(by)
    else owed.unshift(by)
  }

  /** What a committed event puts an end to. */
  #settle(event: RoomEvent): void {
    if (event.type === 'message.final') {
      this.#isOver(event.id)
      if (this.#drafts.delete(event.id)) this.#shownDrafts = undefined
      void this.#verify(event)
    } else if (event.type === 'turn.ended') {
      this.#isOver(event.turnId)
      for (const [messageId, draft] of this.#drafts) {
        if (draft.turnId !== event.turnId) continue
        this.#drafts.delete(messageId)
        this.#shownDrafts = undefined
      }
    }
  }

  /**
   * The answer must be, to the byte, what the server committed. A mismatch is fetched once more; what then still differs
   * is reported, and the text stays: a person decides better with it than without.
   */
  async #verify(event: Extract<RoomEvent, { type: 'message.final' }>): Promise<void> {
    if (await matches(event)) return
    const epoch = this.#epoch
    try {
      const page = await this.#wire.after(event.seq - 1)
      const again = page.events[0]
      const place = event.seq - this.#loadedFrom
      if (this.#epoch !== epoch || page.epoch !== epoch || this.#events[place] !== event) return
      if (again?.type !== 'message.final' || again.seq !== event.seq || !(await matches(again))) {
        console.error(`Atom: event ${event.seq} of the room does not match its checksum`)
        return
      }
      const current = event.seq - this.#loadedFrom
      if (this.#epoch !== epoch || this.#events[current] !== event) return
      this.#events[current] = again
      this.#shownEvents = undefined
      this.changed()
    } catch (thrown) {
      console.error(`Atom: event ${event.seq} of the room could not be checked again`, thrown)
    }
  }

  #draft(delta: Extract<RoomSignal, { kind: 'delta' }>): void {
    const { messageId, turnId, actor, attempt, offset, text } = delta
    if (this.#over.has(messageId) || this.#over.has(turnId)) return
    const known = this.#drafts.get(messageId)
    if (known !== undefined && attempt < known.attempt) return
    const before = known !== undefined && attempt === known.attempt ? known.text : ''
    if (offset > before.length) {
      // A piece is missing. Joining again brings the text so far.
      if (this.#joined) void this.#join()
      return
    }
    const added = text.slice(before.length - offset)
    if (added === '' && known?.attempt === attempt) return
    if (this.#typing.delete(actor.id)) this.#shownTyping = undefined
    this.#drafts.set(messageId, { turnId, messageId, actor, attempt, text: before + added })
    this.#shownDrafts = undefined
    this.changed('frame')
  }

  #type(actor: Actor): void {
    const fresh = !this.#typing.has(actor.id)
    this.#typing.set(actor.id, { actor, until: Date.now() + socketLimits.typingTtlMs })
    if (fresh) {
      this.#shownTyping = undefined
      this.changed()
    }
    this.#typingTimer ??= setTimeout(() => this.#stopTyping(), socketLimits.typingTtlMs)
  }

  #stopTyping(): void {
    this.#typingTimer = undefined
    const now = Date.now()
    let next = Number.POSITIVE_INFINITY
    for (const [id, { until }] of this.#typing) {
      if (until > now) next = Math.min(next, until)
      else if (this.#typing.delete(id)) this.#shownTyping = undefined
    }
    if (this.#typing.size > 0) this.#typingTimer = setTimeout(() => this.#stopTyping(), next - now)
    this.changed()
  }

  /** Full jitter, as with the socket: rooms that failed together must not ask again together. */
  #pause(failures: number, atLeastMs = 0, signal?: AbortSignal): Promise<void> {
    const ms = atLeastMs + Math.random() * Math.min(retryCapMs, this.#retryMs * 2 ** failures)
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal?.addEventListener('abort', done)
      if (signal?.aborted) done()
    })
  }

  /** @throws AtomClientError where the room may not be read */
  #until(holds: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      let unsubscribe = (): void => undefined
      const look = () => {
        if (this.#error === undefined && !holds() && !signal.aborted && !this.#closed) return
        unsubscribe()
        signal.removeEventListener('abort', look)
        if (this.#error !== undefined) reject(this.#error)
        else resolve()
      }
      unsubscribe = this.subscribe(look)
      signal.addEventListener('abort', look)
      look()
    })
  }
}

/** True as well where the platform offers no hash: a page over plain http from another machine has no `crypto.subtle`. */
async function matches(event: { readonly text: string; readonly sha256: string }): Promise<boolean> {
  if (globalThis.crypto?.subtle === undefined) return true
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(event.text))
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex === event.sha256.toLowerCase()
}
