import type {
  ClientAnswer,
  ClientFrame,
  ClientFrameName,
  FrameContext,
  Handshake,
  ServerFrame,
} from '@atom/contract/socket.ts'
import { protocolVersion } from '@atom/contract/socket.ts'
import { AtomClientError, asAtomClientError } from '../atom-client-error.ts'
import type { Session } from '../session.ts'
import type { Surroundings } from '../surroundings.ts'
import type { Reconnect, Verdict } from './reconnect.ts'
import { type HeardFrame, Socket } from './socket.ts'

export type Cursors = NonNullable<Handshake['cursors']>

export interface LineState {
  readonly state: 'connecting' | 'connected' | 'suspended' | 'draining' | 'failed'
  readonly reason?: string
  /** When the next attempt is due, in ms since the epoch. */
  readonly retryAt?: number
}

/** A way to the server, whoever's socket it is. */
export interface Line {
  /** May be asked and answered now. */
  readonly connected: boolean
  /** @throws AtomClientError the server's refusal, or `offline`, `timeout` */
  request<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    withinMs: number,
    context?: FrameContext,
  ): Promise<ClientAnswer<N>>
  /** Try now, instead of when it is due; also after `failed`. */
  retryNow(): void
  /** The machine may have slept, or has a network again: does the line still stand? */
  lookAgain(): void
  close(): void
}

/** Where a line ends: in what this client does with it. */
export interface LineEnd {
  /** Where to resume from; asked before each attempt. */
  cursors(): Cursors
  become(state: LineState): void
  /** A socket is there; also where it takes over from one that still stood. */
  connected(hello: ServerFrame<'hello'>): void
  frame(frame: HeardFrame): void
  lost(): void
}

export interface LineParts {
  readonly url: string
  readonly session: Session
  readonly surroundings: Surroundings
  readonly policy: () => Reconnect
  readonly end: LineEnd
}

/** Whether the line still stands after sleep is asked, not waited for: Socket.IO would take 45 seconds. */
const probeWithinMs = 4_000
const renewWithinMs = 15_000
/** What an old socket still owes in answers it may take so long to say; after that it is asked again on the new one. */
const retireWithinMs = 5_000

/** The line over sockets of its own: opens one after the other, and sees to it that there is one. */
export class SocketLine implements Line {
  readonly #parts: LineParts
  readonly #deviceId: string
  readonly #closed = new AbortController()
  #socket: Socket | undefined
  #running = false
  #draining = false
  #opening = false
  #replaced: Socket | undefined
  #wake: (() => void) | undefined
  #dueAt: number | undefined

  constructor(parts: LineParts & { readonly deviceId: string; readonly again?: boolean }) {
    this.#parts = parts
    this.#deviceId = parts.deviceId
    void this.#run(parts.again === true ? 'suspended' : 'connecting')
  }

  get connected(): boolean {
    return this.#socket !== undefined
  }

  async request<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    withinMs: number,
    context?: FrameContext,
  ): Promise<ClientAnswer<N>> {
    if (this.#socket === undefined) throw new AtomClientError('offline')
    const socket = this.#socket
    try {
      return await socket.request(name, body, withinMs, context)
    } catch (thrown) {
      // A line that swallows questions may be half open, which Socket.IO would notice after 45 seconds.
      if (asAtomClientError(thrown).code === 'timeout' && this.#socket === socket) this.lookAgain()
      throw thrown
    }
  }

  retryNow(): void {
    if (this.#running) this.lookAgain()
    else if (!this.#closed.signal.aborted) void this.#run('connecting')
  }

  lookAgain(): void {
    const socket = this.#socket
    if (socket === undefined || this.#draining) {
      this.#wake?.()
      return
    }
    void this.#parts.session
      .accessToken()
      .then((token) => socket.request('auth.refresh', { token }, probeWithinMs))
      .catch((thrown: unknown) => {
        const { code } = asAtomClientError(thrown)
        // A half-open line: the operating system believes in it, nobody answers. Closing it makes the loop open another.
        if (code === 'timeout' || code === 'offline') socket.close()
      })
  }

  /** Somebody whose clock runs says that it is time: timers of a page in the background may be a minute late. */
  due(): void {
    if (this.#dueAt !== undefined && this.#dueAt <= Date.now()) this.#wake?.()
  }

  close(): void {
    this.#closed.abort()
    this.#drop()
  }

  /** Opens one socket after the other. The old one stays in use until the next one has said hello. */
  async #run(first: 'connecting' | 'suspended'): Promise<void> {
    this.#running = true
    const { signal } = this.#closed
    const policy = this.#parts.policy()
    this.#parts.end.become({ state: first })
    while (!signal.aborted) {
      this.#opening = true
      const opened = await this.#open(policy, signal)
      this.#opening = false
      if (this.#replaced !== undefined && opened.socket === undefined) this.#away(this.#replaced)
      this.#replaced = undefined
      if (signal.aborted) {
        opened.socket?.close()
        break
      }
      let verdict: Verdict
      if (opened.socket === undefined) {
        if (opened.error.code === 'unauthenticated' && this.#parts.session.state === 'signed_out') break
        verdict = policy.lost({ kind: 'refused', error: opened.error })
      } else {
        const { socket } = opened
        const old = this.#socket
        this.#socket = socket
        this.#draining = false
        old?.retire(retireWithinMs)
        policy.opened(socket.hello.spreadMs)
        this.#parts.end.become({ state: 'connected' })
        this.#parts.end.connected(socket.hello)
        const ended = await Promise.race([socket.lost, opened.drained])
        if (signal.aborted) break
        if ('afterMs' in ended) {
          this.#draining = true
          this.#parts.end.become({ state: 'draining' })
          // The server may close it long before the next one is due: it says how long it can do without.
          void socket.lost.then((loss) => {
            // A server that counts devices lets the old socket go when it sees the new one, a moment before its `hello`.
            const replaced = loss.kind === 'closed' && loss.reason === 'replaced'
            if (replaced && this.#opening) this.#replaced = socket
            else this.#away(socket)
          })
          await this.#sleep(ended.afterMs, signal)
          continue
        }
        this.#away(socket)
        if (ended.kind === 'closed' && ended.reason === 'token_expired')
          this.#parts.session.distrust(opened.token)
        verdict = policy.lost(ended)
      }
      if (!verdict.comeBack) {
        if (verdict.reason === 'session_revoked') this.#parts.session.ended()
        this.#drop()
        if (!signal.aborted) this.#parts.end.become({ state: 'failed', reason: verdict.reason })
        break
      }
      if (this.#socket === undefined)
        this.#parts.end.become({
          state: 'suspended',
          reason: verdict.reason,
          retryAt: Date.now() + verdict.afterMs,
        })
      await this.#sleep(verdict.afterMs, signal)
      while (!this.#parts.surroundings.online() && !signal.aborted) await this.#sleep(undefined, signal)
    }
    this.#running = false
  }

  async #open(policy: Reconnect, signal: AbortSignal): Promise<Opened> {
    const { session, end, url } = this.#parts
    let token: string | undefined
    try {
      // Before, not after: a token that is known to be stale would only be refused.
      token = await session.accessToken()
      let drain: (frame: { afterMs: number }) => void = () => undefined
      const drained = new Promise<{ readonly afterMs: number }>((resolve) => {
        drain = resolve
      })
      const socket = await Socket.open({
        url,
        auth: { token, deviceId: this.#deviceId, v: protocolVersion, cursors: end.cursors() },
        signal,
        heard: (frame) => {
          if (frame.name === 'drain') drain(frame.body)
          else if (frame.name === 'auth.expiring') void this.#renew()
          else if (frame.name === 'spread') policy.spread(frame.body.spreadMs)
          if (!signal.aborted) end.frame(frame)
        },
      })
      return { socket, drained, token }
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      if (token !== undefined && (error.code === 'token_expired' || error.code === 'unauthenticated'))
        session.distrust(token)
      return { socket: undefined, error }
    }
  }

  /** A new token for the living socket. Where that fails the server closes it, and the next attempt brings its own token. */
  async #renew(): Promise<void> {
    const { session } = this.#parts
    const stale = await session.accessToken().catch(() => undefined)
    if (stale !== undefined) session.distrust(stale)
    try {
      const token = await session.accessToken()
      await this.#socket?.request('auth.refresh', { token }, renewWithinMs)
    } catch (thrown) {
      const error = asAtomClientError(thrown)
      if (error.code === 'session_revoked') session.ended()
    }
  }

  #away(socket: Socket): void {
    if (this.#socket !== socket) return
    this.#socket = undefined
    if (this.#draining) {
      this.#draining = false
      this.#parts.end.become({
        state: 'suspended',
        reason: 'draining',
        ...(this.#dueAt === undefined ? {} : { retryAt: this.#dueAt }),
      })
    }
    this.#parts.end.lost()
  }

  #drop(): void {
    const socket = this.#socket
    if (socket === undefined) return
    this.#socket = undefined
    this.#draining = false
    socket.close()
    this.#parts.end.lost()
  }

  /** @param ms until woken where undefined */
  async #sleep(ms: number | undefined, signal: AbortSignal): Promise<void> {
    this.#dueAt = ms === undefined ? undefined : Date.now() + ms
    await new Promise<void>((resolve) => {
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
    this.#dueAt = undefined
  }
}

type Opened =
  | {
      readonly socket: Socket
      readonly drained: Promise<{ readonly afterMs: number }>
      readonly token: string
    }
  | { readonly socket: undefined; readonly error: AtomClientError }
