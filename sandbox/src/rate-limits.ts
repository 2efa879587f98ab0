import type { SandboxClock } from './sandbox-clock.ts'

export interface Standing {
  readonly limit: number
  readonly remaining: number
  /** Seconds since 1970. */
  readonly resetAt: number
  readonly exceeded: boolean
}

interface Window {
  used: number
  endsAt: number
}

/** Fixed windows per caller, as GitHub counts: an hour for the API, a minute for search. In memory. */
export class RateLimits {
  readonly #clock: SandboxClock
  readonly #perHour = new Map<string, number>()
  readonly #windows = new Map<string, Window>()

  constructor(clock: SandboxClock) {
    this.#clock = clock
  }

  set(provider: string, perHour: number): void {
    this.#perHour.set(provider, perHour)
  }

  /** Counts one request. */
  take(provider: string, caller: string, resource: 'core' | 'search', signed: boolean): Standing {
    const window = this.#window(provider, caller, resource)
    window.used += 1
    return this.#standing(provider, window, resource, signed)
  }

  look(provider: string, caller: string, resource: 'core' | 'search', signed: boolean): Standing {
    return this.#standing(provider, this.#window(provider, caller, resource), resource, signed)
  }

  clear(): void {
    this.#windows.clear()
    this.#perHour.clear()
  }

  #window(provider: string, caller: string, resource: 'core' | 'search'): Window {
    const key = `${provider}:${caller}`
    const now = this.#clock.now().getTime()
    const known = this.#windows.get(key)
    if (known !== undefined && known.endsAt > now) return known
    const opened = { used: 0, endsAt: now + (resource === 'search' ? 60_000 : 3_600_000) }
    this.#windows.set(key, opened)
    return opened
  }

  #standing(provider: string, window: Window, resource: 'core' | 'search', signed: boolean): Standing {
    const usual = resource === 'search' ? 30 : signed ? 5000 : 60
    const limit = this.#perHour.get(provider) ?? usual
    return {
      limit,
      remaining: Math.max(0, limit - window.used),
      resetAt: Math.ceil(window.endsAt / 1000),
      exceeded: window.used > limit,
    }
  }
}
