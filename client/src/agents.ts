import { type Agent, agentRoutes, type Turn } from '@atom/contract/agents.ts'
import type { Session } from './session.ts'

export interface Decision {
  readonly decision: 'approve' | 'deny'
  /** Corrected values of editable fields, by name. */
  readonly edits?: Record<string, string>
  readonly reason?: string
}

export class Agents {
  readonly #session: Session

  constructor(parts: { session: Session }) {
    this.#session = parts.session
  }

  async list(): Promise<readonly Agent[]> {
    const page = await this.#session.call(agentRoutes.agents, { query: { limit: 200 } })
    return page.items
  }

  turn(id: string): Promise<Turn> {
    return this.#session.call(agentRoutes.turn, { params: { id } })
  }

  /** Stops a turn; what was done stays done. @throws turn_not_active */
  cancelTurn(id: string): Promise<Turn> {
    return this.#session.call(agentRoutes.cancelTurn, { params: { id } })
  }

  /** The first decision counts. @throws approval_not_open, approval_expired, forbidden */
  async decide(approvalId: string, decision: Decision): Promise<'approved' | 'denied'> {
    const answer = await this.#session.call(agentRoutes.decideApproval, {
      params: { id: approvalId },
      body: decision,
    })
    return answer.decision
  }
}
