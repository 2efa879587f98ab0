import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusWords } from './status-words.ts'

test('a connection that needs a person says why, inside one sentence', () => {
  const words = statusWords({
    status: 'needs_reconnect',
    reason: 'Access was revoked at GitHub',
    missingScopes: [],
  })
  assert.equal(words.words, 'Needs you: access was revoked at GitHub')
})

test('a name at the start of the reason stays a name', () => {
  const words = statusWords({ status: 'degraded', reason: 'GitHub does not answer', missingScopes: [] })
  assert.equal(words.words, 'Degraded: GitHub does not answer')
})

test('less access than asked for is not simply active', () => {
  assert.equal(statusWords({ status: 'active', missingScopes: ['repo'] }).tone, 'warn')
  assert.equal(statusWords({ status: 'active', missingScopes: [] }).tone, 'good')
})
