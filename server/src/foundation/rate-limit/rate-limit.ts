/**
 * What somebody may do: `burst` points at once after a quiet time, and one point more each `everyUs` µs. In any span of t µs at
 * most `burst + t / everyUs` points pass (GCRA, ITU-T I.371). Both are whole numbers.
 */
export interface Allowance {
  readonly burst: number
  readonly everyUs: number
}

/** What a limit says to somebody who asks for points. */
export interface Verdict {
  readonly admitted: boolean
  /** Whole points that are left, as far as this process knows. */
  readonly remaining: number
  /** How long to wait before the same request is worth another try; 0 where it was admitted. */
  readonly waitUs: number
  /** Until everything is there again, if nothing is asked for meanwhile. */
  readonly wholeInUs: number
}

/** Somebody who has used up part of what they may. */
export interface Standing {
  readonly subject: string
  /** 0: nothing used, 1: nothing left. */
  readonly used: number
  /** Nothing is left for them now. */
  readonly heldBack: boolean
}

/** One rule for many subjects: an address, an account. Subjects share nothing with each other, limits nothing among them. */
export interface Limit {
  readonly name: string
  readonly allowance: Allowance
  /** Points asked for that were given, and requests that were refused, since the start. */
  readonly admitted: number
  readonly refused: number
  /** Holds from now on; what was used stays used. */
  change(allowance: Allowance): void
  /**
   * Takes `cost` points, or nothing and says when to come back. More than `burst` is taken for `burst`. Answers at once where
   * this process knows enough.
   */
  take(subject: string, cost?: number): Verdict | Promise<Verdict>
  /** Takes afterwards, for something that turned out to cost more; as much as is left, at most. */
  charge(subject: string, cost: number): void
  /** Gives back what was taken for something that turned out to be free. */
  giveBack(subject: string, cost?: number): void
  /** Those who have used most, most used first. */
  busiest(count: number): Standing[]
}

export interface LimitOptions {
  /** Subjects kept apart at once; 20,000 where absent. */
  readonly capacity?: number
  /**
   * The larger thing a subject is part of, such as the network of an address. Where more subjects come than are kept apart,
   * those that come too late share one bucket with their neighbours.
   */
  readonly wider?: (subject: string) => string
}

/** Where limits keep what was used. */
export interface RateLimits extends AsyncDisposable {
  limit(name: string, allowance: Allowance, options?: LimitOptions): Limit
  /** Nodes count together. False: each counts for itself. */
  readonly shared: boolean
}

const originMs = performance.timeOrigin

/** Microseconds that never run backwards. Whole, and exact in a number for the next two centuries. */
export function steadyUs(): number {
  return Math.floor((originMs + performance.now()) * 1_000)
}

/** `perSecond` may be a fraction: 0.5 is one point each two seconds. */
export function allowanceOf(burst: number, perSecond: number): Allowance {
  return { burst, everyUs: Math.max(1, Math.round(1_000_000 / perSecond)) }
}

/**
 * The whole of GCRA: one time per subject, at which nothing of its burst is used any more. Taking moves it on; a subject is
 * held back while it lies further ahead than the burst is long.
 *
 * @param unusedAt that time; any time in the past says the same
 * @returns the time after `cost` points are taken, or undefined where they are not there
 */
export function taken(
  { burst, everyUs }: Allowance,
  unusedAt: number,
  now: number,
  cost: number,
): number | undefined {
  const full = burst * everyUs
  const next = settled(unusedAt, now, full) + Math.min(cost, burst) * everyUs
  return next <= now + full ? next : undefined
}

/** A limit that was made tighter, or a clock that was set back, holds nobody longer than the burst is long. */
export function settled(unusedAt: number, now: number, full: number): number {
  return Math.min(Math.max(unusedAt, now), now + full)
}

export function verdictOf(
  { burst, everyUs }: Allowance,
  unusedAt: number,
  now: number,
  cost: number,
  admitted: boolean,
): Verdict {
  const full = burst * everyUs
  const used = settled(unusedAt, now, full) - now
  return {
    admitted,
    remaining: Math.floor((full - used) / everyUs),
    waitUs: admitted ? 0 : Math.max(1, used + Math.min(cost, burst) * everyUs - full),
    wholeInUs: used,
  }
}
