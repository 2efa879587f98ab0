import type {
  ClientAnswer,
  ClientFrame,
  ClientFrameName,
  Handshake,
  ServerFrame,
} from '@atom/contract/socket.ts'
import { protocolVersion, socketLimits } from '@atom/contract/socket.ts'
import { AtomClientError, asAtomClientError } from '../atom-client-error.ts'
import { ObservableState } from '../observable.ts'
import type { Session } from '../session.ts'
import type { Surroundings } from '../surroundings.ts'
import { Reconnect } from './reconnect.ts'
import { type HeardFrame, Socket } from './socket.ts'

export interface RealtimeSnapshot {
  /**
   * `idle`: nobody needs a socket. `connecting`: the first attempt runs. `suspended`: the socket is away and will come back.
   * `draining`: the server is about to stop; the old socket still carries while a new one is opened. `failed`: it will not
   * come back by itself. `closed`: this client was closed.
   */
  readonly state: 'idle' | 'connecting' | 'connected' | 'suspended' | 'draining' | 'closed' | 'failed'
  /** Why, where it is suspended or failed: a code of the contract, `offline`, …. */
  readonly reason?: string
  /** When the next attempt is due, in ms since the epoch; only while suspended with a network. */
  readonly retryAt?: number
  /** Messages on this device that no acknowledgement has come for, in all rooms. */
  readonly pendingCount: number
}

type Cursors = NonNullable<Handshake['cursors']>

/** Who wants to hear of the socket. */
export interface SocketListener {
  /** Where to resume from; asked before each attempt. */
  cursors?(): Cursors
  /** A socket is there. What `hello.rooms` names is joined already. */
  connected?(hello: ServerFrame<'hello'>): void
  frame?(frame: HeardFrame): void
  /** The socket is away. */
  lost?(): void
}

type State = RealtimeSnapshot['state']

/** The machine may have slept: whether the line still stands is asked, not waited for (Socket.IO would take 45 seconds). */
const probeAfterHiddenMs = 30_000
const probeWithinMs = 4_000
const requestWithinMs = 15_000

/** The live line to the server: opens a socket when somebody needs one, and sees to it that there is one until nobody does. */
export class Realtime extends ObservableState<RealtimeSnapshot> {
  readonly #url: string
  readonly #session: Session
  readonly #surroundings: Surroundings
  readonly #deviceId: string
  readonly #policy: () => Reconnect
  readonly #listeners = new Set<SocketListener>()
  readonly #unwatch: () => void
  #pendingCount: () => number = () => 0
  #state: State = 'idle'
  #reason: string | undefined
  #retryAt: number | undefined
  #socket: Socket | undefined
  #needed = false
  #running: AbortController | undefined
  #wake: (() => void) | undefined
  #hiddenAt: number | undefined

  constructor(parts: {
    url: string
    session: Session
    surroundings: Surroundings
    deviceId: string
    policy?: () => Reconnect
  }) {
    super()
    this.#url = parts.url
    this.#session = parts.session
    this.#surroundings = parts.surroundings
    this.#deviceId = parts.deviceId
    this.#policy = parts.policy ?? (() => new Reconnect())
    this.#unwatch = parts.surroundings.watch((happening) => {
      if (happening === 'hidden') this.#hiddenAt = Date.now()
      if (happening === 'offline') this.changed()
      if (happening === 'online') this.#lookAgain()
      if (happening === 'visible') {
        const hiddenFor = this.#hiddenAt === undefined ? 0 : Date.now() - this.#hiddenAt
        this.#hiddenAt = undefined
        if (this.#socket === undefined || hiddenFor > probeAfterHiddenMs) this.#lookAgain()
      }
    })
  }

  /** May be asked and answered now. */
  get connected(): boolean {
    return this.#socket !== undefined
  }

  /** Try now, instead of at `retryAt`; also after `failed`. */
  retryNow(): void {
    if (this.#state === 'failed') this.start()
    else this.#lookAgain()
  }

  /** From now on there shall be a socket, as long as somebody is signed in. */
  need(): void {
    this.#needed = true
    if (this.#running === undefined && this.#state === 'idle') this.start()
  }

  /** Begins, where a socket is needed; a no-op where it runs already. */
  start(): void {
    if (!this.#needed || this.#running !== undefined || this.#state === 'closed') return
    if (this.#session.state !== 'signed_in') return
    const running = new AbortController()
    this.#running = running
    void this.#run(running.signal).finally(() => {
      if (this.#running === running) this.#running = undefined
    })
  }

  /** The person has left; the next `start` serves the next one. */
  stop(): void {
    this.#halt()
    if (this.#state !== 'closed') this.#become('idle')
  }

  close(): void {
    this.#unwatch()
    this.#halt()
    this.#become('closed')
  }

  listen(listener: SocketListener): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /** @throws AtomClientError the server's refusal, or `offline`, `timeout` */
  async request<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    withinMs: number = requestWithinMs,
  ): Promise<ClientAnswer<N>> {
    const socket = this.#socket
    if (socket === undefined) throw new AtomClientError('offline')
    try {
      return await socket.request(name, body, withinMs)
    } catch (thrown) {
      // A line that swallows questions may be half open, which Socket.IO would notice after 45 seconds.
      if (asAtomClientError(thrown).code === 'timeout' && this.#socket === socket) this.#lookAgain()
      throw thrown
    }
  }

  /** @param count how many messages are owed, asked when a snapshot is composed */
  countPending(count: () => number, watch: (changed: () => void) => void): void {
    this.#pendingCount = count
    watch(() => this.changed())
    this.changed()
  }

  protected override compose(): RealtimeSnapshot {
    const away = this.#state === 'suspended' && !this.#surroundings.online()
    const reason = away ? 'offline' : this.#reason
    return {
      state: this.#state,
      pendingCount: this.#pendingCount(),
      ...(reason === undefined ? {} : { reason }),
      ...(this.#retryAt === undefined || away ? {} : { retryAt: this.#retryAt }),
    }
  }

  /** Opens one socket after the other. The old one stays in use until the next one has said hello. */
  async #run(signal: AbortSignal): Promise<void> {
    const policy = this.#policy()
    this.#become('connecting')
    while (!signal.aborted) {
      const opened = await this.#open(signal)
      if (signal.aborted) {
        if (opened.socket !== undefined) opened.socket.close()
        return
      }
      let verdict: ReturnType<Reconnect['lost']>
      if (opened.socket === undefined) {
        if (opened.error.code === 'unauthenticated' && this.#session.state === 'signed_out') return
        verdict = policy.lost({ kind: 'refused', error: opened.error })
      } else {
        const old = this.#socket
        this.#socket = opened.socket
        old?.close()
        policy.opened(opened.socket.hello.spreadMs)
        this.#become('connected')
        for (const listener of [...this.#listeners]) listener.connected?.(opened.socket.hello)
        const drained = opened.drained
        const end = await Promise.race([opened.socket.lost, drained])
        if (signal.aborted) return
        if ('afterMs' in end) {
          this.#become('draining')
          void opened.socket.lost.then(() => this.#away(opened.socket))
          await this.#sleep(end.afterMs, signal)
          continue
        }
        this.#away(opened.socket)
        if (end.kind === 'closed' && end.reason === 'token_expired') this.#session.distrust(opened.token)
        verdict = policy.lost(end)
      }
      if (!verdict.comeBack) {
        if (verdict.reason === 'session_revoked') this.#session.ended()
        this.#become('failed', verdict.reason)
        return
      }
      if (this.#socket === undefined) this.#become('suspended', verdict.reason, Date.now() + verdict.afterMs)
      await this.#sleep(verdict.afterMs, signal)
      while (!this.#surroundings.online() && !signal.aborted) await this.#sleep(undefined, signal)
    }
  }

  async #open(signal: AbortSignal): Promise<Opened> {
    let token: string | undefined
    try {
      // Before, not after: a token that is known to be stale would only be refused.
      token = await this.#session.accessToken()
      let drain: (frame: { afterMs: number }) => void = () => undefined
      const drained = new Promise<{ readonly afterMs: number }>((resolve) => {
        drain = resolve
      })
      const socket = await Socket.open({
        url: this.#url,
        auth: { token, deviceId: this.#deviceId, v: protocolVersion, cursors: this.#cursors() },
        signal,
        heard: (frame) => {
          if (frame.name === 'drain') drain(frame.body)
          else if (frame.name === 'auth.expiring') void this.#renew()
          for (const listener of [...this.#listeners]) listener.frame?.(frame)
        },
      })
      return { socket, drained, token }
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      if (token !== undefined && (error.code === 'token_expired' || error.code === 'unauthenticated'))
        this.#session.distrust(token)
      return { socket: undefined, error }
    }
  }

  #cursors(): Cursors {
    const cursors: Cursors = {}
    let room = socketLimits.cursors
    for (const listener of this.#listeners) {
      for (const [roomId, cursor] of Object.entries(listener.cursors?.() ?? {})) {
        if (room-- > 0) cursors[roomId] = cursor
      }
    }
    return cursors
  }

  /** A new token for the living socket. Where that fails the server closes it, and the next attempt brings its own token. */
  async #renew(): Promise<void> {
    const stale = await this.#session.accessToken().catch(() => undefined)
    if (stale !== undefined) this.#session.distrust(stale)
    try {
      const token = await this.#session.accessToken()
      await this.#socket?.request('auth.refresh', { token }, requestWithinMs)
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      if (error.code === 'session_revoked') this.#session.ended()
    }
  }

  /** The network or the person is back: does the line still stand? */
  #lookAgain(): void {
    const socket = this.#socket
    if (socket === undefined || this.#state === 'draining') {
      this.#wake?.()
      return
    }
    void this.#session
      .accessToken()
      .then((token) => socket.request('auth.refresh', { token }, probeWithinMs))
      .catch((thrown: unknown) => {
        const { code } = asAtomClientError(thrown)
        // A half-open line: the operating system believes in it, nobody answers. Closing it makes the loop open another.
        if (code === 'timeout' || code === 'offline') socket.close()
      })
  }

  #away(socket: Socket): void {
    if (this.#socket !== socket) return
    this.#socket = undefined
    if (this.#state === 'draining') this.#become('suspended', 'draining')
    for (const listener of [...this.#listeners]) listener.lost?.()
  }

  #halt(): void {
    this.#running?.abort()
    this.#running = undefined
    const socket = this.#socket
    if (socket === undefined) return
    this.#socket = undefined
    socket.close()
    for (const listener of [...this.#listeners]) listener.lost?.()
  }

  /** @param ms until woken where undefined */
  #sleep(ms: number | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        if (this.#wake === done) this.#wake = undefined
        resolve()
      }
      const timer = ms === undefined ? undefined : setTimeout(done, ms)
      this.#wake = done
      signal.addEventListener('abort', done)
      if (signal.aborted) done()
    })
  }

  #become(state: State, reason?: string, retryAt?: number): void {
    this.#state = state
    this.#reason = reason
    this.#retryAt = retryAt
    this.changed()
  }
}

type Opened =
  | {
      readonly socket: Socket
      readonly drained: Promise<{ readonly afterMs: number }>
      readonly token: string
    }
  | { readonly socket: undefined; readonly error: AtomClientError }
