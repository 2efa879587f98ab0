import { Buckets } from '#foundation/telemetry/buckets.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import type { Metrics } from '#foundation/telemetry/metrics.ts'
import { spanAround } from '#foundation/telemetry/trace.ts'

const families = ['select', 'insert', 'update', 'delete', 'with', 'transaction', 'other'] as const
type Family = (typeof families)[number]

/** Milliseconds; the buckets of OpenTelemetry's `db.client.operation.duration`. */
const bounds = [1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000]

/** What is counted of statements: how long they took, by what they begin with, and how many failed. */
export class DatabaseTraffic {
  /** Milliseconds, since they were taken last. */
  readonly fine = new FineHistogram()
  readonly #durations = new Map<Family, Buckets>()
  #failed = 0

  get failed(): number {
    return this.#failed
  }

  /** One statement, answered as it would be without. */
  async watch<T>(text: string, work: () => Promise<T>): Promise<T> {
    const family = familyOf(text)
    const began = performance.now()
    try {
      return await spanAround(work, () => ({
        name: family === 'transaction' ? (firstWord.exec(text)?.[1]?.toLowerCase() ?? family) : family,
        kind: 'client',
        attributes: {
          'db.system.name': 'postgresql',
          'db.operation.name': family,
          'db.query.text': text.trim(),
        },
      }))
    } catch (error) {
      this.#failed++
      throw error
    } finally {
      const ms = performance.now() - began
      this.fine.record(ms)
      this.#of(family).record(ms)
    }
  }

  register(metrics: Metrics, load: () => { size: number; inUse: number; waiting: number }): void {
    const durations = this.#durations
    metrics.histograms(
      'db_client_operation_duration_seconds',
      'How long statements took at the database, by what they begin with',
      function* () {
        for (const [family, { bounds: own, counts, sum }] of durations)
          yield {
            labels: { db_system_name: 'postgresql', db_operation_name: family },
            bounds: own,
            counts,
            sum,
          }
      },
      0.001,
    )
    metrics.counter({
      name: 'atom_database_statements_failed_total',
      help: 'Statements that PostgreSQL refused or never answered',
      read: () => this.#failed,
    })
    metrics.gauge({
      name: 'db_client_connection_max',
      help: 'Sessions that this process may have at work at once',
      read: () => load().size,
    })
    metrics.gauge({
      name: 'db_client_connection_count',
      help: 'Sessions of the pool, by whether they work',
      labels: ['db_client_connection_state'],
      read: () => {
        const { size, inUse } = load()
        return [
          [{ db_client_connection_state: 'used' }, inUse],
          [{ db_client_connection_state: 'idle' }, size - inUse],
        ]
      },
    })
    metrics.gauge({
      name: 'db_client_connection_pending_requests',
      help: 'Callers that wait for a session',
      read: () => load().waiting,
    })
  }

  #of(family: Family): Buckets {
    let durations = this.#durations.get(family)
    if (durations === undefined) {
      durations = new Buckets(bounds)
      this.#durations.set(family, durations)
    }
    return durations
  }
}

const firstWord = /^\s*(\w+)/

function familyOf(text: string): Family {
  const word = firstWord.exec(text)?.[1]?.toLowerCase() ?? ''
  if (word === 'begin' || word === 'commit' || word === 'rollback' || word === 'set') return 'transaction'
  return families.find((family) => family === word) ?? 'other'
}
