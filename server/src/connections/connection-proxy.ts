import { type Principal, personOf } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound, OutboundRequest } from '#foundation/outbound.ts'
import type { Provider } from '#providers/provider.ts'
import { placed, type StandIns, unplaced } from '#providers/stand-in.ts'
import type { Apps } from './apps.ts'
import type { ConnectionStore, LiveConnection } from './connection-store.ts'
import type { DpopProofs } from './dpop.ts'
import { proxiedAnswerHeaders, proxiedRequestHeaders } from './proxy-headers.ts'
import { proxyTarget, redirectTarget } from './proxy-target.ts'
import type { AccessToken, TokenRefresh } from './token-refresh.ts'

export interface ProxyRequest {
  readonly method: string
  /** Of the provider's API, with its query: `/repos/o/r?x=1`; or with one of its hosts in front: `/gmail.googleapis.com/…`. */
  readonly path: string
  readonly headers?: Headers | Readonly<Record<string, string>>
  /** A stream passes through unread and cannot be sent a second time. */
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
  readonly signal?: AbortSignal
}

export interface ProxyAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: ReadableStream<Uint8Array> | null
}

/** Until the provider begins to answer. */
const patienceMs = 60_000
/** Until the last byte of the answer, and how many bytes it may have. */
const wholeAnswer = { timeoutMs: 30 * 60_000, maxBytes: 1024 ** 3 }
const mostRedirects = 5

/**
 * The provider's API with the credential attached. The credential goes to the provider's own hosts and nowhere else, is
 * renewed when it has to be, and does not come back in any header.
 */
export class ConnectionProxy {
  readonly #store: ConnectionStore
  readonly #apps: Apps
  readonly #tokenRefresh: TokenRefresh
  readonly #outbound: Outbound
  readonly #proofs: DpopProofs
  readonly #clock: Clock
  readonly #log: Log

  constructor(dependencies: {
    store: ConnectionStore
    apps: Apps
    tokenRefresh: TokenRefresh
    outbound: Outbound
    proofs: DpopProofs
    clock: Clock
    log: Log
  }) {
    this.#store = dependencies.store
    this.#apps = dependencies.apps
    this.#tokenRefresh = dependencies.tokenRefresh
    this.#outbound = dependencies.outbound
    this.#proofs = dependencies.proofs
    this.#clock = dependencies.clock
    this.#log = dependencies.log
  }

  /**
   * Whatever the provider answers is an answer, errors included.
   * @throws AtomError `not_found` unless the person owns the connection · `proxy_target_refused` ·
   * `connection_needs_reconnect` · `provider_unavailable` · `provider_misconfigured` · `provider_refused`
   */
  async request(principal: Principal, connectionId: string, request: ProxyRequest): Promise<ProxyAnswer> {
    const connection = await this.#owned(principal, connectionId, slotIn(request.headers))
    const { api } = this.#apps.settled(connection)
    const standIns = await this.#apps.standIns(connection)
    const target = proxyTarget(api, request.path)
    const token = await this.#tokenRefresh.access(connection)
    this.#noteUse(connection)
    const answer = await this.#send(api, standIns, target, request, token)
    if (answer.status !== 401) return this.#outgoing(connection, answer, token)
    const current = (await this.#again(connection)) ?? connection
    const next = await this.#tokenRefresh.access(current, token)
    // The provider knows this very token: its 401 is about something else, and the caller's to judge.
    if (next.generation === token.generation) return this.#outgoing(connection, answer, token)
    await answer.body?.cancel()
    if (request.body instanceof ReadableStream) {
      throw new AtomError(
        'provider_unavailable',
        'The access was renewed while the body was sent. Send it again.',
      )
    }
    // A renewed token may belong to another place: Salesforce moves organisations between instances.
    const renewed = this.#apps.settled((await this.#again(connection)) ?? current).api
    const again = await this.#send(renewed, standIns, proxyTarget(renewed, request.path), request, next)
    return this.#outgoing(connection, again, next)
  }

  /** With the credential that is asked for by name, where one is. */
  async #owned(
    principal: Principal,
    connectionId: string,
    slot: string | undefined,
  ): Promise<LiveConnection> {
    const connection = await this.#store.live(principal.workspaceId, connectionId)
    if (connection === undefined || connection.ownerId !== personOf(principal))
      throw new AtomError('not_found')
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

  async #again({ workspaceId, id, further }: LiveConnection): Promise<LiveConnection | undefined> {
    return await this.#store.live(workspaceId, id, further)
  }

  /** Follows redirects within the provider's hosts, as its SDKs would; any other is the caller's to follow, without us. */
  async #send(
    api: Provider['api'],
    standIns: StandIns,
    target: URL,
    request: ProxyRequest,
    token: AccessToken,
  ): Promise<Response> {
    const headers = proxiedRequestHeaders(request.headers, api.headers)
    let method = request.method
    let body = request.body
    for (let at = target, hops = 0; ; hops++) {
      const answer = await this.#presented(token, at, method, body, async (fields) => {
        for (const [name, value] of Object.entries(fields)) headers.set(name, value)
        return await this.#dial(placed(at, standIns), request.signal, {
          method,
          headers: [...headers],
          ...(body !== undefined && { body }),
        })
      })
      const next = redirectTarget(api, answer, placed(at, standIns), (url) => unplaced(url, standIns))
      if (next === undefined || hops === mostRedirects || body instanceof ReadableStream) return answer
      const keepsMethod = answer.status === 307 || answer.status === 308 || method === 'HEAD'
      // Repeating a write elsewhere is only right where the provider says that it is the same request (RFC 9110 15.4).
      if (!keepsMethod && method !== 'GET' && answer.status !== 303) return answer
      if (!keepsMethod) {
        method = 'GET'
        body = undefined
        headers.delete('content-type')
      }
      await answer.body?.cancel()
      at = next
    }
  }

  /** Sends with the token attached; once more where the API wants its nonce in the proof, and the body can be sent again. */
  async #presented(
    token: AccessToken,
    at: URL,
    method: string,
    body: ProxyRequest['body'],
    send: (fields: Readonly<Record<string, string>>) => Promise<Response>,
  ): Promise<Response> {
    const answer = await send(await this.#proofs.presented(token, method, at))
    if (!this.#proofs.heard(token, at, answer)) return answer
    await answer.body?.cancel()
    if (body instanceof ReadableStream) {
      throw new AtomError('provider_unavailable', 'The API wanted its nonce first. Send it again.')
    }
    return await send(await this.#proofs.presented(token, method, at))
  }

  async #dial(url: URL, caller: AbortSignal | undefined, request: OutboundRequest): Promise<Response> {
    const impatience = new AbortController()
    const timer = setTimeout(() => {
      impatience.abort(new AtomError('provider_unavailable', `${url.host} did not begin to answer in time.`))
    }, patienceMs)
    try {
      const signal = caller === undefined ? impatience.signal : AbortSignal.any([caller, impatience.signal])
      return await this.#outbound.fetch(url, { ...request, ...wholeAnswer, signal })
    } finally {
      clearTimeout(timer)
    }
  }

  #outgoing(connection: LiveConnection, answer: Response, token: AccessToken): ProxyAnswer {
    this.#noteLimit(connection, answer)
    return {
      status: answer.status,
      headers: proxiedAnswerHeaders(answer.headers, token.value, token.attachment),
      body: answer.body,
    }
  }

  /** A limit that is reached is passed on as it came; here it is only told to whoever operates the server. */
  #noteLimit(connection: LiveConnection, { status, headers }: Response): void {
    const { rateLimit } = this.#apps.provider(connection.provider).api
    const remaining = rateLimit.remaining === undefined ? null : headers.get(rateLimit.remaining)
    if (status !== 429 && !(status === 403 && remaining === '0')) return
    const reset = rateLimit.reset === undefined ? null : headers.get(rateLimit.reset)
    const retryAfter = headers.get(rateLimit.retryAfter)
    this.#log.warn(
      { connectionId: connection.id, provider: connection.provider, status, retryAfter, reset },
      'the provider limits this account',
    )
  }

  #noteUse(connection: LiveConnection): void {
    const at = this.#clock.now()
    if (connection.lastUsedAt !== null && at.getTime() - connection.lastUsedAt.getTime() < 60_000) return
    this.#store.used(connection.id, at).catch((error: unknown) => {
      this.#log.warn({ connectionId: connection.id, err: error }, 'the use of a connection was not noted')
    })
  }
}

/** Which credential the caller names, where a connection has several (Slack: `bot`, `user`). */
function slotIn(headers: ProxyRequest['headers']): string | undefined {
  return new Headers(headers).get('atom-credential') ?? undefined
}
