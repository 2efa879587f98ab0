import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Role } from '@atom/contract/accounts.ts'
import type { Connection } from '@atom/contract/connections.ts'
import { pino } from 'pino'
import { createGuards } from '#access/guarded-route.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import { Revocations } from '#access/revocations.ts'
import { SigningKeyStore } from '#access/signing-key-store.ts'
import { AccessTokens, accessTokenLifetimeMs } from '#access/tokens.ts'
import type { SandboxOffer } from '#connections/apps.ts'
import { type ConnectionRoom, createConnectionRoom } from '#connections/connection-room.ts'
import type { RefreshCheckpoint } from '#connections/refresh/token-refresh.ts'
import { type Clock, systemClock } from '#foundation/clock.ts'
import type { DataKeyCache } from '#foundation/crypto/data-key-cache.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { type Keyring, parseKeyring } from '#foundation/crypto/keyring.ts'
import type { Database } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { createOutbound, type Outbound } from '#foundation/outbound.ts'
import { createHttpServer } from '#http/server.ts'
import type { Provider } from '#providers/provider.ts'
import { noStandIns, placed, type StandIns } from '#providers/stand-in.ts'

export interface HouseOptions {
  readonly database: Database
  readonly sandbox: SandboxOffer | undefined
  /** Origins on loopback that may be called. */
  readonly reach: readonly string[]
  readonly clock?: Clock
  /** The origin people use, where it is not the one that the house listens on. */
  readonly publicUrl?: string
  /** Where real addresses lead in place of the internet, for what only an operator's own app does. */
  readonly detour?: StandIns
  /** Shared between houses that are processes of one installation. */
  readonly keyring?: Keyring
  /** Shared with an earlier process of the same installation; else one of its own. */
  readonly dataDir?: string
  readonly refresh?: {
    readonly leaseSeconds?: number
    readonly checkpoint?: (name: RefreshCheckpoint) => void
  }
  readonly dataKeys?: DataKeyCache
  /** Other providers than those that Atom ships. */
  readonly catalog?: ReadonlyMap<string, Provider>
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
  readonly body: any
}

export interface CallOptions {
  readonly token?: string | undefined
  readonly json?: unknown
  readonly body?: string | Buffer | Readable
  readonly headers?: Readonly<Record<string, string>>
}

export class Person {
  readonly principal: AccountPrincipal
  readonly token: string
  readonly #house: ConnectionHouse

  constructor(house: ConnectionHouse, principal: AccountPrincipal, token: string) {
    this.#house = house
    this.principal = principal
    this.token = token
  }

  call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
    return this.#house.call(method, path, { token: this.token, ...options })
  }

  browser(): Browser {
    return new Browser(this.#house, this)
  }
}

/** Keeps cookies as a browser does, by name and path, and goes where it is sent only when told to. */
export class Browser {
  readonly cookies = new Map<string, { value: string; path: string }>()
  readonly #house: ConnectionHouse
  readonly #person: Person

  constructor(house: ConnectionHouse, person: Person) {
    this.#house = house
    this.#person = person
  }

  async connect(provider: string, wish: object = {}): Promise<URL> {
    const reply = await this.#person.call('POST', '/v1/connections', { json: { provider, ...wish } })
    if (reply.status !== 201) throw new Error(`${reply.text}\n${this.#house.lines.slice(-3).join('')}`)
    this.#keep(reply)
    return new URL(reply.body.authorizeUrl)
  }

  /** Opens an address of Atom as a page, or as a program with `page` false. */
  async open(address: string | URL, { page = true } = {}): Promise<Reply> {
    const url = new URL(address, this.#house.url)
    const cookies = [...this.cookies]
      .filter(([, { path }]) => url.pathname === path || url.pathname.startsWith(`${path}/`))
      .map(([name, { value }]) => `${name}=${value}`)
    const reply = await this.#house.call('GET', url.pathname + url.search, {
      headers: {
        accept: page ? 'text/html,application/xhtml+xml' : 'application/json',
        ...(cookies.length > 0 && { cookie: cookies.join('; ') }),
      },
    })
    this.#keep(reply)
    return reply
  }

  #keep(reply: Reply): void {
    for (const line of reply.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(/;\s*/)
      const name = pair.slice(0, pair.indexOf('='))
      const path = attributes.find((text) => /^path=/i.test(text))?.slice(5) ?? '/'
      if (/max-age=0\b/i.test(line)) this.cookies.delete(name)
      else this.cookies.set(name, { value: pair.slice(name.length + 1), path })
    }
  }
}

/** One process of an installation, as far as connections go: real database, tokens, doors and room, on a port. */
export class ConnectionHouse implements AsyncDisposable {
  readonly url: string
  readonly room: ConnectionRoom
  readonly outbound: Outbound
  /** Every log line of every level, before anything is scrubbed from it. */
  readonly lines: string[]
  /** Every answer given, head and body. */
  readonly answers: string[] = []
  readonly #tokens: AccessTokens
  readonly #endSession: (sessionId: string) => Promise<void>
  readonly #parts: AsyncDisposableStack

  constructor(built: {
    url: string
    room: ConnectionRoom
    outbound: Outbound
    lines: string[]
    tokens: AccessTokens
    endSession: (sessionId: string) => Promise<void>
    parts: AsyncDisposableStack
  }) {
    this.url = built.url
    this.room = built.room
    this.outbound = built.outbound
    this.lines = built.lines
    this.#tokens = built.tokens
    this.#endSession = built.endSession
    this.#parts = built.parts
  }

  async person(role: Role = 'owner', workspaceId: string = newId()): Promise<Person> {
    const principal = {
      kind: 'account',
      id: newId(),
      workspaceId,
      role,
      sessionId: newId(),
      name: 'Ada',
    } as const
    const { accessToken } = await this.#tokens.mint(principal)
    return new Person(this, principal, accessToken)
  }

  /** Somebody of another house of the same installation, signed in here. */
  async visited({ principal }: Person): Promise<Person> {
    const { accessToken } = await this.#tokens.mint(principal)
    return new Person(this, principal, accessToken)
  }

  /** Ends the session of somebody, as signing out does. */
  async signOut({ principal }: Person): Promise<void> {
    await this.#endSession(principal.sessionId)
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
    // Not `fetch`, which says by `Sec-Fetch-Mode` that it is no page, and tidies up addresses before it sends them.
    const { hostname, port } = new URL(this.url)
    const body = options.json === undefined ? options.body : JSON.stringify(options.json)
    const outgoing = request({
      hostname,
      port,
      method,
      path,
      headers: {
        ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
        ...(options.json !== undefined && { 'content-type': 'application/json' }),
        ...(body !== undefined &&
          !(body instanceof Readable) && { 'content-length': Buffer.byteLength(body) }),
        ...options.headers,
      },
    })
    // Who is refused while still sending may have the rest of the body broken off.
    outgoing.on('error', () => undefined)
    if (body instanceof Readable) body.on('error', () => undefined).pipe(outgoing)
    else outgoing.end(body)
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    const reply = await replyOf(response)
    this.answers.push(JSON.stringify(response.headers), reply.text)
    return reply
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts[Symbol.asyncDispose]()
  }
}

async function replyOf(response: IncomingMessage): Promise<Reply> {
  const body = await text(response)
  const headers = new Headers()
  for (const [name, value] of Object.entries(response.headers))
    for (const one of [value ?? []].flat()) headers.append(name, one)
  const isJson = /json/.test(headers.get('content-type') ?? '')
  return {
    status: response.statusCode ?? 0,
    headers,
    text: body,
    body: isJson && body !== '' ? JSON.parse(body) : undefined,
  }
}

export function newKeyring(): Keyring {
  return parseKeyring(`v1:${randomBytes(32).toString('base64url')}`, 'the test')
}

export async function openHouse(options: HouseOptions): Promise<ConnectionHouse> {
  const { database } = options
  const clock = options.clock ?? systemClock
  const parts = new AsyncDisposableStack()
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const envelope = new Envelope({
    keyring: options.keyring ?? newKeyring(),
    ...(options.dataKeys && { cache: options.dataKeys }),
  })
  const outbound = parts.use(createOutbound({ allowLoopback: () => options.reach, log }))
  const http = parts.use(createHttpServer({ log, publicUrl: options.publicUrl }))
  const revocations = parts.use(
    await Revocations.open({ database, clock, log, tokenLifetimeMs: accessTokenLifetimeMs }),
  )
  const tokens = await AccessTokens.open({
    store: new SigningKeyStore(database),
    envelope,
    revocations,
    clock: systemClock,
    issuer: () => 'https://atom.test',
  })
  const room = parts.use(
    createConnectionRoom({
      database,
      envelope,
      outbound: {
        fetch: (url, init) => outbound.fetch(placed(url, options.detour ?? noStandIns), init),
        dial: (url, request) => outbound.dial(placed(url, options.detour ?? noStandIns), request),
        [Symbol.asyncDispose]: () => outbound[Symbol.asyncDispose](),
      },
      clock,
      log,
      publicUrl: () => http.publicUrl,
      sessionEnded: (id) => revocations.has(id),
      sandbox: options.sandbox,
      dataDir: options.dataDir ?? (await ownFolder(parts)),
      ...(options.refresh && { refresh: options.refresh }),
      ...(options.catalog && { catalog: options.catalog }),
    }),
  )
  room.doors(createGuards({ http, tokens, log }))
  const listening = await http.listen({ host: '127.0.0.1', port: 0 })
  const endSession = (id: string) => database.transaction((tx) => revocations.announce(tx, id))
  return new ConnectionHouse({ url: listening, room, outbound, lines, tokens, endSession, parts })
}

async function ownFolder(parts: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-house-'))
  parts.defer(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** The connection that a finished flow led to. */
export async function connected(person: Person, reply: Reply): Promise<Connection> {
  const id = new URL(reply.headers.get('location') ?? '', 'http://atom.test').searchParams.get('connected')
  if (reply.status !== 303 || id === null)
    throw new Error(`not connected: ${reply.status} ${reply.headers.get('location')} ${reply.text}`)
  return (await person.call('GET', `/v1/connections/${id}`)).body
}
