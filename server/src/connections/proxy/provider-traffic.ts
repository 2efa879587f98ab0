import { AtomError } from '#foundation/errors.ts'
import { Buckets } from '#foundation/telemetry/buckets.ts'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import type { Metrics } from '#foundation/telemetry/metrics.ts'
import { spanAround } from '#foundation/telemetry/trace.ts'

/** Milliseconds; the buckets of OpenTelemetry's `http.client.request.duration`. */
const bounds = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000]

/** What is counted of one provider, by the outcome of its requests: `2xx` to `5xx`, or `unreachable`. */
export class ProviderCounts {
  readonly outcomes = new Map<string, Buckets>()
  /** Milliseconds, since they were taken last. */
  readonly fine = new FineHistogram()
  /** Answered with 500 or more, or not at all. */
  failed = 0

  record(outcome: string, ms: number): void {
    let buckets = this.outcomes.get(outcome)
    if (buckets === undefined) {
      buckets = new Buckets(bounds)
      this.outcomes.set(outcome, buckets)
    }
    buckets.record(ms)
    this.fine.record(ms)
    if (outcome === '5xx' || outcome === 'unreachable') this.failed++
  }
}

/** Requests to providers until their answers begin. There are as many providers as the catalogue has. */
export class ProviderTraffic {
  readonly #providers = new Map<string, ProviderCounts>()

  providers(): Iterable<readonly [provider: string, counts: ProviderCounts]> {
    return this.#providers
  }

  /** One request, answered as it would be without. No trace of ours goes to the provider: it is a stranger. */
  async watch<A extends { readonly status: number }>(
    provider: string,
    method: string,
    work: () => Promise<A>,
  ): Promise<A> {
    const began = performance.now()
    let counts = this.#providers.get(provider)
    if (counts === undefined) {
      counts = new ProviderCounts()
      this.#providers.set(provider, counts)
    }
    try {
      const answer = await spanAround(work, () => ({
        name: `${method} ${provider}`,
        kind: 'client',
        attributes: { 'http.request.method': method, 'atom.provider': provider },
      }))
      counts.record(`${Math.floor(answer.status / 100)}xx`, performance.now() - began)
      return answer
    } catch (error) {
      // Whoever gave up waiting says nothing about the provider.
      if (error instanceof AtomError && error.code === 'provider_unavailable')
        counts.record('unreachable', performance.now() - began)
      throw error
    }
  }

  register(metrics: Metrics): void {
    const providers = this.#providers
    metrics.histograms(
      'atom_provider_request_duration_seconds',
      'From a request to a provider to the beginning of its answer, by provider and outcome',
      function* () {
        for (const [provider, { outcomes }] of providers)
          for (const [outcome, { bounds: own, counts, sum }] of outcomes)
            yield { labels: { provider, outcome }, bounds: own, counts, sum }
      },
      0.001,
    )
  }
}
