import { createHash, type Hash } from 'node:crypto'
import type { MessageFinal, RoomEvent, TurnEnded } from '@atom/contract/rooms.ts'
import type { TurnDelta } from '@atom/contract/streams.ts'
import type { Static } from 'typebox'
import { closeStream, type EventStream, type OpenStreams, type StreamCaller } from '#access/open-streams.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Signals } from '#rooms/signals.ts'
import type { Timeline } from '#rooms/timeline.ts'
import type { TurnRow } from './agent-store.ts'
import type { DeltaSignal } from './drafts.ts'
import type { SharedDrafts } from './shared-drafts.ts'
import type { Turns } from './turns.ts'

export interface TurnStreamsOptions {
  readonly turns: Pick<Turns, 'row'>
  readonly rooms: Pick<Rooms, 'hasAccount'>
  readonly timeline: Timeline
  readonly signals: Pick<Signals, 'subscribe' | 'follow'>
  readonly drafts: Pick<SharedDrafts, 'open' | 'elsewhere'>
  readonly streams: OpenStreams
  readonly log: Log
}

/** Up to where a reader has the answer: so many UTF-16 code units of this attempt. */
interface Place {
  readonly attempt: number
  readonly offset: number
}

const retryMs = 1_000
/** A piece was missed, and so may be the answer to the question for it. */
const askAgainMs = 500

/** Answers of agents as server-sent events, from any offset, until they are over. */
export class TurnStreams {
  readonly #with: TurnStreamsOptions

  constructor(options: TurnStreamsOptions) {
    this.#with = options
  }

  /** @throws AtomError `not_found` · `not_a_member` · `draining` · `busy` · `validation_failed` */
  async open(
    caller: StreamCaller,
    turnId: string,
    lastEventId: string | undefined,
  ): Promise<(stream: EventStream) => void> {
    this.#with.streams.requireTime(caller.principal)
    const place = placeOf(lastEventId)
    const turn = await this.#with.turns.row(caller.principal, turnId)
    return (stream) => {
      if (!this.#with.streams.admit(caller, stream)) return
      const { id: accountId } = caller.principal
      const reader = new TurnReader(stream, { accountId, turn, place }, this.#with)
      stream.once('close', () => reader[Symbol.dispose]())
      reader.start()
    }
  }
}

class TurnReader implements Disposable {
  readonly #stream: EventStream
  readonly #turn: TurnRow
  readonly #accountId: string
  readonly #with: TurnStreamsOptions
  readonly #release = new DisposableStack()
  #attempt: number
  #offset: number
  /** Of what was sent of this attempt; undefined where the reader brought a part that was not seen here. */
  #sent: Hash | undefined
  #read: number
  #wanted = 0
  #reading = false
  #asked: NodeJS.Timeout | undefined

  constructor(
    stream: EventStream,
    reading: { readonly accountId: string; readonly turn: TurnRow; readonly place: Place },
    options: TurnStreamsOptions,
  ) {
    const { turn, place } = reading
    this.#stream = stream
    this.#accountId = reading.accountId
    this.#turn = turn
    this.#with = options
    this.#attempt = place.offset === 0 ? Math.max(place.attempt, turn.attempt) : place.attempt
    this.#offset = place.offset
    this.#sent = place.offset === 0 ? createHash('sha256') : undefined
    this.#read = turn.startedSeq === null ? turn.triggerSeq : turn.startedSeq
  }

  /** First listen, then look: what comes in between comes twice, and is told by its offset. */
  start(): void {
    const { signals, timeline } = this.#with
    const { roomId, id } = this.#turn
    // What other processes say of the room is brought here meanwhile.
    this.#release.use(timeline.follow(roomId))
    this.#release.use(signals.follow(roomId))
    this.#release.use(
      signals.subscribe((signal) => {
        if (signal.kind === 'delta' && signal.turnId === id) this.#hear(signal)
      }),
    )
    this.#release.use(
      timeline.subscribe(
        (news) => {
          if (news.roomId !== roomId) return
          if (news.ended === true) closeStream(this.#stream, 'left')
          else this.#look(news.head)
        },
        () => this.#look(this.#read + 1),
        'followed',
      ),
    )
    this.#catchUp()
    this.#look(this.#read + 1)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#asked)
    this.#release.dispose()
  }

  /** The text so far, wherever it is written. */
  #catchUp(): void {
    const { drafts } = this.#with
    const own = (delta: DeltaSignal) => {
      if (delta.turnId === this.#turn.id) this.#hear(delta)
    }
    for (const delta of drafts.open(this.#turn.roomId)) own(delta)
    drafts.elsewhere(this.#turn.roomId, own)
  }

  #hear({ attempt, offset, text }: DeltaSignal): void {
    if (this.#stream.over || attempt < this.#attempt) return
    const held = attempt === this.#attempt ? this.#offset : 0
    if (offset > held || this.#stream.crowded) {
      // A piece is missing, or does not fit now. The text so far has it.
      this.#askAgain()
      return
    }
    if (attempt > this.#attempt) this.#restart(attempt)
    const fresh = text.slice(this.#offset - offset)
    if (fresh !== '') this.#send(fresh)
  }

  #restart(attempt: number): void {
    this.#attempt = attempt
    this.#offset = 0
    this.#sent = createHash('sha256')
  }

  #send(text: string): void {
    const { messageId } = this.#turn
    const data: TurnDelta = { messageId, attempt: this.#attempt, offset: this.#offset, text }
    this.#offset += text.length
    this.#sent?.update(text, 'utf16le')
    this.#stream.send({ event: 'delta', id: `${this.#attempt}:${this.#offset}`, data })
  }

  #askAgain(): void {
    this.#asked ??= setTimeout(() => {
      this.#asked = undefined
      void this.#stream.room().then(() => {
        if (!this.#stream.over) this.#catchUp()
      })
    }, askAgainMs)
  }

  #look(head: number): void {
    this.#wanted = Math.max(this.#wanted, head)
    if (!this.#reading) void this.#events()
  }

  /** Reads the room on until the turn has ended. Never rejects. */
  async #events(): Promise<void> {
    this.#reading = true
    while (this.#read < this.#wanted && !this.#stream.over) {
      try {
        const wanted = this.#wanted
        const page = await this.#with.timeline.since(this.#turn.roomId, this.#read)
        for (const event of page.events) await this.#take(event)
        this.#read = page.events.at(-1)?.seq ?? this.#read
        if (page.more) this.#wanted = Math.max(this.#wanted, page.head)
        // Nothing there, and nothing heard since: the news was of what is known already.
        else if (page.events.length === 0 && this.#wanted === wanted) this.#wanted = this.#read
      } catch (error) {
        if (error instanceof AtomError && error.code === 'not_found') closeStream(this.#stream, 'left')
        else {
          this.#with.log.warn({ err: error }, 'the stream of a turn could not read its room; trying again')
          await new Promise((resolve) => setTimeout(resolve, retryMs).unref())
        }
      }
    }
    this.#reading = false
  }

  async #take(event: RoomEvent): Promise<void> {
    if (event.type === 'member.left' && event.member.id === this.#accountId) {
      // Long ago, or just now?
      const { rooms } = this.#with
      if (!(await rooms.hasAccount(this.#accountId, this.#turn.roomId))) closeStream(this.#stream, 'left')
    }
    if (!('turnId' in event) || event.turnId !== this.#turn.id) return
    if (event.type === 'message.final') {
      await this.#stream.room()
      this.#finish(event)
    } else if (event.type === 'turn.ended') {
      this.#stream.send({ event: 'ended', data: event satisfies Static<typeof TurnEnded> })
      closeStream(this.#stream, 'over')
    }
  }

  /** What was not told of the answer follows here, and then the whole, by which the pieces can be checked. */
  #finish(final: Static<typeof MessageFinal>): void {
    if (!this.#isBeginningOf(final.text)) this.#restart(this.#attempt + 1)
    const rest = final.text.slice(this.#offset)
    if (rest !== '') this.#send(rest)
    this.#stream.send({ event: 'final', data: final })
  }

  #isBeginningOf(text: string): boolean {
    if (this.#offset > text.length) return false
    if (this.#sent === undefined) return this.#attempt === this.#turn.attempt
    const beginning = createHash('sha256').update(text.slice(0, this.#offset), 'utf16le')
    return this.#sent.copy().digest('hex') === beginning.digest('hex')
  }
}

/** `attempt:offset`, as the stream names its pieces. @throws AtomError `validation_failed` */
function placeOf(lastEventId: string | undefined): Place {
  if (lastEventId === undefined || lastEventId === '') return { attempt: 0, offset: 0 }
  const [, attempt, offset] = /^(\d{1,9}):(\d{1,9})$/.exec(lastEventId) ?? []
  if (attempt === undefined || offset === undefined) {
    throw new AtomError('validation_failed', 'The Last-Event-ID is not one of ours; begin again without it.')
  }
  return { attempt: Number(attempt), offset: Number(offset) }
}
