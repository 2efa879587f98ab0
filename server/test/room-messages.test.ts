import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import { openDatabase } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import { Messages, type SentMessage } from '#rooms/messages.ts'
import { type RoomNews, Timeline } from '#rooms/timeline.ts'
import { range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase, testLog } from './support/postgres.ts'

function code(expected: string) {
  return (error: unknown) => error instanceof AtomError && error.code === expected
}

test('[RM1] twenty thousand racing messages, each sent up to three times over two processes, get one place each and no place stays empty', async () => {
  await using own = await testDatabase()
  await using other = await openDatabase({ connection: own.connection, poolSize: 8, log: testLog })
  await using live = await startLive(own.database)
  await using secondTimeline = await Timeline.open({ database: other, log: testLog })
  await using second = new Messages({ database: other, timeline: secondTimeline, log: testLog })
  const people = [somebody(), ...range(1, 3).map(() => somebody())].map((person, _, [first]) => ({
    ...person,
    workspaceId: first?.workspaceId ?? person.workspaceId,
  }))
  const rooms = await Promise.all(range(1, 5).map(() => roomOf(own.database, live, ...people)))
  const total = 20_000
  const doors = [live.messages, second]
  const answers = new Map<string, SentMessage[]>()
  let next = 0
  const publisher = async () => {
    for (let number = next++; number < total; number = next++) {
      const person = people[number % people.length] ?? somebody()
      const roomId = rooms[(number * 7) % rooms.length] ?? ''
      const message = { clientId: `client-${number}`, text: `message ${number}` }
      const times = 1 + (number % 3)
      const sent = await Promise.all(
        range(1, times).map((time) => doors[(number + time) % 2]?.send(person, roomId, message)),
      )
      answers.set(
        `${roomId} ${person.id} ${message.clientId}`,
        sent.filter((answer) => answer !== undefined),
      )
    }
  }
  await Promise.all(range(1, 600).map(publisher))

  let stored = 0
  for (const roomId of rooms) {
    const rows = await own.database.query<{
      seq: number
      id: string
      actor_id: string
      client_id: string
      text: string
    }>(
      sql`select seq, id, actor_id, client_id, body ->> 'text' as text from room_events where room_id = ${roomId} order by seq`,
    )
    assert.deepEqual(
      rows.map((row) => row.seq),
      range(1, rows.length),
    )
    const [room] = await own.database.query<{ seq: number }>(sql`select seq from rooms where id = ${roomId}`)
    assert.equal(room?.seq, rows.length)
    for (const row of rows) {
      const told = answers.get(`${roomId} ${row.actor_id} ${row.client_id}`) ?? []
      assert.ok(told.length > 0)
      assert.equal(
        told.filter((answer) => !answer.duplicate).length,
        1,
        'exactly one sender is told that it was new',
      )
      for (const answer of told) {
        assert.deepEqual([answer.seq, answer.id, answer.text], [row.seq, row.id, row.text])
      }
    }
    stored += rows.length
  }
  assert.equal(stored, total)
})

test('[RM2] a message of 16,384 bytes of UTF-8 is accepted and one of 16,385 is refused, counted in bytes and not in characters', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const euro = '€'.repeat(5_461)
  assert.equal(Buffer.byteLength(`${euro}a`), limits.messageBytes)
  const whole = await live.messages.send(ada, roomId, { clientId: newId(), text: `${euro}a` })
  assert.equal(whole.text, `${euro}a`)
  await assert.rejects(
    live.messages.send(ada, roomId, { clientId: newId(), text: `${euro}aa` }),
    (error: unknown) =>
      error instanceof AtomError && error.code === 'message_too_large' && error.detail.includes('16385'),
  )
  assert.equal((await live.timeline.since(roomId, 0)).head, 1)
})

test('[RM3] the same clientId again answers with the first message, whatever it says and however much later', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const clientId = newId()
  const first = await live.messages.send(ada, roomId, { clientId, text: 'once' })
  await live.messages.send(ada, roomId, { clientId: newId(), text: 'in between' })
  const again = await live.messages.send(ada, roomId, { clientId, text: 'changed' })
  assert.deepEqual(again, { ...first, duplicate: true })
})

test('[RM4] a room of another workspace does not exist, and a room of mine that I am not in is closed to me', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const colleague = somebody(ada.workspaceId)
  const stranger = somebody()
  const message = () => ({ clientId: newId(), text: 'hello' })
  for (const [who, expected, where] of [
    [stranger, 'not_found', roomId],
    [colleague, 'not_a_member', roomId],
    [ada, 'not_found', newId()],
  ] as const) {
    await assert.rejects(live.messages.send(who, where, message()), code(expected))
    await assert.rejects(live.rooms.get(who, where), code(expected))
    await assert.rejects(live.rooms.requireMember(who, where), code(expected))
    await assert.rejects(live.rooms.markRead(who, where, 1), code(expected))
    await assert.rejects(live.rooms.addMember(who, where, { kind: 'account', id: who.id }), code(expected))
  }
  assert.deepEqual((await live.rooms.list(colleague)).items, [])
  assert.equal((await live.timeline.since(roomId, 0)).head, 0)
})

test('[RM5] one message that cannot be stored fails alone; the others of its batch are stored without a gap', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const drafts = range(1, 100).map((number) => ({
    roomId,
    type: 'message.created' as const,
    actor: ada,
    clientId: newId(),
    // PostgreSQL has no text with NUL: the whole statement fails because of this row.
    body: { text: number === 37 ? 'not \0 text' : `message ${number}` },
  }))
  const results = await Promise.allSettled(drafts.map((draft) => live.messages.publish(draft)))
  const failed = results.flatMap((result, index) =>
    result.status === 'rejected' ? [[index, result.reason]] : [],
  )
  assert.equal(failed.length, 1)
  assert.equal(failed[0]?.[0], 36)
  assert.ok(code('validation_failed')(failed[0]?.[1]))
  const page = await live.timeline.since(roomId, 0)
  assert.deepEqual(
    page.events.map((event) => event.seq),
    range(1, 99),
  )
})

test('[RM6] text that is not text (NUL, half an emoji) is refused before it reaches the database', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  for (const text of ['a\0b', 'half \ud83d']) {
    await assert.rejects(
      live.messages.send(ada, roomId, { clientId: newId(), text }),
      code('validation_failed'),
    )
  }
})

test('[RM7] when more waits than the queue takes, the next message is refused as busy with a time to come back, and what was accepted is stored', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  await using messages = new Messages({
    database: own.database,
    timeline: live.timeline,
    log: testLog,
    queue: { rows: 100, bytes: 1_000_000 },
  })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const results = await Promise.allSettled(
    range(1, 500).map((number) => messages.send(ada, roomId, { clientId: newId(), text: `${number}` })),
  )
  const refused = results.filter((result) => result.status === 'rejected')
  const accepted = results.filter((result) => result.status === 'fulfilled')
  assert.ok(refused.length > 0 && accepted.length >= 100)
  for (const { reason } of refused) {
    assert.ok(code('busy')(reason))
    assert.ok(reason instanceof AtomError && (reason.retryAfterMs ?? 0) > 0)
  }
  assert.equal((await live.timeline.since(roomId, 0)).head, accepted.length)
})

test('[RM8] events written in somebody’s transaction appear with its commit, are told to every process, and vanish with its rollback', async () => {
  await using own = await testDatabase()
  await using other = await openDatabase({ connection: own.connection, poolSize: 4, log: testLog })
  await using live = await startLive(own.database)
  await using elsewhere = await Timeline.open({ database: other, log: testLog })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const here: RoomNews[] = []
  const there: RoomNews[] = []
  using _here = live.timeline.subscribe((news) => here.push(news))
  const heard = Promise.withResolvers<void>()
  using _there = elsewhere.subscribe((news) => {
    there.push(news)
    heard.resolve()
  })
  const draft = (clientId: string) => ({
    roomId,
    type: 'message.created' as const,
    actor: ada,
    clientId,
    body: { text: clientId },
  })
  await assert.rejects(
    own.database.transaction(async (tx) => {
      await live.timeline.append(tx, [draft('undone')])
      throw new Error('changed its mind')
    }),
    /changed its mind/,
  )
  assert.equal(here.length, 0)
  const appended = await own.database.transaction(async (tx) => {
    const first = await live.timeline.append(tx, [draft('one'), draft('two'), draft('one')])
    assert.equal(here.length, 0, 'nobody hears of it before the commit')
    return first
  })
  assert.deepEqual(
    appended.map(({ seq, duplicate }) => [seq, duplicate]),
    [
      [1, false],
      [2, false],
      [1, true],
    ],
  )
  assert.deepEqual(
    here.find((news) => news.events !== undefined)?.events?.map((event) => event.seq),
    [1, 2],
  )
  await heard.promise
  assert.deepEqual(there[0], { roomId, head: 2, echo: true })
  await assert.rejects(
    own.database.transaction((tx) => live.timeline.append(tx, [{ ...draft('three'), roomId: newId() }])),
    code('not_found'),
  )
})

test('[RM9] a timeline is paged forwards and backwards without losing or repeating an event, by number and by size', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const large = 'x'.repeat(16_000)
  await Promise.all(
    range(1, 300).map((number) =>
      live.messages.send(ada, roomId, {
        clientId: newId(),
        text: number > 100 && number <= 150 ? large : `${number}`,
      }),
    ),
  )
  const forwards: number[] = []
  for (let after = 0, more = true; more; ) {
    const page = await live.timeline.since(roomId, after)
    assert.ok(JSON.stringify(page.events).length < 400_000, 'a page stays small')
    forwards.push(...page.events.map((event) => event.seq))
    after = page.events.at(-1)?.seq ?? 0
    more = page.more
  }
  assert.deepEqual(forwards, range(1, 300))
  const backwards: number[] = []
  for (let before = 301, more = true; more; ) {
    const page = await live.timeline.before(roomId, before, 70)
    backwards.unshift(...page.events.map((event) => event.seq))
    before = page.events[0]?.seq ?? 1
    more = page.more
  }
  assert.deepEqual(backwards, range(1, 300))
  await assert.rejects(live.timeline.since(newId(), 0), code('not_found'))
})

test('[RM10] rooms are listed by their last event, and a member’s read mark moves forward only and never past the head', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const rooms: string[] = []
  for (const _ of range(1, 5)) rooms.push(await roomOf(own.database, live, ada))
  const [oldest = ''] = rooms
  await live.messages.send(ada, oldest, { clientId: newId(), text: 'news' })
  const listed: string[] = []
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await live.rooms.list(ada, { cursor, limit: 2 })
    listed.push(...page.items.map((room) => room.id))
    cursor = page.next
  }
  assert.deepEqual(listed, [oldest, ...rooms.slice(1).reverse()])
  await assert.rejects(live.rooms.list(ada, { cursor: 'nonsense' }), code('validation_failed'))
  await live.rooms.markRead(ada, oldest, 99)
  assert.equal((await live.rooms.get(ada, oldest)).readSeq, 1)
  await live.messages.send(ada, oldest, { clientId: newId(), text: 'more news' })
  await live.rooms.markRead(ada, oldest, 0)
  const room = await live.rooms.get(ada, oldest)
  assert.deepEqual(
    [room.readSeq, room.head, room.members.map(({ id, name }) => [id, name])],
    [1, 2, [[ada.id, 'Ada']]],
  )
})

test('[RM11] adding somebody is told in the room once, and adding them again changes nothing', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  await using live = await startLive(own.database, { people: [ada, bob] })
  const roomId = await roomOf(own.database, live, ada)
  const added = await Promise.all(
    range(1, 4).map(() => live.rooms.addMember(ada, roomId, { kind: 'account', id: bob.id })),
  )
  assert.equal(added.filter((answer) => answer.added).length, 1)
  const page = await live.timeline.since(roomId, 0)
  assert.deepEqual(
    page.events.map((event) =>
      event.type === 'member.joined' ? [event.actor.name, event.member.name] : event.type,
    ),
    [['Ada', 'Bob']],
  )
  await live.messages.send(bob, roomId, { clientId: newId(), text: 'hello' })
  await assert.rejects(
    live.rooms.addMember(ada, roomId, { kind: 'account', id: somebody().id }),
    code('not_found'),
  )
})

test('[RM15] news of many rooms in one batch reach another process room by room, although one notification cannot hold them', async () => {
  await using own = await testDatabase()
  await using other = await openDatabase({ connection: own.connection, poolSize: 2, log: testLog })
  await using live = await startLive(own.database)
  await using elsewhere = await Timeline.open({ database: other, log: testLog, recheckMs: 3_600_000 })
  const ada = somebody()
  const rooms = await Promise.all(range(1, 300).map(() => roomOf(own.database, live, ada)))
  const heard = new Map<string, number>()
  using _news = elsewhere.subscribe(({ roomId, head }) => heard.set(roomId, head))
  await own.database.transaction((tx) =>
    live.timeline.append(
      tx,
      rooms.map((roomId) => ({
        roomId,
        type: 'message.created',
        actor: ada,
        clientId: newId(),
        body: { text: 'to all' },
      })),
    ),
  )
  await until(() => heard.size === 300, 'news of every room')
  assert.deepEqual(heard, new Map([...heard.keys()].map((roomId) => [roomId, 1])))
  assert.deepEqual([...heard.keys()].sort(), rooms.toSorted())
})
