import type { RoomEvent } from '@atom/contract/rooms.ts'
import type { CallRow, StepRow, TurnRow } from './agent-store.ts'
import type { OpenQuestion, TranscriptEntry } from './models/model.ts'

/** How much of the room a model reads. */
const tail = { messages: 20, textLength: 4_000 }

function clipped(text: string): string {
  return text.length <= tail.textLength ? text : `${text.slice(0, tail.textLength)}…`
}

/**
 * A message without the agent's own name in front: "@Atom, show my issues" is how it is called in company, and no part of what
 * is wanted. Only the name is left: then that is all that was said.
 */
export function unaddressed(text: string, agentName: string): string {
  const call = `@${agentName}`
  if (text.slice(0, call.length).toLowerCase() !== call.toLowerCase()) return text
  const rest = text.slice(call.length)
  // Somebody else whose name begins alike.
  if (/^[\p{L}\p{N}_]/u.test(rest)) return text
  const wanted = rest.replace(/^[\s,:;–—-]+/u, '')
  return wanted === '' ? text : wanted
}

/**
 * What was said before the turn began, the message that asked last. Messages that came after the one that asked have turns
 * of their own; answers given meanwhile are read. The same events always make the same transcript.
 */
export function historyOf(
  turn: TurnRow,
  events: readonly RoomEvent[],
  open: { readonly messageId: string; readonly question: OpenQuestion } | undefined,
): TranscriptEntry[] {
  const before: TranscriptEntry[] = []
  let asked: TranscriptEntry | undefined
  for (const event of events) {
    if (event.type === 'message.final') {
      const question = open?.messageId === event.id ? { question: open.question } : {}
      before.push({ role: 'agent', text: clipped(event.text), ...question })
    } else if (event.type === 'message.created' && event.seq <= turn.triggerSeq) {
      const entry: TranscriptEntry = {
        role: 'person',
        name: event.actor.name,
        text: unaddressed(event.seq === turn.triggerSeq ? event.text : clipped(event.text), turn.agentName),
        at: new Date(event.at),
      }
      if (event.seq === turn.triggerSeq) asked = entry
      else before.push(entry)
    }
  }
  if (asked === undefined) throw new Error('the message that asked is not in the room')
  return [...before.slice(-tail.messages), asked]
}

/** What the turn itself did so far. */
export function deedsOf(steps: readonly StepRow[], calls: readonly CallRow[]): TranscriptEntry[] {
  return steps
    .filter((step) => step.state === 'done')
    .flatMap((step) => {
      const own = calls.filter((call) => call.stepN === step.n)
      const said: TranscriptEntry[] = step.said.text === '' ? [] : [{ role: 'agent', text: step.said.text }]
      const called = own.map(
        (call): TranscriptEntry => ({ role: 'toolCall', callId: call.id, tool: call.tool, args: call.args }),
      )
      const results = own
        .filter((call) => call.outcome !== null)
        .map(
          (call): TranscriptEntry => ({
            role: 'toolResult',
            callId: call.id,
            tool: call.tool,
            outcome: call.outcome ?? { status: 'unknown', summary: '', durationMs: 0 },
          }),
        )
      return [...said, ...called, ...results]
    })
}

/**
 * Where a value on an approval card came from: the person's own words, something read from outside, or else the agent. What
 * an agent took from a foreign text is the thing to look at twice.
 */
export function originOf(
  value: string,
  transcript: readonly TranscriptEntry[],
): 'person' | 'agent' | 'outside' {
  const wanted = value.trim().toLowerCase()
  const contains = (text: string | undefined) => text?.toLowerCase().includes(wanted) ?? false
  if (wanted === '') return 'agent'
  if (transcript.some((entry) => entry.role === 'person' && contains(entry.text))) return 'person'
  const outside = transcript.some(
    (entry) =>
      entry.role === 'toolResult' && contains(JSON.stringify([entry.outcome.summary, entry.outcome.rows])),
  )
  return outside ? 'outside' : 'agent'
}
