import type { StatusWord } from '@atom/contract/health.ts'
import type { Health } from './health.ts'
import type { Phase } from './server.ts'

/** Who asks seldom is believed to go on asking for at least so long. */
const leastWatchedMs = 10_000
/** A balancer that has left this many of its own intervals out has stopped asking. */
const intervalsMissed = 3

/** Whether this process may take traffic, and whether anybody routes by that: starting → up or degraded → draining. */
export class Readiness {
  readonly #phase: () => Phase
  readonly #health: Pick<Health, 'overall'>
  #askedAt = Number.NEGATIVE_INFINITY
  #askedBefore = Number.NEGATIVE_INFINITY

  constructor(options: { readonly phase: () => Phase; readonly health: Pick<Health, 'overall'> }) {
    this.#phase = options.phase
    this.#health = options.health
  }

  get word(): StatusWord {
    const phase = this.#phase()
    return phase === 'ready' ? this.#health.overall : phase
  }

  /** May it take traffic? Degraded is not down. */
  static says(word: StatusWord): word is 'up' | 'degraded' {
    return word === 'up' || word === 'degraded'
  }

  /** Somebody was told yes. */
  asked(at = performance.now()): void {
    this.#askedBefore = this.#askedAt
    this.#askedAt = at
  }

  /**
   * Somebody keeps asking, and will look away when told no. Once is nobody: a script that waits for the start asks until it is told
   * yes, and never again.
   */
  get watched(): boolean {
    const interval = this.#askedAt - this.#askedBefore
    const patience = Math.max(leastWatchedMs, intervalsMissed * interval)
    return Number.isFinite(interval) && performance.now() - this.#askedAt <= patience
  }
}
