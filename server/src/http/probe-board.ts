import type { StatusWord } from '@atom/contract/health.ts'

const words: readonly StatusWord[] = ['starting', 'up', 'degraded', 'down', 'draining']

const place = { word: 0, beat: 1, asked: 2 } as const

/** What the main thread writes and the thread of the probes reads, without either waiting for the other. Times in whole ms. */
export class ProbeBoard {
  readonly shared: SharedArrayBuffer
  readonly #cells: BigInt64Array<SharedArrayBuffer>

  constructor(shared = new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared
    this.#cells = new BigInt64Array(shared)
  }

  /** The main loop turns, and this is how the process is. */
  beat(word: StatusWord): void {
    Atomics.store(this.#cells, place.word, BigInt(words.indexOf(word)))
    Atomics.store(this.#cells, place.beat, now())
  }

  get word(): StatusWord {
    return words[Number(Atomics.load(this.#cells, place.word))] ?? 'down'
  }

  /** How long the main loop has not turned. */
  get silentMs(): number {
    return Number(now() - Atomics.load(this.#cells, place.beat))
  }

  /** A probe was told yes. */
  noteAsked(): void {
    Atomics.add(this.#cells, place.asked, 1n)
  }

  get asked(): bigint {
    return Atomics.load(this.#cells, place.asked)
  }
}

/** The one clock that all threads of a process share; `performance.now()` begins anew in each. */
function now(): bigint {
  return process.hrtime.bigint() / 1_000_000n
}
