import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessOf } from './access-of.ts'

test('what was asked for is granted unless it is missing, and other names of the provider stand apart', () => {
  const access = accessOf({
    askedScopes: ['openid', 'email', 'calendar'],
    scopes: ['openid', 'https://provider.example/userinfo.email'],
    missingScopes: ['calendar'],
  })
  assert.deepEqual(access.asked, [
    { scope: 'openid', granted: true },
    { scope: 'email', granted: true },
    { scope: 'calendar', granted: false },
  ])
  assert.deepEqual(access.further, ['https://provider.example/userinfo.email'])
})
