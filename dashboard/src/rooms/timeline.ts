import type { Draft, OutgoingMessage } from '@atom/client'
import type { ApprovalView, ToolOutcome } from '@atom/contract/agents.ts'
import type { Actor, Choice, Reaction, RoomEvent } from '@atom/contract/rooms.ts'
import { dayAround } from '../ui/clock-text.ts'

/** Messages of one person closer together than this stand under one name. */
const sameBreathMs = 5 * 60_000

/** One call of a tool: asked for, decided, running, over. One card, whatever it has become. */
export interface Call {
  readonly kind: 'call'
  readonly callId: string
  readonly turnId: string
  title: string
  provider?: string | undefined
  account?: string | undefined
  approval?: ApprovalView
  decision?: Decision
  started: boolean
  outcome?: ToolOutcome
}

interface Decision {
  readonly decision: 'approved' | 'denied' | 'expired' | 'withdrawn'
  readonly by: Actor
  readonly at: string
  readonly reason?: string | undefined
}

export interface Answer {
  readonly kind: 'answer'
  readonly messageId: string
  readonly text: string
  readonly choices: readonly Choice[]
  readonly streaming: boolean
  /** Where it stands; absent while it is being written. */
  readonly seq?: number
  readonly reactions?: readonly Reaction[]
  readonly deleted?: boolean
}

/** How a turn ended, where that must be said. */
export interface Ending {
  readonly kind: 'ending'
  readonly status: 'failed' | 'cancelled' | 'interrupted' | 'needs_attention'
  readonly reason?: string | undefined
}

export interface TurnFacts {
  readonly turnId: string
  readonly agent: Actor
  /** What answers; unknown while the beginning of the turn is not loaded. */
  model?: string
  startedAt?: string
  endedAt?: string
}

/** `seq`: of the event that began the row; what is not committed yet stands after everything. */
export type Row =
  | { readonly kind: 'day'; readonly key: string; readonly seq: number; readonly at: string }
  | { readonly kind: 'unread'; readonly key: string; readonly seq: number }
  | {
      readonly kind: 'message'
      readonly key: string
      readonly seq: number
      readonly author: Actor
      readonly at: string
      readonly text: string
      readonly replyTo?: number | undefined
      readonly mentions: readonly string[]
      readonly reactions: readonly Reaction[]
      readonly edited: boolean
      readonly deleted: boolean
      /** The first of its author in one breath: carries picture, name and time. */
      readonly lead: boolean
    }
  | {
      readonly kind: 'turn'
      readonly key: string
      readonly seq: number
      readonly at: string
      readonly turn: TurnFacts
      readonly parts: readonly (Call | Answer | Ending)[]
      /** At work, and nothing of it can be seen yet. */
      readonly thinking: boolean
    }
  | {
      readonly kind: 'note'
      readonly key: string
      readonly seq: number
      readonly at: string
      readonly text: string
      /** The message that it is about. */
      readonly about?: number
    }
  | {
      readonly kind: 'outgoing'
      readonly key: string
      readonly seq: number
      readonly message: OutgoingMessage
      readonly lead: boolean
    }

export interface Timeline {
  readonly rows: readonly Row[]
  readonly turns: ReadonlyMap<string, TurnFacts>
  /** Approvals that nobody has decided yet, oldest first. */
  readonly openCalls: readonly Call[]
  /** When a person spoke last (RFC 3339; empty where nobody has): choices offered before have been answered. */
  readonly lastPersonAt: string
}

type TurnRow = Extract<Row, { kind: 'turn' }>
type MessageRow = Extract<Row, { kind: 'message' }>
type Part = TurnRow['parts'][number]

/** Events never change, so what was read of one stays true: a row stays the same object while thousands around it are read again. */
const times = new WeakMap<RoomEvent, number>()
const messageRows = new WeakMap<RoomEvent, MessageRow>()

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

/**
 * The committed events of a room as rows to read. The order is the order of the room: what an agent does stands together
 * until somebody else speaks, and goes on below. A later fact about a call (decided, ended) changes its card in place.
 * Unknown event types are passed over.
 */
export function readTimeline(events: readonly RoomEvent[]): Timeline {
  const rows: Row[] = []
  const turns = new Map<string, TurnFacts>()
  let atEnd: { readonly row: Row; readonly parts: Part[] } | undefined
  const calls = new Map<string, Call>()
  const callOfApproval = new Map<string, Call>()
  const open = new Set<Call>()
  let lastPersonAt = ''
  let spoken: { readonly row: MessageRow; readonly time: number } | undefined
  let day = { from: 0, to: 0 }

  function turnOf(event: RoomEvent & { turnId: string }): TurnFacts {
    let turn = turns.get(event.turnId)
    if (turn === undefined) {
      turn = { turnId: event.turnId, agent: event.actor }
      turns.set(event.turnId, turn)
    }
    return turn
  }

  function beginDay(event: RoomEvent): void {
    const time = timeOf(event)
    if (time >= day.from && time < day.to) return
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
    const last = rows.at(-1)
    if (last?.kind === 'turn' && last === atEnd?.row && last.turn.turnId === event.turnId) return atEnd.parts
    beginDay(event)
    const parts: Part[] = []
    const row: Row = {
      kind: 'turn',
      key,
      seq: event.seq,
      at: event.at,
      turn: turnOf(event),
      parts,
      thinking: false,
    }
    rows.push(row)
    atEnd = { row, parts }
    return parts
  }

  function callOf(event: RoomEvent & { turnId: string }, callId: string, title: string): Call {
    let call = calls.get(callId)
    if (call === undefined) {
      call = { kind: 'call', callId, turnId: event.turnId, title, started: false }
      calls.set(callId, call)
      partsAtEnd(event).push(call)
    }
    return call
  }

  for (const event of events) {
    switch (event.type) {
      case 'message.created': {
        beginDay(event)
        lastPersonAt = event.at
        const time = timeOf(event)
        const inOneBreath =
          spoken !== undefined &&
          rows.at(-1) === spoken.row &&
          spoken.row.author.id === event.actor.id &&
          time - spoken.time < sameBreathMs
        // An answer to something shows whose it is.
        const row = messageRow(event, event.replyTo !== undefined || !inOneBreath)
        rows.push(row)
        spoken = { row, time }
        break
      }
      case 'turn.started': {
        const turn = turnOf(event)
        turn.model = event.model
        turn.startedAt = event.at
        partsAtEnd(event)
        break
      }
      case 'tool.started': {
        turnOf(event)
        const call = callOf(event, event.callId, event.title)
        call.started = true
        call.title = event.title
        call.provider = event.provider ?? call.provider
        call.account = event.account ?? call.account
        break
      }
      case 'tool.ended': {
        turnOf(event)
        const call = callOf(event, event.callId, event.outcome.summary)
        call.outcome = event.outcome
        open.delete(call)
        break
      }
      case 'approval.requested': {
        turnOf(event)
        const { approval } = event
        const call = callOf(event, approval.callId, approval.title)
        call.approval = approval
        call.provider = approval.provider
        call.account = approval.account
        callOfApproval.set(approval.id, call)
        open.add(call)
        break
      }
      case 'approval.decided': {
        // Its request may not be loaded yet; the card appears decided when it is.
        const call = callOfApproval.get(event.approvalId)
        if (call === undefined) break
        call.decision = { decision: event.decision, by: event.actor, at: event.at, reason: event.reason }
        open.delete(call)
        break
      }
      case 'message.final':
        partsAtEnd(event, `answer:${event.id}`).push({
          kind: 'answer',
          messageId: event.id,
          text: event.text,
          choices: event.choices ?? [],
          streaming: false,
          seq: event.seq,
          reactions: event.reactions ?? [],
          deleted: event.deletedAt !== undefined,
        })
        break
      case 'turn.ended': {
        turnOf(event).endedAt = event.at
        if (event.status !== 'succeeded') {
          partsAtEnd(event).push({ kind: 'ending', status: event.status, reason: event.reason })
        }
        for (const call of open) if (call.turnId === event.turnId) open.delete(call)
        break
      }
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

  return {
    rows: rows.filter((row, at) => isWorthReading(row, at, rows)),
    turns,
    openCalls: [...open],
    lastPersonAt,
  }
}

/** Adds what is not committed: answers being written, and my messages on their way. */
export function withPresent(
  timeline: Timeline,
  present: { drafts: Iterable<Draft>; outgoing: readonly OutgoingMessage[]; me: string },
): readonly Row[] {
  const rows = [...timeline.rows]
  for (const draft of present.drafts) {
    const answer: Answer = {
      kind: 'answer',
      messageId: draft.messageId,
      text: draft.text,
      choices: [],
      streaming: true,
    }
    const last = rows.at(-1)
    if (last?.kind === 'turn' && last.turn.turnId === draft.turnId) {
      rows[rows.length - 1] = { ...last, parts: [...last.parts, answer] }
    } else {
      const turn = timeline.turns.get(draft.turnId) ?? { turnId: draft.turnId, agent: draft.actor }
      const at = turn.startedAt ?? new Date().toISOString()
      rows.push({
        kind: 'turn',
        key: `answer:${draft.messageId}`,
        seq: Number.POSITIVE_INFINITY,
        at,
        turn,
        parts: [answer],
        thinking: false,
      })
    }
  }
  const last = rows.at(-1)
  if (last?.kind === 'turn' && isThinking(last)) rows[rows.length - 1] = { ...last, thinking: true }
  for (const message of present.outgoing) {
    rows.push({
      kind: 'outgoing',
      // The same as of the committed message, so that the row stays the same row.
      key: `message:${present.me}:${message.clientId}`,
      seq: Number.POSITIVE_INFINITY,
      message,
      lead: message.replyTo !== undefined || !followsInOneBreath(rows.at(-1), present.me, message.at),
    })
  }
  return rows
}

/** A line before the first thing that somebody else said after `readSeq`; none where all of it is mine. */
export function withUnreadLine(rows: readonly Row[], readSeq: number, me: string): readonly Row[] {
  const first = rows.findIndex(
    (row) =>
      row.seq > readSeq &&
      row.seq !== Number.POSITIVE_INFINITY &&
      ((row.kind === 'message' && row.author.id !== me && !row.deleted) || row.kind === 'turn'),
  )
  const at = rows[first]
  if (at === undefined) return rows
  // The name is shown again after the line.
  const led = at.kind === 'message' && !at.lead ? { ...at, lead: true } : at
  return [
    ...rows.slice(0, first),
    { kind: 'unread', key: 'unread', seq: at.seq },
    led,
    ...rows.slice(first + 1),
  ]
}

/** The row that an event stands in. */
export function rowOfSeq(rows: readonly Row[], seq: number): number {
  return rows.findLastIndex(
    (row) => row.seq <= seq && (row.kind === 'message' || row.kind === 'turn' || row.kind === 'note'),
  )
}

/** The turn that could be stopped now: begun and not ended, the newest first. */
export function activeTurn(timeline: Timeline): TurnFacts | undefined {
  let active: TurnFacts | undefined
  for (const turn of timeline.turns.values()) {
    if (turn.startedAt !== undefined && turn.endedAt === undefined) active = turn
  }
  return active
}

export type CallState = 'asking' | 'running' | 'done' | 'failed' | 'denied' | 'unknown' | 'cancelled'

/** Where a call stands. A call whose turn is over without an outcome has an unknown one. */
export function callState(call: Call, turn: TurnFacts): CallState {
  if (call.outcome !== undefined) return call.outcome.status
  if (call.decision?.decision === 'denied') return 'denied'
  if (call.decision !== undefined && call.decision.decision !== 'approved') return 'cancelled'
  if (turn.endedAt !== undefined) return call.started ? 'unknown' : 'cancelled'
  if (call.approval !== undefined && call.decision === undefined) return 'asking'
  return 'running'
}

function isThinking(row: TurnRow): boolean {
  if (row.turn.startedAt === undefined || row.turn.endedAt !== undefined) return false
  const last = row.parts.at(-1)
  if (last === undefined) return true
  if (last.kind !== 'call') return false
  const state = callState(last, row.turn)
  return state !== 'asking' && state !== 'running'
}

function isWorthReading(row: Row, at: number, rows: readonly Row[]): boolean {
  if (row.kind !== 'turn' || row.parts.length > 0) return true
  return row.turn.endedAt === undefined && at === rows.length - 1
}

function followsInOneBreath(before: Row | undefined, authorId: string, at: string): boolean {
  if (before?.kind === 'message') {
    return before.author.id === authorId && Date.parse(at) - Date.parse(before.at) < sameBreathMs
  }
  return before?.kind === 'outgoing'
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
