import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventWords } from './event-words.ts'

test('[CN73] one of several credentials is named', () => {
  assert.equal(eventWords({ kind: 'lost', times: 1, slot: 'user' }).words, 'Access lost · token “user”')
})

test('the same again and again is one line with its number', () => {
  assert.equal(eventWords({ kind: 'refreshed', times: 1 }).words, 'Renewed')
  assert.equal(eventWords({ kind: 'refreshed', times: 1200 }).words, 'Renewed 1,200 times')
})
