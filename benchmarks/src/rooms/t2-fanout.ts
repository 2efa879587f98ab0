import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'
import { type Line, lines, Nats, type Peer, preparedDatabase, rest, Server, until } from './peers.ts'

const text = 'Nothing acknowledged is lost, and nothing is shown twice. '.repeat(4).slice(0, 200)
/** Against a server that writes what waits for a client in one go, too. */
const busyTarget = '<=1'
const idleTarget = '<=1.15'

export const part: Benchmark = {
  name: 't2',
  question:
    'Fan-out: how much processor time of the server does it take to bring one event to one socket? What a delivery costs is what it costs more to say the same into a room of many sockets than into a room of none, divided by the deliveries: storing (with Atom: durably, with fsync), numbering and encoding are in both and so in neither. That is done to the peers as well, in the same run. Under load, 64 messages of 200 bytes on their way at any time, beside NATS over WebSocket with the same messages, published as fast as it reads them; idle, one message at a time, beside `ws` alone, which is handed the text once for each socket. NATS is measured where Debian’s package nats-server is installed. What all of it takes together, storing included, is told beside it.',
  async run({ quick, say }) {
    const receivers = quick ? 100 : 300
    const rounds = quick ? 3 : 5
    const busyCount = quick ? 2_000 : 5_000
    const idleCount = quick ? 150 : 300
    await using postgres = await preparedDatabase()
    await using atom = await Server.start('atom', { database: postgres.url, rooms: 2 })
    await using bare = await Server.start('ws')
    const [roomId = ''] = atom.roomIds
    const cursor = atom.ready.cursors?.[roomId]
    if (cursor === undefined) throw new Error('Atom has no room')
    const others = {
      atom: await lines('atom', atom, receivers, () => ({ cursors: { [roomId]: cursor } })),
      ws: await lines('ws', bare, receivers),
    }
    /** Milliseconds of the server for each message, with everybody listening or with nobody. */
    const spent = async (
      kind: Peer & keyof typeof others,
      server: Server,
      said: { readonly count: number; readonly lanes: number },
      room: 0 | 1,
    ) => {
      const all: Line[] = others[kind]
      const before = all.map(({ events }) => events)
      const began = await server.processorMs()
      await server.ask({ name: 'say', ...said, room, text })
      if (room === 0) {
        await until(
          () => all.every(({ events }, index) => events - (before[index] ?? 0) >= said.count),
          'every delivery',
        )
      }
      return ((await server.processorMs()) - began) / said.count
    }
    const measure = async (
      kind: Peer & keyof typeof others,
      server: Server,
      said: { readonly count: number; readonly lanes: number },
    ) => {
      const heard = await spent(kind, server, said, 0)
      await rest(200)
      const unheard = await spent(kind, server, said, 1)
      return { delivery: (heard - unheard) / receivers, whole: heard / receivers }
    }
    await measure('atom', atom, { count: 500, lanes: 64 })
    await measure('atom', atom, { count: 100, lanes: 1 })
    await measure('ws', bare, { count: 200, lanes: 1 })
    await using nats = await Nats.start()
    const natsMs = nats === undefined ? undefined : await natsFanOut(nats, receivers)
    await natsMs?.(500)
    const measured: Record<'busy' | 'idle' | 'ws', { delivery: number; whole: number }>[] = []
    const beside: number[] = []
    for (let round = 0; round < rounds; round++) {
      const busy = await measure('atom', atom, { count: busyCount, lanes: 64 })
      beside.push((await natsMs?.(busyCount)) ?? Number.NaN)
      await rest()
      const idle = await measure('atom', atom, { count: idleCount, lanes: 1 })
      const ws = await measure('ws', bare, { count: idleCount, lanes: 1 })
      measured.push({ busy, idle, ws })
      say(
        `${microseconds(busy.delivery)} µs per delivery under load (${microseconds(busy.whole)} with storing), NATS ${microseconds(beside.at(-1) ?? Number.NaN)}; ${microseconds(idle.delivery)} (${microseconds(idle.whole)}) idle, ws ${microseconds(ws.delivery)}`,
      )
    }
    for (const line of [...others.atom, ...others.ws]) line.close()
    const middle = (of: (round: (typeof measured)[number]) => number) => median(measured.map(of)) * 1_000
    const figures: Figure[] = [
      figure({
        name: `processor time per delivery under load, ${receivers} sockets${nats === undefined ? '; nats-server is not installed here, so it stands alone' : ''}`,
        value: middle(({ busy }) => busy.delivery),
        unit: 'µs',
        ...(nats !== undefined && {
          against: { peer: 'NATS over WebSocket', value: median(beside) * 1_000 },
          target: busyTarget,
        }),
      }),
      figure({
        name: `processor time per delivery, one message at a time, ${receivers} sockets`,
        value: middle(({ idle }) => idle.delivery),
        unit: 'µs',
        against: { peer: 'ws', value: middle(({ ws }) => ws.delivery) },
        target: idleTarget,
      }),
      figure({
        name: `the same under load with storing, numbering and encoding, ${receivers} sockets`,
        value: middle(({ busy }) => busy.whole),
        unit: 'µs',
      }),
      figure({
        name: `the same one at a time with storing, numbering and encoding, ${receivers} sockets`,
        value: middle(({ idle }) => idle.whole),
        unit: 'µs',
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
  const message = (subject: string) => `PUB ${subject} ${Buffer.byteLength(payload)}\r\n${payload}\r\n`
  const spent = async (count: number, subject: 'room' | 'nobody') => {
    const before = heard
    const told = message(subject)
    const began = await nats.processorMs()
    for (let sent = 0; sent < count; sent++) {
      publisher.send(told)
      // As many on their way as with Atom.
      if (sent % 64 !== 63) continue
      if (subject === 'room') await until(() => heard - before >= (sent - 63) * receivers, 'NATS to deliver')
      else await answered()
    }
    if (subject === 'room') await until(() => heard - before >= count * receivers, 'NATS to deliver')
    else await answered()
    return (await nats.processorMs()) - began
  }
  /** NATS has taken everything that was sent. */
  const answered = async () => {
    const pong = new Promise<void>((resolve) => {
      const listen = (data: Buffer) => {
        if (!data.toString().includes('PONG')) return
        publisher.off('message', listen)
        resolve()
      }
      publisher.on('message', listen)
    })
    publisher.send('PING\r\n')
    await pong
  }
  return async (count) =>
    ((await spent(count, 'room')) - (await spent(count, 'nobody'))) / (count * receivers)
}

function microseconds(milliseconds: number): string {
  return (milliseconds * 1_000).toFixed(2)
}
