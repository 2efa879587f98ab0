import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LiveHistory } from '@atom/contract/operations.ts'
import { joined } from './live-history.ts'

function history(from: number, count: number, node = 'one'): LiveHistory {
  const numbers = Array.from({ length: count }, (_, index) => from + index)
  return {
    node,
    at: numbers.map((number) => number * 1_000),
    sockets: numbers,
    published: numbers,
    acknowledgedP50Ms: numbers.map(() => null),
    acknowledgedP99Ms: numbers.map(() => null),
    handshakes: numbers,
    returned: numbers,
    resumes: numbers,
    behind: numbers,
  }
}

test('[UI80] the history on the page grows by what is new, holds a quarter of an hour, and begins anew with another process', () => {
  assert.deepEqual(joined(undefined, history(1, 3)), history(1, 3))
  assert.deepEqual(joined(history(1, 3), history(4, 2)), history(1, 5))
  assert.deepEqual(joined(history(1, 3), history(2, 4)), history(1, 5), 'what is held is not doubled')
  assert.deepEqual(joined(history(1, 3), history(1, 3)), history(1, 3))
  assert.deepEqual(joined(history(1, 900), history(901, 100)), history(101, 900))
  assert.deepEqual(joined(history(1, 900), history(5_000, 2)), history(5_000, 2), 'after a long sleep')
  assert.deepEqual(joined(history(1, 3), history(7, 2, 'two')), history(7, 2, 'two'))
})
