import { defaultDrain } from '../../../server/src/realtime/drain.ts'
import { type Benchmark, figure, quantile } from '../benchmark.ts'
import { Line, preparedDatabase, rest, Server, until } from './peers.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice.'
const target = '<=1.2'

export const part: Benchmark = {
  name: 't8',
  question:
    'Drain: a server with two thousand clients in one room stops while people go on talking, and a second process is there. Is every message at every client once and in order? How many handshakes does the other process get in its busiest second, against the budget? How long is a client without a socket?',
  async run({ quick, say }) {
    const clients = quick ? 500 : 2_000
    await using postgres = await preparedDatabase()
    const admission = { handshakesPerSecond: 100_000, handshakeBurst: 100_000 }
    await using leaving = await Server.start('atom', { database: postgres.url, admission })
    const { person, cursors = {} } = leaving.ready
    if (person === undefined) throw new Error('nobody is there')
    const { roomIds } = leaving
    await using staying = await Server.start('atom', { database: postgres.url, admission, person, roomIds })
    const [roomId = ''] = roomIds
    const { epoch } = cursors[roomId] ?? { epoch: '' }
    const arrivals: number[] = []
    const gaps: number[] = []
    const lost: string[] = []
    const seen = new Array<number>(clients).fill(0)
    const open: Line[] = []

    const follow = (client: number, line: Line) => {
      const hear = line.heard
      line.heard = (name, frame) => {
        if (name === 'room.events') {
          for (const { seq } of frame['events'] as { seq: number }[]) {
            const last = seen[client] ?? 0
            if (seq > last + 1) lost.push(`client ${client} got ${seq} after ${last}`)
            seen[client] = Math.max(last, seq)
          }
        }
        hear(name, frame)
      }
    }
    const cursorsOf = (client: number) => ({ [roomId]: { epoch, seq: seen[client] ?? 0 } })
    const move = async (client: number, old: Line, afterMs: number) => {
      await rest(afterMs)
      arrivals.push(performance.now())
      let closedAt: number | undefined
      old.socket.once('close', () => {
        closedAt = performance.now()
      })
      const line = new Line('atom', staying.ready, {
        deviceId: `device-of-${client}`,
        cursors: cursorsOf(client),
      })
      open.push(line)
      follow(client, line)
      await line.connected
      gaps.push(closedAt === undefined ? 0 : performance.now() - closedAt)
      old.close()
    }
    const moves: Promise<void>[] = []
    const arrive = async (client: number) => {
      const line = new Line('atom', leaving.ready, {
        deviceId: `device-of-${client}`,
        cursors: cursorsOf(client),
      })
      line.heard = (name, frame) => {
        if (name === 'drain') moves.push(move(client, line, Number(frame['afterMs'])))
      }
      follow(client, line)
      await line.connected
    }
    let next = 0
    const door = async () => {
      while (next < clients) await arrive(next++)
    }
    await Promise.all(Array.from({ length: 25 }, door))
    let drained = false
    let said = 0
    const talk = async () => {
      while (!drained) {
        said += await staying.ask({ name: 'say', count: 1, lanes: 1, room: 0, text })
        await rest(100)
      }
    }
    const talking = talk()
    const took = await leaving.ask({ name: 'drain' })
    drained = true
    await talking
    await Promise.all(moves)
    await until(() => seen.every((last) => last === said), 'everybody has everything')
    for (const line of open) line.close()
    const peak = busiestSecond(arrivals)
    say(
      `${clients} moved in ${(took / 1_000).toFixed(1)} s, ${lost.length} lost, ${peak} handshakes in the busiest second`,
    )
    return [
      figure({
        name: 'events lost or out of order',
        value: lost.length + (clients - moves.length),
        unit: 'events',
        target: '<=0',
      }),
      figure({
        name: `handshakes in the busiest second, ${clients} clients`,
        value: peak,
        unit: 'handshakes/s',
        against: { peer: 'budget', value: defaultDrain.handshakesPerSecond },
        target,
      }),
      figure({ name: 'time without a socket, p50', value: quantile(gaps, 0.5), unit: 'ms', target: '<=0' }),
      figure({ name: 'until the last one has moved', value: took / 1_000, unit: 's' }),
    ]
  },
}

function busiestSecond(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b)
  let first = 0
  let most = 0
  for (const [index, time] of sorted.entries()) {
    while (time - (sorted[first] ?? time) >= 1_000) first++
    most = Math.max(most, index - first + 1)
  }
  return most
}
