import type { accountRoutes, Me } from '@atom/contract/accounts.ts'
import type { Agent, Turn } from '@atom/contract/agents.ts'
import type {
  Connection,
  connectionRoutes,
  DisconnectReceipt,
  ProviderView,
} from '@atom/contract/connections.ts'
import type { Actor, Member, Room as RoomDescription, RoomEvent } from '@atom/contract/rooms.ts'
import type { Answer, Body, Params, Query, Route } from '@atom/contract/route.ts'
import type { AtomClientError } from './atom-client-error.ts'

export { AtomClientError, type ClientErrorCode } from './atom-client-error.ts'

type Needed<K extends string, V> = [V] extends [undefined]
  ? unknown
  : Record<never, never> extends V
    ? { [P in K]?: V }
    : { [P in K]: V }
export type CallParts<R extends Route> = Needed<'params', Params<R>> &
  Needed<'query', Query<R>> &
  Needed<'body', Body<R>> & { signal?: AbortSignal }
export type CallRest<R extends Route> =
  Record<never, never> extends CallParts<R> ? [parts?: CallParts<R>] : [parts: CallParts<R>]

/** What `useSyncExternalStore` needs; both may be passed without binding. */
export interface Observable<S> {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => S
}

export interface SessionSnapshot {
  readonly state: 'unknown' | 'signed_out' | 'signed_in'
  readonly me?: Me
}

export declare class Session implements Observable<SessionSnapshot> {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => SessionSnapshot
  get state(): SessionSnapshot['state']
  get me(): Me | undefined
  setup(body: Omit<Body<typeof accountRoutes.setup>, 'transport'>): Promise<Me>
  login(body: Omit<Body<typeof accountRoutes.login>, 'transport'>): Promise<Me>
  acceptInvitation(body: Omit<Body<typeof accountRoutes.acceptInvitation>, 'transport'>): Promise<Me>
  /** Takes the session up again after a reload, by the refresh cookie. Throws `offline` where the server is away. */
  resume(): Promise<SessionSnapshot>
  logout(): Promise<void>
}

/** `loading` until first fetched; `items` stay while a refetch runs or fails. */
export interface ListSnapshot<T> {
  readonly state: 'loading' | 'ready' | 'failed'
  readonly items: readonly T[]
  readonly error?: AtomClientError
}

export interface AuthorizeOptions {
  readonly mode: 'popup' | 'redirect'
  /** A path of the dashboard, `/connections` where absent. */
  readonly returnTo?: string
  readonly scopes?: readonly string[]
}

export interface AuthorizationReturn {
  /** Id of the connection that now is active. */
  readonly connected?: string
  /** An error code of the contract. */
  readonly problem?: string
}

export declare class Connections implements Observable<ListSnapshot<Connection>> {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => ListSnapshot<Connection>
  list(): Promise<readonly Connection[]>
  get(id: string): Promise<Connection>
  /**
   * Call it directly in the click handler (no await before): the window must open while the click counts. Popup: resolves
   * with the connection. Redirect: this page goes away. Throws consent_denied, popup_blocked, window_closed, ….
   */
  authorize(provider: string, options: AuthorizeOptions): Promise<Connection | undefined>
  /**
   * The page that a provider's consent returns to calls this once at start. It tells the page that is waiting, and closes
   * the window where it is our popup. Undefined where the address speaks of no return.
   */
  completeAuthorization(href?: string): AuthorizationReturn | undefined
  refresh(id: string): Promise<Connection>
  disconnect(id: string): Promise<DisconnectReceipt>
  providers(): Promise<readonly ProviderView[]>
  configureApp(provider: string, app: Body<typeof connectionRoutes.configureApp>): Promise<ProviderView>
  removeApp(provider: string): Promise<void>
  openSandbox(): Promise<void>
}

export interface OutgoingMessage {
  readonly clientId: string
  readonly text: string
  readonly state: 'pending' | 'failed'
  readonly error?: AtomClientError
  /** RFC 3339: when the person sent it. */
  readonly at: string
}

export interface Draft {
  readonly turnId: string
  readonly messageId: string
  readonly actor: Actor
  readonly text: string
  readonly attempt: number
}

export interface RoomSnapshot {
  /** In order, without gaps, from `loadedFrom` on. */
  readonly events: readonly RoomEvent[]
  /** Mine, that are not in `events` yet. */
  readonly outgoing: readonly OutgoingMessage[]
  /** Answers being written, by message id. */
  readonly drafts: ReadonlyMap<string, Draft>
  readonly typing: readonly Actor[]
  /** `seq` of the newest event that is known of. */
  readonly head: number
  /** Lowest seq held; 0 while nothing is. */
  readonly loadedFrom: number
  /** There is more before `loadedFrom`. */
  readonly hasOlder: boolean
  /** How far I have read. */
  readonly readSeq: number
  readonly description?: RoomDescription
  /** `stale`: what is shown may be behind, because the socket is away or catching up. */
  readonly state: 'loading' | 'live' | 'stale' | 'failed'
  readonly error?: AtomClientError
}

export declare class Room implements Observable<RoomSnapshot> {
  readonly id: string
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => RoomSnapshot
  /** Joins and stays joined until disposed; counted, so that two views may hold it. */
  open(): Disposable
  /** Kept on this device before it is sent; resolves when it is committed. */
  send(text: string): Promise<{ id: string; seq: number }>
  retry(clientId: string): Promise<void>
  discard(clientId: string): Promise<void>
  loadOlder(): Promise<void>
  markRead(seq: number): void
  typing(): void
  addMember(member: { kind: 'account' | 'agent'; id: string }): Promise<Member>
  /** Every event after `after` (where absent: after the newest one), in order, once. Throws `timeline_reset`. */
  events(options?: { after?: number; signal?: AbortSignal }): AsyncIterable<RoomEvent>
}

export declare class Rooms implements Observable<ListSnapshot<RoomDescription>> {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => ListSnapshot<RoomDescription>
  list(): Promise<readonly RoomDescription[]>
  create(name: string): Promise<RoomDescription>
  /** The same object for the same id. */
  room(id: string): Room
}

export declare class Agents {
  list(): Promise<readonly Agent[]>
  turn(id: string): Promise<Turn>
  cancelTurn(id: string): Promise<void>
  decide(
    approvalId: string,
    decision: { decision: 'approve' | 'deny'; edits?: Record<string, string>; reason?: string },
  ): Promise<'approved' | 'denied'>
}

export interface RealtimeSnapshot {
  readonly state: 'idle' | 'connecting' | 'connected' | 'suspended' | 'draining' | 'closed' | 'failed'
  /** Why, where it is suspended or failed: a code of the contract, `offline`, …. */
  readonly reason?: string
  /** When the next attempt is due, in ms since the epoch; only while suspended with a network. */
  readonly retryAt?: number
  /** Messages on this device that no acknowledgement has come for, of all rooms. */
  readonly pendingCount: number
}

export declare class Realtime implements Observable<RealtimeSnapshot> {
  readonly subscribe: (listener: () => void) => () => void
  readonly getSnapshot: () => RealtimeSnapshot
  /** Try now instead of at `retryAt`. */
  retryNow(): void
}

export interface OwedMessage {
  /** Given by the storage, rising: the order of sending. */
  readonly order: number
  readonly clientId: string
  readonly accountId: string
  readonly roomId: string
  readonly text: string
  readonly at: string
  readonly error?: { readonly code: string; readonly detail: string; readonly retryable: boolean }
}

/** Where owed messages stay until the server has them. */
export interface OutboxStorage {
  /** Resolves when it will survive. Returns what was stored, with its order. */
  add(message: Omit<OwedMessage, 'order'>): Promise<OwedMessage>
  /** Replaces the one of the same clientId; nothing where it is gone. */
  update(message: OwedMessage): Promise<void>
  remove(clientId: string): Promise<void>
  /** Of this account, in order. */
  list(accountId: string): Promise<OwedMessage[]>
  close(): void
}

export interface AtomClientOptions {
  /** Where the server is; this page's origin where absent. */
  readonly baseUrl?: string
  /** How the refresh token travels; `cookie` in a browser, else `body`. */
  readonly transport?: 'cookie' | 'body'
  /** IndexedDB in a browser, else memory. */
  readonly storage?: OutboxStorage
  readonly fetch?: typeof fetch
  readonly deviceId?: string
}

export declare class AtomClient implements Disposable {
  constructor(options?: AtomClientOptions)
  readonly session: Session
  readonly connections: Connections
  readonly rooms: Rooms
  readonly agents: Agents
  readonly realtime: Realtime
  call<R extends Route>(route: R, ...rest: CallRest<R>): Promise<Answer<R>>
  /** Leaves; what is owed stays on this device. */
  close(): void
  [Symbol.dispose](): void
}
