import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compileFunction } from 'node:vm'
import type { RoomEvent } from '@atom/contract/rooms.ts'
import { io, type Socket } from 'socket.io-client'
import { SocketTraffic } from '#realtime/socket-traffic.ts'
import { range, roomOf, somebody, startLive, until } from './support/live.ts'
import { testDatabase } from './support/postgres.ts'
import { startRoomHouse } from './support/room-house.ts'

interface Documented {
  readonly socket: Socket
  readonly held: readonly RoomEvent[]
  send(text: string): Promise<{ readonly id: string; readonly seq: number }>
}

/** The client of docs/client.md as it stands there. */
async function documented(): Promise<
  (from: typeof io, base: string, token: string, roomId: string) => Documented
> {
  const page = await readFile(join(import.meta.dirname, '../../docs/client.md'), 'utf8')
  const code = /```js without-the-sdk\nimport \{ io \} from 'socket.io-client'\n(.*?)```/s.exec(page)?.[1]
  assert.ok(code !== undefined, 'the page has it')
  return compileFunction(`${code}\nreturn { socket, held, send }`, ['io', 'base', 'token', 'roomId']) as (
    from: typeof io,
    base: string,
    token: string,
    roomId: string,
  ) => Documented
}

test('[RT114] the client that the documentation writes with nothing but socket.io-client joins, sends, is cut off, and comes back with everything once and in order', async () => {
  const client = await documented()
  await using own = await testDatabase()
  const traffic = new SocketTraffic()
  await using live = await startLive(own.database, { traffic })
  const ada = somebody()
  const bob = somebody(ada.workspaceId, 'Bob')
  const roomId = await roomOf(own.database, live, ada, bob)
  const bobSays = async (number: number) =>
    await live.messages.send(bob, roomId, { clientId: `bob-${number}`, text: `Bob ${number}` })
  await bobSays(1)
  const { socket, held, send } = client(io, live.url, await live.token(ada), roomId)
  try {
    assert.equal((await send('while it is still connecting')).seq, 2)
    await until(() => held.length === 2, 'it has the room')
    for (const round of [1, 2]) {
      const before = held.length
      live.cut()
      await until(() => !socket.connected, 'it notices')
      const owed = send(`owed ${round}`)
      for (const number of range(1, 5)) await bobSays(10 * round + number)
      const { seq } = await owed
      assert.ok(seq > before)
      await until(() => held.length === before + 6, 'it has what it missed')
    }
    assert.deepEqual(
      held.map(({ seq }) => seq),
      range(1, 14),
    )
    const resumed = new Map(traffic.resumed)
    assert.ok((resumed.get('news') ?? 0) + (resumed.get('quiet') ?? 0) >= 2, 'by the handshake')
    assert.equal(resumed.get('reset'), 0)
  } finally {
    socket.disconnect()
  }
})

interface Shown {
  readonly text: string
  readonly deleted: boolean
  readonly reactions: ReadonlySet<string>
  readonly pinned: boolean
}

/** What docs/client.md makes of these events: each message as it is now, by its place. */
async function shown(events: readonly RoomEvent[]): Promise<ReadonlyMap<number, Shown>> {
  const page = await readFile(join(import.meta.dirname, '../../docs/client.md'), 'utf8')
  const code = /```js messages-without-the-sdk\n(.*?)```/s.exec(page)?.[1]
  assert.ok(code !== undefined, 'the page has it')
  const show = compileFunction(`${code}\nfor (const event of events) apply(event)\nreturn messages`, [
    'events',
  ])
  return show(events) as ReadonlyMap<number, Shown>
}

test('[RT175] by the documentation alone messages are edited, deleted, reacted to, pinned and read, and come out the same for who heard it all, who was cut off, who was out and came back, and who came later', async () => {
  const client = await documented()
  await using house = await startRoomHouse()
  const [ada, bob, eve] = [await house.person('Ada'), await house.person('Bob'), await house.person('Eve')]
  const members = [bob, eve].map(({ me }) => ({ kind: 'account' as const, id: me.id }))
  const { id: roomId } = await ada.room({ name: 'Lab', members })
  const { url } = house.live
  const mine = client(io, url, ada.token, roomId)
  const his = client(io, url, bob.token, roomId)
  const hers = client(io, url, eve.token, roomId)
  const open = [mine, his, hers]
  const signals: { readonly kind: string }[] = []
  his.socket.on('room.signal', (signal: { readonly kind: string }) => signals.push(signal))
  // Once more where the answer was lost, as the page says that it is safe.
  const ask = async (from: Documented, name: string, body: object): Promise<{ readonly ok: boolean }> =>
    await from.socket
      .timeout(10_000)
      .emitWithAck(name, { roomId, ...body })
      .catch(() => ask(from, name, body))
  const haveAll = async (head: number) => {
    for (const { held } of open) await until(() => held.at(-1)?.seq === head, `everything up to ${head}`)
  }
  try {
    const first = (await mine.send('first')).seq
    const second = (await his.send('second')).seq
    await haveAll(second)
    assert.ok((await ask(mine, 'signal', { kind: 'typing' })).ok)
    await until(() => signals.some(({ kind }) => kind === 'typing'), 'who types is told')
    assert.ok((await ask(mine, 'room.read', { seq: second })).ok)
    await until(() => signals.some(({ kind }) => kind === 'read'), 'who has read is told')

    // Eve is out and in again, Bob is cut off, and much happens meanwhile.
    await ada.call('DELETE', `/v1/rooms/${roomId}/members/${eve.me.id}`)
    await ada.call('POST', `/v1/rooms/${roomId}/members`, members[1])
    const edit = { seq: first, clientId: 'the-first-edit', text: 'first, in other words' }
    for (const _again of [1, 2]) assert.ok((await ask(mine, 'message.edit', edit)).ok)
    house.live.cut()
    const react = { seq: first, emoji: '👍', on: true }
    for (const _again of [1, 2]) assert.ok((await ask(his, 'message.react', react)).ok)
    assert.ok((await ask(hers, 'message.react', { ...react, emoji: '🎉' })).ok)
    assert.ok((await ask(hers, 'message.react', { ...react, emoji: '🎉', on: false })).ok)
    assert.equal((await ask(his, 'message.delete', { seq: first })).ok, false, 'it is not his')
    assert.ok((await ask(his, 'message.delete', { seq: second })).ok)
    assert.equal((await ada.call('PUT', `/v1/rooms/${roomId}/pins/${first}`)).status, 204)
    const last = (await mine.send('last')).seq
    await haveAll(last)

    const late = client(io, url, ada.token, roomId)
    open.push(late)
    await haveAll(last)
    for (const { held } of open) {
      assert.deepEqual(
        held.map(({ seq }) => seq),
        range(1, last),
      )
      assert.deepEqual(
        [...(await shown(held)).values()].map((message) => ({
          ...message,
          reactions: [...message.reactions],
        })),
        [
          { text: edit.text, deleted: false, reactions: [`👍 ${bob.me.id}`], pinned: true },
          { text: '', deleted: true, reactions: [], pinned: false },
          { text: 'last', deleted: false, reactions: [], pinned: false },
        ],
      )
    }
  } finally {
    for (const { socket } of open) socket.disconnect()
  }
})
