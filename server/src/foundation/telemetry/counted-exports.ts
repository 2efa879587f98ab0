import type { PushMetricExporter, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { Log } from '#foundation/log.ts'
import { reasonOf } from './bounded-spans.ts'
import type { Metrics } from './metrics.ts'

type ExportDone = Parameters<PushMetricExporter['export']>[1]
const success = 0

/**
 * Metrics to an exporter, of whose failures OpenTelemetry's reader tells nobody: they are counted, and it is said once when they
 * begin and once when they are over.
 */
export class CountedExports implements PushMetricExporter {
  readonly #exporter: PushMetricExporter
  readonly #log: Log
  #taken = 0
  #failed = 0
  #failing = 0

  constructor(exporter: PushMetricExporter, metrics: Metrics, log: Log) {
    this.#exporter = exporter
    this.#log = log
    metrics.counter({
      name: 'atom_metric_exports_total',
      help: 'Times that the metrics were sent to the collector, by whether it took them',
      labels: ['outcome'],
      read: () => [
        [{ outcome: 'taken' }, this.#taken],
        [{ outcome: 'failed' }, this.#failed],
      ],
    })
  }

  export(metrics: ResourceMetrics, done: ExportDone): void {
    this.#exporter.export(metrics, (result) => {
      if (result.code === success) this.#succeed()
      else this.fail(result.error)
      done(result)
    })
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush()
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown()
  }

  /** Also where there was nothing to send, because what is counted could not be read. */
  fail(thrown: unknown): void {
    this.#failed++
    if (this.#failing++ > 0) return
    this.#log.warn(
      { why: reasonOf(thrown) },
      'the collector does not take the metrics; each interval is another try',
    )
  }

  #succeed(): void {
    this.#taken++
    if (this.#failing === 0) return
    this.#log.info({ failed: this.#failing }, 'the collector takes the metrics again')
    this.#failing = 0
  }
}
