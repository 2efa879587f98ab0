import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type EventPage, limits, type Room } from '@atom/contract/rooms.ts'
import sql, { type Sql } from 'sql-template-tag'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { defaultBounds } from '#realtime/send-buffer.ts'
import { SocketTraffic } from '#realtime/socket-traffic.ts'
import { lockRoom, removeMember } from '#rooms/membership-store.ts'
import type { NewMessage } from '#rooms/messages.ts'
import { EventReader } from './support/event-reader.ts'
import { PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'
import { startRoomHouse } from './support/room-house.ts'

/** No database counts so far. */
const beyond = [2 ** 53, 1e300]

/** A transaction that does `first`, and `last` when it is told to go on; then it commits. */
async function inBetween(database: Database, first: (tx: Transaction) => Promise<unknown>) {
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<(tx: Transaction) => Promise<unknown>>()
  const done = database.transaction(async (tx) => {
    await first(tx)
    begun.resolve()
    await (await go.promise)(tx)
  })
  await begun.promise
  return {
    /** So many statements of others wait for what this one holds. */
    waitedFor: async (count: number) => {
      for (;;) {
        const [row] = await database.query<{ count: number }>(sql`
          select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)
        if ((row?.count ?? 0) >= count) return
        await delay(5)
      }
    },
    finish: async (last: (tx: Transaction) => Promise<unknown> = async () => undefined) => {
      go.resolve(last)
      await done
    },
  }
}

const outcomes = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.map((result) => (result.status === 'fulfilled' ? 'stored' : result.reason.code))
const said = (number: number, text = 'hello'): NewMessage => ({ clientId: `client-${number}`, text })

test('[RM80] a place that no database can count is refused at every door, and nobody’s read mark waits behind one', async () => {
  await using house = await startRoomHouse()
  const [ada, bob] = [await house.person('Ada'), await house.person('Bob')]
  const { id, epoch } = await ada.room({ name: 'Lab', members: [{ kind: 'account', id: bob.me.id }] })
  const room = `/v1/rooms/${id}`
  await ada.say(id, 'hello')
  using hostile = new PlainClient(house.live.url, { token: ada.token })
  for (const seq of beyond) {
    for (const [method, path, body] of [
      ['GET', `${room}/events?after=${seq}`],
      ['GET', `${room}/events?before=${seq}`],
      ['GET', `${room}/stream?after=${seq}`],
      ['PATCH', `${room}/me`, { readSeq: seq }],
      ['PATCH', `${room}/me`, { unreadFrom: seq }],
      ['POST', `${room}/messages`, { clientId: newId(), text: 'hello', replyTo: seq }],
      ['PATCH', `${room}/messages/${seq}`, { text: 'hello' }],
      ['DELETE', `${room}/messages/${seq}`],
      ['PUT', `${room}/pins/${seq}`],
    ] as const) {
      assert.equal(await ada.refused(method, path, body), 'validation_failed', `${method} ${path}`)
    }
    for (const [name, body] of [
      ['room.read', { seq }],
      ['room.join', { after: seq }],
      ['room.fetch', { after: seq }],
      ['message.delete', { seq }],
      ['message.react', { seq, emoji: '👍', on: true }],
      ['message.edit', { seq, clientId: newId(), text: 'hello' }],
      ['message.send', { clientId: newId(), text: 'hello', replyTo: seq }],
    ] as const) {
      const answer = await hostile.askAnything(name, { roomId: id, ...body })
      assert.equal(answer.error?.code, 'frame_malformed', name)
    }
    using back = new PlainClient(house.live.url, { token: ada.token, cursors: { [id]: { epoch, seq } } })
    assert.equal((await back.refused()).code, 'frame_malformed')
  }
  using reader = new PlainClient(house.live.url, { token: bob.token })
  assert.ok((await reader.ask('room.read', { roomId: id, seq: 1 })).ok)
  assert.equal((await bob.call<Room>('GET', room)).body.readSeq, 1)
})

test('[RM81] U+0000 in a name or a search, and a cursor that somebody made up, are told as wrong', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id } = await ada.room({ name: 'Lab', members: [] })
  assert.equal(await ada.refused('POST', '/v1/rooms', { name: 'La\0b' }), 'validation_failed')
  assert.equal(await ada.refused('PATCH', `/v1/rooms/${id}`, { name: '\0' }), 'validation_failed')
  assert.equal(await ada.refused('GET', '/v1/messages/search?q=a%00b'), 'validation_failed')
  const moment = '2026-02-27 10:00:00.123456+00'
  for (const made of [
    `1|${id}`,
    `${moment}|${'-'.repeat(36)}`,
    `${moment.replace('-27', '-30')}|${id}`,
    `${moment.replace('10:', '25:')}|${id}`,
    `${moment}|${id}\0`,
  ]) {
    const cursor = Buffer.from(made).toString('base64url')
    const cursorOfHits = Buffer.from(`${made}|1`).toString('base64url')
    assert.equal(await ada.refused('GET', `/v1/rooms?cursor=${cursor}`), 'validation_failed', made)
    assert.equal(
      await ada.refused('GET', `/v1/messages/search?q=a&order=newest&cursor=${cursorOfHits}`),
      'validation_failed',
      made,
    )
  }
  const whole = Buffer.from(`${moment}|${id}`).toString('base64url')
  assert.equal((await ada.call('GET', `/v1/rooms?cursor=${whole}`)).status, 200)
})

test('[RM82] who was taken out while they waited for the room changes nothing in it any more', async () => {
  await using house = await startRoomHouse()
  const [ada, bob, cy] = [await house.person('Ada'), await house.person('Bob'), await house.person('Cy')]
  const { id } = await ada.room({ name: 'Lab', members: [{ kind: 'account', id: bob.me.id }] })
  const room = `/v1/rooms/${id}`
  const seq = await bob.say(id, 'mine')
  const { head } = (await ada.call<Room>('GET', room)).body
  const removal = await inBetween(house.database, (tx) => lockRoom(tx, id))
  const wishes = [
    bob.refused('PATCH', `${room}/messages/${seq}`, { text: 'changed' }),
    bob.refused('DELETE', `${room}/messages/${seq}`),
    bob.refused('PUT', `${room}/messages/${seq}/reactions/${encodeURIComponent('👍')}`),
    bob.refused('PUT', `${room}/pins/${seq}`),
    bob.refused('POST', `${room}/members`, { kind: 'account', id: cy.me.id }),
  ]
  await removal.waitedFor(wishes.length)
  await removal.finish((tx) => removeMember(tx, id, bob.me))
  assert.deepEqual(
    await Promise.all(wishes),
    wishes.map(() => 'not_a_member'),
  )
  const after = (await ada.call<Room>('GET', room)).body
  assert.equal(after.head, head)
  assert.deepEqual(
    after.members.map(({ name }) => name),
    ['Ada'],
  )
})

test('[RM83] a deletion is told whatever clientIds its author has used', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await live.messages.send(ada, roomId, said(1, 'to be gone'))
  await live.messages.send(ada, roomId, { clientId: 'deleted-1', text: 'in the way' })
  await live.amendments.delete(ada, roomId, 1)
  const { events } = await live.timeline.since(roomId, 2)
  assert.deepEqual(
    events.map((event) => [event.type, 'targetSeq' in event ? event.targetSeq : undefined]),
    [['message.deleted', 1]],
  )
})

test('[RM84] where part of a frame could not be stored now, what waited behind it is refused with it, and none overtakes', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const holder = await inBetween(own.database, (tx) => lockRoom(tx, roomId))
  // More than one batch takes.
  const first = live.messages.sendInOrder(
    ada,
    roomId,
    range(1, 400).map((number) => said(number)),
  )
  await holder.waitedFor(1)
  await own.database.query(sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where wait_event_type = 'Lock' and datname = current_database()`)
  await holder.finish()
  assert.deepEqual([...new Set(outcomes(await first))], ['unavailable'])
  const again = await live.messages.sendInOrder(
    ada,
    roomId,
    range(1, 400).map((number) => said(number)),
  )
  assert.deepEqual(
    again.map((result) => (result.status === 'fulfilled' ? result.value.seq : result.reason)),
    range(1, 400),
  )
})

test('[RM85] a short message does not slip into a full lane past a long one of its frame', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { publishing: { queue: { rows: 100, bytes: 800 } } })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const holder = await inBetween(own.database, (tx) => lockRoom(tx, roomId))
  const first = live.messages.send(ada, roomId, said(1))
  await holder.waitedFor(1)
  const long = 'l'.repeat(300)
  const frame = live.messages.sendInOrder(ada, roomId, [said(2, long), said(3, long), said(4), said(5)])
  await holder.finish()
  await first
  const told = outcomes(await frame)
  assert.deepEqual(told, [...told.filter((one) => one === 'stored'), ...told.filter((one) => one === 'busy')])
  assert.ok(told.includes('stored') && told.includes('busy'))
})

test('[RM86] a page that is being read while somebody is taken out is not given to them', async () => {
  await using house = await startRoomHouse()
  const [ada, bob] = [await house.person('Ada'), await house.person('Bob')]
  const { id } = await ada.room({ name: 'Lab', members: [{ kind: 'account', id: bob.me.id }] })
  await ada.say(id, 'for both')
  using socket = new PlainClient(house.live.url, { token: bob.token })
  await socket.hello()
  const removal = await inBetween(house.database, (tx) =>
    tx.query(sql`lock table room_events in access exclusive mode`),
  )
  const pages = ['after=0', 'before=100', 'limit=100'].map((query) =>
    bob.refused('GET', `/v1/rooms/${id}/events?${query}`),
  )
  const fetched = socket.ask('room.fetch', { roomId: id, after: 0 })
  await removal.waitedFor(4)
  await removal.finish(async (tx) => {
    await removeMember(tx, id, bob.me)
    const { id: actorId, workspaceId } = ada.me
    await house.live.timeline.append(tx, [
      {
        roomId: id,
        workspaceId,
        type: 'message.created',
        actor: { kind: 'account', id: actorId },
        clientId: newId(),
        body: { text: 'for Ada alone' },
      },
    ])
  })
  assert.deepEqual(await Promise.all(pages), ['not_a_member', 'not_a_member', 'not_a_member'])
  const answer = await fetched
  assert.equal(answer.ok ? 'let through' : answer.error.code, 'not_a_member')
})

test('[RM87] a page is as small where messages have very many reactions', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  for (const number of range(1, 3)) await live.messages.send(ada, roomId, said(number))
  await own.database.query(sql`
    insert into room_reactions (room_id, seq, emoji, kind, member_id)
    select ${roomId}, seq, 'way ' || way, 'account', gen_random_uuid()
    from generate_series(1, 3) as seq, generate_series(1, ${limits.reactions}::int) as way, generate_series(1, 400)`)
  const pages: EventPage[] = []
  for (let after = 0; after < 3; after = pages.at(-1)?.events.at(-1)?.seq ?? 3)
    pages.push(await live.timeline.since(roomId, after))
  assert.deepEqual(
    pages.map(({ events, more }) => [events.map(({ seq }) => seq), more]),
    [
      [[1], true],
      [[2], true],
      [[3], false],
    ],
  )
})

test('[RM88] whoever is shown what they have read waits for what was read while something else was written', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  for (const number of range(1, 2)) await live.messages.send(ada, roomId, said(number))
  const query = own.database.query.bind(own.database)
  const gate = Promise.withResolvers<void>()
  let begun = 0
  let written = 0
  own.database.query = async <Row extends object>(statement: Sql) => {
    if (!statement.text.includes('with moving as')) return await query<Row>(statement)
    begun++
    await gate.promise
    const rows = await query<Row>(statement)
    written++
    return rows
  }
  live.receipts.mark(ada, roomId, 1)
  const before = live.receipts.settled(ada.id)
  await until(() => begun === 1, 'the first writing')
  live.receipts.mark(ada, roomId, 2)
  const two = [live.receipts.settled(ada.id), live.receipts.settled(ada.id)]
  gate.resolve()
  await before
  await two[1]
  assert.equal(written, 2)
  await two[0]
})

test('[RT150] who is not in a room tells nothing in it, also while it is looked up whether they may join', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const [ada, stranger] = [somebody(), somebody(undefined, 'Mallory')]
  const roomId = await roomOf(own.database, live, ada)
  using member = new PlainClient(live.url, { token: await live.token(ada) })
  assert.ok((await member.ask('room.join', { roomId })).ok)
  using hostile = new PlainClient(live.url, { token: await live.token(stranger) })
  await hostile.hello()
  const holder = await inBetween(own.database, (tx) =>
    tx.query(sql`lock table room_members in access exclusive mode`),
  )
  const joined = hostile.ask('room.join', { roomId })
  await holder.waitedFor(1)
  const typed = hostile.ask('signal', { roomId, kind: 'typing' })
  const returned = await Promise.race([typed, holder.waitedFor(2)])
  await holder.finish()
  assert.equal(returned, undefined, 'it is not told before it is known')
  for (const answer of await Promise.all([joined, typed]))
    assert.equal(answer.ok ? 'let through' : answer.error.code, 'not_found')
  // Whatever came before it is there when this is.
  await live.messages.send(ada, roomId, said(1))
  await until(() => member.seqs().includes(1), 'a message')
  assert.deepEqual(member.signals, [])
})

test('[RT151] what is said while a stream reads its first page comes at once', async () => {
  // Nobody looks whether something was missed.
  await using house = await startRoomHouse({ recheckMs: 600_000 })
  const ada = await house.person('Ada')
  const { id } = await ada.room({ name: 'Lab', members: [] })
  await ada.say(id, 'before')
  const { timeline } = house.live
  const newest = timeline.newest.bind(timeline)
  timeline.newest = async (...asked) => {
    timeline.newest = newest
    const page = await newest(...asked)
    await ada.say(id, 'meanwhile')
    return page
  }
  await using reader = await EventReader.open(`${house.url}/v1/rooms/${id}/stream`, ada)
  await until(() => reader.named('message').length === 2, 'both')
  assert.deepEqual(
    reader.named('message').map(({ data }) => data['text']),
    ['before', 'meanwhile'],
  )
})

test('[RM89] who comes back into a room has nothing to catch up on of what was said while they were out', async () => {
  await using house = await startRoomHouse()
  const [ada, bob] = [await house.person('Ada'), await house.person('Bob')]
  const member = { kind: 'account', id: bob.me.id }
  const { id } = await ada.room({ name: 'Lab', members: [member] })
  await ada.say(id, 'before', { mentions: [bob.me.id] })
  const counted = async () => {
    const { unread, unreadMentions } = (await bob.call<Room>('GET', `/v1/rooms/${id}`)).body
    return { unread, unreadMentions }
  }
  assert.deepEqual(await counted(), { unread: 1, unreadMentions: 1 })
  assert.equal((await ada.call('DELETE', `/v1/rooms/${id}/members/${bob.me.id}`)).status, 204)
  await ada.say(id, 'about Bob')
  assert.equal((await ada.call('POST', `/v1/rooms/${id}/members`, member)).status, 201)
  assert.deepEqual(await counted(), { unread: 0, unreadMentions: 0 })
  await ada.say(id, 'afterwards')
  assert.deepEqual(await counted(), { unread: 1, unreadMentions: 0 })
})

test('[RT152] long answers do not pile up for somebody who asks and does not read', async () => {
  await using own = await testDatabase()
  const traffic = new SocketTraffic()
  await using live = await startLive(own.database, { traffic })
  const ada = somebody()
  const rooms = await Promise.all(range(1, 10).map(() => roomOf(own.database, live, ada)))
  // Crowded rooms, whose people are at another node.
  const node = newId()
  await own.database.query(sql`insert into nodes (id, beat_at) values (${node}, now() + interval '1 hour')`)
  await own.database.query(sql`
    insert into room_members (room_id, kind, member_id, workspace_id, name)
    select r.id, 'account', p.id, r.workspace_id, 'Guest'
    from rooms r, (select gen_random_uuid() as id from generate_series(1, 400)) p`)
  await own.database.query(sql`
    insert into node_people (node_id, account_id, state)
    select distinct ${node}::uuid, member_id, 'active' from room_members where member_id <> ${ada.id}`)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  await client.hello()
  const first = await client.ask('presence.watch', { roomIds: rooms })
  const bytes = JSON.stringify(first).length
  assert.ok(bytes > 200_000)
  const stream = tcpOf(client)
  stream.pause()
  const asked = range(1, 60).map(() => client.ask('presence.watch', { roomIds: rooms }))
  let most = 0
  const refused = () => new Map(traffic.framesRefused).get('busy') ?? 0
  await until(() => {
    most = Math.max(most, ...live.sockets.unsent())
    return refused() > 0
  }, 'it is told to read first')
  stream.resume()
  const answers = await Promise.all(asked)
  assert.ok(answers.some(({ ok }) => ok))
  assert.equal(answers.filter((answer) => !answer.ok && answer.error.code === 'busy').length, refused())
  assert.ok(most < defaultBounds.hard + 4 * bytes, `${most} code units waited`)
})

test('[RT153] of two wishes whom to watch, the later one counts, whichever is looked up first', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const [ada, bob] = [somebody(), somebody(undefined, 'Bob')].map((person, _, [first]) => ({
    ...person,
    workspaceId: first?.workspaceId ?? person.workspaceId,
  }))
  assert.ok(ada !== undefined && bob !== undefined)
  const [left, right] = [await roomOf(own.database, live, ada), await roomOf(own.database, live, ada, bob)]
  const second = Promise.withResolvers<void>()
  const standings = live.rooms.standings.bind(live.rooms)
  live.rooms.standings = async (...asked) => {
    const found = await standings(...asked)
    // Where nothing holds the second one back it overtakes.
    if (asked[1].includes(left)) await Promise.race([second.promise, delay(300)])
    else second.resolve()
    return found
  }
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  await client.hello()
  const wishes = [left, right].map((roomId) => client.ask('presence.watch', { roomIds: [roomId] }))
  for (const answer of await Promise.all(wishes)) assert.ok(answer.ok)
  using other = new PlainClient(live.url, { token: await live.token(bob) })
  await other.hello()
  await until(
    () =>
      client.signals.some(
        (signal) => signal.kind === 'presence' && signal.changes.some(({ id }) => id === bob.id),
      ),
    'Bob is there',
  )
})

test('[RT154] one person has so many streams open and no more, and their neighbours notice nothing', async () => {
  await using house = await startRoomHouse({ streamsPerAccount: 2 })
  const [ada, bob] = [await house.person('Ada'), await house.person('Bob')]
  const { id } = await ada.room({ name: 'Lab', members: [{ kind: 'account', id: bob.me.id }] })
  const address = `${house.url}/v1/rooms/${id}/stream`
  await using first = await EventReader.open(address, ada)
  await using second = await EventReader.open(address, ada)
  await until(() => house.streams.count === 2, 'both')
  await using third = await EventReader.open(address, ada)
  await using other = await EventReader.open(address, bob)
  assert.deepEqual(
    [first, second, third, other].map(({ status }) => status),
    [200, 200, 503, 200],
  )
  assert.equal(third.headers.get('retry-after'), '5')
  await first[Symbol.asyncDispose]()
  await until(() => house.streams.count === 2, 'one is gone')
  await using again = await EventReader.open(address, ada)
  assert.equal(again.status, 200)
})

/** The connection below a client's WebSocket; nobody but a test wants to stop reading from it. */
function tcpOf(client: PlainClient): Duplex {
  const transport = client.socket.io.engine.transport as unknown as { ws: { _socket: Duplex } }
  return transport.ws._socket
}
