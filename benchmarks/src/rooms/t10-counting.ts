import { SocketTraffic } from '../../../server/src/realtime/socket-traffic.ts'
import { PublishTraffic } from '../../../server/src/rooms/publish-traffic.ts'
import { type Benchmark, figure, median } from '../benchmark.ts'

export const part: Benchmark = {
  name: 't10',
  question:
    'Counting: what does it cost to know what rooms and sockets do? One message on its way through a lane, and one frame to one socket, each with its counting and without, in the same loop; the difference is the cost.',
  async run({ quick, say }) {
    const messages = quick ? 100_000 : 400_000
    const rounds = quick ? 3 : 7
    const publishing: number[] = []
    const delivering: number[] = []
    for (let round = 0; round < rounds; round++) {
      const traffic = new PublishTraffic()
      const bare = await published(messages, (work) => work)
      publishing.push((await published(messages, (work) => traffic.watch(work))) - bare)
      delivering.push(delivered(messages, new SocketTraffic()) - delivered(messages, undefined))
      say(`round ${round + 1} of ${rounds}`)
    }
    return [
      figure({ name: 'per message', value: median(publishing), unit: 'µs', target: '<=1' }),
      figure({ name: 'per frame and socket', value: median(delivering), unit: 'µs', target: '<=0.05' }),
    ]
  },
}

type Appended = { readonly duplicate: boolean }

/** Microseconds of processor time, whatever else the machine does, for each of many messages that are answered by the hundred, as a commit answers them. */
async function published(
  count: number,
  through: (work: Promise<Appended>) => Promise<Appended>,
): Promise<number> {
  const began = process.cpuUsage()
  for (let done = 0; done < count; done += 100) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const lane = async () => {
      await promise
      return { duplicate: false }
    }
    const answers = Array.from({ length: 100 }, () => through(lane()))
    resolve()
    await Promise.all(answers)
  }
  return process.cpuUsage(began).user / count
}

/** What the send buffer does for each packet, with the counting or without. */
function delivered(count: number, traffic: SocketTraffic | undefined): number {
  const packets = [
    { type: 'message', data: 'x'.repeat(300) },
    { type: 'ping', data: '' },
  ]
  let waiting = 0
  const began = process.cpuUsage()
  for (let sent = 0; sent < count; sent++) {
    const packet = packets[sent % 64 === 0 ? 1 : 0]
    if (traffic !== undefined && packet?.type === 'message') traffic.framesOut++
    waiting += packet?.data.length ?? 0
  }
  const took = process.cpuUsage(began).user / count
  if (waiting === 0) throw new Error('nothing was sent')
  return took
}
