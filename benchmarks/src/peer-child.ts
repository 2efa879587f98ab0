// One server to be measured, in a process of its own. `argv[2]` says which; what it is told comes over IPC.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getHeapSpaceStatistics } from 'node:v8'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { Server } from 'socket.io'
import { WebSocket, WebSocketServer } from 'ws'
import type { AccountPrincipal } from '../../server/src/access/principal.ts'
import { openDatabase } from '../../server/src/foundation/database/pool.ts'
import { createLog } from '../../server/src/foundation/log.ts'
import { roomOf, somebody, startLive } from '../../server/test/support/live.ts'
import type { Cursors, Guest, Order, Peer, PeerOptions } from './rooms/peers.ts'

const kind = process.argv[2] as Peer
const options: PeerOptions = JSON.parse(process.argv[3] ?? '{}')

/** People who share a room. */
const perRoom = 100

interface Serving {
  readonly url: string
  readonly more?: object
  say(roomIndex: number, text: string): Promise<unknown> | unknown
  /** What waits to be sent to the socket that has most waiting, in bytes of text. */
  held(): number
  drain(): Promise<void>
}

const serving = await { atom, 'socket.io': bareSocketIo, ws: bareWs }[kind]()
process.on('disconnect', () => process.exit())
process.on('message', async (order: Order) => {
  process.send?.({ id: order.id, value: await done(order) })
})
process.send?.({ ready: { url: serving.url, ...serving.more } })

async function done(order: Order): Promise<number> {
  if (order.name === 'held') return serving.held()
  if (order.name === 'used') {
    globalThis.gc?.()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  if (order.name === 'young') {
    return (
      getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.physical_space_size ?? 0
    )
  }
  if (order.name === 'drain') {
    const began = performance.now()
    await serving.drain()
    return performance.now() - began
  }
  const { count, lanes, room, text } = order
  let said = 0
  const lane = async () => {
    while (said < count) {
      said++
      await serving.say(room, text)
      // Who says one after the other leaves each its own turn.
      if (lanes === 1) await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return said
}

async function atom(): Promise<Serving> {
  const log = createLog({ level: 'warn' })
  const connection = { connectionString: options.database ?? '' }
  const database = await openDatabase({ connection, poolSize: 10, log })
  const many = { sockets: 20_000, perAddress: 20_000, perAccount: 20_000 }
  const live = await startLive(database, { admission: { ...many, ...options.admission } })
  const person: AccountPrincipal = options.person ?? somebody()
  const roomIds = [...(options.roomIds ?? [])]
  for (let room = roomIds.length; room < (options.rooms ?? 1); room++) {
    roomIds.push(await roomOf(database, live, person))
  }
  const crowd: Guest[] = []
  while (crowd.length < (options.crowd ?? 0)) {
    const people = Array.from({ length: Math.min(perRoom, (options.crowd ?? 0) - crowd.length) }, () =>
      somebody(person.workspaceId),
    )
    const roomId = await roomOf(database, live, person, ...people)
    const { epoch, head } = await live.rooms.requireMember(person, roomId)
    for (const guest of people) {
      const tokens: string[] = []
      for (let visit = 0; visit < (options.visits ?? 1); visit++) {
        tokens.push((await live.tokens.mint(guest)).accessToken)
      }
      crowd.push({ tokens, deviceId: guest.id, cursors: { [roomId]: { epoch, seq: head } } })
    }
  }
  const cursors: Cursors = {}
  for (const roomId of roomIds) {
    const { epoch, head } = await live.rooms.requireMember(person, roomId)
    cursors[roomId] = { epoch, seq: head }
  }
  let number = 0
  return {
    url: live.url,
    more: { token: await live.token(person), person, cursors, crowd, keySet: live.tokens.keySet },
    say: (room, text) =>
      live.messages.send(person, roomIds[room] ?? '', { clientId: `${process.pid}-${++number}`, text }),
    held: () => Math.max(0, ...live.sockets.unsent()),
    drain: () => live.sockets.drain(),
  }
}

async function bareSocketIo(): Promise<Serving> {
  const http = createServer()
  const io = new Server(http, { serveClient: false, transports: ['websocket'], perMessageDeflate: false })
  if (options.keySet !== undefined) {
    // As whoever builds it by hand would: each token checked, nothing else known of anybody.
    const keys = createLocalJWKSet(options.keySet)
    io.use((socket, next) => {
      jwtVerify(socket.handshake.auth['token'], keys, { typ: 'at+jwt', algorithms: ['EdDSA'] }).then(
        () => next(),
        next,
      )
    })
  }
  io.on('connection', (socket) => void socket.join('room'))
  let seq = 0
  return {
    url: await listening(http),
    say: (_room, text) => io.local.to('room').emit('room.events', frame(++seq, text)),
    held: () =>
      Math.max(
        0,
        ...[...io.sockets.sockets.values()].map((socket) => {
          const waiting = (socket.conn as unknown as { writeBuffer: { data?: string }[] }).writeBuffer
          return waiting.reduce((sum, { data }) => sum + (data?.length ?? 0), 0)
        }),
      ),
    drain: async () => void (await io.close()),
  }
}

async function bareWs(): Promise<Serving> {
  const http = createServer()
  const server = new WebSocketServer({ server: http, perMessageDeflate: false })
  let seq = 0
  return {
    url: await listening(http),
    say: (room, text) => {
      const data = JSON.stringify(['room.events', frame(++seq, text)])
      // Everybody is in the first room and nobody in the others.
      if (room > 0) return
      for (const client of server.clients) if (client.readyState === WebSocket.OPEN) client.send(data)
    },
    held: () => Math.max(0, ...[...server.clients].map((client) => client.bufferedAmount)),
    drain: async () => server.close(),
  }
}

/** As large as Atom's frame of one message. */
function frame(seq: number, text: string): object {
  const id = '01890a5d-ac96-774b-bcce-b302099a8057'
  const actor = { kind: 'account', id, name: 'Ada' }
  const event = {
    seq,
    id,
    type: 'message.created',
    at: new Date().toISOString(),
    actor,
    clientId: `client-${seq}`,
    text,
  }
  return { roomId: id, epoch: id, events: [event] }
}

async function listening(http: ReturnType<typeof createServer>): Promise<string> {
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}
