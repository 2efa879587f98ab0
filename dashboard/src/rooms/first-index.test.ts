import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rowsPutBefore } from './first-index.ts'

const rows = (keys: string) => [...keys].map((key) => ({ key }))

test('older rows are counted, newer ones are not', () => {
  assert.equal(rowsPutBefore(rows('cd'), rows('abcd')), 2)
  assert.equal(rowsPutBefore(rows('cd'), rows('cdef')), 0)
})

test('where the first row merged into an older one, the next one is counted from', () => {
  assert.equal(rowsPutBefore(rows('xcd'), rows('abcd')), 1)
})

test('a timeline that was begun anew starts over', () => {
  assert.equal(rowsPutBefore(rows('ab'), rows('xy')), 0)
  assert.equal(rowsPutBefore([], rows('xy')), 0)
})
