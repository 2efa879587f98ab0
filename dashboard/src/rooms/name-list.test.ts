import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nameList } from './name-list.ts'

const people = (count: number) => Array.from({ length: count }, (_, at) => `P${at + 1}`)

test('a few are named, of many the first ones, and the others are counted', () => {
  assert.equal(nameList(people(3)), 'P1, P2, P3')
  assert.equal(nameList(people(13)).endsWith('P12, P13'), true, 'nobody is "one other"')
  assert.equal(nameList(people(200)).endsWith('P11, P12 and 188 others'), true)
  assert.equal(nameList([]), '')
})
