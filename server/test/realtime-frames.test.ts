import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { limits } from '@atom/contract/rooms.ts'
import { socketLimits } from '@atom/contract/socket.ts'
import type { Sql } from 'sql-template-tag'
import { AtomError } from '#foundation/errors.ts'
import { Failures } from '#foundation/failure-groups.ts'
import { newId } from '#foundation/ids.ts'
import { PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'

test('[RT1] a plain Socket.IO client joins, sends, and hears itself and others, in order, by the contract alone', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  using first = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'ada-laptop', v: 1 })
  using second = new PlainClient(live.url, { token: await live.token(bob) })
  const hello = await first.hello()
  assert.equal(hello.deviceId, 'ada-laptop')
  assert.ok(hello.expiresInMs > 590_000 && hello.expiresInMs <= 600_000)
  assert.notEqual((await second.hello()).deviceId, '')
  for (const client of [first, second]) {
    const joined = await client.ask('room.join', { roomId: roomId.toUpperCase() })
    assert.ok(joined.ok && joined.head === 0 && joined.events.length === 0 && !joined.more)
  }
  const sent = await first.ask('message.send', { roomId, clientId: newId(), text: 'hello' })
  assert.ok(sent.ok && 'seq' in sent && sent.seq === 1)
  const batch = await second.ask('message.send', {
    roomId,
    items: range(1, 3).map((number) => ({ clientId: `client-${number}`, text: `from Bob ${number}` })),
  })
  assert.ok(batch.ok && 'results' in batch)
  assert.deepEqual(
    batch.results.map((result) => result.ok && result.seq),
    [2, 3, 4],
  )
  for (const client of [first, second]) {
    await until(() => client.events.length === 4, 'four events')
    assert.deepEqual(client.seqs(), [1, 2, 3, 4])
    assert.deepEqual(
      client.events.map((event) => event.actor.name),
      ['Ada', 'Bob', 'Bob', 'Bob'],
    )
    assert.deepEqual(client.problems, [])
  }
  const fetched = await second.ask('room.fetch', { roomId, after: 1, limit: 2 })
  assert.ok(fetched.ok && fetched.more)
  assert.deepEqual(
    fetched.events.map((event) => event.seq),
    [2, 3],
  )
  assert.ok((await first.ask('room.read', { roomId, seq: 4 })).ok)
  await live.receipts.settled(ada.id)
  assert.equal((await live.rooms.get(ada, roomId)).readSeq, 4)
  assert.ok((await second.ask('room.leave', { roomId })).ok)
  await first.ask('message.send', { roomId, clientId: newId(), text: 'alone' })
  await until(() => first.events.length === 5, 'the fifth event')
  await second.ask('room.read', { roomId, seq: 1 })
  assert.equal(second.events.length, 4, 'who has left hears no more')
})

test('[RT2] what a client sends wrong is answered with one sentence and the right code, and changes nothing', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const closed = await roomOf(own.database, live, somebody(ada.workspaceId))
  const foreign = await roomOf(own.database, live, somebody())
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  await client.hello()
  const message = { clientId: newId(), text: 'hello' }
  const cases: readonly (readonly [string, readonly unknown[], string])[] = [
    ['room.join', [{ roomId: newId() }], 'not_found'],
    ['room.join', [{ roomId: foreign }], 'not_found'],
    ['room.join', [{ roomId: closed }], 'not_a_member'],
    ['room.fetch', [{ roomId: closed, after: 0 }], 'not_a_member'],
    ['room.read', [{ roomId: foreign, seq: 0 }], 'not_found'],
    ['message.send', [{ roomId: newId(), ...message }], 'not_found'],
    ['message.send', [{ roomId: foreign, ...message }], 'not_found'],
    ['message.send', [{ roomId: closed, ...message }], 'not_a_member'],
    ['signal', [{ roomId: closed, kind: 'typing' }], 'not_a_member'],
    ['message.send', [{ roomId, clientId: newId(), text: 'a'.repeat(16_385) }], 'message_too_large'],
    ['message.send', [{ roomId, clientId: newId(), text: 'NUL \0' }], 'validation_failed'],
    ['message.send', [{ roomId, clientId: newId(), text: '  \n ' }], 'frame_malformed'],
    ['message.send', [{ roomId, clientId: 'short', text: 'hello' }], 'frame_malformed'],
    ['message.send', [{ roomId, ...message, admin: true }], 'frame_malformed'],
    ['message.send', [{ roomId, items: [] }], 'frame_malformed'],
    [
      'message.send',
      [{ roomId, items: range(1, 33).map(() => ({ clientId: newId(), text: 'x' })) }],
      'frame_malformed',
    ],
    ['message.send', [{ roomId: 'a room', ...message }], 'frame_malformed'],
    ['message.send', [], 'frame_malformed'],
    ['message.send', [null], 'frame_malformed'],
    ['message.send', ['hello'], 'frame_malformed'],
    ['message.send', [Buffer.from('hello')], 'frame_malformed'],
    ['room.join', [{ roomId, after: -1 }], 'frame_malformed'],
    ['room.join', [{ roomId, after: 1.5 }], 'frame_malformed'],
    ['room.fetch', [{ roomId, after: 0, limit: 201 }], 'frame_malformed'],
    ['auth.refresh', [{ token: 'not a token' }], 'unauthenticated'],
    ['auth.refresh', [{ token: await live.token(somebody()) }], 'forbidden'],
    ['no.such.frame', [{ roomId }], 'frame_malformed'],
    ['error', [{ roomId }], 'frame_malformed'],
    ['__proto__', [{ roomId }], 'frame_malformed'],
    ['toString', [{ roomId }], 'frame_malformed'],
  ]
  for (const [name, body, expected] of cases) {
    const answer = await client.askAnything(name, ...body)
    assert.equal(answer.ok, false, `${name} ${JSON.stringify(body)}`)
    assert.equal(answer.error?.code, expected, `${name} ${JSON.stringify(body)}: ${answer.error?.detail}`)
    assert.match(answer.error?.detail ?? '', /^.{10,300}[.]$/s)
  }
  const edge = await client.ask('message.send', { roomId, clientId: newId(), text: 'a'.repeat(16_384) })
  assert.ok(
    edge.ok && 'seq' in edge && edge.seq === 1,
    'what is one byte shorter is the room’s first message',
  )
  assert.ok((await client.ask('room.join', { roomId })).ok)
})

test('[RT3] frames without an acknowledgement, and bytes that are no frame, do not disturb anybody', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  using broken = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'broken-one' })
  await Promise.all([client.hello(), broken.hello()])
  await live.messages.send(ada, roomId, { clientId: newId(), text: 'before' })
  client.socket.emit('no.such.frame')
  client.socket.emit('message.send')
  client.socket.emit('message.send', null, 1, 'two')
  client.socket.emit('room.join', { roomId: newId() })
  client.socket.emit('room.join', { roomId })
  await until(() => client.events.length === 1, 'the page of a join that asked for no answer')
  client.socket.emit('message.send', { roomId, clientId: newId(), text: 'without waiting' })
  await until(() => client.events.length === 2, 'its message')
  assert.deepEqual(client.texts(), ['before', 'without waiting'])
  const gone = new Promise((resolve) => broken.socket.once('disconnect', resolve))
  broken.socket.io.engine.write('2["message.send"')
  await gone
  const tooLarge = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'too-large' })
  await tooLarge.hello()
  const cut = new Promise((resolve) => tooLarge.socket.once('disconnect', resolve))
  tooLarge.socket.emit('message.send', { text: 'x'.repeat(socketLimits.frameBytes) })
  await cut
  assert.ok((await client.ask('room.read', { roomId, seq: 1 })).ok)
})

test('[RT4] a socket is refused with the reason: no token, a wrong one, an expired one, another protocol version, a foreign origin', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const token = await live.token(ada)
  const cases: readonly (readonly [object, string])[] = [
    [{}, 'frame_malformed'],
    [{ token: 7 }, 'frame_malformed'],
    [{ token, deviceId: 'x' }, 'frame_malformed'],
    [{ token, cursors: { somewhere: { epoch: newId(), seq: 1 } } }, 'frame_malformed'],
    [{ token: `${token}x` }, 'unauthenticated'],
    [{ token: await live.token(ada, -1_000) }, 'token_expired'],
    [{ token, v: 2 }, 'protocol_unsupported'],
  ]
  for (const [auth, expected] of cases) {
    using client = new PlainClient(live.url, auth)
    const refused = await client.refused()
    assert.equal(refused.code, expected)
    assert.ok(refused.detail.length > 10)
  }
  const connects = async (origin: string) => {
    using client = new PlainClient(live.url, { token }, { extraHeaders: { origin } })
    return await new Promise((resolve) => {
      client.socket.once('connect', () => resolve(true))
      client.socket.once('connect_error', () => resolve(false))
    })
  }
  assert.equal(await connects('https://evil.example'), false)
  assert.equal(await connects('null'), false)
  assert.equal(await connects(live.url), true)
  assert.equal(await connects('http://127.0.0.1:3000'), true)
  await until(() => live.sockets.count === 0, 'all of them are gone')
})

test('[RT5] an expired token on a live socket is announced, then answered with token_expired, then closed; a new one in time keeps it', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { expiry: { noticeMs: 1_500, graceMs: 1_500 } })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using lazy = new PlainClient(live.url, { token: await live.token(ada, 3_000), deviceId: 'lazy-device' })
  using careful = new PlainClient(live.url, {
    token: await live.token(ada, 3_000),
    deviceId: 'careful-device',
  })
  await Promise.all([lazy.hello(), careful.hello()])
  const notice = await until(() => careful.first('auth.expiring'), 'auth.expiring')
  assert.ok(notice.inMs <= 1_500)
  const renewed = await careful.ask('auth.refresh', { token: await live.token(ada) })
  assert.ok(renewed.ok && renewed.expiresInMs > 590_000)
  const ended = new Promise((resolve) => lazy.socket.once('disconnect', resolve))
  let answer = await lazy.ask('room.read', { roomId, seq: 0 })
  while (answer.ok) {
    await delay(25)
    answer = await lazy.ask('room.read', { roomId, seq: 0 })
  }
  assert.equal(answer.error.code, 'token_expired')
  assert.equal(lazy.first('closing'), undefined, 'there is time left for a new token')
  assert.equal(await ended, 'transport close', 'a Socket.IO client comes back by itself after this')
  assert.equal(lazy.first('closing')?.reason, 'token_expired')
  assert.ok((await careful.ask('room.read', { roomId, seq: 0 })).ok)
})

test('[RT6] a session that ends closes its sockets within a second in every process, and its token opens no new one', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  await using other = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const token = await live.token(ada)
  using here = new PlainClient(live.url, { token, deviceId: 'ada-here' })
  using there = new PlainClient(other.url, { token, deviceId: 'ada-there' })
  using bystander = new PlainClient(live.url, { token: await live.token(bob) })
  await Promise.all([here.hello(), there.hello(), bystander.hello()])
  const gone = [here, there].map(
    (client) => new Promise((resolve) => client.socket.once('disconnect', resolve)),
  )
  await own.database.transaction((tx) => live.revocations.announce(tx, ada.sessionId))
  const began = performance.now()
  // "io server disconnect": a Socket.IO client stays away after this.
  assert.deepEqual(await Promise.all(gone), ['io server disconnect', 'io server disconnect'])
  assert.ok(performance.now() - began < 1_000)
  assert.equal(here.first('closing')?.reason, 'session_revoked')
  using again = new PlainClient(other.url, { token })
  assert.equal((await again.refused()).code, 'session_revoked')
  assert.ok(bystander.socket.connected)
})

test('[RT7] a device has one socket: a newer one of the same person replaces the older', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId)
  const auth = { token: await live.token(ada), deviceId: 'the-device' }
  using older = new PlainClient(live.url, auth)
  using others = new PlainClient(live.url, { token: await live.token(bob), deviceId: 'the-device' })
  await Promise.all([older.hello(), others.hello()])
  const ended = new Promise((resolve) => older.socket.once('disconnect', resolve))
  using newer = new PlainClient(live.url, auth)
  await newer.hello()
  assert.equal(await ended, 'io server disconnect')
  assert.equal(older.first('closing')?.reason, 'replaced')
  assert.ok(newer.socket.connected && others.socket.connected)
  await until(() => live.sockets.count === 2, 'the older one is gone')
})

test('[RT8] a socket that floods is told busy with a time to wait, its neighbour notices nothing, and one that does not listen is closed', async () => {
  await using own = await testDatabase()
  const budget = { perSecond: 50, burst: 20, inFlight: 10, patience: 200 }
  await using live = await startLive(own.database, { budget })
  const ada = somebody()
  const bob = somebody(ada.workspaceId)
  const roomId = await roomOf(own.database, live, ada, bob)
  using flood = new PlainClient(live.url, { token: await live.token(ada) })
  using calm = new PlainClient(live.url, { token: await live.token(bob) })
  await Promise.all([flood.hello(), calm.hello()])
  const answers = await Promise.all(range(1, 100).map(() => flood.ask('room.read', { roomId, seq: 0 })))
  const refused = answers.filter((answer) => !answer.ok)
  assert.ok(refused.length >= 70)
  for (const { error } of refused)
    assert.ok(error.code === 'busy' && error.retryable && (error.retryAfterMs ?? 0) > 0)
  assert.ok((await calm.ask('room.read', { roomId, seq: 0 })).ok)
  const ended = new Promise((resolve) => flood.socket.once('disconnect', resolve))
  for (const _ of range(1, 1_000)) flood.socket.emit('room.read', { roomId, seq: 0 })
  await ended
  assert.equal(flood.first('closing')?.reason, 'too_many_frames')
  assert.ok((await calm.ask('room.read', { roomId, seq: 0 })).ok)
})

test('[RT9] typing is told to who is in the room, here and in other processes, at most every three seconds', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  await using other = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  using first = new PlainClient(live.url, { token: await live.token(ada) })
  using near = new PlainClient(live.url, { token: await live.token(bob), deviceId: 'bob-nearby' })
  using far = new PlainClient(other.url, { token: await live.token(bob), deviceId: 'bob-far-off' })
  for (const client of [first, near, far]) assert.ok((await client.ask('room.join', { roomId })).ok)
  for (const _ of range(1, 5)) assert.ok((await first.ask('signal', { roomId, kind: 'typing' })).ok)
  for (const client of [near, far]) await until(() => client.signals.length > 0, 'typing')
  await first.ask('message.send', { roomId, clientId: newId(), text: 'typed' })
  for (const client of [near, far]) {
    await until(() => client.events.length > 0, 'the message')
    assert.deepEqual(client.signals, [
      { roomId, kind: 'typing', actor: { kind: 'account', id: ada.id, name: 'Ada' } },
    ])
  }
})

test('[RT10] who joins while an answer is being written gets the text so far, then the rest', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  const [turnId, messageId, agentId] = [newId(), newId(), newId()]
  let text = 'Here are '
  const delta = (roomId: string, offset: number, piece: string) => ({
    roomId,
    kind: 'delta' as const,
    actor: { kind: 'agent' as const, id: agentId, name: 'Atom' },
    turnId,
    messageId,
    attempt: 1,
    offset,
    text: piece,
  })
  await using live = await startLive(own.database, { drafts: { open: (roomId) => [delta(roomId, 0, text)] } })
  const roomId = await roomOf(own.database, live, ada)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  assert.ok((await client.ask('room.join', { roomId })).ok)
  live.signals.tell(delta(roomId, text.length, 'your issues'))
  text += 'your issues'
  await until(() => client.signals.length === 2, 'two pieces')
  let held = ''
  for (const signal of client.signals) {
    assert.ok(signal.kind === 'delta' && signal.offset <= held.length)
    held += signal.text.slice(held.length - signal.offset)
  }
  assert.equal(held, text)
})

test('[RT11] stopping a turn goes to whoever runs turns, with the caller’s rights', async () => {
  await using own = await testDatabase()
  const asked: unknown[] = []
  await using live = await startLive(own.database, {
    turns: {
      cancel: (principal, turnId) => {
        asked.push([principal.id, turnId])
        return Promise.reject(new AtomError('turn_not_active'))
      },
    },
  })
  const ada = somebody()
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  const turnId = newId()
  const answer = await client.ask('turn.cancel', { turnId })
  assert.ok(!answer.ok && answer.error.code === 'turn_not_active')
  assert.deepEqual(asked, [[ada.id, turnId]])
})

test('[RM70] messages of one frame take their places in the order in which they stand there, whomever some of them name or answer', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  await client.hello()
  const first = await client.ask('message.send', { roomId, clientId: newId(), text: 'the first' })
  assert.ok(first.ok)
  const stranger = newId()
  const items = range(1, 24).map((number) => ({
    clientId: `client-${number}`,
    text: `message ${number}`,
    ...(number % 3 === 1 && { mentions: [bob.id] }),
    ...(number % 3 === 2 && number !== 11 && { replyTo: 1 }),
    ...(number === 11 && { mentions: [stranger] }),
  }))
  const answer = await client.ask('message.send', { roomId, items })
  assert.ok(answer.ok && 'results' in answer)
  const refused = answer.results.flatMap((result, index) => (result.ok ? [] : [index + 1]))
  assert.deepEqual(refused, [11], 'one that names nobody who is there is refused alone')
  assert.deepEqual(
    answer.results.flatMap((result) => (result.ok ? [result.seq] : [])),
    range(2, 24),
  )
})

test('[ER142] one item of a frame that is refused is counted like a frame of its own', async () => {
  await using own = await testDatabase()
  const failures = new Failures()
  await using live = await startLive(own.database, { failures })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  await client.hello()
  const answer = await client.ask('message.send', {
    roomId,
    items: [
      { clientId: newId(), text: 'fine' },
      { clientId: newId(), text: 'x'.repeat(limits.messageBytes + 1) },
    ],
  })
  assert.ok(answer.ok && 'results' in answer)
  assert.deepEqual(
    answer.results.map((result) => (result.ok ? 'stored' : result.error.code)),
    ['stored', 'message_too_large'],
  )
  assert.deepEqual(
    failures.take().map(({ door, place, code, count }) => [door, place, code, count]),
    [['socket', 'message.send', 'message_too_large', 1]],
  )
})

test('[RM71] where a message of a frame is refused for now, so are those behind it: none overtakes it', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const query = own.database.query.bind(own.database)
  // The question whom it names is lost; everything else of the database goes on.
  own.database.query = <Row extends object>(statement: Sql) =>
    statement.values.includes('names somebody')
      ? Promise.reject(new AtomError('unavailable'))
      : query<Row>(statement)
  const results = await live.messages.sendInOrder(ada, roomId, [
    { clientId: 'before', text: 'before' },
    { clientId: 'names somebody', text: 'named', mentions: [ada.id] },
    { clientId: 'behind', text: 'behind' },
  ])
  own.database.query = query
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? 'stored' : result.reason.code)),
    ['stored', 'unavailable', 'unavailable'],
  )
  const again = await live.messages.sendInOrder(ada, roomId, [
    { clientId: 'names somebody', text: 'named', mentions: [ada.id] },
    { clientId: 'behind', text: 'behind' },
  ])
  assert.deepEqual(
    again.map((result) => (result.status === 'fulfilled' ? result.value.seq : result.reason)),
    [2, 3],
  )
})

test('[RT160] a connected socket keeps nothing of the request that it came with; one that asks in other words is served, too', async () => {
  await using own = await testDatabase()
  const requests: WeakRef<object>[] = []
  const nobodyIsRefused = () => undefined
  await using live = await startLive(own.database, {
    entry: {
      requireEntry: (request) => void requests.push(new WeakRef(request)),
      requireAccount: nobodyIsRefused,
      requireTime: nobodyIsRefused,
    },
  })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const token = await live.token(ada)
  // As the plain client asks, and as ours does.
  using plain = new PlainClient(live.url, { token })
  using ours = new PlainClient(live.url, { token }, { query: { refusal: 'frame' } })
  await Promise.all([plain.hello(), ours.hello()])
  assert.equal(requests.length, 2)
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const kept = async () => {
    // What was looked at in a turn is held until its end.
    await delay(1)
    collectGarbage()
    return requests.filter((request) => request.deref() !== undefined).length
  }
  const deadline = Date.now() + 20_000
  while ((await kept()) > 0 && Date.now() < deadline) await delay(50)
  assert.equal(await kept(), 0)
  using other = new PlainClient(live.url, { token }, { query: { of: 'another library' } })
  await other.hello()
  for (const client of [plain, ours, other]) assert.ok((await client.ask('room.join', { roomId })).ok)
})
