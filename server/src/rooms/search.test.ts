import assert from 'node:assert/strict'
import { test } from 'node:test'
import { restAfter } from './search.ts'

test('[RM100] while people talk the search index works a quarter of its time, and no rest is longer than a second', () => {
  assert.equal(restAfter(20, true), 60)
  assert.equal(restAfter(20, false), 0)
  assert.equal(restAfter(10_000, true), 1_000)
})
