/** When an alert fires and when it is over; the windows and factors are those of Google's SRE workbook, chapter 5, table 5-8. */
export interface BurnRule {
  readonly severity: 'page' | 'ticket'
  readonly longMinutes: number
  /** A twelfth of the long window: what is over does not go on alarming for hours. */
  readonly shortMinutes: number
  /** Times the rate at which the budget of thirty days lasts exactly so long. */
  readonly factor: number
}

export const burnRules: readonly BurnRule[] = [
  { severity: 'page', longMinutes: 60, shortMinutes: 5, factor: 14.4 },
  { severity: 'page', longMinutes: 6 * 60, shortMinutes: 30, factor: 6 },
  { severity: 'ticket', longMinutes: 3 * 24 * 60, shortMinutes: 6 * 60, factor: 1 },
]

/** An alert is over when its short window has been below the factor for so many minutes in a row; or it would flutter. */
const calmMinutes = 5

export interface Burning {
  readonly rule: BurnRule
  readonly long: number
  readonly short: number
  readonly firing: boolean
}

const minuteMs = 60_000
const kept = Math.max(...burnRules.map(({ longMinutes }) => longMinutes))

/**
 * How fast one objective uses up what may go wrong. It is given what happened minute by minute, and asked once a minute; it
 * knows no clock and no database.
 */
export class BurnRate {
  readonly #budget: number
  readonly #leastBad: number
  readonly #minutes = new Float64Array(kept)
  readonly #total = new Float64Array(kept)
  readonly #bad = new Float64Array(kept)
  readonly #states = burnRules.map((rule) => ({ rule, firing: false, calm: 0 }))

  /** @param target the part that has to be good; `leastBad` fewer bad ones in the long window fire nothing */
  constructor(options: { target: number; leastBad: number }) {
    this.#budget = 1 - options.target
    this.#leastBad = options.leastBad
  }

  /** What happened in the minute that begins then; told again, it replaces what was told. */
  put(minute: Date, total: number, bad: number): void {
    const number = Math.floor(minute.getTime() / minuteMs)
    const place = number % kept
    this.#minutes[place] = number
    this.#total[place] = total
    this.#bad[place] = Math.min(bad, total)
  }

  /** What a process that ended believed, so that its alert is neither forgotten nor raised anew. */
  resume(firing: 'page' | 'ticket'): void {
    const strongest = this.#states.find(({ rule }) => rule.severity === firing)
    if (strongest !== undefined) strongest.firing = true
  }

  /** As of the end of the minute that begins then. To be called for one minute after another. */
  evaluate(minute: Date): readonly Burning[] {
    const last = Math.floor(minute.getTime() / minuteMs)
    return this.#states.map((state) => {
      const { rule } = state
      const long = this.#window(last, rule.longMinutes)
      const short = this.#window(last, rule.shortMinutes)
      if (state.firing) {
        state.calm = short.burn < rule.factor ? state.calm + 1 : 0
        if (state.calm >= calmMinutes) state.firing = false
      } else if (long.burn >= rule.factor && short.burn >= rule.factor && long.bad >= this.#leastBad) {
        state.firing = true
        state.calm = 0
      }
      return { rule, long: long.burn, short: short.burn, firing: state.firing }
    })
  }

  /** Of the last three days. */
  standing(minute: Date): { total: number; bad: number } {
    const { total, bad } = this.#window(Math.floor(minute.getTime() / minuteMs), kept)
    return { total, bad }
  }

  #window(last: number, minutes: number): { total: number; bad: number; burn: number } {
    let total = 0
    let bad = 0
    for (let number = last - minutes + 1; number <= last; number++) {
      const place = ((number % kept) + kept) % kept
      if (this.#minutes[place] !== number) continue
      total += this.#total[place] ?? 0
      bad += this.#bad[place] ?? 0
    }
    return { total, bad, burn: total === 0 ? 0 : bad / total / this.#budget }
  }
}
