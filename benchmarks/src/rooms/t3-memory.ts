import { type Benchmark, figure, median } from '../benchmark.ts'
import { lines, type Peer, type PeerOptions, preparedDatabase, rest, Server } from './peers.ts'

const target = '<=1.3'

export const part: Benchmark = {
  name: 't3',
  question:
    'Memory: how much more does the server hold for each socket that is authenticated, in a room, and quiet? Beside it Socket.IO alone, each socket in one of its rooms, without compression. Both have served a few hundred sockets before.',
  async run({ quick, say }) {
    const count = quick ? 800 : 4_000
    const settleMs = quick ? 1_500 : 4_000
    const rounds = quick ? 1 : 3
    await using postgres = await preparedDatabase()
    const atom: number[] = []
    const bare: number[] = []
    for (let round = 0; round < rounds; round++) {
      const options = {
        database: postgres.url,
        admission: { handshakesPerSecond: 100_000, handshakeBurst: 100_000 },
      }
      atom.push(await perSocket('atom', count, settleMs, options))
      bare.push(await perSocket('socket.io', count, settleMs, {}))
      say(`${atom.at(-1)?.toFixed(1)} KiB per socket, Socket.IO alone ${bare.at(-1)?.toFixed(1)}`)
    }
    return [
      figure({
        name: `memory per socket, ${count} sockets`,
        value: median(atom),
        unit: 'KiB',
        against: { peer: 'Socket.IO', value: median(bare) },
        target,
      }),
    ]
  },
}

async function perSocket(kind: Peer, count: number, settleMs: number, options: PeerOptions): Promise<number> {
  await using server = await Server.start(kind, options)
  // Code compiled, pools filled: what comes once for all is not a socket's.
  for (const line of await lines(kind, server, 300)) line.close()
  await rest(settleMs)
  const before = await server.residentKiB()
  const open = await lines(kind, server, count)
  await rest(settleMs)
  const after = await server.residentKiB()
  for (const line of open) line.close()
  return (after - before) / count
}
