import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  badShares,
  budgetLeft,
  fastestBurn,
  leftOverTime,
  promiseText,
  windowText,
} from './objective-words.ts'

test('a budget that is half used is half left, and one that is overdrawn is below nothing', () => {
  assert.equal(budgetLeft({ requests: 1_000, goodShare: 0.95, target: 0.9 })?.toFixed(3), '0.500')
  assert.equal(budgetLeft({ requests: 1_000, goodShare: 0.8, target: 0.9 })?.toFixed(3), '-1.000')
  assert.equal(budgetLeft({ requests: 0, goodShare: null, target: 0.9 }), undefined)
})

test('the burn rate is that of the windows nearest to an alert, which both have to see it', () => {
  const window = { severity: 'page', longMinutes: 60, shortMinutes: 5 } as const
  const burns = [
    { ...window, factor: 14.4, long: 20, short: 7.2 },
    { ...window, factor: 1, long: 0.8, short: 0.9 },
  ]
  assert.equal(fastestBurn({ burns }), 0.8)
  assert.equal(fastestBurn({ burns: [] }), undefined)
})

test('a promise reads as one sentence', () => {
  assert.equal(promiseText({ target: 0.99, kind: 'latency', thresholdMs: 1_000 }), '99 % within 1,000 ms')
  assert.equal(
    promiseText({ target: 0.999, kind: 'availability', thresholdMs: null }),
    '99.9 % without a failure of this server',
  )
})

test('a budget is used up step by step, and what went wrong beyond it is below nothing', () => {
  const kept = { total: [100, 0, 100, 200], bad: [1, 0, 1, 4] }
  assert.deepEqual(badShares(kept), [1, 0, 1, 2])
  // A hundredth of 400 may go wrong.
  assert.deepEqual(
    leftOverTime(kept, 0.99).map((left) => Math.round(left)),
    [75, 75, 50, -50],
  )
  assert.deepEqual(leftOverTime({ total: [], bad: [] }, 0.99), [])
})

test('windows are said as people say them', () => {
  assert.deepEqual([5, 60, 360, 4_320].map(windowText), ['5 minutes', '1 hour', '6 hours', '3 days'])
})
