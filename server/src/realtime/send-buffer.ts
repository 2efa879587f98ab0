import type { Duplex } from 'node:stream'
import type { Socket } from 'socket.io'
import type { EncodedFrame } from './encoded-frame.ts'
import type { SocketTraffic } from './socket-traffic.ts'

export interface BufferBounds {
  /** Unsent beyond this: signals are dropped. In UTF-16 code units, which is bytes for nearly all frames. */
  readonly soft: number
  /** Unsent beyond this: live events stop, and the socket resumes from its cursor when it has caught up. */
  readonly hard: number
  /** A socket that has read nothing for this long while it was over the soft bound is closed. */
  readonly stalledMs: number
}

export const defaultBounds: BufferBounds = { soft: 256 * 1024, hard: 1024 * 1024, stalledMs: 30_000 }

type Conn = Socket['conn']

/** A database that is slow keeps nobody waiting longer for the word that the socket is connected. */
const longestHoldMs = 100

export interface Reader {
  /** Over the hard bound: stop live events. */
  fellBehind(): void
  stalled(): void
}

/**
 * What one socket has not sent yet. Engine.IO keeps it without any bound, and the WebSocket's own `bufferedAmount` does not
 * show it: packets wait in `conn.writeBuffer` until the batch before them has left. So they are counted here on their way in
 * and out: created → waiting → (flush) → leaving → (the transport is ready again) → gone.
 *
 * Where nothing waits anywhere a frame is written to the connection itself: what the engine does for each packet costs as much
 * again as the write. The last such frame is not counted while the kernel has not taken all of it; the ones after it are.
 */
export class SendBuffer {
  readonly #conn: Conn
  readonly #tcp: Duplex
  readonly #bounds: BufferBounds
  readonly #reader: Reader
  readonly #traffic: SocketTraffic
  #waiting = 0
  #leaving = 0
  #crowded = false
  #behind = false
  #held: boolean
  #holding: NodeJS.Timeout | undefined
  #stall: NodeJS.Timeout | undefined
  /** Pings of Engine.IO that were sent, and how many of them were answered: in order, as everything on a connection. */
  #pinged = 0
  #ponged = 0
  #asked: { readonly after: number; readonly arrived: () => void }[] | undefined
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined

  /** `tcp`: the connection that the WebSocket of `conn` is on. */
  constructor(conn: Conn, tcp: Duplex, bounds: BufferBounds, reader: Reader, traffic: SocketTraffic) {
    this.#conn = conn
    this.#tcp = tcp
    this.#bounds = bounds
    this.#reader = reader
    this.#traffic = traffic
    conn.on('packetCreate', this.#created)
    conn.on('flush', this.#flushed)
    conn.transport.on('ready', this.#ready)
    conn.on('heartbeat', this.#pong)
    this.#held = tcp.writableCorked > 0
    if (this.#held) this.#holding = setTimeout(() => this.letGo(), longestHoldMs)
  }

  /** Signals are dropped. */
  get crowded(): boolean {
    return this.#crowded
  }

  get unsent(): number {
    return this.#waiting + this.#leaving
  }

  /** Live events are stopped. */
  get behind(): boolean {
    return this.#behind
  }

  /** In the order of all that is sent to this socket. To one that is closing nothing is. */
  send(frame: EncodedFrame): void {
    const { readyState, transport } = this.#conn
    const tcp = this.#tcp
    // The engine has handed over all it had, and the connection has passed on all it was handed.
    if (readyState === 'open' && transport.writable && tcp.writableLength === 0 && tcp.writable) {
      this.#traffic.framesOut++
      tcp.write(frame.bytes)
    } else this.#conn.write(frame.packet, frame.options)
  }

  /**
   * The first frame to a socket whose connection holds back what the engine has sent it (`holdBack`): both leave in one write.
   * To any other it is sent.
   */
  greet(frame: EncodedFrame): void {
    if (this.#held && this.#conn.readyState === 'open' && this.#tcp.writable && waitsFor(this.#conn) === 0) {
      this.#traffic.framesOut++
      this.#tcp.write(frame.bytes)
    } else this.send(frame)
    this.letGo()
  }

  /** What is held back leaves now. */
  letGo(): void {
    if (!this.#held) return
    this.#held = false
    clearTimeout(this.#holding)
    this.#holding = undefined
    this.#tcp.uncork()
  }

  /**
   * Asks the client for an echo, which it gives when it has everything that was handed over before: a ping of Engine.IO, which
   * every client of it answers by itself. Two bytes each way. `arrived` is not called where the connection ends before.
   */
  echo(arrived: () => void): void {
    if (this.#conn.readyState !== 'open') return
    this.#asked ??= []
    this.#asked.push({ after: this.#pinged + 1, arrived })
    // Engine.IO sends its own ones by this method, and offers no other way.
    const engine = this.#conn as unknown as { sendPacket(type: 'ping'): void }
    engine.sendPacket('ping')
  }

  /** Resolves when it is below the soft bound, or closed. */
  async room(): Promise<void> {
    if (!this.#crowded) return
    if (this.#room === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#room = { promise, resolve }
    }
    await this.#room.promise
  }

  release(): void {
    this.letGo()
    this.#conn.off('packetCreate', this.#created)
    this.#conn.off('flush', this.#flushed)
    this.#conn.off('heartbeat', this.#pong)
    this.#asked = undefined
    this.#conn.transport.off('ready', this.#ready)
    clearTimeout(this.#stall)
    this.#crowded = false
    this.#room?.resolve()
    this.#room = undefined
  }

  readonly #created = (packet: { readonly type?: string; readonly data?: unknown }): void => {
    if (packet.type === 'message') this.#traffic.framesOut++
    else if (packet.type === 'ping') this.#pinged++
    this.#waiting += typeof packet.data === 'string' ? packet.data.length : 0
    const { unsent } = this
    if (unsent > this.#bounds.soft && !this.#crowded) {
      this.#crowded = true
      // Whoever waits for its pages gets nothing live, and never comes to the hard bound.
      this.#stall = setTimeout(() => this.#reader.stalled(), this.#bounds.stalledMs)
      this.#traffic.slow.add('crowded')
    }
    if (unsent > this.#bounds.hard && !this.#behind) {
      this.#behind = true
      this.#traffic.slow.add('behind')
      this.#reader.fellBehind()
    }
  }

  readonly #pong = (): void => {
    // One that answers nothing says nothing.
    if (this.#ponged < this.#pinged) this.#ponged++
    while (this.#asked?.[0] !== undefined && this.#asked[0].after <= this.#ponged)
      this.#asked.shift()?.arrived()
  }

  readonly #flushed = (): void => {
    // A batch is handed over only when the one before it has left.
    this.#leaving = this.#waiting
    this.#waiting = 0
  }

  readonly #ready = (): void => {
    // The engine listens too, and came first: where it has handed over the next batch, that one is leaving now.
    if (this.#conn.transport.writable) this.#leaving = 0
    this.#stall?.refresh()
    if (this.unsent > this.#bounds.soft || !this.#crowded) return
    clearTimeout(this.#stall)
    this.#stall = undefined
    this.#crowded = false
    this.#behind = false
    this.#room?.resolve()
    this.#room = undefined
  }
}

/**
 * Holds back what the engine sends to a socket that is about to be connected, so that the word that it is, and the greeting,
 * leave in one piece: writing is the larger part of what a handshake costs. `SendBuffer` lets it go.
 */
export function holdBack(conn: Conn, tcp: Duplex): void {
  if (conn.transport.writable && tcp.writableLength === 0) tcp.cork()
}

/** Packets that the engine has not handed over yet: public in all but its types. */
function waitsFor(conn: Conn): number {
  return (conn as unknown as { readonly writeBuffer: readonly unknown[] }).writeBuffer.length
}
