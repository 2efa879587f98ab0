import { type Benchmark, figure } from '../benchmark.ts'
import { type Line, lines, type Peer, type PeerOptions, preparedDatabase, Server, until } from './peers.ts'

const text = 'x'.repeat(8_000)
const mebibyte = 2 ** 20
const target = '<=2'

export const part: Benchmark = {
  name: 't7',
  question:
    'A reader that stands still in a busy room: how much does the server hold for it, at most, while 20 MB (quick) or 60 MB are said to everybody? Beside it Socket.IO alone with the same messages. What the kernel’s buffers take is the same for both and not counted.',
  async run({ quick, say }) {
    const count = quick ? 2_500 : 7_500
    await using postgres = await preparedDatabase()
    const atom = await held('atom', count, { database: postgres.url })
    const bare = await held('socket.io', count, {})
    say(`${atom.toFixed(2)} MB held, Socket.IO alone ${bare.toFixed(1)}`)
    return [
      figure({ name: 'held for a reader that stands still, at most', value: atom, unit: 'MB', target }),
      figure({
        name: 'the same, beside Socket.IO',
        value: atom,
        unit: 'MB',
        against: { peer: 'Socket.IO', value: bare },
      }),
    ]
  },
}

async function held(kind: Peer, count: number, options: PeerOptions): Promise<number> {
  await using server = await Server.start(kind, options)
  const [stalled, ...others]: Line[] = await lines(kind, server, 6)
  stalled?.socket.pause()
  const step = 100
  let most = 0
  for (let said = 0; said < count; said += step) {
    await server.ask({ name: 'say', count: step, lanes: 20, room: 0, text })
    await until(() => others.every(({ events }) => events >= said + step), 'the others are up to date')
    most = Math.max(most, await server.ask({ name: 'held' }))
  }
  for (const line of [stalled, ...others]) line?.close()
  return most / mebibyte
}
