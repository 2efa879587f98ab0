import { limitRoutes as routes } from '@atom/contract/limits.ts'
import type { Guard } from '#access/guarded-route.ts'
import type { HttpServer } from '#http/server.ts'
import type { Limits } from './limits.ts'

export function limitDoors(
  guard: Guard,
  { limits, http, node }: { limits: Limits; http: HttpServer; node: string },
): void {
  guard(routes.limits, async () => ({
    status: 200,
    body: {
      node,
      together: http.edge?.limits.shared ?? false,
      policies: limits.states(),
      load: limits.load(),
      connections: {
        open: http.connections.open.size,
        refused: http.connections.refused,
        tooSlow: http.slowReaders.ended,
      },
    },
  }))

  guard(routes.limitedCallers, async ({ query }) => ({
    status: 200,
    body: { node, ...limits.callers(query.limit) },
  }))

  guard(routes.changeLimit, async ({ principal, params, body }) => ({
    status: 200,
    body: await limits.change(principal, params.policy, body),
  }))

  guard(routes.resetLimit, async ({ principal, params }) => ({
    status: 200,
    body: await limits.reset(principal, params.policy),
  }))

  guard(routes.callerRules, async ({ query }) => ({ status: 200, body: await limits.rules(query) }))

  guard(routes.addCallerRule, async ({ principal, body, ip }) => ({
    status: 201,
    body: await limits.addRule(principal, body, ip),
  }))

  guard(routes.removeCallerRule, async ({ principal, params }) => {
    await limits.removeRule(principal, params.id)
    return { status: 204, body: null }
  })
}
