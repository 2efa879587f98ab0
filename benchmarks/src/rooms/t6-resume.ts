import { type Benchmark, figure, quantile } from '../benchmark.ts'
import { Line, preparedDatabase, Server, until } from './peers.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
const missed = 100
const target = '<=1000'

export const part: Benchmark = {
  name: 't6',
  question:
    'Coming back: a thousand clients in fifty rooms lose their sockets, miss a hundred messages of 200 bytes each, and come back at once, as fast as one process opens sockets. How long after its WebSocket is open, and before anything of its token or rooms is looked at, has a client everything it missed?',
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
    const load = process.cpuUsage()
    const served = await server.processorMs()
    const began = performance.now()
    const open: Line[] = []
    const come = async (client: number) => {
      const [roomId, cursor] = cursors[client % roomCount] ?? ['', { epoch: '', seq: 0 }]
      const line = new Line('atom', server.ready, { cursors: { [roomId]: cursor } })
      open.push(line)
      const { promise, resolve } = Promise.withResolvers<void>()
      let back = 0
      line.socket.once('open', () => {
        back = performance.now()
      })
      line.heard = () => {
        if (line.events >= missed) resolve()
      }
      await promise
      took.push(performance.now() - back)
    }
    await Promise.all(Array.from({ length: clients }, (_, client) => come(client)))
    const allMs = performance.now() - began
    const { user, system } = process.cpuUsage(load)
    const loadMs = (user + system) / 1_000
    const serverMs = (await server.processorMs()) - served
    await until(() => open.every(({ events }) => events === missed), 'nobody gets anything twice')
    for (const line of open) line.close()
    const p99 = quantile(took, 0.99)
    say(
      `p50 ${quantile(took, 0.5).toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, all of them ${allMs.toFixed(0)} ms; processor time of the server ${serverMs.toFixed(0)} ms, of the clients ${loadMs.toFixed(0)} ms`,
    )
    return [
      figure({ name: `${clients} clients, p50`, value: quantile(took, 0.5), unit: 'ms' }),
      figure({ name: `${clients} clients, p99`, value: p99, unit: 'ms', target }),
      figure({ name: 'until the last one has everything', value: allMs, unit: 'ms' }),
      figure({
        name: 'processor time of the server for each client',
        value: serverMs / clients,
        unit: 'ms',
        against: { peer: 'the clients themselves', value: loadMs / clients },
      }),
    ]
  },
}
