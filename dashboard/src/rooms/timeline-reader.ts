import { isMessage } from '@atom/client'
import type { Actor, RoomEvent } from '@atom/contract/rooms.ts'
import { dayAround } from '../ui/clock-text.ts'
import {
  type Answer,
  type Call,
  type MessageRow,
  type Row,
  sameBreathMs,
  type Timeline,
  type TurnFacts,
  type TurnRow,
} from './timeline.ts'

type Part = TurnRow['parts'][number]
type CallEvent = Extract<RoomEvent, { type: 'tool.started' | 'tool.ended' | 'approval.requested' }>
type Decided = Extract<RoomEvent, { type: 'approval.decided' }>

/** What is known of one turn, wherever in the room it was said. */
interface Turn {
  facts: TurnFacts
  /** Of its earliest event that is loaded. */
  first: number
  readonly calls: Map<string, CallRecord>
  /** Those that show something of it. */
  readonly blocks: Set<Block>
}

interface CallRecord {
  /** In order; the card stands where the first of them does. */
  readonly events: CallEvent[]
  call: Call | undefined
}

/** How a stretch of rows ends: what the next row needs to know. */
interface End {
  /** The day that was named last; nothing of it where no row was. */
  readonly day: { readonly from: number; readonly to: number }
  /** The message that stands last. */
  readonly spoken?: { readonly authorId: string; readonly time: number } | undefined
}

/** Consecutive events. Each block but the first begins with a row of its own, so no row reaches over two. */
interface Block {
  readonly events: RoomEvent[]
  laid: Laid
  /** The same rows where something stands before them. */
  joined?: { readonly after: End; readonly rows: readonly Row[] } | undefined
}

/** As if nothing stood before. */
interface Laid {
  /** Without rows of turns in which there is nothing to see. */
  readonly rows: readonly Row[]
  /** The row of a turn at the very end in which there is nothing to see yet. */
  readonly waiting?: TurnRow | undefined
  readonly end: End
  readonly turnIds: ReadonlySet<string>
}

/** A block ends before the next person's event once it has so many. */
const blockEvents = 32
const noDay = { from: 0, to: 0 }
const nothingLaid: Laid = { rows: [], end: { day: noDay }, turnIds: new Set() }
const beginning: End = { day: noDay }
const nothingRead: Timeline = { rows: [], openCalls: [], lastPersonAt: '', turnOf: () => undefined }

/** Events never change, so what was read of one stays true: a row stays the same object while those around it are read again. */
const times = new WeakMap<RoomEvent, number>()
const messageRows = new WeakMap<RoomEvent, MessageRow>()

/**
 * The committed events of a room as rows to read. The order is the order of the room: what an agent does stands together
 * until somebody else speaks, and goes on below. A later fact about a call (decided, ended) changes its card in place.
 * Unknown event types are passed over.
 *
 * It remembers what it has read: of events that have grown at either end, or of which messages have changed, it reads what
 * is new and the blocks that this touches. References are compared and copied for all, which is some microseconds for ten
 * thousand; events are looked at only there.
 */
export class TimelineReader {
  readonly #blockEvents: number
  #events: readonly RoomEvent[] = []
  #timeline = nothingRead
  #blocks: Block[] = []
  readonly #turns = new Map<string, Turn>()
  readonly #decisions = new Map<string, Decided>()
  readonly #openTurns = new Set<Turn>()
  readonly #openCalls = new Set<CallRecord>()
  #lastPersonAt = ''

  /** @param blockEvents how many events are read again for one that came; without end: all of them */
  constructor(size = blockEvents) {
    this.#blockEvents = size
  }

  /** @param events in order and without gaps, as a room's snapshot has them */
  read(events: readonly RoomEvent[]): Timeline {
    if (events === this.#events) return this.#timeline
    const change = changeOf(this.#events, events)
    if (change === undefined) this.#forget()
    this.#take(change ?? { older: [], changed: [], newer: events })
    this.#events = events
    this.#timeline = this.#compose()
    return this.#timeline
  }

  #forget(): void {
    this.#blocks = []
    this.#turns.clear()
    this.#decisions.clear()
    this.#openTurns.clear()
    this.#openCalls.clear()
    this.#lastPersonAt = ''
  }

  #take({ older, changed, newer }: Change): void {
    const stale = new Set<Block>()
    for (const event of changed) {
      const block = this.#blockOf(event.seq)
      block.events[event.seq - (block.events[0]?.seq ?? 0)] = event
      stale.add(block)
    }
    const turns = new Set<Turn>()
    for (const event of older) this.#note(event, turns)
    for (const event of newer) this.#note(event, turns)
    for (const turn of turns) this.#look(turn)

    if (older.length > 0) {
      const seam = this.#blocks.shift()
      this.#blocks.unshift(...this.#cut([...older, ...this.#dissolved(seam, stale)], stale))
    }
    if (newer.length > 0) {
      const seam = this.#blocks.pop()
      this.#blocks.push(...this.#cut([...this.#dissolved(seam, stale), ...newer], stale))
    }
    for (const turn of turns) for (const block of turn.blocks) stale.add(block)
    for (const block of stale) this.#layAnew(block)
    const spoken =
      newer.findLast(isSpoken) ?? (this.#lastPersonAt === '' ? older.findLast(isSpoken) : undefined)
    this.#lastPersonAt = spoken?.at ?? this.#lastPersonAt
  }

  #compose(): Timeline {
    const parts: (readonly Row[])[] = []
    let end = beginning
    for (const block of this.#blocks) {
      parts.push(rowsAfter(end, block))
      end = {
        day: block.laid.end.day === noDay ? end.day : block.laid.end.day,
        spoken: block.laid.end.spoken,
      }
    }
    const waiting = this.#blocks.at(-1)?.laid.waiting
    if (waiting !== undefined && waiting.turn.endedAt === undefined) parts.push([waiting])
    let active: Turn | undefined
    for (const turn of this.#openTurns) if (turn.first > (active?.first ?? 0)) active = turn
    return {
      rows: ([] as Row[]).concat(...parts),
      openCalls: [...this.#openCalls]
        .sort((one, other) => askedAt(one) - askedAt(other))
        .flatMap(({ call }) => call ?? []),
      lastPersonAt: this.#lastPersonAt,
      active: active?.facts,
      turnOf: (turnId) => this.#turns.get(turnId)?.facts,
    }
  }

  /** What an event says of a turn and its calls. In any order: each fact knows when it was said. */
  #note(event: RoomEvent, touched: Set<Turn>): void {
    switch (event.type) {
      case 'turn.started': {
        const turn = this.#turn(event, touched)
        if (event.at >= (turn.facts.startedAt ?? '')) {
          turn.facts = { ...turn.facts, model: event.model, startedAt: event.at }
        }
        touched.add(turn)
        break
      }
      case 'turn.ended': {
        const turn = this.#turn(event, touched)
        if (event.at >= (turn.facts.endedAt ?? '')) turn.facts = { ...turn.facts, endedAt: event.at }
        touched.add(turn)
        break
      }
      case 'tool.started':
      case 'tool.ended':
      case 'approval.requested': {
        const turn = this.#turn(event, touched)
        const id = callIdOf(event)
        const record = turn.calls.get(id) ?? { events: [], call: undefined }
        turn.calls.set(id, record)
        record.events.push(event)
        record.events.sort((one, other) => one.seq - other.seq)
        touched.add(turn)
        break
      }
      case 'approval.decided': {
        // Its request may not be loaded yet; the card appears decided when it is.
        this.#decisions.set(event.approvalId, event)
        const turn = this.#turns.get(event.turnId)
        if (turn !== undefined) touched.add(turn)
        break
      }
      case 'message.final':
        this.#turn(event, touched)
        break
    }
  }

  #turn(event: RoomEvent & { turnId: string }, touched: Set<Turn>): Turn {
    const known = this.#turns.get(event.turnId)
    if (known === undefined) {
      const turn: Turn = {
        facts: { turnId: event.turnId, agent: event.actor },
        first: event.seq,
        calls: new Map(),
        blocks: new Set(),
      }
      this.#turns.set(event.turnId, turn)
      return turn
    }
    if (event.seq < known.first) {
      known.first = event.seq
      known.facts = { ...known.facts, agent: event.actor }
      touched.add(known)
    }
    return known
  }

  /** Reads what has become of a turn and of its calls. */
  #look(turn: Turn): void {
    const { turnId, startedAt, endedAt } = turn.facts
    if (startedAt !== undefined && endedAt === undefined) this.#openTurns.add(turn)
    else this.#openTurns.delete(turn)
    for (const record of turn.calls.values()) {
      const call = readCall(turnId, record.events, this.#decisions)
      record.call = call
      const isOpen = call.approval !== undefined && call.decision === undefined && call.outcome === undefined
      if (isOpen && endedAt === undefined) this.#openCalls.add(record)
      else this.#openCalls.delete(record)
    }
  }

  #blockOf(seq: number): Block {
    let [low, high] = [0, this.#blocks.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#blocks[middle]?.events[0]?.seq ?? 0) <= seq) low = middle
      else high = middle - 1
    }
    const block = this.#blocks[low]
    if (block === undefined) throw new Error(`no event ${seq} was read`)
    return block
  }

  /** The events of a block that is to be cut anew. */
  #dissolved(block: Block | undefined, stale: Set<Block>): readonly RoomEvent[] {
    if (block === undefined) return []
    for (const turnId of block.laid.turnIds) this.#turns.get(turnId)?.blocks.delete(block)
    stale.delete(block)
    return block.events
  }

  #cut(events: readonly RoomEvent[], stale: Set<Block>): Block[] {
    const blocks: Block[] = []
    let block: Block | undefined
    for (const event of events) {
      if (block === undefined || (block.events.length >= this.#blockEvents && beginsRow(event))) {
        block = { events: [], laid: nothingLaid }
        blocks.push(block)
        stale.add(block)
      }
      block.events.push(event)
    }
    return blocks
  }

  #layAnew(block: Block): void {
    for (const turnId of block.laid.turnIds) this.#turns.get(turnId)?.blocks.delete(block)
    block.laid = lay(block.events, this.#turns)
    block.joined = undefined
    for (const turnId of block.laid.turnIds) this.#turns.get(turnId)?.blocks.add(block)
  }
}

interface Change {
  readonly older: readonly RoomEvent[]
  /** As they are now. */
  readonly changed: readonly RoomEvent[]
  readonly newer: readonly RoomEvent[]
}

/** How `after` differs from `before`; undefined where it is not the same timeline, or has lost some of it. */
function changeOf(before: readonly RoomEvent[], after: readonly RoomEvent[]): Change | undefined {
  const [first, start] = [before[0]?.seq, after[0]?.seq]
  if (first === undefined || start === undefined) return undefined
  const put = first - start
  if (put < 0 || put + before.length > after.length) return undefined
  const changed: RoomEvent[] = []
  for (const [at, was] of before.entries()) {
    const now = after[put + at]
    if (now === was) continue
    if (now === undefined || !isMessage(now) || !isMessage(was) || now.seq !== was.seq || now.id !== was.id) {
      return undefined
    }
    changed.push(now)
  }
  return { older: after.slice(0, put), changed, newer: after.slice(put + before.length) }
}

function callIdOf(event: CallEvent): string {
  return event.type === 'approval.requested' ? event.approval.callId : event.callId
}

function askedAt({ events }: CallRecord): number {
  return events.find(({ type }) => type === 'approval.requested')?.seq ?? 0
}

function isSpoken({ type }: RoomEvent): boolean {
  return type === 'message.created'
}

/** Whatever stands before it. */
function beginsRow({ type }: RoomEvent): boolean {
  return (
    type === 'message.created' ||
    type === 'message.pinned' ||
    type === 'room.changed' ||
    type === 'member.joined' ||
    type === 'member.left' ||
    type === 'member.changed'
  )
}

function readCall(
  turnId: string,
  events: readonly CallEvent[],
  decisions: ReadonlyMap<string, Decided>,
): Call {
  let call: Call | undefined
  for (const event of events) {
    call ??= { kind: 'call', callId: callIdOf(event), turnId, title: titleOf(event), started: false }
    switch (event.type) {
      case 'tool.started':
        call = {
          ...call,
          started: true,
          title: event.title,
          provider: event.provider ?? call.provider,
          account: event.account ?? call.account,
          said: call.said ?? event.said,
        }
        break
      case 'tool.ended':
        call = { ...call, outcome: event.outcome }
        break
      case 'approval.requested': {
        const { approval } = event
        const { provider, account } = approval
        call = { ...call, approval, provider, account, said: call.said ?? event.said }
        const decided = decisions.get(approval.id)
        if (decided !== undefined) {
          const { decision, actor, at, reason } = decided
          call = { ...call, decision: { decision, by: actor, at, reason } }
        }
        break
      }
    }
  }
  if (call === undefined) throw new Error(`a call of turn ${turnId} without an event`)
  return call
}

function titleOf(event: CallEvent): string {
  if (event.type === 'approval.requested') return event.approval.title
  return event.type === 'tool.started' ? event.title : event.outcome.summary
}

function timeOf(event: RoomEvent): number {
  let time = times.get(event)
  if (time === undefined) {
    time = Date.parse(event.at)
    times.set(event, time)
  }
  return time
}

function messageRow(event: Extract<RoomEvent, { type: 'message.created' }>, lead: boolean): MessageRow {
  const known = messageRows.get(event)
  if (known?.lead === lead) return known
  const row: MessageRow = {
    kind: 'message',
    key: `message:${event.actor.id}:${event.clientId}`,
    seq: event.seq,
    author: event.actor,
    at: event.at,
    text: event.text,
    replyTo: event.replyTo,
    mentions: event.mentions ?? [],
    reactions: event.reactions ?? [],
    edited: event.editedAt !== undefined,
    deleted: event.deletedAt !== undefined,
    lead,
  }
  messageRows.set(event, row)
  return row
}

function isIn(day: End['day'], time: number): boolean {
  return time >= day.from && time < day.to
}

/** An answer to something shows whose it is. */
function leads(event: Extract<RoomEvent, { type: 'message.created' }>, spoken: End['spoken']): boolean {
  return (
    event.replyTo !== undefined ||
    spoken?.authorId !== event.actor.id ||
    timeOf(event) - spoken.time >= sameBreathMs
  )
}

/** The rows of a block behind what stands before it: the day is named once, and so is who goes on speaking. */
function rowsAfter(before: End, block: Block): readonly Row[] {
  const [first] = block.events
  const [named, second] = block.laid.rows
  if (first === undefined || named?.kind !== 'day' || !isIn(before.day, timeOf(first))) return block.laid.rows
  const { joined } = block
  if (
    joined?.after.day.from === before.day.from &&
    joined.after.spoken?.authorId === before.spoken?.authorId &&
    joined.after.spoken?.time === before.spoken?.time
  ) {
    return joined.rows
  }
  const goesOn =
    first.type === 'message.created' && second?.kind === 'message' && !leads(first, before.spoken)
  const rows = goesOn ? [messageRow(first, false), ...block.laid.rows.slice(2)] : block.laid.rows.slice(1)
  block.joined = { after: before, rows }
  return rows
}

function lay(events: readonly RoomEvent[], turns: ReadonlyMap<string, Turn>): Laid {
  const rows: Row[] = []
  const turnIds = new Set<string>()
  let atEnd: { readonly row: TurnRow; readonly parts: Part[] } | undefined
  let spoken: (NonNullable<End['spoken']> & { readonly row: Row }) | undefined
  let day = noDay

  function beginDay(event: RoomEvent): void {
    const time = timeOf(event)
    if (isIn(day, time)) return
    day = dayAround(time)
    rows.push({ kind: 'day', key: `day:${event.at}`, seq: event.seq, at: event.at })
  }

  function note(event: RoomEvent, text: string, about?: number): void {
    beginDay(event)
    rows.push({
      kind: 'note',
      key: `note:${event.seq}`,
      seq: event.seq,
      at: event.at,
      text,
      ...(about === undefined ? {} : { about }),
    })
  }

  /** The parts of the agent's row that stands at the end, begun anew where somebody else stands there. */
  function partsAtEnd(
    event: RoomEvent & { turnId: string },
    key = `turn:${event.turnId}:${event.seq}`,
  ): Part[] {
    if (atEnd !== undefined && rows.at(-1) === atEnd.row && atEnd.row.turn.turnId === event.turnId) {
      return atEnd.parts
    }
    beginDay(event)
    const parts: Part[] = []
    const turn = turns.get(event.turnId)?.facts ?? { turnId: event.turnId, agent: event.actor }
    const row: TurnRow = { kind: 'turn', key, seq: event.seq, at: event.at, turn, parts, thinking: false }
    rows.push(row)
    turnIds.add(event.turnId)
    atEnd = { row, parts }
    return parts
  }

  for (const event of events) {
    switch (event.type) {
      case 'message.created': {
        beginDay(event)
        const row = messageRow(event, leads(event, rows.at(-1) === spoken?.row ? spoken : undefined))
        rows.push(row)
        spoken = { row, authorId: event.actor.id, time: timeOf(event) }
        break
      }
      case 'turn.started':
        partsAtEnd(event)
        break
      case 'tool.started':
      case 'tool.ended':
      case 'approval.requested': {
        const record = turns.get(event.turnId)?.calls.get(callIdOf(event))
        if (record?.call !== undefined && record.events[0] === event) partsAtEnd(event).push(record.call)
        break
      }
      case 'message.final':
        partsAtEnd(event, `answer:${event.id}`).push(answerOf(event))
        break
      case 'turn.ended':
        if (event.status !== 'succeeded') {
          partsAtEnd(event).push({ kind: 'ending', status: event.status, reason: event.reason })
        }
        break
      case 'member.joined':
      case 'member.left':
        note(event, memberNote(event.type, event.member, event.actor))
        break
      case 'member.changed':
        note(event, roleNote(event.member, event.role, event.actor))
        break
      case 'room.changed':
        note(event, `${event.actor.name} named the room “${event.name}”`)
        break
      case 'message.pinned':
        note(event, `${event.actor.name} pinned a message`, event.targetSeq)
        break
      case 'connection.changed':
        // Spoken of by the agent that needs it, and on the Connections page.
        break
    }
  }
  const last = rows.at(-1)
  return {
    rows: rows.filter((row) => row.kind !== 'turn' || row.parts.length > 0),
    waiting: last?.kind === 'turn' && last.parts.length === 0 ? last : undefined,
    end: { day, spoken: last === spoken?.row ? spoken : undefined },
    turnIds,
  }
}

function answerOf(event: Extract<RoomEvent, { type: 'message.final' }>): Answer {
  return {
    kind: 'answer',
    messageId: event.id,
    text: event.text,
    choices: event.choices ?? [],
    streaming: false,
    seq: event.seq,
    reactions: event.reactions ?? [],
    deleted: event.deletedAt !== undefined,
  }
}

function memberNote(type: 'member.joined' | 'member.left', member: Actor, by: Actor): string {
  if (type === 'member.left') {
    return by.id === member.id ? `${member.name} left the room` : `${by.name} took ${member.name} out`
  }
  return by.id === member.id || by.kind === 'system'
    ? `${member.name} joined the room`
    : `${by.name} added ${member.name}`
}

function roleNote(member: Actor, role: string, by: Actor): string {
  const words = role === 'member' ? 'a member' : role === 'admin' ? 'an admin' : 'an owner'
  return by.id === member.id
    ? `${member.name} is ${words} of the room now`
    : `${by.name} made ${member.name} ${words} of the room`
}
