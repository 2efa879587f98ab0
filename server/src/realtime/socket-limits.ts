import { AtomError } from '#foundation/errors.ts'

export interface SocketBudget {
  /** Frames per second that a socket may send for ever. */
  readonly perSecond: number
  /** Frames that it may send at once after a quiet time. */
  readonly burst: number
  /** Frames that may wait for their answer at once. */
  readonly inFlight: number
  /** Refused frames in a row after which the socket is closed: it does not listen. */
  readonly patience: number
}

export const defaultBudget: SocketBudget = { perSecond: 100, burst: 400, inFlight: 64, patience: 500 }

const monotonic = () => performance.now()

/** What one socket may ask of the server: a bucket of tokens that fills up steadily, and a bound on what is under way. */
export class SocketLimits {
  readonly #budget: SocketBudget
  readonly #now: () => number
  #tokens: number
  #filledAt: number
  #inFlight = 0
  #refused = 0

  /** `now` in milliseconds, never running backwards. */
  constructor(budget: SocketBudget = defaultBudget, now: () => number = monotonic) {
    this.#budget = budget
    this.#now = now
    this.#tokens = budget.burst
    this.#filledAt = now()
  }

  /** Takes the place of one frame of the given cost; give it back with `leave`. Throws `busy`. */
  enter(cost = 1): void {
    const now = this.#now()
    const { perSecond, burst, inFlight } = this.#budget
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) / 1_000) * perSecond)
    this.#filledAt = now
    if (this.#inFlight >= inFlight)
      throw this.#busy('Wait for the answers of the frames that you have sent.', 100)
    if (this.#tokens < cost) {
      const waitMs = Math.ceil(((cost - this.#tokens) / perSecond) * 1_000)
      throw this.#busy(`Send at most ${perSecond} frames per second.`, waitMs)
    }
    this.#tokens -= cost
    this.#inFlight++
    this.#refused = 0
  }

  leave(): void {
    this.#inFlight--
  }

  /** Nothing waits for its answer. */
  get idle(): boolean {
    return this.#inFlight === 0
  }

  /** The socket goes on sending although it was told to wait. */
  get exhausted(): boolean {
    return this.#refused >= this.#budget.patience
  }

  #busy(detail: string, retryAfterMs: number): AtomError {
    this.#refused++
    return new AtomError('busy', detail, { retryAfterMs })
  }
}
