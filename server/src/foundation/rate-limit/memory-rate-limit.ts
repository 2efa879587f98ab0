import { type Kept, KeyTable } from './key-table.ts'
import {
  type Allowance,
  type Limit,
  type LimitOptions,
  type RateLimits,
  type Standing,
  settled,
  steadyUs,
  taken,
  type Verdict,
  verdictOf,
} from './rate-limit.ts'

export const defaultCapacity = 20_000

/** Limits of one process: each counts for itself. */
export class MemoryRateLimits implements RateLimits {
  readonly shared = false
  readonly #nowUs: () => number

  /** `nowUs`: µs, whole, never running backwards. */
  constructor({ nowUs = steadyUs }: { readonly nowUs?: () => number } = {}) {
    this.#nowUs = nowUs
  }

  limit(name: string, allowance: Allowance, options: LimitOptions = {}): Limit {
    return new MemoryLimit(name, allowance, options, this.#nowUs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is open.
  }
}

class MemoryLimit implements Limit {
  readonly name: string
  #allowance: Allowance
  admitted = 0
  refused = 0
  readonly #nowUs: () => number
  readonly #table: KeyTable<Kept>

  constructor(name: string, allowance: Allowance, options: LimitOptions, nowUs: () => number) {
    this.name = name
    this.#allowance = allowance
    this.#nowUs = nowUs
    this.#table = new KeyTable<Kept>({
      capacity: options.capacity ?? defaultCapacity,
      make: (key) => ({ key, unusedAt: 0 }),
      wider: options.wider,
      inUse: () => false,
    })
  }

  get allowance(): Allowance {
    return this.#allowance
  }

  change(allowance: Allowance): void {
    this.#allowance = allowance
  }

  take(subject: string, cost = 1): Verdict {
    const now = this.#nowUs()
    const entry = this.#table.entry(subject, now)
    const next = taken(this.#allowance, entry.unusedAt, now, cost)
    if (next === undefined) {
      this.refused++
      const { burst, everyUs } = this.#allowance
      entry.unusedAt = settled(entry.unusedAt, now, burst * everyUs)
      return verdictOf(this.#allowance, entry.unusedAt, now, cost, false)
    }
    this.admitted += cost
    entry.unusedAt = next
    return verdictOf(this.#allowance, next, now, cost, true)
  }

  charge(subject: string, cost: number): void {
    this.#move(subject, cost)
  }

  giveBack(subject: string, cost = 1): void {
    this.#move(subject, -cost)
  }

  busiest(count: number): Standing[] {
    const { burst, everyUs } = this.#allowance
    return this.#table.busiest(count, this.#nowUs(), burst * everyUs, everyUs)
  }

  #move(subject: string, points: number): void {
    const { burst, everyUs } = this.#allowance
    const now = this.#nowUs()
    const full = burst * everyUs
    const entry = this.#table.entry(subject, now)
    entry.unusedAt = settled(settled(entry.unusedAt, now, full) + points * everyUs, now, full)
  }
}
