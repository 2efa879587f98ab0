import type { IncomingHttpHeaders } from 'node:http'
import { Readable, Transform } from 'node:stream'
import type { Body, Params, Query, Route } from '@atom/contract/route.ts'
import { parseCookie, stringifySetCookie } from 'cookie'
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { doorwayOf, type KnownCaller } from '#http/edge.ts'
import { EventStream, eventStreamHeaders } from '#http/event-stream.ts'
import { defaultBodyLimit, type HttpServer } from '#http/server.ts'
import { compileCheck } from '#http/validation.ts'
import { authenticated, bearerToken, knownBearer, requireAudience } from './authenticate.ts'
import { type AccountPrincipal, type Principal, personOf } from './principal.ts'
import type { AccessTokens } from './tokens.ts'

/** Always HttpOnly; Secure where people reach the server over https. `maxAgeSeconds` 0 removes it. */
export interface Cookie {
  readonly name: string
  readonly value: string
  readonly path: string
  readonly maxAgeSeconds: number
  readonly sameSite: 'strict' | 'lax'
}

/** What every handler knows about a request, whatever its route. */
interface Circumstances {
  readonly requestId: string
  /** Lines carry the request id. */
  readonly log: Log
  /** Address of the caller; behind a trusted proxy, the one the proxy names. */
  readonly ip: string
  readonly userAgent: string
  readonly cookies: Readonly<Record<string, string | undefined>>
  readonly headers: IncomingHttpHeaders
  /** Aborts when the caller is gone. */
  readonly signal: AbortSignal
}

export interface GuardedRequest<R extends Route> extends Circumstances {
  readonly principal: R['audience'] extends 'anyone' ? undefined : AccountPrincipal
  readonly params: Params<R>
  readonly query: Query<R>
  readonly body: Body<R>
}

/** One of the route's answers: its status and the body that belongs to it; `null` for an empty one. */
export type GuardedAnswer<R extends Route> = {
  [S in keyof R['answers'] & number]: {
    readonly status: S
    readonly body: R['answers'][S] extends TSchema ? Frozen<Static<R['answers'][S]>> : never
    readonly headers?: Readonly<Record<string, string>>
    readonly cookies?: readonly Cookie[]
  }
}[keyof R['answers'] & number]

/** A body is only read from here on, so a room may hand out what it keeps. */
type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T

/**
 * Registers a door. Who may call, and what may be sent, is settled before the handler sees the request. `A` keeps the
 * literals of an answer (`status: 201`) as they are written; it is never given by hand.
 */
export type Guard = <R extends Route, const A extends GuardedAnswer<R>>(
  route: R,
  handler: (request: GuardedRequest<R>) => Promise<A>,
) => void

/** A door through which foreign bodies pass unread, in both directions. */
export interface StreamRoute<B extends Bearer = Bearer> {
  readonly methods: readonly StreamMethod[]
  /** Its last parameter takes the rest of the address, slashes and query included: `/v1/connections/{id}/proxy/{path}`. */
  readonly path: string
  readonly audience: 'member' | 'operator'
  readonly bodyLimit: number
  /** Whom the room lets in by a token of its own; undefined for what is none of its tokens. */
  bearer?(token: string): Promise<B | undefined>
}

export type StreamMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** Somebody whom a room knows, and who has no session. */
interface Bearer {
  readonly principal: Principal
}

interface StreamCircumstances extends Circumstances {
  readonly method: StreamMethod
  /** The named parameters before the last, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** The rest of the address as it was sent, undecoded, beginning with a slash: `/repos/a/b?x=1`. */
  readonly rest: string
  /** Absent where the method has none or it is empty. */
  readonly body: Readable | undefined
}

/** Either the account that is signed in, or the bearer of a token of the room's own. */
export type StreamRequest<B extends Bearer> = StreamCircumstances &
  (
    | { readonly principal: AccountPrincipal; readonly bearer: undefined }
    | { readonly principal: undefined; readonly bearer: B }
  )

export interface StreamAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: Buffer | Readable | null
}

/** Clients of event streams come back after this; those of a full process not all in the same moment. */
const eventsRetryMs = 2_000

export type StreamGuard = <B extends Bearer>(
  route: StreamRoute<B>,
  handler: (request: StreamRequest<B>) => Promise<StreamAnswer>,
) => void

export interface EventsRequest<R extends Route> extends GuardedRequest<R> {
  /** How far the caller had come: the `Last-Event-ID` field. */
  readonly lastEventId: string | undefined
  /** When the caller's token ends, and what is told to them with it. */
  readonly expiresAt: Date
}

/** Writes into an answer that goes on until `stream.end()`, or until the caller is gone (`stream` is destroyed). */
export type Broadcasting = (stream: EventStream) => void

/**
 * Registers a door whose answer is a stream of server-sent events. The handler settles who may listen, and to what; what it
 * throws is an ordinary refusal. What it answers with then writes.
 */
export type EventsGuard = <R extends Route & { audience: 'member' | 'operator' }>(
  route: R,
  handler: (request: EventsRequest<R>) => Promise<Broadcasting>,
) => void

export interface Guards {
  readonly guard: Guard
  readonly guardStream: StreamGuard
  readonly guardEvents: EventsGuard
}

/** The three ways a room registers its doors on the server. There is no fourth: no route exists without an audience. */
export function createGuards(dependencies: {
  http: HttpServer
  tokens: Pick<AccessTokens, 'verify' | 'known'>
  log: Log
}): Guards {
  const { http, tokens, log } = dependencies

  /** At once, where the token was seen before: a promise for each step was measured to cost more than all that is done here. */
  function identify(
    request: FastifyRequest,
    reply: FastifyReply,
    audience: Route['audience'],
  ): AccountPrincipal | undefined | Promise<AccountPrincipal> {
    if (audience === 'anyone') return undefined
    const principal = knownBearer(tokens, request.headers.authorization)
    if (principal === undefined) return identifyNew(request, reply, audience)
    const admission = admitted(request, reply, { kind: 'account', id: principal.id, accountId: principal.id })
    const allowed = () => {
      requireAudience(audience, principal)
      return principal
    }
    return admission === undefined ? allowed() : admission.then(allowed)
  }

  async function identifyNew(
    request: FastifyRequest,
    reply: FastifyReply,
    audience: Route['audience'],
  ): Promise<AccountPrincipal> {
    const { principal } = await letIn(request, reply, () =>
      authenticated(tokens, request.headers.authorization),
    )
    await admitted(request, reply, { kind: 'account', id: principal.id, accountId: principal.id })
    requireAudience(audience, principal)
    return principal
  }

  /** Credentials that open nothing are dearer than those that do. */
  async function letIn<T>(request: FastifyRequest, reply: FastifyReply, who: () => Promise<T>): Promise<T> {
    try {
      return await who()
    } catch (thrown) {
      if (thrown instanceof AtomError && thrown.row.status === 401) await http.edge?.notLetIn(request, reply)
      throw thrown
    }
  }

  /** @throws AtomError `blocked` | `rate_limited` */
  function admitted(
    request: FastifyRequest,
    reply: FastifyReply,
    caller: KnownCaller,
  ): Promise<void> | undefined {
    request.caller = caller.id
    const outcome = http.edge?.known(request, reply, caller)
    if (outcome instanceof Promise)
      return outcome.then((refusal) => {
        if (refusal !== undefined) throw refusal
      })
    if (outcome !== undefined) throw outcome
    return undefined
  }

  /** What a door learns of a request; `more` becomes part of it. */
  function circumstances<M extends object>(
    request: FastifyRequest,
    reply: FastifyReply,
    more: M,
  ): Circumstances & M {
    return Object.assign(new RequestCircumstances(request, reply, log), more)
  }

  function guard<R extends Route, const A extends GuardedAnswer<R>>(
    route: R,
    handler: (request: GuardedRequest<R>) => Promise<A>,
  ): void {
    const checkParams = route.params && compileCheck<Params<R>>(route.params, 'params')
    const checkQuery = route.query && compileCheck<Query<R>>(route.query, 'query')
    const checkBody = route.body && compileCheck<Body<R>>(route.body, 'body')
    const mayBeAbsent = route.body !== undefined && !('required' in route.body)
    http.routes.add(route.path, [route.method])
    http.fastify.route({
      method: route.method,
      url: fastifyPath(route.path),
      bodyLimit: route.bodyLimit ?? defaultBodyLimit,
      schema: { response: answerSchemas(route) },
      config: {
        quiet: route.path === '/live' || route.path === '/ready',
        doorway: doorwayOf({ ...route, guarded: route.audience !== 'anyone' }),
      },
      // Before the body is read: who may not call does not get to send.
      onRequest: (request, reply, done) => {
        const found = identify(request, reply, route.audience)
        if (found instanceof Promise)
          found.then((principal) => {
            request.principal = principal
            done()
          }, done)
        else {
          request.principal = found
          done()
        }
      },
      handler: (request, reply) => void answer(request, reply),
    })

    /** Answers itself, and hands what was thrown to the error handler; Fastify would wait for the same with three more promises. */
    async function answer(request: FastifyRequest, reply: FastifyReply): Promise<void> {
      try {
        const circumstances = new GuardedCircumstances<R>(
          request,
          reply,
          log,
          checkParams?.(request.params) as Params<R>,
          checkQuery?.(request.query) as Query<R>,
          checkBody?.(request.body ?? (mayBeAbsent ? {} : undefined)) as Body<R>,
        )
        const { status, body, headers, cookies } = await handler(circumstances)
        reply.code(status)
        if (cookies !== undefined)
          for (const cookie of cookies) reply.header('set-cookie', written(cookie, http.secure))
        if (headers !== undefined) reply.headers(headers)
        reply.send(body ?? undefined)
      } catch (thrown) {
        reply.send(thrown instanceof Error ? thrown : asAtomError(thrown))
      }
    }
  }

  function guardStream<B extends Bearer>(
    route: StreamRoute<B>,
    handler: (request: StreamRequest<B>) => Promise<StreamAnswer>,
  ): void {
    const bearers = new WeakMap<FastifyRequest, B>()
    const admit = async (request: FastifyRequest, reply: FastifyReply) => {
      const token = bearerToken(request.headers.authorization)
      const bearer =
        token === undefined ? undefined : await letIn(request, reply, async () => await route.bearer?.(token))
      if (bearer === undefined) {
        request.principal = await identify(request, reply, route.audience)
      } else {
        await admitted(request, reply, {
          kind: 'capability',
          id: bearer.principal.id,
          accountId: personOf(bearer.principal),
        })
        bearers.set(request, bearer)
      }
    }
    const head = route.path.slice(0, route.path.lastIndexOf('/{'))
    const depth = head.split('/').length
    http.routes.add(route.path, route.methods, true)
    http.fastify.register(async (scope) => {
      scope.removeAllContentTypeParsers()
      scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
      scope.route({
        method: [...route.methods] as HTTPMethods[],
        url: `${fastifyPath(head)}/*`,
        bodyLimit: route.bodyLimit,
        exposeHeadRoute: false,
        config: { doorway: doorwayOf({ path: route.path, method: 'ANY', guarded: true }) },
        onRequest: admit,
        handler: async (request, reply) => {
          const upload =
            request.body instanceof Readable ? new Upload(request.body, route.bodyLimit) : undefined
          upload?.requireSize(request.headers['content-length'])
          try {
            const bearer = bearers.get(request)
            const who =
              bearer === undefined
                ? { principal: request.principal as AccountPrincipal, bearer: undefined }
                : { principal: undefined, bearer }
            const answer = await handler(
              circumstances(request, reply, {
                ...who,
                method: request.method as StreamMethod,
                params: request.params as Record<string, string>,
                rest: `/${request.raw.url?.split('/').slice(depth).join('/') ?? ''}`,
                body: upload?.stream,
              }),
            )
            return sendStream(reply, answer)
          } catch (thrown) {
            throw upload?.refusal ?? thrown
          }
        },
      })
    })
  }

  function guardEvents<R extends Route & { audience: 'member' | 'operator' }>(
    route: R,
    handler: (request: EventsRequest<R>) => Promise<Broadcasting>,
  ): void {
    const checkParams = route.params && compileCheck<Params<R>>(route.params, 'params')
    const checkQuery = route.query && compileCheck<Query<R>>(route.query, 'query')
    http.routes.add(route.path, [route.method])
    http.fastify.route({
      method: route.method,
      url: fastifyPath(route.path),
      config: { doorway: doorwayOf({ ...route, guarded: true }) },
      handler: async (request, reply) => {
        const { principal, expiresAt } = await letIn(request, reply, () =>
          authenticated(tokens, request.headers.authorization),
        )
        await admitted(request, reply, { kind: 'account', id: principal.id, accountId: principal.id })
        requireAudience(route.audience, principal)
        const lastEventId = request.headers['last-event-id']
        const broadcasting = await handler(
          circumstances(request, reply, {
            principal: principal as GuardedRequest<R>['principal'],
            params: checkParams?.(request.params) as Params<R>,
            query: checkQuery?.(request.query) as Query<R>,
            body: undefined as Body<R>,
            lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
            expiresAt,
          }),
        )
        const stream = new EventStream({ retryMs: eventsRetryMs })
        reply.raw.once('close', () => stream.destroy())
        // A HEAD asks for the fields alone.
        if (request.method === 'HEAD') stream.end()
        else broadcasting(stream)
        return reply.code(200).headers(eventStreamHeaders).send(stream)
      },
    })
  }

  return { guard, guardStream, guardEvents }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whom the guard found; set before the body is read. */
    principal: AccountPrincipal | undefined
  }
}

/** A body on its way through, counted: whoever passes it on sees it fail at the limit, and so does the caller. */
class Upload {
  readonly stream: Readable
  readonly #limit: number
  refusal: AtomError | undefined

  constructor(source: Readable, limit: number) {
    this.#limit = limit
    let bytes = 0
    const counted = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        bytes += chunk.byteLength
        if (bytes <= limit) return done(null, chunk)
        this.refusal = this.#tooLarge()
        // The rest runs into nothing, so that the caller, who is still sending, gets to read the refusal.
        source.unpipe(counted)
        source.resume()
        done(this.refusal)
      },
    })
    // Whoever gives up reading learns of it by the refusal; without a listener it would end the process.
    counted.on('error', () => undefined)
    source.once('error', (error) => counted.destroy(error))
    source.once('close', () => {
      if (!source.readableEnded) counted.destroy(new Error('the caller went away while sending'))
    })
    this.stream = source.pipe(counted)
  }

  /** @throws AtomError `payload_too_large` where the caller announces too much */
  requireSize(contentLength: string | undefined): void {
    if (Number(contentLength ?? 0) > this.#limit) throw this.#tooLarge()
  }

  #tooLarge(): AtomError {
    return new AtomError('payload_too_large', `The largest body accepted here is ${this.#limit} bytes.`)
  }
}

const noCookies: Readonly<Record<string, string | undefined>> = Object.freeze({})

/** Each of these is made when it is asked for: most doors ask for none of them. */
class RequestCircumstances implements Circumstances {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #log: Log
  #ownLog: Log | undefined
  #cookies: Readonly<Record<string, string | undefined>> | undefined
  #signal: AbortSignal | undefined

  constructor(request: FastifyRequest, reply: FastifyReply, log: Log) {
    this.#request = request
    this.#reply = reply
    this.#log = log
  }

  get requestId(): string {
    return this.#request.id
  }

  get log(): Log {
    const { id: requestId, traceId } = this.#request
    this.#ownLog ??= this.#log.child(traceId === undefined ? { requestId } : { requestId, traceId })
    return this.#ownLog
  }

  get ip(): string {
    return this.#request.ip
  }

  get userAgent(): string {
    return this.#request.headers['user-agent'] ?? ''
  }

  get cookies(): Readonly<Record<string, string | undefined>> {
    const { cookie } = this.#request.headers
    this.#cookies ??= cookie === undefined ? noCookies : parseCookie(cookie)
    return this.#cookies
  }

  get headers(): IncomingHttpHeaders {
    return this.#request.headers
  }

  get signal(): AbortSignal {
    this.#signal ??= goneSignal(this.#reply)
    return this.#signal
  }
}

/** Put together in one go, because every request has them: a copy of the one into the other costs more than both. */
class GuardedCircumstances<R extends Route> extends RequestCircumstances implements GuardedRequest<R> {
  readonly principal: GuardedRequest<R>['principal']
  readonly params: Params<R>
  readonly query: Query<R>
  readonly body: Body<R>

  constructor(
    request: FastifyRequest,
    reply: FastifyReply,
    log: Log,
    params: Params<R>,
    query: Query<R>,
    body: Body<R>,
  ) {
    super(request, reply, log)
    this.principal = request.principal as GuardedRequest<R>['principal']
    this.params = params
    this.query = query
    this.body = body
  }
}

/** Aborts when the connection closes before the answer is out. Fastify's own signal also aborts once a body has been read. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  // Asked for after the caller had gone: nobody would tell it any more.
  if (reply.raw.closed && !reply.raw.writableFinished) gone.abort()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort()
  })
  return gone.signal
}

function sendStream(reply: FastifyReply, answer: StreamAnswer): FastifyReply {
  if (Buffer.isBuffer(answer.body) && reply.request.method !== 'HEAD') {
    // Node writes head and body of a string in one piece, and of a buffer in two. Latin-1 leaves each byte what it is.
    reply.hijack()
    reply.raw.writeHead(answer.status, answer.headers)
    reply.raw.end(answer.body.toString('latin1'), 'latin1')
    return reply
  }
  reply.code(answer.status)
  reply.headers(answer.headers)
  return reply.send(answer.body ?? undefined)
}

function fastifyPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1')
}

/** Answers are written by their schema, so a field that the contract does not name cannot leave the server. */
function answerSchemas(route: Route): Record<string, TSchema> {
  return Object.fromEntries(
    Object.entries(route.answers).filter(([, schema]) => !('type' in schema && schema.type === 'null')),
  )
}

function written(cookie: Cookie, secure: boolean): string {
  return stringifySetCookie({
    name: cookie.name,
    value: cookie.value,
    path: cookie.path,
    maxAge: cookie.maxAgeSeconds,
    sameSite: cookie.sameSite,
    httpOnly: true,
    secure,
  })
}
