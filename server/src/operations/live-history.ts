import type { LiveHistory as Told } from '@atom/contract/operations.ts'
import type { Clock } from '#foundation/clock.ts'
import type { LiveSources } from './live-sources.ts'

type Column = Exclude<keyof Told, 'node' | 'at'>

const columns = [
  'sockets',
  'published',
  'acknowledgedP50Ms',
  'acknowledgedP99Ms',
  'handshakes',
  'returned',
  'resumes',
  'behind',
] as const satisfies readonly Column[]

const kept = 15 * 60

/** One sample a second of the last fifteen minutes, in memory: what an operator wants to see is what happened just now. */
export class LiveHistory implements Disposable {
  readonly #sources: LiveSources
  readonly #clock: Clock
  readonly #at = new Float64Array(kept)
  readonly #columns: Readonly<Record<Column, Float64Array>>
  readonly #timer: NodeJS.Timeout
  #before: { published: number; handshakes: number; returned: number; resumes: number }
  #count = 0

  constructor(options: { sources: LiveSources; clock: Clock; everyMs?: number }) {
    this.#sources = options.sources
    this.#clock = options.clock
    this.#columns = Object.fromEntries(columns.map((name) => [name, new Float64Array(kept)])) as Record<
      Column,
      Float64Array
    >
    this.#before = this.#totals()
    this.#timer = setInterval(() => this.#sample(), options.everyMs ?? 1_000)
    this.#timer.unref()
  }

  /** Samples after `after` (milliseconds since 1970), oldest first. */
  since(after: number): Omit<Told, 'node'> {
    const places: number[] = []
    for (let n = Math.max(0, this.#count - kept); n < this.#count; n++) {
      const place = n % kept
      if ((this.#at[place] ?? 0) > after) places.push(place)
    }
    const amounts = (name: Column) => places.map((place) => this.#columns[name][place] ?? 0)
    const durations = (name: Column) =>
      amounts(name).map((value) => (Number.isNaN(value) ? null : rounded(value)))
    return {
      at: places.map((place) => this.#at[place] ?? 0),
      sockets: amounts('sockets'),
      published: amounts('published'),
      acknowledgedP50Ms: durations('acknowledgedP50Ms'),
      acknowledgedP99Ms: durations('acknowledgedP99Ms'),
      handshakes: amounts('handshakes'),
      returned: amounts('returned'),
      resumes: amounts('resumes'),
      behind: amounts('behind'),
    }
  }

  /** Per second, over the last ten samples. */
  rate(name: 'published' | 'handshakes' | 'returned'): number {
    const samples = Math.min(10, this.#count)
    let sum = 0
    for (let n = this.#count - samples; n < this.#count; n++) sum += this.#columns[name][n % kept] ?? 0
    return samples === 0 ? 0 : rounded(sum / samples)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    const { sockets, publishCounts } = this.#sources
    const place = this.#count % kept
    const totals = this.#totals()
    const waited = publishCounts.acknowledged.turn()
    publishCounts.batches.turn()
    let behind = 0
    for (const socket of sockets.open()) if (socket.behind) behind++
    const sample: Record<Column, number> = {
      sockets: sockets.count,
      published: totals.published - this.#before.published,
      acknowledgedP50Ms: waited.p50 ?? Number.NaN,
      acknowledgedP99Ms: waited.p99 ?? Number.NaN,
      handshakes: totals.handshakes - this.#before.handshakes,
      returned: totals.returned - this.#before.returned,
      resumes: totals.resumes - this.#before.resumes,
      behind,
    }
    this.#at[place] = this.#clock.now().getTime()
    for (const name of columns) this.#columns[name][place] = sample[name]
    this.#before = totals
    this.#count++
  }

  #totals() {
    const { socketCounts, publishCounts } = this.#sources
    let resumes = 0
    for (const [outcome, count] of socketCounts.resumed) {
      if (outcome === 'news' || outcome === 'reset') resumes += count
    }
    return {
      published: publishCounts.committed,
      handshakes: socketCounts.accepted,
      returned: socketCounts.returned,
      resumes,
    }
  }
}

export function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
