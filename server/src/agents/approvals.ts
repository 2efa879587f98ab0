import { createHash } from 'node:crypto'
import type { ToolOutcome } from '@atom/contract/agents.ts'
import { Value } from 'typebox/value'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError, type FieldProblem } from '#foundation/errors.ts'
import type { Timeline } from '#rooms/timeline.ts'
import * as store from './agent-store.ts'
import type { Tool, ToolArgs } from './tools/tool.ts'

/** The same value as the same text, whatever the order of its keys (what RFC 8785 does, for the JSON that tools take). */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`).join(',')}}`
}

/** What exactly was agreed to: any change of it is something else, and was not. SHA-256, hex. */
export function bindingOf(agreed: {
  readonly turnId: string
  readonly tool: string
  readonly args: ToolArgs
  readonly connectionId: string
}): string {
  return createHash('sha256').update(canonical(agreed)).digest('hex')
}

export interface DecisionInput {
  readonly decision: 'approve' | 'deny'
  /** Corrected values of editable fields, by name; an empty one removes what is optional. */
  readonly edits?: Readonly<Record<string, string>> | undefined
  readonly reason?: string | undefined
}

/** Where a person lets an agent do something, or not. */
export class Approvals {
  readonly #database: Database
  readonly #timeline: Timeline
  readonly #tools: ReadonlyMap<string, Tool>

  constructor(dependencies: { database: Database; timeline: Timeline; tools: readonly Tool[] }) {
    this.#database = dependencies.database
    this.#timeline = dependencies.timeline
    this.#tools = new Map(dependencies.tools.map((tool) => [tool.name, tool]))
  }

  /**
   * Decides, once: the first decision counts, and only the owner of the connection has one. The same decision again answers
   * as the first time. The turn goes on by itself.
   * @throws AtomError `not_found` · `forbidden` · `approval_not_open` · `approval_expired` · `validation_failed`
   */
  async decide(
    principal: AccountPrincipal,
    approvalId: string,
    input: DecisionInput,
  ): Promise<{ id: string; decision: 'approved' | 'denied' }> {
    const decision = input.decision === 'approve' ? 'approved' : 'denied'
    return await this.#database.transaction(async (tx) => {
      const known = await store.findApproval(tx, principal.workspaceId, approvalId)
      if (known === undefined) throw new AtomError('not_found', 'There is no such approval.')
      if (known.decider !== principal.id)
        throw new AtomError('forbidden', 'Only the owner of the connected account decides this.')
      // The turn first, as its worker does, so that the two never wait for each other. Then what is true now.
      const turn = await store.lockTurn(tx, known.turnId)
      const approval = await store.findApproval(tx, principal.workspaceId, approvalId)
      if (turn === undefined || approval === undefined) throw new AtomError('not_found')
      if (approval.decision === decision && input.edits === undefined) return { id: approval.id, decision }
      if (approval.decision === 'expired' || (approval.decision === null && approval.expired))
        throw new AtomError('approval_expired')
      if (approval.decision !== null || turn.status !== 'waiting_approval')
        throw new AtomError('approval_not_open')

      const call = (await store.callsOf(tx, turn.id)).find((each) => each.id === approval.callId)
      if (call === undefined || call.connectionId === null) throw new Error('an approval without its call')
      const args = decision === 'approved' ? this.#edited(call, approval, input.edits ?? {}) : call.args
      const agreed = { turnId: turn.id, tool: call.tool, args, connectionId: call.connectionId }
      const decided = await store.decideApproval(tx, approval.id, {
        decision,
        by: principal.id,
        reason: input.reason,
        binding: bindingOf(agreed),
      })
      if (!decided) throw new AtomError('approval_expired')
      await store.decideCall(
        tx,
        call.id,
        decision === 'approved'
          ? { state: 'ready', args }
          : { state: 'denied', outcome: refusal(approval.view.title, input.reason) },
      )
      await store.wakeTurn(tx, turn.id)
      await this.#announce(
        tx,
        turn,
        approval.id,
        { kind: 'account', id: principal.id },
        decision,
        input.reason,
      )
      await store.notifyTurn(tx, turn.id)
      return { id: approval.id, decision }
    })
  }

  /** Closes what is still open in a turn that does not wait any more. Returns how many. */
  async close(tx: Transaction, turn: store.TurnRow, decision: 'expired' | 'withdrawn'): Promise<number> {
    let closed = 0
    for (const approval of await store.openApprovals(tx, turn.id)) {
      const { binding, callId, id, view } = approval
      if (!(await store.decideApproval(tx, id, { decision, by: null, reason: undefined, binding }))) continue
      const summary =
        decision === 'expired'
          ? `Nobody decided in time, so nothing was done: ${view.title}`
          : `Stopped before anything was done: ${view.title}`
      await store.decideCall(tx, callId, {
        state: 'denied',
        outcome: { status: 'cancelled', summary, durationMs: 0 },
      })
      await this.#announce(tx, turn, id, { kind: 'agent', id: turn.agentId }, decision)
      closed++
    }
    return closed
  }

  async #announce(
    tx: Transaction,
    turn: store.TurnRow,
    approvalId: string,
    actor: { readonly kind: 'account' | 'agent'; readonly id: string },
    decision: store.Decision,
    reason?: string,
  ): Promise<void> {
    await this.#timeline.append(tx, [
      {
        roomId: turn.roomId,
        workspaceId: turn.workspaceId,
        type: 'approval.decided',
        actor,
        // Not one that a person could have given a message of theirs.
        clientId: `decided:${approvalId}`,
        body: { turnId: turn.id, approvalId, decision, ...(reason !== undefined && { reason }) },
      },
    ])
  }

  #edited(
    call: store.CallRow,
    approval: store.ApprovalRow,
    edits: Readonly<Record<string, string>>,
  ): ToolArgs {
    const tool = this.#tools.get(call.tool)
    if (tool === undefined) throw new AtomError('approval_not_open', 'Atom does not have this tool any more.')
    const editable = new Set(
      approval.view.fields.filter((field) => field.editable).map((field) => field.name),
    )
    const problems: FieldProblem[] = Object.keys(edits)
      .filter((name) => !editable.has(name))
      .map((name) => ({ pointer: `/edits/${name}`, detail: 'This field cannot be changed here.' }))
    if (problems.length > 0) throw new AtomError('validation_failed', undefined, { problems })

    const changed: Record<string, unknown> = { ...call.args }
    for (const [name, value] of Object.entries(edits)) {
      if (value.trim() === '') delete changed[name]
      else changed[name] = value
    }
    const args = Value.Convert(tool.final, changed)
    if (!Value.Check(tool.final, args)) {
      const wrong = Value.Errors(tool.final, args).map((error) => ({
        pointer: `/edits${error.instancePath}`,
        detail: error.message,
      }))
      throw new AtomError('validation_failed', 'What was corrected does not fit.', { problems: wrong })
    }
    return args as ToolArgs
  }
}

function refusal(title: string, reason: string | undefined): ToolOutcome {
  return {
    status: 'denied',
    summary: `Declined, so nothing was done: ${title}${reason === undefined ? '' : ` (${reason})`}`,
    durationMs: 0,
  }
}
