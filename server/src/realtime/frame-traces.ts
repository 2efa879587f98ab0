import type { ClientFrameName } from '@atom/contract/socket.ts'
import type { AtomError } from '#foundation/errors.ts'
import { type Span, type SpanDescription, within } from '#foundation/telemetry/trace.ts'
import type { Tracing } from '#foundation/telemetry/tracing.ts'

/** One frame, or one message of several in a frame, as far as it is traced. */
export class FrameTrace {
  /** Where its trace was chosen to be kept. */
  readonly span: Span | undefined
  readonly #tracing: Tracing
  readonly #name: ClientFrameName
  readonly #traceparent: string | undefined
  readonly #began = performance.now()

  /** @param traceparent as it came: what is none names no trace */
  constructor(tracing: Tracing, name: ClientFrameName, traceparent: unknown) {
    this.#tracing = tracing
    this.#name = name
    this.#traceparent = typeof traceparent === 'string' ? traceparent : undefined
    this.span = tracing.arrive(this.#traceparent, () => described(name))
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return this.span === undefined ? work() : within(this.span, work)
  }

  /** It is answered. What failed, or took long, is kept in any case. @returns the trace that tells of it, where one does */
  end(refused?: AtomError): string | undefined {
    const failed = refused !== undefined && refused.row.status >= 500
    const error = failed ? refused.code : undefined
    if (this.span === undefined) {
      const ms = performance.now() - this.#began
      if (!this.#tracing.isRemarkable(failed, ms)) return undefined
      return this.#tracing.late(this.#traceparent, described(this.#name), { ms, error })
    }
    if (refused !== undefined) this.span.note({ 'atom.error_code': refused.code })
    if (error !== undefined) this.span.fail(error)
    this.span.end()
    return this.span.traceId
  }
}

/** What a frame has beside its body, as it came: anything at all. @returns the contract's `traceparent` of it, of any shape */
export function traceparentOf(context: unknown): unknown {
  return typeof context === 'object' && context !== null && 'traceparent' in context
    ? context.traceparent
    : undefined
}

/** Of several messages each has its own place in the contract's list. @returns none for what is not in it */
export function traceparentAt(traceparents: unknown, place: number): unknown {
  return Array.isArray(traceparents) ? traceparents[place] : undefined
}

function described(name: ClientFrameName): SpanDescription {
  return { name, kind: 'server', attributes: { 'atom.frame': name } }
}
