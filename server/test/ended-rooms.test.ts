import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Room } from '@atom/contract/rooms.ts'
import sql, { raw } from 'sql-template-tag'
import { deleteTurns } from '#agents/agent-store.ts'
import { type Database, openDatabase } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { EndedRooms } from '#rooms/ended-rooms.ts'
import { PlainClient, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase, testLog, urlOf } from './support/postgres.ts'
import { type Caller, type RoomHouse, startRoomHouse } from './support/room-house.ts'

const child = join(import.meta.dirname, 'support', 'ended-rooms-child.ts')

/** As if somebody had said so much, with a reaction to every tenth message, a pin here and there, and an agent's turn for some. */
async function fill(database: Database, roomId: string, events: number): Promise<void> {
  await database.transaction(async (tx) => {
    const [room] = await tx.query<{ workspace_id: string; created_by: string; seq: number }>(sql`
      select workspace_id, created_by, seq from rooms where id = ${roomId} for no key update`)
    assert.ok(room)
    const { workspace_id: workspace, created_by: by } = room
    const places = sql`generate_series(${room.seq + 1}::bigint, ${room.seq + events}::bigint) as place`
    await tx.query(sql`
      insert into room_events (room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body)
      select ${roomId}, place, ${workspace}, gen_random_uuid(), 'message.created', 'account', ${by}, 'filled-' || place, now(),
        jsonb_build_object('text', 'forgotten word ' || place)
      from ${places}`)
    await tx.query(sql`
      insert into room_reactions (room_id, seq, emoji, kind, member_id)
      select ${roomId}, place, '👍', 'account', ${by} from ${places} where place % 10 = 0`)
    await tx.query(sql`
      insert into room_pins (room_id, seq, pinned_kind, pinned_by)
      select ${roomId}, place, 'account', ${by} from ${places} where place % 1000 = 0`)
    await tx.query(sql`
      insert into room_search (room_id, seq, workspace_id, actor_id, at, words)
      select ${roomId}, place, ${workspace}, ${by}, now(), to_tsvector('simple', 'forgotten word') from ${places}`)
    const [agent] = await tx.query<{ id: string }>(sql`
      insert into agents (id, workspace_id, name) values (${newId()}, ${workspace}, 'Atom') returning id`)
    await tx.query(sql`
      insert into turns (id, workspace_id, room_id, agent_id, message_id, trigger_seq, on_behalf_of, status, model, ended_at)
      select gen_random_uuid(), ${workspace}, ${roomId}, ${agent?.id}, gen_random_uuid(), place, ${by},
        case when place % 300 = 0 then 'queued' else 'succeeded' end, 'rules', now()
      from ${places} where place % 100 = 0`)
    await tx.query(sql`
      insert into agent_cursors (agent_id, room_id, workspace_id, seq)
      values (${agent?.id}, ${roomId}, ${workspace}, ${room.seq + events})`)
    await tx.query(sql`
      insert into room_search_cursors (room_id, seq) values (${roomId}, ${room.seq + events})
      on conflict (room_id) do update set seq = excluded.seq`)
    await tx.query(sql`update rooms set seq = seq + ${events} where id = ${roomId}`)
  })
}

/** By table: rows that name this room, in whatever table there is. */
async function leftOf(database: Database, roomId: string): Promise<Record<string, number>> {
  const tables = await database.query<{ name: string; key: string }>(sql`
    select table_name as name, column_name as key from information_schema.columns
    where table_schema = 'public' and udt_name = 'uuid'
      and (column_name = 'room_id' or (column_name = 'id' and table_name in ('rooms', 'ended_rooms')))`)
  const left: Record<string, number> = {}
  for (const { name, key } of tables) {
    const [row] = await database.query<{ rows: number }>(
      sql`select count(*)::int as rows from ${raw(name)} where ${raw(key)} = ${roomId}`,
    )
    if (row !== undefined && row.rows > 0) left[name] = row.rows
  }
  return left
}

async function untilNothingIsLeft(database: Database, roomId: string): Promise<void> {
  for (const deadline = performance.now() + 45_000; performance.now() < deadline; await delay(20))
    if (Object.keys(await leftOf(database, roomId)).length === 0) return
  assert.deepEqual(await leftOf(database, roomId), {})
}

/** What every door answers to somebody who asks for this room. */
async function answersOf(house: RoomHouse, who: Caller, roomId: string): Promise<Record<string, unknown>> {
  const answers: Record<string, unknown> = {}
  const room = `/v1/rooms/${roomId}`
  const asked: [string, string, object?][] = [
    ['GET', room],
    ['PATCH', room, { name: 'Again' }],
    ['DELETE', room],
    ['PATCH', `${room}/me`, { muted: true }],
    ['GET', `${room}/events`],
    ['GET', `${room}/events?after=5`],
    ['GET', `${room}/pins`],
    ['DELETE', `${room}/pins/11`],
    ['POST', `${room}/messages`, { clientId: newId(), text: 'hello?' }],
    ['PATCH', `${room}/messages/10`, { text: 'other' }],
    ['DELETE', `${room}/messages/10`],
    ['PUT', `${room}/messages/10/reactions/${encodeURIComponent('👍')}`],
    ['PUT', `${room}/pins/11`],
    ['POST', `${room}/members`, { kind: 'account', id: who.me.id }],
    ['DELETE', `${room}/members/${who.me.id}`],
    ['GET', `/v1/messages/search?q=forgotten&roomId=${roomId}`],
    ['GET', `${room}/stream`],
  ]
  for (const [method, path, body] of asked) {
    const said = path.replaceAll(roomId, '{id}')
    answers[`${method} ${said}`] = await who.refused(method, path, body)
  }
  const cursors = { [roomId]: { epoch: newId(), seq: 3 } }
  using client = new PlainClient(house.live.url, { token: who.token, v: 1, cursors })
  const entry = (await client.hello()).rooms[roomId]
  answers['handshake'] = entry?.ok === false ? entry.error.code : entry
  const frames = [
    await client.ask('room.join', { roomId, after: 0 }),
    await client.ask('room.fetch', { roomId, after: 0 }),
    await client.ask('message.send', { roomId, clientId: newId(), text: 'hello?' }),
    await client.ask('message.edit', { roomId, seq: 10, clientId: newId(), text: 'other' }),
    await client.ask('room.read', { roomId, seq: 1 }),
  ]
  answers['frames'] = frames.map((answer) => (answer.ok ? 'let through' : answer.error.code))
  return answers
}

test('[RM90] a room ends at once, however much was said in it: before anything of that is deleted, every door answers as for a room that never was', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Team', members: [{ kind: 'account', id: bob.me.id }] })
  await ada.say(id, 'to be forgotten')
  await fill(house.database, id, 30_000)
  using client = new PlainClient(house.live.url, { token: bob.token })
  assert.equal((await client.ask('room.join', { roomId: id })).ok, true)
  // As if the database had much else to do: nothing of what was said can be deleted.
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  const { promise: held, resolve: hold } = Promise.withResolvers<void>()
  const blocked = house.database.transaction(async (tx) => {
    await tx.query(sql`lock table room_search in share mode`)
    hold()
    await released
  })
  await held
  assert.equal((await ada.call('DELETE', `/v1/rooms/${id}`)).status, 204)
  await until(() => client.first('room.left'), 'the socket is told')
  const left = await leftOf(house.database, id)
  assert.equal(left['room_events'], 30_001)
  assert.equal(left['room_members'], undefined)
  const [open] = await house.database.query<{ turns: number }>(sql`
    select count(*)::int as turns from turns where room_id = ${id} and status = 'queued'`)
  assert.equal(open?.turns, 0, 'no worker takes a turn in it')
  const never = await answersOf(house, bob, newId())
  assert.deepEqual(await answersOf(house, bob, id), never)
  assert.deepEqual(new Set(Object.values(never).flat()), new Set(['not_found']))
  for (const who of [ada, bob]) {
    assert.deepEqual((await who.call<{ items: Room[] }>('GET', '/v1/rooms')).body.items, [])
    const found = await who.call<{ items: unknown[] }>('GET', '/v1/messages/search?q=forgotten')
    assert.deepEqual(found.body.items, [])
  }
  release()
  await blocked
  await untilNothingIsLeft(house.database, id)
})

test('[RM91] what ended rooms held is deleted in pieces: a process that is killed in the middle leaves the rest to others, of whom several may be at it, and nothing is left of those rooms and nothing taken from another', async () => {
  await using own = await testDatabase()
  const { database } = own
  const ada = somebody()
  const rooms: string[] = []
  let other: string
  {
    await using live = await startLive(database)
    for (let room = 0; room < 3; room++) rooms.push(await roomOf(database, live, ada))
    other = await roomOf(database, live, ada)
  }
  const [first = '', ...others] = rooms
  await fill(database, first, 20_000)
  for (const id of [...others, other]) await fill(database, id, 3_000)
  const kept = await leftOf(database, other)
  // As a server of the version before ends them, too.
  for (const id of rooms) await database.query(sql`delete from rooms where id = ${id}`)

  const killed = spawn(process.execPath, [child, urlOf(own.connection), '100'], { stdio: 'inherit' })
  const ended = once(killed, 'exit')
  try {
    for (;;) {
      const [row] = await database.query<{ place: number }>(
        sql`select place from ended_rooms where id = ${first}`,
      )
      assert.ok(row, 'it is not through before it is killed')
      if (row.place > 1_000) break
      assert.equal(killed.exitCode, null)
      await delay(5)
    }
  } finally {
    killed.kill('SIGKILL')
    await ended
  }
  const left = await leftOf(database, first)
  assert.ok((left['room_events'] ?? 0) > 0 && (left['room_events'] ?? 0) < 20_000, JSON.stringify(left))

  await using second = await openDatabase({ connection: own.connection, poolSize: 2, log: testLog })
  await using here = await startLive(database)
  await using _second = new EndedRooms({
    database: second,
    timeline: here.timeline,
    log: testLog,
    piece: 150,
    clearings: [deleteTurns],
    sweepMs: 50,
  })
  for (const id of rooms) await untilNothingIsLeft(database, id)
  assert.deepEqual(await leftOf(database, other), kept)
})
