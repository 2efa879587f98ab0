import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Secret } from '#foundation/secret.ts'
import { proxiedAnswerHeaders, proxiedRequestHeaders } from './proxy-headers.ts'

test('[CN21] what is meant for one hop ends there, also what only the Connection field names', () => {
  const sent = proxiedRequestHeaders(
    {
      connection: 'keep-alive, X-Hop',
      'x-hop': '1',
      'keep-alive': '5',
      te: 'trailers',
      upgrade: 'h2c',
      'x-stays': '1',
    },
    {},
  )
  assert.deepEqual([...sent], [['x-stays', '1']])
  const answered = new Headers({
    connection: 'x-hop',
    'x-hop': '1',
    trailer: 'x',
    'transfer-encoding': 'chunked',
    etag: '"1"',
  })
  assert.deepEqual([...proxiedAnswerHeaders(answered, new Secret('token'))], [['etag', '"1"']])
})

test('[CN21] the provider’s standard headers yield to the caller’s, but not to the empty words of a library', () => {
  const standard = { accept: 'application/vnd.github+json', 'user-agent': 'Atom' }
  assert.equal(
    proxiedRequestHeaders({ accept: '*/*' }, standard).get('accept'),
    'application/vnd.github+json',
  )
  assert.equal(proxiedRequestHeaders({ accept: 'text/plain' }, standard).get('accept'), 'text/plain')
  assert.equal(proxiedRequestHeaders(undefined, standard).get('user-agent'), 'Atom')
})

test('[CN21] the length of a body that arrives unpacked is not told', () => {
  const token = new Secret('token')
  const packed = new Headers({ 'content-encoding': 'gzip', 'content-length': '10' })
  assert.deepEqual([...proxiedAnswerHeaders(packed, token)], [])
  assert.deepEqual(
    [...proxiedAnswerHeaders(new Headers({ 'content-length': '10' }), token)],
    [['content-length', '10']],
  )
})
