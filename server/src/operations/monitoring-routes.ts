import { monitoringRoutes as routes } from '@atom/contract/monitoring.ts'
import type { Guard } from '#access/guarded-route.ts'
import type { Alerts } from './alerts.ts'
import type { MetricHistory } from './metric-history.ts'
import type { Objectives } from './objectives.ts'

export function monitoringDoors(
  guard: Guard,
  { history, objectives, alerts }: { history: MetricHistory; objectives: Objectives; alerts: Alerts },
): void {
  guard(routes.traffic, async ({ query }) => ({ status: 200, body: await history.traffic(query.minutes) }))
  guard(routes.history, async ({ query }) => ({ status: 200, body: await history.history(query) }))
  guard(routes.objectives, async () => ({ status: 200, body: { items: await objectives.list() } }))
  guard(routes.objectiveHistory, async ({ params, query }) => ({
    status: 200,
    body: await objectives.history(params.id, query.hours),
  }))
  guard(routes.changeObjective, async ({ principal, params, body }) => ({
    status: 200,
    body: await objectives.change(principal, params.id, body),
  }))
  guard(routes.alerts, async ({ query }) => ({ status: 200, body: await alerts.list(query) }))
  guard(routes.alertTargets, async () => ({ status: 200, body: await alerts.targets() }))
  guard(routes.changeAlertTargets, async ({ principal, body }) => ({
    status: 200,
    body: await alerts.setTargets(principal, body),
  }))
  guard(routes.testAlertTargets, async ({ principal }) => {
    await alerts.test(principal)
    return { status: 202, body: null }
  })
}
