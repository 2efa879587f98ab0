import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { TransformStream, type ReadableStream as WebStream } from 'node:stream/web'
import type { Body, Params, Query, Route } from '@atom/contract/route.ts'
import { parseCookie, stringifySetCookie } from 'cookie'
import type { FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { defaultBodyLimit, type HttpServer } from '#http/server.ts'
import { compileCheck } from '#http/validation.ts'
import { authenticate, requireAudience } from './authenticate.ts'
import type { AccountPrincipal } from './principal.ts'
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
export interface StreamRoute {
  readonly methods: readonly ('GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE')[]
  /** Its last parameter takes the rest of the address, slashes and query included: `/v1/connections/{id}/proxy/{path}`. */
  readonly path: string
  readonly audience: 'member' | 'operator'
  readonly bodyLimit: number
}

export interface StreamRequest extends Circumstances {
  readonly principal: AccountPrincipal
  readonly method: string
  /** The named parameters before the last, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** The rest of the address as it was sent, undecoded, beginning with a slash: `/repos/a/b?x=1`. */
  readonly rest: string
  /** Absent where the method has none or it is empty. */
  readonly body: WebStream<Uint8Array> | undefined
}

export interface StreamAnswer {
  readonly status: number
  readonly headers: Iterable<readonly [string, string]>
  readonly body: WebStream<Uint8Array> | ReadableStream<Uint8Array> | null
}

export type StreamGuard = (
  route: StreamRoute,
  handler: (request: StreamRequest) => Promise<StreamAnswer>,
) => void

export interface Guards {
  readonly guard: Guard
  readonly guardStream: StreamGuard
}

/** The two ways a room registers its doors on the server. There is no third: no route exists without an audience. */
export function createGuards(dependencies: {
  http: HttpServer
  tokens: Pick<AccessTokens, 'verify'>
  log: Log
}): Guards {
  const { http, tokens, log } = dependencies

  async function identify(request: FastifyRequest, audience: Route['audience']) {
    if (audience === 'anyone') return undefined
    const principal = await authenticate(tokens, request.headers.authorization)
    request.caller = principal.id
    requireAudience(audience, principal)
    return principal
  }

  function circumstances(request: FastifyRequest, reply: FastifyReply): Circumstances {
    return {
      requestId: request.id,
      log: log.child({ requestId: request.id }),
      ip: request.ip,
      userAgent: request.headers['user-agent'] ?? '',
      cookies: request.headers.cookie === undefined ? {} : parseCookie(request.headers.cookie),
      headers: request.headers,
      signal: goneSignal(reply),
    }
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
      config: { quiet: route.path === '/live' || route.path === '/ready' },
      // Before the body is read: who may not call does not get to send.
      onRequest: async (request) => {
        request.principal = await identify(request, route.audience)
      },
      handler: async (request, reply) => {
        const answer = await handler({
          ...circumstances(request, reply),
          principal: request.principal as GuardedRequest<R>['principal'],
          params: checkParams?.(request.params) as Params<R>,
          query: checkQuery?.(request.query) as Query<R>,
          body: checkBody?.(request.body ?? (mayBeAbsent ? {} : undefined)) as Body<R>,
        })
        reply.code(answer.status)
        for (const cookie of answer.cookies ?? []) reply.header('set-cookie', written(cookie, http.secure))
        if (answer.headers !== undefined) reply.headers(answer.headers)
        return reply.send(answer.body ?? undefined)
      },
    })
  }

  function guardStream(route: StreamRoute, handler: (request: StreamRequest) => Promise<StreamAnswer>): void {
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
        onRequest: async (request) => {
          request.principal = await identify(request, route.audience)
        },
        handler: async (request, reply) => {
          const upload =
            request.body instanceof Readable ? new Upload(request.body, route.bodyLimit) : undefined
          upload?.requireSize(request.headers['content-length'])
          try {
            const answer = await handler({
              ...circumstances(request, reply),
              principal: request.principal as AccountPrincipal,
              method: request.method,
              params: request.params as Record<string, string>,
              rest: `/${request.raw.url?.split('/').slice(depth).join('/') ?? ''}`,
              body: upload?.stream,
            })
            return sendStream(reply, answer)
          } catch (thrown) {
            throw upload?.refusal ?? thrown
          }
        },
      })
    })
  }

  http.fastify.decorateRequest('principal', undefined)
  return { guard, guardStream }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whom the guard found; set before the body is read. */
    principal: AccountPrincipal | undefined
  }
}

/** A body on its way through, counted: whoever passes it on sees it fail at the limit, and so does the caller. */
class Upload {
  readonly stream: WebStream<Uint8Array>
  readonly #limit: number
  refusal: AtomError | undefined

  constructor(source: Readable, limit: number) {
    this.#limit = limit
    let bytes = 0
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        bytes += chunk.byteLength
        if (bytes > limit) {
          this.refusal = this.#tooLarge()
          throw this.refusal
        }
        controller.enqueue(chunk)
      },
    })
    this.stream = (Readable.toWeb(source) as WebStream<Uint8Array>).pipeThrough(counted)
  }

  /** @throws AtomError `payload_too_large` where the caller announces too much */
  requireSize(contentLength: string | undefined): void {
    if (Number(contentLength ?? 0) > this.#limit) throw this.#tooLarge()
  }

  #tooLarge(): AtomError {
    return new AtomError('payload_too_large', `The largest body accepted here is ${this.#limit} bytes.`)
  }
}

/** Aborts when the connection closes before the answer is out. Fastify's own signal also aborts once a body has been read. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) gone.abort()
  })
  return gone.signal
}

function sendStream(reply: FastifyReply, answer: StreamAnswer): FastifyReply {
  reply.code(answer.status)
  for (const [name, value] of answer.headers) reply.header(name, value)
  if (answer.body === null) return reply.send()
  return reply.send(Readable.fromWeb(answer.body as WebStream<Uint8Array>))
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
