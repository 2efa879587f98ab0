/** Lines of one kind that may be written per second, and at once. */
export interface NoiseLimit {
  readonly perSecond: number
  readonly burst: number
}

export const ordinaryNoise: NoiseLimit = { perSecond: 200, burst: 2_000 }

interface Kind {
  left: number
  at: number
  omitted: number
}

/** Kinds that are told apart; a text that is made anew each time is one too many. */
const mostKinds = 1_000

/**
 * Keeps one thing that happens over and over from drowning the rest: of each kind of line (its text) a burst passes, then so many per
 * second, and the next that passes says how many were left out.
 */
export class NoiseGate {
  readonly #limit: NoiseLimit
  readonly #kinds = new Map<string, Kind>()

  constructor(limit: NoiseLimit) {
    this.#limit = limit
  }

  /** @returns how many were left out before this one, or undefined: leave it out */
  pass(text: string, now = performance.now()): number | undefined {
    let kind = this.#kinds.get(text)
    if (kind === undefined) {
      if (this.#kinds.size >= mostKinds) this.#kinds.clear()
      kind = { left: this.#limit.burst, at: now, omitted: 0 }
      this.#kinds.set(text, kind)
    }
    const { perSecond, burst } = this.#limit
    kind.left = Math.min(burst, kind.left + ((now - kind.at) / 1_000) * perSecond)
    kind.at = now
    if (kind.left < 1) {
      kind.omitted++
      return undefined
    }
    kind.left--
    const { omitted } = kind
    kind.omitted = 0
    return omitted
  }

  /** What was left out and not told yet, by kind; told by this. */
  *owed(): Iterable<readonly [text: string, omitted: number]> {
    for (const [text, kind] of this.#kinds) {
      if (kind.omitted === 0) continue
      yield [text, kind.omitted]
      kind.omitted = 0
    }
  }
}
