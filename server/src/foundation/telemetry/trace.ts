import { AsyncLocalStorage } from 'node:async_hooks'

export interface SpanDescription {
  readonly name: string
  readonly kind: 'server' | 'client' | 'consumer' | 'internal'
  /** By the names of OpenTelemetry's semantic conventions; no secret and nothing that a person wrote. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>>
}

/** One piece of work of a trace that is kept. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** As the next one gets it (W3C Trace Context). */
  readonly traceparent: string
  child(description: SpanDescription): Span
  /** Work in a trace of its own, for what belongs to several. */
  apart(description: SpanDescription): Span
  /** Says at this one that it has to do with `other`, of whichever trace, without being a part of it. */
  link(other: Span): void
  note(attributes: NonNullable<SpanDescription['attributes']>): void
  /** It did not succeed; `type` is an error code or the name of a class. */
  fail(type: string): void
  end(): void
  /** Whoever works on this later, under this key, finds its way back to the trace. */
  leave(key: string): void
}

/** The span of whatever runs now; it is there only while something sampled runs. */
const active = new AsyncLocalStorage<Span | undefined>()

export function currentSpan(): Span | undefined {
  return active.getStore()
}

/** Everything that `work` begins belongs to the span. Ends nothing. */
export function within<T>(span: Span, work: () => T): T {
  return active.run(span, work)
}

/** Nothing that `work` begins belongs to the span of whoever happened to be the first to cause it. */
export function outside<T>(work: () => T): T {
  return active.getStore() === undefined ? work() : active.run(undefined, work)
}

/**
 * What is done for several at once. Of one traced it is a part; of more it is a part of none of them, but of a trace of its
 * own that is linked with each, so that no trace shows the work of another.
 *
 * @param describe asked only where more than one is traced
 */
export function onBehalfOf<T>(
  spans: ReadonlySet<Span>,
  work: () => Promise<T>,
  describe: () => SpanDescription,
): Promise<T> {
  const [first] = spans
  if (first === undefined) return work()
  if (spans.size === 1) return active.run(first, work)
  const together = first.apart(describe())
  for (const span of spans) {
    together.link(span)
    span.link(together)
  }
  return seen(together, work)
}

/** `work` as a piece of the trace that is kept now. Where none is, this costs one look, and nothing is described. */
export function spanAround<T>(work: () => Promise<T>, describe: () => SpanDescription): Promise<T> {
  const parent = active.getStore()
  if (parent === undefined) return work()
  return seen(parent.child(describe()), work)
}

/** Runs `work` within the span and ends it with what became of it. */
export async function seen<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await active.run(span, work)
  } catch (error) {
    span.fail(errorType(error))
    throw error
  } finally {
    span.end()
  }
}

export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return 'thrown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

export interface Arrived {
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  readonly sampled: boolean
}

const form = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

/** @returns what a `traceparent` says; undefined where it is none (W3C Trace Context, section 3.2) */
export function parseTraceparent(text: string | undefined): Arrived | undefined {
  if (text === undefined || text.length > 512) return undefined
  const [, version, traceId = '', spanId = '', flags = '', more] = form.exec(text) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
