import { AtomError } from '#foundation/errors.ts'

interface Waiter {
  /** `performance.now()` */
  readonly since: number
  readonly admit: () => void
  readonly refuse: (error: AtomError) => void
}

/** A counted number of places, given out first come, first served; the queue for them is bounded in length and time. */
export class Places {
  readonly #maxWaiting: number
  readonly #timeoutMs: number
  readonly #waiting = new Set<Waiter>()
  #free: number
  #closed = false

  constructor(options: { readonly size: number; readonly maxWaiting: number; readonly timeoutMs: number }) {
    this.#free = options.size
    this.#maxWaiting = options.maxWaiting
    this.#timeoutMs = options.timeoutMs
  }

  get free(): number {
    return this.#free
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** How long whoever waits longest has been waiting, ms; 0 where nobody waits. */
  get longestWaitMs(): number {
    const [next] = this.#waiting
    return next === undefined ? 0 : performance.now() - next.since
  }

  async take(): Promise<void> {
    if (this.#closed) throw closed()
    if (this.#free > 0) {
      this.#free--
      return
    }
    if (this.#waiting.size >= this.#maxWaiting) throw busy()
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        clearTimeout(patience)
        this.#waiting.delete(waiter)
      }
      const waiter: Waiter = {
        since: performance.now(),
        admit: () => {
          leave()
          resolve()
        },
        refuse: (error) => {
          leave()
          reject(error)
        },
      }
      const patience = setTimeout(() => waiter.refuse(busy()), this.#timeoutMs)
      this.#waiting.add(waiter)
    })
  }

  give(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free++
    else next.admit()
  }

  /** Refuses everyone who waits, and everyone who comes later. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#waiting) waiter.refuse(closed())
  }
}

function busy(): AtomError {
  return new AtomError('busy', undefined, { retryAfterMs: 1_000 })
}

function closed(): AtomError {
  return new AtomError('unavailable', 'The server is stopping; try again in a moment.')
}
