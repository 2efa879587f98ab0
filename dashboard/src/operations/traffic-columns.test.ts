import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alignedTo, perSecond } from './traffic-columns.ts'

test('what failed stands at the step in which it was asked, and steps without are 0', () => {
  assert.deepEqual(perSecond({ count: [20, 0, 5], step: 10 }), [2, 0, 0.5])
  assert.deepEqual(alignedTo([10, 20, 30], { at: [20, 40], value: [0.5, 9] }), [0, 0.5, 0])
})
