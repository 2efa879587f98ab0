import type { HealthComponent } from '@atom/contract/health.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Log } from '#foundation/log.ts'
import type { Alerts, Raised } from './alerts.ts'

/** So long a component has to be down, or not well at all, more than it is well, before that is an alert. */
const patience = { downMs: 60_000, unwellMs: 10 * 60_000 }
/** An alert is renewed this often, and over when no process has done so for `believedMs`. */
const renewMs = 30_000
const believedMs = 2 * 60_000
/** What lies further apart than this between two looks was not watched. */
const longestStepMs = 15_000

/** Processes go on without these, if less well: nobody has to come at night. */
const doneWithout: ReadonlySet<string> = new Set(['cache'])

interface HealthAlertsOptions {
  readonly node: string
  /** All parts by name; none while the process starts or ends, when nothing can be said of them. */
  readonly parts: () => Readonly<Record<string, HealthComponent>>
  readonly alerts: Pick<Alerts, 'raise'>
  readonly clock: Clock
  readonly log: Log
  /** How often parts are looked at; 0: only by `look`. */
  readonly everyMs?: number
}

interface Watched {
  /** How much more it has been down than not, and unwell than well; from 0 to the patience. */
  downMs: number
  unwellMs: number
  /** Without a break, until now. */
  wellMs: number
  severity: Raised['severity'] | undefined
  raisedAt: number
}

/**
 * Alerts for parts that stay unwell. Time in which a part is unwell is counted up and time in which it is well is counted down, so
 * what goes away quickly is never told, and what is down more than half of the time is, once. Every process tells what it finds of
 * itself, under one name for all: one trouble is one alert, and it is over when none finds it any more.
 */
export class HealthAlerts implements AsyncDisposable {
  readonly #with: HealthAlertsOptions
  readonly #timer: NodeJS.Timeout | undefined
  readonly #watched = new Map<string, Watched>()
  #lookedAt: number | undefined
  #looking: Promise<void> | undefined

  constructor(options: HealthAlertsOptions) {
    this.#with = options
    if (options.everyMs === 0) return
    this.#timer = setInterval(() => void this.look(), options.everyMs ?? 5_000)
    this.#timer.unref()
  }

  /** Counts what has passed since the last look, and raises or renews. Never rejects; one at a time. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }

  async #look(): Promise<void> {
    const now = this.#with.clock.now().getTime()
    const step = Math.min(longestStepMs, Math.max(0, now - (this.#lookedAt ?? now)))
    this.#lookedAt = now
    const parts = Object.entries(this.#with.parts())
    // Without the database much else is unwell, and one alert says why.
    const missing = parts.filter(([, { required, status }]) => required && status === 'down')
    for (const [name, part] of missing.length > 0 ? missing : parts) {
      const watched = this.#counted(name, part, step)
      if (watched.severity === undefined || part.status === 'up' || now - watched.raisedAt < renewMs) continue
      watched.raisedAt = now
      await this.#raise(name, part, watched.severity)
    }
  }

  #counted(name: string, { status }: HealthComponent, step: number): Watched {
    const watched = this.#watched.get(name) ?? unwatched()
    this.#watched.set(name, watched)
    watched.downMs = counted(watched.downMs, status === 'down' ? step : -step, patience.downMs)
    watched.unwellMs = counted(watched.unwellMs, status === 'up' ? -step : step, patience.unwellMs)
    watched.wellMs = status === 'up' ? watched.wellMs + step : 0
    if (watched.wellMs >= believedMs) return Object.assign(watched, unwatched())
    const { severity } = watched
    if (watched.downMs === patience.downMs) watched.severity = doneWithout.has(name) ? 'ticket' : 'page'
    else if (watched.unwellMs === patience.unwellMs) watched.severity ??= 'ticket'
    // It is there again, and still not well.
    if (watched.downMs === 0 && severity === 'page') watched.severity = 'ticket'
    if (severity !== watched.severity) watched.raisedAt = Number.NEGATIVE_INFINITY
    return watched
  }

  async #raise(name: string, part: HealthComponent, severity: Raised['severity']): Promise<void> {
    const { node, alerts, log } = this.#with
    const word = name.replaceAll('_', ' ')
    const isDown = severity === 'page' || part.status === 'down'
    const why = part.detail ?? part.lastError?.detail ?? ''
    try {
      await alerts.raise({
        ...{ kind: 'component', subject: name, severity, forMs: believedMs },
        title: `${word.charAt(0).toUpperCase()}${word.slice(1)} ${isDown ? 'is down' : 'is not well'}`,
        why: `${why === '' ? '' : `${why} `}It has been so for more than ${isDown ? 'a minute' : 'ten minutes'}, as ${node} sees it.`,
        lookAt: 'Operations, Overview: its row says since when and what failed last.',
      })
    } catch (error) {
      log.error({ err: error, component: name }, 'an alert about a component could not be raised')
    }
  }
}

function unwatched(): Watched {
  return { downMs: 0, unwellMs: 0, wellMs: 0, severity: undefined, raisedAt: Number.NEGATIVE_INFINITY }
}

function counted(before: number, step: number, most: number): number {
  return Math.min(most, Math.max(0, before + step))
}
