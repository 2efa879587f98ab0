import { type Benchmark, figure, median } from '../benchmark.ts'
import { lines, type Peer, type PeerOptions, preparedDatabase, rest, Server } from './peers.ts'

const target = '<=1.3'

export const part: Benchmark = {
  name: 't3',
  question:
    'Memory: how much more does the server hold for each socket that is authenticated, in a room, and quiet? Beside it Socket.IO alone, each socket in one of its rooms, without compression. Both have served a few hundred sockets before, and have been quiet for as long at both readings. Most of it is V8’s young generation, which grows with the first thousands of sockets up to a bound: so it is told without that, too.',
  async run({ quick, say }) {
    // Fewer, and what comes once for all would decide: the young generation is still growing at two thousand.
    const count = quick ? 4_000 : 8_000
    const settleMs = quick ? 1_500 : 4_000
    const rounds = quick ? 2 : 3
    await using postgres = await preparedDatabase()
    const atom: Held[] = []
    const bare: Held[] = []
    for (let round = 0; round < rounds; round++) {
      const options = {
        database: postgres.url,
        admission: { handshakesPerSecond: 100_000, handshakeBurst: 100_000 },
      }
      atom.push(await perSocket('atom', count, settleMs, options))
      bare.push(await perSocket('socket.io', count, settleMs, {}))
      say(`per socket ${told(atom.at(-1))}; Socket.IO alone ${told(bare.at(-1))}`)
    }
    return [
      figure({
        name: `memory per socket, ${count} sockets`,
        value: median(atom.map(({ resident }) => resident)),
        unit: 'KiB',
        against: { peer: 'Socket.IO', value: median(bare.map(({ resident }) => resident)) },
        target,
      }),
      figure({
        name: 'the same without the young generation',
        value: median(atom.map(({ resident, young }) => resident - young)),
        unit: 'KiB',
        against: { peer: 'Socket.IO', value: median(bare.map(({ resident, young }) => resident - young)) },
      }),
      figure({
        name: 'of that in use by JavaScript after a collection',
        value: median(atom.map(({ used }) => used)),
        unit: 'KiB',
        against: { peer: 'Socket.IO', value: median(bare.map(({ used }) => used)) },
      }),
    ]
  },
}

/** KiB for each socket. */
interface Held {
  readonly resident: number
  /** Of that, pages in which V8 puts what is new. */
  readonly young: number
  readonly used: number
}

function told(held: Held | undefined): string {
  return `${held?.resident.toFixed(1)} KiB (${held?.young.toFixed(1)} of them young generation, ${held?.used.toFixed(1)} in use)`
}

async function perSocket(kind: Peer, count: number, settleMs: number, options: PeerOptions): Promise<Held> {
  await using server = await Server.start(kind, options)
  // Code compiled, pools filled: what comes once for all is not a socket's.
  for (const line of await lines(kind, server, 300)) line.close()
  await rest(settleMs)
  // Both before and after, so that neither is larger for what had yet to be collected.
  const usedBefore = await server.usedKiB()
  // What a collection has freed is given back a moment later.
  await rest(settleMs)
  const youngBefore = await server.youngKiB()
  const before = await server.residentKiB()
  const open = await lines(kind, server, count)
  await rest(settleMs)
  const after = await server.residentKiB()
  const young = (await server.youngKiB()) - youngBefore
  const usedAfter = await server.usedKiB()
  for (const line of open) line.close()
  return { resident: (after - before) / count, young: young / count, used: (usedAfter - usedBefore) / count }
}
