import { type Benchmark, figure, quantile } from '../benchmark.ts'
import { Line, preparedDatabase, Server, until } from './peers.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
const missed = 100
const target = '<=1000'

export const part: Benchmark = {
  name: 't6',
  question:
    'Coming back: a thousand clients in fifty rooms lose their sockets, miss a hundred messages of 200 bytes each, and come back at once, as fast as one process opens sockets. How long after its socket is back has a client everything it missed?',
  async run({ quick, say }) {
    const clients = quick ? 300 : 1_000
    const roomCount = quick ? 15 : 50
    await using postgres = await preparedDatabase()
    const limits = { handshakesPerSecond: 100_000, handshakeBurst: 100_000 }
    await using server = await Server.start('atom', {
      database: postgres.url,
      rooms: roomCount,
      admission: limits,
    })
    const cursors = Object.entries(server.ready.cursors ?? {})
    for (let room = 0; room < roomCount; room++) {
      await server.ask({ name: 'say', count: missed, lanes: 20, room, text })
    }
    const took: number[] = []
    const open: Line[] = []
    const come = async (client: number) => {
      const [roomId, cursor] = cursors[client % roomCount] ?? ['', { epoch: '', seq: 0 }]
      const line = new Line('atom', server.ready, { cursors: { [roomId]: cursor } })
      open.push(line)
      const { promise, resolve } = Promise.withResolvers<void>()
      line.heard = () => {
        if (line.events >= missed) resolve()
      }
      await line.connected
      const back = performance.now()
      await promise
      took.push(performance.now() - back)
    }
    await Promise.all(Array.from({ length: clients }, (_, client) => come(client)))
    await until(() => open.every(({ events }) => events === missed), 'nobody gets anything twice')
    for (const line of open) line.close()
    const p99 = quantile(took, 0.99)
    say(`p50 ${quantile(took, 0.5).toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`)
    return [
      figure({ name: `${clients} clients, p50`, value: quantile(took, 0.5), unit: 'ms' }),
      figure({ name: `${clients} clients, p99`, value: p99, unit: 'ms', target }),
    ]
  },
}
