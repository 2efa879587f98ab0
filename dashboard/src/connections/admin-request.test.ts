import assert from 'node:assert/strict'
import { test } from 'node:test'
import { adminRequest } from './admin-request.ts'

test('the message for an admin names the account, the reason and the access, and no secret is among them', () => {
  const text = adminRequest(
    {
      identity: { id: '1', name: 'Grace Hopper', email: 'grace@example.com' },
      reason: 'The policy asks for a fresh sign-in.',
      askedScopes: ['api', 'openid'],
    },
    'Salesforce',
  )
  assert.match(text, /Salesforce account \(Grace Hopper, grace@example.com\)/)
  assert.match(text, /The reason: The policy asks for a fresh sign-in\.\n/)
  assert.match(text, /api, openid/)
})
