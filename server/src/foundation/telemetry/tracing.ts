import {
  type Arrived,
  errorType,
  parseTraceparent,
  type Span,
  type SpanDescription,
  within,
} from './trace.ts'

/** Who makes spans of what was decided to be kept; times are milliseconds since 1970. */
export interface SpanMaker extends AsyncDisposable {
  begin(
    description: SpanDescription,
    options: { parent?: Arrived | undefined; startedAt: number; leave: (key: string, span: Span) => void },
  ): MadeSpan
}

type MadeSpan = Span & { end(at?: number): void }

/** What became of work that is over: an error code or the name of a class where it failed. */
interface Outcome {
  readonly ms: number
  readonly error?: string | undefined
}

export interface TracingOptions {
  readonly maker: SpanMaker
  /** The part of requests and turns whose trace is kept, 0 to 1. */
  readonly ratio: number
  /** What takes longer is kept in any case, as one span, in milliseconds. */
  readonly slowMs?: number
  /** So many callers in a second may have their own trace kept by saying so. */
  readonly askedPerSecond?: number
  readonly random?: () => number
}

const mostLeft = 10_000

/**
 * Decides which traces are kept before anything is spent on them: of most requests there is one drawn number. What fails or
 * takes long without having been chosen is still told, as one span made afterwards from what is known of it anyway.
 */
export class Tracing implements AsyncDisposable {
  readonly #maker: SpanMaker
  readonly #ratio: number
  readonly #slowMs: number
  readonly #askedPerSecond: number
  readonly #random: () => number
  readonly #left = new Map<string, string>()
  #second = 0
  #asked = 0

  constructor(options: TracingOptions) {
    this.#maker = options.maker
    this.#ratio = options.ratio
    this.#slowMs = options.slowMs ?? 1_000
    this.#askedPerSecond = options.askedPerSecond ?? 10
    this.#random = options.random ?? Math.random
  }

  /**
   * A stranger's `traceparent` names the trace, and its sampled flag is honoured for a bounded number of requests a second:
   * nobody outside decides what tracing costs.
   *
   * @param describe asked only where the trace is kept
   */
  arrive(traceparent: string | undefined, describe: () => SpanDescription): Span | undefined {
    const parent = parseTraceparent(traceparent)
    const wanted = (parent?.sampled === true && this.#mayAsk()) || this.#random() < this.#ratio
    return wanted ? this.#begin(describe(), parent) : undefined
  }

  /** Whether what was not chosen is to be kept after all. */
  isRemarkable(failed: boolean, ms: number): boolean {
    return failed || ms >= this.#slowMs
  }

  /** One span for what is over. @returns its trace */
  late(traceparent: string | undefined, description: SpanDescription, outcome: Outcome): string {
    const span = this.#late(traceparent, description, outcome)
    span.end(Date.now())
    return span.traceId
  }

  /**
   * Work of our own, such as a turn: `traceparent` is what `left` gave, so it is trusted. What fails is kept in any case.
   *
   * @param recover what follows from a failure, still within the trace that tells of it
   */
  async run(
    traceparent: string | undefined,
    description: SpanDescription,
    work: () => Promise<void>,
    recover: (thrown: unknown) => Promise<void>,
  ): Promise<void> {
    const parent = parseTraceparent(traceparent)
    const chosen = parent?.sampled === true || this.#random() < this.#ratio
    let span = chosen ? this.#begin(description, parent) : undefined
    const began = performance.now()
    try {
      await (span === undefined ? work() : within(span, work))
    } catch (thrown) {
      const error = errorType(thrown)
      if (span === undefined)
        span = this.#late(traceparent, description, { ms: performance.now() - began, error })
      else span.fail(error)
      await within(span, () => recover(thrown))
    } finally {
      span?.end()
    }
  }

  /** The `traceparent` of whoever left this key; only a kept trace leaves any. */
  left(key: string): string | undefined {
    return this.#left.get(key)
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#maker[Symbol.asyncDispose]()
  }

  #late(traceparent: string | undefined, description: SpanDescription, { ms, error }: Outcome): MadeSpan {
    const span = this.#begin(description, parseTraceparent(traceparent), Date.now() - ms)
    span.note({ 'atom.kept_late': true })
    if (error !== undefined) span.fail(error)
    return span
  }

  #begin(description: SpanDescription, parent: Arrived | undefined, startedAt = Date.now()): MadeSpan {
    return this.#maker.begin(description, {
      parent,
      startedAt,
      leave: (key, span) => this.#leave(key, span),
    })
  }

  #leave(key: string, { traceparent }: Span): void {
    const [oldest] = this.#left.keys()
    if (this.#left.size >= mostLeft && oldest !== undefined) this.#left.delete(oldest)
    this.#left.set(key, traceparent)
  }

  #mayAsk(): boolean {
    const second = Math.floor(performance.now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#asked = 0
    }
    return ++this.#asked <= this.#askedPerSecond
  }
}
