import { createHash } from 'node:crypto'
import { KeptLimit } from './kept-limit.ts'
import { type Kept, KeyTable } from './key-table.ts'
import { defaultCapacity } from './memory-rate-limit.ts'
import { type Allowance, type LimitOptions, settled, type Verdict, verdictOf } from './rate-limit.ts'

/** Requests judged in one round trip. */
const mostTogether = 256
/** Part of the burst, and of what a second brings, that a process may take ahead for a subject that is busy. */
const aheadShare = 20
const aheadUs = 1_000_000

/** Who counts for several processes. */
export interface Counter {
  /** It answers; otherwise each process counts for itself. */
  readonly shared: boolean
  /**
   * @param args `everyUs`, `burst`, what the asking process knows to be used (µs), points it would like to have ahead, then the cost of
   *   each request
   * @returns the points given ahead, what is used now (µs), and 1 or 0 for each request; undefined where nobody answers in time
   */
  take(key: string, args: readonly number[]): Promise<number[] | undefined>
  /**
   * Told and not waited for; what is not heard, the process that tells it remembers.
   *
   * @param args `everyUs`, `burst`, points: taken where positive, given back where negative
   */
  move(key: string, args: readonly number[]): void
}

interface Asked {
  readonly cost: number
  readonly answer: (verdict: Verdict) => void
}

interface Known extends Kept {
  /** Points in hand run out by then if they are not used, µs. */
  handEndsAt: number
  /** Until then there is nothing for who costs at least so much. */
  refusedUntil: number
  refusedCost: number
  /** What held when it was refused; under anything else it is asked again. */
  refusedUnder: Allowance | undefined
  askedAt: number
  readonly waiting: Asked[]
  flying: boolean
}

/**
 * Exact over all processes, although most requests ask nobody. A process may take points ahead for a busy subject that has more
 * than half of its burst left. Where all count they are used at once. In the hand of the process they melt as quickly as new ones grow
 * there (both 1 per `everyUs`, and the process begins to count before), so what is left there and what all hands hold
 * together never exceeds the burst, and grows no quicker than it may: in any span of t at most `burst + t / everyUs` pass on all
 * processes together. What melts unused is lost to the subject, never more than half of its burst; nearer to its limit each request
 * asks, and nothing is lost. Who is refused is refused here until the time that was named.
 */
export class CountedLimit extends KeptLimit<Known> {
  readonly #counter: Counter

  constructor(
    name: string,
    allowance: Allowance,
    options: LimitOptions,
    { counter, nowUs }: { counter: Counter; nowUs: () => number },
  ) {
    const table = new KeyTable<Known>({
      capacity: options.capacity ?? defaultCapacity,
      make: (key) => ({
        key,
        unusedAt: 0,
        handEndsAt: 0,
        refusedUntil: 0,
        refusedCost: 0,
        refusedUnder: undefined,
        askedAt: Number.NEGATIVE_INFINITY,
        waiting: [],
        flying: false,
      }),
      wider: options.wider,
      inUse: (entry, now) => entry.flying || entry.handEndsAt > now,
    })
    super(name, allowance, nowUs, table)
    this.#counter = counter
  }

  override take(subject: string, asked = 1): Verdict | Promise<Verdict> {
    const now = this.nowUs()
    const cost = Math.min(asked, this.allowance.burst)
    const entry = this.table.entry(subject, now)
    if (!this.#counter.shared) return this.takeHere(entry, now, cost)
    if (entry.waiting.length === 0) {
      const price = cost * this.allowance.everyUs
      if (entry.handEndsAt - now >= price) {
        entry.handEndsAt -= price
        return this.admit(entry, now, cost)
      }
      const stillHolds = entry.refusedUnder === this.allowance
      if (stillHolds && now < entry.refusedUntil && cost >= entry.refusedCost)
        return this.refuse(entry, now, cost)
    }
    return new Promise((answer) => {
      entry.waiting.push({ cost, answer })
      if (!entry.flying) void this.#ask(entry)
    })
  }

  protected override admit(entry: Known, now: number, cost: number): Verdict {
    this.admitted += cost
    // What is in hand counts as used, and is not.
    const inHand = Math.max(0, entry.handEndsAt - now)
    return verdictOf(this.allowance, entry.unusedAt - inHand, now, cost, true)
  }

  protected override move(subject: string, points: number): Known {
    const entry = super.move(subject, points)
    if (points < 0) entry.refusedUntil = 0
    const { burst, everyUs } = this.allowance
    this.#counter.move(this.#keyOf(entry), [everyUs, burst, points])
    return entry
  }

  /** One round trip at a time for a subject; who comes meanwhile is in the next. */
  async #ask(entry: Known): Promise<void> {
    entry.flying = true
    while (entry.waiting.length > 0) {
      const asked = entry.waiting.splice(0, mostTogether)
      const allowance = this.allowance
      const { burst, everyUs } = allowance
      const sentAt = this.nowUs()
      const busy = sentAt - entry.askedAt < aheadUs
      entry.askedAt = sentAt
      const ahead = busy ? Math.min(Math.floor(burst / aheadShare), Math.floor(aheadUs / everyUs)) : 0
      const knownUs = Math.max(0, entry.unusedAt - sentAt)
      const costs = asked.map(({ cost }) => cost)
      const answer = this.#counter.shared
        ? await this.#counter.take(this.#keyOf(entry), [everyUs, burst, knownUs, ahead, ...costs])
        : undefined
      const now = this.nowUs()
      if (answer === undefined) {
        for (const { cost, answer: tell } of asked) tell(this.takeHere(entry, now, cost))
        continue
      }
      const [inHand = 0, usedUs = 0, ...admitted] = answer
      if (inHand > 0) entry.handEndsAt = Math.max(entry.handEndsAt, sentAt) + inHand * everyUs
      entry.unusedAt = settled(sentAt + usedUs, now, burst * everyUs)
      entry.refusedUntil = 0
      for (const [at, { cost, answer: tell }] of asked.entries()) {
        if (admitted[at] === 1) {
          tell(this.admit(entry, now, cost))
          continue
        }
        // It was judged after the question was sent: until then, counted from there, the answer cannot be another.
        const until = sentAt + usedUs + cost * everyUs - burst * everyUs
        if (entry.refusedUntil === 0 || cost < entry.refusedCost) {
          entry.refusedUntil = until
          entry.refusedCost = cost
          entry.refusedUnder = allowance
        }
        tell(this.refuse(entry, now, cost))
      }
    }
    entry.flying = false
  }

  /** Nobody who looks into Redis, or into the process that counts, finds addresses of people there. */
  #keyOf(entry: Known): string {
    return `${this.name}:${createHash('sha256').update(entry.key).digest('base64url').slice(0, 22)}`
  }
}
