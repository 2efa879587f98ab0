import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { errorText } from '#foundation/described-error.ts'
import type { Log } from '#foundation/log.ts'

/** Why the process is to end, and in which manner. */
export interface StopReason {
  readonly why: NodeJS.Signals | Error
  /** Whoever routes to this process may look away first. A person at a terminal wants it to be over. */
  readonly patient: boolean
  /** Somebody else has seen probes of this process. */
  readonly watched: boolean
}

/** What a worker is told: the signals of a terminal reach it as well, and mean nothing of their own. */
export interface DrainWord {
  readonly drain: true
  readonly patient: boolean
  readonly watched: boolean
}

export function isDrainWord(word: unknown): word is DrainWord {
  return typeof word === 'object' && word !== null && 'drain' in word && word.drain === true
}

export interface StoppingOptions {
  readonly log: Log
  /** When the process ends, counted from being asked to, whatever is left. */
  readonly deadlineMs: number
  /** Told to stop by the process that started it, not by signals. */
  readonly asWorker?: boolean
  /** Somebody started it at a terminal, and it ends with that. */
  readonly atTerminal?: boolean
}

/** What goes wrong while the process ends is recorded so often; then it ends at once. */
const mostFailures = 20

/**
 * How the process ends. The first signal, or the first thing that nobody caught, asks for an orderly end, at any time, also before
 * it is ready. The second signal ends it at once, and the deadline ends it whatever is left; both say in the log what was cut.
 *
 * SIGHUP says that a terminal was closed. Who was started at one ends with it, as by Ctrl-C; to a daemon it means nothing. It comes
 * from the terminal and from the shell, or right behind a SIGTERM (systemd's `SendSIGHUP`), so it never counts as the second one.
 */
export class Stopping implements Disposable {
  /** Resolves with what came first. */
  readonly asked: Promise<StopReason>
  /** What has begun and not ended; told where it is cut. */
  unfinished: () => Readonly<Record<string, number>> = () => ({})
  /** Told of everything that nobody caught. */
  crashed: (error: Error) => void = () => undefined
  readonly #log: Log
  readonly #deadlineMs: number
  readonly #controller = new AbortController()
  readonly #resolve: (reason: StopReason) => void
  readonly #release = new DisposableStack()
  #signalled = false
  #failures = 0
  #deadline: NodeJS.Timeout | undefined
  #askedAt = Number.NaN

  constructor({ log, deadlineMs, asWorker = false, atTerminal = hasTerminal() }: StoppingOptions) {
    this.#log = log
    this.#deadlineMs = deadlineMs
    const { promise, resolve } = Promise.withResolvers<StopReason>()
    this.asked = promise
    this.#resolve = resolve
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      this.#on(signal, () => {
        if (!asWorker) this.#signal(signal)
      })
    }
    this.#on('SIGHUP', () => {
      if (asWorker) return
      if (atTerminal) this.#begin({ why: 'SIGHUP', patient: false, watched: false })
      else this.#log.info({ signal: 'SIGHUP' }, 'a signal that means nothing here: there is no terminal')
    })
    if (asWorker) {
      this.#on('message', (word) => {
        if (!isDrainWord(word)) return
        this.#begin({ why: 'SIGTERM', patient: word.patient, watched: word.watched })
      })
    }
    this.#on('uncaughtException', (thrown) => this.#failed(thrown))
    this.#on('unhandledRejection', (thrown) => this.#failed(thrown))
  }

  /** Aborted as soon as the process is asked to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Until the deadline; all of it where nobody has asked yet. */
  get leftMs(): number {
    if (Number.isNaN(this.#askedAt)) return this.#deadlineMs
    return Math.max(0, this.#askedAt + this.#deadlineMs - performance.now())
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#deadline)
    this.#release.dispose()
  }

  #on(event: string, listener: (value: unknown) => void): void {
    process.on(event, listener)
    this.#release.defer(() => process.off(event, listener))
  }

  #signal(signal: 'SIGTERM' | 'SIGINT'): void {
    if (this.#signalled) {
      this.#log.warn({ signal, cut: this.unfinished() }, 'stopped at once: asked for a second time')
      process.exit(128 + constants.signals[signal])
    }
    this.#signalled = true
    this.#begin({ why: signal, patient: signal === 'SIGTERM', watched: false })
  }

  /** Recorded here and now: whatever the drain does later, the line is out. */
  #failed(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(`thrown: ${errorText(thrown)}`)
    process.exitCode = 1
    this.#log.fatal({ err: error }, 'stopping after a failure')
    this.crashed(error)
    if (++this.#failures >= mostFailures) process.exit(1)
    this.#begin({ why: error, patient: true, watched: false })
  }

  #begin(reason: StopReason): void {
    if (this.signal.aborted) return
    this.#askedAt = performance.now()
    this.#deadline = setTimeout(() => {
      this.#log.error(
        { afterMs: this.#deadlineMs, cut: this.unfinished() },
        'stopped at the deadline: not everything had ended',
      )
      process.exit(1)
    }, this.#deadlineMs)
    if (!(reason.why instanceof Error)) this.#log.info({ signal: reason.why }, 'draining')
    this.#controller.abort()
    this.#resolve(reason)
  }
}

/** Asked at the start: of a terminal that is gone nobody can say that it was one. */
function hasTerminal(): boolean {
  return [0, 1, 2].some((descriptor) => isatty(descriptor))
}
