/** Counts by bounds that only grow: what Prometheus reads as a histogram. */
export class Buckets {
  readonly bounds: readonly number[]
  /** At or under the bound of the same place and above the one before; one more place for the rest. */
  readonly counts: Float64Array
  sum = 0

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  record(value: number): void {
    const { bounds } = this
    let place = 0
    while (place < bounds.length && value > (bounds[place] ?? 0)) place++
    this.counts[place] = (this.counts[place] ?? 0) + 1
    this.sum += value
  }
}
