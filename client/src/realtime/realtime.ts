import type {
  ClientAnswer,
  ClientFrame,
  ClientFrameName,
  FrameContext,
  ServerFrame,
} from '@atom/contract/socket.ts'
import { socketLimits } from '@atom/contract/socket.ts'
import { AtomClientError } from '../atom-client-error.ts'
import { ObservableState } from '../observable.ts'
import type { Session } from '../session.ts'
import type { Surroundings } from '../surroundings.ts'
import { loneTab, type Tabs } from '../tabs.ts'
import { type TraceContext, traceContext } from '../trace-context.ts'
import { Reconnect } from './reconnect.ts'
import { SharedLine } from './shared-line.ts'
import type { HeardFrame } from './socket.ts'
import { type Cursors, type LineEnd, SocketLine } from './socket-line.ts'

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

/** A page that was hidden for longer may have slept: whether the line still stands is then asked. */
const probeAfterHiddenMs = 30_000
const requestWithinMs = 15_000

/**
 * The live line to the server: there is one from when somebody needs it until nobody does. In Node it is a socket of its own;
 * in a browser the tabs share one, and what is said here is true whichever tab has it.
 */
export class Realtime extends ObservableState<RealtimeSnapshot> {
  readonly #url: string
  readonly #session: Session
  readonly #surroundings: Surroundings
  readonly #deviceId: string
  readonly #tabs: Tabs
  readonly #policy: () => Reconnect
  readonly #traceparent: TraceContext
  readonly #listeners = new Set<SocketListener>()
  readonly #unwatch: () => void
  #pendingCount: () => number = () => 0
  #state: State = 'idle'
  #reason: string | undefined
  #retryAt: number | undefined
  #line: SocketLine | SharedLine | undefined
  #needed = false
  #hiddenAt: number | undefined

  constructor(parts: {
    url: string
    session: Session
    surroundings: Surroundings
    deviceId: string
    tabs?: Tabs
    policy?: () => Reconnect
    traceparent?: TraceContext
  }) {
    super()
    this.#traceparent = parts.traceparent ?? traceContext(undefined)
    this.#url = parts.url
    this.#session = parts.session
    this.#surroundings = parts.surroundings
    this.#deviceId = parts.deviceId
    this.#tabs = parts.tabs ?? loneTab()
    this.#policy = parts.policy ?? (() => new Reconnect())
    this.#unwatch = parts.surroundings.watch((happening) => {
      if (happening === 'hidden') this.#hiddenAt = Date.now()
      if (happening === 'offline') this.changed()
      if (happening === 'online' || happening === 'thawed') this.#line?.lookAgain()
      if (happening === 'visible') {
        const hiddenFor = this.#hiddenAt === undefined ? 0 : Date.now() - this.#hiddenAt
        this.#hiddenAt = undefined
        if (!this.connected || hiddenFor > probeAfterHiddenMs) this.#line?.lookAgain()
      }
    })
  }

  /** May be asked and answered now. */
  get connected(): boolean {
    return this.#line?.connected ?? false
  }

  /** This tab has the socket, and does what one tab does for all. */
  get leads(): boolean {
    return this.#line instanceof SocketLine || this.#line?.lease !== undefined
  }

  /** Names this tab's lead among the tabs; undefined where it has none, or is alone. */
  get lease(): string | undefined {
    return this.#line instanceof SharedLine ? this.#line.lease : undefined
  }

  /** Try now, instead of at `retryAt`; also after `failed`. */
  retryNow(): void {
    if (this.#line === undefined) this.start()
    else this.#line.retryNow()
  }

  /** From now on there shall be a socket, as long as somebody is signed in. */
  need(): void {
    this.#needed = true
    this.start()
  }

  /** Begins, where a socket is needed; a no-op where it runs already. */
  start(): void {
    if (!this.#needed || this.#line !== undefined || this.#state === 'closed') return
    const accountId = this.#session.me?.account.id
    if (accountId === undefined) return
    const { lead } = this.#tabs
    const parts = {
      url: this.#url,
      session: this.#session,
      surroundings: this.#surroundings,
      deviceId: this.#deviceId,
      policy: this.#policy,
      end: this.#end(),
    }
    this.#line =
      lead === undefined
        ? new SocketLine(parts)
        : new SharedLine({ ...parts, tabs: this.#tabs, lead, topic: `line:${accountId}` })
  }

  /** The person has left; the next `start` serves the next one. */
  stop(): void {
    this.#hangUp()
    if (this.#state !== 'closed') this.#become('idle')
  }

  close(): void {
    this.#unwatch()
    this.#hangUp()
    this.#become('closed')
  }

  listen(listener: SocketListener): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  /**
   * @param context where absent, the trace in which the caller is
   * @throws AtomClientError the server's refusal, or `offline`, `timeout`
   */
  async request<N extends ClientFrameName>(
    name: N,
    body: ClientFrame<N>,
    withinMs: number = requestWithinMs,
    context: FrameContext = this.#context(),
  ): Promise<ClientAnswer<N>> {
    if (this.#line === undefined) throw new AtomClientError('offline')
    return await this.#line.request(name, body, withinMs, context)
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

  #context(): FrameContext {
    const traceparent = this.#traceparent()
    return traceparent === undefined ? {} : { traceparent }
  }

  #end(): LineEnd {
    return {
      cursors: () => this.#cursors(),
      become: ({ state, reason, retryAt }) => this.#become(state, reason, retryAt),
      connected: (hello) => {
        for (const listener of [...this.#listeners]) listener.connected?.(hello)
      },
      frame: (frame) => {
        for (const listener of [...this.#listeners]) listener.frame?.(frame)
      },
      lost: () => {
        for (const listener of [...this.#listeners]) listener.lost?.()
      },
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

  #hangUp(): void {
    const line = this.#line
    this.#line = undefined
    line?.close()
  }

  #become(state: State, reason?: string, retryAt?: number): void {
    this.#state = state
    this.#reason = reason
    this.#retryAt = retryAt
    this.changed()
  }
}
