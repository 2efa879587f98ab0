import { KeptLimit } from './kept-limit.ts'
import { type Kept, KeyTable } from './key-table.ts'
import {
  type Allowance,
  type Limit,
  type LimitOptions,
  type RateLimits,
  steadyUs,
  type Verdict,
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

class MemoryLimit extends KeptLimit<Kept> {
  constructor(name: string, allowance: Allowance, options: LimitOptions, nowUs: () => number) {
    const table = new KeyTable<Kept>({
      capacity: options.capacity ?? defaultCapacity,
      make: (key) => ({ key, unusedAt: 0 }),
      wider: options.wider,
      inUse: () => false,
    })
    super(name, allowance, nowUs, table)
  }

  override take(subject: string, cost = 1): Verdict {
    const now = this.nowUs()
    return this.takeHere(this.table.entry(subject, now), now, cost)
  }
}
