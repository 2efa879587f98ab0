import { type ErrorCode, errorTable } from '@atom/contract/errors.ts'
import type { HistoryMetric } from '@atom/contract/monitoring.ts'
import type { Log } from '#foundation/log.ts'
import type { FineHistogram, SparseCounts } from '#foundation/telemetry/fine-histogram.ts'
import { MergedCounts } from '#foundation/telemetry/fine-histogram.ts'
import type { RuntimeSample } from '#foundation/telemetry/runtime-readings.ts'
import type { RouteTraffic } from '#http/route-traffic.ts'
import type { HistoryRow } from './history-store.ts'

// What the history reads. Rooms, turns and providers stand on floors of their own, so app.ts hands these in.

export interface HistorySources {
  readonly routes: RouteTraffic
  readonly runtime: { sample(): RuntimeSample }
  readonly database: {
    readonly traffic: { readonly fine: FineHistogram; readonly failed: number }
    readonly load: { readonly inUse: number; readonly waiting: number }
  }
  readonly providers: () => Iterable<
    readonly [provider: string, counts: { readonly fine: FineHistogram; readonly failed: number }]
  >
  readonly publishing: {
    readonly fine: FineHistogram
    readonly committed: number
    readonly verdicts: Iterable<readonly [name: string, count: number]>
  }
  readonly sockets: () => number
  readonly turns: () => Promise<{ waiting: number; running: number; latenessMs: number }>
  readonly log: Log
}

/** Reads everything once; each call tells what happened since the one before. */
export function historyReader(sources: HistorySources): () => Promise<HistoryRow[]> {
  const before = new Map<string, number>()
  return async () => {
    const rows: HistoryRow[] = []
    const row = (metric: HistoryMetric, label: string, of: Partial<HistoryRow>) =>
      void rows.push({ metric, label, count: 0, sum: 0, peak: 0, counts: [], ...of })
    const duration = (metric: HistoryMetric, label: string, taken: ReturnType<FineHistogram['take']>) => {
      if (taken !== undefined) row(metric, label, taken)
    }
    const count = (metric: HistoryMetric, label: string, total: number) => {
      const grown = grownBy(before, `${metric} ${label}`, total)
      if (grown > 0) row(metric, label, { sum: grown, peak: grown })
    }
    const level = (metric: HistoryMetric, value: number | undefined) => {
      if (value !== undefined) row(metric, '', { count: 1, sum: value, peak: value })
    }

    const classes = new Map<string, { merged: MergedCounts; sum: number; peak: number; failed: number }>()
    let inFlight = 0
    for (const counts of sources.routes.counts()) {
      const label = `${counts.method} ${counts.route}`
      inFlight += counts.inFlight
      const taken = counts.fine.take()
      duration('http.duration', label, taken)
      count('http.failed', label, counts.failed)
      count('http.upstream', label, counts.upstream)
      count('http.refused', label, counts.refused)
      count('http.received', label, counts.requestSizes.sum)
      count('http.sent', label, counts.responseSizes.sum)
      const of = classes.get(counts.class) ?? { merged: new MergedCounts(), sum: 0, peak: 0, failed: 0 }
      classes.set(counts.class, of)
      of.failed += counts.failed
      if (taken === undefined) continue
      of.merged.add(taken.counts)
      of.sum += taken.sum
      of.peak = Math.max(of.peak, taken.peak)
    }
    for (const [label, { merged, failed, ...of }] of classes) {
      if (merged.count > 0)
        row('class.duration', label, { ...of, count: merged.count, counts: merged.sparse() })
      count('class.failed', label, failed)
    }
    level('http.in_flight', inFlight)

    const { publishing } = sources
    let refused = 0
    for (const [verdict, total] of publishing.verdicts) if (isFailure(verdict)) refused += total
    // Those that failed took no time that anybody would plan with, but they were requests.
    const failures = grownBy(before, 'messages', refused)
    const said = publishing.fine.take()
    if (said !== undefined || failures > 0) row('class.duration', 'messages', withFailures(said, failures))
    if (failures > 0) row('class.failed', 'messages', { sum: failures, peak: failures })
    count('rooms.events', '', publishing.committed)

    const { database } = sources
    duration('database.duration', '', database.traffic.fine.take())
    count('database.failed', '', database.traffic.failed)
    level('database.in_use', database.load.inUse)
    level('database.waiting', database.load.waiting)
    for (const [provider, counts] of sources.providers()) {
      duration('provider.duration', provider, counts.fine.take())
      count('provider.failed', provider, counts.failed)
    }
    const runtime = sources.runtime.sample()
    level('process.cpu', runtime.cpu)
    level('process.memory', runtime.residentBytes)
    level('process.heap', runtime.heapBytes)
    level('process.loop_delay', runtime.loopDelayMs)
    level('process.loop_utilization', runtime.loopUtilization)
    level('process.collecting', runtime.collecting)
    level('process.descriptors', runtime.descriptors)
    level('sockets.open', sources.sockets())
    // What was taken above is told in any case: it cannot be taken twice.
    try {
      const turns = await sources.turns()
      level('turns.waiting', turns.waiting)
      level('turns.running', turns.running)
      level('turns.lateness', turns.latenessMs)
    } catch (error) {
      sources.log.debug({ err: error }, 'turns could not be looked at for the history')
    }
    return rows
  }
}

function grownBy(before: Map<string, number>, name: string, total: number): number {
  const grown = total - (before.get(name) ?? 0)
  before.set(name, total)
  return grown
}

function withFailures(
  said: { count: number; sum: number; peak: number; counts: SparseCounts } | undefined,
  failures: number,
): { count: number; sum: number; peak: number; counts: SparseCounts } {
  const { count, ...of } = said ?? { count: 0, sum: 0, peak: 0, counts: [] }
  return { ...of, count: count + failures }
}

function isFailure(verdict: string): boolean {
  if (!(verdict in errorTable)) return false
  const { category } = errorTable[verdict as ErrorCode]
  return category === 'internal' || category === 'capacity'
}
