import type { Problem } from '@atom/contract/errors.ts'
import { errorTable } from '@atom/contract/errors.ts'
import type { Answer, Body, Params, Query, Route } from '@atom/contract/route.ts'
import { AtomClientError } from './atom-client-error.ts'
import { type TraceContext, traceContext } from './trace-context.ts'

type Needed<K extends string, V> = [V] extends [undefined]
  ? unknown
  : Record<never, never> extends V
    ? { [P in K]?: V }
    : { [P in K]: V }

/** What a route has to be given: its params, query and body, each only where the contract has it. */
export type CallParts<R extends Route> = Needed<'params', Params<R>> &
  Needed<'query', Query<R>> &
  Needed<'body', Body<R>> & { signal?: AbortSignal }

/** The parts as last argument of a call: optional where nothing in them is required. */
export type CallRest<R extends Route> =
  Record<never, never> extends CallParts<R> ? [parts?: CallParts<R>] : [parts: CallParts<R>]

interface LooseParts {
  readonly params?: Readonly<Record<string, unknown>>
  readonly query?: Readonly<Record<string, unknown>>
  readonly body?: unknown
  readonly signal?: AbortSignal
}

/** Long enough for a consent's token exchange or an embedded model's first load; a dead network is noticed earlier by the socket. */
const patienceMs = 30_000

/** One request, one answer. Knows the contract and no session. */
export class Http {
  readonly #baseUrl: string
  readonly #fetch: typeof fetch
  readonly #credentials: RequestCredentials
  /** In which trace the caller is; to be asked before anything is waited for. */
  readonly traceparent: TraceContext

  constructor(options: {
    baseUrl: string
    fetch: typeof fetch
    transport: 'cookie' | 'body'
    traceparent?: TraceContext
  }) {
    this.#baseUrl = options.baseUrl.replace(/\/+$/, '')
    this.#fetch = options.fetch
    this.traceparent = options.traceparent ?? traceContext(undefined)
    this.#credentials = options.transport === 'cookie' ? 'include' : 'omit'
  }

  /** @throws AtomClientError the server's problem, or `offline`, `timeout`, `aborted`, `bad_answer` */
  async send<R extends Route>(
    route: R,
    parts: CallParts<R> | undefined,
    accessToken?: string,
    traceparent = this.traceparent(),
  ): Promise<Answer<R>> {
    const { params, query, body, signal } = (parts ?? {}) as LooseParts
    const headers = new Headers({ accept: 'application/json' })
    if (accessToken !== undefined) headers.set('authorization', `Bearer ${accessToken}`)
    if (traceparent !== undefined) headers.set('traceparent', traceparent)
    if (body !== undefined) headers.set('content-type', 'application/json')
    const patience = AbortSignal.timeout(patienceMs)
    let status: number
    let text: string
    let response: Response
    try {
      response = await this.#fetch(this.#baseUrl + address(route.path, params, query), {
        method: route.method,
        headers,
        credentials: this.#credentials,
        cache: 'no-store',
        signal: signal ? AbortSignal.any([signal, patience]) : patience,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      status = response.status
      text = await response.text()
    } catch (thrown) {
      if (signal?.aborted) throw new AtomClientError('aborted', { cause: thrown })
      throw new AtomClientError(patience.aborted ? 'timeout' : 'offline', { cause: thrown })
    }
    const answer = text === '' ? null : parse(text)
    if (response.ok) {
      if (answer === unreadable) throw new AtomClientError('bad_answer', { status })
      // The shape is the contract's word: both sides run the same version of it, and the server checks what it promises.
      return answer as Answer<R>
    }
    throw refusal(answer, response)
  }
}

const unreadable = Symbol('unreadable')

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return unreadable
  }
}

function refusal(answer: unknown, response: Response): AtomClientError {
  const after = retryAfterMs(response.headers.get('retry-after'))
  if (isProblem(answer))
    return new AtomClientError(answer.code, { ...answer, retryAfterMs: answer.retryAfterMs ?? after })
  // Not Atom's words: a proxy in between. Its 502, 503 and 504 pass by themselves.
  return new AtomClientError('bad_answer', {
    status: response.status,
    retryable: response.status >= 500 || response.status === 429,
    retryAfterMs: after,
  })
}

function isProblem(answer: unknown): answer is Problem {
  return (
    typeof answer === 'object' &&
    answer !== null &&
    'code' in answer &&
    typeof answer.code === 'string' &&
    answer.code in errorTable
  )
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function retryAfterMs(field: string | null): number | undefined {
  if (field === null) return undefined
  const seconds = Number(field)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const at = Date.parse(field)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}

function address(path: string, params: LooseParts['params'], query: LooseParts['query']): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(params?.[name] ?? '')),
  )
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) search.set(name, String(value))
  }
  return search.size === 0 ? filled : `${filled}?${search}`
}
