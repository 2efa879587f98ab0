import { type Benchmark, type BenchmarkRun, type Figure, figure, median } from '../benchmark.ts'
import { RawInsert } from '../raw-insert.ts'
import { engines, itemsPerFrame, type Outcome, roomCounts, rooms, Scene, text } from './publishing.ts'

/** Of the limit; the rest goes to what is said around the messages: locks, numbering, duplicates, the wire. */
const throughputTarget = '>=0.35'
/** Of one transaction for each message, in one hot room. */
const togetherTarget = '>=15'
/** Acknowledgement with 512 messages on their way, in milliseconds. */
const latencyTarget = '<=60'
const publishers = 512

export const part: Benchmark = {
  name: 't1',
  question: `Durable publishing: how many messages of ${text.length} bytes are acknowledged per second, each after its commit with fsync, with its place in the room, found again for ever by its clientId, and told to every process? Beside it, in the same run on the same PostgreSQL: the limit, one INSERT … SELECT of rows that lie ready in a table of the same database, in one commit, into the very table, with its columns, indexes and constraints; the same limit for a client that sends 512 ready rows per commit over two sessions; and one transaction per message, by the same function with the same promises over ${publishers} publishers and ten sessions. The limits have both processors for themselves and give no promise beyond the table's own. Messages share the processors with the process that makes them; those through sockets also with the search index, which nothing that came before keeps busy.`,
  async run(run) {
    const figures: Figure[] = []
    for (const engine of run.quick ? engines.slice(0, 1) : engines) {
      await using postgres = await engine.start()
      figures.push(...(await onEngine(engine.name, postgres.url, run)))
    }
    return figures
  },
}

interface Round {
  readonly bulk: number
  readonly client: number
  readonly together: Outcome
  readonly alone: Outcome
  readonly sockets: Outcome
}

async function onEngine(engine: string, url: string, { quick, say }: BenchmarkRun): Promise<Figure[]> {
  const rounds = quick ? 1 : 3
  const forMs = quick ? 1_000 : 3_000
  await using scene = await Scene.prepare(url)
  await using raw = await RawInsert.open(url, text)
  const figures: Figure[] = []
  const rest = async () => {
    await scene.leaveUnindexed()
    await raw.settle()
  }
  // Both sides have their code compiled and their tables opened.
  await raw.bulk(1, 10_000)
  await scene.load({ roomCount: 1, connections: 64, inFlight: 1, items: itemsPerFrame, forMs: 500 })
  await scene.publish({ roomCount: 1, publishers, forMs: 500, how: 'together' })

  for (const roomCount of quick ? roomCounts.slice(0, 1) : roomCounts) {
    const measured: Round[] = []
    for (let round = 0; round < rounds; round++) {
      await rest()
      const bulk = await raw.bulk(roomCount, quick ? 50_000 : 200_000)
      await rest()
      const client = await raw.client(roomCount, quick ? 100 : 250)
      await rest()
      const together = await scene.publish({ roomCount, publishers, forMs, how: 'together' })
      await rest()
      const alone = await scene.publish({ roomCount, publishers, forMs, how: 'alone' })
      await rest()
      const sockets = await scene.load({
        roomCount,
        connections: 64,
        inFlight: 1,
        items: itemsPerFrame,
        forMs,
      })
      say(
        `${engine}, ${rooms(roomCount)}: ${Math.round(together.perSecond)}/s together (p99 ${together.latency(0.99).toFixed(1)} ms), ${Math.round(alone.perSecond)}/s alone, ${Math.round(sockets.perSecond)}/s through sockets; ${Math.round(bulk)} rows/s bulk, ${Math.round(client)} rows/s from a client`,
      )
      measured.push({ bulk, client, together, alone, sockets })
    }
    const middle = (of: (round: Round) => number) => median(measured.map(of))
    const together = middle((round) => round.together.perSecond)
    const limit = { peer: 'INSERT … SELECT', value: middle(({ bulk }) => bulk) }
    figures.push(
      figure({
        name: `${engine}: acknowledged, ${rooms(roomCount)}, ${publishers} publishers`,
        value: together,
        unit: 'messages/s',
        against: limit,
        target: throughputTarget,
      }),
      figure({
        name: `${engine}: the same, against rows from a client`,
        value: together,
        unit: 'messages/s',
        against: { peer: '512 rows per commit, 2 sessions', value: middle(({ client }) => client) },
      }),
      figure({
        name: `${engine}: the same, against messages alone`,
        value: together,
        unit: 'messages/s',
        against: {
          peer: 'one transaction per message',
          value: middle((round) => round.alone.perSecond),
        },
        ...(roomCount === 1 && { target: togetherTarget }),
      }),
      figure({
        name: `${engine}: the same, p99 of acknowledgement`,
        value: middle((round) => round.together.latency(0.99)),
        unit: 'ms',
        target: latencyTarget,
      }),
      figure({
        name: `${engine}: acknowledged through sockets, ${rooms(roomCount)}, frames of ${itemsPerFrame}`,
        value: middle((round) => round.sockets.perSecond),
        unit: 'messages/s',
        against: limit,
        target: throughputTarget,
      }),
    )
  }
  await scene.verify()
  return figures
}
