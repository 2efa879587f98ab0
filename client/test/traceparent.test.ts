import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { roomRoutes } from '@atom/contract/rooms.ts'
import { AtomClient, memoryStorage } from '../src/atom-client.ts'
import { ScriptedServer, tokenDoors } from './support/scripted-server.ts'
import { sharedTabs } from './support/shared-tabs.ts'
import { eventually, until } from './support/until.ts'

const traceparentOf = (digit: string) => `00-${digit.repeat(32)}-${'c'.repeat(16)}-01`

/** A trace that is known only as long as the work that is begun in it has not returned, as browsers have it. */
class Tracing {
  now: () => string | undefined = () => undefined
  readonly traceparent = () => this.now()

  within<T>(given: string | (() => string | undefined), work: () => T): T {
    this.now = typeof given === 'string' ? () => given : given
    try {
      return work()
    } finally {
      this.now = () => undefined
    }
  }
}

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

test('[MO40] what is said over the socket names the trace in which it was said: messages that travel together each their own, and what a tab asks that has no socket', async () => {
  await using server = await ScriptedServer.open()
  const parts = { baseUrl: server.url, fetch: tokenDoors().fetch, storage: memoryStorage() }
  const shared = sharedTabs()
  const tracing = new Tracing()
  const { traceparent } = tracing
  using leading = new AtomClient({ ...parts, tabs: shared.openLeading(), traceparent })
  using following = new AtomClient({ ...parts, tabs: shared.openLeading(), traceparent })
  await leading.session.login({ email: 'ada@example.com', password: 'seven calm otters sing' })
  await eventually(() => following.session.state === 'signed_in')
  const held = Promise.withResolvers<void>()
  server.onHandshake = () => held.promise
  leading.realtime.need()
  await eventually(() => server.handshakes.length === 1)
  const roomId = '01890000-0000-7000-8000-000000000001'
  const room = following.rooms.room(roomId)
  const sent = [
    tracing.within(traceparentOf('a'), () => room.send('in a trace')),
    room.send('in none'),
    tracing.within(traceparentOf('b'), () => room.send('in another')),
  ]
  await until(leading.realtime, ({ pendingCount }) => pendingCount === 3)
  held.resolve()
  await Promise.all(sent)
  const [said] = server.frames.filter(({ name }) => name === 'message.send')
  assert.deepEqual(said?.context, { traceparent: [traceparentOf('a'), null, traceparentOf('b')] })

  await until(following.realtime, ({ state }) => state === 'connected')
  const stop = (turnId: string) => following.realtime.request('turn.cancel', { turnId })
  await tracing.within(traceparentOf('d'), () => stop('in a trace'))
  await stop('in none')
  const stops = server.frames.filter(({ name }) => name === 'turn.cancel')
  assert.deepEqual(
    stops.map(({ context }) => context),
    [{ traceparent: traceparentOf('d') }, undefined],
  )
})

test('[MO40] the trace is asked for while the caller still runs, and nothing fails over one that is none', async (t) => {
  const told = t.mock.method(console, 'error', () => undefined)
  const heard: (string | null)[] = []
  const doors = tokenDoors()
  const tracing = new Tracing()
  using client = new AtomClient({
    baseUrl: 'http://atom.test',
    transport: 'cookie',
    traceparent: tracing.traceparent,
    fetch: async (address, init) => {
      if (String(address).includes('/rooms')) heard.push(new Headers(init?.headers).get('traceparent'))
      return await doors.fetch(address, init)
    },
  })
  await client.session.login({ email: 'ada@example.com', password: 'seven calm otters sing' })
  const rooms = () => client.call(roomRoutes.rooms)
  // Its token is not good any more: another is fetched before the request leaves.
  client.session.distrust('token-1')
  await tracing.within(traceparentOf('a'), rooms)
  for (const wrong of ['', 'nonsense', `${traceparentOf('a')}\r\nx: y`, traceparentOf('A')])
    await tracing.within(wrong, rooms)
  assert.equal(told.mock.callCount(), 0)
  await tracing.within(() => {
    throw new Error('no context')
  }, rooms)
  assert.deepEqual(heard, [traceparentOf('a'), null, null, null, null, null])
  assert.equal(told.mock.callCount(), 1)
})
