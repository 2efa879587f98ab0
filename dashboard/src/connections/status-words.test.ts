import assert from 'node:assert/strict'
import { test } from 'node:test'
import { needsSomeone, statusWords } from './status-words.ts'

const github = { provider: 'github', missingScopes: [] }

test('a connection that needs a person says why, inside one sentence', () => {
  const { words } = statusWords({
    ...github,
    status: 'needs_reconnect',
    reason: 'Access was revoked at GitHub.',
  })
  assert.equal(words, 'Needs you: access was revoked at GitHub')
})

test('whose job it is comes first', () => {
  const broken = { ...github, status: 'needs_reconnect', reason: 'The app is unknown there' } as const
  const by = (whose: 'person' | 'admin' | 'operator') =>
    statusWords({ ...broken, remedy: { whose, action: 'reconnect', label: 'Connect again' } }).words
  assert.equal(by('person'), 'Needs you: the app is unknown there')
  assert.equal(by('admin'), 'Needs your admin: the app is unknown there')
  assert.equal(by('operator'), 'Needs the operator: the app is unknown there')
})

test('a name at the start of the reason stays a name', () => {
  const degraded = (provider: string, reason: string) =>
    statusWords({ ...github, provider, status: 'degraded', reason }).words
  assert.equal(degraded('github', 'GitHub does not answer'), 'Degraded: GitHub does not answer')
  assert.equal(degraded('slack', 'Slack does not answer'), 'Degraded: Slack does not answer')
})

test('less access than asked for is not simply active, and only what stopped needs someone', () => {
  assert.equal(statusWords({ ...github, status: 'active', missingScopes: ['repo'] }).tone, 'warn')
  assert.equal(statusWords({ ...github, status: 'active' }).tone, 'good')
  assert.deepEqual(
    (['active', 'degraded', 'needs_reconnect', 'revoked'] as const).map((status) => needsSomeone({ status })),
    [false, false, true, true],
  )
})
