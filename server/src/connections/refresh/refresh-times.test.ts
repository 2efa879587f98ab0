import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '#foundation/ids.ts'
import { github } from '#providers/catalog/github.ts'
import { google } from '#providers/catalog/google.ts'
import { earlyRefreshAt, keepAliveAt } from './refresh-times.ts'

const at = new Date('2026-11-23T12:00:00Z')
const later = (seconds: number) => new Date(at.getTime() + seconds * 1000)
const day = 24 * 3600

/** In how many of ten equal parts of a span something falls, and how many of it at most in one. */
function spread(times: readonly number[], from: number, to: number): { parts: number; most: number } {
  const counts = Array.from({ length: 10 }, () => 0)
  for (const time of times) {
    assert.ok(time >= from && time <= to, `${time} is not between ${from} and ${to}`)
    const part = Math.min(9, Math.floor(((time - from) / (to - from)) * 10))
    counts[part] = (counts[part] ?? 0) + 1
  }
  return { parts: counts.filter((count) => count > 0).length, most: Math.max(...counts) }
}

test('[CN67] a thousand tokens of one moment come up for renewal spread over the minutes before their end, each always at its own', () => {
  const ids = Array.from({ length: 1000 }, () => newId())
  const due = (id: string) => earlyRefreshAt({ id, issuedAt: at, expiresAt: later(3600) })?.getTime() ?? 0
  const times = ids.map(due)
  const { parts, most } = spread(times, later(3600 - 450).getTime(), later(3600 - 300).getTime())
  assert.equal(parts, 10)
  assert.ok(most < 200, `${most} of a thousand in a tenth of the time`)
  assert.deepEqual(ids.map(due), times)
})

test('[CN67] a token is renewed in the last tenth of a short life, and not before its time where it does not end', () => {
  const id = newId()
  const due = earlyRefreshAt({ id, issuedAt: at, expiresAt: later(600) })
  assert.ok(due !== null && due >= later(600 - 90) && due <= later(600 - 60))
  assert.equal(earlyRefreshAt({ id, issuedAt: at, expiresAt: null }), null)
})

test('[CN67] what would die of rest is renewed after seven to eight and a half tenths of it, spread, by whichever end comes first', () => {
  const turn = (provider: typeof google, refreshExpiresAt: Date | null) =>
    keepAliveAt(provider, { refreshable: true, at, refreshExpiresAt })?.getTime()
  const times = Array.from({ length: 1000 }, () => turn(google, null) ?? 0)
  const { parts, most } = spread(times, later(126 * day).getTime(), later(153 * day).getTime())
  assert.equal(parts, 10)
  assert.ok(most < 200, `${most} of a thousand in a tenth of the time`)
  assert.ok((turn(google, later(10 * day)) ?? 0) <= later(8.5 * day).getTime())
  assert.equal(turn(github, null), undefined)
  assert.equal(keepAliveAt(google, { refreshable: false, at, refreshExpiresAt: null }), null)
})
