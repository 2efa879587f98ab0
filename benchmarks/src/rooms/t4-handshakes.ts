import { type Benchmark, figure, median } from '../benchmark.ts'
import { type LineOptions, lines, type Peer, preparedDatabase, rest, Server } from './peers.ts'

const target = '>=0.7'

export const part: Benchmark = {
  name: 't4',
  question:
    'Handshakes: how many sockets per second of its processor time does the server admit, each of another person with a session, a device and a room of their own (a hundred people to a room), with the token verified, the room looked up, joined and resumed? A storm after a restart: they come with tokens that this process has never seen, so each signature is checked. A storm after a lost network: the same people with the same tokens again. Beside both Socket.IO alone, which verifies nothing and joins one of its rooms; and, for who wants to know what a check costs there, Socket.IO that checks each token with jose and still asks no database.',
  async run({ quick, say }) {
    const count = quick ? 600 : 2_000
    const rounds = quick ? 3 : 7
    await using postgres = await preparedDatabase()
    const limits = { handshakesPerSecond: 100_000, handshakeBurst: 100_000 }
    await using atom = await Server.start('atom', {
      database: postgres.url,
      admission: limits,
      crowd: count,
      visits: rounds + 1,
    })
    await using bare = await Server.start('socket.io')
    const { keySet } = atom.ready
    await using checking = await Server.start('socket.io', { ...(keySet && { keySet }) })
    const rates = {
      unknown: [] as number[],
      known: [] as number[],
      bare: [] as number[],
      checking: [] as number[],
    }
    const measure = async (
      kind: Peer & ('atom' | 'socket.io'),
      server: Server,
      who?: (index: number) => LineOptions,
    ) => {
      const began = await server.processorMs()
      const open = await lines(kind, server, count, who)
      const perSecond = count / (((await server.processorMs()) - began) / 1_000)
      for (const line of open) line.close()
      await rest()
      return perSecond
    }
    const guest = (visit: number) => (index: number) => {
      const { tokens, ...others } = atom.ready.crowd?.[index] ?? { tokens: [] }
      return { ...others, token: tokens[visit] }
    }
    await measure('atom', atom, guest(rounds))
    await measure('socket.io', bare)
    await measure('socket.io', checking, guest(rounds))
    for (let round = 0; round < rounds; round++) {
      rates.unknown.push(await measure('atom', atom, guest(round)))
      rates.bare.push(await measure('socket.io', bare))
      rates.known.push(await measure('atom', atom, guest(round)))
      rates.checking.push(await measure('socket.io', checking, guest(round)))
      say(
        `${rates.unknown.at(-1)?.toFixed(0)} handshakes per second of processor time with new tokens, ${rates.known.at(-1)?.toFixed(0)} with known ones, Socket.IO alone ${rates.bare.at(-1)?.toFixed(0)}, with a check of its own ${rates.checking.at(-1)?.toFixed(0)}`,
      )
    }
    const against = { peer: 'Socket.IO', value: median(rates.bare) }
    return [
      figure({
        name: 'authenticated handshakes per second of processor time, people who come back',
        value: median(rates.known),
        unit: 'handshakes/s',
        against,
        target,
      }),
      figure({
        name: 'the same with tokens that the process has never seen',
        value: median(rates.unknown),
        unit: 'handshakes/s',
        against,
        target,
      }),
      figure({
        name: 'the same, beside Socket.IO that checks each token too',
        value: median(rates.unknown),
        unit: 'handshakes/s',
        against: { peer: 'Socket.IO with jose', value: median(rates.checking) },
      }),
    ]
  },
}
