import type { Principal } from '#access/principal.ts'
import type { Database, Line } from '#foundation/database/pool.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { currentSpan, onBehalfOf, outside, type Span, within } from '#foundation/telemetry/trace.ts'
import { checkText } from './message-text.ts'
import { type LaneLoad, PublishTraffic } from './publish-traffic.ts'
import * as store from './room-store.ts'
import type { Timeline } from './timeline.ts'

export interface NewMessage {
  readonly clientId: string
  readonly text: string
  readonly replyTo?: number | undefined
  readonly mentions?: readonly string[] | undefined
}

/** One of several that are said at once. */
export interface NextMessage extends NewMessage {
  /** Its own, where its trace is kept. */
  readonly span?: Span | undefined
}

export interface SentMessage {
  readonly id: string
  readonly roomId: string
  readonly seq: number
  readonly clientId: string
  readonly text: string
  /** RFC 3339, UTC. */
  readonly at: string
  /** The same `clientId` was sent before; everything else is that message's. */
  readonly duplicate: boolean
}

export interface MessagesOptions {
  readonly database: Database
  readonly timeline: Timeline
  readonly log: Log
  /** Where it is counted. */
  readonly traffic?: PublishTraffic
  /** How many batches may be on their way at once; a room always travels in the same lane. */
  readonly lanes?: number
  /** How much one lane may hold back before the next message is refused as `busy`. */
  readonly queue?: { readonly rows: number; readonly bytes: number }
}

interface Waiting {
  readonly draft: store.EventDraft
  readonly options: store.PublishOptions
  readonly bytes: number
  /** Of whoever says it, where that trace is kept. */
  readonly span: Span | undefined
  readonly settle: (appended: store.Appended) => void
  readonly refuse: (error: AtomError) => void
}

/** A batch on its way. */
interface Sent {
  readonly rows: readonly Waiting[]
  readonly name: string
  /** Undefined: nothing of it was stored, because the batch before was not. */
  readonly answered: Promise<store.Verdict[] | undefined>
}

const batch = { rows: 512, bytes: 1024 * 1024 }
/** So many make two batches worth their commits. */
const crowd = 300
/** So many are worth a batch before the one on its way is answered; of fewer, more come meanwhile and save a commit. */
const worthSending = crowd / 2
/** Where one message comes a second time, as after a lost connection, more of them do. */
const waryBatches = 64
/** A batch that met a deadlock is tried again this often; then it is halved. */
const collisionRetries = 2

/**
 * The way into a timeline for everyone who says something. What arrives while the database works is stored together with the
 * next batch: no timer, no waiting when it is quiet, and one commit for up to 512 events when it is not.
 */
export class Messages implements AsyncDisposable {
  readonly #database: Database
  readonly #lanes: readonly Lane[]
  readonly #traffic: PublishTraffic

  constructor(options: MessagesOptions) {
    this.#database = options.database
    const traffic = options.traffic ?? new PublishTraffic()
    this.#traffic = traffic
    const alone = () => this.#lanes.filter((lane) => lane.busy).length === 1
    this.#lanes = Array.from({ length: options.lanes ?? 2 }, () => new Lane({ ...options, traffic, alone }))
  }

  /**
   * Says something in a room. Resolves after the commit. Throws `not_found` (also for another workspace's room),
   * `not_a_member`, `message_too_large`, `validation_failed`, `busy`, `unavailable`; after the last two the same call with
   * the same `clientId` is safe, whatever happened to the first.
   */
  async send(principal: Principal, roomId: string, message: NewMessage): Promise<SentMessage> {
    await this.#check(principal, roomId, message)
    return await this.#say(principal, roomId, message)
  }

  /**
   * Says several things, which take their places in this order, whomever they name. Never rejects: for each what became of it,
   * as `send` would throw it. Where one is refused for now, so are those behind it, or they would overtake it.
   */
  async sendInOrder(
    principal: Principal,
    roomId: string,
    messages: readonly NextMessage[],
  ): Promise<PromiseSettledResult<SentMessage>[]> {
    const checks = await Promise.allSettled(
      messages.map((message) => asOne(message, () => this.#check(principal, roomId, message))),
    )
    const waits = checks.find((check) => check.status === 'rejected' && passes(check.reason))
    const stop = waits === undefined ? messages.length : checks.indexOf(waits)
    // In one go: what is published comes into one queue, in order.
    return await Promise.allSettled(
      messages.map((message, index) => {
        const check = index < stop ? checks[index] : waits
        return check?.status === 'rejected'
          ? Promise.reject(check.reason)
          : asOne(message, () => this.#say(principal, roomId, message))
      }),
    )
  }

  /** Throws as `send` does, for what can be known before it is stored. */
  async #check(principal: Principal, roomId: string, message: NewMessage): Promise<void> {
    checkText(message.text)
    const { replyTo, mentions = [] } = message
    if (replyTo === undefined && mentions.length === 0) return
    await this.#checkReferences(principal, roomId, { ...message, mentions })
  }

  async #say(principal: Principal, roomId: string, message: NewMessage): Promise<SentMessage> {
    const { replyTo, mentions = [] } = message
    const appended = await this.#publish(
      {
        roomId,
        workspaceId: principal.workspaceId,
        type: 'message.created',
        actor: { kind: principal.kind, id: principal.id },
        clientId: message.clientId,
        body: {
          text: message.text,
          ...(replyTo !== undefined && { replyTo }),
          ...(mentions.length > 0 && { mentions: mentions.map((id) => id.toLowerCase()) }),
        },
      },
      { membersOnly: true },
    )
    const { event, id, seq, at, duplicate } = appended
    // The client id of another kind of event cannot be used for a message.
    if (event.type !== 'message.created') {
      throw new AtomError('validation_failed', 'This clientId was used for something else; use a new one.')
    }
    return { id, roomId, seq, clientId: message.clientId, text: event.text, at, duplicate }
  }

  /** Publishes an event of the server's own: an agent's answer, a change. Resolves after the commit. Throws as `send` does. */
  publish(draft: store.EventDraft): Promise<store.Appended> {
    return this.#publish(draft, {})
  }

  /** What waits in each lane now. */
  loads(): readonly LaneLoad[] {
    return this.#lanes.map((lane) => lane.load)
  }

  /** Resolves when everything that was accepted has its answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.idle()))
  }

  /**
   * Whom and what a message names is there. Not asked of a message that was stored already, since people leave; nor of
   * somebody who is not in the room, who hears that and no more.
   */
  async #checkReferences(
    principal: Principal,
    roomId: string,
    message: {
      readonly clientId: string
      readonly replyTo?: number | undefined
      readonly mentions: readonly string[]
    },
  ): Promise<void> {
    const lost = await store.lostReferences(this.#database, principal, roomId, message)
    if (lost.absent !== undefined) throw notPresent(lost.absent)
    if (lost.replyTo)
      throw new AtomError('validation_failed', 'The message that it answers is not in this room.')
  }

  #publish(draft: store.EventDraft, options: store.PublishOptions): Promise<store.Appended> {
    const room = draft.roomId.toLowerCase()
    // The tail of a UUIDv7 is random.
    const lane = this.#lanes[Number.parseInt(room.slice(-6), 16) % this.#lanes.length]
    if (lane === undefined) throw new AtomError('not_found', 'There is no such room.')
    // Whoever reads the timeline and works on it then goes on in the same trace.
    currentSpan()?.leave(`${room} ${draft.actor.id} ${draft.clientId}`)
    return this.#traffic.watch(lane.push({ ...draft, roomId: room }, options))
  }
}

/** One queue, and of its batches one at work and at most one behind it. */
class Lane {
  readonly #database: Database
  readonly #timeline: Timeline
  readonly #log: Log
  readonly #traffic: PublishTraffic
  readonly #limit: { readonly rows: number; readonly bytes: number }
  /** Whether no other lane works. */
  readonly #alone: () => boolean
  #queue: Waiting[] = []
  #bytes = 0
  #flushing: Promise<void> | undefined
  /** Called when enough waits to be sent behind a batch. */
  #enough: (() => void) | undefined
  /** On which batches follow each other. Kept while there are any. */
  #line: Promise<Line> | undefined
  /** How long the last batch took. */
  #lastMs = 20
  /** For how many more batches duplicates are to be expected. */
  #wary = 0

  constructor(
    options: MessagesOptions & { readonly traffic: PublishTraffic; readonly alone: () => boolean },
  ) {
    this.#traffic = options.traffic
    this.#alone = options.alone
    this.#database = options.database
    this.#timeline = options.timeline
    this.#log = options.log
    this.#limit = options.queue ?? { rows: 16 * batch.rows, bytes: 16 * batch.bytes }
  }

  get load(): LaneLoad {
    return { rows: this.#queue.length, bytes: this.#bytes }
  }

  get busy(): boolean {
    return this.#flushing !== undefined
  }

  async push(draft: store.EventDraft, options: store.PublishOptions): Promise<store.Appended> {
    const bytes = sizeOf(draft)
    // Without looking at its size: a short one must not slip in where a long one of the same frame found no room.
    if (this.#queue.length >= this.#limit.rows || this.#bytes >= this.#limit.bytes) throw this.#busy()
    return await new Promise((settle, refuse) => {
      this.#queue.push({ draft, options, bytes, span: currentSpan(), settle, refuse })
      this.#bytes += bytes
      if (this.#queue.length >= worthSending) this.#enough?.()
      this.#flushing ??= outside(() => this.#flush())
    })
  }

  async idle(): Promise<void> {
    await this.#flushing
  }

  /**
   * Takes batch after batch until nothing waits. While the database works on one, whoever is in the one before gets their
   * answer: neither waits for the other. Never rejects.
   */
  async #flush(): Promise<void> {
    // Everything that arrives in the same turn of the event loop goes into the first batch.
    await Promise.resolve()
    let answer: (() => void) | undefined
    let next: Sent | undefined
    let began = performance.now()
    while (next !== undefined || this.#queue.length > 0) {
      const sent = next ?? this.#send(this.#take(answer === undefined))
      if (answer !== undefined) {
        // By then the statement is on its way.
        await nextTurn()
        answer()
      }
      next = await this.#sendBehind(sent)
      const outcomes = await this.#outcomesOf(sent, collisionRetries)
      this.#lastMs = performance.now() - began
      began = performance.now()
      answer = () => this.#answer(sent.rows, outcomes)
      const lost = lostIn(outcomes)
      if (lost !== undefined) this.#refuseWaiting(lost)
      if (next !== undefined && !(await wentThrough(sent))) next = await this.#again(next, lost)
      // Its session may be what was lost.
      if (lost !== undefined) await this.#giveLineBack()
      if (next !== undefined || this.#queue.length > 0) continue
      answer()
      answer = undefined
      await this.#giveLineBack()
      // Many who were answered have more to say at once.
      await nextTurn()
      began = performance.now()
    }
    this.#flushing = undefined
  }

  /**
   * What goes into the next batch. `first`: nobody is being answered meanwhile. Then only half of a crowd is taken, since those
   * who wait for their answer before they go on would else all be in one batch for ever, and the database idle after each.
   */
  #take(first: boolean): Waiting[] {
    const waiting = this.#queue.length
    const most = Math.min(batch.rows, first && waiting >= crowd ? waiting >> 1 : waiting)
    let bytes = 0
    let rows = 0
    for (const waiting of this.#queue) {
      if (rows >= most || (rows > 0 && bytes + waiting.bytes > batch.bytes)) break
      bytes += waiting.bytes
      rows++
    }
    this.#bytes -= bytes
    this.#traffic.batches.record(rows)
    return this.#queue.splice(0, rows)
  }

  /** `behind`: the name of the batch before, which may still be on its way. Without it this one must not be stored. */
  #send(rows: readonly Waiting[], behind?: string): Sent {
    const name = newId()
    const answered = onBehalfOf(
      spansOf(rows),
      async () => {
        this.#line ??= this.#database.line()
        return await store.publishInTurn(
          await this.#line,
          rows.map((row) => row.draft),
          rows.map((row) => row.options),
          this.#wary > 0,
          { name, behind },
        )
      },
      () => ({ name: 'publish', kind: 'internal', attributes: { 'atom.events': rows.length } }),
    )
    // It may fail before its turn to be looked at has come.
    answered.catch(() => undefined)
    return { rows, name, answered }
  }

  /**
   * Sends the next batch while one is on its way, so that the database goes from one to the other without waiting for this
   * process. Undefined where too little was said in time, and where another lane works: its batches fill the pauses.
   */
  async #sendBehind(sent: Sent): Promise<Sent | undefined> {
    if (!this.#alone()) return undefined
    if (this.#queue.length < worthSending) {
      const enough = Promise.withResolvers<boolean>()
      this.#enough = () => enough.resolve(true)
      const over = () => enough.resolve(false)
      sent.answered.then(over, over)
      const sends = await enough.promise
      this.#enough = undefined
      if (!sends) return undefined
    }
    // With everything that arrives in the same turn.
    await nextTurn()
    return this.#send(this.#take(false), sent.name)
  }

  /**
   * What was sent behind a batch that failed was not stored. It goes again, now that everything before it has its answer; or is
   * refused with what was `lost` there, as whatever waits behind that is.
   */
  async #again(next: Sent, lost: AtomError | undefined): Promise<Sent | undefined> {
    // The one before did go through after all, where only its answer could not be read.
    if (await wentThrough(next)) return next
    if (lost === undefined) return this.#send(next.rows)
    for (const { refuse } of next.rows) refuse(lost)
    return undefined
  }

  /**
   * Says for each row of a batch what became of it; when PostgreSQL refuses the batch, halves it until the one bad row is alone
   * with its error. Never rejects.
   */
  async #outcomesOf({ rows, answered }: Sent, retries: number): Promise<(store.Verdict | AtomError)[]> {
    try {
      const verdicts = await answered
      if (verdicts !== undefined) return verdicts
    } catch (error) {
      if (error instanceof AtomError) return rows.map(() => error)
      if (sqlState(error).startsWith('40') && retries > 0) return await this.#store(rows, retries - 1)
      if (rows.length === 1) return [this.#reasonOf(error)]
      const half = rows.length >> 1
      const first = await this.#store(rows.slice(0, half), retries)
      const behind = rows.slice(half)
      const lost = lostIn(first)
      if (lost !== undefined) return [...first, ...behind.map(() => lost)]
      return [...first, ...(await this.#store(behind, retries))]
    }
    // Something between here and the database gave it to another session than the one before, which has its answer by now.
    return await this.#store(rows, retries)
  }

  #store(rows: readonly Waiting[], retries: number): Promise<(store.Verdict | AtomError)[]> {
    return this.#outcomesOf(this.#send(rows), retries)
  }

  async #giveLineBack(): Promise<void> {
    const [line] = await Promise.allSettled([this.#line])
    this.#line = undefined
    // Where it could not be had, the batch that asked for it was told so.
    if (line.status === 'fulfilled') await line.value?.[Symbol.asyncDispose]()
  }

  /**
   * What waits behind messages that could not be stored now comes again with them: part of it may be of the same frame, and the
   * database be back for the next batch.
   */
  #refuseWaiting(error: AtomError): void {
    const behind = this.#queue
    this.#queue = []
    this.#bytes = 0
    for (const { refuse } of behind) refuse(error)
  }

  /** Answers everyone in a batch, then tells of what is new. */
  #answer(rows: readonly Waiting[], outcomes: readonly (store.Verdict | AtomError)[]): void {
    const appended: store.Appended[] = []
    let repeated = false
    for (const [index, row] of rows.entries()) {
      const outcome = outcomes[index]
      if (outcome === undefined) row.refuse(new AtomError('internal'))
      else if (outcome instanceof AtomError) row.refuse(outcome)
      else if (outcome.verdict === 'stored') {
        repeated ||= outcome.duplicate
        appended.push(outcome)
        row.settle(outcome)
      } else row.refuse(refusal(outcome.verdict))
    }
    this.#wary = repeated ? waryBatches : Math.max(0, this.#wary - 1)
    this.#timeline.committed(appended)
  }

  #busy(): AtomError {
    const batches = Math.ceil(this.#queue.length / batch.rows)
    const retryAfterMs = Math.min(5_000, Math.max(50, Math.ceil(batches * this.#lastMs)))
    return new AtomError('busy', undefined, { retryAfterMs })
  }

  #reasonOf(error: unknown): AtomError {
    // Class 22, data exception: the content cannot be stored as it is.
    if (sqlState(error).startsWith('22')) {
      return new AtomError('validation_failed', 'The content holds something that cannot be stored.', {
        cause: error,
      })
    }
    this.#log.error({ err: error }, 'an event could not be stored')
    return asAtomError(error)
  }
}

/** Why the database took none, or not all, of them for now; undefined where each has its final answer. */
function lostIn(outcomes: readonly (store.Verdict | AtomError)[]): AtomError | undefined {
  return outcomes.find((outcome): outcome is AtomError => passes(outcome))
}

/** Whether all of it was stored, or refused for good, as it was sent. */
async function wentThrough({ answered }: Sent): Promise<boolean> {
  const [result] = await Promise.allSettled([answered])
  return result.status === 'fulfilled' && result.value !== undefined
}

/** Who is named must be there to be told. */
export function notPresent(memberId: string): AtomError {
  return new AtomError('validation_failed', `${memberId} is not in this room and cannot be mentioned.`)
}

function refusal(verdict: 'not_found' | 'not_a_member'): AtomError {
  return verdict === 'not_found'
    ? new AtomError('not_found', 'There is no such room.')
    : new AtomError('not_a_member')
}

function spansOf(rows: readonly Waiting[]): ReadonlySet<Span> {
  const spans = new Set<Span>()
  for (const { span } of rows) if (span !== undefined) spans.add(span)
  return spans
}

function asOne<T>({ span }: NextMessage, work: () => Promise<T>): Promise<T> {
  return span === undefined ? work() : within(span, work)
}

function sizeOf(draft: store.EventDraft): number {
  return 200 + JSON.stringify(draft.body).length
}

function sqlState(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The same may be taken later. */
function passes(thrown: unknown): boolean {
  return thrown instanceof AtomError && thrown.row.retryable
}
