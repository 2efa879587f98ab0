import { Counter, Gauge, Registry } from 'prom-client'
import type { Distribution } from './distribution.ts'

type Labels = Readonly<Record<string, string>>

/** One value, or one for each set of labels. */
export type Reading = number | Iterable<readonly [labels: Labels, value: number]>

interface Measure {
  /** As Prometheus names things: `atom_` first, the unit last, `_total` for what only grows. */
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
  readonly read: () => Reading
}

/** One histogram of a family: how many fell at or under each bound and above the one before, one more place for the rest. */
export interface Bucketed {
  readonly labels?: Labels
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  readonly sum: number
}

interface Told {
  readonly name: string
  readonly help: string
  readonly read: () => Iterable<Bucketed>
  readonly factor: number
}

/** Everything of one name, as it is handed to those who speak another format than Prometheus'. */
export type Family =
  | {
      readonly type: 'counter' | 'gauge'
      readonly name: string
      readonly help: string
      readonly values: readonly { readonly labels: Labels; readonly value: number }[]
    }
  | {
      readonly type: 'histogram'
      readonly name: string
      readonly help: string
      readonly values: readonly Bucketed[]
    }

/** What `Metrics.text` is, as a content type. */
export const exposition = Registry.PROMETHEUS_CONTENT_TYPE

/**
 * Everything this process counts, to be read in Prometheus' text format. Counting happens where things happen, in plain
 * numbers; here they are only read, when somebody asks. So what nobody scrapes costs nothing.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #distributions: Told[] = []

  /** Only grows, from 0 at the start of the process. */
  counter({ name, help, labels = [], read }: Measure): void {
    new Counter({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        this.reset()
        const reading = read()
        if (typeof reading === 'number') this.inc(reading)
        else for (const [of, value] of reading) this.inc(of, value)
      },
    })
  }

  /** Goes up and down. */
  gauge({ name, help, labels = [], read }: Measure): void {
    new Gauge({
      name,
      help,
      labelNames: [...labels],
      registers: [this.#registry],
      collect() {
        this.reset()
        const reading = read()
        if (typeof reading === 'number') this.set(reading)
        else for (const [of, value] of reading) this.set(of, value)
      },
    })
  }

  /** @param factor from the unit that is recorded to the one that is told, such as 0.001 from milliseconds to seconds */
  distribution(name: string, help: string, of: Distribution, factor = 1): void {
    this.#distributions.push({ name, help, read: () => [of], factor })
  }

  /** Several histograms of one name, told apart by labels. `factor` as of `distribution`. */
  histograms(name: string, help: string, read: () => Iterable<Bucketed>, factor = 1): void {
    this.#distributions.push({ name, help, read, factor })
  }

  /** @returns the text format, version 0.0.4 */
  async text(): Promise<string> {
    return `${await this.#registry.metrics()}${this.#distributions.map((told) => `\n${histogram(told)}\n`).join('')}`
  }

  /** The same, as it stands now. */
  async families(): Promise<readonly Family[]> {
    const counted = (await this.#registry.getMetricsAsJSON()).map(
      ({ name, help, type, values }): Family => ({
        type: String(type) === 'counter' ? 'counter' : 'gauge',
        name,
        help,
        values: values.map(({ labels, value }) => ({ labels: labels as Labels, value })),
      }),
    )
    const distributed = this.#distributions.map(
      ({ name, help, read, factor }): Family => ({
        type: 'histogram',
        name,
        help,
        values: Array.from(read(), ({ labels, bounds, counts, sum }) => ({
          ...(labels !== undefined && { labels }),
          bounds: bounds.map((bound) => scaled(bound, factor)),
          counts,
          sum: sum * factor,
        })),
      }),
    )
    return [...counted, ...distributed]
  }
}

/** `observe` of the library takes half a microsecond, which is much for every message; so only its format is followed. */
function histogram({ name, help, read, factor }: Told): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
  for (const { labels = {}, bounds, counts, sum } of read()) {
    const own = Object.entries(labels).map(([label, value]) => `${label}="${escaped(value)}"`)
    const braced = own.length === 0 ? '' : `{${own.join(',')}}`
    let count = 0
    for (const [place, counted] of counts.entries()) {
      count += counted
      const bound = bounds[place]
      const le = bound === undefined ? '+Inf' : scaled(bound, factor)
      lines.push(`${name}_bucket{${[...own, `le="${le}"`].join(',')}} ${count}`)
    }
    lines.push(`${name}_sum${braced} ${sum * factor}`, `${name}_count${braced} ${count}`)
  }
  return lines.join('\n')
}

/** In binary 250 times 0.001 is not what a person calls 0.25. */
function scaled(bound: number, factor: number): number {
  return Number((bound * factor).toPrecision(6))
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
