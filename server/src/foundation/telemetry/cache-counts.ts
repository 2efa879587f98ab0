import type { Metrics } from './metrics.ts'

/** What is counted of one cache: how often something was there, how often not, how much is. */
export class CacheCounts {
  hits = 0
  misses = 0
  readonly entries: () => number

  constructor(entries: () => number) {
    this.entries = entries
  }
}

/** @param caches by name; read when somebody scrapes */
export function registerCacheMetrics(metrics: Metrics, caches: Readonly<Record<string, CacheCounts>>): void {
  const each = (read: (counts: CacheCounts) => number) => () =>
    Object.entries(caches).map(([cache, counts]) => [{ cache }, read(counts)] as const)
  metrics.counter({
    name: 'atom_cache_hits_total',
    help: 'What was looked for in a cache of this process and found, by cache',
    labels: ['cache'],
    read: each(({ hits }) => hits),
  })
  metrics.counter({
    name: 'atom_cache_misses_total',
    help: 'What was looked for in a cache of this process and not found, by cache',
    labels: ['cache'],
    read: each(({ misses }) => misses),
  })
  metrics.gauge({
    name: 'atom_cache_entries',
    help: 'What a cache of this process holds, by cache',
    labels: ['cache'],
    read: each(({ entries }) => entries()),
  })
}
