import type { Turn } from '@atom/contract/agents.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Timeline } from '#rooms/timeline.ts'
import * as store from './agent-store.ts'
import type { Approvals } from './approvals.ts'
import type { DeltaSignal } from './drafts.ts'
import { endingDrafts } from './turn-events.ts'

const over: readonly Turn['status'][] = ['succeeded', 'failed', 'cancelled', 'interrupted', 'needs_attention']

/** Runs of agents, as the people of the room see and stop them. */
export class Turns {
  readonly #database: Database
  readonly #timeline: Timeline
  readonly #rooms: Pick<Rooms, 'requireMember'>
  readonly #approvals: Approvals

  constructor(dependencies: {
    database: Database
    timeline: Timeline
    rooms: Pick<Rooms, 'requireMember'>
    approvals: Approvals
  }) {
    this.#database = dependencies.database
    this.#timeline = dependencies.timeline
    this.#rooms = dependencies.rooms
    this.#approvals = dependencies.approvals
  }

  /** @throws AtomError `not_found` · `not_a_member` */
  async get(principal: AccountPrincipal, turnId: string): Promise<Turn> {
    return view(await this.row(principal, turnId))
  }

  /** As it is kept; for somebody who may see it. @throws AtomError `not_found` · `not_a_member` */
  async row(principal: AccountPrincipal, turnId: string): Promise<store.TurnRow> {
    const turn = await store.findTurn(this.#database, principal.workspaceId, turnId)
    if (turn === undefined) throw new AtomError('not_found', 'There is no such turn.')
    await this.#rooms.requireMember(principal, turn.roomId)
    return turn
  }

  /** Agents that work on a turn in these rooms now, in whatever process. */
  async working(
    roomIds: readonly string[],
  ): Promise<readonly { readonly roomId: string; readonly agentId: string }[]> {
    return await store.working(this.#database, roomIds)
  }

  /**
   * Turns in these rooms that have begun and not ended. The process that runs one has its text; of one that waits for an
   * approval no process has it, and `said` is what it has said.
   */
  async underWay(
    roomIds: readonly string[],
  ): Promise<readonly { readonly roomId: string; readonly said?: DeltaSignal }[]> {
    const turns = await store.underWay(this.#database, roomIds)
    return await Promise.all(
      turns.map(async (turn) => {
        const { id, roomId, messageId, attempt, agentId, agentName, status } = turn
        if (status === 'running') return { roomId }
        const text = answerOf(await store.stepsOf(this.#database, id))
        const actor = { kind: 'agent' as const, id: agentId, name: agentName }
        return {
          roomId,
          said: { roomId, kind: 'delta', actor, turnId: id, messageId, attempt, offset: 0, text },
        }
      }),
    )
  }

  /**
   * Stops a turn, durably: whatever process runs it sees it before its next step. What was done stays done. A turn that
   * waits, or has not begun, ends here and now.
   * @throws AtomError `not_found` · `not_a_member` · `turn_not_active`
   */
  async cancel(principal: AccountPrincipal, turnId: string): Promise<Turn> {
    await this.row(principal, turnId)
    return await this.#database.transaction(async (tx) => {
      const turn = await store.lockTurn(tx, turnId)
      if (turn === undefined) throw new AtomError('not_found')
      if (over.includes(turn.status)) throw new AtomError('turn_not_active')
      await store.requestCancel(tx, turnId, principal.id)
      if (turn.status !== 'running') await this.#endNow(tx, turn)
      await store.notifyTurn(tx, turnId)
      return view((await store.lockTurn(tx, turnId)) ?? turn)
    })
  }

  /** Forgets the turns that messages at these places of an ended room asked for. `to`: the place behind the last. */
  async forget(
    tx: Transaction,
    roomId: string,
    places: { readonly from: number; readonly to: number },
  ): Promise<void> {
    await store.deleteTurns(tx, roomId, places)
  }

  async #endNow(tx: Transaction, turn: store.TurnRow): Promise<void> {
    await this.#approvals.close(tx, turn, 'withdrawn')
    const steps = await store.stepsOf(tx, turn.id)
    await store.endTurn(tx, turn.id, { status: 'cancelled', reason: stopped, question: undefined })
    await this.#timeline.append(
      tx,
      endingDrafts(turn, { status: 'cancelled', reason: stopped, text: answerOf(steps) || stopped }),
    )
  }
}

export const stopped = 'Stopped.'

/** What the steps said, one paragraph each. */
export function answerOf(steps: readonly store.StepRow[]): string {
  return steps
    .filter((step) => step.state === 'done' && step.said.text !== '')
    .map((step) => step.said.text)
    .join('\n\n')
}

function view(turn: store.TurnRow): Turn {
  return {
    id: turn.id,
    roomId: turn.roomId,
    agentId: turn.agentId,
    onBehalfOf: turn.onBehalfOf,
    status: turn.status,
    ...(turn.reason !== null && { reason: turn.reason }),
    model: turn.model,
    attempt: turn.attempt,
    createdAt: turn.createdAt.toISOString(),
    endedAt: turn.endedAt?.toISOString() ?? null,
  }
}
