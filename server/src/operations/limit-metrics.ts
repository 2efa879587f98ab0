import { limitPolicyNames } from '@atom/contract/limits.ts'
import type { Metrics } from '#foundation/telemetry/metrics.ts'
import type { Edge } from '#http/edge.ts'
import type { HttpServer } from '#http/server.ts'

export function registerLimitMetrics(metrics: Metrics, http: HttpServer, edge: Edge): void {
  const { limits, shedding } = edge
  const byPolicy = (count: (policy: (typeof limitPolicyNames)[number]) => number) =>
    limitPolicyNames.map((policy) => [{ policy }, count(policy)] as const)

  metrics.counter({
    name: 'atom_rate_limit_points_total',
    help: 'Points given, by limit',
    labels: ['policy'],
    read: () => byPolicy((policy) => limits.of(policy).admitted),
  })
  metrics.counter({
    name: 'atom_rate_limit_refused_total',
    help: 'Requests refused, by limit',
    labels: ['policy'],
    read: () => byPolicy((policy) => limits.of(policy).refused),
  })
  metrics.gauge({
    name: 'atom_rate_limit_together',
    help: '1 while processes count together, in Redis or as workers of one machine; 0 while each counts for itself',
    read: () => (limits.shared ? 1 : 0),
  })
  metrics.gauge({
    name: 'atom_load_utilisation_ratio',
    help: 'How busy the event loop was in the last tenth of a second',
    read: () => shedding.utilisation,
  })
  metrics.gauge({
    name: 'atom_load_admitting_ratio',
    help: 'The part of what comes that is let in; 1 unless the process is overloaded',
    read: () => shedding.admitting,
  })
  metrics.counter({
    name: 'atom_load_shed_total',
    help: 'Requests, handshakes and frames turned away under load, by priority',
    labels: ['priority'],
    read: () => Object.entries(shedding.shed).map(([priority, count]) => [{ priority }, count] as const),
  })
  metrics.gauge({
    name: 'atom_http_connections_open',
    help: 'TCP connections, WebSockets among them',
    read: () => http.connections.open.size,
  })
  metrics.counter({
    name: 'atom_http_connections_refused_total',
    help: 'Connections closed at once: too many from there or in all',
    read: () => http.connections.refused,
  })
  metrics.counter({
    name: 'atom_http_connections_too_slow_total',
    help: 'Connections ended because they did not read what was sent',
    read: () => http.slowReaders.ended,
  })
}
