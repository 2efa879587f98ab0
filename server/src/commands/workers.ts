import cluster, { type Worker } from 'node:cluster'
import { setTimeout as delay } from 'node:timers/promises'
import type { HealthStatus, StatusWord } from '@atom/contract/health.ts'
import type { Log } from '../foundation/log.ts'
import { StartError } from '../foundation/start-error.ts'
import type { DrainWord } from './stopping.ts'
import { isLimitsAsked, type LimitsAsked, LimitsOfWorkers } from './worker-limits.ts'
import { isMetricsWord, MetricsOfWorkers, type MetricsWord } from './worker-metrics.ts'

/** What a worker tells the process that started it. */
export interface WorkerReady {
  readonly ready: true
  readonly url: string
  readonly setupUrl: string | undefined
}

/** How it is, told when it changes. */
export interface WorkerWord {
  readonly word: StatusWord
}

/** Its main loop turns. */
export interface WorkerBeat {
  readonly beat: true
}

/** What another worker is told of one that could not tell it itself. */
export interface LostWord {
  /** One sentence. */
  readonly lost: string
}

export function isLostWord(word: unknown): word is LostWord {
  return typeof word === 'object' && word !== null && 'lost' in word && typeof word.lost === 'string'
}

/** How often a worker says that its main loop turns. */
export const workerBeatMs = 500

export interface WorkersOptions {
  readonly count: number
  /** Over this process's own environment. */
  readonly environment: Readonly<Record<string, string>>
  /** How long a worker may drain before it is killed. */
  readonly drainMs: number
  /** A worker that serves and has not said for so long that its main loop turns is killed, and replaced; 0: never. */
  readonly stuckMs: number
  readonly log: Log
}

const restart = { firstMs: 100, longestMs: 10_000 }
/** How often it is looked who has been silent; a word lost in between is none. */
const looksPerDeadline = 30
/** Who has lived so long after it was ready did not fail at its start. */
const settledMs = 30_000
/** How often a worker that is killed while it starts is started again, as the server starts. */
const startsAgain = 3

/** It could not say why. */
class WorkerKilled extends StartError {}

/**
 * Processes that serve on one port, each a whole node of its own: connections are dealt out in turn, and what one commits the
 * others hear of as nodes on other machines would. One that dies is replaced; the others do not notice. One whose main loop
 * stands still is killed first. How long it was silent is counted in looks of this process, not by a clock: where the machine
 * sleeps or all of it is paused nobody looks, and nobody was silent.
 */
export class Workers implements AsyncDisposable {
  readonly #options: WorkersOptions
  /** By worker its place, from 1 on. */
  readonly #alive = new Map<Worker, number>()
  readonly #serving = new WeakSet<Worker>()
  readonly #ended = new AbortController()
  readonly #words = new Map<Worker, StatusWord>()
  /** Looks since each that serves has said something. */
  readonly #silent = new Map<Worker, number>()
  readonly #metrics = new MetricsOfWorkers()
  readonly #limits = new LimitsOfWorkers()
  /** Killed because they stood still. */
  readonly #stuck = new WeakSet<Worker>()
  readonly #looking: NodeJS.Timeout | undefined
  #started = false
  #failures = 0
  #unclean = 0
  #drained: Promise<void> | undefined

  constructor(options: WorkersOptions) {
    this.#options = options
    if (options.stuckMs === 0) return
    this.#looking = setInterval(() => this.#look(), options.stuckMs / looksPerDeadline)
    this.#looking.unref()
  }

  /** How many processes there are. */
  get alive(): number {
    return this.#alive.size
  }

  /** How many did not end in good order once they were told to. */
  get unclean(): number {
    return this.#unclean
  }

  get phase(): 'starting' | 'ready' {
    return this.#started ? 'ready' : 'starting'
  }

  /** Of all of them: `up` where all are, and something that may take traffic as long as one does. */
  get overall(): HealthStatus {
    const words = [...this.#words.values()]
    if (words.length === this.#options.count && words.every((word) => word === 'up')) return 'up'
    return words.some((word) => word === 'up' || word === 'degraded') ? 'degraded' : 'down'
  }

  /** Resolves when all of them serve. @throws StartError one of them could not start, and has said why */
  async start(): Promise<WorkerReady> {
    const places = Array.from({ length: this.#options.count }, (_, index) => index + 1)
    const [first] = await Promise.all(places.map((place) => this.#beginFirst(place)))
    if (first === undefined) throw new StartError('There is nobody to start.')
    this.#started = true
    // One may have died while the others came.
    const present = new Set(this.#alive.values())
    for (const place of places) if (!present.has(place)) void this.#replace(place, undefined)
    return first
  }

  /** Lets every worker drain, and resolves when none is left. Who does not serve yet has nothing to drain, and is killed. */
  drain(how: { readonly patient: boolean; readonly watched: boolean }): Promise<void> {
    this.#drained ??= this.#drain({ drain: true, ...how })
    return this.#drained
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain({ patient: false, watched: false })
  }

  async #drain(word: DrainWord): Promise<void> {
    this.#ended.abort()
    clearInterval(this.#looking)
    await Promise.all(
      [...this.#alive.keys()].map(async (worker) => {
        const serves = this.#serving.has(worker)
        const gone = new Promise<void>((resolve) =>
          worker.once('exit', (code) => {
            if (serves && code !== 0) this.#unclean++
            resolve()
          }),
        )
        if (!serves) worker.process.kill('SIGKILL')
        else if (worker.isConnected()) worker.send(word)
        const late = setTimeout(() => {
          this.#options.log.warn({ worker: worker.process.pid }, 'a worker did not end in time and is killed')
          worker.process.kill('SIGKILL')
        }, this.#options.drainMs)
        if (!worker.isDead()) await gone
        clearTimeout(late)
      }),
    )
  }

  /** The same as `#begin`, and once more for who was killed: who could not start has said why, and the others need not try. */
  async #beginFirst(place: number): Promise<WorkerReady> {
    for (let left = startsAgain; ; left--) {
      try {
        return await this.#begin(place)
      } catch (error) {
        if (!(error instanceof WorkerKilled) || left === 0 || this.#ended.signal.aborted) throw error
        this.#options.log.error(
          { worker: place },
          'a worker was killed while it started; it is started again',
        )
      }
    }
  }

  /** Resolves when it serves. */
  async #begin(place: number): Promise<WorkerReady> {
    const worker = cluster.fork(this.#options.environment)
    this.#alive.set(worker, place)
    const { promise, resolve, reject } = Promise.withResolvers<WorkerReady>()
    let readyAt: number | undefined
    worker.on('message', (word: WorkerReady | WorkerWord | WorkerBeat | MetricsWord | LimitsAsked) => {
      if (this.#silent.has(worker)) this.#silent.set(worker, 0)
      if ('beat' in word) return
      if (isLimitsAsked(word)) {
        this.#limits.heard(word, worker)
        return
      }
      if (isMetricsWord(word)) {
        void this.#metrics.heard(word, worker, this.#servingNow())
        return
      }
      if ('word' in word) {
        this.#words.set(worker, word.word)
        return
      }
      readyAt = performance.now()
      this.#serving.add(worker)
      this.#silent.set(worker, 0)
      this.#options.log.info({ worker: place, pid: worker.process.pid }, 'a worker serves')
      resolve(word)
    })
    worker.on('error', (error) =>
      this.#options.log.debug({ err: error, worker: place }, 'a worker complained'),
    )
    worker.once('exit', (code, signal) => {
      this.#alive.delete(worker)
      this.#words.delete(worker)
      this.#silent.delete(worker)
      reject(
        signal === null
          ? new StartError(`Worker ${place} ended before it served.`)
          : new WorkerKilled(`Worker ${place} was ended by ${signal} before it served.`),
      )
      if (!this.#started || this.#ended.signal.aborted) return
      this.#options.log.error({ worker: place, code, signal }, 'a worker died and is replaced')
      // Who ended by itself has recorded why.
      const lost = signal === null ? undefined : this.#howLost(worker, signal)
      void this.#replace(place, readyAt, lost)
    })
    return await promise
  }

  #servingNow(): ReadonlyMap<Worker, number> {
    return new Map([...this.#alive].filter(([worker]) => this.#serving.has(worker)))
  }

  #look(): void {
    for (const [worker, looks] of this.#silent) {
      this.#silent.set(worker, looks + 1)
      if (looks + 1 < looksPerDeadline || this.#stuck.has(worker)) continue
      this.#stuck.add(worker)
      this.#options.log.error(
        { worker: this.#alive.get(worker), pid: worker.process.pid, silentMs: this.#options.stuckMs },
        'a worker stands still and is killed',
      )
      // Nothing that it would have to do itself reaches it.
      worker.process.kill('SIGKILL')
    }
  }

  #howLost(worker: Worker, signal: string): string {
    return this.#stuck.has(worker)
      ? `The main loop of a worker stood still for ${this.#options.stuckMs / 1_000} s. It was killed and replaced.`
      : `A worker was ended by ${signal} and replaced.`
  }

  /** @param lost what the new one is told of the old one */
  async #replace(place: number, readyAt: number | undefined, lost?: string): Promise<void> {
    const settled = readyAt !== undefined && performance.now() - readyAt > settledMs
    this.#failures = settled ? 0 : this.#failures + 1
    const pauseMs = Math.min(restart.firstMs * 2 ** Math.min(this.#failures, 10), restart.longestMs)
    try {
      await delay(pauseMs, undefined, { signal: this.#ended.signal })
      await this.#begin(place)
      if (lost !== undefined) this.#tell(place, { lost })
    } catch (error) {
      // It has ended again, which is answered where that is heard; or everything ends.
      this.#options.log.debug({ err: error, worker: place }, 'a worker was not replaced')
    }
  }

  #tell(place: number, word: LostWord): void {
    for (const [worker, at] of this.#alive) if (at === place && worker.isConnected()) worker.send(word)
  }
}
