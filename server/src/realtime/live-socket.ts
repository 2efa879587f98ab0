import type { Duplex } from 'node:stream'
import {
  type CloseReason,
  closeReasons,
  type RoomSignal,
  type ServerFrame,
  type ServerFrameName,
} from '@atom/contract/socket.ts'
import type { DefaultEventsMap, Socket } from 'socket.io'
import type { AccountPrincipal } from '#access/principal.ts'
import type { VerifiedToken } from '#access/tokens.ts'
import type { Clock } from '#foundation/clock.ts'
import { Comings } from './comings.ts'
import type { Movable } from './drain.ts'
import { EncodedFrame } from './encoded-frame.ts'
import type { Follower, Hub } from './hub.ts'
import type { Resume, ResumingOutlet } from './resume.ts'
import { type BufferBounds, type Reader, SendBuffer } from './send-buffer.ts'
import type { SocketLimits } from './socket-limits.ts'
import type { SocketTraffic } from './socket-traffic.ts'

export type ServerFrames = { [N in ServerFrameName]: (frame: ServerFrame<N>) => void }
/** What a client sends is checked by the contract, so nothing is assumed about it here. */
export type IoSocket = Socket<DefaultEventsMap, ServerFrames>

export interface Expiry {
  /** How long before its token expires a socket is told. */
  readonly noticeMs: number
  /** How long after that it stays connected, deaf to everything but a new token. */
  readonly graceMs: number
}

export const defaultExpiry: Expiry = { noticeMs: 60_000, graceMs: 25_000 }

/** A socket that does not close by itself is cut after this long. */
const closeMs = 2_000
/** How long a socket whose time is over waits for the answers under way. */
const retireMs = 3_000

/** One live WebSocket of one person: who it is, which rooms it follows, and when its token ends. */
export class LiveSocket implements ResumingOutlet, Movable, Reader {
  readonly id: string
  readonly deviceId: string
  readonly limits: SocketLimits
  readonly followers = new Map<string, Follower<LiveSocket>>()
  /** Where the connection below comes from, as this process sees it. */
  readonly address: string
  readonly since: Date
  /** When its last frame came in. */
  heardAt: Date
  /** What its client was told; undefined while it is open, and where it went away by itself. */
  closedFor: CloseReason | undefined
  readonly #socket: IoSocket
  readonly #tcp: Duplex
  readonly #buffer: SendBuffer
  readonly #hub: Hub<LiveSocket>
  readonly #resume: Resume<LiveSocket>
  readonly #clock: Clock
  readonly #expiry: Expiry
  readonly #comings = new Comings()
  #admitted: VerifiedToken
  /** Its client was told that its token ends. */
  #warned = false
  #cut: NodeJS.Timeout | undefined
  #closing = false
  #moving = false
  #retiring: 'draining' | 'moved' | undefined

  constructor(options: {
    readonly socket: IoSocket
    /** The connection below. */
    readonly tcp: Duplex
    readonly deviceId: string
    readonly address: string
    readonly admitted: VerifiedToken
    readonly limits: SocketLimits
    readonly bounds: BufferBounds
    readonly hub: Hub<LiveSocket>
    readonly resume: Resume<LiveSocket>
    readonly clock: Clock
    readonly expiry: Expiry
    readonly traffic: SocketTraffic
  }) {
    const { socket } = options
    this.id = socket.id
    this.deviceId = options.deviceId
    this.limits = options.limits
    this.#socket = socket
    this.#tcp = options.tcp
    this.#hub = options.hub
    this.#resume = options.resume
    this.#clock = options.clock
    this.#expiry = options.expiry
    this.#admitted = options.admitted
    this.address = options.address
    this.since = options.clock.now()
    this.heardAt = this.since
    this.#buffer = new SendBuffer(socket.conn, options.tcp, options.bounds, this, options.traffic)
  }

  get principal(): AccountPrincipal {
    return this.#admitted.principal
  }

  get accountId(): string {
    return this.#admitted.principal.id
  }

  get expiresInMs(): number {
    return this.#admitted.expiresAt.getTime() - this.#clock.now().getTime()
  }

  /** It reads so slowly that signals are dropped. */
  get crowded(): boolean {
    return this.#buffer.crowded
  }

  /** It reads so slowly that live events are stopped. */
  get behind(): boolean {
    return this.#buffer.behind
  }

  get closing(): boolean {
    return this.#closing
  }

  /** Its client was asked to open another one, which may be there already. */
  get moving(): boolean {
    return this.#moving
  }

  /** It takes no new frames. */
  get retiring(): boolean {
    return this.#retiring !== undefined
  }

  /** Frames not yet sent, in UTF-16 code units. */
  get unsent(): number {
    return this.#buffer.unsent
  }

  emit<N extends ServerFrameName>(name: N, frame: ServerFrame<N>): void {
    this.send(EncodedFrame.of(name, frame))
  }

  /** The first frame that it gets. */
  greet(frame: ServerFrame<'hello'>): void {
    this.#buffer.greet(EncodedFrame.of('hello', frame))
  }

  send(frame: EncodedFrame): void {
    this.#buffer.send(frame)
  }

  tell(signal: RoomSignal): void {
    this.emit('room.signal', signal)
  }

  /** Its person is in the room, from this place of its log on. */
  cameIn(roomId: string, seq: number | undefined): void {
    if (this.#comings.heard(roomId, 'in', seq)) this.emit('room.added', { roomId })
  }

  /** Its person is out of the room, from this place of its log on. Who follows the room is told where its events end. */
  wentOut(roomId: string, seq: number | undefined): void {
    if (this.#comings.heard(roomId, 'out', seq) && !this.followers.has(roomId))
      this.emit('room.left', { roomId })
  }

  /** What it follows of a room ends at this place of its log. */
  expelled(roomId: string, seq: number): void {
    this.leave(roomId)
    this.emit('room.left', { roomId })
    // They are in again, and were told so on a quicker way: the last word must be the true one.
    if (this.#comings.cameAfter(roomId, seq)) this.emit('room.added', { roomId })
  }

  /** Calls back when the client has everything that was sent to it until now; never, where it ends before. */
  echo(arrived: () => void): void {
    this.#buffer.echo(arrived)
  }

  room(): Promise<void> {
    return this.#buffer.room()
  }

  /** Follows a room anew; a former place in it is given up. */
  follow(roomId: string): Follower<LiveSocket> {
    this.leave(roomId)
    const follower = this.#hub.follow(this, roomId)
    this.followers.set(roomId, follower)
    return follower
  }

  leave(roomId: string): void {
    const follower = this.followers.get(roomId)
    if (follower === undefined) return
    this.followers.delete(roomId)
    this.#hub.leave(follower)
  }

  /** Goes on with a new token of the same person. */
  renew(admitted: VerifiedToken): void {
    if (this.#closing) return
    this.#admitted = admitted
    this.#warned = false
  }

  /** To be asked every moment: tells its client that the token ends soon, and closes it some time after it has ended. */
  watchExpiry(now: number): void {
    if (this.#closing) return
    const { noticeMs, graceMs } = this.#expiry
    const leftMs = this.#admitted.expiresAt.getTime() - now
    if (leftMs <= -graceMs) this.close('token_expired')
    else if (leftMs <= noticeMs && !this.#warned) {
      this.#warned = true
      this.emit('auth.expiring', { inMs: Math.max(0, Math.round(leftMs)) })
    }
  }

  fellBehind(): void {
    for (const follower of this.followers.values()) {
      if (this.#hub.suspend(follower)) this.#resume.again(follower)
    }
  }

  stalled(): void {
    this.close('too_slow')
  }

  /** Asks its client to open another socket, and serves it until then. */
  move(afterMs: number): void {
    if (this.#closing || this.#moving) return
    this.#moving = true
    this.emit('drain', { afterMs })
  }

  /** Ends it, for a restart or because an operator has moved it, as soon as it has its answers. */
  retire(reason: 'draining' | 'moved' = 'draining'): void {
    if (this.#closing || this.#retiring !== undefined) return
    this.#retiring = reason
    this.#cut = setTimeout(() => this.close(reason), retireMs)
    this.answered()
  }

  /** An answer has left. */
  answered(): void {
    if (this.#retiring !== undefined && this.limits.idle) this.close(this.#retiring)
  }

  /** Says why, then closes: for a reason to come back so that a client does so by itself, else so that it stays away. */
  close(reason: CloseReason): void {
    if (this.#closing) return
    this.#closing = true
    this.closedFor = reason
    this.#buffer.letGo()
    this.emit('closing', { reason })
    // Socket.IO clients take a lost transport as a reason to come back, and the server's DISCONNECT packet as one not to.
    if (closeReasons[reason].comeBack) this.#socket.conn.close()
    else this.#socket.disconnect(true)
    clearTimeout(this.#cut)
    // Who does not read would not see a goodbye.
    this.#cut = setTimeout(() => this.#tcp.destroy(), reason === 'too_slow' ? 0 : closeMs)
  }

  /**
   * The engine has closed it. The connection below is ended, too, if the other side does not: the WebSocket would wait half a
   * minute for a farewell that a lost peer never sends.
   */
  release(): void {
    this.#closing = true
    if (this.#tcp.destroyed) clearTimeout(this.#cut)
    else {
      this.#cut ??= setTimeout(() => this.#tcp.destroy(), closeMs)
      this.#tcp.once('close', () => clearTimeout(this.#cut))
    }
    this.#buffer.release()
    for (const roomId of [...this.followers.keys()]) this.leave(roomId)
  }
}
