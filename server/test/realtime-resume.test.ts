import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import sql from 'sql-template-tag'
import type { AccountPrincipal } from '#access/principal.ts'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { migrate } from '#foundation/database/migrate.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { SocketTraffic } from '#realtime/socket-traffic.ts'
import { type Live, PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { migrationsFolder, testDatabase, testLog } from './support/postgres.ts'

const processFile = fileURLToPath(new URL('support/live-process.ts', import.meta.url))

/** The stream below the client's WebSocket: while it is paused nothing is read, so the kernel's buffers fill up. */
function tcpOf(client: PlainClient): Socket {
  const engine = client.socket.io.engine as unknown as { transport: { ws: { _socket: Socket } } }
  return engine.transport.ws._socket
}

async function say(
  live: Live,
  person: AccountPrincipal,
  roomId: string,
  from: number,
  to: number,
  text = 'message',
): Promise<void> {
  await Promise.all(
    range(from, to).map((number) =>
      live.messages.send(person, roomId, { clientId: `client-${number}`, text: `${text} ${number}` }),
    ),
  )
}

test('[RT12] whoever comes back gets exactly what was missed, in order: by the handshake’s cursors, and by joining again', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const quiet = await roomOf(own.database, live, ada)
  const closed = await roomOf(own.database, live, somebody(ada.workspaceId))
  await say(live, ada, roomId, 1, 10)
  const token = await live.token(ada)
  using before = new PlainClient(live.url, { token })
  const joined = await before.ask('room.join', { roomId })
  assert.ok(joined.ok)
  assert.deepEqual(
    joined.events.map((event) => event.seq),
    range(1, 10),
  )
  const { epoch } = joined
  live.cut()
  await until(() => !before.socket.connected, 'the network is gone')
  await say(live, ada, roomId, 11, 700)
  const emptyEpoch = (await live.rooms.get(ada, quiet)).epoch
  const cursors = {
    [roomId]: { epoch, seq: 10 },
    [quiet]: { epoch: emptyEpoch, seq: 0 },
    [closed]: { epoch: newId(), seq: 3 },
  }
  using back = new PlainClient(live.url, { token, cursors })
  const { rooms } = await back.hello()
  assert.deepEqual(rooms[roomId], { ok: true, epoch, head: 700 })
  assert.deepEqual(rooms[quiet], { ok: true, epoch: emptyEpoch, head: 0 })
  const refused = rooms[closed]
  assert.ok(refused !== undefined && !refused.ok && refused.error.code === 'not_a_member')
  await say(live, ada, roomId, 701, 710)
  await say(live, ada, quiet, 1, 1)
  const inRoom = () =>
    back.frames.flatMap((received) =>
      received.name === 'room.events' && received.frame.roomId === roomId ? received.frame.events : [],
    )
  await until(() => inRoom().length >= 700, 'what was missed and what came after')
  assert.deepEqual(
    inRoom().map((event) => event.seq),
    range(11, 710),
  )
  await until(() => back.events.length === 701, 'the event of the other room')
  const again = await back.ask('room.join', { roomId, after: 705, epoch })
  assert.ok(again.ok && !again.more && again.reset === undefined)
  assert.deepEqual(
    again.events.map((event) => event.seq),
    range(706, 710),
  )
  await say(live, ada, roomId, 711, 711)
  await until(() => back.events.length === 702, 'one more, once')
  assert.deepEqual(back.problems, [])
})

test('[RT13] a cursor of another timeline, or from beyond its end, is told to start over with the newest page', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await say(live, ada, roomId, 1, 300)
  const token = await live.token(ada)
  const { epoch } = await live.rooms.get(ada, roomId)
  for (const [index, cursor] of [
    { epoch: newId(), seq: 10 },
    { epoch, seq: 301 },
  ].entries()) {
    using client = new PlainClient(live.url, {
      token,
      deviceId: `device-${index}`,
      cursors: { [roomId]: cursor },
    })
    assert.deepEqual((await client.hello()).rooms[roomId], { ok: true, epoch, head: 300, reset: true })
    await until(() => client.events.length >= 200, 'the newest page')
    assert.deepEqual(client.seqs(), range(101, 300))
    const joined = await client.ask('room.join', { roomId, after: cursor.seq, epoch: cursor.epoch })
    assert.ok(joined.ok && joined.reset === true && !joined.more)
    assert.deepEqual(
      joined.events.map((event) => event.seq),
      range(101, 300),
    )
  }
})

test('[RT14] while a page is read, live events wait behind it: twenty clients joining in the middle of a stream each see it whole, once and in order', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  await using other = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const last = 3_000
  const token = await live.token(ada)
  let said = 0
  const talk = async () => {
    for (let number = ++said; number <= last; number = ++said) {
      const door = number % 2 === 0 ? live : other
      await door.messages.send(ada, roomId, { clientId: `client-${number}`, text: `message ${number}` })
    }
  }
  const talking = Promise.all(range(1, 8).map(talk))
  const clients = await Promise.all(
    range(1, 20).map(async (number) => {
      await until(() => said > number * 100, 'the stream has come so far')
      const door = number % 2 === 0 ? live : other
      const client = new PlainClient(door.url, { token, deviceId: `device-${number}` })
      const joined = await client.ask('room.join', { roomId, after: 0 })
      assert.ok(joined.ok)
      return { client, page: joined.events.map((event) => event.seq) }
    }),
  )
  await talking
  for (const { client, page } of clients) {
    await until(() => (client.seqs().at(-1) ?? page.at(-1)) === last, 'the last event')
    assert.deepEqual([...page, ...client.seqs()], range(1, last))
    client[Symbol.dispose]()
  }
})

test('[RT15] two processes on one database deliver to each other’s sockets, all of it, in one order', async () => {
  await using own = await testDatabase()
  await using second = await openDatabase({ connection: own.connection, poolSize: 8, log: testLog })
  await using live = await startLive(own.database)
  await using other = await startLive(second)
  const people = [somebody()]
  const ada = people[0] ?? somebody()
  const rooms = await Promise.all(range(1, 4).map(() => roomOf(own.database, live, ada)))
  using here = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'here-and-now' })
  using there = new PlainClient(other.url, { token: await other.token(ada), deviceId: 'over-there' })
  for (const client of [here, there]) {
    for (const roomId of rooms) assert.ok((await client.ask('room.join', { roomId })).ok)
  }
  await Promise.all(
    range(1, 1_000).map((number) =>
      (number % 2 === 0 ? live : other).messages.send(ada, rooms[number % 4] ?? '', {
        clientId: `client-${number}`,
        text: `message ${number}`,
      }),
    ),
  )
  for (const client of [here, there]) await until(() => client.events.length >= 1_000, 'all events')
  const byRoom = (client: PlainClient, roomId: string) =>
    client.frames.flatMap((received) =>
      received.name === 'room.events' && received.frame.roomId === roomId ? received.frame.events : [],
    )
  for (const roomId of rooms) {
    assert.deepEqual(
      byRoom(here, roomId).map((event) => event.seq),
      range(1, 250),
    )
    assert.deepEqual(byRoom(there, roomId), byRoom(here, roomId))
  }
})

test('[RT16] a lost notification costs time, never an event', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { recheckMs: 200 })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  assert.ok((await client.ask('room.join', { roomId })).ok)
  await say(live, ada, roomId, 1, 2)
  await until(() => client.events.length === 2, 'two events')
  // Written by somebody who tells nobody.
  await own.database.query(sql`
    with added as (
      insert into room_events (room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body)
      select id, 3, workspace_id, ${newId()}, 'message.created', 'account', ${ada.id}, 'untold-event', now(),
        '{"text": "untold"}'
      from rooms where id = ${roomId}
    )
    update rooms set seq = 3 where id = ${roomId}`)
  await until(() => client.events.length === 3, 'the untold event')
  await say(live, ada, roomId, 4, 4)
  await until(() => client.events.length === 4, 'the next one')
  assert.deepEqual(client.seqs(), range(1, 4))
})

test('[RT17] a reader that stands still costs bounded memory and disturbs nobody; when it reads again it gets everything, in order', async () => {
  await using own = await testDatabase()
  const bounds = { soft: 128 * 1024, hard: 512 * 1024, stalledMs: 60_000 }
  await using live = await startLive(own.database, { bounds })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using slow = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'slow-reader' })
  using quick = new PlainClient(live.url, { token: await live.token(ada), deviceId: 'quick-reader' })
  for (const client of [slow, quick]) assert.ok((await client.ask('room.join', { roomId })).ok)
  const stream = tcpOf(slow)
  stream.pause()
  const text = 'x'.repeat(16_000)
  const last = 1_200
  const step = 20
  let most = 0
  for (let number = 1; number <= last; number += step) {
    await say(live, ada, roomId, number, number + step - 1, text)
    most = Math.max(most, ...live.sockets.unsent())
    await until(() => quick.seqs().at(-1) === number + step - 1, 'the quick reader is up to date')
    live.signals.tell({ roomId, kind: 'typing', actor: { kind: 'account', id: ada.id, name: 'Ada' } })
  }
  assert.ok(slow.events.length < last / 2, 'it did stand still')
  // 19 MB were said. A batch may be on its way when the bound is met, and another one waits while it leaves.
  assert.ok(most < 2 * (bounds.hard + step * 16_200), `${most} code units waited for it`)
  await until(() => quick.signals.length > last / step / 2, 'signals for the others go on')
  stream.resume()
  await until(() => slow.seqs().at(-1) === last, 'the slow reader is up to date', 30_000)
  assert.deepEqual(slow.seqs(), range(1, last))
  assert.deepEqual(quick.seqs(), range(1, last))
})

test('[RT18] a reader that never reads again is closed', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { bounds: { soft: 10_000, hard: 20_000, stalledMs: 200 } })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  using client = new PlainClient(live.url, { token: await live.token(ada) })
  assert.ok((await client.ask('room.join', { roomId })).ok)
  tcpOf(client).pause()
  const text = 'x'.repeat(16_000)
  for (let number = 1; live.sockets.count > 0; number++) {
    await live.messages.send(ada, roomId, { clientId: `client-${number}`, text })
  }
})

test('[RT112] somebody who comes in and does not read what they missed is closed, although nothing live ever waits for them', async () => {
  await using own = await testDatabase()
  const traffic = new SocketTraffic()
  // So far above everything that the engine could only be met by its soft bound.
  const bounds = { soft: 10_000, hard: Number.MAX_SAFE_INTEGER, stalledMs: 300 }
  await using live = await startLive(own.database, { bounds, traffic })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const { epoch } = await live.rooms.get(ada, roomId)
  // More than the kernel's buffers take.
  const text = 'x'.repeat(16_000)
  for (let number = 1; number < 1_000; number += 50) await say(live, ada, roomId, number, number + 49, text)
  using client = new PlainClient(live.url, {
    token: await live.token(ada),
    deviceId: 'stands-still',
    cursors: { [roomId]: { epoch, seq: 0 } },
  })
  await client.hello()
  tcpOf(client).pause()
  await until(() => new Map(traffic.closed).get('too_slow') === 1, 'it is closed', 40_000)
  assert.equal(new Map(traffic.slow).get('behind'), 0)
  assert.equal(live.sockets.count, 0)
})

test('[RT19] a server that stops answers what is under way, tells each client when to come back, and takes nobody new', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  await using successor = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const token = await live.token(ada)
  using client = new PlainClient(live.url, { token })
  assert.ok((await client.ask('room.join', { roomId })).ok)
  const ended = new Promise((resolve) => client.socket.once('disconnect', resolve))
  const answers = range(1, 50).map((number) =>
    client.ask('message.send', { roomId, clientId: `client-${number}`, text: `message ${number}` }),
  )
  await until(() => client.events.length > 0, 'the first message')
  await live.sockets.drain()
  assert.equal(await ended, 'transport close', 'a Socket.IO client comes back by itself after this')
  assert.ok((client.first('drain')?.afterMs ?? -1) >= 0)
  assert.equal(client.first('closing')?.reason, 'draining')
  const settled = await Promise.allSettled(answers)
  const places = settled.flatMap((answer) =>
    answer.status === 'fulfilled' && answer.value.ok && 'seq' in answer.value ? [answer.value.seq] : [],
  )
  assert.ok(places.length > 0)
  using refused = new PlainClient(live.url, { token })
  await new Promise((resolve) => refused.socket.once('connect_error', resolve))
  using back = new PlainClient(successor.url, { token })
  const joined = await back.ask('room.join', { roomId, after: 0 })
  assert.ok(joined.ok && joined.head >= Math.max(...places))
})

interface Running {
  readonly child: ChildProcess
  readonly url: string
}

async function startProcess(connection: unknown): Promise<Running> {
  const child = spawn(process.execPath, [processFile], {
    env: { ...process.env, ATOM_TEST_LIVE: JSON.stringify(connection), ATOM_TEST_LOG: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('http')) return { child, url: line }
  }
  throw new Error('the process ended before it listened')
}

async function kill({ child }: Running): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

test('[RT20] kill -9 in the middle of a conversation: every acknowledged message is there once, and who comes back sees all of it in order', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const token = await live.token(ada)
  const acknowledged = new Map<string, number>()
  const seen: number[] = []
  let epoch = (await live.rooms.get(ada, roomId)).epoch
  let waiting: { clientId: string; text: string }[] = []
  let number = 0
  for (const round of range(1, 3)) {
    const running = await startProcess(own.connection)
    try {
      const cursors = { [roomId]: { epoch, seq: seen.at(-1) ?? 0 } }
      using client = new PlainClient(running.url, { token, cursors })
      epoch = ((await client.hello()).rooms[roomId] as { epoch: string }).epoch
      // What was not acknowledged is sent again, as an outbox does, and more is said until the end comes.
      const target = acknowledged.size + 300
      const outbox = waiting
      waiting = []
      const send = async (message: { clientId: string; text: string }) => {
        try {
          const answer = await client.socket
            .timeout(3_000)
            .emitWithAck('message.send', { roomId, ...message })
          if (answer.ok) acknowledged.set(message.clientId, answer.seq)
          else {
            waiting.push(message)
            await delay(answer.error.retryAfterMs ?? 0)
          }
        } catch {
          // The server is gone: this one was not acknowledged.
          waiting.push(message)
        }
      }
      const talk = async () => {
        while (client.socket.connected) {
          await send(outbox.pop() ?? { clientId: `client-${++number}`, text: `message ${number}` })
        }
      }
      const talking = Promise.all(range(1, 20).map(talk))
      await until(() => acknowledged.size >= target, `round ${round}: enough was acknowledged`)
      await kill(running)
      await talking
      seen.push(...client.seqs())
      waiting.push(...outbox)
    } finally {
      await kill(running)
    }
  }
  const running = await startProcess(own.connection)
  try {
    using client = new PlainClient(running.url, {
      token,
      cursors: { [roomId]: { epoch, seq: seen.at(-1) ?? 0 } },
    })
    await client.hello()
    for (const message of waiting) {
      const answer = await client.ask('message.send', { roomId, ...message })
      assert.ok(answer.ok && 'seq' in answer)
      acknowledged.set(message.clientId, answer.seq)
    }
    const { head } = await live.timeline.since(roomId, 0)
    await until(() => (client.seqs().at(-1) ?? seen.at(-1)) === head, 'everything has arrived')
    assert.deepEqual([...seen, ...client.seqs()], range(1, head))
    const rows = await own.database.query<{ seq: number; client_id: string }>(
      sql`select seq, client_id from room_events where room_id = ${roomId} order by seq`,
    )
    assert.deepEqual(
      new Map(rows.map((row) => [row.client_id, row.seq])),
      new Map([...acknowledged].sort((a, b) => a[1] - b[1])),
    )
  } finally {
    await kill(running)
  }
})

test('[RT21] while the database is down a message is refused as unavailable; when it is back the same message is stored once and the open socket goes on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atom-test-'))
  await chmod(folder, 0o755)
  let server = await startEmbedded({ dataDir: folder, log: testLog })
  try {
    await using database = await openDatabase({ connection: server.connection, poolSize: 4, log: testLog })
    await migrate(database, { directory: migrationsFolder, log: testLog })
    await using live = await startLive(database, { recheckMs: 200 })
    const ada = somebody()
    const roomId = await roomOf(database, live, ada)
    using client = new PlainClient(live.url, { token: await live.token(ada) })
    assert.ok((await client.ask('room.join', { roomId })).ok)
    const message = (number: number) => ({ roomId, clientId: `client-${number}`, text: `message ${number}` })
    assert.ok((await client.ask('message.send', message(1))).ok)
    await server[Symbol.asyncDispose]()
    const down = await client.ask('message.send', message(2))
    assert.ok(!down.ok && down.error.code === 'unavailable' && down.error.retryable)
    const page = await client.ask('room.fetch', { roomId, after: 0 })
    assert.ok(!page.ok && page.error.code === 'unavailable')
    server = await startEmbedded({ dataDir: folder, log: testLog })
    let answer = await client.ask('message.send', message(2))
    const deadline = performance.now() + 20_000
    while (!answer.ok && performance.now() < deadline) answer = await client.ask('message.send', message(2))
    assert.ok(answer.ok && 'seq' in answer && answer.seq === 2)
    assert.ok((await client.ask('message.send', message(3))).ok)
    await until(() => client.events.length === 3, 'all three on the same socket')
    assert.deepEqual(client.seqs(), [1, 2, 3])
    // News of other processes are heard again, too.
    await using elsewhere = await startLive(database)
    await elsewhere.messages.send(ada, roomId, { clientId: 'client-4', text: 'from elsewhere' })
    await until(() => client.events.length === 4, 'the fourth')
  } finally {
    await server[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }
})
