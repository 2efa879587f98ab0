/** Numbers that look random and are the same for the same seed, on every machine (xmur3 over the seed, then sfc32). */
export class Seeded {
  readonly #seed: string
  #a: number
  #b: number
  #c: number
  #d = 1

  constructor(seed: number | string) {
    this.#seed = String(seed)
    let hash = 1_779_033_703 ^ this.#seed.length
    for (const character of this.#seed) {
      hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 3_432_918_353)
      hash = (hash << 13) | (hash >>> 19)
    }
    const word = () => {
      hash = Math.imul(hash ^ (hash >>> 16), 2_246_822_507)
      hash = Math.imul(hash ^ (hash >>> 13), 3_266_489_909)
      hash ^= hash >>> 16
      return hash >>> 0
    }
    this.#a = word()
    this.#b = word()
    this.#c = word()
    for (let round = 0; round < 12; round++) this.next()
  }

  /** From 0 up to, and without, 1. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** Undefined only where there is nothing to pick from. */
  pick<T>(things: readonly T[]): T | undefined {
    return things[Math.floor(this.next() * things.length)]
  }

  /** By weight: a thing of weight 2 comes twice as often as one of weight 1. */
  weighted<T extends string>(weights: Readonly<Partial<Record<T, number>>>): T | undefined {
    const entries = Object.entries(weights) as [T, number][]
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [thing, weight] of entries) {
      left -= weight
      if (left < 0) return thing
    }
    return undefined
  }

  /** Numbers of their own, whatever is drawn from this one. */
  fork(name: string): Seeded {
    return new Seeded(`${this.#seed}/${name}`)
  }
}
