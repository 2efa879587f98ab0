import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import sql from 'sql-template-tag'
import type { AccountPrincipal } from '#access/principal.ts'
import { migrate } from '#foundation/database/migrate.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import { EndedRooms } from '#rooms/ended-rooms.ts'
import { PublishTraffic } from '#rooms/publish-traffic.ts'
import { publishInTurn } from '#rooms/room-store.ts'
import type { EventDraft } from '#rooms/timeline.ts'
import { range, roomOf, somebody, startLive, until } from './support/live.ts'
import { emptyTestDatabase, migrationsFolder, testDatabase, testLog } from './support/postgres.ts'

function code(expected: string) {
  return (error: unknown) => error instanceof AtomError && error.code === expected
}

/** As the server of the version before this one publishes, message by message. */
async function publishEarlier(
  database: Database,
  roomId: string,
  person: AccountPrincipal,
  clientId: string,
  text: string,
): Promise<{ readonly verdict: string; readonly seq: number; readonly id: string }> {
  const [row] = await database.query<{ verdict: string; seq: number; id: string }>(sql`
    select verdict, event_seq as seq, event_id as id
    from publish_room_events(
      array[${roomId}::uuid], array[${person.workspaceId}::uuid], array[true], array[${newId()}::uuid],
      array['message.created'], array['account'], array[${person.id}::uuid], array[${clientId}::text],
      array[${JSON.stringify({ text })}::text]
    )`)
  assert.ok(row)
  return row
}

/** A database as the version before left it, and the rest of its migrations. */
async function earlier(database: Database): Promise<() => Promise<unknown>> {
  const directory = await mkdtemp(join(tmpdir(), 'atom-migrations-'))
  try {
    for (const name of await readdir(migrationsFolder))
      if (name < '0020') await cp(join(migrationsFolder, name), join(directory, name))
    await migrate(database, { directory, log: testLog })
  } finally {
    await rm(directory, { recursive: true })
  }
  return () => migrate(database, { directory: migrationsFolder, log: testLog })
}

async function seqsOf(database: Database, roomId: string): Promise<number[]> {
  const rows = await database.query<{ seq: number }>(
    sql`select seq from room_events where room_id = ${roomId} order by seq`,
  )
  return rows.map(({ seq }) => seq)
}

test('[RM31] while a server of the version before still runs, both publish into one room: each message has one place, no place stays empty, and each finds what the other has stored', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const answers = await Promise.all(
    range(1, 400).map(async (number) => {
      const clientId = `client-${number}`
      const text = `message ${number}`
      const both = await Promise.all([
        live.messages.send(ada, roomId, { clientId, text }),
        publishEarlier(own.database, roomId, ada, clientId, text),
      ])
      return both.map(({ id, seq }) => `${id} ${seq}`)
    }),
  )
  for (const [here, there] of answers) assert.equal(here, there)
  assert.equal(new Set(answers.flat()).size, 400)
  assert.deepEqual(await seqsOf(own.database, roomId), range(1, 400))
  const [room] = await own.database.query<{ seq: number }>(sql`select seq from rooms where id = ${roomId}`)
  assert.equal(room?.seq, 400)
})

test('[RM32] a timeline of before goes on after the migration: its numbers, its events, and the names under which they are found again', async () => {
  await using own = await emptyTestDatabase()
  const { database } = own
  const finish = await earlier(database)
  const ada = somebody()
  const roomId = newId()
  await database.query(sql`
    insert into rooms (id, workspace_id, name, epoch, created_by)
    values (${roomId}, ${ada.workspaceId}, 'Of old', ${newId()}, ${ada.id})`)
  await database.query(sql`
    insert into room_members (room_id, kind, member_id, workspace_id, name)
    values (${roomId}, 'account', ${ada.id}, ${ada.workspaceId}, 'Ada')`)
  const before = await publishEarlier(database, roomId, ada, 'client-of-old', 'from before')
  await finish()
  await using live = await startLive(database)
  const again = await live.messages.send(ada, roomId, { clientId: 'client-of-old', text: 'changed' })
  assert.deepEqual(
    [again.duplicate, again.id, again.seq, again.text],
    [true, before.id, before.seq, 'from before'],
  )
  const next = await live.messages.send(ada, roomId, { clientId: 'client-of-now', text: 'from now' })
  assert.deepEqual([next.duplicate, next.seq], [false, 2])
  const { events } = await live.timeline.since(roomId, 0)
  assert.deepEqual(
    events.map((event) => event.type === 'message.created' && event.text),
    ['from before', 'from now'],
  )
})

test('[RM33] a room that is deleted takes its events along, also those that were being published, and nobody publishes into it any more', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const other = await roomOf(own.database, live, ada)
  await live.messages.send(ada, other, { clientId: newId(), text: 'stays' })
  const say = () => live.messages.send(ada, roomId, { clientId: newId(), text: 'hello' })
  await say()
  let late: Promise<unknown> | undefined
  const early = Promise.allSettled(range(1, 200).map(say))
  await own.database.transaction(async (tx) => {
    await tx.query(sql`delete from rooms where id = ${roomId}`)
    late = assert.rejects(say(), code('not_found'))
  })
  await late
  for (const result of await early)
    assert.ok(result.status === 'fulfilled' || code('not_found')(result.reason))
  await assert.rejects(say(), code('not_found'))
  // Nobody was told, so whoever looks next deletes what was said there.
  await using _next = new EndedRooms({ database: own.database, timeline: live.timeline, log: testLog })
  while ((await seqsOf(own.database, roomId)).length > 0) await delay(10)
  assert.deepEqual(await seqsOf(own.database, other), [1])
})

test('[RM34] repeats, refusals and news may share a batch in any order: the news follow on each other, repeats tell the first time, and the next batch does not suffer', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const rooms = [await roomOf(own.database, live, ada), await roomOf(own.database, live, ada, bob)]
  const draft = (number: number, roomId: string, person: AccountPrincipal): EventDraft => ({
    roomId,
    workspaceId: person.workspaceId,
    type: 'message.created',
    actor: person,
    clientId: `client-${number}`,
    body: { text: `${number}` },
  })
  const firsts = new Map<string, unknown>()
  for (const roomId of rooms) {
    for (const number of [3, 6, 9]) {
      const { id, seq, at, event } = await live.messages.publish(draft(number, roomId, ada))
      firsts.set(`${roomId} ${number}`, { id, seq, at, event })
    }
  }
  const stranger = somebody()
  // Sent in one turn of the event loop, so one batch takes them; then another one, which looks before it writes.
  for (const from of [0, 100]) {
    const results = await Promise.allSettled(
      range(1, 12).flatMap((number) => [
        live.messages.send(ada, rooms[0] ?? '', {
          clientId: `client-${from * Number(number % 3 !== 0) + number}`,
          text: 'x',
        }),
        live.messages.send(bob, rooms[0] ?? '', { clientId: newId(), text: 'x' }),
        live.messages.send(stranger, rooms[1] ?? '', { clientId: newId(), text: 'x' }),
        live.messages.publish(draft(from * Number(number % 3 !== 0) + number, rooms[1] ?? '', ada)),
      ]),
    )
    for (const [index, result] of results.entries()) {
      const number = 1 + Math.floor(index / 4)
      const roomId = rooms[index % 4 === 3 ? 1 : 0]
      if (index % 4 === 1) assert.ok(result.status === 'rejected' && code('not_a_member')(result.reason))
      else if (index % 4 === 2) assert.ok(result.status === 'rejected' && code('not_found')(result.reason))
      else {
        assert.ok(result.status === 'fulfilled')
        const first = firsts.get(`${roomId} ${number}`)
        assert.equal(result.value.duplicate, first !== undefined || (from === 100 && number === 12))
        if (first !== undefined && 'event' in result.value) {
          const { id, seq, at, event } = result.value
          assert.deepEqual({ id, seq, at, event }, first)
        }
      }
    }
  }
  // Three of before, and twice those of twelve numbers that were not there; 12 was new the first time alone.
  for (const roomId of rooms) assert.deepEqual(await seqsOf(own.database, roomId), range(1, 3 + 9 + 8))
})

test('[RM110] a batch that is sent before the one ahead of it is answered is stored only behind it: where that one fails, no message of a later one has overtaken it', async () => {
  await using own = await testDatabase()
  const traffic = new PublishTraffic()
  await using live = await startLive(own.database, { publishing: { traffic } })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const batches = () => traffic.batches.counts.reduce((sum, count) => sum + count)
  // The first of two waits for the room, the second behind it; then the first is cancelled.
  const [held, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holding = own.database.transaction(async (tx) => {
    await tx.query(sql`select from rooms where id = ${roomId} for update`)
    held.resolve()
    await go.promise
  })
  await held.promise
  const frame = live.messages.sendInOrder(
    ada,
    roomId,
    range(1, 400).map((number) => ({ clientId: `client-${number}`, text: 'hello' })),
  )
  await until(() => batches() === 2, 'both are on their way')
  for (let cancelled = 0; cancelled === 0; ) {
    const waiting = await own.database.query(sql`
      select pg_cancel_backend(pid) from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()`)
    cancelled = waiting.length
  }
  go.resolve()
  await holding
  assert.deepEqual(
    (await frame).map((result) => (result.status === 'fulfilled' ? result.value.seq : result.reason)),
    range(1, 400),
  )

  // In each of several batches something that no database stores.
  const bad = new Set([100, 700, 1_150])
  const many = await Promise.allSettled(
    range(1, 1_200).map((number) =>
      live.messages.publish({
        roomId,
        type: 'message.created',
        actor: ada,
        clientId: newId(),
        body: { text: bad.has(number) ? 'not \0 text' : 'hello' },
      }),
    ),
  )
  let seq = 400
  for (const [index, result] of many.entries()) {
    if (bad.has(index + 1))
      assert.ok(result.status === 'rejected' && code('validation_failed')(result.reason))
    else assert.equal(result.status === 'fulfilled' ? result.value.seq : result.reason, ++seq)
  }
  assert.deepEqual(await seqsOf(own.database, roomId), range(1, seq))

  // Without the lane, which never sends so many: everything behind the one that fails is left out, also on another session.
  await using line = await own.database.line()
  await using other = await own.database.line()
  const said = (on: typeof line, text: string, name: string, behind?: string) =>
    publishInTurn(
      on,
      [{ roomId, type: 'message.created', actor: ada, clientId: name, body: { text } }],
      [],
      false,
      { name, behind },
    )
  const results = await Promise.allSettled([
    said(line, 'hello', 'one'),
    said(line, 'hello', 'two', 'one'),
    said(line, 'not \0 text', 'three', 'two'),
    said(line, 'hello', 'four', 'three'),
    said(line, 'hello', 'five', 'four'),
    said(other, 'hello', 'six', 'two'),
  ])
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value?.[0]?.verdict : 'failed')),
    ['stored', 'stored', 'failed', undefined, undefined, undefined],
  )
  assert.deepEqual(await seqsOf(own.database, roomId), range(1, seq + 2))
})
