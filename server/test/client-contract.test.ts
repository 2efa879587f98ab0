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
