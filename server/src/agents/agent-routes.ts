import { agentRoutes as routes } from '@atom/contract/agents.ts'
import type { Guard } from '#access/guarded-route.ts'
import type { Agents } from './agents.ts'
import type { Approvals } from './approvals.ts'
import type { Turns } from './turns.ts'

export function agentRoutes(
  guard: Guard,
  { agents, approvals, turns }: { agents: Agents; approvals: Approvals; turns: Turns },
): void {
  guard(routes.agents, async ({ principal, query }) => ({
    status: 200,
    body: await agents.list(principal, query),
  }))
  guard(routes.turn, async ({ principal, params }) => ({
    status: 200,
    body: await turns.get(principal, params.id),
  }))
  guard(routes.cancelTurn, async ({ principal, params }) => ({
    status: 200,
    body: await turns.cancel(principal, params.id),
  }))
  guard(routes.decideApproval, async ({ principal, params, body }) => ({
    status: 200,
    body: await approvals.decide(principal, params.id, body),
  }))
}
