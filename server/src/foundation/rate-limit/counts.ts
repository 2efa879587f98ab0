import { settled, steadyUs } from './rate-limit.ts'

/** Who has used nothing any more is forgotten this often. */
const forgetEveryUs = 60_000_000

/**
 * What the processes of one machine count together, in the one that started them: the scripts of `RedisRateLimits`, by one clock
 * again. It holds a time for each subject of whom something is used; processes bound how many those are.
 */
export class Counts {
  readonly #nowUs: () => number
  readonly #unusedAt = new Map<string, number>()
  #sweptAt: number

  constructor({ nowUs = steadyUs }: { readonly nowUs?: () => number } = {}) {
    this.#nowUs = nowUs
    this.#sweptAt = nowUs()
  }

  /** See `Counter.take`. */
  take(key: string, args: readonly number[]): number[] {
    const [everyUs = 1, burst = 1, knownUs = 0, wish = 0, ...costs] = args
    const now = this.#now()
    const full = burst * everyUs
    let unusedAt = settled(Math.max(this.#unusedAt.get(key) ?? 0, now + knownUs), now, full)
    let refused = false
    const admitted = costs.map((cost) => {
      const next = unusedAt + Math.min(cost, burst) * everyUs
      if (next > now + full) {
        refused = true
        return 0
      }
      unusedAt = next
      return 1
    })
    const room = Math.floor((now + full / 2 - unusedAt) / everyUs)
    const ahead = refused ? 0 : Math.max(0, Math.min(room, wish))
    unusedAt += ahead * everyUs
    this.#keep(key, unusedAt, now)
    return [ahead, unusedAt - now, ...admitted]
  }

  /** See `Counter.move`. */
  move(key: string, [everyUs = 1, burst = 1, points = 0]: readonly number[]): void {
    const now = this.#now()
    const used = Math.max(this.#unusedAt.get(key) ?? 0, now) + points * everyUs
    this.#keep(key, settled(used, now, burst * everyUs), now)
  }

  #now(): number {
    const now = this.#nowUs()
    if (now - this.#sweptAt >= forgetEveryUs) {
      this.#sweptAt = now
      for (const [key, unusedAt] of this.#unusedAt) if (unusedAt <= now) this.#unusedAt.delete(key)
    }
    return now
  }

  #keep(key: string, unusedAt: number, now: number): void {
    if (unusedAt > now) this.#unusedAt.set(key, unusedAt)
    else this.#unusedAt.delete(key)
  }
}
