import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, suite, test } from 'node:test'
import { accountRoutes } from '@atom/contract/accounts.ts'
import { type RoomEvent, roomRoutes } from '@atom/contract/rooms.ts'
import { AtomClient, type AtomClientOptions, type Room } from '../src/atom-client.ts'
import { Reconnect } from '../src/realtime/reconnect.ts'
import { Line } from './support/line.ts'
import { RunningServer, setupToken } from './support/running-server.ts'
import { until } from './support/until.ts'

const ada = { email: 'ada@example.org', password: 'correct horse battery staple' }

let server: RunningServer

/** Fast enough for a test, jittered all the same. */
function quick(): Reconnect {
  return new Reconnect({ random: () => Math.random() * 0.1 })
}

function open(options: AtomClientOptions = {}): AtomClient {
  return new AtomClient({ baseUrl: server.url, reconnect: quick, ...options })
}

async function signedIn(options: AtomClientOptions = {}): Promise<AtomClient> {
  const client = open(options)
  await client.session.login(ada)
  return client
}

function texts(room: Room): string[] {
  return room.getSnapshot().events.flatMap((event) => (event.type === 'message.created' ? [event.text] : []))
}

/** Gap-free from the first one held, and nothing twice. */
function assertWhole(room: Room): void {
  const { events, loadedFrom } = room.getSnapshot()
  assert.deepEqual(
    events.map(({ seq }) => seq),
    Array.from({ length: events.length }, (_, index) => loadedFrom + index),
  )
}

suite('the client and the real server', { concurrency: false, timeout: 120_000 }, () => {
  before(async () => {
    server = await RunningServer.open()
    using client = open()
    const me = await client.session.setup({ ...ada, token: setupToken, name: 'Ada', workspace: 'Analytical' })
    assert.equal(me.role, 'owner')
  })

  after(async () => {
    await server[Symbol.asyncDispose]()
  })

  test('[CL30] a person signs in, finds a room, says something, and sees it committed in its place', async () => {
    using client = await signedIn()
    const [first] = await client.rooms.list()
    assert.ok(first)
    const room = client.rooms.room(first.id)
    using _ = room.open()
    await until(room, ({ state }) => state === 'live')
    const committed = await room.send('hello')
    const { events, outgoing } = await until(room, ({ head }) => head >= committed.seq)
    const mine = events.find(({ seq }) => seq === committed.seq)
    assert.ok(mine?.type === 'message.created')
    assert.deepEqual([mine.id, mine.text, mine.actor.name], [committed.id, 'hello', 'Ada'])
    assert.deepEqual(outgoing, [])
    assert.equal(client.realtime.getSnapshot().state, 'connected')
    // The agent answers in the same room: drafts give way to the final text.
    const { drafts } = await until(
      room,
      (now) => now.events.some((event) => event.type === 'turn.ended'),
      60_000,
    )
    assert.equal(drafts.size, 0)
    assertWhole(room)
  })

  test('[CL30] wrong words at the door are said with their code', async () => {
    using client = open()
    await assert.rejects(client.session.login({ ...ada, password: 'wrong' }), {
      code: 'invalid_credentials',
      status: 401,
    })
    await assert.rejects(
      client.session.setup({ ...ada, token: setupToken, name: 'Eve', workspace: 'Evil' }),
      { code: 'setup_closed', status: 409 },
    )
    await assert.rejects(client.rooms.list(), { code: 'unauthenticated' })
  })

  test('[CL31] through a line that breaks again and again, all messages arrive once, in order, at every device', async () => {
    await using line = await Line.to(server.port)
    using sender = await signedIn({ baseUrl: line.url })
    using reader = await signedIn({ baseUrl: line.url })
    const { id } = await sender.rooms.create('Bad network')
    const [from, to] = [sender.rooms.room(id), reader.rooms.room(id)]
    using _ = from.open()
    using __ = to.open()
    await until(to, ({ state }) => state === 'live')
    const expected = Array.from({ length: 120 }, (_, index) => `${index}`)
    const sending = Promise.all(
      expected.map(async (text, index) => {
        await new Promise((resolve) => setTimeout(resolve, index * 8))
        if (index % 15 === 7) line.blink()
        return await from.send(text)
      }),
    )
    const committed = await sending
    assert.deepEqual(
      committed.map(({ seq }) => seq),
      committed.map(({ seq }) => seq).toSorted((a, b) => a - b),
    )
    const last = committed.at(-1)?.seq ?? 0
    for (const room of [from, to]) {
      await until(room, ({ state, head }) => state === 'live' && head >= last, 20_000)
      assertWhole(room)
      assert.deepEqual(texts(room), expected)
    }
    assert.equal(sender.realtime.getSnapshot().pendingCount, 0)
    assert.deepEqual(from.getSnapshot().outgoing, [])
  })

  test('[CL31] an acknowledgement that never arrives is not a second message', async () => {
    await using line = await Line.to(server.port)
    using client = await signedIn({ baseUrl: line.url })
    const { id } = await client.rooms.create('Half open')
    const room = client.rooms.room(id)
    using _ = room.open()
    await until(room, ({ state }) => state === 'live')
    line.deafen()
    const sending = room.send('heard, but not answered')
    // The server has it; only this device does not know.
    using witness = await signedIn()
    const seen = witness.rooms.room(id)
    using __ = seen.open()
    await until(seen, () => texts(seen).length === 1)
    assert.equal(client.realtime.getSnapshot().pendingCount, 1)
    line.blink()
    const { seq } = await sending
    await until(room, ({ head, state }) => head >= seq && state === 'live')
    assert.deepEqual(texts(room), ['heard, but not answered'])
    assert.deepEqual(room.getSnapshot().outgoing, [])
  })

  test('[CL32] a server killed in mid-conversation costs nothing: what was said is there, what was waiting goes out', async () => {
    using client = await signedIn()
    const { id } = await client.rooms.create('Power cut')
    const room = client.rooms.room(id)
    using _ = room.open()
    await until(room, ({ state }) => state === 'live')
    const before = await Promise.all(['one', 'two'].map((text) => room.send(text)))
    await until(room, (now) => now.outgoing.length === 0)
    await server.kill()
    await until(client.realtime, ({ state }) => state === 'suspended')
    const waiting = [room.send('three'), room.send('four')]
    const { outgoing, state } = await until(room, (now) => now.outgoing.length === 2)
    assert.deepEqual(
      outgoing.map((message) => [message.text, message.state]),
      [
        ['three', 'pending'],
        ['four', 'pending'],
      ],
    )
    assert.equal(state, 'stale')
    assert.equal(client.realtime.getSnapshot().pendingCount, 2)
    await server.start()
    const after = await Promise.all(waiting)
    assert.ok((after[0]?.seq ?? 0) > (before[1]?.seq ?? Number.POSITIVE_INFINITY))
    await until(room, (now) => now.state === 'live' && now.head >= (after[1]?.seq ?? 0))
    assert.deepEqual(texts(room), ['one', 'two', 'three', 'four'])
    assertWhole(room)
  })

  test('[CL33] a server that drains and comes back is found again by itself', async () => {
    using client = await signedIn()
    const { id } = await client.rooms.create('Deploy')
    const room = client.rooms.room(id)
    using _ = room.open()
    await until(room, ({ state }) => state === 'live')
    await server.stop()
    await until(client.realtime, ({ state }) => state === 'suspended')
    await server.start()
    await until(client.realtime, ({ state }) => state === 'connected', 20_000)
    assert.ok((await room.send('back')).seq > 0)
  })

  test('[CL61] moved in mid-conversation: the next socket stands before the old one goes, and nothing is lost, doubled or shown as away', async () => {
    await using line = await Line.to(server.port)
    using sender = await signedIn({ baseUrl: line.url })
    using reader = await signedIn({ baseUrl: line.url })
    const { id } = await sender.rooms.create('Moved')
    const [from, to] = [sender.rooms.room(id), reader.rooms.room(id)]
    using _ = from.open()
    using __ = to.open()
    await until(from, ({ state }) => state === 'live')
    await until(to, ({ state }) => state === 'live')
    const states: string[] = []
    for (const { realtime } of [sender, reader])
      realtime.subscribe(() => states.push(realtime.getSnapshot().state))
    const expected = Array.from({ length: 60 }, (_, index) => `${index}`)
    const committed: number[] = []
    for (const [index, text] of expected.entries()) {
      // The line is quiet here, so a frame of its own fits in.
      if (index % 20 === 10) line.inject('42["drain",{"afterMs":20}]')
      committed.push((await from.send(text)).seq)
    }
    const last = committed.at(-1) ?? 0
    for (const room of [from, to]) {
      await until(room, ({ state, head }) => state === 'live' && head >= last)
      assertWhole(room)
      assert.deepEqual(texts(room), expected)
    }
    assert.ok(states.includes('draining'))
    assert.equal(states.includes('suspended'), false)
    for (const { realtime } of [sender, reader]) await until(realtime, ({ state }) => state === 'connected')
    assert.equal(line.sockets, 2)
  })

  test('[CL34] a session that is ended elsewhere ends here, socket and all, and stays ended', async () => {
    using client = await signedIn()
    const { id } = await client.rooms.create('Revoked')
    using _ = client.rooms.room(id).open()
    await until(client.realtime, ({ state }) => state === 'connected')
    const { items } = await client.call(accountRoutes.sessions, { query: { limit: 200 } })
    const current = items.find((session) => session.current)
    assert.ok(current)
    using elsewhere = await signedIn()
    await elsewhere.call(accountRoutes.endSession, { params: { id: current.id } })
    await until(client.session, ({ state }) => state === 'signed_out')
    await until(client.realtime, ({ state }) => state === 'idle')
    await assert.rejects(client.rooms.list(), { code: 'unauthenticated' })
  })

  test('[CL35] a feed of events leaves out nothing, from the beginning and across a broken line', async () => {
    await using line = await Line.to(server.port)
    using client = await signedIn({ baseUrl: line.url })
    const { id } = await client.rooms.create('Feed')
    const room = client.rooms.room(id)
    for (let index = 0; index < 30; index++) await room.send(`${index}`)
    const seen: number[] = []
    const stop = new AbortController()
    const reading = (async () => {
      for await (const event of room.feed({ after: 0, signal: stop.signal })) {
        seen.push(event.seq)
        if (event.type === 'message.created' && event.text === '29') line.blink()
        if (event.type === 'message.created' && event.text === 'last') stop.abort()
      }
    })()
    for (let index = 30; index < 40; index++) await room.send(`${index}`)
    await room.send('last')
    await reading
    assert.deepEqual(
      seen,
      Array.from({ length: seen.length }, (_, index) => index + 1),
    )
    assert.ok(seen.length >= 41)
  })

  test('[CL62] a feed goes on where it was when the server is killed and started again, and from a cursor that was kept', async () => {
    using writer = await signedIn()
    using client = await signedIn()
    const { id } = await writer.rooms.create('Killed')
    const from = writer.rooms.room(id)
    for (let index = 0; index < 5; index++) await from.send(`${index}`)
    const read: RoomEvent[] = []
    const feed = client.rooms.room(id).feed({ after: 0 })
    const readUntil = async (text: string) => {
      for (;;) {
        const { value } = await feed.next()
        read.push(value)
        if (value.type === 'message.created' && value.text === text) return
      }
    }
    await readUntil('4')
    const kept = feed.cursor
    await server.kill()
    const reading = readUntil('after the kill')
    const sending = from.send('after the kill')
    await server.start()
    await sending
    await reading
    await feed.return()
    assert.deepEqual(
      read.map(({ seq }) => seq),
      read.map((_, index) => index + 1),
    )
    // Another process, later, with nothing but the cursor.
    using later = await signedIn()
    for await (const event of later.rooms.room(id).feed({ after: kept ?? 0 })) {
      assert.deepEqual(event, read[kept?.seq ?? -1])
      break
    }
  })

  test('[CL77] the examples of docs/client.md run as they are written', async () => {
    const page = await readFile(new URL('../../docs/client.md', import.meta.url), 'utf8')
    const [first, traced, second] = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code ?? '')
    assert.ok(first && traced && second)
    const AsyncFunction = (async () => undefined).constructor as new (
      ...parts: string[]
    ) => (...given: unknown[]) => Promise<void>
    const said: unknown[][] = []
    const code = first.replace(/^import .*\n/, '').replaceAll('http://127.0.0.1:3000', server.url)
    await new AsyncFunction('AtomClient', 'email', 'password', 'console', code)(
      AtomClient,
      ada.email,
      ada.password,
      { log: (...words: unknown[]) => said.push(words) },
    )
    assert.deepEqual(said[0]?.slice(1), ['Ada', 'Good morning'])

    let asked = 0
    const propagation = {
      inject(active: unknown, carrier: { traceparent?: string }) {
        assert.equal(active, 'now')
        asked++
        carrier.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      },
    }
    await new AsyncFunction(
      ...['AtomClient', 'context', 'propagation', 'email', 'password'],
      `${traced.replaceAll('http://127.0.0.1:3000', server.url)}
      await atom.session.login({ email, password })
      atom.close()`,
    )(AtomClient, { active: () => 'now' }, propagation, ada.email, ada.password)
    assert.ok(asked > 0)

    using client = await signedIn()
    const { id } = await client.rooms.create('Examples')
    const room = client.rooms.room(id)
    await room.send('one')
    const handled: RoomEvent[] = []
    const saved: unknown[] = []
    const enough = new Error('enough')
    const save = async (cursor: unknown) => {
      saved.push(cursor)
      if (handled.at(-1)?.type === 'message.created') throw enough
    }
    const run = new AsyncFunction('room', 'savedCursor', 'handle', 'save', second)
    await assert.rejects(
      run(room, 0, async (event: RoomEvent) => handled.push(event), save),
      enough,
    )
    assert.deepEqual(
      saved.map((cursor) => (cursor as { seq: number }).seq),
      handled.map((_, index) => index + 1),
    )
  })

  test('[CL36] older pages are fetched on demand, down to the first event', async () => {
    using client = await signedIn()
    const { id } = await client.rooms.create('Long')
    const writing = client.rooms.room(id)
    await Promise.all(Array.from({ length: 250 }, (_, index) => writing.send(`${index}`)))
    using reader = await signedIn()
    const room = reader.rooms.room(id)
    using _ = room.open()
    await until(room, ({ state }) => state === 'live')
    assert.ok(room.getSnapshot().hasOlder)
    while (room.getSnapshot().hasOlder) await room.loadOlder()
    assert.equal(room.getSnapshot().loadedFrom, 1)
    assertWhole(room)
    assert.deepEqual(
      texts(room),
      Array.from({ length: 250 }, (_, index) => `${index}`),
    )
  })

  test('[CL37] how far I have read follows me to my other devices', async () => {
    using client = await signedIn()
    const { id } = await client.rooms.create('Read')
    const room = client.rooms.room(id)
    using _ = room.open()
    const { seq } = await room.send('read me')
    await until(room, ({ head, state }) => head >= seq && state === 'live')
    room.markRead(seq)
    assert.equal(room.getSnapshot().readSeq, seq)
    using other = await signedIn()
    const end = Date.now() + 10_000
    for (;;) {
      const described = await other.call(roomRoutes.room, { params: { id } })
      if (described.readSeq === seq) break
      assert.ok(Date.now() < end, `the server still says ${described.readSeq}`)
    }
  })

  test('[CL38] a room that is not mine says so, and the other rooms go on', async () => {
    using client = await signedIn()
    const room = client.rooms.room('01890000-0000-7000-8000-000000000000')
    using _ = room.open()
    const { error } = await until(room, ({ state }) => state === 'failed')
    assert.equal(error?.code, 'not_found')
    await assert.rejects(room.send('anybody?'), { code: 'not_found' })
    const [kept] = room.getSnapshot().outgoing
    assert.deepEqual([kept?.text, kept?.state], ['anybody?', 'failed'])
    const { id } = await client.rooms.create('Fine')
    assert.ok((await client.rooms.room(id).send('still here')).seq > 0)
  })
})
