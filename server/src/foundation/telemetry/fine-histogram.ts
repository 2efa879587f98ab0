/** Counts by place, told as `place, count, place, count …`, ascending: what is stored and sent of a histogram. */
export type SparseCounts = readonly number[]

const subBits = 6
const sub = 1 << subBits
/** Whole units that fit: 2^31 - 1, which of microseconds are 35 minutes. Longer ones count as that. */
const most = 0x7fff_ffff
const places = (31 - subBits + 1) * sub

/** Where a whole number is counted: exact below 128, above in 64 steps for each doubling, as HdrHistogram counts. */
function placeOf(whole: number): number {
  const power = 31 - Math.clz32(whole)
  return power < subBits
    ? whole
    : ((power - subBits + 1) << subBits) + ((whole >>> (power - subBits)) & (sub - 1))
}

/** The number in the middle of a place: at most 0.8 % from every number counted there. */
function middleOf(place: number): number {
  const power = (place >>> subBits) + subBits - 1
  if (place < sub * 2) return place
  const width = 2 ** (power - subBits)
  return (sub + (place & (sub - 1))) * width + (width - 1) / 2
}

/**
 * A histogram with the places of HdrHistogram (two significant figures) whose counts can be read, stored and added: those of
 * several processes and times together give the percentiles of all of them, which averages of percentiles never do. The
 * platform's own (`perf_hooks.createHistogram`) counts alike but gives its counts to nobody. Recording costs some
 * nanoseconds; 7 KiB from the first record on.
 */
export class FineHistogram {
  readonly #unit: number
  #counts: Uint32Array | undefined
  #count = 0
  #sum = 0
  #peak = 0

  /** @param unit smallest difference that is told apart: 0.001 where milliseconds are recorded and microseconds meant */
  constructor(unit = 0.001) {
    this.#unit = unit
  }

  /** Recorded since the last `take`. */
  get count(): number {
    return this.#count
  }

  /** Nothing below zero; what is longer than 35 minutes counts as that long. */
  record(value: number): void {
    this.#counts ??= new Uint32Array(places)
    const whole = Math.min(most, Math.max(0, Math.round(value / this.#unit)))
    const place = placeOf(whole)
    this.#counts[place] = (this.#counts[place] ?? 0) + 1
    this.#count++
    this.#sum += value
    if (value > this.#peak) this.#peak = value
  }

  /** What was recorded since the last time, or undefined for nothing; it begins anew. */
  take(): { count: number; sum: number; peak: number; counts: SparseCounts } | undefined {
    const counts = this.#counts
    if (this.#count === 0 || counts === undefined) return undefined
    const sparse: number[] = []
    for (let place = 0; place < places; place++) {
      const count = counts[place] ?? 0
      if (count > 0) sparse.push(place, count)
    }
    counts.fill(0)
    const taken = { count: this.#count, sum: this.#sum, peak: this.#peak, counts: sparse }
    this.#count = 0
    this.#sum = 0
    this.#peak = 0
    return taken
  }
}

/** Histograms of one unit, added up. */
export class MergedCounts {
  readonly #unit: number
  readonly #counts = new Map<number, number>()
  #count = 0

  constructor(unit = 0.001) {
    this.#unit = unit
  }

  get count(): number {
    return this.#count
  }

  add(counts: SparseCounts): this {
    for (let at = 0; at + 1 < counts.length; at += 2) {
      const place = counts[at] ?? 0
      const count = counts[at + 1] ?? 0
      this.#counts.set(place, (this.#counts.get(place) ?? 0) + count)
      this.#count += count
    }
    return this
  }

  /** @returns the value that `percent` of all do not exceed, within 0.8 %; undefined where nothing was counted */
  percentile(percent: number): number | undefined {
    if (this.#count === 0) return undefined
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.#count))
    let passed = 0
    let found = 0
    for (const place of this.#ascending()) {
      passed += this.#counts.get(place) ?? 0
      found = place
      if (passed >= wanted) break
    }
    return middleOf(found) * this.#unit
  }

  /** How many were above `value`, as far as places tell them apart. */
  above(value: number): number {
    return countAbove(this.sparse(), value, this.#unit)
  }

  sparse(): SparseCounts {
    return this.#ascending().flatMap((place) => [place, this.#counts.get(place) ?? 0])
  }

  #ascending(): number[] {
    return [...this.#counts.keys()].sort((one, other) => one - other)
  }
}

/** How many of a stored histogram were above `value`, as far as places tell them apart. */
export function countAbove(counts: SparseCounts, value: number, unit = 0.001): number {
  const last = placeOf(Math.min(most, Math.max(0, Math.round(value / unit))))
  let above = 0
  for (let at = 0; at + 1 < counts.length; at += 2) if ((counts[at] ?? 0) > last) above += counts[at + 1] ?? 0
  return above
}
