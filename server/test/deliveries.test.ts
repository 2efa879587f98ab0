import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { newId } from '#foundation/ids.ts'
import { insertMember } from '#rooms/membership-store.ts'
import { PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'

const delivered = (client: PlainClient, roomId: string) =>
  client.signals.flatMap((signal) =>
    signal.kind === 'delivered' && signal.roomId === roomId ? signal.to : [],
  )

test('[RM61] what arrived at one of a person’s devices is told to the room at every process, and not what was only sent to a device that does not answer', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { deliverEveryMs: 50 })
  await using elsewhere = await startLive(own.database, { deliverEveryMs: 50 })
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  using author = new PlainClient(live.url, { token: await live.token(ada) })
  using silent = new PlainClient(elsewhere.url, { token: await elsewhere.token(bob), deviceId: 'bob-laptop' })
  for (const client of [author, silent]) assert.ok((await client.ask('room.join', { roomId })).ok)
  // It hears and says nothing: as a page that is frozen, or a line that is half open.
  silent.socket.io.engine.transport.send = () => undefined
  const sent = await author.ask('message.send', { roomId, clientId: 'message-1', text: 'hello?' })
  assert.ok(sent.ok)
  await until(() => silent.seqs().includes(1), 'it was sent')
  // The author's own device has answered long since.
  await until(() => delivered(author, roomId).some(({ id }) => id === ada.id), 'the author’s own')
  assert.deepEqual(
    delivered(author, roomId).filter(({ id }) => id === bob.id),
    [],
  )
  // Another device of his comes, is given what it missed, and answers.
  using phone = new PlainClient(elsewhere.url, { token: await elsewhere.token(bob), deviceId: 'bob-phone' })
  assert.ok((await phone.ask('room.join', { roomId })).ok)
  await until(() => delivered(author, roomId).some(({ id, seq }) => id === bob.id && seq === 1), 'delivered')
  const bobHere = async () => (await live.rooms.get(ada, roomId)).members.find(({ id }) => id === bob.id)
  assert.deepEqual([(await bobHere())?.deliveredSeq, (await bobHere())?.readSeq], [1, 0])
  // Live, too.
  assert.ok((await author.ask('message.send', { roomId, clientId: 'message-2', text: 'again' })).ok)
  await until(() => delivered(author, roomId).some(({ id, seq }) => id === bob.id && seq === 2), 'live')
  // Reading implies it, and reading taken back does not take it back.
  assert.ok((await phone.ask('room.read', { roomId, seq: 2 })).ok)
  await live.receipts.settled(bob.id)
  await elsewhere.receipts.settled(bob.id)
  await live.rooms.setPlace(bob, roomId, { unreadFrom: 1 })
  assert.deepEqual([(await bobHere())?.deliveredSeq, (await bobHere())?.readSeq], [2, 0])
  for (const client of [author, silent, phone]) assert.deepEqual(client.problems, [])
})

test('[RM62] hundreds of messages cost a handful of writes of what was delivered, and nothing where nobody would see it: alone with agents, or among more than 100', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { deliverEveryMs: 50 })
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const both = await roomOf(own.database, live, ada, bob)
  const alone = await roomOf(own.database, live, bob)
  await insertMember(own.database, alone, { kind: 'agent', id: newId(), name: 'Atom' })
  const crowd = await roomOf(own.database, live, ada, bob)
  await own.database.transaction(async (tx) => {
    for (const n of range(1, 99))
      await insertMember(tx, crowd, { kind: 'account', id: newId(), name: `Guest ${n}` })
  })
  await own.database.query(sql`create table writes (room_id uuid)`)
  await own.database.query(sql`
    create function count_write() returns trigger language plpgsql as
    $$ begin insert into writes values (new.room_id); return null; end $$`)
  await own.database.query(sql`
    create trigger count_writes after update on room_members for each row execute function count_write()`)
  using device = new PlainClient(live.url, { token: await live.token(bob) })
  for (const roomId of [both, alone, crowd]) assert.ok((await device.ask('room.join', { roomId })).ok)
  let pings = 0
  device.socket.io.engine.on('ping', () => pings++)
  for (const roomId of [alone, crowd, both]) {
    for (const from of range(0, 9)) {
      await Promise.all(
        range(1, 20).map((n) =>
          live.messages.send(roomId === alone ? bob : ada, roomId, {
            clientId: `message-${from}-${n}`,
            text: 'hello',
          }),
        ),
      )
    }
  }
  await until(
    () => delivered(device, both).some(({ id, seq }) => id === bob.id && seq === 200),
    'everything is delivered',
  )
  const written = await own.database.query<{ room_id: string }>(sql`select room_id from writes`)
  assert.ok(written.every(({ room_id }) => room_id === both))
  assert.ok(written.length < 100 && pings < 200, `${written.length} writes, ${pings} pings for 600 messages`)
  assert.deepEqual([...delivered(device, alone), ...delivered(device, crowd)], [])
})
