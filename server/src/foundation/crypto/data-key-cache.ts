import type { KeyObject } from 'node:crypto'
import { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import type { Binding } from './sealed-bytes.ts'

/** The entries that a data key is bound to, as they were when it was unwrapped. */
type Place = readonly (readonly [name: string, value: string])[]

interface Kept {
  readonly place: Place
  readonly key: Promise<KeyObject>
  readonly until: number
}

/** As many as are in use at once on a busy server; one takes about half a kilobyte. */
const standardSize = 10_000
/**
 * How long a key management service is not asked again. As long as that, a server goes on opening what it had opened when
 * its right to use the master key is withdrawn.
 */
const standardLifeMs = 5 * 60_000

/**
 * Data keys in the clear, in this process's memory, so that not every call costs a question to where the master key lives.
 * Bounded in number and in time; a key that ran out is dropped whether or not anybody asks for it.
 *
 * A row in hand keeps its key: whoever opened something with a wrapped key can seal with that same buffer, however long
 * later and though the master key cannot be reached meanwhile. A refresh depends on it: what it brings must be stored.
 */
export class DataKeyCache {
  readonly #size: number
  readonly #lifeMs: number
  readonly #now: () => number
  /** By wrapped key, oldest first. */
  readonly #kept = new Map<string, Kept>()
  readonly #inHand = new WeakMap<Buffer, { readonly place: Place; readonly key: KeyObject }>()
  #sweeping: NodeJS.Timeout | undefined
  readonly counts = new CacheCounts(() => this.#kept.size)

  constructor(limits: { size?: number; lifeMs?: number; now?: () => number } = {}) {
    this.#size = limits.size ?? standardSize
    this.#lifeMs = limits.lifeMs ?? standardLifeMs
    this.#now = limits.now ?? (() => performance.now())
  }

  /** How many keys are held, or asked for. */
  get size(): number {
    return this.#kept.size
  }

  /** The key, where it is known and this is its place. */
  find(wrapped: Buffer, binding: Binding): KeyObject | Promise<KeyObject> | undefined {
    const held = this.#inHand.get(wrapped)
    if (held !== undefined && fits(held.place, binding)) {
      this.counts.hits++
      return held.key
    }
    const kept = this.#current(wrapped)
    if (kept === undefined || !fits(kept.place, binding)) {
      this.counts.misses++
      return undefined
    }
    this.counts.hits++
    return this.#taken(wrapped, kept.place, kept.key)
  }

  /**
   * The key, asked for; of many that need one at once, one asks and the others find it here.
   * @param place what it is bound to, and nothing else
   */
  async ask(wrapped: Buffer, place: Binding, unwrap: () => Promise<KeyObject>): Promise<KeyObject> {
    const key = unwrap()
    const entries = Object.entries(place)
    // For another place it will be refused, which must not take the right one's key away.
    if (this.#current(wrapped) === undefined) {
      const name = nameOf(wrapped)
      this.#keep(name, entries, key)
      // What failed is asked for again by the next one; that it failed is heard by whoever asked.
      key.catch(() => {
        if (this.#kept.get(name)?.key === key) this.#kept.delete(name)
      })
    }
    return await this.#taken(wrapped, entries, key)
  }

  put(wrapped: Buffer, place: Binding, key: KeyObject): void {
    const entries = Object.entries(place)
    this.#inHand.set(wrapped, { place: entries, key })
    this.#keep(nameOf(wrapped), entries, Promise.resolve(key))
  }

  async #taken(wrapped: Buffer, place: Place, asked: Promise<KeyObject>): Promise<KeyObject> {
    const key = await asked
    this.#inHand.set(wrapped, { place, key })
    return key
  }

  #current(wrapped: Buffer): Kept | undefined {
    const kept = this.#kept.get(nameOf(wrapped))
    return kept !== undefined && kept.until > this.#now() ? kept : undefined
  }

  #keep(name: string, place: Place, key: Promise<KeyObject>): void {
    this.#kept.delete(name)
    if (this.#kept.size >= this.#size) {
      const oldest = this.#kept.keys().next()
      if (oldest.done === false) this.#kept.delete(oldest.value)
    }
    this.#kept.set(name, { place, key, until: this.#now() + this.#lifeMs })
    this.#sweeping ??= setTimeout(() => this.#sweep(), this.#lifeMs).unref()
  }

  #sweep(): void {
    this.#sweeping = undefined
    const now = this.#now()
    for (const [name, { until }] of this.#kept) {
      if (until > now) {
        this.#sweeping = setTimeout(() => this.#sweep(), until - now).unref()
        return
      }
      this.#kept.delete(name)
    }
  }
}

function fits(place: Place, binding: Binding): boolean {
  return place.every(([name, value]) => binding[name] === value)
}

function nameOf(wrapped: Buffer): string {
  return wrapped.toString('latin1')
}
