import {
  type Attributes,
  type Context,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
  ValueType,
} from '@opentelemetry/api'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { AlwaysOnSampler, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Log } from '#foundation/log.ts'
import { BoundedSpans, SpanLosses, spanBounds } from './bounded-spans.ts'
import { CountedExports } from './counted-exports.ts'
import type { Family, Metrics } from './metrics.ts'
import { type Arrived, parseTraceparent, type Span, type SpanDescription } from './trace.ts'
import type { SpanMaker } from './tracing.ts'

export interface OtlpOptions {
  /** Of the collector, such as `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are added. */
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  /** `service.name` and whatever else the operator says of this process. */
  readonly resource: Readonly<Record<string, string>>
  readonly metricIntervalMs: number
  /** How long spans are collected before they leave together. */
  readonly spanDelayMs?: number
}

const kinds = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
} as const

const scope = { name: 'atom' }
const exportTimeoutMs = 5_000

/**
 * Spans and metrics to an OpenTelemetry collector, by OTLP over HTTP with JSON. This file, `bounded-spans` and `counted-exports` are the
 * only ones that touch OpenTelemetry's packages, and they are imported only where a collector is configured: they weigh 20 MB of memory.
 * What is to be kept is decided before, so the sampler here takes everything.
 */
export class OtlpExport implements SpanMaker {
  readonly #provider: TracerProvider
  readonly #meters: MeterProvider
  readonly #losses: SpanLosses

  constructor(options: OtlpOptions, metrics: Metrics, log: Log) {
    const { endpoint, headers, metricIntervalMs } = options
    const resource = resourceFromAttributes({ ...options.resource })
    const to = (signal: string) => ({
      url: `${endpoint.replace(/\/+$/, '')}/v1/${signal}`,
      headers: { ...headers },
      timeoutMillis: exportTimeoutMs,
    })
    const losses = new SpanLosses(log)
    this.#losses = losses
    registerSpanMetrics(metrics, losses)
    this.#provider = new TracerProvider({
      resource,
      sampler: new AlwaysOnSampler(),
      spanLimits: { linkCountLimit: spanBounds.links },
      spanProcessors: [
        new BoundedSpans({
          exporter: new OTLPTraceExporter(to('traces')),
          delayMs: options.spanDelayMs ?? 2_000,
          losses,
        }),
      ],
    })
    const startTime = hrTime(performance.timeOrigin)
    const exports = new CountedExports(new OTLPMetricExporter(to('metrics')), metrics, log)
    this.#meters = new MeterProvider({
      resource,
      readers: [
        new PeriodicExportingMetricReader({
          exporter: exports,
          exportIntervalMillis: metricIntervalMs,
          exportTimeoutMillis: Math.min(exportTimeoutMs, metricIntervalMs),
          metricProducers: [
            {
              collect: async (): Promise<CollectionResult> => {
                const endTime = hrTime(Date.now())
                const families = await metrics.families().catch((error: unknown) => {
                  exports.fail(error)
                  throw error
                })
                return {
                  resourceMetrics: {
                    resource,
                    scopeMetrics: [
                      { scope, metrics: families.map((family) => metricData(family, startTime, endTime)) },
                    ],
                  },
                  errors: [],
                }
              },
            },
          ],
        }),
      ],
    })
  }

  begin(
    description: SpanDescription,
    { parent, startedAt, leave }: Parameters<SpanMaker['begin']>[1],
  ): ReturnType<SpanMaker['begin']> {
    const context =
      parent === undefined
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, { ...contextOf(parent), isRemote: true })
    return this.#spanOf(description, context, startedAt, leave)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A collector that is away must not keep the process: what it does not take in time is lost.
    await Promise.allSettled([this.#provider.shutdown(), this.#meters.shutdown()])
  }

  #spanOf(
    { name, kind, attributes }: SpanDescription,
    context: Context,
    startedAt: number | undefined,
    leave: (key: string, span: Span) => void,
  ): ReturnType<SpanMaker['begin']> {
    const span: OtelSpan = this.#provider.getTracer(scope.name).startSpan(
      name,
      {
        kind: kinds[kind],
        ...(attributes !== undefined && { attributes: this.#losses.fitting(attributes) as Attributes }),
        ...(startedAt !== undefined && { startTime: startedAt }),
      },
      context,
    )
    const { traceId, spanId } = span.spanContext()
    let links = 0
    const made: ReturnType<SpanMaker['begin']> = {
      traceId,
      traceparent: `00-${traceId}-${spanId}-01`,
      child: (description) => this.#spanOf(description, trace.setSpan(ROOT_CONTEXT, span), undefined, leave),
      apart: (description) => this.#spanOf(description, ROOT_CONTEXT, undefined, leave),
      link: ({ traceparent }) => {
        const other = parseTraceparent(traceparent)
        if (other === undefined) return
        if (++links > spanBounds.links) this.#losses.count('links')
        span.addLink({ context: contextOf(other) })
      },
      note: (noted) => void span.setAttributes(this.#losses.fitting(noted)),
      fail: (type) => {
        span.setAttribute('error.type', type)
        span.setStatus({ code: SpanStatusCode.ERROR })
      },
      end: (at?: number) => span.end(at),
      leave: (key) => leave(key, made),
    }
    return made
  }
}

function registerSpanMetrics(metrics: Metrics, losses: SpanLosses): void {
  metrics.counter({
    name: 'atom_trace_spans_exported_total',
    help: 'Spans that the collector took',
    read: () => losses.exported,
  })
  metrics.counter({
    name: 'atom_trace_spans_lost_total',
    help: 'Spans that it did not get: more came than were taken away (queue), or it did not take them (collector)',
    labels: ['reason'],
    read: () => (['queue', 'collector'] as const).map((reason) => [{ reason }, losses[reason]] as const),
  })
  metrics.counter({
    name: 'atom_trace_cut_total',
    help: 'Links of spans and attributes that were cut to their bounds',
    labels: ['what'],
    read: () => (['links', 'attributes'] as const).map((what) => [{ what }, losses[what]] as const),
  })
}

/** What is kept here was chosen, whatever its caller said of it. */
function contextOf({ traceId, spanId }: Arrived): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED }
}

function metricData(family: Family, startTime: [number, number], endTime: [number, number]): MetricData {
  const common = {
    descriptor: {
      name: family.name,
      description: family.help,
      unit: unitOf(family.name),
      valueType: ValueType.DOUBLE,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  }
  const times = { startTime, endTime }
  if (family.type === 'histogram') {
    return {
      ...common,
      dataPointType: DataPointType.HISTOGRAM,
      dataPoints: family.values.map(({ labels = {}, bounds, counts, sum }) => ({
        ...times,
        attributes: labels,
        value: {
          buckets: { boundaries: [...bounds], counts: [...counts] },
          sum,
          count: counts.reduce((total, count) => total + count, 0),
        },
      })),
    }
  }
  const dataPoints = family.values.map(({ labels, value }) => ({ ...times, attributes: labels, value }))
  return family.type === 'counter'
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...common, dataPointType: DataPointType.GAUGE, dataPoints }
}

function unitOf(name: string): string {
  if (/_seconds(_total)?$/.test(name)) return 's'
  return /_bytes(_total)?$/.test(name) ? 'By' : '1'
}

function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1_000)
  return [seconds, Math.round((ms - seconds * 1_000) * 1e6)]
}
