import type { Answer, Route } from '@atom/contract/route.ts'
import { Agents } from './agents.ts'
import { browserPage, Connections, type Page } from './connections.ts'
import { type CallRest, Http } from './http.ts'
import { Presence } from './presence.ts'
import { Outbox, type OutboxLine } from './realtime/outbox.ts'
import { indexedDbStorage } from './realtime/outbox-indexeddb.ts'
import { memoryStorage, type OutboxStorage } from './realtime/outbox-storage.ts'
import { Realtime } from './realtime/realtime.ts'
import type { Reconnect } from './realtime/reconnect.ts'
import { Rooms } from './rooms.ts'
import { Session } from './session.ts'
import { browserSurroundings, inBrowser, nodeSurroundings, type Surroundings } from './surroundings.ts'
import { browserTabs, loneTab, type Tabs } from './tabs.ts'
import { type TraceContext, traceContext } from './trace-context.ts'

export type { Decision } from './agents.ts'
export { isMessage, type RoomMessage } from './amendments.ts'
export { AtomClientError, type ClientErrorCode } from './atom-client-error.ts'
export type {
  AuthorizationOutcome,
  AuthorizationReturn,
  AuthorizationTrouble,
  AuthorizeOptions,
  Connections,
} from './connections.ts'
export type { CallParts, CallRest } from './http.ts'
export type { MessageProgress, Progress } from './message-progress.ts'
export type { Observable } from './observable.ts'
export type { ListSnapshot } from './observable-list.ts'
export type { Presence, PresenceSnapshot, PresenceState } from './presence.ts'
export type { Committed, OutgoingMessage } from './realtime/outbox.ts'
export { memoryStorage, type OutboxStorage, type OwedMessage } from './realtime/outbox-storage.ts'
export type { Realtime, RealtimeSnapshot } from './realtime/realtime.ts'
export type { Cursor, Draft } from './realtime/room-feed.ts'
export type { RoomReader } from './realtime/room-reader.ts'
export type { StretchSnapshot } from './room-stretch.ts'
export type { Edit, MemberRef, PinnedMessage, Room, RoomSnapshot, Rooms, Saying } from './rooms.ts'
export type { Session, SessionSnapshot } from './session.ts'

export interface AtomClientOptions {
  /** Where the server is, such as `http://127.0.0.1:3000`; in a browser this page's origin where absent. */
  readonly baseUrl?: string
  /** How the refresh token travels: an HttpOnly cookie in a browser, else the body. */
  readonly transport?: 'cookie' | 'body'
  /** Where unsent messages are kept: IndexedDB in a browser, else memory. Tabs that share a socket must share this too. */
  readonly storage?: OutboxStorage
  readonly fetch?: typeof fetch
  /** One per running client: the server lets a device have one socket. Random where absent. */
  readonly deviceId?: string
  /** The other tabs; those of this browser, or none in Node. */
  readonly tabs?: Tabs
  /** Network and visibility; those of this browser. */
  readonly surroundings?: Surroundings
  /** The page that consent opens windows from. */
  readonly page?: Page
  /**
   * For an application that traces itself: the W3C `traceparent` of what it does now, sent with each request, message and
   * other frame, so that the server's part of it stands in the same trace. Asked while the caller of this client still runs,
   * so a context that ends with the caller's turn is seen. A message keeps it until it is sent, from whichever tab. Nothing is
   * sent where absent, or where what it gives is none.
   */
  readonly traceparent?: TraceContext
  /** How to come back after the socket was lost; a new policy for each stay. */
  readonly reconnect?: () => Reconnect
}

/** Everything a person can do at an Atom server, from a browser or from Node. One per page. */
export class AtomClient implements Disposable {
  readonly session: Session
  readonly connections: Connections
  readonly rooms: Rooms
  readonly agents: Agents
  readonly realtime: Realtime
  /** Who is there, in the rooms that are looked at. */
  readonly presence: Presence
  readonly #outbox: Outbox
  readonly #tabs: Tabs
  readonly #release: (() => void)[]
  #accountId: string | undefined

  constructor(options: AtomClientOptions = {}) {
    const baseUrl = options.baseUrl ?? (inBrowser ? window.location.origin : undefined)
    if (baseUrl === undefined) throw new TypeError('AtomClient outside a browser needs a baseUrl')
    const transport = options.transport ?? (inBrowser ? 'cookie' : 'body')
    this.#tabs = options.tabs ?? (inBrowser ? browserTabs(baseUrl) : loneTab())
    // Wrapped: the platform's fetch refuses to be called as a method of something else.
    const fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
    const surroundings = options.surroundings ?? (inBrowser ? browserSurroundings : nodeSurroundings)
    const traceparent = traceContext(options.traceparent)
    const http = new Http({ baseUrl, transport, fetch, traceparent })
    this.session = new Session({ http, tabs: this.#tabs, transport })
    this.realtime = new Realtime({
      url: baseUrl,
      session: this.session,
      surroundings,
      tabs: this.#tabs,
      traceparent,
      deviceId: options.deviceId ?? Array.from(crypto.getRandomValues(new Uint32Array(4)), word).join(''),
      ...(options.reconnect === undefined ? {} : { policy: options.reconnect }),
    })
    this.presence = new Presence({ realtime: this.realtime, surroundings })
    this.#outbox = new Outbox({
      storage: options.storage ?? (inBrowser ? indexedDbStorage(`atom:${baseUrl}`) : memoryStorage()),
      tabs: this.#tabs,
      line: outboxLine(this.realtime),
      traceparent,
    })
    this.connections = new Connections({
      session: this.session,
      tabs: this.#tabs,
      page: options.page ?? (inBrowser ? browserPage : undefined),
    })
    this.rooms = new Rooms({
      session: this.session,
      realtime: this.realtime,
      outbox: this.#outbox,
      onEvents: (_, events) => {
        if (events.some(({ type }) => type === 'connection.changed')) this.connections.stale()
      },
    })
    this.agents = new Agents({ session: this.session })
    this.realtime.countPending(
      () => this.#outbox.pendingCount,
      (changed) => this.#outbox.subscribe(changed),
    )
    this.#release = [
      this.realtime.listen({ connected: () => this.#outbox.flush() }),
      this.session.subscribe(() => this.#follow()),
    ]
  }

  /**
   * Any route of the contract, as the person who is signed in; the access token is refreshed where needed.
   *
   * @throws AtomClientError the server's problem, or `offline`, `timeout`, `aborted`, `bad_answer`
   */
  call<R extends Route>(route: R, ...[parts]: CallRest<R>): Promise<Answer<R>> {
    return this.session.call(route, parts)
  }

  /** Leaves, quietly: the session stays, and so does what is owed, on this device. */
  close(): void {
    for (const release of this.#release) release()
    this.rooms.clear()
    this.presence.close()
    this.realtime.close()
    this.#outbox.close()
    this.connections.close()
    this.session.close()
    this.#tabs.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Who is signed in decides whose rooms, socket and unsent messages these are. */
  #follow(): void {
    const accountId = this.session.me?.account.id
    if (accountId === this.#accountId) {
      if (accountId !== undefined) this.realtime.start()
      return
    }
    const somebodyLeft = this.#accountId !== undefined
    this.#accountId = accountId
    if (somebodyLeft) {
      this.realtime.stop()
      this.#outbox.stop()
      this.rooms.clear()
      this.connections.clear()
    }
    if (accountId === undefined) return
    this.realtime.start()
    this.#outbox.start(accountId).then(
      () => {
        if (this.#outbox.pendingCount > 0) this.realtime.need()
      },
      (thrown: unknown) => console.error('Atom: what was left unsent could not be read', thrown),
    )
  }
}

/** One tab speaks for all; the others leave in the storage what they owe. */
function outboxLine(realtime: Realtime): OutboxLine {
  return {
    get connected() {
      return realtime.connected && realtime.leads
    },
    get lease() {
      return realtime.lease
    },
    request: (name, body, withinMs, context) => realtime.request(name, body, withinMs, context),
  }
}

function word(value: number): string {
  return value.toString(36)
}
