import type { KeyObject } from 'node:crypto'

interface Kept {
  readonly place: Buffer
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
  readonly #inHand = new WeakMap<Buffer, { readonly place: Buffer; readonly key: KeyObject }>()
  #sweeping: NodeJS.Timeout | undefined

  constructor(limits: { size?: number; lifeMs?: number; now?: () => number } = {}) {
    this.#size = limits.size ?? standardSize
    this.#lifeMs = limits.lifeMs ?? standardLifeMs
    this.#now = limits.now ?? (() => performance.now())
  }

  /** How many keys are held, or asked for. */
  get size(): number {
    return this.#kept.size
  }

  /** The key, for its own place only; of many that ask for one at once, one unwraps it. */
  async get(wrapped: Buffer, place: Buffer, unwrap: () => Promise<KeyObject>): Promise<KeyObject> {
    const held = this.#inHand.get(wrapped)
    if (held?.place.equals(place)) return held.key
    const name = nameOf(wrapped)
    const kept = this.#kept.get(name)
    const current = kept !== undefined && kept.until > this.#now()
    // For another place it will be refused, which must not take the right one's key away.
    const ask = () => (current ? unwrap() : this.#ask(name, place, unwrap))
    const key = await (current && kept.place.equals(place) ? kept.key : ask())
    this.#inHand.set(wrapped, { place, key })
    return key
  }

  put(wrapped: Buffer, place: Buffer, key: KeyObject): void {
    this.#inHand.set(wrapped, { place, key })
    this.#keep(nameOf(wrapped), place, Promise.resolve(key))
  }

  #ask(name: string, place: Buffer, unwrap: () => Promise<KeyObject>): Promise<KeyObject> {
    const key = unwrap()
    this.#keep(name, place, key)
    // What failed is asked for again by the next one; that it failed is heard by whoever asked.
    key.catch(() => {
      if (this.#kept.get(name)?.key === key) this.#kept.delete(name)
    })
    return key
  }

  #keep(name: string, place: Buffer, key: Promise<KeyObject>): void {
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

function nameOf(wrapped: Buffer): string {
  return wrapped.toString('latin1')
}
