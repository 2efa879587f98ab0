import {
  type History,
  type HistoryMetric,
  historyMetrics,
  historySteps,
  type RouteTraffic,
} from '@atom/contract/monitoring.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { MergedCounts } from '#foundation/telemetry/fine-histogram.ts'
import * as store from './history-store.ts'

export interface HistoryOptions {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** How this process is called. */
  readonly node: string
  /** What happened since it was asked last; asked every ten seconds, by nobody else. */
  readonly read: () => Promise<readonly store.HistoryRow[]>
  /** Requests under way here, by `METHOD route`. */
  readonly inFlight: () => ReadonlyMap<string, number>
  /** How often time is looked at; a test looks by `tick` instead. */
  readonly everyMs?: number
}

const finest = historySteps[0].step
/** A node writes this late at most; what comes later is not in the coarser steps. */
const graceMs = 30_000
/** Intervals that wait for a database that is away. */
const mostWaiting = 60
/** Coarser places made in one transaction. */
const placesAtOnce = 30

/**
 * What is counted, over time, in the database: each process adds a line for each metric every ten seconds, in one statement, and
 * one of them merges these into coarser steps and deletes what has been kept long enough. Nothing else has to be installed to
 * see how yesterday was.
 */
export class MetricHistory implements AsyncDisposable {
  readonly #with: HistoryOptions
  readonly #waiting: { at: Date; rows: readonly store.HistoryRow[] }[] = []
  readonly #timer: NodeJS.Timeout | undefined
  #place: number
  #working: Promise<void> = Promise.resolve()
  #busy = false

  constructor(options: HistoryOptions) {
    this.#with = options
    this.#place = placeOf(options.clock.now())
    if (options.everyMs === 0) return
    this.#timer = setInterval(() => {
      // A database that hangs must not gather a queue of these.
      if (!this.#busy) this.#working = this.tick()
    }, options.everyMs ?? 1_000)
    this.#timer.unref()
  }

  /** Writes what has ended, and merges what is due. Never rejects. */
  async tick(): Promise<void> {
    const place = placeOf(this.#with.clock.now())
    // Backwards, when somebody sets the clock: then the interval goes on under its old name for a while.
    if (place === this.#place) return
    this.#busy = true
    try {
      await this.#record(new Date(this.#place * 1_000))
      this.#place = place
      await this.#flush()
      if (place % 60 === 0 || place % 60 === 30) await this.#merge()
    } catch (error) {
      const passing = error instanceof AtomError && error.row.retryable
      this.#with.log[passing ? 'debug' : 'error']({ err: error }, 'the history could not be written')
    } finally {
      this.#busy = false
    }
  }

  /** The last interval is written as far as it came. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#working
    try {
      await this.#record(new Date(this.#place * 1_000))
      await this.#flush()
    } catch (error) {
      this.#with.log.debug({ err: error }, 'the end of the history could not be written')
    }
  }

  /**
   * @throws AtomError `validation_failed` for a range that is none
   */
  async history(query: {
    readonly metric: HistoryMetric
    readonly label?: string | undefined
    readonly from?: string | undefined
    readonly to?: string | undefined
    readonly step?: number | undefined
  }): Promise<History> {
    const { metric, label } = query
    const to = query.to === undefined ? this.#with.clock.now() : new Date(query.to)
    const from = query.from === undefined ? new Date(to.getTime() - 3_600_000) : new Date(query.from)
    const { step, rows } = await this.rows({ metrics: [metric], label, from, to, step: query.step })
    const { kind, unit } = historyMetrics[metric]
    const value = rows.map(({ count, sum }) =>
      kind === 'count' ? rounded(sum / step) : count === 0 ? 0 : rounded(sum / count),
    )
    const all = kind === 'duration' ? rows.map(({ counts }) => store.percentiles(counts)) : undefined
    return {
      metric,
      label: label ?? null,
      kind,
      unit,
      step,
      at: rows.map(({ at }) => at.getTime()),
      count: rows.map(({ count, sum }) => (kind === 'duration' ? count : kind === 'count' ? sum : 0)),
      value,
      peak: kind === 'count' ? value : rows.map(({ peak }) => rounded(peak)),
      ...(all !== undefined && {
        p50: all.map(({ p50 }) => p50),
        p95: all.map(({ p95 }) => p95),
        p99: all.map(({ p99 }) => p99),
      }),
    }
  }

  /**
   * Everything of these metrics between two times, in steps of about a two-hundredth of it where none is wanted.
   *
   * @throws AtomError `validation_failed` for a range that is none
   */
  async rows(query: {
    readonly metrics: readonly HistoryMetric[]
    readonly label?: string | undefined
    readonly from: Date
    readonly to: Date
    readonly step?: number | undefined
  }): Promise<{ step: number; rows: store.MergedRow[] }> {
    const { metrics, label, from, to } = query
    const seconds = (to.getTime() - from.getTime()) / 1_000
    if (!(seconds > 0)) throw new AtomError('validation_failed', '`from` must lie before `to`.')
    const wanted = query.step ?? coarsest(seconds / 200)
    const base = this.#baseFor(from, wanted)
    const step = Math.max(base, Math.ceil(wanted / base) * base)
    if (seconds / step > 5_000)
      throw new AtomError('validation_failed', 'These are more than 5,000 places. Give a longer `step`.')
    const spans = await this.spans(from, to, base)
    return {
      step,
      rows: await store.merged(this.#with.database, { metrics, label, spans, places: step, byLabel: false }),
    }
  }

  /** Every route over the last minutes, and all of them together. */
  async traffic(
    minutes = 60,
  ): Promise<{ node: string; from: string; to: string; total: RouteTraffic; items: RouteTraffic[] }> {
    const to = this.#with.clock.now()
    const from = new Date(to.getTime() - minutes * 60_000)
    const base = this.#baseFor(from, minutes <= 30 ? finest : coarsest((minutes * 60) / 100))
    const rows = await store.merged(this.#with.database, {
      metrics: [
        'http.duration',
        'http.failed',
        'http.upstream',
        'http.refused',
        'http.received',
        'http.sent',
      ],
      spans: await this.spans(from, to, base),
      // One place for all.
      places: 2_000_000_000,
      byLabel: true,
    })
    const inFlight = this.#with.inFlight()
    const names = new Set([
      ...rows.filter(({ metric }) => metric === 'http.duration').map(({ label }) => label),
      ...inFlight.keys(),
    ])
    const found = new Map(rows.map((row) => [`${row.metric} ${row.label}`, row]))
    const all = new MergedCounts()
    const items = [...names].map((name): RouteTraffic => {
      const durations = found.get(`http.duration ${name}`)
      all.add(durations?.counts ?? [])
      const sum = (metric: HistoryMetric) => found.get(`${metric} ${name}`)?.sum ?? 0
      const space = name.indexOf(' ')
      return told(
        { method: name.slice(0, space), route: name.slice(space + 1) },
        {
          requests: durations?.count ?? 0,
          counts: durations?.counts ?? [],
          slowestMs: durations?.peak,
          failed: sum('http.failed'),
          upstream: sum('http.upstream'),
          refused: sum('http.refused'),
          received: sum('http.received'),
          sent: sum('http.sent'),
          inFlight: inFlight.get(name) ?? 0,
        },
        minutes * 60,
      )
    })
    const add = (read: (item: RouteTraffic) => number) => items.reduce((sum, item) => sum + read(item), 0)
    const total = told(
      { method: '', route: '' },
      {
        requests: add((item) => item.requests),
        counts: all.sparse(),
        slowestMs: items.length === 0 ? undefined : Math.max(...items.map((item) => item.slowestMs ?? 0)),
        failed: add((item) => item.failed),
        upstream: add((item) => item.upstream),
        refused: add((item) => item.refused),
        received: add((item) => item.receivedBytes),
        sent: add((item) => item.sentBytes),
        inFlight: add((item) => item.inFlight),
      },
      minutes * 60,
    )
    items.sort((one, other) => other.requests - one.requests || (one.route < other.route ? -1 : 1))
    return { node: this.#with.node, from: from.toISOString(), to: to.toISOString(), total, items }
  }

  /**
   * Since when this installation has run for so long, or earlier; of more than a year: for a year. Undefined: it has not yet. Told by
   * the hours that were written down, so a clock that is set forward changes nothing: who deletes what is old asks here as well.
   */
  async ranSince(ms: number): Promise<Date | undefined> {
    const { step, keptSeconds } = historySteps[3]
    const places = Math.min(Math.ceil(ms / (step * 1_000)), keptSeconds / step)
    return await store.placeBack(this.#with.database, step, places)
  }

  /** The same time in rows of the coarsest step up to `step` that have been made already, and finer ones for the rest. */
  async spans(from: Date, to: Date, step: number): Promise<store.Span[]> {
    const spans: store.Span[] = []
    let begin = from
    for (const { step: own } of historySteps.toReversed()) {
      if (own > step) continue
      const end = (await store.writtenUpTo(this.#with.database, own, to)) ?? begin
      const upTo = own === finest || end > to ? to : end
      if (upTo <= begin) continue
      spans.push({ step: own, from: begin, to: upTo })
      begin = upTo
    }
    return spans
  }

  async #record(at: Date): Promise<void> {
    const rows = await this.#with.read()
    if (rows.length > 0) this.#waiting.push({ at, rows })
    if (this.#waiting.length > mostWaiting) this.#waiting.shift()
  }

  async #flush(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      await store.write(this.#with.database, { step: finest, at: next.at, node: this.#with.node }, next.rows)
      this.#waiting.shift()
    }
  }

  /** One process does it; the others find it done. */
  async #merge(): Promise<void> {
    const now = this.#with.clock.now().getTime()
    await store.alone(this.#with.database, 'atom metric history', async (tx) => {
      for (const [at, { step }] of historySteps.entries()) {
        const finer = historySteps[at - 1]
        if (finer !== undefined) {
          let from = (await store.writtenUpTo(tx, step, new Date(now))) ?? new Date(0)
          for (let made = 0; made < placesAtOnce; made++) {
            const first = await store.firstFrom(tx, finer.step, from)
            if (first === undefined) break
            const begin = Math.floor(first.getTime() / 1_000 / step) * step * 1_000
            const end = begin + step * 1_000
            // What this is made of must be complete itself.
            if (end + graceMs + (finer.step > finest ? finer.step * 1_000 : 0) > now) break
            const span = { step: finer.step, from: new Date(begin), to: new Date(end) }
            const rows = await store.merged(tx, { spans: [span], places: step, byLabel: true })
            await store.write(tx, { step, at: new Date(begin), node: '' }, rows)
            from = new Date(end)
          }
        }
      }
      for (const [at, { step, keptSeconds }] of historySteps.entries()) {
        const coarser = historySteps[at + 1]
        // After a long absence: nothing goes before it stands in the next step.
        const merged = coarser && ((await store.writtenUpTo(tx, coarser.step, new Date(now))) ?? new Date(0))
        const before = Math.min(now - keptSeconds * 1_000, merged?.getTime() ?? now)
        await store.prune(tx, step, { before: new Date(before), places: keptSeconds / step })
      }
    })
  }

  /** The finest step that is still kept from then on, if nothing coarser is wanted. */
  #baseFor(from: Date, wanted: number): number {
    const age = (this.#with.clock.now().getTime() - from.getTime()) / 1_000
    const kept = historySteps.find(({ keptSeconds }) => keptSeconds >= age - 60)?.step ?? 3_600
    return Math.max(kept, coarsest(wanted))
  }
}

/** The coarsest step that does not exceed so many seconds. */
function coarsest(seconds: number): number {
  return historySteps.findLast(({ step }) => step <= seconds)?.step ?? finest
}

/** Seconds since 1970 at which the interval began. */
function placeOf(at: Date): number {
  return Math.floor(at.getTime() / 1_000 / finest) * finest
}

function told(
  name: { method: string; route: string },
  of: {
    requests: number
    counts: readonly number[]
    slowestMs: number | undefined
    failed: number
    upstream: number
    refused: number
    received: number
    sent: number
    inFlight: number
  },
  seconds: number,
): RouteTraffic {
  const { p50, p95, p99 } = store.percentiles(of.counts)
  return {
    ...name,
    requests: of.requests,
    perSecond: rounded(of.requests / seconds),
    failed: of.failed,
    upstream: of.upstream,
    refused: of.refused,
    failedShare: of.requests === 0 ? 0 : Math.min(1, of.failed / of.requests),
    p50Ms: p50,
    p95Ms: p95,
    p99Ms: p99,
    slowestMs: of.slowestMs === undefined ? null : rounded(of.slowestMs),
    inFlight: of.inFlight,
    receivedBytes: of.received,
    sentBytes: of.sent,
  }
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
