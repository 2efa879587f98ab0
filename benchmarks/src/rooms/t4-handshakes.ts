import { type Benchmark, figure, median } from '../benchmark.ts'
import { lines, type Peer, preparedDatabase, rest, Server } from './peers.ts'

const target = '>=0.7'

export const part: Benchmark = {
  name: 't4',
  question:
    'Handshakes: how many sockets per second of its processor time does the server admit, each with its token verified, its rooms looked up, joined and resumed? Beside it Socket.IO alone, which verifies nothing and joins one of its rooms.',
  async run({ quick, say }) {
    const count = quick ? 600 : 2_000
    const rounds = quick ? 2 : 5
    await using postgres = await preparedDatabase()
    const limits = { handshakesPerSecond: 100_000, handshakeBurst: 100_000 }
    await using atom = await Server.start('atom', { database: postgres.url, admission: limits })
    await using bare = await Server.start('socket.io')
    const rates: Record<'atom' | 'socket.io', number[]> = { atom: [], 'socket.io': [] }
    const measure = async (kind: Peer & keyof typeof rates, server: Server) => {
      const began = await server.processorMs()
      const open = await lines(kind, server, count)
      const perSecond = count / (((await server.processorMs()) - began) / 1_000)
      for (const line of open) line.close()
      await rest()
      return perSecond
    }
    await measure('atom', atom)
    await measure('socket.io', bare)
    for (let round = 0; round < rounds; round++) {
      rates.atom.push(await measure('atom', atom))
      rates['socket.io'].push(await measure('socket.io', bare))
      say(
        `${rates.atom.at(-1)?.toFixed(0)} handshakes per second of processor time, Socket.IO alone ${rates['socket.io'].at(-1)?.toFixed(0)}`,
      )
    }
    return [
      figure({
        name: 'authenticated handshakes per second of processor time',
        value: median(rates.atom),
        unit: 'handshakes/s',
        against: { peer: 'Socket.IO', value: median(rates['socket.io']) },
        target,
      }),
    ]
  },
}
