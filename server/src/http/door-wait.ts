import { performance } from 'node:perf_hooks'

export interface DoorWaitOptions {
  /** How long a newcomer who comes now will have waited, ms; undefined where nobody can say. */
  readonly knock: () => Promise<number | undefined>
  /** How many newcomers have come in since the start. Absent: only the knocks tell. */
  readonly accepted?: (() => number) | undefined
  /** ms, of a clock that never goes back; `performance.now()` where absent. */
  readonly now?: (() => number) | undefined
}

/** One who was sent to the door to find out. */
interface Knock {
  /** ms */
  readonly at: number
}

/** One for each tenth of a second of the longest wait that is listened to. */
const mostKnocks = 20
const mostMs = 2_000
/** What is counted of fewer than these says little: then a knock says more. */
const fewestBehind = 10
/** How much the newest says of how many come, and of how many get in. */
const newestComing = 0.2
const newestAccepted = 0.5

/**
 * How long a newcomer waits at a door behind which the process does not see. A knock tells, but only once it has been answered:
 * what is steered by that answers to what was, and swings (measured: between 3 and 100 % let in). Newcomers are let in in the order
 * in which they came, so as many as came in while a knock waited had stood before it; and between two knocks, as many had come as
 * came in between their answers. With what has come in since, that says how many stand there now.
 */
export class DoorWait {
  readonly #options: DoorWaitOptions
  readonly #now: () => number
  /** The first of them first. */
  readonly #standing = new Set<Knock>()
  #heard: { readonly knock: Knock; readonly acceptedThen: number } | undefined
  #heardMs = 0
  /** Newcomers per ms, smoothed. */
  #coming: number | undefined
  #comingIn = 0
  #lookedAt = 0
  #acceptedBefore = 0

  constructor(options: DoorWaitOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** How long the last one waited who was let in, or longer where somebody stands there for longer; ms. */
  get heardMs(): number {
    const [first] = this.#standing
    return first === undefined ? this.#heardMs : Math.max(this.#heardMs, Math.round(this.#now() - first.at))
  }

  /** Sends one more to the door. Once in each tick, while it matters. */
  listen(): void {
    if (this.#standing.size < mostKnocks) void this.#knock()
  }

  /** How long who comes now will wait, ms. Once in each tick. */
  look(): number {
    const { heardMs } = this
    const accepted = this.#options.accepted?.()
    if (accepted === undefined) return heardMs
    const now = this.#now()
    const lately = (accepted - this.#acceptedBefore) / Math.max(1, now - this.#lookedAt)
    this.#comingIn += newestAccepted * (lately - this.#comingIn)
    this.#lookedAt = now
    this.#acceptedBefore = accepted
    if (this.#heard === undefined || this.#comingIn <= 0) return heardMs
    const { knock, acceptedThen } = this.#heard
    const cameSince = (this.#coming ?? 0) * (now - knock.at)
    const behind = Math.max(0, acceptedThen + cameSince - accepted)
    const expected = Math.min(mostMs, behind / this.#comingIn)
    return behind < fewestBehind ? Math.min(expected, heardMs) : expected
  }

  /** Nothing of this holds any more. */
  forget(): void {
    this.#heard = undefined
    this.#heardMs = 0
    this.#coming = undefined
    this.#comingIn = 0
  }

  async #knock(): Promise<void> {
    const { accepted } = this.#options
    const knock: Knock = { at: this.#now() }
    this.#standing.add(knock)
    try {
      this.#heardMs = Math.round((await this.#options.knock()) ?? 0)
    } finally {
      this.#standing.delete(knock)
    }
    const acceptedThen = accepted?.() ?? 0
    const before = this.#heard
    if (before !== undefined && knock.at <= before.knock.at) return
    this.#heard = { knock, acceptedThen }
    if (before === undefined || knock.at - before.knock.at > mostMs) return
    const came = (acceptedThen - before.acceptedThen) / (knock.at - before.knock.at)
    this.#coming = this.#coming === undefined ? came : this.#coming + newestComing * (came - this.#coming)
  }
}
