import type { Server as HttpServer, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { protocolVersion, type ServerFrame, socketLimits } from '@atom/contract/socket.ts'
import { type DefaultEventsMap, Server } from 'socket.io'
import type { OwnPages } from '#access/own-pages.ts'
import type { Revocations } from '#access/revocations.ts'
import type { AccessTokens } from '#access/tokens.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Amendments } from '#rooms/amendments.ts'
import type { Messages } from '#rooms/messages.ts'
import type { Receipts } from '#rooms/receipts.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Signals } from '#rooms/signals.ts'
import { isVoid, type Timeline } from '#rooms/timeline.ts'
import { Admission, type Admitted, frameError } from './admission.ts'
import { Frames, type Turns } from './frames.ts'
import { Hub } from './hub.ts'
import {
  crowded,
  defaultExpiry,
  type Expiry,
  type IoSocket,
  LiveSocket,
  type ServerFrames,
} from './live-socket.ts'
import { People } from './people.ts'
import type { Presence } from './presence.ts'
import { Relay } from './relay.ts'
import { type Drafts, Resume } from './resume.ts'
import { type BufferBounds, defaultBounds } from './send-buffer.ts'
import { defaultBudget, type SocketBudget, SocketLimits } from './socket-limits.ts'
import { SocketTraffic } from './socket-traffic.ts'

export interface SocketServerOptions {
  /** Not yet listening, or listening already. */
  readonly http: HttpServer
  readonly rooms: Rooms
  readonly messages: Messages
  readonly amendments: Amendments
  readonly timeline: Timeline
  readonly signals: Signals
  readonly tokens: Pick<AccessTokens, 'verify'>
  readonly revocations: Pick<Revocations, 'has' | 'subscribe'>
  readonly turns: Turns
  readonly receipts: Receipts
  readonly presence: Presence
  readonly drafts: Drafts
  readonly crossOrigin: OwnPages
  readonly clock: Clock
  readonly log: Log
  readonly traffic?: SocketTraffic
  readonly mostSockets?: number
  readonly budget?: SocketBudget
  readonly bounds?: BufferBounds
  readonly expiry?: Expiry
}

type Conn = IoSocket['conn']

/** Handshakes per second that this process takes well; clients that lost it come back spread over a time that respects it. */
const handshakesPerSecond = 400
const spreadMargin = 1.25
/** How long a closing server waits for answers under way, and then for its sockets to be gone. */
const drainMs = 3_000

/** The live door: Socket.IO over WebSocket alone. Knows who is connected; what they may do is in `frames.ts`. */
export class SocketServer implements AsyncDisposable {
  readonly #io: Server<DefaultEventsMap, ServerFrames>
  readonly #rooms: Rooms
  readonly #clock: Clock
  readonly #log: Log
  readonly #traffic: SocketTraffic
  readonly #revocations: Pick<Revocations, 'has' | 'subscribe'>
  readonly #expiry: Expiry
  readonly #bounds: BufferBounds
  readonly #budget: SocketBudget
  readonly #admission: Admission
  readonly #hub: Hub<LiveSocket>
  readonly #resume: Resume<LiveSocket>
  readonly #frames: Frames
  readonly #sockets = new Set<LiveSocket>()
  readonly #people: People
  /** By account and device: a device has one socket, the newest. */
  readonly #devices = new Map<string, LiveSocket>()
  readonly #admitted = new WeakMap<IoSocket, Admitted>()
  readonly #tcp = new WeakMap<Conn, Duplex>()
  readonly #release = new DisposableStack()
  #gone: (() => void) | undefined
  #drained: Promise<void> | undefined

  constructor(options: SocketServerOptions) {
    this.#rooms = options.rooms
    this.#clock = options.clock
    this.#log = options.log
    const traffic = options.traffic ?? new SocketTraffic()
    this.#traffic = traffic
    this.#revocations = options.revocations
    this.#expiry = options.expiry ?? defaultExpiry
    this.#bounds = options.bounds ?? defaultBounds
    this.#budget = options.budget ?? defaultBudget
    this.#admission = new Admission({
      tokens: options.tokens,
      crossOrigin: options.crossOrigin,
      mostSockets: options.mostSockets ?? 20_000,
      open: () => this.#io.engine.clientsCount,
    })
    this.#io = new Server({
      path: '/socket.io',
      serveClient: false,
      transports: ['websocket'],
      allowUpgrades: false,
      // Compression was measured at 250 KB of memory per socket, and frames could not be encoded once for all.
      perMessageDeflate: false,
      httpCompression: false,
      maxHttpBufferSize: socketLimits.frameBytes,
      connectTimeout: 10_000,
      allowRequest: (request, answer) => this.#judge(request, answer),
    })
    this.#hub = new Hub<LiveSocket>({
      events: (roomId, frame) => this.#io.local.to(roomId).emit('room.events', frame),
      signal: (roomId, signal) => {
        if (this.#io.of('/').adapter.rooms.has(crowded)) traffic.signalsDropped += this.#slowIn(roomId)
        this.#io.local.to(roomId).except(crowded).emit('room.signal', signal)
      },
      follow: (roomId) => {
        const news = new DisposableStack()
        news.use(options.timeline.follow(roomId))
        news.use(options.signals.follow(roomId))
        return news
      },
    })
    const relay = new Relay({ hub: this.#hub, timeline: options.timeline, log: options.log })
    this.#resume = new Resume({
      hub: this.#hub,
      relay,
      timeline: options.timeline,
      drafts: options.drafts,
      isMember: (accountId, roomId) => options.rooms.hasAccount(accountId, roomId),
      log: options.log,
      traffic,
    })
    this.#frames = new Frames({ ...options, resume: this.#resume, traffic })
    this.#people = new People(options)
    this.#release.use(this.#people)
    this.#release.use(relay)
    this.#release.use(options.signals.subscribe((signal) => this.#hub.tell(signal)))
    this.#release.use(options.revocations.subscribe((sessionId) => this.#end(sessionId)))
    this.#io.use((socket, next) => {
      this.#admission.handshake(socket.handshake.auth).then(
        (admitted) => {
          this.#admitted.set(socket, admitted)
          next()
        },
        (error: unknown) => next(this.#refusal(error)),
      )
    })
    this.#io.on('connection', (socket) => this.#connected(socket))
    this.#io.attach(options.http)
    this.#io.engine.on('connection', (conn: Conn) => {
      this.#tcp.set(conn, conn.request.socket)
      // The request holds headers and buffers that nobody reads again.
      Object.assign(conn, { request: null })
    })
  }

  /** How many sockets are connected. */
  get count(): number {
    return this.#sockets.size
  }

  /** How long a client that lost its socket now waits at most before it comes back. */
  get spreadMs(): number {
    return this.#spreadMs()
  }

  /** The sockets of this process, oldest first. */
  open(): Iterable<LiveSocket> {
    return this.#sockets
  }

  /** The rooms that sockets of this process follow. */
  *rooms(): Iterable<{ readonly id: string; readonly followers: number; readonly position: number }> {
    for (const id of this.#hub.roomIds) {
      const room = this.#hub.room(id)
      if (room !== undefined) yield { id, followers: room.followers.size, position: room.position ?? 0 }
    }
  }

  /** What waits to be sent to each socket, in UTF-16 code units. */
  unsent(): number[] {
    return [...this.#sockets].map((socket) => socket.unsent)
  }

  /**
   * Takes no new sockets and no new frames, lets answers under way arrive, then tells every client when to come back and
   * closes its socket. Resolves when all are gone.
   */
  drain(): Promise<void> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain()
    this.#release.dispose()
    this.#io.engine.close()
  }

  async #drain(): Promise<void> {
    this.#admission.close()
    await Promise.race([this.#frames.drain(), delay(drainMs, undefined, { ref: false })])
    const spreadMs = this.#spreadMs()
    for (const socket of this.#sockets) {
      socket.emit('drain', { afterMs: Math.round(Math.random() * spreadMs) })
      socket.close('draining')
    }
    if (this.#sockets.size === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#gone = resolve
    await Promise.race([promise, delay(drainMs, undefined, { ref: false })])
  }

  #judge(
    request: IncomingMessage,
    answer: (message: string | null | undefined, success: boolean) => void,
  ): void {
    try {
      this.#admission.request(request)
      answer(undefined, true)
    } catch (error) {
      answer(JSON.stringify(this.#refusal(error).data), false)
    }
  }

  #refusal(thrown: unknown): Error & { data: object } {
    const data = frameError(thrown)
    this.#traffic.refused.add(data.code)
    if (data.code === 'internal') this.#log.error({ err: thrown }, 'a handshake could not be judged')
    return Object.assign(new Error(data.code), { data })
  }

  #connected(io: IoSocket): void {
    const admitted = this.#admitted.get(io)
    const tcp = this.#tcp.get(io.conn)
    if (admitted === undefined || tcp === undefined)
      throw new Error('a socket came in without having been admitted')
    const socket = new LiveSocket({
      socket: io,
      tcp,
      deviceId: admitted.deviceId ?? newId(),
      admitted: admitted.token,
      limits: new SocketLimits(this.#budget),
      bounds: this.#bounds,
      hub: this.#hub,
      resume: this.#resume,
      clock: this.#clock,
      expiry: this.#expiry,
      traffic: this.#traffic,
    })
    this.#traffic.accepted++
    const device = `${socket.principal.id} ${socket.deviceId}`
    this.#sockets.add(socket)
    this.#devices.get(device)?.close('replaced')
    this.#devices.set(device, socket)
    this.#people.arrived(socket)
    io.onAny((name: unknown, ...args: unknown[]) => {
      this.#traffic.framesIn++
      socket.heardAt = this.#clock.now()
      this.#frames.receive(socket, name, args)
    })
    io.on('disconnect', (seen) => {
      this.#traffic.closed.add(socket.closedFor ?? seen.replaceAll(' ', '_'))
      this.#sockets.delete(socket)
      this.#people.left(socket)
      if (this.#devices.get(device) === socket) this.#devices.delete(device)
      socket.release()
      if (this.#sockets.size === 0) this.#gone?.()
    })
    // It may have ended between the check of its token and now.
    if (this.#revocations.has(socket.principal.sessionId)) socket.close('session_revoked')
    else void this.#welcome(socket, admitted)
  }

  /** Says hello, then resumes the rooms that the client had: those without news cost nothing, the others one page each. */
  async #welcome(socket: LiveSocket, { cursors }: Admitted): Promise<void> {
    const roomIds = [...cursors.keys()]
    if (roomIds.length > 0) this.#traffic.returned++
    const followers = new Map(roomIds.map((roomId) => [roomId, socket.follow(roomId)]))
    const rooms: ServerFrame<'hello'>['rooms'] = {}
    const begin: (() => void)[] = []
    try {
      const standings =
        roomIds.length === 0 ? undefined : await this.#rooms.standings(socket.principal, roomIds)
      for (const [roomId, follower] of followers) {
        const standing = standings?.get(roomId)
        const cursor = cursors.get(roomId)
        if (standing === undefined || standing instanceof AtomError || cursor === undefined) {
          rooms[roomId] = { ok: false, error: frameError(standing) }
          this.#giveUp(socket, roomId, follower)
          continue
        }
        const { epoch, head } = standing
        if (isVoid(cursor, standing)) {
          rooms[roomId] = { ok: true, epoch, head, reset: true }
          begin.push(() => this.#resume.restart(follower, standing))
        } else {
          rooms[roomId] = { ok: true, epoch, head }
          begin.push(() => this.#resume.resume(follower, epoch, cursor.seq, head))
        }
      }
    } catch (error) {
      for (const [roomId, follower] of followers) {
        rooms[roomId] = { ok: false, error: frameError(error) }
        this.#giveUp(socket, roomId, follower)
      }
      begin.length = 0
    }
    socket.emit('hello', {
      deviceId: socket.deviceId,
      spreadMs: this.#spreadMs(),
      expiresInMs: Math.max(0, Math.round(socket.expiresInMs)),
      v: protocolVersion,
      rooms,
    })
    for (const [roomId, cursor] of cursors) this.#traffic.resumed.add(outcomeOf(rooms[roomId], cursor.seq))
    for (const room of begin) room()
  }

  /** Unless the client has joined the room itself meanwhile. */
  #giveUp(socket: LiveSocket, roomId: string, follower: object): void {
    if (socket.followers.get(roomId) === follower) socket.leave(roomId)
  }

  #end(sessionId: string): void {
    for (const socket of this.#sockets) {
      if (socket.principal.sessionId === sessionId) socket.close('session_revoked')
    }
  }

  /** How many sockets in a room get no signals now. */
  #slowIn(roomId: string): number {
    let slow = 0
    for (const { outlet } of this.#hub.room(roomId)?.followers ?? []) if (outlet.crowded) slow++
    return slow
  }

  #spreadMs(): number {
    return Math.ceil((this.#sockets.size / handshakesPerSecond) * 1_000 * spreadMargin)
  }
}

function outcomeOf(room: ServerFrame<'hello'>['rooms'][string] | undefined, held: number): string {
  if (room?.ok !== true) return 'refused'
  if (room.reset === true) return 'reset'
  return held < room.head ? 'news' : 'quiet'
}
