import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proxiedAnswerHeaders, proxiedRequestHeaders } from './proxy-headers.ts'

const harmless = () => false

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
  assert.deepEqual(sent, { 'x-stays': '1' })
  const answered = {
    connection: 'x-hop',
    'x-hop': '1',
    trailer: 'x',
    'transfer-encoding': 'chunked',
    etag: '"1"',
  }
  assert.deepEqual(proxiedAnswerHeaders(answered, harmless), { etag: '"1"' })
})

test('[CN21] the provider’s standard headers yield to the caller’s, but not to the empty words of a library', () => {
  const standard = { accept: 'application/vnd.github+json', 'user-agent': 'Atom' }
  assert.equal(proxiedRequestHeaders({ accept: '*/*' }, standard)['accept'], 'application/vnd.github+json')
  assert.equal(proxiedRequestHeaders({ accept: 'text/plain' }, standard)['accept'], 'text/plain')
  assert.equal(proxiedRequestHeaders({}, standard)['user-agent'], 'Atom')
})

test('[CN21] the length of a body that arrives unpacked is not told', () => {
  const packed = { 'content-encoding': 'gzip', 'content-length': '10' }
  assert.deepEqual(proxiedAnswerHeaders(packed, harmless), {})
  assert.deepEqual(proxiedAnswerHeaders({ 'content-length': '10' }, harmless), { 'content-length': '10' })
})

test('[CN21] of a field that stands twice, the value that holds a credential is left out', () => {
  const answered = { 'x-echo': ['the token', 'another'], 'x-alone': ['the token'] }
  assert.deepEqual(
    proxiedAnswerHeaders(answered, (value) => value.includes('token')),
    { 'x-echo': ['another'] },
  )
})
