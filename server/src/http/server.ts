import type { IncomingMessage, Server, ServerOptions } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { operationRoutes } from '@atom/contract/operations.ts'
import type { Route } from '@atom/contract/route.ts'
import {
  type FastifyContextConfig,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify'
import { errorText } from '#foundation/described-error.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Failures } from '#foundation/failure-groups.ts'
import { newPassingId } from '#foundation/ids.ts'
import { type Log, plainLines } from '#foundation/log.ts'
import { type Span, type SpanDescription, within } from '#foundation/telemetry/trace.ts'
import type { Tracing } from '#foundation/telemetry/tracing.ts'
import { Answer, answerOf } from './answer.ts'
import { AnswersUnderWay } from './answers-under-way.ts'
import { callerAddress } from './caller-address.ts'
import { isWithin } from './callers.ts'
import { ConnectionLimits, defaultMostConnections, type MostConnections } from './connection-limits.ts'
import { CrossOrigin } from './cross-origin.ts'
import { doorwayOf, type Edge } from './edge.ts'
import { answerBrokenConnection, answerError, isNavigation } from './error-handler.ts'
import { RouteTable } from './route-table.ts'
import type { RouteCounts, RouteEntry } from './route-traffic.ts'
import { RouteTraffic } from './route-traffic.ts'
import { securityFields } from './security-headers.ts'
import { type DrainRate, SlowReaders } from './slow-readers.ts'
import { parseStrictJson } from './strict-json.ts'
import { turnAway } from './turn-away.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** When it arrived, `performance.now()`. */
    arrivedAt: number
    /** Whom `access` found behind it; for the log line. */
    caller: string | undefined
    /** Where it is counted; undefined once it has been. */
    counts: RouteCounts | undefined
    /** What was said of its route when that was registered. Fastify puts it together anew for each who asks: asked once. */
    place: Place
    /** Where its trace is kept. */
    span: Span | undefined
    /** Of a trace that is kept, for the log line. */
    traceId: string | undefined
  }
  interface FastifyContextConfig {
    traffic?: RouteEntry
    /** Probes come every second: their lines are for `debug`. */
    quiet?: boolean
  }
}

type Place = FastifyContextConfig & { readonly url?: string }

export interface HttpServerOptions {
  readonly log: Log
  /** Hears of everything that was refused or failed. */
  readonly failures?: Pick<Failures, 'note'> | undefined
  /** The origin people use, such as `https://atom.example`. Where absent: the address it listens on. */
  readonly publicUrl?: string | undefined
  /** Addresses or networks whose `X-Forwarded-For` is believed, right to left. None where absent. */
  readonly trustedProxies?: readonly string[]
  /** Origins besides its own whose pages may call. */
  readonly allowedOrigins?: readonly string[]
  /** How long header fields may take to arrive, and how long the whole request, in ms. */
  readonly headersTimeoutMs?: number
  readonly requestTimeoutMs?: number
  /** How slowly answers may be read, and how many connections may be open. */
  readonly drainRate?: DrainRate
  readonly mostConnections?: MostConnections
  /** How long requests under way may take once the server closes; then they are cut. */
  readonly closeMs?: number
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined
}

/** Largest body where a route names no other, in bytes. */
export const defaultBodyLimit = 64 * 1024

/**
 * How many may stand before the door until they are let in; the kernel may allow fewer. Who finds no place there is dropped, and
 * knocks again only after a second: under load it is better to stand, and to be turned away soon.
 */
const backlog = 2_048

/** The status of a request whose caller left before there was one, as nginx calls it. */
const callerLeft = 499

/** Below these an unknown address is a mistake, never a page. */
const apiFolders = ['/v1', '/docs', '/webhooks', '/mcp', '/socket.io', '/assets', '/.well-known']

/** Doors by which others learn how the process is; they are never turned away. */
const probes: ReadonlySet<string> = new Set(
  Object.values<Route>(operationRoutes).flatMap(({ path, priority }) => (priority === 'probe' ? [path] : [])),
)

export type OpenHandler = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>

export type Phase = 'starting' | 'ready' | 'draining'

/** The HTTP side of the process. It knows no room: `app.ts` lets each room register its doors on it. */
export class HttpServer implements AsyncDisposable {
  readonly fastify: FastifyInstance
  readonly routes = new RouteTable()
  /** What is counted of requests. */
  readonly traffic = new RouteTraffic()
  readonly crossOrigin: CrossOrigin
  /** Where a request comes from, for those who speak another protocol on the same port. */
  readonly addressOf: (request: IncomingMessage) => string
  readonly #options: HttpServerOptions
  readonly #givenUrl: string | undefined
  readonly connections: ConnectionLimits
  readonly slowReaders: SlowReaders
  readonly #looking: NodeJS.Timeout
  /** The one line of a request that went as it should. */
  readonly #line: (fields: () => string) => void
  #edge: Edge | undefined
  readonly #answers = new AnswersUnderWay()
  #closeMs: number
  #cut = 0
  #phase: Phase = 'starting'
  #address: string | undefined
  #bound: { readonly host: string; readonly port: number } | undefined
  #closed: Promise<void> | undefined
  #otherwise: OpenHandler | undefined

  constructor(options: HttpServerOptions) {
    this.#options = options
    this.#line = plainLines(options.log, 'info', 'request')
    this.#closeMs = options.closeMs ?? 10_000
    this.#givenUrl = options.publicUrl?.replace(/\/+$/, '')
    this.addressOf = callerAddress(options.trustedProxies ?? [])
    const proxies = options.trustedProxies ?? []
    this.connections = new ConnectionLimits({
      most: options.mostConnections ?? defaultMostConnections,
      isProxy: (address) => proxies.some((network) => isWithin(address, network)),
      log: options.log,
    })
    this.slowReaders = new SlowReaders(options.drainRate)
    this.crossOrigin = new CrossOrigin({ allowed: options.allowedOrigins ?? [], own: () => this.publicUrl })
    this.fastify = fastify({
      logger: false,
      genReqId: () => newPassingId(),
      bodyLimit: defaultBodyLimit,
      trustProxy: options.trustedProxies?.length ? [...options.trustedProxies] : false,
      // Fastify turns Node's own limit off; slow senders would then hold their connection for ever.
      requestTimeout: options.requestTimeoutMs ?? 30_000,
      keepAliveTimeout: 72_000,
      http: {
        ServerResponse: Answer,
        headersTimeout: options.headersTimeoutMs ?? 10_000,
        connectionsCheckingInterval: 1_000,
        maxHeaderSize: 16_384,
        // `refusedFraming` asks for it: Node's own answer has no body, and is counted nowhere.
        requireHostHeader: false,
        joinDuplicateHeaders: false,
      },
      routerOptions: { maxParamLength: 4_096 },
      exposeHeadRoutes: true,
      return503OnClosing: false,
      forceCloseConnections: 'idle',
      frameworkErrors: (error, request, reply) => {
        this.#begin(request, reply)
        const answer = (refusal: AtomError | undefined) => {
          this.#fail(refusal ?? error, request, reply)
        }
        const outcome = this.#edge?.arrive(request, reply)
        // Where nodes count together the answer comes later; who may not come in may not come in by a broken address either.
        if (outcome instanceof Promise) outcome.then(answer, (thrown) => answer(asAtomError(thrown)))
        else answer(outcome)
      },
      clientErrorHandler: (failure, socket) =>
        answerBrokenConnection(failure, socket, {
          log: options.log,
          failures: options.failures,
          publicUrl: this.publicUrl,
          underWay: this.#answers.hasBegun(socket),
        }),
    })
    this.#ignoreOffers()
    this.connections.watch(this.fastify.server)
    this.#looking = setInterval(
      () => this.slowReaders.look(this.#answering()),
      (options.drainRate?.overMs ?? 30_000) / 10,
    )
    this.#looking.unref()
    this.fastify.addHook('onRoute', (route) => {
      // A route's HEAD has the same object; each gets its own.
      route.config = { ...route.config, traffic: this.traffic.register(route.url) }
    })
    this.#acceptOnlyStrictJson()
    this.fastify.addHook('onRequest', (request, reply, done) => {
      this.#begin(request, reply)
      const refusal = refusedFraming(request.raw)
      if (refusal !== undefined) return done(refusal)
      const preflight = this.crossOrigin.mark(request, reply)
      const outcome = this.#edge?.arrive(request, reply)
      if (outcome instanceof Promise) {
        outcome.then((late) => this.#goOn(late, preflight, reply, done), done)
      } else this.#goOn(outcome, preflight, reply, done)
    })
    // Reading a body leaves the span: its pieces arrive in the name of the connection.
    if (options.tracing !== undefined)
      this.fastify.addHook('preHandler', (request, _reply, done) => {
        if (request.span === undefined) done()
        else within(request.span, done)
      })
    this.fastify.setErrorHandler((thrown, request, reply) => this.#fail(thrown, request, reply))
    this.fastify.setNotFoundHandler((request, reply) => this.#nothingHere(request, reply))
  }

  /** Node's server, for those who speak another protocol on the same port. */
  get node(): Server {
    return this.fastify.server
  }

  /** The origin people use, without a slash at its end. */
  get publicUrl(): string {
    return this.#givenUrl ?? this.#address ?? 'http://127.0.0.1'
  }

  /** People reach it over https, so cookies are `Secure`. */
  get secure(): boolean {
    return this.publicUrl.startsWith('https:')
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Requests that wait for the end of their answer. */
  get underWay(): number {
    return this.#answers.count
  }

  /** Requests that were cut because they did not end in time. */
  get cut(): number {
    return this.#cut
  }

  /**
   * Opens the port; 0 takes a free one. From here on requests are answered; `/ready` says so after `takeTraffic`.
   *
   * @returns the origin it listens on
   */
  async listen(address: { host: string; port: number }): Promise<string> {
    await this.fastify.listen({ host: address.host, port: address.port, backlog })
    const bound = this.node.address() as AddressInfo
    const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address
    this.#address = `http://${host}:${bound.port}`
    const any = bound.family === 'IPv6' ? '::1' : '127.0.0.1'
    this.#bound = { host: /^(0\.0\.0\.0|::)$/.test(bound.address) ? any : bound.address, port: bound.port }
    return this.#address
  }

  /** Registers a door of the server itself: for anyone, without a body. Rooms register theirs through `createGuards`. */
  get(path: string, handler: OpenHandler, options: { quiet?: boolean } = {}): void {
    this.routes.add(path, ['GET'])
    const doorway = doorwayOf({
      path,
      method: 'GET',
      guarded: false,
      ...(probes.has(path) && { priority: 'probe' }),
    })
    this.fastify.get(path, { config: { quiet: options.quiet === true, doorway } }, handler)
  }

  /** What a browser gets that goes, as to a page, to an address that nobody registered and that is not the API's. */
  otherwise(handler: OpenHandler): void {
    this.#otherwise = handler
  }

  /** Where it can be reached from this machine; once it listens. */
  get bound(): { readonly host: string; readonly port: number } | undefined {
    return this.#bound
  }

  /** From now on every request passes this first. */
  protect(edge: Edge): void {
    this.#edge = edge
  }

  get edge(): Edge | undefined {
    return this.#edge
  }

  takeTraffic(): void {
    if (this.#phase === 'starting') this.#phase = 'ready'
  }

  /**
   * Tells balancers to look away (`/ready` becomes 503, answers close their connection, those under way as well) and goes on
   * serving for `graceMs`. Closing at once instead was measured to drop requests and to hang on kept-alive connections.
   */
  async drain(graceMs = 0): Promise<void> {
    this.#phase = 'draining'
    this.#answers.closeAfterwards()
    await pause(graceMs)
  }

  /** How long requests under way may take from the moment of closing, instead of what was given at first. */
  allowClosing(ms: number): void {
    this.#closeMs = ms
  }

  /** Stops listening, lets requests under way finish for at most `closeMs`, and cuts what is left. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#phase = 'draining'
    this.#answers.closeAfterwards()
    // A connection that turns idle after the server stopped listening is closed by nobody else (Node looks once).
    const sweep = setInterval(() => {
      this.node.closeIdleConnections()
      // Node takes who has sent nothing yet for busy; browsers open such connections in advance.
      for (const socket of this.connections.open) if (socket.bytesRead === 0) socket.destroy()
    }, 50)
    const cut = setTimeout(() => {
      this.#cut = this.#answers.count
      if (this.connections.open.size > 0)
        this.#options.log.warn(
          { connections: this.connections.open.size, requests: this.#cut },
          'connections cut: they did not end in time',
        )
      for (const socket of this.connections.open) socket.destroy()
    }, this.#closeMs)
    try {
      await this.fastify.close()
    } finally {
      clearInterval(sweep)
      clearInterval(this.#looking)
      clearTimeout(cut)
    }
  }

  #acceptOnlyStrictJson(): void {
    this.fastify.removeAllContentTypeParsers()
    this.fastify.addContentTypeParser(
      /^application\/json\s*(?:;\s*charset="?utf-8"?\s*)?$/i,
      { parseAs: 'buffer' },
      (_request, body, done) => {
        try {
          done(null, body.length === 0 ? undefined : parseStrictJson(body as Buffer))
        } catch (thrown) {
          done(thrown as AtomError)
        }
      },
    )
  }

  #goOn(
    refusal: AtomError | undefined,
    preflight: boolean,
    reply: FastifyReply,
    done: (error?: AtomError) => void,
  ): void {
    if (refusal === undefined) {
      if (preflight) this.crossOrigin.allow(reply)
      else if (reply.request.span === undefined) done()
      else within(reply.request.span, done)
    } else if (reply.request.turnedAway) turnAway(reply, refusal, this.publicUrl)
    else done(refusal)
  }

  /**
   * What HTTP lets a server pass over, it passes over: Node would answer some of it by itself, past everything that stands at the
   * door, and close the connection of whoever offers HTTP/2, as Java's clients do with every request (RFC 9110 7.8, 10.1.1).
   */
  #ignoreOffers(): void {
    const { node } = this
    node.on('checkExpectation', (request, response) => node.emit('request', request, response))
    Object.assign(node, {
      shouldUpgradeCallback: ({ headers }: IncomingMessage) =>
        headers.upgrade?.toLowerCase() === 'websocket' && node.listenerCount('upgrade') > 0,
    } satisfies ServerOptions)
  }

  /** Connections that asked for something over HTTP; those that became WebSockets have rules of their own. */
  *#answering(): Iterable<Socket> {
    for (const socket of this.connections.open) if (this.#answers.has(socket)) yield socket
  }

  /** Everything that a request carries along is set here, in one go and one order: each request then has the same shape. */
  #begin(request: FastifyRequest, reply: FastifyReply): void {
    const answer = answerOf(reply.raw)
    const place: Place = request.routeOptions.config ?? {}
    const counts = place.traffic?.of(request.method) ?? this.traffic.unmatched(request.method)
    counts.inFlight++
    request.arrivedAt = performance.now()
    request.place = place
    request.counts = counts
    request.caller = undefined
    request.answeredWith = undefined
    request.unlimited = false
    request.turnedAway = false
    request.span = undefined
    request.traceId = undefined
    this.#answers.begin(answer)
    // Comes once for each answer: when it is out, or when its caller has left before.
    answer.on('close', () => this.#end(request, answer))
    const { tracing } = this.#options
    if (tracing !== undefined) {
      request.span = tracing.arrive(traceparentOf(request), () => spanOf(request.method, counts))
      request.traceId = request.span?.traceId
    }
    answer.standOn(securityFields(this.secure))
    answer.stand('x-request-id', request.id)
    if (this.#phase === 'draining') answer.stand('connection', 'close')
  }

  #fail(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (thrown instanceof AtomError && thrown.retryAfterMs !== undefined)
      for (const policy of thrown.policies ?? [])
        this.#edge?.limits.sayRefused(answerOf(reply.raw), policy, thrown.retryAfterMs)
    return answerError(thrown, request, reply, this.publicUrl)
  }

  async #nothingHere(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const path = request.url.split('?', 1)[0] ?? ''
    const methods = this.routes.methodsAt(path)
    if (methods.length > 0) {
      reply.header('allow', methods.join(', '))
      return this.#fail(new AtomError('method_not_allowed'), request, reply)
    }
    const mayBePage = !apiFolders.some((folder) => path === folder || path.startsWith(`${folder}/`))
    if (this.#otherwise !== undefined && mayBePage && (path === '/' || isNavigation(request)))
      return await this.#page(this.#otherwise, request, reply)
    return this.#fail(new AtomError('not_found'), request, reply)
  }

  async #page(handler: OpenHandler, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (request.counts !== undefined) {
      request.counts.inFlight--
      request.counts = this.traffic.pages(request.method)
      request.counts.inFlight++
      request.span?.note({ 'http.route': request.counts.route })
    }
    return await handler(request, reply)
  }

  #end(request: FastifyRequest, answer: Answer): void {
    const { counts } = request
    if (counts === undefined) return
    request.counts = undefined
    const ms = performance.now() - request.arrivedAt
    const status = answer.headersSent ? answer.statusCode : callerLeft
    this.#trace(request, counts, status, ms)
    const announced = request.headers['content-length']
    counts.finished(
      status,
      ms,
      {
        request: announced === undefined ? 0 : Number(announced) || 0,
        response: answer.bodyBytes(request.raw.socket),
      },
      request.answeredWith,
    )
    // Of a caller who left there is a count, and no line.
    if (answer.writableFinished) this.#tell(request, counts, status, ms)
  }

  /** Ends the span of a request; one that failed or took long without having one gets it now. */
  #trace(request: FastifyRequest, counts: RouteCounts, status: number, ms: number): void {
    const { tracing } = this.#options
    if (tracing === undefined) return
    const failed = counts.isFailure(status, request.answeredWith)
    const error = failed ? (request.answeredWith?.code ?? String(status)) : undefined
    const outcome = () => ({ 'http.response.status_code': status, 'atom.request_id': request.id })
    if (request.span !== undefined) {
      request.span.note(outcome())
      if (error !== undefined) request.span.fail(error)
      request.span.end()
    } else if (tracing.isRemarkable(failed, counts.class === 'stream' ? 0 : ms)) {
      const { attributes, ...description } = spanOf(request.method, counts)
      request.traceId = tracing.late(
        traceparentOf(request),
        { ...description, attributes: { ...attributes, ...outcome() } },
        { ms, error },
      )
    }
  }

  /** The one line of a request. What went wrong stands in it with its cause; only unknown failures carry a stack. */
  #tell(request: FastifyRequest, counts: RouteCounts, status: number, ms: number): void {
    const error = request.answeredWith
    const { place } = request
    if (error === undefined && !request.turnedAway && place.quiet !== true) {
      this.#line(() => plainFields(request, counts, status, ms))
      return
    }
    // Addresses of the dashboard are the browser's own, and bear one name.
    const route = place.url ?? counts.route
    if (error !== undefined && (status < 500 || counts.isFailure(status, error))) {
      const where = `${request.method} ${route}`
      const { id: requestId, traceId } = request
      this.#options.failures?.note({ door: 'http', place: where, error, requestId, traceId })
    }
    // Of those who are turned away there are many, and their lines are for `debug`.
    if (request.turnedAway && !this.#options.log.isLevelEnabled('debug')) return
    const line = {
      requestId: request.id,
      ...(request.traceId !== undefined && { traceId: request.traceId }),
      method: request.method,
      route,
      status,
      ms: tenths(ms),
      ...(request.caller !== undefined && { caller: request.caller }),
      ...(error !== undefined && { code: error.code }),
    }
    if (error?.code === 'internal')
      this.#options.log.error({ ...line, failure: errorText(error.cause) }, 'request failed')
    // A probe that is told no is no trouble of this server, and comes again and again.
    else if (error !== undefined && error.row.status >= 500 && !request.turnedAway && place.quiet !== true)
      this.#options.log.warn({ ...line, failure: errorText(error.cause) }, 'request refused')
    else if (request.turnedAway || place.quiet === true) this.#options.log.debug(line, 'request')
    else this.#options.log.info(line, 'request')
  }
}

/** Nothing in it was chosen by a stranger: ids of our own, a method that Node's parser knows, a route as it was registered. */
function plainFields(
  { id, traceId, method, place, caller }: FastifyRequest,
  counts: RouteCounts,
  status: number,
  ms: number,
): string {
  const trace = traceId === undefined ? '' : `"traceId":"${traceId}",`
  const by = caller === undefined ? '' : `,"caller":"${caller}"`
  const route = place.traffic?.quoted ?? JSON.stringify(counts.route)
  return `"requestId":"${id}",${trace}"method":"${method}","route":${route},"status":${status},"ms":${tenths(ms)}${by}`
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10
}

function traceparentOf({ headers }: FastifyRequest): string | undefined {
  const { traceparent } = headers
  return typeof traceparent === 'string' ? traceparent : undefined
}

/** By the route, never by the address: that may hold what only its caller may know. */
function spanOf(method: string, counts: RouteCounts | undefined): SpanDescription {
  const route = counts?.route ?? 'unmatched'
  return {
    name: `${method} ${route}`,
    kind: 'server',
    attributes: { 'http.request.method': method, 'http.route': route },
  }
}

export function createHttpServer(options: HttpServerOptions): HttpServer {
  return new HttpServer(options)
}

/** Framing that Node lets pass but that two servers in a row may read differently (RFC 9112 3.2, 3.2.2). */
function refusedFraming(request: IncomingMessage): AtomError | undefined {
  let hosts = 0
  for (let at = 0; at < request.rawHeaders.length; at += 2)
    if (request.rawHeaders[at]?.length === 4 && request.rawHeaders[at]?.toLowerCase() === 'host') hosts++
  if (hosts === 0 && request.httpVersion === '1.1')
    return new AtomError('malformed_request', 'The Host field is missing.')
  if (hosts > 1) return new AtomError('malformed_request', 'The Host field stands more than once.')
  if (!request.url?.startsWith('/'))
    return new AtomError('malformed_request', 'The address must begin with a slash.')
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    return new AtomError('unsupported_media_type', 'Send the body without a content encoding.')
  return undefined
}
