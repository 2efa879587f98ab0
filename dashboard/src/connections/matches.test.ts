import assert from 'node:assert/strict'
import { test } from 'node:test'
import { matches } from './matches.ts'

const row = ['GitHub', 'Zoë Lovelace', 'ada-l', undefined]

test('each word looked for must begin a word of the row, in any order, whatever its case or accents', () => {
  assert.ok(matches('zoe git', row))
  assert.ok(matches('ADA', row))
  assert.ok(matches('', row))
  assert.ok(matches('  ', row))
  assert.ok(!matches('zoe slack', row))
  assert.ok(!matches('hub', row))
})

test('a mail address and a host are found by any of their parts', () => {
  assert.ok(matches('ada@example', ['ada@example.com']))
  assert.ok(matches('acme.zendesk', ['acme.zendesk.com']))
})
