import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Problem } from '@atom/contract/errors.ts'
import sql from 'sql-template-tag'
import { createGuards } from '#access/guarded-route.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { HttpServer } from '#http/server.ts'
import { roomRoutes } from '#rooms/room-routes.ts'
import { type Live, PlainClient, range, roomOf, somebody, startLive } from './support/live.ts'
import { Network } from './support/network.ts'
import { testDatabase, testLog } from './support/postgres.ts'

/** The HTTP door of the same rooms. */
async function httpOf(live: Live, token: string) {
  const http = new HttpServer({ log: testLog })
  const { guard } = createGuards({ http, tokens: live.tokens, log: testLog })
  roomRoutes(guard, { ...live, companions: async () => [] })
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  return {
    send: async (roomId: string, clientId: string) => {
      const answer = await fetch(`${url}/v1/rooms/${roomId}/messages`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ clientId, text: 'hello' }),
      })
      const retryAfter = Number(answer.headers.get('retry-after'))
      return { status: answer.status, retryAfter, body: (await answer.json()) as Problem & { seq: number } }
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  }
}

test('[RM38] when more waits than the lane takes, both doors say busy and when to come back; what was accepted is stored, and what was refused is stored when it comes again', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { publishing: { queue: { rows: 2, bytes: 1_000_000 } } })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const token = await live.token(ada)
  await using http = await httpOf(live, token)
  using client = new PlainClient(live.url, { token })
  await client.hello()
  const message = (number: number) => ({ roomId, clientId: `client-${number}`, text: 'hello' })
  const held = Promise.withResolvers<void>()
  const holding = Promise.withResolvers<void>()
  const holder = own.database.transaction(async (tx) => {
    await tx.query(sql`select 1 from rooms where id = ${roomId} for update`)
    holding.resolve()
    await held.promise
  })
  await holding.promise
  // One is on its way and waits for the room, two wait for it.
  const first = client.ask('message.send', message(1))
  for (let waiting = 0; waiting === 0; await delay(5)) {
    const [row] = await own.database.query<{ count: number }>(sql`
      select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)
    waiting = row?.count ?? 0
  }
  const accepted = [first, ...[2, 3].map((number) => client.ask('message.send', message(number)))]
  const overSocket = await client.ask('message.send', message(4))
  assert.ok(!overSocket.ok && overSocket.error.code === 'busy' && overSocket.error.retryable)
  assert.ok((overSocket.error.retryAfterMs ?? 0) > 0)
  const overHttp = await http.send(roomId, 'client-5')
  assert.deepEqual([overHttp.status, overHttp.body.code, overHttp.body.retryable], [503, 'busy', true])
  assert.ok((overHttp.body.retryAfterMs ?? 0) > 0 && overHttp.retryAfter >= 1)
  held.resolve()
  await holder
  for (const answer of await Promise.all(accepted)) assert.ok(answer.ok)
  assert.ok((await client.ask('message.send', message(4))).ok)
  assert.equal((await http.send(roomId, 'client-5')).status, 201)
  assert.deepEqual(
    (await live.timeline.since(roomId, 0)).events.map(({ seq }) => seq),
    range(1, 5),
  )
})

test('[RM39] while the database is away both doors say unavailable; when it is back, what is sent again has one place', async () => {
  await using own = await testDatabase()
  await using network = await Network.before(own.connection)
  await using database = await openDatabase({
    connection: { ...own.connection, ...network.address },
    poolSize: 4,
    log: testLog,
  })
  await using live = await startLive(database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const token = await live.token(ada)
  await using http = await httpOf(live, token)
  using client = new PlainClient(live.url, { token })
  await client.hello()
  const overSocket = () => client.ask('message.send', { roomId, clientId: 'client-1', text: 'hello' })
  const overHttp = () => http.send(roomId, 'client-2')
  assert.ok((await overSocket()).ok)
  await network.cut()
  const refused = await overSocket()
  assert.ok(!refused.ok && refused.error.code === 'unavailable' && refused.error.retryable)
  const down = await overHttp()
  assert.deepEqual([down.status, down.body.code, down.body.retryable], [503, 'unavailable', true])
  assert.ok(down.retryAfter >= 1)
  await network.open()
  const again = await overSocket()
  assert.ok(again.ok && 'seq' in again && again.seq === 1)
  const sent = [await overHttp(), await overHttp()]
  assert.deepEqual(
    sent.map(({ status, body }) => [status, body.seq]),
    [
      [201, 2],
      [200, 2],
    ],
  )
  assert.equal((await live.timeline.since(roomId, 0)).head, 2)
})
