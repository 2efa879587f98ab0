import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServerFrameName } from '@atom/contract/socket.ts'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import { PlainClient, startLive, until } from './support/live.ts'
import { startRoomHouse } from './support/room-house.ts'

function told(client: PlainClient, name: ServerFrameName, roomId: string): number {
  return client.frames.filter(
    (each) => each.name === name && 'roomId' in each.frame && each.frame.roomId === roomId,
  ).length
}

test('[RM60] who comes into a room, group or direct, hears of it at once, on every device and at every process, and so does who is taken out or whose room ends', async () => {
  await using house = await startRoomHouse()
  await using elsewhere = await startLive(house.database)
  const [ada, bob, eve] = [await house.person('Ada'), await house.person('Bob'), await house.person('Eve')]
  // None of them follows a room.
  using here = new PlainClient(house.live.url, { token: bob.token, deviceId: 'bob-laptop' })
  using there = new PlainClient(elsewhere.url, {
    token: await elsewhere.token(bob.me),
    deviceId: 'bob-phone',
  })
  using hers = new PlainClient(elsewhere.url, { token: await elsewhere.token(ada.me), deviceId: 'ada-phone' })
  using stranger = new PlainClient(elsewhere.url, { token: await elsewhere.token(eve.me) })
  await Promise.all([here, there, hers, stranger].map((client) => client.hello()))
  const heard = async (name: ServerFrameName, roomId: string, ...clients: PlainClient[]) => {
    for (const client of clients) await until(() => told(client, name, roomId) > 0, name)
  }

  const group = await ada.room({ name: 'Lab', members: [] })
  await heard('room.added', group.id, hers)
  await ada.call('POST', `/v1/rooms/${group.id}/members`, { kind: 'account', id: bob.me.id })
  await heard('room.added', group.id, here, there)
  // Added again changes nothing.
  await ada.call('POST', `/v1/rooms/${group.id}/members`, { kind: 'account', id: bob.me.id })
  const direct = await ada.room({ direct: { kind: 'account', id: bob.me.id } })
  await heard('room.added', direct.id, here, there, hers)
  const made = await ada.room({ name: 'With Bob', members: [{ kind: 'account', id: bob.me.id }] })
  await heard('room.added', made.id, here, there, hers)

  await ada.call('DELETE', `/v1/rooms/${group.id}/members/${bob.me.id}`)
  await heard('room.left', group.id, here, there)
  assert.ok((await there.ask('room.join', { roomId: made.id })).ok)
  await ada.call('DELETE', `/v1/rooms/${made.id}`)
  // Who follows it as well.
  await heard('room.left', made.id, here, there, hers)
  for (const client of [here, there]) assert.equal(told(client, 'room.added', group.id), 1)
  assert.deepEqual(
    stranger.frames.filter(({ name }) => name !== 'hello'),
    [],
    'nobody else hears of it',
  )
  for (const client of [here, there, hers]) assert.deepEqual(client.problems, [])
})

/** Carries nothing, and looks as if it did: events are read from the database when they do not come. */
const deaf: Broadcast = {
  mostBytes: 1_000_000,
  tell: () => undefined,
  listen: () => ({ [Symbol.dispose]: () => undefined }),
  hears: () => true,
  [Symbol.asyncDispose]: async () => undefined,
}

test('[RT170] whoever is taken out of a room and added again at once is told so in this order, whichever word was quicker: who goes by the last one is in the room', async () => {
  await using house = await startRoomHouse()
  // The word of who came in arrives there at once, the timeline long after it.
  await using elsewhere = await startLive(house.database, { broadcast: deaf, patienceMs: 700 })
  const [ada, bob] = [await house.person('Ada'), await house.person('Bob')]
  const { id } = await ada.room({ name: 'Lab', members: [{ kind: 'account', id: bob.me.id }] })
  const token = await elsewhere.token(bob.me)
  using follows = new PlainClient(elsewhere.url, { token, deviceId: 'bob-laptop' })
  // It joins with the word that it is in, before what came first is told.
  using eager = new PlainClient(elsewhere.url, { token, deviceId: 'bob-phone' })
  using looks = new PlainClient(elsewhere.url, { token, deviceId: 'bob-watch' })
  await Promise.all([follows, eager, looks].map((client) => client.hello()))
  const join = (client: PlainClient) => client.ask('room.join', { roomId: id, after: 0 })
  for (const client of [follows, eager]) assert.ok((await join(client)).ok)
  eager.socket.on('room.added', () => void join(eager))
  // The first events of a room that is joined are waited for as well.
  const said = await ada.say(id, 'before')
  await until(() => eager.seqs().includes(said) && follows.seqs().includes(said), 'both hear the room')

  await ada.call('DELETE', `/v1/rooms/${id}/members/${bob.me.id}`)
  await ada.call('POST', `/v1/rooms/${id}/members`, { kind: 'account', id: bob.me.id })
  const quick = () => told(follows, 'room.added', id) > 0 && told(follows, 'room.left', id) === 0
  await until(quick, 'they hear that they are in before they hear that they were out')
  await until(() => told(follows, 'room.left', id) > 0, 'and then that they were out')
  const words = (client: PlainClient) =>
    client.frames.flatMap(({ name }) => (name === 'room.left' || name === 'room.added' ? [name] : []))
  await until(() => words(follows).at(-1) === 'room.added', 'and in the end that they are in')
  assert.ok((await join(follows)).ok)
  const last = await ada.say(id, 'after')
  for (const client of [follows, eager]) {
    await until(() => client.seqs().includes(last), 'what is said then')
    assert.equal(words(client).at(-1), 'room.added')
  }
  assert.equal(words(looks).at(-1), 'room.added')
  for (const client of [follows, eager, looks]) assert.deepEqual(client.problems, [])
})
