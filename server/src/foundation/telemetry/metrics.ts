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

interface Told {
  readonly name: string
  readonly help: string
  readonly of: Distribution
  readonly factor: number
}

/**
 * Everything this process counts, to be read in Prometheus' text format. Counting happens where things happen, in plain
 * numbers; here they are only read, when somebody asks. So what nobody scrapes costs nothing.
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #distributions: Told[] = []

  get contentType(): string {
    return this.#registry.contentType
  }

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
    this.#distributions.push({ name, help, of, factor })
  }

  /** @returns the text format, version 0.0.4 */
  async text(): Promise<string> {
    return `${await this.#registry.metrics()}${this.#distributions.map((told) => `\n${histogram(told)}\n`).join('')}`
  }
}

/** `observe` of the library takes half a microsecond, which is much for every message; so only its format is followed. */
function histogram({ name, help, of, factor }: Told): string {
  let count = 0
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
  for (const [place, counted] of of.counts.entries()) {
    count += counted
    const bound = of.bounds[place]
    const le = bound === undefined ? '+Inf' : Number((bound * factor).toPrecision(6))
    lines.push(`${name}_bucket{le="${le}"} ${count}`)
  }
  lines.push(`${name}_sum ${of.sum * factor}`, `${name}_count ${count}`)
  return lines.join('\n')
}
