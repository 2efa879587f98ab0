import type { Objective, ObjectiveHistory } from '@atom/contract/monitoring.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { countAbove } from '#foundation/telemetry/fine-histogram.ts'
import type { Alerts } from './alerts.ts'
import { type Burning, BurnRate, burnRules } from './burn-rate.ts'
import * as history from './history-store.ts'
import type { MetricHistory } from './metric-history.ts'
import * as store from './objective-store.ts'

const minuteMs = 60_000
/** A minute is judged when every node has had the time to write its last ten seconds. */
const graceMs = 20_000
/** An alert is renewed with every minute that is judged. */
const believedMs = 10 * minuteMs
const windowMs = Math.max(...burnRules.map(({ longMinutes }) => longMinutes)) * minuteMs

interface Watched {
  readonly row: store.ObjectiveRow
  readonly rate: BurnRate
  burning: readonly Burning[]
}

/**
 * Holds the server to what it is meant to be. Once a minute one process reads what all have written and judges how fast the
 * budgets of the objectives burn; the others keep theirs ready and say nothing.
 */
export class Objectives implements AsyncDisposable {
  readonly #database: Database
  readonly #history: Pick<MetricHistory, 'spans' | 'rows' | 'ranSince'>
  readonly #alerts: Alerts
  readonly #clock: Clock
  readonly #log: Log
  readonly #timer: NodeJS.Timeout | undefined
  readonly #watched = new Map<string, Watched>()
  /** The beginning of the last minute that was judged. */
  #judged: number | undefined
  #working: Promise<void> = Promise.resolve()
  #busy = false

  constructor(options: {
    database: Database
    history: Pick<MetricHistory, 'spans' | 'rows' | 'ranSince'>
    alerts: Alerts
    clock: Clock
    log: Log
    /** How often time is looked at; 0: only by `tick`. */
    everyMs?: number
  }) {
    this.#database = options.database
    this.#history = options.history
    this.#alerts = options.alerts
    this.#clock = options.clock
    this.#log = options.log
    if (options.everyMs === 0) return
    this.#timer = setInterval(() => {
      if (!this.#busy) this.#working = this.tick()
    }, options.everyMs ?? 5_000)
    this.#timer.unref()
  }

  /** Judges the minutes that have ended since the last time. Never rejects. */
  async tick(): Promise<void> {
    const last = Math.floor((this.#clock.now().getTime() - graceMs) / minuteMs) * minuteMs - minuteMs
    // The clock was set back: what was judged lies in a time that is still to come.
    if (this.#judged !== undefined && last < this.#judged - minuteMs) this.#judged = undefined
    if (this.#judged !== undefined && last <= this.#judged) return
    this.#busy = true
    try {
      await this.#judgeUpTo(last)
    } catch (error) {
      const passing = error instanceof AtomError && error.row.retryable
      this.#log[passing ? 'debug' : 'error']({ err: error }, 'objectives could not be judged')
    } finally {
      this.#busy = false
    }
  }

  async list(): Promise<Objective[]> {
    return (await store.all(this.#database)).map((row) => this.#told(row))
  }

  /** @throws AtomError `not_found` */
  async history(id: string, hours = 72): Promise<ObjectiveHistory> {
    const row = await this.#row(id)
    const to = this.#clock.now()
    const from = new Date(to.getTime() - hours * 3_600_000)
    const { step, rows } = await this.#history.rows({
      ...{ metrics: ['class.duration', 'class.failed'], label: row.class, from, to },
    })
    const failed = new Map(
      rows.filter(({ metric }) => metric === 'class.failed').map(({ at, sum }) => [at.getTime(), sum]),
    )
    const asked = rows.filter(({ metric }) => metric === 'class.duration')
    return {
      step,
      at: asked.map(({ at }) => at.getTime()),
      total: asked.map(({ count }) => count),
      bad: asked.map((each) => badOf(row, each, failed.get(each.at.getTime()))),
    }
  }

  /** @throws AtomError `not_found` · `validation_failed` */
  async change(
    principal: AccountPrincipal,
    id: string,
    change: {
      readonly target?: number | undefined
      readonly thresholdMs?: number | undefined
      readonly leastBad?: number | undefined
      readonly enabled?: boolean | undefined
    },
  ): Promise<Objective> {
    const before = await this.#row(id)
    if (change.thresholdMs !== undefined && before.kind !== 'latency')
      throw new AtomError('validation_failed', undefined, {
        problems: [{ pointer: '/thresholdMs', detail: 'Only an objective of latency has one.' }],
      })
    const row = {
      ...before,
      target: change.target ?? before.target,
      thresholdMs: change.thresholdMs ?? before.thresholdMs,
      leastBad: change.leastBad ?? before.leastBad,
      enabled: change.enabled ?? before.enabled,
    }
    await store.update(this.#database, row, principal.id)
    this.#log.info(
      { operatorId: principal.id, objective: nameOf(row), ...change },
      'an objective was changed',
    )
    if (!row.enabled) await this.#alerts.resolve('objective', nameOf(row), 'The objective was switched off.')
    return this.#told(row)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#working
  }

  async #row(id: string): Promise<store.ObjectiveRow> {
    const row = (await store.all(this.#database)).find((each) => each.id === id.toLowerCase())
    if (row === undefined) throw new AtomError('not_found', 'There is no such objective.')
    return row
  }

  async #judgeUpTo(last: number): Promise<void> {
    await this.#renew()
    const from = Math.max(this.#judged ?? 0, last - windowMs)
    await this.#load(new Date(from), new Date(last + minuteMs))
    // After an hour without a database only what is now is judged: nobody has to be called for what is over.
    const first =
      this.#judged === undefined || last - this.#judged > 10 * minuteMs ? last : this.#judged + minuteMs
    for (const watched of this.#watched.values())
      for (let minute = first; minute <= last; minute += minuteMs)
        watched.burning = watched.rate.evaluate(new Date(minute))
    const judged = await history.alone(this.#database, 'atom objectives', async () => {
      for (const watched of this.#watched.values()) await this.#announce(watched)
    })
    if (judged && last % (24 * 60 * minuteMs) === 0) {
      await this.#alerts.prune((ms) => this.#history.ranSince(ms))
    }
    this.#judged = last
  }

  /** Takes what an operator changed, here or at another process; what changed is judged anew from the whole history. */
  async #renew(): Promise<void> {
    const rows = (await store.all(this.#database)).filter(({ enabled }) => enabled)
    const wanted = new Map(rows.map((row) => [row.id, row]))
    for (const id of this.#watched.keys()) if (!wanted.has(id)) this.#watched.delete(id)
    for (const row of rows) {
      const known = this.#watched.get(row.id)
      if (known !== undefined && sameJudgement(known.row, row)) continue
      const rate = new BurnRate(row)
      const firing = await this.#alerts.firing('objective', nameOf(row))
      if (firing !== undefined) rate.resume(firing.severity)
      this.#watched.set(row.id, { row, rate, burning: [] })
      this.#judged = undefined
    }
  }

  async #load(from: Date, to: Date): Promise<void> {
    // Ten-minute rows tell of old days; their errors then lie in the first minute of ten, which no window of hours notices.
    const spans = await this.#history.spans(from, to, 600)
    const rows = await history.merged(this.#database, {
      metrics: ['class.duration', 'class.failed'],
      spans,
      places: 60,
      byLabel: true,
    })
    const failed = new Map(
      rows
        .filter(({ metric }) => metric === 'class.failed')
        .map(({ label, at, sum }) => [`${label} ${at.getTime()}`, sum]),
    )
    for (const each of rows) {
      const { metric, label, at, count } = each
      if (metric !== 'class.duration') continue
      for (const { row, rate } of this.#watched.values())
        if (row.class === label) rate.put(at, count, badOf(row, each, failed.get(`${label} ${at.getTime()}`)))
    }
  }

  async #announce({ row, burning }: Watched): Promise<void> {
    const subject = nameOf(row)
    const firing = burning.filter((one) => one.firing)
    const worst = firing.find(({ rule }) => rule.severity === 'page') ?? firing[0]
    if (worst === undefined) {
      await this.#alerts.resolve('objective', subject, 'It has been within its budget for five minutes.')
      return
    }
    const { rule, long } = worst
    // Calm for a moment, or since a start: what it was raised with still says why.
    if (long < rule.factor) return await this.#alerts.renew('objective', subject, believedMs)
    const promised = `${percent(row.target)} of ${subjects[row.class]} ${
      row.kind === 'latency'
        ? `are answered within ${row.thresholdMs} ms`
        : 'are answered without a failure of the server'
    }`
    const bad = percent(long * (1 - row.target))
    await this.#alerts.raise({
      kind: 'objective',
      subject,
      severity: rule.severity,
      title: `${capital(subjects[row.class])} ${row.kind === 'latency' ? 'are slow' : 'fail'}`,
      why: `In the last ${span(rule.longMinutes)} ${bad} did not hold to it: ${promised}. At ${long.toFixed(1)} times the rate that thirty days allow, the budget of thirty days lasts ${lasts(long)}.`,
      forMs: believedMs,
      lookAt: `Operations, Traffic: the routes of class ${row.class} with the ${row.kind === 'latency' ? 'highest p99' : 'most failures'}; then Overview.`,
    })
  }

  #told(row: store.ObjectiveRow): Objective {
    const watched = this.#watched.get(row.id)
    const standing =
      watched === undefined || this.#judged === undefined
        ? undefined
        : watched.rate.standing(new Date(this.#judged))
    const firing = watched?.burning.filter((one) => one.firing).map(({ rule }) => rule.severity) ?? []
    return {
      id: row.id,
      class: row.class,
      kind: row.kind,
      target: row.target,
      thresholdMs: row.thresholdMs,
      leastBad: row.leastBad,
      enabled: row.enabled,
      requests: standing?.total ?? null,
      goodShare: standing === undefined || standing.total === 0 ? null : 1 - standing.bad / standing.total,
      burns: (watched?.burning ?? []).map(({ rule, long, short }) => ({ ...rule, long, short })),
      firing: firing.includes('page') ? 'page' : (firing[0] ?? null),
    }
  }
}

/** How many of these requests did not hold to it. */
function badOf(
  row: store.ObjectiveRow,
  { count, counts }: Pick<history.MergedRow, 'count' | 'counts'>,
  failed = 0,
): number {
  return Math.min(count, row.kind === 'latency' ? countAbove(counts, row.thresholdMs ?? 0) : failed)
}

const subjects: Readonly<Record<store.ObjectiveRow['class'], string>> = {
  api: 'requests',
  sign_in: 'sign-ins',
  messages: 'messages',
  proxy: 'requests to providers',
}

function sameJudgement(one: store.ObjectiveRow, other: store.ObjectiveRow): boolean {
  return (
    one.target === other.target && one.thresholdMs === other.thresholdMs && one.leastBad === other.leastBad
  )
}

function nameOf(row: store.ObjectiveRow): string {
  return `${row.class} ${row.kind}`
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}

function percent(part: number): string {
  return `${Number((part * 100).toPrecision(3))} %`
}

function span(minutes: number): string {
  if (minutes < 120) return minutes === 60 ? 'hour' : `${minutes} minutes`
  return minutes < 2 * 24 * 60 ? `${minutes / 60} hours` : `${minutes / 60 / 24} days`
}

function lasts(burn: number): string {
  const hours = (30 * 24) / burn
  return hours < 48 ? `${Math.max(1, Math.round(hours))} hours` : `${Math.round(hours / 24)} days`
}
