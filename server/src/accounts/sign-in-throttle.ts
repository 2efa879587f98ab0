import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint } from '#foundation/ids.ts'

/** `burst` attempts at once, one more every `everyMs`. In any span of t ms at most `burst + t / everyMs` pass. */
export interface Allowance {
  readonly burst: number
  readonly everyMs: number
}

/** An attempt that was counted; `forgive` gives it back when it turned out to be right. */
export interface Attempt {
  forgive(): void
}

/**
 * Slows down guessing: counts attempts before they are tried, so that a hundred at once are a hundred. Each is counted under
 * every key it is given (the account at this address, the address). GCRA: one number per key, the time at which it is
 * unused again. Bounded by refusing to forget: a full table drops keys that are unused, then the one nearest to it, so an
 * attacker who brings many keys cannot wash out the ones that are held back.
 */
export class SignInThrottle {
  readonly #clock: Clock
  readonly #capacity: number
  readonly #unusedAt = new Map<string, number>()

  constructor(options: { clock: Clock; capacity?: number }) {
    this.#clock = options.clock
    this.#capacity = options.capacity ?? 20_000
  }

  /** @throws AtomError `rate_limited` with `retryAfterMs`; then nothing was counted */
  attempt(keys: readonly (readonly [key: string, allowance: Allowance])[]): Attempt {
    const now = this.#clock.now().getTime()
    const counted = keys.map(([key, allowance]) => {
      const hashed = fingerprint(key)
      const unusedAt = Math.max(this.#unusedAt.get(hashed) ?? 0, now) + allowance.everyMs
      const waitMs = unusedAt - now - allowance.burst * allowance.everyMs
      return { hashed, unusedAt, waitMs, everyMs: allowance.everyMs }
    })
    const longest = Math.max(...counted.map(({ waitMs }) => waitMs))
    if (longest > 0)
      throw new AtomError('rate_limited', `Too many attempts. Try again in ${Math.ceil(longest / 1000)} s.`, {
        retryAfterMs: longest,
      })
    for (const { hashed, unusedAt } of counted) {
      if (!this.#unusedAt.has(hashed)) this.#makeRoom(now)
      this.#unusedAt.set(hashed, unusedAt)
    }
    return {
      forgive: () => {
        for (const { hashed, everyMs } of counted) {
          const unusedAt = this.#unusedAt.get(hashed)
          if (unusedAt !== undefined) this.#unusedAt.set(hashed, unusedAt - everyMs)
        }
      },
    }
  }

  #makeRoom(now: number): void {
    if (this.#unusedAt.size < this.#capacity) return
    let nearest: [key: string, unusedAt: number] | undefined
    for (const [key, unusedAt] of this.#unusedAt) {
      if (unusedAt <= now) this.#unusedAt.delete(key)
      else if (nearest === undefined || unusedAt < nearest[1]) nearest = [key, unusedAt]
    }
    if (this.#unusedAt.size >= this.#capacity && nearest !== undefined) this.#unusedAt.delete(nearest[0])
  }
}
