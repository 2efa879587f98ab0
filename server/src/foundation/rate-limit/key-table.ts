import type { Standing } from './rate-limit.ts'

export interface Kept {
  /** The subject, or the name of the bucket that it shares. */
  readonly key: string
  /** When nothing of it is used any more, µs. */
  unusedAt: number
}

/** Buckets for those who come when the table is full. */
const sharedBuckets = 1_024
const sweepEveryUs = 1_000_000
/** Who has not been heard of is forgotten although there would be room: addresses of people are not kept without need. */
const forgetEveryUs = 60_000_000

/**
 * What is known of each subject, in bounded memory. Only a subject of whom nothing is used may be forgotten, which changes
 * nothing for them; so nobody who is held back is freed by a flood of others. Where all places are taken, newcomers share
 * a bucket with their neighbours, and only with them: a full table costs strangers precision and never the limit.
 */
export class KeyTable<E extends Kept> {
  readonly #capacity: number
  readonly #make: (key: string) => E
  readonly #wider: (subject: string) => string
  readonly #inUse: (entry: E, now: number) => boolean
  readonly #entries = new Map<string, E>()
  readonly #shared: (E | undefined)[] = Array.from({ length: sharedBuckets }, () => undefined)
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(options: {
    readonly capacity: number
    readonly make: (key: string) => E
    readonly wider: ((subject: string) => string) | undefined
    /** Whether it must stay even if nothing of it is used. */
    readonly inUse: (entry: E, now: number) => boolean
  }) {
    this.#capacity = options.capacity
    this.#make = options.make
    this.#wider = options.wider ?? ((subject) => subject)
    this.#inUse = options.inUse
  }

  /** How many are kept apart. */
  get size(): number {
    return this.#entries.size
  }

  known(subject: string): E | undefined {
    return this.#entries.get(subject)
  }

  entry(subject: string, now: number): E {
    const known = this.#entries.get(subject)
    if (known !== undefined) return known
    this.#sweep(now, this.#entries.size >= this.#capacity ? sweepEveryUs : forgetEveryUs)
    if (this.#entries.size >= this.#capacity) return this.#sharedOf(subject)
    const made = this.#make(subject)
    this.#entries.set(subject, made)
    return made
  }

  /** All of them, those with the least left first. `left` of one: what it has used, in µs, and how long its burst is. */
  busiest(count: number, now: number, full: number, everyUs: number): Standing[] {
    const standings: Standing[] = []
    for (const { key, unusedAt } of this.#entries.values()) {
      const used = Math.min(unusedAt - now, full)
      if (used > 0) standings.push({ subject: key, used: used / full, heldBack: used + everyUs > full })
    }
    return standings.sort((one, other) => other.used - one.used).slice(0, count)
  }

  #sweep(now: number, every: number): void {
    if (now - this.#sweptAt < every) return
    this.#sweptAt = now
    for (const [key, entry] of this.#entries) {
      if (entry.unusedAt <= now && !this.#inUse(entry, now)) this.#entries.delete(key)
    }
  }

  #sharedOf(subject: string): E {
    const place = spread(this.#wider(subject)) % sharedBuckets
    const shared = this.#shared[place] ?? this.#make(`~${place}`)
    this.#shared[place] = shared
    return shared
  }
}

/** FNV-1a, 32 bits: where in the shared buckets; nothing secret hangs on it. */
function spread(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash ^= text.charCodeAt(at)
    hash = Math.imul(hash, 0x01000193)
  }
  return hash >>> 0
}
