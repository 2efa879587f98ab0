import type { HealthStatus } from '@atom/contract/health.ts'
import type { Metrics } from '#foundation/telemetry/metrics.ts'
import type { Health } from '#http/health.ts'

const values: Readonly<Record<HealthStatus, number>> = { up: 1, degraded: 0.5, down: 0 }

/** What is known of the parts anyway: nothing is looked at because somebody scrapes. */
export function registerHealthMetrics(metrics: Metrics, health: Pick<Health, 'components'>): void {
  metrics.gauge({
    name: 'atom_component_status',
    help: 'How each part is: 1 up, 0.5 degraded, 0 down',
    labels: ['component'],
    read: () =>
      Object.entries({ ...health.components('component'), ...health.components('system') }).map(
        ([component, { status }]) => [{ component }, values[status]] as const,
      ),
  })
  metrics.gauge({
    name: 'atom_backup_age_seconds',
    help: 'Since what PostgreSQL archived last; absent where it keeps no archive',
    labels: ['kind'],
    read: () => {
      const ageMs = health.components()['backups']?.figures?.['ageMs']
      return ageMs === undefined ? [] : [[{ kind: 'archive' }, ageMs / 1_000] as const]
    },
  })
}
