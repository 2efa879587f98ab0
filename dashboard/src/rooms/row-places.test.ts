import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstAfter, rowsPutBefore } from './row-places.ts'

/** `a` is said before `b`. */
const rows = (keys: string) => [...keys].map((key) => ({ key, seq: key.charCodeAt(0) }))

test('older rows are counted, newer ones are not', () => {
  assert.equal(rowsPutBefore(rows('cd'), rows('abcd')), 2)
  assert.equal(rowsPutBefore(rows('cd'), rows('cdef')), 0)
})

test('where the first row merged into an older one, the next one is counted from', () => {
  assert.equal(rowsPutBefore([{ key: 'day', seq: 99 }, ...rows('cd')], rows('abcd')), 1)
})

test('a timeline that was begun anew starts over', () => {
  assert.equal(rowsPutBefore(rows('ab'), rows('xy')), 0)
  assert.equal(rowsPutBefore([], rows('xy')), 0)
})

test('what was on its way is found where it was committed', () => {
  const sent = { key: 'b', seq: Number.POSITIVE_INFINITY }
  assert.equal(rowsPutBefore([sent], rows('ab')), 1)
  assert.equal(rowsPutBefore([...rows('c'), sent], rows('abc')), 2)
})

test('the first row after a place is found, also where several stand at one', () => {
  const some = [...rows('aa'), ...rows('ccd'), { key: 'draft', seq: Number.POSITIVE_INFINITY }]
  const after = (letter: string) => firstAfter(some, letter.charCodeAt(0))
  assert.deepEqual([after('A'), after('a'), after('b'), after('c'), after('d')], [0, 2, 2, 4, 5])
  assert.equal(firstAfter([], 1), 0)
})
