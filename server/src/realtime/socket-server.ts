import { hash } from 'node:crypto'
import type { Server as HttpServer, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { FrameError } from '@atom/contract/errors.ts'
import { protocolVersion, type ServerFrame, socketLimits } from '@atom/contract/socket.ts'
import { type DefaultEventsMap, Server } from 'socket.io'
import type { OwnPages } from '#access/own-pages.ts'
import type { Revocations } from '#access/revocations.ts'
import type { AccessTokens } from '#access/tokens.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Failures } from '#foundation/failure-groups.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Tracing } from '#foundation/telemetry/tracing.ts'
import type { Amendments } from '#rooms/amendments.ts'
import type { MembershipNews } from '#rooms/membership-news.ts'
import type { Messages } from '#rooms/messages.ts'
import type { Receipts } from '#rooms/receipts.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Signals } from '#rooms/signals.ts'
import { isVoid, type Timeline } from '#rooms/timeline.ts'
import {
  Admission,
  type AdmissionLimits,
  type Admitted,
  defaultAdmission,
  type Entry,
  frameError,
} from './admission.ts'
import { Deliveries } from './deliveries.ts'
import { type DrainPlan, defaultDrain, sendAway, timeToSendAway } from './drain.ts'
import { EncodedFrame } from './encoded-frame.ts'
import { Engine } from './engine.ts'
import { Frames, type Turns } from './frames.ts'
import { type Broadcast, Hub } from './hub.ts'
import { defaultExpiry, type Expiry, type IoSocket, LiveSocket, type ServerFrames } from './live-socket.ts'
import type { Neighbours } from './neighbours.ts'
import { Newcomers } from './newcomers.ts'
import { Pages } from './pages.ts'
import { People } from './people.ts'
import type { Presence } from './presence.ts'
import { turnAway } from './refusal.ts'
import { Relay } from './relay.ts'
import { type Drafts, Resume } from './resume.ts'
import { type BufferBounds, defaultBounds, holdBack } from './send-buffer.ts'
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
  readonly membershipNews: Pick<MembershipNews, 'subscribe'>
  readonly presence: Presence
  readonly drafts: Drafts
  readonly crossOrigin: OwnPages
  readonly clock: Clock
  readonly log: Log
  readonly traffic?: SocketTraffic
  /** Hears of every handshake and frame that was refused or failed. */
  readonly failures?: Pick<Failures, 'note'>
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined
  readonly neighbours: Neighbours
  /** Where a request comes from, behind the proxies that are trusted. */
  readonly addressOf: (request: IncomingMessage) => string
  readonly admission?: Partial<AdmissionLimits>
  /** What everybody passes who comes to this process, by whatever protocol. */
  readonly entry?: Entry
  readonly drain?: Partial<DrainPlan>
  readonly budget?: SocketBudget
  /** How often at most a device is asked what has arrived. */
  readonly deliverEveryMs?: number
  readonly bounds?: BufferBounds
  readonly expiry?: Expiry
}

type Conn = IoSocket['conn']

/** A connection of Engine.IO that is no live socket yet. */
interface Arrival {
  readonly tcp: Duplex
  /** One handshake is being judged, or was found good: it carries no other. */
  taken: boolean
  admitted: (Admitted & { readonly mark: string | undefined }) | undefined
}

/** Clients that lost this process come back spread over this much more than the time that their handshakes take. */
const spreadMargin = 1.25
/** Reads of timelines and standings for sockets at a time: less than half of the sessions that the process has. */
const readsAtATime = 4
/** Below this the clients' own jitter is enough. */
const leastSpreadMs = 1_000
/** How often it is looked at whose token ends. */
const expiryEveryMs = 500
/** How long a closing server waits for answers under way, and then for its sockets to be gone. */
const drainMs = 3_000

/** The live door: Socket.IO over WebSocket alone. Knows who is connected; what they may do is in `frames.ts`. */
export class SocketServer implements AsyncDisposable {
  readonly #io: Server<DefaultEventsMap, ServerFrames>
  readonly #neighbours: Neighbours
  readonly #drainPlan: DrainPlan
  readonly #limits: AdmissionLimits
  readonly #clock: Clock
  readonly #log: Log
  readonly #traffic: SocketTraffic
  readonly #failures: Pick<Failures, 'note'> | undefined
  readonly #revocations: Pick<Revocations, 'has' | 'subscribe'>
  readonly #expiry: Expiry
  readonly #bounds: BufferBounds
  readonly #budget: SocketBudget
  readonly #admission: Admission
  readonly #hub: Hub<LiveSocket>
  readonly #newcomers: Newcomers
  readonly #resume: Resume<LiveSocket>
  readonly #frames: Frames
  readonly #sockets = new Set<LiveSocket>()
  readonly #people: People
  /** By the mark of account and device: a device has one socket, the newest. */
  readonly #devices = new Map<string, LiveSocket>()
  readonly #arrivals = new WeakMap<Conn, Arrival>()
  readonly #release = new DisposableStack()
  readonly #nobodyLeft = Promise.withResolvers<void>()
  /** Those that an operator moves, by the order to do so: they may come back here. */
  readonly #moves = new Set<{ readonly left: Set<LiveSocket>; readonly over: () => void }>()
  #emptying = false
  /** The widest span that sockets were told since all of them were told. */
  #toldSpreadMs = 0
  #drained: Promise<void> | undefined

  constructor(options: SocketServerOptions) {
    this.#clock = options.clock
    this.#log = options.log
    const traffic = options.traffic ?? new SocketTraffic()
    this.#traffic = traffic
    this.#failures = options.failures
    this.#revocations = options.revocations
    this.#expiry = options.expiry ?? defaultExpiry
    this.#bounds = options.bounds ?? defaultBounds
    this.#budget = options.budget ?? defaultBudget
    this.#neighbours = options.neighbours
    this.#limits = { ...defaultAdmission, ...options.admission }
    this.#drainPlan = { ...defaultDrain, ...options.drain }
    this.#admission = new Admission({ ...options, limits: this.#limits })
    this.#io = new Server({ serveClient: false, connectTimeout: 10_000 })
    const engine = new Engine({
      transports: ['websocket'],
      allowUpgrades: false,
      // Compression was measured at 250 KB of memory per socket, and frames could not be encoded once for all.
      perMessageDeflate: false,
      httpCompression: false,
      maxHttpBufferSize: socketLimits.frameBytes,
      allowRequest: (request, answer) => this.#judge(request, answer),
    })
    const deliveries = this.#release.use(new Deliveries<LiveSocket>(options))
    const broadcast: Broadcast<LiveSocket> = {
      events: (room, frame) => {
        const encoded = EncodedFrame.of('room.events', frame)
        for (const { mode, outlet } of room.followers) if (mode === 'live') outlet.send(encoded)
      },
      signal: (room, signal) => {
        const encoded = EncodedFrame.of('room.signal', signal)
        for (const { mode, outlet } of room.followers) {
          if (outlet.crowded) traffic.signalsDropped++
          else if (mode === 'live') outlet.send(encoded)
        }
      },
      follow: (roomId) => {
        const news = new DisposableStack()
        news.use(options.timeline.follow(roomId))
        news.use(options.signals.follow(roomId))
        return news
      },
    }
    this.#hub = new Hub(broadcast, deliveries)
    const pages = new Pages({ timeline: options.timeline, most: readsAtATime })
    this.#newcomers = new Newcomers({ rooms: options.rooms, pages })
    const relay = new Relay({ hub: this.#hub, timeline: options.timeline, pages, log: options.log })
    this.#resume = new Resume({
      hub: this.#hub,
      relay,
      pages,
      drafts: options.drafts,
      isMember: (accountId, roomId) => options.rooms.hasAccount(accountId, roomId),
      log: options.log,
      traffic,
    })
    this.#frames = new Frames({ ...options, resume: this.#resume, traffic })
    this.#people = new People(options)
    this.#release.use(this.#people)
    this.#release.use(relay)
    this.#release.use(
      options.signals.subscribe((signal) => {
        // What a delta goes on with was committed before it.
        if (signal.kind === 'delta') relay.flush(signal.roomId)
        this.#hub.tell(signal)
      }),
    )
    this.#release.use(options.revocations.subscribe((sessionId) => this.#end(sessionId)))
    this.#release.use(options.neighbours.subscribe((mark) => this.#cameElsewhere(mark)))
    this.#io.use((socket, next) => {
      this.#admit(socket).then(
        () => next(),
        (error: unknown) => next(this.#refusal(error)),
      )
    })
    this.#io.on('connection', (socket) => this.#connected(socket))
    // Rooms are the hub's. Socket.IO would put each socket into one of its own, to which nobody ever says anything.
    Object.assign(this.#io.sockets.adapter, { addAll: () => undefined, delAll: () => undefined })
    this.#io.bind(engine)
    engine.attach(options.http, { path: '/socket.io' })
    engine.on('connection', (conn: Conn) => {
      this.#arrivals.set(conn, { tcp: conn.request.socket, taken: false, admitted: undefined })
      // The request holds headers and buffers that nobody reads again.
      Object.assign(conn, { request: null })
    })
    const expiry = setInterval(() => {
      const now = options.clock.now().getTime()
      for (const socket of this.#sockets) socket.watchExpiry(now)
    }, expiryEveryMs)
    expiry.unref()
    this.#release.defer(() => clearInterval(expiry))
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

  /** Sockets that were to be moved and are still here. */
  get moving(): number {
    let count = 0
    for (const { left } of this.#moves) count += left.size
    return count
  }

  /**
   * Sends every socket that is open now away in waves, as a stop does: each serves until its client has another one, here or at
   * another process, or its time is over. New ones are taken in all the while; asked again, it moves those.
   */
  moveAll(): { readonly sockets: number; readonly withinMs: number } {
    const left = new Set(this.#sockets)
    for (const move of this.#moves) for (const socket of move.left) left.delete(socket)
    // Nothing stops here, so nothing is in a hurry.
    const plan = { ...this.#drainPlan, deadlineMs: Number.POSITIVE_INFINITY }
    const sockets = left.size
    if (sockets > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#moves.add({ left, over: resolve })
      const movable = [...left].map((socket) => ({
        move: (afterMs: number) => socket.move(afterMs),
        retire: () => socket.retire('moved'),
      }))
      this.#release.defer(resolve)
      void sendAway(movable, plan, promise)
    }
    return { sockets, withinMs: timeToSendAway(sockets, plan) }
  }

  /**
   * Takes no new sockets. Where another process can take the clients they are sent there in waves, and served here until each
   * has its new socket; where there is none, or their time is over, answers under way arrive, each client is told when to come
   * back, and its socket is closed. Resolves when all are gone.
   */
  drain(): Promise<void> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain()
    this.#release.dispose()
    this.#io.engine.close()
    this.#admission.cut()
  }

  async #drain(): Promise<void> {
    const began = performance.now()
    const sockets = this.#sockets.size
    this.#admission.close()
    this.#neighbours.leave()
    this.#emptying = true
    if (sockets > 0 && (await this.#neighbours.anybody())) {
      if (this.#sockets.size === 0) this.#nobodyLeft.resolve()
      await sendAway([...this.#sockets], this.#drainPlan, this.#nobodyLeft.promise)
    }
    const cut = this.#sockets.size
    await Promise.race([this.#frames.drain(), delay(drainMs, undefined, { ref: false })])
    const spreadMs = this.#spreadMs()
    for (const socket of this.#sockets) {
      if (!socket.moving) socket.move(Math.round(Math.random() * spreadMs))
      socket.close('draining')
    }
    if (this.#sockets.size > 0) {
      await Promise.race([this.#nobodyLeft.promise, delay(drainMs, undefined, { ref: false })])
    }
    if (sockets > 0) {
      const tookMs = Math.round(performance.now() - began)
      this.#log.info({ sockets, cut, tookMs }, 'sockets were sent away')
    }
  }

  #judge(
    request: IncomingMessage,
    answer: (message: string | null | undefined, success: boolean) => void,
  ): void {
    try {
      this.#admission.request(request)
    } catch (error) {
      // Engine.IO would answer 400 to everything; left without an answer it keeps nothing of this request.
      turnAway(request, this.#refusal(error).data)
      return
    }
    // The answer to the request and the engine's first packet, both made in this turn, leave in one piece.
    request.socket.cork()
    setImmediate(() => request.socket.uncork())
    answer(undefined, true)
  }

  async #admit(socket: IoSocket): Promise<void> {
    const { conn } = socket
    const arrival = this.#arrivals.get(conn)
    // Several handshakes at once on one connection would each become a socket, and only one would be counted.
    if (arrival === undefined || arrival.taken) {
      throw new AtomError('frame_malformed', 'One connection carries one handshake at a time.')
    }
    arrival.taken = true
    try {
      const admitted = await this.#admission.handshake(socket.handshake.auth)
      const { id } = admitted.token.principal
      const { deviceId } = admitted
      const mark = deviceId === undefined ? undefined : markOf(id, deviceId)
      const replaces = mark !== undefined && this.#devices.has(mark)
      this.#admission.enter(arrival.tcp, id, replaces)
      arrival.admitted = { ...admitted, mark }
      holdBack(conn, arrival.tcp)
    } catch (error) {
      // A client may try again on it, with a better token.
      arrival.taken = false
      throw error
    }
  }

  #refusal(thrown: unknown): Error & { data: FrameError } {
    const data = frameError(thrown)
    this.#traffic.refused.add(data.code)
    this.#failures?.note({ door: 'socket', place: 'handshake', error: asAtomError(thrown) })
    if (data.code === 'internal') this.#log.error({ err: thrown }, 'a handshake could not be judged')
    return Object.assign(new Error(data.code), { data })
  }

  #connected(io: IoSocket): void {
    const arrival = this.#arrivals.get(io.conn)
    if (arrival?.admitted === undefined) throw new Error('a socket came in without having been admitted')
    const { tcp, admitted } = arrival
    this.#arrivals.delete(io.conn)
    // It holds the token, the cursors and a date in words, and nobody reads it again.
    Object.assign(io, { handshake: null })
    const socket = new LiveSocket({
      socket: io,
      tcp,
      deviceId: admitted.deviceId ?? newId(),
      address: this.#admission.addressOf(tcp),
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
    const device = admitted.mark ?? markOf(socket.principal.id, socket.deviceId)
    this.#sockets.add(socket)
    const older = this.#devices.get(device)
    // One that is being moved is closed by its client, when the new one is in use.
    if (older?.moving === false) older.close('replaced')
    this.#devices.set(device, socket)
    // A device that was given its name just now has been nowhere else.
    if (admitted.mark !== undefined) this.#neighbours.arrived(device)
    this.#people.arrived(socket)
    io.onAny((name: unknown, ...args: unknown[]) => {
      this.#traffic.framesIn++
      socket.heardAt = this.#clock.now()
      this.#frames.receive(socket, name, args)
    })
    io.on('disconnect', (seen) => {
      this.#traffic.closed.add(socket.closedFor ?? seen.replaceAll(' ', '_'))
      this.#sockets.delete(socket)
      this.#admission.leave(tcp)
      this.#people.left(socket)
      if (this.#devices.get(device) === socket) this.#devices.delete(device)
      socket.release()
      if (this.#emptying && this.#sockets.size === 0) this.#nobodyLeft.resolve()
      this.#gone(socket)
      // Without its Socket.IO socket the connection below serves nobody.
      io.conn.close()
    })
    this.#spread()
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
    const begin: { readonly activeAt: Date; readonly room: () => void }[] = []
    try {
      const standings =
        roomIds.length === 0 ? undefined : await this.#newcomers.standings(socket.principal, roomIds)
      for (const [roomId, follower] of followers) {
        const standing = standings?.get(roomId)
        const cursor = cursors.get(roomId)
        if (standing === undefined || standing instanceof AtomError || cursor === undefined) {
          rooms[roomId] = { ok: false, error: frameError(standing) }
          this.#giveUp(socket, roomId, follower)
          continue
        }
        const { epoch, head, activeAt } = standing
        if (isVoid(cursor, standing)) {
          rooms[roomId] = { ok: true, epoch, head, reset: true }
          begin.push({ activeAt, room: () => this.#resume.restart(follower, standing) })
        } else {
          rooms[roomId] = { ok: true, epoch, head }
          begin.push({ activeAt, room: () => this.#resume.resume(follower, epoch, cursor.seq, head) })
        }
      }
    } catch (error) {
      const failed = asAtomError(error)
      this.#failures?.note({ door: 'socket', place: 'hello', error: failed })
      if (failed.code === 'internal')
        this.#log.error({ err: error }, 'rooms could not be looked up for a hello')
      for (const [roomId, follower] of followers) {
        rooms[roomId] = { ok: false, error: frameError(failed) }
        this.#giveUp(socket, roomId, follower)
      }
      begin.length = 0
    }
    const spreadMs = this.#spreadMs()
    this.#toldSpreadMs = this.#toldSpreadMs === 0 ? spreadMs : Math.min(this.#toldSpreadMs, spreadMs)
    socket.greet({
      deviceId: socket.deviceId,
      spreadMs,
      expiresInMs: Math.max(0, Math.round(socket.expiresInMs)),
      v: protocolVersion,
      rooms,
    })
    for (const [roomId, cursor] of cursors) this.#traffic.resumed.add(outcomeOf(rooms[roomId], cursor.seq))
    // Where something was said last is where people look first.
    begin.sort((a, b) => b.activeAt.getTime() - a.activeAt.getTime())
    for (const { room } of begin) room()
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

  #gone(socket: LiveSocket): void {
    for (const move of this.#moves) {
      if (!move.left.delete(socket) || move.left.size > 0) continue
      this.#moves.delete(move)
      move.over()
    }
  }

  /** Somebody's device has opened a socket in another process: what is here of it is a ghost, or about to be one. */
  #cameElsewhere(mark: string): void {
    const socket = this.#devices.get(mark)
    // One that was sent away is closed by its client, when the new one is in use.
    if (socket !== undefined && !socket.moving) socket.close('replaced')
  }

  /** Who came while few were here would come back within a span for few. */
  #spread(): void {
    const spreadMs = this.#spreadMs()
    const told = this.#toldSpreadMs
    if (this.#emptying || told === 0 || spreadMs < Math.max(leastSpreadMs, 2 * told)) return
    this.#toldSpreadMs = spreadMs
    const encoded = EncodedFrame.of('spread', { spreadMs })
    for (const socket of this.#sockets) socket.send(encoded)
  }

  #spreadMs(): number {
    return Math.ceil((this.#sockets.size / this.#limits.handshakesPerSecond) * 1_000 * spreadMargin)
  }
}

function outcomeOf(room: ServerFrame<'hello'>['rooms'][string] | undefined, held: number): string {
  if (room?.ok !== true) return 'refused'
  if (room.reset === true) return 'reset'
  return held < room.head ? 'news' : 'quiet'
}

/** A device of an account, as processes name it to each other. */
function markOf(accountId: string, deviceId: string): string {
  return hash('sha256', `${accountId} ${deviceId}`, 'base64url').slice(0, 22)
}
