import { type Benchmark, figure, quantile } from '../benchmark.ts'
import { type Line, lines, type Peer, type PeerOptions, preparedDatabase, Server } from './peers.ts'

const text = 'x'.repeat(8_000)
const mebibyte = 2 ** 20
const target = '<=2'
const othersTarget = '<=1.2'
const readers = 6
/** Messages said at a time. */
const step = 25

export const part: Benchmark = {
  name: 't7',
  question:
    'A reader that stands still in a busy room: how much does the server hold for it, at most, while 10 MB (quick) or 60 MB are said to everybody? How much larger is the process, at its largest, than the same server under the same load with nobody standing still, and how long do the other readers wait for a message then and now? Beside it Socket.IO alone with the same messages. What the kernel’s buffers take is the same for both and not counted.',
  async run({ quick, say }) {
    const count = quick ? 1_250 : 7_500
    await using postgres = await preparedDatabase()
    const flowing = await under('atom', count, { database: postgres.url }, false)
    const atom = await under('atom', count, { database: postgres.url }, true)
    const bareFlowing = await under('socket.io', count, {}, false)
    const bare = await under('socket.io', count, {}, true)
    const larger = (still: Load, moving: Load) => (still.residentKiB - moving.residentKiB) / 1024
    say(
      `${atom.held.toFixed(2)} MB held, Socket.IO alone ${bare.held.toFixed(1)}; the process ${larger(atom, flowing).toFixed(1)} MB larger, Socket.IO alone ${larger(bare, bareFlowing).toFixed(1)}; the others' p99 ${atom.p99.toFixed(1)} ms, ${flowing.p99.toFixed(1)} without`,
    )
    return [
      figure({ name: 'held for a reader that stands still, at most', value: atom.held, unit: 'MB', target }),
      figure({
        name: 'the same, beside Socket.IO',
        value: atom.held,
        unit: 'MB',
        against: { peer: 'Socket.IO', value: bare.held },
      }),
      // What the garbage collector leaves standing differs by more than the target from one run to the next: told, not judged.
      figure({ name: 'resident memory more than without it', value: larger(atom, flowing), unit: 'MB' }),
      figure({
        name: 'the same, Socket.IO alone',
        value: larger(bare, bareFlowing),
        unit: 'MB',
      }),
      figure({
        name: `how long the others wait for ${step} messages, p99`,
        value: atom.p99,
        unit: 'ms',
        against: { peer: 'nobody stands still', value: flowing.p99 },
        target: othersTarget,
      }),
    ]
  },
}

interface Load {
  /** What waits to be sent to the slowest reader, at most, in MB. */
  readonly held: number
  readonly residentKiB: number
  /** From saying the first of these messages until every other reader has all of them, in milliseconds. */
  readonly p99: number
}

async function under(kind: Peer, count: number, options: PeerOptions, still: boolean): Promise<Load> {
  await using server = await Server.start(kind, options)
  const [first, ...others]: Line[] = await lines(kind, server, readers)
  if (still) first?.socket.pause()
  const took: number[] = []
  let held = 0
  let residentKiB = 0
  for (let said = 0; said < count; said += step) {
    const everybody = have(others, said + step)
    const began = performance.now()
    await server.ask({ name: 'say', count: step, lanes: 20, room: 0, text })
    await everybody
    took.push(performance.now() - began)
    held = Math.max(held, await server.ask({ name: 'held' }))
    residentKiB = Math.max(residentKiB, await server.residentKiB())
  }
  for (const line of [first, ...others]) line?.close()
  return { held: held / mebibyte, residentKiB, p99: quantile(took, 0.99) }
}

async function have(readers: readonly Line[], events: number): Promise<void> {
  await Promise.all(
    readers.map((reader) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      reader.heard = () => {
        if (reader.events >= events) resolve()
      }
      return promise
    }),
  )
}
