import type { HealthComponent, HealthStatus } from '@atom/contract/health.ts'
import { type Clock, systemClock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'

export interface Finding {
  readonly status: HealthStatus
  /** Plain words for an operator; names no secret. */
  readonly detail?: string
  /** Readings by name; the name ends with the unit. */
  readonly figures?: Readonly<Record<string, number>>
}

/** One thing that can be well or not. It is `down` when it throws or does not answer in time. */
export interface HealthCheck {
  readonly name: string
  /** Without it the server can do nothing for anybody: `/ready` then says no. */
  readonly required: boolean
  /** What belongs to the machine and not to Atom is told apart. */
  readonly group?: 'component' | 'system'
  /** How often it is looked at, and how long a look may take. */
  readonly everyMs?: number
  readonly timeoutMs?: number
  check(): Promise<Finding | undefined>
}

export interface HealthOptions {
  readonly log: Log
  readonly checks: readonly HealthCheck[]
  readonly clock?: Clock
  /** For checks that name no other. */
  readonly everyMs?: number
  readonly timeoutMs?: number
}

/** So many looks in a row must agree before a status gets worse, and before it gets better. */
export const hysteresis = { worse: 3, better: 2 }

const rank: Readonly<Record<HealthStatus, number>> = { up: 0, degraded: 1, down: 2 }

/**
 * How the parts of the process are. Each is looked at in the background, one look at a time, so whoever asks is answered at once
 * from what is known, whatever hangs. The first look counts as it is; after that a status changes only when several looks in a row
 * say so: what flaps stays what it was.
 */
export class Health implements Disposable {
  readonly #watches: readonly Watch[]
  #started: Promise<void> | undefined

  constructor(options: HealthOptions) {
    this.#watches = options.checks.map((check) => new Watch(check, options))
  }

  /** Looks at everything once, and from then on in the background. Resolves after the first looks. */
  start(): Promise<void> {
    this.#started ??= Promise.all(this.#watches.map((watch) => watch.start())).then(() => undefined)
    return this.#started
  }

  /** `down` where something required is down; `degraded` where anything else is not up. */
  get overall(): HealthStatus {
    if (this.#watches.some(({ check, status }) => check.required && status === 'down')) return 'down'
    return this.#watches.every(({ status }) => status === 'up') ? 'up' : 'degraded'
  }

  components(group: 'component' | 'system' = 'component'): Record<string, HealthComponent> {
    const ofGroup = this.#watches.filter(({ check }) => (check.group ?? 'component') === group)
    return Object.fromEntries(ofGroup.map((watch) => [watch.check.name, watch.told]))
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]()
  }
}

class Watch implements Disposable {
  readonly check: HealthCheck
  readonly #log: Log
  readonly #clock: Clock
  readonly #everyMs: number
  readonly #timeoutMs: number
  /** Until the first look is over nothing is known, which is no reason to take traffic. */
  status: HealthStatus = 'down'
  #detail: string | undefined = 'Not looked at yet.'
  #figures: Finding['figures']
  #since: Date
  #checkedAt: Date
  #latencyMs = 0
  #lastError: { readonly detail: string; readonly at: string } | undefined
  /** Looks in a row that say something else than `status`. */
  #otherwise = 0
  #known = false
  /** A look that was given up and may still be under way: no second one is begun beside it. */
  #underWay: Promise<Finding> | undefined
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(check: HealthCheck, options: HealthOptions) {
    this.check = check
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
    this.#everyMs = check.everyMs ?? options.everyMs ?? 2_000
    this.#timeoutMs = check.timeoutMs ?? options.timeoutMs ?? 1_000
    this.#since = this.#clock.now()
    this.#checkedAt = this.#since
  }

  get told(): HealthComponent {
    return {
      status: this.status,
      ...(this.#detail !== undefined && { detail: this.#detail }),
      required: this.check.required,
      since: this.#since.toISOString(),
      checkedAt: this.#checkedAt.toISOString(),
      latencyMs: Math.round(this.#latencyMs * 10) / 10,
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
      ...(this.#figures !== undefined && { figures: { ...this.#figures } }),
    }
  }

  async start(): Promise<void> {
    await this.#look()
    this.#again()
  }

  [Symbol.dispose](): void {
    this.#ended = true
    clearTimeout(this.#timer)
  }

  #again(): void {
    if (this.#ended) return
    // A change is confirmed, or forgotten, sooner than the next ordinary look.
    const pauseMs = this.#otherwise > 0 ? this.#everyMs / 4 : this.#everyMs
    this.#timer = setTimeout(() => void this.#look().then(() => this.#again()), pauseMs)
    this.#timer.unref()
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const began = performance.now()
    const finding = await this.#inTime()
    this.#latencyMs = performance.now() - began
    this.#checkedAt = this.#clock.now()
    if (finding.figures !== undefined) this.#figures = finding.figures
    if (finding.status !== 'up') {
      this.#lastError = {
        detail: finding.detail ?? finding.status,
        at: this.#checkedAt.toISOString(),
      }
    }
    this.#weigh(finding)
  }

  #weigh(finding: Finding): void {
    const { status } = this
    if (finding.status === status) {
      this.#otherwise = 0
      this.#detail = finding.detail
      return
    }
    this.#otherwise++
    const needed = rank[finding.status] > rank[status] ? hysteresis.worse : hysteresis.better
    if (this.#known && this.#otherwise < needed) return
    if (this.#known || finding.status !== 'up') {
      this.#log[finding.status === 'up' ? 'info' : 'warn'](
        {
          component: this.check.name,
          status: finding.status,
          ...(finding.detail !== undefined && { detail: finding.detail }),
        },
        'health changed',
      )
    }
    this.#known = true
    this.#otherwise = 0
    this.status = finding.status
    this.#detail = finding.detail
    this.#since = this.#checkedAt
  }

  async #inTime(): Promise<Finding> {
    this.#underWay ??= this.#ask().finally(() => {
      this.#underWay = undefined
    })
    const late = Promise.withResolvers<Finding>()
    const timer = setTimeout(
      () => late.resolve({ status: 'down', detail: `No answer within ${this.#timeoutMs} ms.` }),
      this.#timeoutMs,
    )
    timer.unref()
    try {
      return await Promise.race([this.#underWay, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #ask(): Promise<Finding> {
    try {
      return (await this.check.check()) ?? { status: 'up' }
    } catch (thrown) {
      this.#log.debug({ err: thrown, component: this.check.name }, 'health check failed')
      return {
        status: 'down',
        detail: thrown instanceof AtomError ? whatIsWrong(thrown) : 'The check failed; see the log.',
      }
    }
  }
}

/** What callers are told to do about it is nothing that an operator can do. */
function whatIsWrong({ detail, row }: AtomError): string {
  return detail === row.remedy ? `${row.title}.` : detail
}
