import type { Draft, OutgoingMessage } from '@atom/client'
import type { ApprovalView, ToolOutcome } from '@atom/contract/agents.ts'
import type { Actor, Choice, Reaction } from '@atom/contract/rooms.ts'
import { firstAfter } from './row-places.ts'

/** Messages of one person closer together than this stand under one name. */
export const sameBreathMs = 5 * 60_000

/** One call of a tool: asked for, decided, running, over. One card, whatever it has become. */
export interface Call {
  readonly kind: 'call'
  readonly callId: string
  readonly turnId: string
  readonly title: string
  readonly provider?: string | undefined
  readonly account?: string | undefined
  readonly approval?: ApprovalView
  readonly decision?: Decision
  readonly started: boolean
  readonly outcome?: ToolOutcome
  /** How much of the turn's answer was said before it, in UTF-16 units. */
  readonly said?: number | undefined
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

/** What an answer said before a call. */
interface Said {
  readonly kind: 'said'
  readonly text: string
}

export type TurnPart = Call | Said | Answer | Ending

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
  readonly model?: string
  readonly startedAt?: string
  readonly endedAt?: string
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
  /** Approvals that nobody has decided yet, oldest first. */
  readonly openCalls: readonly Call[]
  /** When a person spoke last (RFC 3339; empty where nobody has): choices offered before have been answered. */
  readonly lastPersonAt: string
  /** The turn that could be stopped now: begun and not ended, the newest. */
  readonly active?: TurnFacts | undefined
  /** What is known of a turn, where anything is. */
  readonly turnOf: (turnId: string) => TurnFacts | undefined
}

export type TurnRow = Extract<Row, { kind: 'turn' }>
export type MessageRow = Extract<Row, { kind: 'message' }>

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
      const turn = timeline.turnOf(draft.turnId) ?? { turnId: draft.turnId, agent: draft.actor }
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

/**
 * A line before the first thing that somebody else said after `readSeq`; none where all of it is mine.
 *
 * @returns the rows with it, and the line itself
 */
export function withUnreadLine(
  rows: readonly Row[],
  readSeq: number,
  me: string,
): { readonly rows: readonly Row[]; readonly line?: Row } {
  let at = firstAfter(rows, readSeq)
  while (at < rows.length && !isNews(rows[at], me)) at += 1
  const first = rows[at]
  if (first === undefined) return { rows }
  // The name is shown again after the line.
  const led = first.kind === 'message' && !first.lead ? { ...first, lead: true } : first
  const line = { kind: 'unread', key: 'unread', seq: first.seq } as const
  return { rows: [...rows.slice(0, at), line, led, ...rows.slice(at + 1)], line }
}

function isNews(row: Row | undefined, me: string): boolean {
  if (row === undefined || row.seq === Number.POSITIVE_INFINITY) return false
  return row.kind === 'turn' || (row.kind === 'message' && row.author.id !== me && !row.deleted)
}

/** The row that an event stands in; -1 where none does. */
export function rowOfSeq(rows: readonly Row[], seq: number): number {
  let at = firstAfter(rows, seq) - 1
  while (at >= 0 && !standsFor(rows[at])) at -= 1
  return at
}

function standsFor(row: Row | undefined): boolean {
  return row?.kind === 'message' || row?.kind === 'turn' || row?.kind === 'note'
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
  const last = asItHappened(row.parts).findLast((part) => part.kind !== 'answer' || part.text !== '')
  if (last === undefined) return true
  if (last.kind !== 'call') return false
  const state = callState(last, row.turn)
  return state !== 'asking' && state !== 'running'
}

/**
 * A turn's answer is one message, told when it is whole; its words stand where they were said, before and between the calls
 * that stand in the same row. The answer itself is what was said last.
 */
export function asItHappened(parts: TurnRow['parts']): readonly TurnPart[] {
  const answer = parts.find((part) => part.kind === 'answer')
  if (answer === undefined || answer.deleted === true) return parts
  let from = 0
  const ordered: TurnPart[] = []
  for (const part of parts) {
    if (part === answer) {
      ordered.push(from === 0 ? answer : { ...answer, text: answer.text.slice(from).trimStart() })
      continue
    }
    const to =
      part.kind === 'call' && from < (part.said ?? 0) ? Math.min(part.said ?? 0, answer.text.length) : from
    const text = answer.text.slice(from, to).trim()
    if (text !== '') ordered.push({ kind: 'said', text })
    from = to
    ordered.push(part)
  }
  return ordered
}

function followsInOneBreath(before: Row | undefined, authorId: string, at: string): boolean {
  if (before?.kind === 'message') {
    return before.author.id === authorId && Date.parse(at) - Date.parse(before.at) < sameBreathMs
  }
  return before?.kind === 'outgoing'
}
