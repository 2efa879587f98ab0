import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionsSearch } from './connections-search.ts'

test('an address says what is looked for, and nothing that is not of its form', () => {
  assert.deepEqual(connectionsSearch({ q: 'ada', category: 'office', needing: true }), {
    q: 'ada',
    category: 'office',
    needing: true,
  })
  assert.deepEqual(connectionsSearch({ q: 42 }), { q: '42' })
  assert.deepEqual(connectionsSearch({ q: {}, category: 'toString', needing: 'yes', connected: 7 }), {})
})
