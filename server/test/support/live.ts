import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type Acknowledgement,
  type ClientFrame,
  type ClientFrameName,
  type RoomSignal,
  type ServerFrame,
  type ServerFrameName,
  serverFrames,
} from '@atom/contract/socket.ts'
import { io, type Socket } from 'socket.io-client'
import { Compile } from 'typebox/compile'
import type { AccountPrincipal } from '#access/principal.ts'
import { Revocations } from '#access/revocations.ts'
import { SigningKeyStore } from '#access/signing-key-store.ts'
import { AccessTokens, accessTokenLifetimeMs } from '#access/tokens.ts'
import { deleteTurns } from '#agents/agent-store.ts'
import type { Broadcast } from '#foundation/broadcast/broadcast.ts'
import { PostgresBroadcast } from '#foundation/broadcast/postgres.ts'
import { type Clock, systemClock } from '#foundation/clock.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { Notes } from '#foundation/database/notes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { callerAddress } from '#http/caller-address.ts'
import { CrossOrigin } from '#http/cross-origin.ts'
import { Neighbours } from '#realtime/neighbours.ts'
import { Presence, type PresenceOptions, type PresenceTimes } from '#realtime/presence.ts'
import { SocketServer, type SocketServerOptions } from '#realtime/socket-server.ts'
import { Amendments } from '#rooms/amendments.ts'
import { EndedRooms } from '#rooms/ended-rooms.ts'
import { MembershipNews } from '#rooms/membership-news.ts'
import { Messages, type MessagesOptions } from '#rooms/messages.ts'
import { Receipts } from '#rooms/receipts.ts'
import { Rooms } from '#rooms/rooms.ts'
import { Search } from '#rooms/search.ts'
import { Signals } from '#rooms/signals.ts'
import { Timeline } from '#rooms/timeline.ts'
// Not from `postgres.ts`: that begins a run of tests, whose hooks would be measured in benchmarks.
import { testLog } from './log.ts'

/** Every process of a test shares it, so that a token of one is good at the other. */
const keyring = parseKeyring('v1:cm9vbXMgYW5kIHNvY2tldHMgYXJlIHRlc3RlZCBoZXI', 'the test')
const issuer = 'http://127.0.0.1:3000'

export interface Live extends AsyncDisposable {
  readonly url: string
  readonly rooms: Rooms
  readonly messages: Messages
  readonly amendments: Amendments
  readonly search: Search
  readonly timeline: Timeline
  readonly signals: Signals
  readonly receipts: Receipts
  readonly notes: Notes
  readonly presence: Presence
  readonly revocations: Revocations
  readonly sockets: SocketServer
  readonly tokens: AccessTokens
  /** Ends all sockets at once, as a lost network does. */
  cut(): void
  /** A token of this person, with this long to live. */
  token(person: AccountPrincipal, livesMs?: number): Promise<string>
}

export type LiveOptions = Partial<
  Pick<
    SocketServerOptions,
    | 'deliverEveryMs'
    | 'bounds'
    | 'budget'
    | 'expiry'
    | 'drafts'
    | 'turns'
    | 'traffic'
    | 'admission'
    | 'drain'
    | 'entry'
    | 'failures'
    | 'tracing'
  >
> & { readonly times?: PresenceTimes; readonly working?: PresenceOptions['working'] } & {
  readonly recheckMs?: number
  readonly trustedProxies?: readonly string[]
  readonly people?: readonly AccountPrincipal[]
  readonly publishing?: Pick<MessagesOptions, 'traffic' | 'queue'>
  /** Carries events and signals; where absent, signals go over the database. */
  readonly broadcast?: Broadcast
  readonly patienceMs?: number
}

/** The rooms and their live door, as `app.ts` puts them together, on a port of their own. */
export async function startLive(database: Database, options: LiveOptions = {}): Promise<Live> {
  const release = new AsyncDisposableStack()
  const log = testLog
  const clock = systemClock
  const timeline = release.use(
    await Timeline.open({
      database,
      log,
      broadcast: options.broadcast,
      patienceMs: options.patienceMs,
      ...(options.recheckMs !== undefined && { recheckMs: options.recheckMs }),
    }),
  )
  const directory = {
    find: async (workspaceId: string, _kind: string, id: string) =>
      options.people?.find((person) => person.id === id && person.workspaceId === workspaceId),
  }
  const notes = release.use(await Notes.open({ database, log }))
  const membershipNews = release.use(new MembershipNews({ notes }))
  const rooms = new Rooms({ database, timeline, directory, news: membershipNews })
  const messages = release.use(new Messages({ database, timeline, log, ...options.publishing }))
  const amendments = new Amendments({ database, rooms, timeline })
  const search = release.use(new Search({ database, timeline, rooms, log }))
  release.use(new EndedRooms({ database, timeline, log, clearings: [deleteTurns] }))
  const broadcast = options.broadcast ?? release.use(await PostgresBroadcast.open({ database, log }))
  const signals = release.use(new Signals({ broadcast, log }))
  const receipts = release.use(new Receipts({ database, signals, notes, log }))
  const presence = release.use(
    await Presence.open({
      database,
      notes,
      timeline,
      rooms,
      working: options.working ?? (async () => []),
      log,
      ...(options.times && { times: options.times }),
    }),
  )
  const revocations = release.use(
    await Revocations.open({ database, clock, log, tokenLifetimeMs: accessTokenLifetimeMs }),
  )
  const tokens = await openTokens(database, revocations, clock)
  const neighbours = release.use(await Neighbours.open({ database, log }))
  const http = createServer((_request, response) => response.writeHead(404).end())
  const sockets = new SocketServer({
    http,
    rooms,
    messages,
    amendments,
    timeline,
    signals,
    tokens,
    revocations,
    receipts,
    membershipNews,
    presence,
    turns: { cancel: () => Promise.reject(new Error('no turn here')) },
    drafts: { open: () => [] },
    neighbours,
    addressOf: callerAddress(options.trustedProxies ?? []),
    crossOrigin: new CrossOrigin({ allowed: [], own: () => issuer }),
    clock,
    log,
    ...options,
  })
  const url = await listening(http)
  release.defer(() => closed(http))
  release.use(sockets)
  const connections = new Set<{ destroy(): void }>()
  http.on('connection', (connection) => {
    connections.add(connection)
    connection.once('close', () => connections.delete(connection))
  })
  return {
    url,
    rooms,
    messages,
    amendments,
    search,
    timeline,
    signals,
    receipts,
    notes,
    presence,
    revocations,
    sockets,
    tokens,
    cut: () => {
      for (const connection of connections) connection.destroy()
    },
    token: async (person, livesMs = accessTokenLifetimeMs) => {
      const earlier = { now: () => new Date(Date.now() - accessTokenLifetimeMs + livesMs) }
      const minted = await (await openTokens(database, revocations, earlier)).mint(person)
      return minted.accessToken
    },
    [Symbol.asyncDispose]: () => release.disposeAsync(),
  }
}

async function openTokens(database: Database, revocations: Revocations, clock: Clock): Promise<AccessTokens> {
  return await AccessTokens.open({
    store: new SigningKeyStore(database),
    envelope: new Envelope({ keyring }),
    revocations,
    clock,
    issuer: () => issuer,
  })
}

async function listening(http: Server): Promise<string> {
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}

async function closed(http: Server): Promise<void> {
  http.closeAllConnections()
  await new Promise((resolve) => http.close(resolve))
}

/** Somebody of a workspace, signed in. */
export function somebody(workspaceId: string = newId(), name = 'Ada'): AccountPrincipal {
  return { kind: 'account', id: newId(), workspaceId, role: 'member', sessionId: newId(), name }
}

/** A room with these people in it. */
export async function roomOf(
  database: Database,
  live: Live,
  ...people: readonly AccountPrincipal[]
): Promise<string> {
  const [first] = people
  if (first === undefined) throw new Error('a room needs somebody')
  const members = people.map(({ kind, id, name }) => ({ kind, id, name }))
  const room = await live.rooms.create(database, {
    workspaceId: first.workspaceId,
    name: 'The room',
    members,
    createdBy: first.id,
  })
  return room.id
}

const serverFrameChecks = new Map(
  Object.entries(serverFrames).map(([name, schema]) => [name, Compile(schema)] as const),
)

export type ReceivedFrame = {
  [N in ServerFrameName]: { readonly name: N; readonly frame: ServerFrame<N> }
}[ServerFrameName]

/** A plain Socket.IO client with nothing of Atom in it, that remembers what it was told and checks it by the contract. */
export class PlainClient implements Disposable {
  readonly socket: Socket
  readonly frames: ReceivedFrame[] = []
  readonly problems: string[] = []

  constructor(url: string, auth: object, options: object = {}) {
    this.socket = io(url, {
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
      auth,
      ...options,
    })
    this.socket.onAny((name: string, frame: unknown) => {
      if (serverFrameChecks.get(name)?.Check(frame) !== true)
        this.problems.push(`${name}: ${JSON.stringify(frame)}`)
      this.frames.push({ name, frame } as ReceivedFrame)
    })
  }

  get events(): ServerFrame<'room.events'>['events'] {
    return this.frames.flatMap((received) => (received.name === 'room.events' ? received.frame.events : []))
  }

  get signals(): RoomSignal[] {
    return this.frames.flatMap((received) => (received.name === 'room.signal' ? [received.frame] : []))
  }

  seqs(): number[] {
    return this.events.map((event) => event.seq)
  }

  texts(): string[] {
    return this.events.map((event) => ('text' in event ? event.text : event.type))
  }

  first<N extends ServerFrameName>(name: N): ServerFrame<N> | undefined {
    return this.frames.find((received) => received.name === name)?.frame as ServerFrame<N> | undefined
  }

  async ask<N extends ClientFrameName>(name: N, body: ClientFrame<N>): Promise<Acknowledgement<N>> {
    return (await this.socket.timeout(10_000).emitWithAck(name, body)) as Acknowledgement<N>
  }

  /** The same for what the contract does not know. */
  async askAnything(
    name: string,
    ...body: unknown[]
  ): Promise<{ ok: boolean; error?: { code: string; detail: string } }> {
    return await this.socket.timeout(10_000).emitWithAck(name, ...body)
  }

  async hello(): Promise<ServerFrame<'hello'>> {
    return await until(() => this.first('hello'), 'hello')
  }

  async refused(): Promise<{ code: string; detail: string; retryable: boolean }> {
    return await new Promise((resolve, reject) => {
      this.socket.once('connect_error', (error: Error & { data?: unknown }) =>
        resolve(error.data as { code: string; detail: string; retryable: boolean }),
      )
      this.socket.once('connect', () => reject(new Error('it was let in')))
    })
  }

  [Symbol.dispose](): void {
    this.socket.disconnect()
  }
}

/** Waits for a condition, not for a time: resolves with the first value that is neither undefined nor false. */
export async function until<T>(
  condition: () => T | undefined | false,
  what: string,
  withinMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const value = condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`did not happen within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** first, first + 1, … last */
export function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
}
