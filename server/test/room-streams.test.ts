import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { newId } from '#foundation/ids.ts'
import { EventStream } from '#http/event-stream.ts'
import { EventReader } from './support/event-reader.ts'
import { range, startLive, until } from './support/live.ts'
import { startRoomHouse } from './support/room-house.ts'

const seqs = (reader: EventReader) => reader.named('message').map(({ data }) => data['seq'])

test('[RT70] a room’s timeline comes as server-sent events, and whoever comes back with Last-Event-ID gets exactly what was missed, in order', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id, epoch } = await ada.room({ name: 'Lab', members: [] })
  const address = `${house.url}/v1/rooms/${id}/stream`
  for (const n of range(1, 3)) await ada.say(id, `before ${n}`)
  await using first = await EventReader.open(address, ada)
  assert.equal(first.status, 200)
  assert.equal(first.headers.get('content-type'), 'text/event-stream')
  assert.equal(first.headers.get('cache-control'), 'no-store')
  await until(() => first.events.length === 3, 'the newest page')
  await ada.say(id, 'live\nand in two lines')
  await until(() => first.events.length === 4, 'a live event')
  assert.deepEqual(seqs(first), [1, 2, 3, 4])
  assert.deepEqual(
    first.events.map((event) => event.id),
    range(1, 4).map((seq) => `${epoch}:${seq}`),
  )
  assert.equal(first.events[3]?.data['text'], 'live\nand in two lines')
  await first[Symbol.asyncDispose]()

  // Longer away than one page.
  const from = await house.live.messages
  await Promise.all(
    range(1, 450).map((n) => from.send(ada.me, id, { clientId: `while-away-${n}`, text: `missed ${n}` })),
  )
  await using again = await EventReader.open(address, { ...ada, lastEventId: first.lastEventId })
  await until(() => again.events.length === 450, 'everything missed')
  assert.deepEqual(seqs(again), range(5, 454))
  await using bySeq = await EventReader.open(`${address}?after=452`, ada)
  await until(() => bySeq.events.length === 2, 'what follows on `after`')
  assert.deepEqual(seqs(bySeq), [453, 454])
})

test('[RT71] what other processes commit comes too, each once and in order', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id } = await ada.room({ name: 'Lab', members: [] })
  await using elsewhere = await startLive(house.database)
  await using readers = await EventReader.open(`${house.url}/v1/rooms/${id}/stream?after=0`, ada)
  await using other = await EventReader.open(`${house.url}/v1/rooms/${id}/stream?after=0`, ada)
  for (const n of range(1, 20)) {
    const from = n % 2 === 0 ? elsewhere : house.live
    await from.messages.send(ada.me, id, { clientId: `message-${n}`, text: `n ${n}` })
  }
  await until(() => readers.events.length >= 20 && other.events.length >= 20, 'all of them')
  assert.deepEqual(seqs(readers), range(1, 20))
  assert.deepEqual(seqs(other), range(1, 20))
})

test('[RT72] a cursor of another timeline is answered with `reset` and the newest page; one that cannot be read is refused', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id, epoch } = await ada.room({ name: 'Lab', members: [] })
  const address = `${house.url}/v1/rooms/${id}/stream`
  await ada.say(id, 'one')
  await ada.say(id, 'two')
  for (const lastEventId of [`${newId()}:1`, `${epoch}:99`, '99']) {
    await using reader = await EventReader.open(address, { ...ada, lastEventId })
    await until(() => reader.events.length === 3, 'reset and page')
    assert.deepEqual(reader.events[0], {
      id: `${epoch}:0`,
      event: 'reset',
      data: { epoch, head: 2, floor: reader.events[0]?.data['floor'] },
    })
    assert.deepEqual(seqs(reader), [1, 2])
  }
  for (const lastEventId of ['x', `${epoch}:-1`, `${epoch}:1:2`, '1e3']) {
    await using reader = await EventReader.open(address, { ...ada, lastEventId })
    assert.equal(reader.status, 400)
  }
  const stranger = await house.person('Eve')
  await using outside = await EventReader.open(address, stranger)
  assert.equal(outside.status, 403)
})

test('[RT73] a stream ends when its reader is taken out, its session ends, its token expires, or the process does, and says so', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const bob = await house.person('Bob')
  const { id } = await ada.room({ name: 'Lab', members: [{ kind: 'account', id: bob.me.id }] })
  const address = `${house.url}/v1/rooms/${id}/stream`
  const last = async (reader: EventReader) => {
    await reader.ended()
    return reader.events.at(-1)
  }

  await using taken = await EventReader.open(address, bob)
  await ada.call('DELETE', `/v1/rooms/${id}/members/${bob.me.id}`)
  await ada.say(id, 'not for Bob')
  assert.deepEqual((await last(taken))?.data, { reason: 'left' })
  assert.deepEqual(
    taken.named('message').map(({ data }) => data['type']),
    ['member.left'],
  )
  await ada.call('POST', `/v1/rooms/${id}/members`, { kind: 'account', id: bob.me.id })

  await using ended = await EventReader.open(address, bob)
  await house.database.transaction((tx) => house.live.revocations.announce(tx, bob.me.sessionId))
  assert.deepEqual((await last(ended))?.data, { reason: 'session_revoked' })

  const short = await house.live.token(ada.me, 2_000)
  await using expired = await EventReader.open(address, { token: short })
  assert.equal(expired.status, 200)
  assert.deepEqual((await last(expired))?.data, { reason: 'token_expired' })

  await using drained = await EventReader.open(address, ada)
  house.streams[Symbol.dispose]()
  assert.deepEqual((await last(drained))?.data, { reason: 'draining' })
  await using late = await EventReader.open(address, ada)
  assert.equal(late.status, 503)
  assert.equal(house.streams.count, 0)
})

test('[RT74] a reader that stands still costs a page of memory, and gets everything when it reads again', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id } = await ada.room({ name: 'Lab', members: [] })
  const text = 'x'.repeat(15_000)
  const socket = connect(Number(new URL(house.url).port), '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.write(
    `GET /v1/rooms/${id}/stream?after=0&signals=1 HTTP/1.1\r\nhost: ${new URL(house.url).host}\r\nauthorization: Bearer ${ada.token}\r\n\r\n`,
  )
  await until(() => house.streams.count === 1, 'the stream')
  socket.pause()
  let most = 0
  for (const n of range(1, 400)) {
    await house.live.messages.send(ada.me, id, { clientId: `message-${n}`, text })
    house.live.signals.tell({
      roomId: id,
      kind: 'typing',
      actor: { kind: 'account', id: ada.me.id, name: 'Ada' },
    })
    most = Math.max(most, house.streams.unsent)
  }
  assert.ok(most > 0, 'the reader was never behind')
  assert.ok(most < 512 * 1024, `${most} bytes waited`)
  socket.resume()
  const all = () =>
    [
      ...Buffer.concat(chunks)
        .toString()
        .matchAll(/"seq":(\d+)/g),
    ].map(([, seq]) => Number(seq))
  await until(() => all().length >= 400, 'everything', 30_000)
  assert.deepEqual(all(), range(1, 400))
  socket.destroy()
  await until(() => house.streams.count === 0, 'the end of who is gone')
})

test('[RT75] signals come as events without an id where they are asked for, and nowhere else', async () => {
  await using house = await startRoomHouse()
  const ada = await house.person('Ada')
  const { id } = await ada.room({ name: 'Lab', members: [] })
  const address = `${house.url}/v1/rooms/${id}/stream`
  await using asked = await EventReader.open(`${address}?signals=1`, ada)
  await using unasked = await EventReader.open(address, ada)
  const typing = {
    roomId: id,
    kind: 'typing',
    actor: { kind: 'account', id: ada.me.id, name: 'Ada' },
  } as const
  house.live.signals.tell(typing)
  await ada.say(id, 'hello')
  await until(() => asked.events.length === 2 && unasked.events.length === 1, 'the events')
  assert.deepEqual(asked.named('signal'), [{ id: undefined, event: 'signal', data: typing }])
  assert.deepEqual(unasked.named('signal'), [])
})

test('[RT76] an idle stream says now and then that it lives', async () => {
  const stream = new EventStream({ retryMs: 2_000, heartbeatMs: 5 })
  let told = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    told += chunk
  })
  await until(() => told.split(': \n\n').length > 3, 'three heartbeats')
  assert.ok(told.startsWith('retry: 2000\n\n: \n\n'))
  stream.end()
  await until(() => stream.readableEnded, 'its end')
})
