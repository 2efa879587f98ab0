import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dayTitle, durationText, relativeTime } from './clock-text.ts'

const now = new Date(2026, 10, 23, 14, 0, 0)
const before = (seconds: number) => new Date(now.getTime() - seconds * 1000)

test('times are said by their distance, later ones as a date', () => {
  assert.equal(relativeTime(before(5), now), 'just now')
  assert.equal(relativeTime(before(5 * 60), now), '5 min ago')
  assert.equal(relativeTime(before(-23.5 * 3600), now), 'in 23 h')
  assert.equal(relativeTime(before(86_400), now), '1 day ago')
  assert.equal(relativeTime(before(20 * 86_400), now), '3 Nov')
  assert.equal(relativeTime(before(400 * 86_400), now), '19 Oct 2025')
})

test('a day is named by its distance in days, not in hours', () => {
  assert.equal(dayTitle(before(13.9 * 3600), now), 'Today')
  assert.equal(dayTitle(before(14.1 * 3600), now), 'Yesterday')
  assert.equal(dayTitle(before(3 * 86_400), now), 'Friday')
  assert.equal(dayTitle(before(30 * 86_400), now), '24 October')
})

test('durations carry the unit that fits', () => {
  assert.equal(durationText(38), '38 ms')
  assert.equal(durationText(1234), '1.2 s')
  assert.equal(durationText(250_000), '4 min 10 s')
})
