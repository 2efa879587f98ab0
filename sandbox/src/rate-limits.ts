import type { SandboxClock } from './sandbox-clock.ts'

export interface Standing {
  readonly limit: number
  readonly remaining: number
  /** Seconds since 1970. */
  readonly resetAt: number
  readonly retryAfterSeconds: number
  readonly exceeded: boolean
}

interface Window {
  used: number
  endsAt: number
}

/** How much a provider lets through in one window. */
export interface Allowance {
  readonly requests: number
  readonly seconds: number
}

/** GitHub's: an hour for the API, a minute for search. */
function githubAllowance(resource: 'core' | 'search', signed: boolean): Allowance {
  return resource === 'search'
    ? { requests: 30, seconds: 60 }
    : { requests: signed ? 5000 : 60, seconds: 3600 }
}

/** Fixed windows per caller. In memory. */
export class RateLimits {
  readonly #clock: SandboxClock
  readonly #perWindow = new Map<string, number>()
  readonly #windows = new Map<string, Window>()

  constructor(clock: SandboxClock) {
    this.#clock = clock
  }

  set(provider: string, requests: number): void {
    this.#perWindow.set(provider, requests)
  }

  /** Counts one request. */
  take(provider: string, caller: string, resource: 'core' | 'search', signed: boolean): Standing {
    return this.spend(provider, caller, githubAllowance(resource, signed))
  }

  look(provider: string, caller: string, resource: 'core' | 'search', signed: boolean): Standing {
    const allowance = githubAllowance(resource, signed)
    return this.#standing(provider, this.#window(provider, caller, allowance), allowance)
  }

  /** Counts one request against an allowance of the provider's own. */
  spend(provider: string, caller: string, allowance: Allowance): Standing {
    const window = this.#window(provider, caller, allowance)
    window.used += 1
    return this.#standing(provider, window, allowance)
  }

  clear(): void {
    this.#windows.clear()
    this.#perWindow.clear()
  }

  #window(provider: string, caller: string, { seconds }: Allowance): Window {
    const key = `${provider}:${caller}`
    const now = this.#clock.now().getTime()
    const known = this.#windows.get(key)
    if (known !== undefined && known.endsAt > now) return known
    const opened = { used: 0, endsAt: now + seconds * 1000 }
    this.#windows.set(key, opened)
    return opened
  }

  #standing(provider: string, window: Window, { requests }: Allowance): Standing {
    const limit = this.#perWindow.get(provider) ?? requests
    return {
      limit,
      remaining: Math.max(0, limit - window.used),
      resetAt: Math.ceil(window.endsAt / 1000),
      retryAfterSeconds: Math.max(1, Math.ceil((window.endsAt - this.#clock.now().getTime()) / 1000)),
      exceeded: window.used > limit,
    }
  }
}
