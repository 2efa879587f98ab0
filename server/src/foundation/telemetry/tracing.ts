import { type Arrived, errorType, parseTraceparent, type Span, type SpanDescription, seen } from './trace.ts'

/** Who makes spans of what was decided to be kept; times are milliseconds since 1970. */
export interface SpanMaker extends AsyncDisposable {
  begin(
    description: SpanDescription,
    options: { parent?: Arrived | undefined; startedAt: number; leave: (key: string, span: Span) => void },
  ): Span & { end(at?: number): void }
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
  late(
    traceparent: string | undefined,
    description: SpanDescription,
    outcome: { readonly ms: number; readonly error?: string | undefined },
  ): string {
    const now = Date.now()
    const span = this.#maker.begin(description, {
      parent: parseTraceparent(traceparent),
      startedAt: now - outcome.ms,
      leave: (key, left) => this.#leave(key, left),
    })
    span.note({ 'atom.kept_late': true })
    if (outcome.error !== undefined) span.fail(outcome.error)
    span.end(now)
    return span.traceId
  }

  /**
   * Work of our own, such as a turn: `traceparent` is what `left` gave, so it is trusted. Fails or takes long: kept in any
   * case.
   */
  async run<T>(
    traceparent: string | undefined,
    description: SpanDescription,
    work: () => Promise<T>,
  ): Promise<T> {
    const parent = parseTraceparent(traceparent)
    if (parent?.sampled === true || this.#random() < this.#ratio)
      return await seen(this.#begin(description, parent), work)
    const began = performance.now()
    try {
      return await work()
    } catch (error) {
      this.late(traceparent, description, { ms: performance.now() - began, error: errorType(error) })
      throw error
    }
  }

  /** The `traceparent` of whoever left this key; only a kept trace leaves any. */
  left(key: string): string | undefined {
    return this.#left.get(key)
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#maker[Symbol.asyncDispose]()
  }

  #begin(description: SpanDescription, parent: Arrived | undefined): Span {
    return this.#maker.begin(description, {
      parent,
      startedAt: Date.now(),
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
