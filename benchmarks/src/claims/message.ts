import { type Benchmark, type BenchmarkRun, type Figure, figure, median } from '../benchmark.ts'
import { RawInsert } from '../raw-insert.ts'
import { engines, itemsPerFrame, type Outcome, roomCounts, rooms, Scene, text } from '../rooms/publishing.ts'

/** Half of it goes to what is said around the messages: locks, numbering, duplicates, the wire. */
const throughputTarget = '>=0.35'
/** Acknowledgement with 512 messages on their way, in milliseconds. */
const latencyTarget = '<=60'

export const benchmark: Benchmark = {
  name: 'message',
  question: `A message as a client sees it: how many of ${text.length} bytes are acknowledged through real sockets of a server in a process of its own, how long each takes when many are on their way and when there is only one; beside it what the same PostgreSQL takes from a client that only inserts rows, in the same run? What the server does with them is the part t1 of \`rooms\`.`,
  async run(run) {
    const figures: Figure[] = []
    for (const engine of engines) {
      await using postgres = await engine.start()
      figures.push(...(await onEngine(engine.name, postgres.url, run)))
    }
    return figures
  },
}

async function onEngine(engine: string, url: string, { quick, say }: BenchmarkRun): Promise<Figure[]> {
  const rounds = quick ? 1 : 5
  const forMs = quick ? 2_000 : 5_000
  await using scene = await Scene.prepare(url)
  await using raw = await RawInsert.open(url, text)
  const figures: Figure[] = []
  // Both sides have their code compiled and their tables opened.
  await raw.client(1, 20)
  await scene.load({ roomCount: 1, connections: 64, inFlight: 1, items: itemsPerFrame, forMs: 500 })

  for (const roomCount of roomCounts) {
    const measured: { limit: number; sockets: Outcome }[] = []
    for (let round = 0; round < rounds; round++) {
      await raw.settle()
      const limit = await raw.client(roomCount, quick ? 100 : 250)
      await raw.settle()
      const sockets = await scene.load({
        roomCount,
        connections: 64,
        inFlight: 1,
        items: itemsPerFrame,
        forMs,
      })
      say(
        `${engine}, ${rooms(roomCount)}: ${Math.round(sockets.perSecond)}/s, ${Math.round(limit)} rows/s raw${sockets.refused > 0 ? `, ${sockets.refused} frames asked to wait` : ''}`,
      )
      measured.push({ limit, sockets })
    }
    figures.push(
      figure({
        name: `${engine}: acknowledged, ${rooms(roomCount)}, frames of ${itemsPerFrame}`,
        value: median(measured.map(({ sockets }) => sockets.perSecond)),
        unit: 'messages/s',
        against: {
          peer: 'raw insert, 512 rows per commit, 2 sessions',
          value: median(measured.map(({ limit }) => limit)),
        },
        target: throughputTarget,
      }),
    )
  }

  await raw.settle()
  const crowd = await scene.load({ roomCount: 100, connections: 128, inFlight: 4, items: 1, forMs })
  say(
    `${engine}, 512 on their way, frames of one: ${Math.round(crowd.perSecond)}/s, p99 ${crowd.latency(0.99).toFixed(1)} ms`,
  )
  figures.push(
    figure({
      name: `${engine}: acknowledged, 512 on their way, frames of one, 100 rooms`,
      value: crowd.perSecond,
      unit: 'messages/s',
    }),
    figure({ name: `${engine}: the same, p50 of acknowledgement`, value: crowd.latency(0.5), unit: 'ms' }),
    figure({
      name: `${engine}: the same, p99 of acknowledgement`,
      value: crowd.latency(0.99),
      unit: 'ms',
      target: latencyTarget,
    }),
  )

  const alone: Outcome[] = []
  const limits: number[] = []
  for (let round = 0; round < rounds; round++) {
    await raw.settle()
    const limit = await raw.oneByOne(quick ? 500 : 2_000)
    await raw.settle()
    const outcome = await scene.oneByOne(forMs)
    say(
      `${engine}, one at a time: ${Math.round(outcome.perSecond)} acknowledged/s, ${Math.round(limit)} rows/s raw`,
    )
    alone.push(outcome)
    limits.push(limit)
  }
  const middle = (of: (outcome: Outcome) => number) => median(alone.map(of))
  figures.push(
    figure({
      name: `${engine}: acknowledged, one at a time`,
      value: middle((outcome) => outcome.perSecond),
      unit: 'messages/s',
      against: { peer: 'raw insert, one row per commit, one session', value: median(limits) },
    }),
    ...[0.5, 0.99].map((share) =>
      figure({
        name: `${engine}: one at a time, p${share * 100} of acknowledgement`,
        value: middle((outcome) => outcome.latency(share)),
        unit: 'ms',
      }),
    ),
  )
  await scene.verify()
  return figures
}
