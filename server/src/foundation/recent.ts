/**
 * The last of many things by their keys: at least half as many as it may hold of those that were put in or asked for last, and
 * never more than it may hold.
 *
 * Two generations, of which the older is dropped whole. To take the oldest entry out of a full `Map` instead walks over the
 * places of all that were taken out before it: measured at 7 µs for each new one of 10,000 kept, against 0.4 µs.
 */
export class Recent<V> {
  readonly #half: number
  #young = new Map<string, V>()
  #old = new Map<string, V>()

  /** `most`: how many it may hold, at least two. */
  constructor(most: number) {
    this.#half = Math.floor(most / 2)
  }

  /** How many it holds. */
  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old === undefined) return undefined
    this.set(key, old)
    return old
  }

  set(key: string, value: V): void {
    this.#old.delete(key)
    if (this.#young.size >= this.#half && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }

  delete(key: string): void {
    this.#young.delete(key)
    this.#old.delete(key)
  }
}
