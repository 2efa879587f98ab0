import type { Kept, KeyTable } from './key-table.ts'
import {
  type Allowance,
  type Limit,
  type Standing,
  settled,
  taken,
  type Verdict,
  verdictOf,
} from './rate-limit.ts'

/** What is the same wherever it is counted: the subjects that this process knows of, and what each of them has used here. */
export abstract class KeptLimit<E extends Kept> implements Limit {
  readonly name: string
  #allowance: Allowance
  admitted = 0
  refused = 0
  /** µs, whole, never running backwards. */
  protected readonly nowUs: () => number
  protected readonly table: KeyTable<E>

  protected constructor(name: string, allowance: Allowance, nowUs: () => number, table: KeyTable<E>) {
    this.name = name
    this.#allowance = allowance
    this.nowUs = nowUs
    this.table = table
  }

  get allowance(): Allowance {
    return this.#allowance
  }

  change(allowance: Allowance): void {
    this.#allowance = allowance
  }

  abstract take(subject: string, cost?: number): Verdict | Promise<Verdict>

  charge(subject: string, cost: number): void {
    this.move(subject, cost)
  }

  giveBack(subject: string, cost = 1): void {
    this.move(subject, -cost)
  }

  busiest(count: number): Standing[] {
    const { burst, everyUs } = this.#allowance
    return this.table.busiest(count, this.nowUs(), burst * everyUs, everyUs)
  }

  /** By what this process knows, and nobody else is asked. */
  protected takeHere(entry: E, now: number, cost: number): Verdict {
    const next = taken(this.#allowance, entry.unusedAt, now, cost)
    if (next === undefined) {
      const { burst, everyUs } = this.#allowance
      entry.unusedAt = settled(entry.unusedAt, now, burst * everyUs)
      return this.refuse(entry, now, cost)
    }
    entry.unusedAt = next
    return this.admit(entry, now, cost)
  }

  protected admit(entry: E, now: number, cost: number): Verdict {
    this.admitted += cost
    return verdictOf(this.#allowance, entry.unusedAt, now, cost, true)
  }

  protected refuse(entry: E, now: number, cost: number): Verdict {
    this.refused++
    return verdictOf(this.#allowance, entry.unusedAt, now, cost, false)
  }

  /** Takes `points` afterwards, or gives them back where negative. */
  protected move(subject: string, points: number): E {
    const { burst, everyUs } = this.#allowance
    const now = this.nowUs()
    const full = burst * everyUs
    const entry = this.table.entry(subject, now)
    entry.unusedAt = settled(settled(entry.unusedAt, now, full) + points * everyUs, now, full)
    return entry
  }
}
