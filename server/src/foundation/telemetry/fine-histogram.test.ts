import assert from 'node:assert/strict'
import { createHistogram } from 'node:perf_hooks'
import { test } from 'node:test'
import { FineHistogram, MergedCounts } from './fine-histogram.ts'

/** The same numbers every time. */
function* pseudoRandom(): Generator<number> {
  for (let state = 42; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state / 2 ** 32
  }
}

function latencies(count: number): number[] {
  const random = pseudoRandom()
  const next = () => random.next().value as number
  // From 10 µs to some seconds, most of them short: as answers are.
  return Array.from({ length: count }, () => 0.01 * Math.exp(next() * next() * 13))
}

test('[MO1] percentiles of a histogram are within one percent of the exact ones, and of HdrHistogram’s', () => {
  const values = latencies(50_000)
  const histogram = new FineHistogram()
  const reference = createHistogram({ lowest: 1, highest: 3_600_000_000, figures: 3 })
  for (const value of values) {
    histogram.record(value)
    reference.record(Math.max(1, Math.round(value * 1_000)))
  }
  const taken = histogram.take()
  assert.ok(taken !== undefined)
  const merged = new MergedCounts().add(taken.counts)
  const sorted = values.toSorted((one, other) => one - other)
  for (const percent of [1, 25, 50, 90, 95, 99, 99.9, 100]) {
    const told = merged.percentile(percent) ?? 0
    const exact = sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? 0
    // Below 128 µs it is exact to the microsecond that it counts in.
    assert.ok(Math.abs(told - exact) <= Math.max(0.0006, exact * 0.01), `p${percent}: ${told} for ${exact}`)
    const hdr = reference.percentile(percent) / 1_000
    assert.ok(
      Math.abs(told - hdr) <= Math.max(0.0011, hdr * 0.01),
      `p${percent}: ${told}, HdrHistogram ${hdr}`,
    )
  }
  assert.equal(taken.count, values.length)
  assert.ok(Math.abs(taken.sum - values.reduce((sum, value) => sum + value, 0)) < 1)
  assert.equal(taken.peak, Math.max(...values))
  assert.equal(histogram.take(), undefined)
})

test('[MO2] counts of several processes and times, added up in whatever order, give the percentiles of all together', () => {
  const values = latencies(12_000)
  const whole = new FineHistogram()
  const parts = Array.from({ length: 7 }, () => new FineHistogram())
  for (const [at, value] of values.entries()) {
    whole.record(value)
    // Uneven on purpose: the slow ones all in one place.
    parts[value > 50 ? 6 : at % 6]?.record(value)
  }
  const all = whole.take()?.counts ?? []
  const pieces = parts.map((part) => part.take()?.counts ?? [])
  const merged = new MergedCounts()
  for (const piece of pieces.toReversed()) merged.add(piece)
  assert.deepEqual(merged.sparse(), all)
  const inTwoSteps = new MergedCounts()
  for (const half of [pieces.slice(0, 3), pieces.slice(3)]) {
    const step = new MergedCounts()
    for (const piece of half) step.add(piece)
    inTwoSteps.add(step.sparse())
  }
  assert.deepEqual(inTwoSteps.sparse(), all)
  assert.equal(merged.above(50), new MergedCounts().add(pieces[6] ?? []).above(50))
})

test('what lies at the edges is counted, not lost', () => {
  const histogram = new FineHistogram()
  for (const value of [-1, 0, 0.0004, 1e9]) histogram.record(value)
  const merged = new MergedCounts().add(histogram.take()?.counts ?? [])
  assert.equal(merged.count, 4)
  assert.equal(merged.percentile(50), 0)
  assert.ok((merged.percentile(100) ?? 0) > 2_000_000)
  assert.equal(new MergedCounts().percentile(50), undefined)
})
