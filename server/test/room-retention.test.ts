import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { EventPage } from '@atom/contract/rooms.ts'
import type { ServerFrame } from '@atom/contract/socket.ts'
import sql from 'sql-template-tag'
import { createGuards } from '#access/guarded-route.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { HttpServer } from '#http/server.ts'
import { roomRoutes } from '#rooms/room-routes.ts'
import { type Live, PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'

async function say(live: Live, person: AccountPrincipal, roomId: string, from: number, to: number) {
  await Promise.all(
    range(from, to).map((number) =>
      live.messages.send(person, roomId, { clientId: `client-${number}`, text: `message ${number}` }),
    ),
  )
}

/** Keeps only what has this number or a higher one. */
async function keepFrom(database: Database, roomId: string, floor: number): Promise<void> {
  await database.transaction(async (tx) => {
    await tx.query(sql`update rooms set floor = ${floor} where id = ${roomId}`)
    await tx.query(sql`delete from room_events where room_id = ${roomId} and seq < ${floor}`)
  })
}

/** Another timeline takes the place of the old one, as after a restore from a backup: so many events, and another epoch. */
async function replace(database: Database, roomId: string, head: number): Promise<string> {
  const epoch = newId()
  await database.transaction(async (tx) => {
    await tx.query(sql`update rooms set epoch = ${epoch}, seq = ${head} where id = ${roomId}`)
    await tx.query(sql`delete from room_events where room_id = ${roomId} and seq > ${head}`)
  })
  return epoch
}

const seqsOf = (page: { readonly events: readonly { readonly seq: number }[] }) =>
  page.events.map(({ seq }) => seq)

/** Every door through which a room is read from a cursor. */
async function doorsOf(live: Live, roomId: string, person: AccountPrincipal) {
  const token = await live.token(person)
  const release = new AsyncDisposableStack()
  const http = release.use(new HttpServer({ log: testLog }))
  const { guard } = createGuards({ http, tokens: live.tokens, log: testLog })
  roomRoutes(guard, { ...live, companions: async () => [] })
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  const client = release.adopt(new PlainClient(live.url, { token, deviceId: 'doors-device' }), (it) =>
    it[Symbol.dispose](),
  )
  type Cursor = { readonly epoch: string; readonly seq: number }
  const answered = async (answer: Promise<({ ok: true } & EventPage) | { ok: false }>) => {
    const page = await answer
    assert.ok(page.ok)
    return page
  }
  return {
    read: {
      http: async ({ seq, epoch }: Cursor): Promise<EventPage> => {
        const answer = await fetch(`${url}/v1/rooms/${roomId}/events?after=${seq}&epoch=${epoch}`, {
          headers: { authorization: `Bearer ${token}` },
        })
        assert.equal(answer.status, 200)
        return (await answer.json()) as EventPage
      },
      fetch: ({ seq, epoch }: Cursor) => answered(client.ask('room.fetch', { roomId, after: seq, epoch })),
      join: ({ seq, epoch }: Cursor) => answered(client.ask('room.join', { roomId, after: seq, epoch })),
    },
    /** What the handshake says of the room, and what follows. */
    handshake: async (cursor: Cursor, count: number) => {
      using back = new PlainClient(live.url, {
        token,
        deviceId: `device-${cursor.epoch}-${cursor.seq}`,
        cursors: { [roomId]: cursor },
      })
      const { rooms } = await back.hello()
      await until(() => back.events.length >= count, 'what follows')
      assert.deepEqual(back.problems, [])
      return { room: rooms[roomId], seqs: back.seqs() }
    },
    [Symbol.asyncDispose]: () => release.disposeAsync(),
  }
}

test('[RM35] from a place whose next events are no longer kept every door starts over and says so, and from the last one that is kept none does', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await say(live, ada, roomId, 1, 300)
  const { epoch } = await live.rooms.get(ada, roomId)
  await keepFrom(own.database, roomId, 151)
  await using doors = await doorsOf(live, roomId, ada)
  for (const [name, read] of Object.entries(doors.read)) {
    for (const seq of [0, 10, 149]) {
      const page = await read({ epoch, seq })
      assert.deepEqual([page.reset, page.more, page.floor, page.head], [true, false, 151, 300], name)
      assert.deepEqual(seqsOf(page), range(151, 300), name)
    }
    const whole = await read({ epoch, seq: 150 })
    assert.deepEqual([whole.reset, seqsOf(whole)], [undefined, range(151, 300)], name)
    const none = await read({ epoch, seq: 300 })
    assert.deepEqual([none.reset, seqsOf(none)], [undefined, []], name)
  }
  assert.deepEqual(await doors.handshake({ epoch, seq: 149 }, 150), {
    room: { ok: true, epoch, head: 300, reset: true },
    seqs: range(151, 300),
  })
  assert.deepEqual(await doors.handshake({ epoch, seq: 150 }, 150), {
    room: { ok: true, epoch, head: 300 },
    seqs: range(151, 300),
  })
  // Backwards there is an end and no hole.
  const oldest = await live.timeline.before(roomId, 161)
  assert.deepEqual([seqsOf(oldest), oldest.more], [range(151, 160), false])
})

test('[RM36] a cursor of another timeline starts over at every door, whatever its number', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await say(live, ada, roomId, 1, 250)
  const old = (await live.rooms.get(ada, roomId)).epoch
  const epoch = await replace(own.database, roomId, 220)
  await using doors = await doorsOf(live, roomId, ada)
  for (const cursor of [
    { epoch: old, seq: 0 },
    { epoch: old, seq: 220 },
    { epoch, seq: 221 },
  ]) {
    for (const [name, read] of Object.entries(doors.read)) {
      const page = await read(cursor)
      assert.deepEqual([page.epoch, page.reset, page.more], [epoch, true, false], name)
      assert.deepEqual(seqsOf(page), range(21, 220), name)
    }
    assert.deepEqual(await doors.handshake(cursor, 200), {
      room: { ok: true, epoch, head: 220, reset: true },
      seqs: range(21, 220),
    })
  }
})

test('[RM37] a socket that is in the room is told when what it needs next is gone or the timeline is another one', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { recheckMs: 100 })
  await using other = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await say(live, ada, roomId, 1, 10)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  assert.ok((await client.ask('room.join', { roomId })).ok)
  const resets = () =>
    client.frames.flatMap((received): ServerFrame<'room.events'>[] =>
      received.name === 'room.events' && received.frame.reset === true ? [received.frame] : [],
    )
  const epoch = await replace(own.database, roomId, 4)
  const first = await until(() => resets()[0], 'word of the other timeline')
  assert.deepEqual([first.epoch, seqsOf(first)], [epoch, range(1, 4)])
  await say(other, ada, roomId, 11, 12)
  await until(() => client.seqs().at(-1) === 6, 'what follows in it')
  assert.deepEqual(client.seqs(), [...range(1, 4), 5, 6])
  // Seven events are written without a word, and five of them are thrown away before anybody has read them.
  await own.database.transaction(async (tx) => {
    await tx.query(sql`
      insert into room_events (room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body)
      select id, n, workspace_id, gen_random_uuid(), 'message.created', 'account', ${ada.id}, 'untold-' || n, now(),
        '{"text": "untold"}'
      from rooms, generate_series(7, 13) n where id = ${roomId}`)
    await tx.query(sql`update rooms set seq = 13, floor = 12 where id = ${roomId}`)
    await tx.query(sql`delete from room_events where room_id = ${roomId} and seq < 12`)
  })
  const second = await until(() => resets()[1], 'word of the hole')
  assert.deepEqual([second.epoch, seqsOf(second)], [epoch, [12, 13]])
  await say(live, ada, roomId, 14, 14)
  await until(() => client.seqs().at(-1) === 14, 'the next one')
  assert.deepEqual(client.seqs().slice(-3), [12, 13, 14])
  assert.deepEqual(client.problems, [])
})

test('[RM37] a reader that stood still until what it needs next was gone is told so when it reads again', async () => {
  await using own = await testDatabase()
  const bounds = { soft: 16 * 1024, hard: 32 * 1024, stalledMs: 60_000 }
  await using live = await startLive(own.database, { bounds })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using slow = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'slow-reader' })
  using quick = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'quick-reader' })
  for (const client of [slow, quick]) assert.ok((await client.ask('room.join', { roomId })).ok)
  const engine = slow.socket.io.engine as unknown as { transport: { ws: { _socket: Socket } } }
  const stream = engine.transport.ws._socket
  stream.pause()
  const text = 'x'.repeat(16_000)
  let said = 0
  // The kernel's buffers fill up first.
  while (Math.max(...live.sockets.unsent()) < bounds.hard) {
    for (const last = said + 20; said < last; said++)
      await live.messages.send(ada, roomId, { clientId: `client-${said}`, text })
    await until(() => quick.seqs().at(-1) === said, 'the quick reader is up to date')
  }
  for (const last = said + 20; said < last; said++)
    await live.messages.send(ada, roomId, { clientId: `client-${said}`, text })
  await keepFrom(own.database, roomId, said - 1)
  stream.resume()
  await until(() => slow.seqs().at(-1) === said, 'the slow reader is up to date', 30_000)
  const frames = slow.frames.flatMap((received) => (received.name === 'room.events' ? [received.frame] : []))
  const anew = frames.findIndex((frame) => frame.reset === true)
  assert.ok(anew > 0)
  const before = frames.slice(0, anew).flatMap(seqsOf)
  assert.deepEqual(before, range(1, before.length))
  assert.ok(before.length < said - 20)
  assert.deepEqual(frames.slice(anew).flatMap(seqsOf), [said - 1, said])
  assert.deepEqual(quick.seqs(), range(1, said))
})
