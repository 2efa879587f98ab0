import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { newId } from '#foundation/ids.ts'
import { insertMember } from '#rooms/membership-store.ts'
import { PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'
import { startRoomHouse } from './support/room-house.ts'

const marks = (client: PlainClient, roomId: string) =>
  client.signals.flatMap((signal) =>
    signal.kind === 'read' && signal.roomId === roomId ? signal.readers : [],
  )

test('[RT81] read marks are written together, the furthest of each, and everybody in the room hears of them, at every process', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  await using elsewhere = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  for (const n of range(1, 30))
    await live.messages.send(bob, roomId, { clientId: `message-${n}`, text: `n ${n}` })
  using reader = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'ada-laptop' })
  using writer = new PlainClient(elsewhere.url, { token: await live.token(bob) })
  // Shows the list of rooms and follows none.
  using list = new PlainClient(elsewhere.url, { token: await live.token(ada), deviceId: 'ada-phone' })
  await list.hello()
  for (const client of [reader, writer]) assert.ok((await client.ask('room.join', { roomId })).ok)
  await own.database.query(sql`create table writes (at timestamptz default clock_timestamp())`)
  await own.database.query(sql`
    create function count_write() returns trigger language plpgsql as
    $$ begin if new.read_seq <> old.read_seq then insert into writes default values; end if; return null; end $$`)
  await own.database.query(sql`
    create trigger count_writes after update on room_members for each row execute function count_write()`)
  const answers = await Promise.all(range(1, 30).map((seq) => reader.ask('room.read', { roomId, seq })))
  assert.ok(answers.every((answer) => answer.ok))
  for (const client of [reader, writer, list]) {
    await until(() => marks(client, roomId).some(({ id, seq }) => id === ada.id && seq === 30), 'the mark')
    assert.deepEqual(client.problems, [])
  }
  assert.equal((await live.rooms.get(ada, roomId)).readSeq, 30)
  const written = await own.database.query(sql`select 1 from writes`)
  assert.ok(written.length < 30, `${written.length} writes for 30 marks`)
  // Neither back nor beyond the head.
  await reader.ask('room.read', { roomId, seq: 3 })
  await writer.ask('room.read', { roomId, seq: 9_999 })
  await until(() => marks(reader, roomId).some(({ id }) => id === bob.id), 'Bob’s mark')
  assert.deepEqual(
    (await live.rooms.get(ada, roomId)).members.map(({ readSeq }) => readSeq),
    [30, 30],
  )
})

test('[RT82] a mark that was acknowledged is written when the process ends, and shown at once to its person', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  {
    await using live = await startLive(own.database)
    const roomId = await roomOf(own.database, live, ada)
    for (const n of range(1, 3))
      await live.messages.send(ada, roomId, { clientId: `message-${n}`, text: `n ${n}` })
    using reader = new PlainClient(live.url, { token: await live.token(ada) })
    assert.ok((await reader.ask('room.read', { roomId, seq: 2 })).ok)
    await live.sockets.drain()
  }
  const [row] = await own.database.query<{ read_seq: number }>(sql`select read_seq from room_members`)
  assert.equal(row?.read_seq, 2)

  await using house = await startRoomHouse()
  const bob = await house.person('Bob')
  const room = await bob.room({ name: 'Lab', members: [] })
  await bob.say(room.id, 'one')
  await bob.say(room.id, 'two')
  using socket = new PlainClient(house.live.url, { token: bob.token })
  assert.ok((await socket.ask('room.read', { roomId: room.id, seq: 2 })).ok)
  const seen = await bob.call<{ readSeq: number }>('GET', `/v1/rooms/${room.id}`)
  assert.equal(seen.body.readSeq, 2)
  // Marked as unread on one device: the others hear of it, and no late mark undoes it.
  await bob.call('PATCH', `/v1/rooms/${room.id}/me`, { unreadFrom: 2 })
  await until(() => marks(socket, room.id).some(({ seq }) => seq === 1), 'the mark moved back')
  const after = await bob.call<{ readSeq: number }>('GET', `/v1/rooms/${room.id}`)
  assert.equal(after.body.readSeq, 1)
})

test('[RT83] in a room of more than 100 members a mark is told to its person’s devices alone', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  await own.database.transaction(async (tx) => {
    for (const n of range(1, 99))
      await insertMember(tx, roomId, { kind: 'account', id: newId(), name: `Guest ${n}` })
  })
  await live.messages.send(bob, roomId, { clientId: 'message-1', text: 'hello' })
  using mine = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'ada-laptop' })
  using also = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'ada-phone' })
  using other = new PlainClient(live.url, { token: await live.token(bob) })
  for (const client of [mine, also, other]) assert.ok((await client.ask('room.join', { roomId })).ok)
  assert.ok((await mine.ask('room.read', { roomId, seq: 1 })).ok)
  await until(() => marks(also, roomId).length === 1 && marks(mine, roomId).length === 1, 'my own devices')
  await live.messages.send(bob, roomId, { clientId: 'message-2', text: 'later' })
  await until(() => other.events.some((event) => event.seq === 2), 'what came later')
  assert.deepEqual(marks(other, roomId), [])
})
