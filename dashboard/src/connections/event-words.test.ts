import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventWords } from './event-words.ts'

test('the same again and again is one line with its number', () => {
  assert.equal(eventWords({ kind: 'refreshed', times: 1 }).words, 'Renewed')
  assert.equal(eventWords({ kind: 'refreshed', times: 1200 }).words, 'Renewed 1,200 times')
})
