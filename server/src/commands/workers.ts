import cluster, { type Worker } from 'node:cluster'
import { setTimeout as delay } from 'node:timers/promises'
import type { HealthStatus, StatusWord } from '@atom/contract/health.ts'
import type { Log } from '../foundation/log.ts'
import { StartError } from '../foundation/start-error.ts'
import type { DrainWord } from './stopping.ts'

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

export interface WorkersOptions {
  readonly count: number
  /** Over this process's own environment. */
  readonly environment: Readonly<Record<string, string>>
  /** How long a worker may drain before it is killed. */
  readonly drainMs: number
  readonly log: Log
}

const restart = { firstMs: 100, longestMs: 10_000 }
/** Who has lived so long after it was ready did not fail at its start. */
const settledMs = 30_000

/**
 * Processes that serve on one port, each a whole node of its own: connections are dealt out in turn, and what one commits the
 * others hear of as nodes on other machines would. One that dies is replaced; the others do not notice.
 */
export class Workers implements AsyncDisposable {
  readonly #options: WorkersOptions
  /** By worker its place, from 1 on. */
  readonly #alive = new Map<Worker, number>()
  readonly #serving = new WeakSet<Worker>()
  readonly #ended = new AbortController()
  readonly #words = new Map<Worker, StatusWord>()
  #started = false
  #failures = 0
  #unclean = 0
  #drained: Promise<void> | undefined

  constructor(options: WorkersOptions) {
    this.#options = options
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
    const [first] = await Promise.all(places.map((place) => this.#begin(place)))
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

  /** Resolves when it serves. */
  async #begin(place: number): Promise<WorkerReady> {
    const worker = cluster.fork(this.#options.environment)
    this.#alive.set(worker, place)
    const { promise, resolve, reject } = Promise.withResolvers<WorkerReady>()
    let readyAt: number | undefined
    worker.on('message', (word: WorkerReady | WorkerWord) => {
      if ('word' in word) {
        this.#words.set(worker, word.word)
        return
      }
      readyAt = performance.now()
      this.#serving.add(worker)
      this.#options.log.info({ worker: place, pid: worker.process.pid }, 'a worker serves')
      resolve(word)
    })
    worker.on('error', (error) =>
      this.#options.log.debug({ err: error, worker: place }, 'a worker complained'),
    )
    worker.once('exit', (code, signal) => {
      this.#alive.delete(worker)
      this.#words.delete(worker)
      reject(new StartError(`Worker ${place} ended before it served.`))
      if (!this.#started || this.#ended.signal.aborted) return
      this.#options.log.error({ worker: place, code, signal }, 'a worker died and is replaced')
      void this.#replace(place, readyAt)
    })
    return await promise
  }

  async #replace(place: number, readyAt: number | undefined): Promise<void> {
    const settled = readyAt !== undefined && performance.now() - readyAt > settledMs
    this.#failures = settled ? 0 : this.#failures + 1
    const pauseMs = Math.min(restart.firstMs * 2 ** Math.min(this.#failures, 10), restart.longestMs)
    try {
      await delay(pauseMs, undefined, { signal: this.#ended.signal })
      await this.#begin(place)
    } catch (error) {
      // It has ended again, which is answered where that is heard; or everything ends.
      this.#options.log.debug({ err: error, worker: place }, 'a worker was not replaced')
    }
  }
}
