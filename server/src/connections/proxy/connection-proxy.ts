import { Readable } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'
import { type Principal, personOf } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import {
  chained,
  type Dial,
  type Dialled,
  knownCodings,
  neverSent,
  type Outbound,
} from '#foundation/outbound.ts'
import { type Provider, type ProviderApi, verdictOf } from '#providers/provider.ts'
import { placed, type StandIns, unplaced } from '#providers/stand-in.ts'
import type { Apps } from '../apps.ts'
import type { DpopProofs, Presented } from '../authorization-server/dpop.ts'
import type { ConnectionState, ConnectionStore, LiveConnection } from '../connection-store.ts'
import { AnswerRewriter } from './answer-rewriter.ts'
import { openingOf } from './body-opening.ts'
import type { ConnectionStandings } from './connection-standings.ts'
import type { ProviderTraffic } from './provider-traffic.ts'
import type { OpenedCredential, ProxyCredentials } from './proxy-credentials.ts'
import {
  type AnswerHeaders,
  type GivenHeaders,
  proxiedAnswerHeaders,
  proxiedRequestHeaders,
} from './proxy-headers.ts'
import { ProxyLinks } from './proxy-links.ts'
import { proxyTarget, redirectTarget } from './proxy-target.ts'
import type { SingleWrites, WriteProgress } from './single-writes.ts'

export interface ProxyRequest {
  readonly method: Dial['method']
  /** Of the provider's API, with its query: `/repos/o/r?x=1`; or with one of its hosts in front: `/gmail.googleapis.com/…`. */
  readonly path: string
  /** Names in lower case. `idempotency-key` makes a write one that happens at most once. */
  readonly headers?: GivenHeaders
  /** A stream passes through unread and cannot be sent a second time. */
  readonly body?: string | Uint8Array | Readable
  /** Of a stream, in bytes, where it is known. */
  readonly bodyLength?: number
  readonly signal?: AbortSignal
  /** The address of this proxy for the caller, without a slash at its end: links in the answer then lead through it. */
  readonly through?: string
  /** Where not everything is allowed that the connection's owner may do. */
  permits?(method: string, api: ProviderApi, target: URL): boolean
}

/** For callers in this process. */
export interface ProxyAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array> | null
}

/** For a door. A short body is there as a whole. */
export interface ForwardedAnswer {
  readonly status: number
  readonly headers: AnswerHeaders
  readonly body: Buffer | Readable | null
}

/** Until the provider begins to answer. */
const patienceMs = 60_000
/** Until the last byte of the answer, and how many bytes it may have. */
const wholeAnswer = { timeoutMs: 30 * 60_000, maxBytes: 1024 ** 3 }
const mostRedirects = 5
/** Up to here an answer whose length is known is passed on in one piece. */
const onePieceBytes = 64 * 1024
/** An error that a provider words is shorter. */
const errorBytes = 4 * 1024

/** One try: what the provider said, and to whom. */
interface Attempt {
  readonly answer: Dialled
  /** Read already: all of the body, or its beginning. */
  readonly body: Buffer | Readable | null
  readonly api: ProviderApi
  readonly standIns: StandIns
  readonly credential: OpenedCredential
  /** The error code of a failure, where the provider's own way of telling one was looked for. */
  readonly failure: string | undefined
}

/**
 * The provider's API with the credential attached. The credential goes to the provider's own hosts and nowhere else, is
 * renewed when it has to be, and does not come back, neither in the head nor in the body of an answer.
 */
export class ConnectionProxy {
  readonly #store: ConnectionStore
  readonly #apps: Apps
  readonly #credentials: ProxyCredentials
  readonly #writes: SingleWrites
  readonly #outbound: Outbound
  readonly #proofs: DpopProofs
  readonly #clock: Clock
  readonly #log: Log
  readonly #standings: ConnectionStandings
  readonly #traffic: ProviderTraffic
  readonly #apis = new WeakMap<LiveConnection, ProviderApi>()

  constructor(dependencies: {
    store: ConnectionStore
    apps: Apps
    credentials: ProxyCredentials
    standings: ConnectionStandings
    writes: SingleWrites
    outbound: Outbound
    proofs: DpopProofs
    clock: Clock
    log: Log
    traffic: ProviderTraffic
  }) {
    this.#traffic = dependencies.traffic
    this.#store = dependencies.store
    this.#apps = dependencies.apps
    this.#credentials = dependencies.credentials
    this.#writes = dependencies.writes
    this.#outbound = dependencies.outbound
    this.#proofs = dependencies.proofs
    this.#clock = dependencies.clock
    this.#log = dependencies.log
    this.#standings = dependencies.standings
  }

  /**
   * Whatever the provider answers is an answer, errors included.
   * @throws AtomError `not_found` unless the person owns the connection · `proxy_target_refused` · `capability_exceeded` ·
   * `connection_needs_reconnect` · `provider_unavailable` · `provider_misconfigured` · `provider_refused`; with an
   * `Idempotency-Key` also what `SingleWrites.once` throws
   */
  async request(principal: Principal, connectionId: string, request: ProxyRequest): Promise<ProxyAnswer> {
    const { status, headers, body } = await this.forward(principal, connectionId, request)
    return {
      status,
      headers: new Headers(
        Object.entries(headers).flatMap(([name, value]) =>
          [value].flat().map((each): [string, string] => [name, each]),
        ),
      ),
      body: body === null ? null : webStream(body),
    }
  }

  /** The same, for a door. @throws as `request` */
  async forward(principal: Principal, connectionId: string, request: ProxyRequest): Promise<ForwardedAnswer> {
    const connection = await this.#owned(principal, connectionId, slotIn(request.headers))
    const key = isWrite(request.method) ? request.headers?.['idempotency-key'] : undefined
    if (key === undefined) return await this.#exchange(connection, request, { sent: false })
    const write = {
      workspaceId: connection.workspaceId,
      connectionId: connection.id,
      slot: connection.further ?? connection.slot,
      callerId: principal.id,
      key: String(key),
      method: request.method,
      path: request.path,
      contentType: String(request.headers?.['content-type'] ?? ''),
      body: request.body,
    }
    // Its caller going away does not end it: the answer is stored for when they come back.
    return await this.#writes.once(write, (progress, signal) =>
      this.#exchange(connection, { ...request, signal }, progress),
    )
  }

  async #exchange(
    connection: LiveConnection,
    request: ProxyRequest,
    progress: WriteProgress,
  ): Promise<ForwardedAnswer> {
    const first = await this.#attempt(connection, request, progress, () => this.#credentials.of(connection))
    if (!this.#isRejected(connection, first)) return this.#outgoing(connection, request, first)
    progress.sent = false
    const current = (await this.#live(connection)) ?? connection
    const next = await this.#credentials.after(current, first.credential).catch((error: unknown) => {
      discard(first.body)
      throw error
    })
    // The provider knows this very token: the refusal is about something else, and the caller's to judge.
    if (next === first.credential) return this.#outgoing(connection, request, first)
    discard(first.body)
    if (request.body instanceof Readable) {
      throw new AtomError(
        'provider_unavailable',
        'The access was renewed while the body was sent. Send it again.',
      )
    }
    // A renewed token may belong to another place: Salesforce moves organisations between instances.
    const renewed = (await this.#live(connection)) ?? current
    return this.#outgoing(renewed, request, await this.#attempt(renewed, request, progress, async () => next))
  }

  async #attempt(
    connection: LiveConnection,
    request: ProxyRequest,
    progress: WriteProgress,
    credentialOf: () => Promise<OpenedCredential>,
  ): Promise<Attempt> {
    const api = this.#apiOf(connection)
    const standIns = await this.#apps.standIns(connection)
    const target = proxyTarget(api, request.path)
    if (request.permits?.(request.method, api, target) === false) throw new AtomError('capability_exceeded')
    const credential = await credentialOf()
    const answer = await this.#traffic.watch(connection.provider, request.method, () =>
      this.#send(api, standIns, target, request, credential, progress),
    )
    const { body, failure } = await this.#opened(api, request.method, answer)
    return { answer, body, api, standIns, credential, failure }
  }

  /** Worked out once for what was read of a connection, which serves many requests. */
  #apiOf(connection: LiveConnection): ProviderApi {
    const known = this.#apis.get(connection)
    if (known !== undefined) return known
    const { api } = this.#apps.settled(connection)
    this.#apis.set(connection, api)
    return api
  }

  /** With the credential that is asked for by name, where one is. */
  async #owned(
    principal: Principal,
    connectionId: string,
    slot: string | undefined,
  ): Promise<LiveConnection> {
    const id = connectionId.toLowerCase()
    const state = this.#standings.known(id) ?? (await this.#standings.look(id))
    const isOwn = state?.workspaceId === principal.workspaceId && state.ownerId === personOf(principal)
    const connection = state !== undefined && isOwn ? await this.#credentials.connection(state) : undefined
    if (state === undefined || connection === undefined) throw new AtomError('not_found')
    this.#noteUse(state)
    if (slot === undefined || slot === connection.slot) return connection
    const other = connection.others.some((credential) => credential.slot === slot)
      ? await this.#store.live(principal.workspaceId, connectionId, slot)
      : undefined
    if (other !== undefined) return other
    const names = [connection, ...connection.others].map((credential) => credential.slot).join(', ')
    throw new AtomError('validation_failed', undefined, {
      problems: [{ pointer: 'headers/atom-credential', detail: `This account has: ${names}.` }],
    })
  }

  #live({ workspaceId, id, further }: LiveConnection): Promise<LiveConnection | undefined> {
    return this.#store.live(workspaceId, id, further)
  }

  /** Follows redirects within the provider's hosts, as its SDKs would; any other is the caller's to follow, without us. */
  async #send(
    api: ProviderApi,
    standIns: StandIns,
    target: URL,
    request: ProxyRequest,
    { token, certificate }: OpenedCredential,
    progress: WriteProgress,
  ): Promise<Dialled> {
    const headers = proxiedRequestHeaders(request.headers ?? {}, api.headers)
    headers['accept-encoding'] = knownCodings
    let { method, body } = request
    if (body instanceof Readable && request.bodyLength !== undefined)
      headers['content-length'] = String(request.bodyLength)
    for (let at = target, hops = 0; ; hops++) {
      const dialled = placed(at, standIns)
      const answer = await this.#presented(token, at, method, body, async (fields) => {
        Object.assign(headers, fields)
        return await this.#dial(dialled, method, headers, body, { ...request, certificate }, progress)
      })
      const next = redirectTarget(api, answer, dialled, (url) => unplaced(url, standIns))
      if (next === undefined || hops === mostRedirects || body instanceof Readable) return answer
      const keepsMethod = answer.status === 307 || answer.status === 308 || method === 'HEAD'
      // Repeating a write elsewhere is only right where the provider says that it is the same request (RFC 9110 15.4).
      if (!keepsMethod && method !== 'GET' && answer.status !== 303) return answer
      if (request.permits?.(keepsMethod ? method : 'GET', api, next) === false) return answer
      if (!keepsMethod) {
        method = 'GET'
        body = undefined
        delete headers['content-type']
      }
      discard(answer.body)
      at = next
    }
  }

  /** Sends with the token attached; once more where the API wants its nonce in the proof, and the body can be sent again. */
  async #presented(
    token: Presented,
    at: URL,
    method: string,
    body: ProxyRequest['body'],
    send: (fields: Readonly<Record<string, string>>) => Promise<Dialled>,
  ): Promise<Dialled> {
    const answer = await send(await this.#proofs.presented(token, method, at))
    if (!this.#proofs.heard(token, at, { status: answer.status, field: (name) => fieldOf(answer, name) }))
      return answer
    discard(answer.body)
    if (body instanceof Readable) {
      throw new AtomError('provider_unavailable', 'The API wanted its nonce first. Send it again.')
    }
    return await send(await this.#proofs.presented(token, method, at))
  }

  async #dial(
    url: URL,
    method: Dial['method'],
    headers: Readonly<Record<string, string>>,
    body: ProxyRequest['body'],
    { signal, certificate }: ProxyRequest & Pick<OpenedCredential, 'certificate'>,
    progress: WriteProgress,
  ): Promise<Dialled> {
    const before = progress.sent
    progress.sent = true
    try {
      return await this.#outbound.dial(url, {
        method,
        headers: flat(headers),
        patienceMs,
        ...wholeAnswer,
        certificate,
        wholeBytes: onePieceBytes,
        ...(body !== undefined && { body }),
        ...(signal !== undefined && { signal }),
      })
    } catch (error) {
      if (neverSent(error)) progress.sent = before
      throw error
    }
  }

  /** What has to be read of an answer before it is passed on: nothing of a long one. */
  async #opened(
    api: ProviderApi,
    method: string,
    { status, headers, body, translated }: Dialled,
  ): Promise<Pick<Attempt, 'body' | 'failure'>> {
    if (method === 'HEAD' || status === 204 || status === 304) {
      if (body instanceof Readable) body.resume()
      return { body: null, failure: undefined }
    }
    const length = headers['content-length'] === undefined ? undefined : Number(headers['content-length'])
    const isJson = String(headers['content-type'] ?? '').includes('json')
    const tells = isJson && (status === 403 || status === api.failures?.status)
    try {
      if (length !== undefined && length <= onePieceBytes) {
        // Its length is that of what was packed; what is in it may be longer.
        const { opening, rest } = await openingOf(body, onePieceBytes)
        const isWhole = rest === undefined
        return {
          body: rest ?? opening,
          failure: tells && isWhole ? failureIn(api, status, opening) : undefined,
        }
      }
      if (!tells) return { body, failure: undefined }
      const { opening, rest } = await openingOf(body, errorBytes)
      return {
        body: rest ?? opening,
        failure: rest === undefined ? failureIn(api, status, opening) : undefined,
      }
    } catch (error) {
      throw translated(error)
    }
  }

  #isRejected(connection: LiveConnection, { answer, failure }: Attempt): boolean {
    if (answer.status === 401) return true
    if (failure === undefined || answer.status === 403) return false
    const verdict = verdictOf(this.#apps.provider(connection.provider), failure)
    return verdict === 'refresh' || verdict === 'reconnect'
  }

  #outgoing(connection: LiveConnection, request: ProxyRequest, attempt: Attempt): ForwardedAnswer {
    const { answer, api, standIns, body } = attempt
    const { scrubber } = attempt.credential
    this.#noteLimit(connection, attempt)
    const headers = proxiedAnswerHeaders(answer.headers, (value) => scrubber.finds(value))
    const links = request.through === undefined ? undefined : new ProxyLinks(api, standIns, request.through)
    links?.inHeaders(headers)
    if (body === null) return { status: answer.status, headers, body }
    const rewriters = [scrubber]
    if (links !== undefined && api.links !== undefined && isJson(headers)) {
      rewriters.push(new AnswerRewriter(links.inBody()))
    }
    if (Buffer.isBuffer(body)) {
      const whole = rewriters.reduce((text, rewriter) => rewriter.whole(text), body)
      headers['content-length'] = String(whole.length)
      return { status: answer.status, headers, body: whole }
    }
    if (rewriters.some(({ keepsLength }) => !keepsLength)) delete headers['content-length']
    const [first, ...more] = rewriters.map((rewriter) => rewriter.stream())
    return {
      status: answer.status,
      headers,
      body: chained([body, ...(first === undefined ? [] : [first]), ...more]),
    }
  }

  /** A limit that is reached is passed on as it came; here it is only told to whoever operates the server. */
  #noteLimit(connection: LiveConnection, { answer: { status, headers }, api, failure }: Attempt): void {
    if (status !== 429 && status !== 403) return
    const { remaining, reset, retryAfter } = api.rateLimit
    const isSpent = remaining !== undefined && headers[remaining] === '0'
    if (status === 403 && !isSpent && headers[retryAfter] === undefined && failure === undefined) return
    this.#log.warn(
      {
        connectionId: connection.id,
        provider: connection.provider,
        status,
        retryAfter: headers[retryAfter],
        reset: reset === undefined ? undefined : headers[reset],
      },
      'the provider limits this account',
    )
  }

  #noteUse(connection: ConnectionState): void {
    const at = this.#clock.now()
    if (connection.lastUsedAt !== null && at.getTime() - connection.lastUsedAt.getTime() < 60_000) return
    this.#standings.used(connection.id, at)
    this.#store.used(connection.id, at).catch((error: unknown) => {
      this.#log.warn({ connectionId: connection.id, err: error }, 'the use of a connection was not noted')
    })
  }
}

/** Which credential the caller names, where a connection has several (Slack: `bot`, `user`). */
function slotIn(headers: ProxyRequest['headers']): string | undefined {
  const named = headers?.['atom-credential']
  return named === undefined ? undefined : String(named)
}

/** The code in an error's JSON, in the provider's own manner; of a 403, the word that makes it a limit. */
function failureIn(
  { failures, rateLimit }: Provider['api'],
  status: number,
  body: Buffer,
): string | undefined {
  if (body.length > errorBytes) return undefined
  const text = body.toString()
  if (status === 403) return rateLimit.said?.find((word) => text.includes(word))
  const answer = parsed(text)
  if (failures === undefined || typeof answer !== 'object' || answer === null) return undefined
  const code: unknown = Object.hasOwn(answer, failures.code) ? Reflect.get(answer, failures.code) : undefined
  return typeof code === 'string' ? code : undefined
}

/** What calls itself JSON and is none is the caller's to wonder about. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isWrite(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD'
}

function isJson(headers: AnswerHeaders): boolean {
  return String(headers['content-type'] ?? '').includes('json')
}

function fieldOf({ headers }: Dialled, name: string): string | null {
  const value = headers[name]
  return value === undefined ? null : String(value)
}

function flat(headers: Readonly<Record<string, string>>): string[] {
  const list: string[] = []
  for (const name in headers) list.push(name, headers[name] ?? '')
  return list
}

function discard(body: Attempt['body']): void {
  if (body instanceof Readable) body.destroy()
}

function webStream(body: Buffer | Readable): ReadableStream<Uint8Array> {
  const stream: WebStream<Uint8Array> =
    body instanceof Readable ? Readable.toWeb(body) : new Blob([new Uint8Array(body)]).stream()
  return stream as ReadableStream<Uint8Array>
}
