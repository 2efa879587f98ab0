import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ServerFrameName } from '@atom/contract/socket.ts'
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
