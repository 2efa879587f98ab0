import type { ApprovalView, ToolOutcome } from '@atom/contract/agents.ts'
import type { Choice } from '@atom/contract/rooms.ts'
import { fingerprint } from '#foundation/ids.ts'
import type { EventDraft } from '#rooms/timeline.ts'
import type { EndedStatus, TurnRow } from './agent-store.ts'

// What a turn publishes. Client ids are derived from what happened, so that a step that is done again after a crash writes
// the same event and the room sees it once.

function draft(
  turn: TurnRow,
  type: EventDraft['type'],
  clientId: string,
  body: EventDraft['body'],
): EventDraft {
  return {
    roomId: turn.roomId,
    workspaceId: turn.workspaceId,
    type,
    actor: { kind: 'agent', id: turn.agentId },
    clientId,
    body: { turnId: turn.id, ...body },
  }
}

export function startedDraft(turn: TurnRow): EventDraft {
  return draft(turn, 'turn.started', `started-${turn.id}`, {
    messageId: turn.messageId,
    triggerSeq: turn.triggerSeq,
    onBehalfOf: turn.onBehalfOf,
    model: turn.model,
  })
}

export function toolStartedDraft(
  turn: TurnRow,
  call: {
    readonly id: string
    readonly tool: string
    readonly title: string
    readonly connectionId: string
    readonly provider: string
    readonly account: string
  },
  said: number,
): EventDraft {
  const { id, ...body } = call
  return draft(turn, 'tool.started', `tool-started-${id}`, { callId: id, ...body, said })
}

export function toolEndedDraft(turn: TurnRow, callId: string, outcome: ToolOutcome): EventDraft {
  return draft(turn, 'tool.ended', `tool-ended-${callId}`, { callId, outcome })
}

export function approvalRequestedDraft(turn: TurnRow, approval: ApprovalView, said: number): EventDraft {
  return draft(turn, 'approval.requested', `requested-${approval.id}`, { approval, said })
}

/** The answer, where the turn has begun, and the end. */
export function endingDrafts(
  turn: TurnRow,
  end: {
    readonly status: EndedStatus
    readonly reason?: string | undefined
    readonly text: string
    readonly choices?: readonly Choice[] | undefined
  },
): EventDraft[] {
  const ended = draft(turn, 'turn.ended', `ended-${turn.id}`, {
    status: end.status,
    ...(end.reason !== undefined && { reason: end.reason }),
  })
  if (turn.startedSeq === null) return [ended]
  const final = draft(turn, 'message.final', `final-${turn.id}`, {
    text: end.text,
    sha256: fingerprint(end.text),
    ...(end.choices !== undefined && end.choices.length > 0 && { choices: end.choices }),
  })
  return [{ ...final, id: turn.messageId }, ended]
}
