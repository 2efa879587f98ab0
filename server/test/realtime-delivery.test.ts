import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { FrameError } from '@atom/contract/errors.ts'
import sql, { type Sql } from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { Socket } from '../../client/src/realtime/socket.ts'
import { type Live, PlainClient, range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'

type Knock =
  | { readonly tcp: Duplex; readonly head: Buffer }
  | { readonly status: number; readonly retryAfter: string | undefined; readonly body: FrameError }

/** Asks for a WebSocket by hand: the connection, or how it was refused. */
async function knock(live: Live, forwarded?: string, more: Record<string, string> = {}): Promise<Knock> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(`${live.url}/socket.io/?EIO=4&transport=websocket`, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'YSBrZXkgZm9yIGEgdGVzdA==',
        ...(forwarded !== undefined && { 'x-forwarded-for': forwarded }),
        ...more,
      },
    })
    request.once('error', reject)
    request.once('upgrade', (_answer, tcp, head) => resolve({ tcp, head }))
    request.once('response', async (answer) => {
      let text = ''
      for await (const chunk of answer) text += chunk
      resolve({
        status: answer.statusCode ?? 0,
        retryAfter: answer.headers['retry-after'],
        body: JSON.parse(text),
      })
    })
    request.end()
  })
}

async function opened(live: Live, forwarded?: string): Promise<Duplex> {
  const answer = await knock(live, forwarded)
  assert.ok('tcp' in answer, 'it was refused')
  return answer.tcp
}

async function refused(live: Live, forwarded?: string): Promise<FrameError> {
  const answer = await knock(live, forwarded)
  assert.ok(!('tcp' in answer), 'it was let in')
  assert.equal(answer.status, 503)
  assert.equal(answer.body.code, 'busy')
  assert.ok(answer.body.retryable)
  assert.equal(answer.retryAfter, String(Math.ceil((answer.body.retryAfterMs ?? 0) / 1_000)))
  return answer.body
}

/** A place is free again when the server has seen the end of the connection that had it. */
async function openedAtLast(live: Live, forwarded?: string): Promise<Duplex> {
  for (;;) {
    const answer = await knock(live, forwarded)
    if ('tcp' in answer) return answer.tcp
  }
}

async function say(live: Live, roomId: string, from: number, to: number, person = somebody()): Promise<void> {
  await Promise.all(
    range(from, to).map((number) =>
      live.messages.send(person, roomId, { clientId: `client-${number}`, text: `message ${number}` }),
    ),
  )
}

test('[RT30] who is one too many is refused before anything is built: 503 with the time to wait, for the whole server and for each address, an IPv6 network being one, behind the proxies that are trusted', async () => {
  await using own = await testDatabase()
  await using full = await startLive(own.database, { admission: { sockets: 2 } })
  const first = await opened(full)
  await opened(full)
  await refused(full)
  first.destroy()
  await openedAtLast(full)

  await using live = await startLive(own.database, {
    admission: { perAddress: 2 },
    trustedProxies: ['127.0.0.1'],
  })
  const one = await opened(live, '2001:db8:1:2::1')
  await opened(live, '2001:0db8:0001:0002:ffff::9')
  await refused(live, '2001:db8:1:2:3:4:5:6')
  // What a caller writes there itself stands to the left of what the proxy saw.
  await refused(live, '203.0.113.9, 2001:db8:1:2::7')
  await opened(live, '2001:db8:1:3::1')
  await opened(live, '203.0.113.7')
  await opened(live, '::ffff:203.0.113.7')
  await refused(live, '203.0.113.7')
  await opened(live, '203.0.113.8')
  one.destroy()
  await openedAtLast(live, '2001:db8:1:2::8')
})

test('[RT31] more handshakes than the server takes are refused, and each is given a turn of its own to come back', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, {
    admission: { handshakesPerSecond: 0.5, handshakeBurst: 4 },
  })
  const answers = await Promise.all(range(1, 12).map(() => knock(live)))
  const waits = answers.flatMap((answer) => ('tcp' in answer ? [] : [answer.body.retryAfterMs ?? 0]))
  assert.ok(waits.length >= 3 && waits.length <= 8, `${waits.length} were refused`)
  assert.ok((waits[0] ?? 0) > 0)
  waits.sort((a, b) => a - b)
  // Whole milliseconds, rounded up.
  for (const [index, wait] of waits.entries()) assert.ok(wait <= 2_000 * (index + 1) + 1, `${wait}`)
  assert.equal(new Set(waits).size, waits.length, 'nobody is told the same time')
})

test('[RT32] one person has so many sockets and no more; a device that comes back takes its own place, and others notice nothing', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { admission: { perAccount: 2 } })
  const ada = somebody()
  const token = await live.token(ada)
  const connect = (deviceId: string) => new PlainClient(live.url, { token, deviceId })
  using first = connect('device-1')
  using second = connect('device-2')
  await Promise.all([first.hello(), second.hello()])
  using third = connect('device-3')
  const refusal = await third.refused()
  assert.equal(refusal.code, 'busy')
  assert.ok(refusal.retryable && 'retryAfterMs' in refusal)
  using again = connect('device-2')
  await again.hello()
  using bob = new PlainClient(live.url, { token: await live.token(somebody()) })
  await bob.hello()
  first[Symbol.dispose]()
  await until(() => live.sockets.count === 2, 'one has gone')
  using later = connect('device-3')
  await later.hello()
})

test('[RT33] one connection carries one handshake at a time, and after a refused one the next', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const token = await live.token(somebody())
  const packets: string[] = []
  const socket = new WebSocket(`${live.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`)
  socket.addEventListener('message', ({ data }) => packets.push(String(data)))
  await until(() => packets.some((packet) => packet.startsWith('0')), 'Engine.IO’s hello')
  socket.send(`40${JSON.stringify({ token: 'none' })}`)
  await until(() => packets.some((packet) => packet.startsWith('44')), 'a refusal')
  for (let time = 0; time < 20; time++) socket.send(`40${JSON.stringify({ token })}`)
  await until(() => packets.some((packet) => packet.startsWith('40')), 'a Socket.IO socket')
  await until(
    () => packets.filter((packet) => packet.includes('frame_malformed')).length > 0,
    'the others refused',
  )
  // Socket.IO itself ends a connection that goes on asking when it has a socket.
  assert.ok(live.sockets.count <= 1)
  assert.equal(packets.filter((packet) => packet.startsWith('40')).length, 1)
  socket.close()
  await until(() => live.sockets.count === 0, 'it is gone')
})

test('[RT34] a device has one socket on all processes: the newer one ends the older one elsewhere, and of two that come at once exactly one stays', async () => {
  await using own = await testDatabase()
  await using here = await startLive(own.database)
  await using there = await startLive(own.database)
  const ada = somebody()
  const token = await here.token(ada)
  const auth = { token, deviceId: 'the-device' }
  using older = new PlainClient(here.url, auth)
  using bystander = new PlainClient(here.url, { token, deviceId: 'another-one' })
  using stranger = new PlainClient(here.url, { ...auth, token: await here.token(somebody()) })
  await Promise.all([older.hello(), bystander.hello(), stranger.hello()])
  using newer = new PlainClient(there.url, auth)
  await newer.hello()
  await until(() => older.first('closing')?.reason === 'replaced', 'the older one is told')
  await until(() => here.sockets.count === 2, 'and gone')
  for (const round of range(1, 10)) {
    const deviceId = `twins-${round}-of-ten`
    const twins = [here, there, here].map((live) => new PlainClient(live.url, { token, deviceId }))
    await Promise.all(twins.map((twin) => twin.hello()))
    await until(() => twins.filter((twin) => twin.socket.connected).length === 1, 'one of them is left')
    for (const twin of twins) twin[Symbol.dispose]()
  }
  assert.ok(newer.socket.connected && bystander.socket.connected && stranger.socket.connected)
})

/** Does what a client of the contract does: asked to move, it opens the new socket first. */
class Mover {
  readonly seen: number[] = []
  readonly movedAt: Promise<number>
  gap = false
  client: PlainClient

  constructor(
    from: Live,
    to: Live,
    auth: { token: string; deviceId: string },
    room: { id: string; epoch: string },
  ) {
    const cursors = () => ({ [room.id]: { epoch: room.epoch, seq: this.seen.at(-1) ?? 0 } })
    const hear = (client: PlainClient) =>
      client.socket.on('room.events', ({ events }) => {
        for (const { seq } of events) if (seq > (this.seen.at(-1) ?? 0)) this.seen.push(seq)
      })
    const old = new PlainClient(from.url, { ...auth, cursors: cursors() })
    this.client = old
    hear(old)
    this.movedAt = new Promise((resolve) => {
      old.socket.once('drain', ({ afterMs }: { afterMs: number }) => {
        const told = performance.now()
        setTimeout(() => {
          this.client = new PlainClient(to.url, { ...auth, cursors: cursors() })
          hear(this.client)
          this.client.socket.once('hello', () => {
            this.gap = !old.socket.connected
            old[Symbol.dispose]()
            resolve(told)
          })
        }, afterMs)
      })
    })
  }
}

test('[RT35] a server that stops sends its clients away in waves while it goes on serving: each has its new socket before the old one ends, and nothing is lost or doubled', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  const drain = { handshakesPerSecond: 20, graceMs: 60_000, deadlineMs: 600_000 }
  await using leaving = await startLive(own.database, { drain })
  await using staying = await startLive(own.database)
  const roomId = await roomOf(own.database, leaving, ada)
  const { epoch } = await leaving.rooms.get(ada, roomId)
  const token = await leaving.token(ada)
  const movers = range(1, 20).map(
    (number) =>
      new Mover(leaving, staying, { token, deviceId: `the-mover-${number}` }, { id: roomId, epoch }),
  )
  try {
    await Promise.all(movers.map(({ client }) => client.hello()))
    let said = 0
    let over = false
    const talk = async () => {
      while (!over) await say(said % 2 === 0 ? leaving : staying, roomId, ++said, said, ada)
    }
    const talking = talk()
    await until(() => movers.every(({ seen }) => seen.length > 0), 'the conversation has begun')
    const last = movers.at(-1)
    const drained = leaving.sockets.drain()
    const answered = await last?.client.ask('room.fetch', { roomId, after: 0, limit: 1 })
    assert.ok(answered?.ok, 'it still serves')
    await assert.rejects(opened(leaving))
    await drained
    const told = await Promise.all(movers.map(({ movedAt }) => movedAt))
    over = true
    await talking
    await until(() => movers.every(({ seen }) => seen.at(-1) === said), 'everybody has everything')
    for (const { seen, gap, client } of movers) {
      assert.deepEqual(seen, range(1, said))
      assert.equal(gap, false, 'the old socket served until the new one did')
      assert.equal(client.first('closing'), undefined)
    }
    // Five in a wave, a quarter of a second between: timers may be late, never early.
    assert.ok(Math.max(...told) - Math.min(...told) > 500, 'they were not told all at once')
    assert.equal(staying.sockets.count, 20)
  } finally {
    for (const { client } of movers) client[Symbol.dispose]()
  }
})

test('[RT111] a process that an operator empties sends its clients away as one that stops does, and takes back who comes to it again: each has its new socket before the old one ends, and nothing is lost or doubled', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  await using live = await startLive(own.database, { drain: { handshakesPerSecond: 20, graceMs: 60_000 } })
  const roomId = await roomOf(own.database, live, ada)
  const { epoch } = await live.rooms.get(ada, roomId)
  const token = await live.token(ada)
  const movers = range(1, 12).map(
    (number) => new Mover(live, live, { token, deviceId: `the-mover-${number}` }, { id: roomId, epoch }),
  )
  let over = false
  try {
    await Promise.all(movers.map(({ client }) => client.hello()))
    const before = [...live.sockets.open()].map(({ id }) => id)
    let said = 0
    const talk = async () => {
      while (!over) await say(live, roomId, ++said, said, ada)
    }
    const talking = talk()
    await until(() => movers.every(({ seen }) => seen.length > 0), 'the conversation has begun')
    assert.deepEqual(live.sockets.moveAll(), { sockets: 12, withinMs: 3 * 250 + 60_000 })
    assert.equal(live.sockets.moveAll().sockets, 0, 'all of them are on their way')
    await Promise.all(movers.map(({ movedAt }) => movedAt))
    over = true
    await talking
    await until(() => movers.every(({ seen }) => seen.at(-1) === said), 'everybody has everything')
    for (const { seen, gap } of movers) {
      assert.deepEqual(seen, range(1, said))
      assert.equal(gap, false, 'the old socket served until the new one did')
    }
    await until(() => live.sockets.moving === 0 && live.sockets.count === 12, 'the old ones are gone')
    assert.deepEqual(
      [...live.sockets.open()].filter(({ id }) => before.includes(id)),
      [],
    )
  } finally {
    over = true
    for (const { client } of movers) client[Symbol.dispose]()
  }
})

test('[RT36] a client that does not move is closed when its time is over, after its answers; where there is nobody to move to, a server does not wait', async () => {
  await using own = await testDatabase()
  const ada = somebody()
  {
    await using leaving = await startLive(own.database, { drain: { graceMs: 300, deadlineMs: 1_000 } })
    await using _staying = await startLive(own.database)
    using client = new PlainClient(leaving.url, { token: await leaving.token(ada) })
    await client.hello()
    const ended = new Promise((resolve) => client.socket.once('disconnect', resolve))
    await leaving.sockets.drain()
    assert.equal(await ended, 'transport close', 'a Socket.IO client comes back by itself after this')
    assert.ok((client.first('drain')?.afterMs ?? -1) >= 0)
    assert.equal(client.first('closing')?.reason, 'draining')
  }
  // The other process has said goodbye: ten minutes of grace are given to nobody.
  await using alone = await startLive(own.database, { drain: { graceMs: 600_000, deadlineMs: 600_000 } })
  using client = new PlainClient(alone.url, { token: await alone.token(ada) })
  await client.hello()
  await alone.sockets.drain()
  await until(() => client.first('closing')?.reason === 'draining', 'it is told')
})

test('[RT37] an event is encoded once for everybody in the room', async (context) => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const token = await live.token(ada)
  const clients = range(1, 25).map(
    (number) => new PlainClient(live.url, { token, deviceId: `device-${number}` }),
  )
  try {
    for (const client of clients) assert.ok((await client.ask('room.join', { roomId })).ok)
    let encoded = 0
    const stringify = JSON.stringify
    context.mock.method(JSON, 'stringify', (...args: Parameters<typeof stringify>) => {
      const text = stringify(...args)
      if (typeof text === 'string' && text.startsWith('["room.events"')) encoded++
      return text
    })
    await say(live, roomId, 1, 1, ada)
    await until(() => clients.every((client) => client.events.length === 1), 'everybody has heard it')
    assert.equal(encoded, 1)
  } finally {
    for (const client of clients) client[Symbol.dispose]()
  }
})

/** Counts what is asked of the database, and lets a test hold it up. */
function watched(database: Database): {
  readonly asked: string[]
  most: number
  hold: Promise<void> | undefined
} {
  const watch = { asked: [] as string[], most: 0, hold: undefined as Promise<void> | undefined }
  const query = database.query.bind(database)
  let running = 0
  database.query = async <Row extends object>(statement: Sql): Promise<Row[]> => {
    const text = statement.text.replace(/\s+/g, ' ')
    const page = text.includes('room_events')
    if (text.includes('pg_notify')) return await query<Row>(statement)
    const [about] = statement.values.filter((value) => typeof value === 'string')
    watch.asked.push(page ? `page of ${about}` : text.includes('left join room_members') ? 'standings' : text)
    if (!page) return await query<Row>(statement)
    watch.most = Math.max(watch.most, ++running)
    try {
      await watch.hold
      return await query<Row>(statement)
    } finally {
      running--
    }
  }
  return watch
}

test('[RT38] coming back costs one question for all rooms and one page for each room with news, the newest room first; rooms without news cost nothing', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { recheckMs: 600_000 })
  const ada = somebody()
  const rooms = await Promise.all(range(1, 30).map(() => roomOf(own.database, live, ada)))
  const cursors: Record<string, { epoch: string; seq: number }> = {}
  for (const roomId of rooms) cursors[roomId] = { epoch: (await live.rooms.get(ada, roomId)).epoch, seq: 0 }
  const spoken = [rooms[17] ?? '', rooms[3] ?? '', rooms[25] ?? '']
  for (const roomId of spoken) await say(live, roomId, 1, 5, ada)
  const watch = watched(own.database)
  using client = new PlainClient(live.url, { token: await live.token(ada), cursors })
  const before = watch.asked.length
  await until(() => client.events.length === 15, 'what was missed')
  const newestFirst = spoken.toReversed().map((roomId) => `page of ${roomId}`)
  assert.deepEqual(watch.asked.slice(before), ['standings', ...newestFirst])
  // And all of them are live.
  for (const roomId of rooms) await say(live, roomId, 6, 6, ada)
  await until(() => client.events.length === 45, 'one more in each')
})

test('[RT39] clients who come back at once to the same place share one read of it, and leave sessions of the database to the others', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { recheckMs: 600_000 })
  const ada = somebody()
  const rooms = await Promise.all(range(1, 10).map(() => roomOf(own.database, live, ada)))
  for (const roomId of rooms) await say(live, roomId, 1, 20, ada)
  const cursors: Record<string, { epoch: string; seq: number }> = {}
  for (const roomId of rooms) cursors[roomId] = { epoch: (await live.rooms.get(ada, roomId)).epoch, seq: 10 }
  const token = await live.token(ada)
  const watch = watched(own.database)
  const { promise, resolve } = Promise.withResolvers<void>()
  watch.hold = promise
  const clients = range(1, 40).map(
    (number) => new PlainClient(live.url, { token, deviceId: `device-${number}`, cursors }),
  )
  try {
    // All sessions that pages may take are taken, so who comes now waits for its standings, too; nobody waits for ever.
    await until(() => watch.most === 4, 'pages are being read')
    // Somebody else is served meanwhile.
    await live.rooms.requireMember(ada, rooms[0] ?? '')
    resolve()
    for (const client of clients) {
      await until(() => client.events.length === 100, 'what was missed')
      for (const roomId of rooms) {
        const seqs = client.frames.flatMap((received) =>
          received.name === 'room.events' && received.frame.roomId === roomId
            ? received.frame.events.map(({ seq }) => seq)
            : [],
        )
        assert.deepEqual(seqs, range(11, 20))
      }
    }
    assert.equal(watch.most, 4)
    const pages = watch.asked.filter((what) => what.startsWith('page')).length
    assert.ok(pages < 400 / 2, `${pages} pages were read for 400 places`)
  } finally {
    resolve()
    for (const client of clients) client[Symbol.dispose]()
  }
})

test('[RT40] below what is kept, or in a timeline that was replaced, a socket is told to start over: when it comes back, and while it is there', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, { recheckMs: 200 })
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  await say(live, roomId, 1, 60, ada)
  const { epoch } = await live.rooms.get(ada, roomId)
  await own.database.query(sql`delete from room_events where room_id = ${roomId} and seq < 41`)
  await own.database.query(sql`update rooms set floor = 41 where id = ${roomId}`)
  const token = await live.token(ada)
  using old = new PlainClient(live.url, {
    token,
    deviceId: 'long-away',
    cursors: { [roomId]: { epoch, seq: 39 } },
  })
  assert.deepEqual((await old.hello()).rooms[roomId], { ok: true, epoch, head: 60, reset: true })
  await until(() => old.events.length === 20, 'what is kept')
  assert.deepEqual(old.seqs(), range(41, 60))
  using edge = new PlainClient(live.url, {
    token,
    deviceId: 'just-in-time',
    cursors: { [roomId]: { epoch, seq: 40 } },
  })
  assert.deepEqual((await edge.hello()).rooms[roomId], { ok: true, epoch, head: 60 })
  await until(() => edge.events.length === 20, 'what was missed')
  const joined = await old.ask('room.join', { roomId, after: 3, epoch })
  assert.ok(joined.ok && joined.reset === true && joined.events[0]?.seq === 41)
  // Restored from a backup, as it were: an older head, and other numbers mean other things.
  const renewed = newId()
  await own.database.query(sql`delete from room_events where room_id = ${roomId} and seq > 55`)
  await own.database.query(sql`update rooms set epoch = ${renewed}, seq = 55 where id = ${roomId}`)
  for (const client of [old, edge]) {
    const frames = () =>
      client.frames.flatMap((received) =>
        received.name === 'room.events' && received.frame.epoch === renewed ? [received.frame] : [],
      )
    await until(() => frames().length > 0, 'it is told')
    assert.equal(frames()[0]?.reset, true)
    assert.deepEqual(
      frames().flatMap(({ events }) => events.map(({ seq }) => seq)),
      range(41, 55),
    )
  }
  await live.messages.send(ada, roomId, { clientId: 'client-after', text: 'and on it goes' })
  for (const client of [old, edge]) {
    await until(() => client.seqs().at(-1) === 56, 'the next event')
    assert.deepEqual(client.problems, [])
  }
})

test('[RT41] who came while few were here is told when many more have come, so that all of them come back spread wide enough', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database, {
    admission: { handshakesPerSecond: 1, handshakeBurst: 100 },
  })
  const token = await live.token(somebody())
  const clients: PlainClient[] = []
  try {
    for (const number of range(1, 10)) {
      const client = new PlainClient(live.url, { token, deviceId: `device-${number}` })
      clients.push(client)
      await client.hello()
    }
    const told = (client: PlainClient | undefined) =>
      client?.frames.flatMap((received) =>
        received.name === 'spread' || received.name === 'hello' ? [received.frame.spreadMs] : [],
      )
    await until(() => told(clients[0])?.at(-1) === 10_000, 'one, two, four, eight')
    assert.deepEqual(told(clients[0]), [1_250, 2_500, 5_000, 10_000])
    assert.deepEqual(told(clients[9]), [12_500])
  } finally {
    for (const client of clients) client[Symbol.dispose]()
  }
})

test('[RT96] a slow database holds back the greeting of who connects, never the word that they are connected', async () => {
  await using own = await testDatabase()
  await using live = await startLive(own.database)
  const ada = somebody()
  const roomId = await roomOf(own.database, live, ada)
  const { epoch } = await live.rooms.get(ada, roomId)
  const token = await live.token(ada)
  const answers = Promise.withResolvers<void>()
  const query = own.database.query.bind(own.database)
  own.database.query = async <Row extends object>(statement: Sql): Promise<Row[]> => {
    if (statement.text.includes('left join room_members')) await answers.promise
    return await query<Row>(statement)
  }
  using client = new PlainClient(live.url, { token, cursors: { [roomId]: { epoch, seq: 0 } } })
  await until(() => client.socket.connected, 'it is connected')
  assert.equal(client.first('hello'), undefined)
  answers.resolve()
  const hello = await client.hello()
  assert.equal(hello.rooms[roomId]?.ok, true)
  // And one that is turned away while it waits is told so.
  const again = Promise.withResolvers<void>()
  own.database.query = async <Row extends object>(statement: Sql): Promise<Row[]> => {
    if (statement.text.includes('left join room_members')) await again.promise
    return await query<Row>(statement)
  }
  const cursors = { [roomId]: { epoch, seq: 0 } }
  const deviceId = 'the-same-device'
  using first = new PlainClient(live.url, { token, deviceId, cursors })
  await until(() => live.sockets.count === 2, 'it is admitted')
  using second = new PlainClient(live.url, { token, deviceId, cursors })
  await until(() => first.first('closing')?.reason === 'replaced', 'the older one is told')
  again.resolve()
  await second.hello()
})

test('[RT100] who cannot read a refused upgrade, as no page can, is told in a frame when to come back; a foreign page is given no socket for it', async () => {
  await using own = await testDatabase()
  await using full = await startLive(own.database, { admission: { sockets: 1 } })
  const token = await full.token(somebody())
  using first = new PlainClient(full.url, { token })
  await first.hello()
  for (const options of [{ extraHeaders: { origin: full.url } }, { query: { refusal: 'frame' } }]) {
    using late = new PlainClient(full.url, { token }, options)
    const refusal = await late.refused()
    assert.equal(refusal.code, 'busy')
    assert.ok('retryAfterMs' in refusal && Number(refusal.retryAfterMs) > 0)
  }
  const attempt = Socket.open({
    url: full.url,
    auth: { token },
    heard: () => undefined,
    signal: new AbortController().signal,
  })
  await assert.rejects(attempt, (error: { code?: string; retryAfterMs?: number }) => {
    return error.code === 'busy' && (error.retryAfterMs ?? 0) > 0
  })
  // By hand: the upgrade is granted, says why not, and ends.
  const answer = await knock(full, undefined, { origin: full.url })
  assert.ok('tcp' in answer)
  let text = answer.head.toString('latin1')
  for await (const chunk of answer.tcp) text += chunk.toString('latin1')
  assert.match(text, /44\{"message":"busy"/)
  assert.equal(full.sockets.count, 1)
  const foreign = await knock(full, undefined, { origin: 'https://elsewhere.example' })
  assert.ok(!('tcp' in foreign))
  assert.equal(foreign.body.code, 'origin_refused')
  first[Symbol.dispose]()
  // Nothing of those who were refused is counted.
  const next = await openedAtLast(full)
  next.destroy()
})
