import type { Worker } from 'node:cluster'
import { AtomError } from '../foundation/errors.ts'
import { type Exposition, joinedMetrics } from '../foundation/telemetry/joined-metrics.ts'

/** A worker is scraped and wants what all of them count. */
interface Asked {
  readonly metricsAsked: number
}

/** Each is asked for its part. */
interface Wanted {
  readonly metricsWanted: number
}

interface Told {
  readonly metricsTold: number
  readonly text: string
}

interface Gathered {
  readonly metricsGathered: number
  readonly parts: readonly Exposition[]
}

/** What a worker says to the process that started it. */
export type MetricsWord = Asked | Told

export function isMetricsWord(word: object): word is MetricsWord {
  return 'metricsAsked' in word || 'metricsTold' in word
}

/** A worker that has not told its part by then, because it stands still, is left out, ms. */
const partMs = 2_000
/** Nor does one that is scraped wait for longer, ms. */
const wholeMs = 4_000

/** At the process that started the workers: a scrape reaches one of them, and is answered for all. */
export class MetricsOfWorkers {
  readonly #waiting = new Map<number, (worker: Worker, text: string) => void>()
  #rounds = 0

  /** @param workers who serves, each with its place */
  async heard(word: MetricsWord, from: Worker, workers: ReadonlyMap<Worker, number>): Promise<void> {
    if ('metricsTold' in word) {
      this.#waiting.get(word.metricsTold)?.(from, word.text)
      return
    }
    const parts = await this.#gather(workers)
    if (from.isConnected()) from.send({ metricsGathered: word.metricsAsked, parts } satisfies Gathered)
  }

  async #gather(workers: ReadonlyMap<Worker, number>): Promise<Exposition[]> {
    const round = ++this.#rounds
    const texts = new Map<Worker, string>()
    const all = Promise.withResolvers<void>()
    this.#waiting.set(round, (worker, text) => {
      texts.set(worker, text)
      if (texts.size === workers.size) all.resolve()
    })
    const late = setTimeout(all.resolve, partMs)
    for (const worker of workers.keys())
      if (worker.isConnected()) worker.send({ metricsWanted: round } satisfies Wanted)
    await all.promise
    clearTimeout(late)
    this.#waiting.delete(round)
    const parts = Array.from(texts, ([worker, text]) => ({ worker: workers.get(worker) ?? 0, text }))
    return parts.toSorted((one, other) => one.worker - other.worker)
  }
}

/** At a worker: its part for the others, and what all of them count for whoever scrapes it. */
export class MetricsAmongWorkers {
  readonly #waiting = new Map<number, (parts: readonly Exposition[]) => void>()
  #asked = 0

  /** @param own what this process counts, in Prometheus' text format */
  answerWith(own: () => Promise<string>): void {
    process.on('message', (word) => void this.#heard(word, own))
  }

  /** @throws AtomError `unavailable` where nobody answers: a part alone would look as if counters had fallen */
  async text(): Promise<string> {
    const asked = ++this.#asked
    const { promise, resolve, reject } = Promise.withResolvers<readonly Exposition[]>()
    this.#waiting.set(asked, resolve)
    const late = setTimeout(() => reject(new AtomError('unavailable')), wholeMs)
    try {
      if (!process.connected) throw new AtomError('unavailable')
      process.send?.({ metricsAsked: asked } satisfies Asked)
      return joinedMetrics(await promise)
    } finally {
      clearTimeout(late)
      this.#waiting.delete(asked)
    }
  }

  async #heard(word: unknown, own: () => Promise<string>): Promise<void> {
    if (typeof word !== 'object' || word === null) return
    if ('metricsWanted' in word) {
      const { metricsWanted } = word as Wanted
      const text = await own()
      if (process.connected) process.send?.({ metricsTold: metricsWanted, text } satisfies Told)
    } else if ('metricsGathered' in word) {
      const { metricsGathered, parts } = word as Gathered
      this.#waiting.get(metricsGathered)?.(parts)
    }
  }
}
