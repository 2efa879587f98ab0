import {
  BatchSpanProcessor,
  type ReadableSpan,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace'
import type { Log } from '#foundation/log.ts'
import { outside, type SpanDescription } from './trace.ts'

/** Links of one span, spans that wait for the collector (those on their way among them), characters of one attribute. */
export const spanBounds = { links: 128, waiting: 2_048, attributeLength: 4_096 }

/** That traces are incomplete is said so often at most, in ms. */
const sayEveryMs = 60_000

type ExportResult = Parameters<Parameters<SpanExporter['export']>[1]>[0]
const success = 0

type Attributes = NonNullable<SpanDescription['attributes']>

/** What of the traces did not get through whole, since the start. */
export class SpanLosses {
  exported = 0
  /** More came than were taken away. */
  queue = 0
  /** The collector did not take them. */
  collector = 0
  /** Links beyond the bound, of which the oldest go. */
  links = 0
  /** Attributes that were cut to the bound. */
  attributes = 0
  readonly #log: Log
  #saidAt = Number.NEGATIVE_INFINITY

  constructor(log: Log) {
    this.#log = log
  }

  /** @param why of what the collector did not take */
  count(what: 'queue' | 'collector' | 'links' | 'attributes', many = 1, why?: string): void {
    this[what] += many
    const now = performance.now()
    if (now - this.#saidAt < sayEveryMs) return
    this.#saidAt = now
    const { queue, collector, links, attributes } = this
    this.#log.warn(
      { queue, collector, links, attributes, ...(why !== undefined && { why }) },
      'traces are incomplete: so much was lost or cut so far',
    )
  }

  /** The same, with every text cut to the bound. */
  fitting(of: Attributes): Attributes {
    let cut: Record<string, Attributes[string]> | undefined
    for (const [name, value] of Object.entries(of)) {
      if (typeof value !== 'string' || value.length <= spanBounds.attributeLength) continue
      this.count('attributes')
      cut ??= { ...of }
      cut[name] = value.slice(0, spanBounds.attributeLength)
    }
    return cut ?? of
  }
}

/** Spans in batches to an exporter, as OpenTelemetry's own processor sends them; what it would drop without a word is counted. */
export class BoundedSpans implements SpanProcessor {
  readonly #batches: BatchSpanProcessor
  readonly #losses: SpanLosses
  #waiting = 0

  constructor(options: {
    readonly exporter: SpanExporter
    readonly delayMs: number
    readonly losses: SpanLosses
  }) {
    const { exporter, delayMs, losses } = options
    this.#losses = losses
    this.#batches = new BatchSpanProcessor({
      exporter: {
        export: (spans, done) =>
          exporter.export(spans, (result) => this.#exported(spans.length, result, done)),
        shutdown: () => exporter.shutdown(),
        forceFlush: async () => await exporter.forceFlush?.(),
      },
      scheduledDelayMillis: delayMs,
      maxQueueSize: spanBounds.waiting,
    })
  }

  onStart(): void {
    // Nothing is decided here: what is begun was chosen.
  }

  onEnd(span: ReadableSpan): void {
    if (this.#waiting >= spanBounds.waiting) {
      this.#losses.count('queue')
      return
    }
    this.#waiting++
    this.#batches.onEnd(span)
  }

  forceFlush(): Promise<void> {
    return this.#batches.forceFlush()
  }

  shutdown(): Promise<void> {
    return this.#batches.shutdown()
  }

  #exported(spans: number, result: ExportResult, done: (result: ExportResult) => void): void {
    this.#waiting -= spans
    if (result.code === success) this.#losses.exported += spans
    // The batch left within whichever trace began it; what is lost is of many.
    else outside(() => this.#losses.count('collector', spans, reasonOf(result.error)))
    done(result)
  }
}

/** What the exporter says of a failure, such as `Bad Request` or `connect ECONNREFUSED 127.0.0.1:4318`. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error && thrown.message !== '' ? thrown.message : 'it does not say'
}
