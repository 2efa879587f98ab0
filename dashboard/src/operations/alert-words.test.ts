import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorOf, lastedText } from './alert-words.ts'

test('how long an alert fired is said as people say it, and one that fires still by now', () => {
  const since = '2026-01-01T10:00:00Z'
  const lasted = (resolvedAt: string) => lastedText({ since, resolvedAt }, new Date())
  assert.equal(lasted('2026-01-01T10:00:59Z'), 'under a minute')
  assert.equal(lasted('2026-01-01T11:59:00Z'), '119 min')
  assert.equal(lasted('2026-01-01T14:30:00Z'), '4 h')
  assert.equal(lasted('2026-01-04T10:00:00Z'), '3 days')
  assert.equal(lastedText({ since, resolvedAt: null }, new Date('2026-01-01T10:05:00Z')), '5 min')
})

test('an alert about an error leads to it, and a sentence or a stranger’s address leads nowhere', () => {
  assert.equal(errorOf({ lookAt: '/operations/errors/0123456789abcdef' }), '0123456789abcdef')
  assert.equal(errorOf({ lookAt: 'Operations, Traffic.' }), undefined)
  assert.equal(errorOf({ lookAt: '/operations/errors/0123456789abcdef/../../x' }), undefined)
})
