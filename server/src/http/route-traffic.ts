import { STATUS_CODES } from 'node:http'
import type { AtomError } from '#foundation/errors.ts'
import { Buckets } from '#foundation/telemetry/buckets.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import type { Bucketed, Metrics } from '#foundation/telemetry/metrics.ts'

/** What a route is for: what people may expect of its speed and availability is said by class. */
export type RouteClass = 'api' | 'sign_in' | 'proxy' | 'stream' | 'page' | 'probe' | 'unmatched'

/** Milliseconds; the buckets of OpenTelemetry's `http.server.request.duration`. */
const durationBounds = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000]
const sizeBounds = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 16_777_216]
/** A proxied answer has whatever status a provider thinks of. */
const mostStatuses = 24

/** What is counted of one method of one route. Everything but `inFlight` and `fine` only grows. */
export class RouteCounts {
  readonly method: string
  /** As the contract writes it: `/v1/rooms/{id}`; `unmatched` for every address that is no route's. */
  readonly route: string
  readonly class: RouteClass
  readonly statuses = new Map<number, Buckets>()
  /** Answers that were errors, by code. */
  readonly codes = new Map<string, { readonly category: string; count: number }>()
  readonly requestSizes = new Buckets(sizeBounds)
  readonly responseSizes = new Buckets(sizeBounds)
  /** Milliseconds, since they were taken last. */
  readonly fine = new FineHistogram()
  requests = 0
  inFlight = 0
  /** Answered with 500 or more for a reason that lies in this server: its own mistakes, its database, its capacity. */
  failed = 0
  /** Answered with 500 or more because somebody else, such as a provider, failed. */
  upstream = 0
  /** Answered with 400 to 499; 499 are those whose caller left before there was an answer. */
  refused = 0

  constructor(method: string, route: string, kind: RouteClass) {
    this.method = method
    this.route = route
    this.class = kind
  }

  /** @param sizes bytes of the bodies */
  finished(
    status: number,
    ms: number,
    sizes: { readonly request: number; readonly response: number },
    error: AtomError | undefined,
  ): void {
    this.inFlight--
    this.requests++
    this.fine.record(ms)
    let buckets = this.statuses.get(status)
    if (buckets === undefined) {
      const told =
        (STATUS_CODES[status] !== undefined || status === 499) && this.statuses.size < mostStatuses
          ? status
          : 0
      buckets = this.statuses.get(told) ?? new Buckets(durationBounds)
      this.statuses.set(told, buckets)
    }
    buckets.record(ms)
    this.requestSizes.record(sizes.request)
    this.responseSizes.record(sizes.response)
    if (error !== undefined) {
      const code = this.codes.get(error.code)
      if (code === undefined) this.codes.set(error.code, { category: error.row.category, count: 1 })
      else code.count++
    }
    if (this.isFailure(status, error)) {
      if (isOurs(error)) this.failed++
      else this.upstream++
    } else if (status >= 400 && status < 500) this.refused++
  }

  /** A probe that is told no has its answer: what it is told of has its own place, and a restart is no failure. */
  isFailure(status: number, error: AtomError | undefined): boolean {
    if (status < 500) return false
    return this.class !== 'probe' || (error !== undefined && error.row.category !== 'capacity')
  }
}

function isOurs(error: AtomError | undefined): boolean {
  return error !== undefined && (error.row.category === 'internal' || error.row.category === 'capacity')
}

/** A route that takes several methods, or none that is known. */
export class RouteEntry {
  /** As the router has it, as JSON. */
  readonly quoted: string
  readonly #route: string
  readonly #class: RouteClass
  readonly #all: RouteCounts[]
  readonly #byMethod = new Map<string, RouteCounts>()
  #last: RouteCounts | undefined

  constructor(url: string, kind: RouteClass, all: RouteCounts[]) {
    this.quoted = JSON.stringify(url)
    this.#route = written(url)
    this.#class = kind
    this.#all = all
  }

  of(method: string): RouteCounts {
    if (this.#last?.method === method) return this.#last
    let counts = this.#byMethod.get(method)
    if (counts === undefined) {
      counts = new RouteCounts(method, this.#route, this.#class)
      this.#byMethod.set(method, counts)
      this.#all.push(counts)
    }
    this.#last = counts
    return counts
  }
}

/**
 * What is counted of every route. A place is found when the route is registered, so a request pays for some additions; and
 * there are as many places as routes and methods, whatever addresses strangers try.
 */
export class RouteTraffic {
  readonly #all: RouteCounts[] = []
  readonly #unmatched = new RouteEntry('unmatched', 'unmatched', this.#all)
  readonly #pages = new RouteEntry('pages', 'page', this.#all)

  /** @param url as the router has it: `/v1/rooms/:id` */
  register(url: string): RouteEntry {
    return new RouteEntry(url, classOf(written(url)), this.#all)
  }

  /** For an address that nobody registered. Node's parser knows few methods, so these stay few. */
  unmatched(method: string): RouteCounts {
    return this.#unmatched.of(method)
  }

  /** For the addresses of the dashboard, which are the browser's own. */
  pages(method: string): RouteCounts {
    return this.#pages.of(method)
  }

  /** By `METHOD route`. */
  inFlight(): ReadonlyMap<string, number> {
    const found = new Map<string, number>()
    for (const { method, route, inFlight } of this.counts())
      if (inFlight > 0) found.set(`${method} ${route}`, inFlight)
    return found
  }

  /** Those that have had a request. */
  *counts(): Generator<RouteCounts> {
    for (const counts of this.#all) if (counts.requests > 0 || counts.inFlight > 0) yield counts
  }
}

/** As the contract writes it. */
function written(url: string): string {
  return url.replaceAll(/:(\w+)/g, '{$1}')
}

function classOf(route: string): RouteClass {
  if (!route.startsWith('/v1/')) return probes.has(route) ? 'probe' : 'page'
  if (route.startsWith('/v1/auth/') || route === '/v1/setup') return 'sign_in'
  if (route.endsWith('/*')) return 'proxy'
  return route.endsWith('/stream') ? 'stream' : 'api'
}

const probes: ReadonlySet<string> = new Set(['/live', '/ready', '/status', '/health', '/metrics'])

/** Names after OpenTelemetry's semantic conventions, written as Prometheus writes them; what those do not name begins with `atom_`. */
export function registerRouteMetrics(metrics: Metrics, traffic: RouteTraffic): void {
  const labelsOf = ({ method, route }: RouteCounts) => ({ http_request_method: method, http_route: route })
  const each = function* <T>(read: (counts: RouteCounts) => Iterable<T>): Generator<T> {
    for (const counts of traffic.counts()) yield* read(counts)
  }
  metrics.histograms(
    'http_server_request_duration_seconds',
    'From the arrival of a request to the end of its answer, by route and status',
    () =>
      each(function* (counts): Generator<Bucketed> {
        for (const [status, { bounds, counts: counted, sum }] of counts.statuses) {
          const code = status === 0 ? 'other' : String(status)
          yield {
            labels: { ...labelsOf(counts), http_response_status_code: code },
            bounds,
            counts: counted,
            sum,
          }
        }
      }),
    0.001,
  )
  const sizes = (of: (counts: RouteCounts) => Buckets) => () =>
    each(function* (counts): Generator<Bucketed> {
      const { bounds, counts: counted, sum } = of(counts)
      yield { labels: labelsOf(counts), bounds, counts: counted, sum }
    })
  metrics.histograms(
    'http_server_request_body_size_bytes',
    'Announced lengths of request bodies',
    sizes((counts) => counts.requestSizes),
  )
  metrics.histograms(
    'http_server_response_body_size_bytes',
    'Lengths of answers; of those that announce none, with their framing',
    sizes((counts) => counts.responseSizes),
  )
  metrics.gauge({
    name: 'http_server_active_requests',
    help: 'Requests under way',
    labels: ['http_request_method', 'http_route'],
    read: () =>
      each(function* (counts) {
        yield [labelsOf(counts), counts.inFlight] as const
      }),
  })
  metrics.counter({
    name: 'atom_http_errors_total',
    help: 'Requests answered with an error, by its code and category',
    labels: ['http_request_method', 'http_route', 'code', 'category'],
    read: () =>
      each(function* (counts) {
        for (const [code, { category, count }] of counts.codes)
          yield [{ ...labelsOf(counts), code, category }, count] as const
      }),
  })
  metrics.counter({
    name: 'atom_http_failures_total',
    help: 'Requests answered with 500 or more, by class of the route; cause server: its own mistake, database or capacity',
    labels: ['class', 'cause'],
    read: () => failures(traffic),
  })
  metrics.counter({
    name: 'atom_http_requests_total',
    help: 'Requests answered, by class of the route',
    labels: ['class'],
    read: () => {
      const byClass = new Map<string, number>()
      for (const { class: kind, requests } of traffic.counts())
        byClass.set(kind, (byClass.get(kind) ?? 0) + requests)
      return Array.from(byClass, ([kind, count]) => [{ class: kind }, count] as const)
    },
  })
}

function* failures(traffic: RouteTraffic) {
  const byClass = new Map<string, { server: number; upstream: number }>()
  for (const { class: kind, failed, upstream } of traffic.counts()) {
    const counts = byClass.get(kind) ?? { server: 0, upstream: 0 }
    counts.server += failed
    counts.upstream += upstream
    byClass.set(kind, counts)
  }
  for (const [kind, counts] of byClass)
    for (const [cause, count] of Object.entries(counts)) yield [{ class: kind, cause }, count] as const
}
