import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { AtomClient } from '../src/atom-client.ts'

test('[MO17] a client whose application traces itself names that trace with each request, and one without names none', async () => {
  const heard: (string | undefined)[] = []
  const server = createServer((request, response) => {
    const { traceparent } = request.headers
    heard.push(typeof traceparent === 'string' ? traceparent : undefined)
    response.statusCode = 503
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const credentials = { email: 'ada@example.com', password: 'seven calm otters sing' }
  const traceparent = `00-${'a'.repeat(32)}-${'c'.repeat(16)}-01`
  try {
    for (const options of [{}, { traceparent: () => undefined }, { traceparent: () => traceparent }]) {
      using client = new AtomClient({ baseUrl, ...options })
      await assert.rejects(client.session.login(credentials))
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
  assert.deepEqual(heard, [undefined, undefined, traceparent])
})
