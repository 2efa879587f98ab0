import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'
import { type Line, lines, Nats, type Peer, preparedDatabase, rest, Server, until } from './peers.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
/** Against a server that writes what waits for a client in one go, too. */
const busyTarget = '<=1'
const idleTarget = '<=1.15'

export const part: Benchmark = {
  name: 't2',
  question:
    'Fan-out: how much processor time of the server does it take to bring one event to one socket? Under load, 64 messages of 200 bytes on their way at any time into a room of many sockets, beside NATS over WebSocket with the same messages, published as fast as it reads them; idle, one message at a time, beside `ws` alone. Atom’s figures include storing each message with fsync; the peers store nothing. NATS is measured where Debian’s package nats-server is installed.',
  async run({ quick, say }) {
    const receivers = quick ? 100 : 300
    const rounds = quick ? 1 : 3
    const busyCount = quick ? 2_000 : 5_000
    const idleCount = quick ? 150 : 400
    await using postgres = await preparedDatabase()
    await using atom = await Server.start('atom', { database: postgres.url })
    await using bare = await Server.start('ws')
    const others = { atom: await lines('atom', atom, receivers), ws: await lines('ws', bare, receivers) }
    const measure = async (
      kind: Peer & keyof typeof others,
      server: Server,
      count: number,
      lanes: number,
    ) => {
      const all: Line[] = others[kind]
      const before = all.map(({ events }) => events)
      const began = await server.processorMs()
      await server.ask({ name: 'say', count, lanes, room: 0, text })
      await until(
        () => all.every(({ events }, index) => events - (before[index] ?? 0) >= count),
        'every delivery',
      )
      return ((await server.processorMs()) - began) / (count * receivers)
    }
    await measure('atom', atom, 200, 64)
    await measure('ws', bare, 200, 1)
    await using nats = await Nats.start()
    const natsMs = nats === undefined ? undefined : await natsFanOut(nats, receivers)
    const measured: { busy: number; idle: number; ws: number; nats: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const busy = await measure('atom', atom, busyCount, 64)
      const beside = (await natsMs?.(busyCount)) ?? Number.NaN
      await rest()
      const idle = await measure('atom', atom, idleCount, 1)
      const ws = await measure('ws', bare, idleCount, 1)
      measured.push({ busy, idle, ws, nats: beside })
      say(
        `${microseconds(busy)} µs per delivery under load, NATS ${microseconds(beside)}; ${microseconds(idle)} idle, ws ${microseconds(ws)}`,
      )
    }
    for (const line of [...others.atom, ...others.ws]) line.close()
    const middle = (of: (round: (typeof measured)[number]) => number) => median(measured.map(of)) * 1_000
    const figures: Figure[] = [
      figure({
        name: `processor time per delivery under load, ${receivers} sockets${nats === undefined ? '; nats-server is not installed here, so it stands alone' : ''}`,
        value: middle(({ busy }) => busy),
        unit: 'µs',
        ...(nats !== undefined && {
          against: { peer: 'NATS over WebSocket', value: middle(({ nats: of }) => of) },
          target: busyTarget,
        }),
      }),
      figure({
        name: `processor time per delivery, one message at a time, ${receivers} sockets`,
        value: middle(({ idle }) => idle),
        unit: 'µs',
        against: { peer: 'ws', value: middle(({ ws }) => ws) },
        target: idleTarget,
      }),
    ]
    return figures
  },
}

/** Publishes from one more client, as fast as the server takes it. */
async function natsFanOut(nats: Nats, receivers: number): Promise<(count: number) => Promise<number>> {
  let heard = 0
  for (let receiver = 0; receiver < receivers; receiver++) {
    await nats.client((messages) => {
      heard += messages
    })
  }
  const publisher = await nats.client(() => undefined)
  publisher.send('UNSUB 1\r\n')
  const id = '01890a5d-ac96-774b-bcce-b302099a8057'
  const actor = { kind: 'account', id, name: 'Ada' }
  const event = {
    seq: 1,
    id,
    type: 'message.created',
    at: new Date().toISOString(),
    actor,
    clientId: 'client-1',
    text,
  }
  const payload = JSON.stringify(['room.events', { roomId: id, epoch: id, events: [event] }])
  const message = `PUB room ${Buffer.byteLength(payload)}\r\n${payload}\r\n`
  return async (count) => {
    const before = heard
    const began = await nats.processorMs()
    for (let sent = 0; sent < count; sent++) {
      publisher.send(message)
      // As many on their way as with Atom.
      if (sent % 64 === 63) await until(() => heard - before >= (sent - 63) * receivers, 'NATS to deliver')
    }
    await until(() => heard - before >= count * receivers, 'NATS to deliver')
    return ((await nats.processorMs()) - began) / (count * receivers)
  }
}

function microseconds(milliseconds: number): string {
  return (milliseconds * 1_000).toFixed(2)
}
