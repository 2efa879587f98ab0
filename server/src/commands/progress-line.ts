/** What a progress line is written to: `process.stdout`, or what a test reads. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

const redrawMs = 100
const plainLineMs = 5_000
const barWidth = 24
const clearLine = '\r\u001b[K'
const number = new Intl.NumberFormat('en')

/**
 * Long work in one line: how much is done, how fast, how long it will take. In a terminal the line is drawn over itself;
 * elsewhere, as in the log of a job, a plain line comes at the beginning and then every few seconds.
 */
export class ProgressLine {
  readonly #output: ProgressOutput
  readonly #what: string
  readonly #now: () => number
  readonly #began: number
  #drawnAt = Number.NEGATIVE_INFINITY

  constructor(options: {
    readonly output: ProgressOutput
    /** What is counted: `data keys`. */
    readonly what: string
    /** Milliseconds of a clock that never goes back. */
    readonly now?: () => number
  }) {
    this.#output = options.output
    this.#what = options.what
    this.#now = options.now ?? (() => performance.now())
    this.#began = this.#now()
  }

  tell({ done, total }: { readonly done: number; readonly total: number }): void {
    const now = this.#now()
    const terminal = this.#output.isTTY === true
    if (total === 0 || now - this.#drawnAt < (terminal ? redrawMs : plainLineMs)) return
    this.#drawnAt = now
    const words = this.#words(done, total, (now - this.#began) / 1000)
    if (!terminal) {
      this.#output.write(`${words}\n`)
      return
    }
    const filled = Math.round((barWidth * done) / total)
    const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}  ${words}`
    // A line that wraps could not be drawn over.
    this.#output.write(`${clearLine}${bar.slice(0, (this.#output.columns ?? 80) - 1)}`)
  }

  /** Takes the line away, so that what follows begins at the left edge. */
  end(): void {
    if (this.#output.isTTY === true) this.#output.write(clearLine)
  }

  #words(done: number, total: number, seconds: number): string {
    const count = `${number.format(done)} of ${number.format(total)} ${this.#what}`
    if (done === 0 || seconds === 0) return count
    const rate = done / seconds
    return `${count}, ${number.format(Math.round(rate))} a second, ${durationOf((total - done) / rate)} left`
  }
}

function durationOf(seconds: number): string {
  if (seconds < 60) return `${Math.ceil(seconds)} s`
  if (seconds < 3_600) return `${Math.ceil(seconds / 60)} min`
  return `${Math.floor(seconds / 3_600)} h ${Math.ceil((seconds % 3_600) / 60)} min`
}
