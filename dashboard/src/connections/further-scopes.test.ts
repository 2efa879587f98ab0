import assert from 'node:assert/strict'
import { test } from 'node:test'
import { furtherScopes } from './further-scopes.ts'

test('what is granted, asked or missing is not offered again, and nothing is offered twice', () => {
  const scope = (name: string) => ({ scope: name, meaning: name, required: false })
  const offered = furtherScopes(
    { scopes: ['read'], askedScopes: ['read', 'mail'], missingScopes: ['write'] },
    {
      scopes: [scope('read'), scope('write'), scope('files')],
      furtherScopes: [scope('admin'), scope('files'), scope('mail')],
    },
  )
  assert.deepEqual(
    offered.map((entry) => entry.scope),
    ['files', 'admin'],
  )
})
