import cluster, { type Worker } from 'node:cluster'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../foundation/log.ts'
import { StartError } from '../foundation/start-error.ts'

/** What a worker tells the process that started it. */
export interface WorkerReady {
  readonly ready: true
  readonly url: string
  readonly setupUrl: string | undefined
}

/** What a worker is told, since the signals of a terminal reach it as well and mean nothing of their own. */
export const drainWord = 'drain'

export interface WorkersOptions {
  readonly count: number
  /** Over this process's own environment. */
  readonly environment: Readonly<Record<string, string>>
  /** Ends the start at once: who does not serve yet has nothing to drain. */
  readonly signal?: AbortSignal
  readonly log: Log
}

const restart = { firstMs: 100, longestMs: 10_000 }
/** Who has lived so long after it was ready did not fail at its start. */
const settledMs = 30_000
/** How long a worker may drain before it is killed. */
const drainMs = 30_000

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
  #started = false
  #failures = 0

  private constructor(options: WorkersOptions) {
    this.#options = options
  }

  /**
   * Resolves when all of them serve; with undefined, and none of them there any more, where `signal` came first.
   * @throws StartError one of them could not start, and has said why
   */
  static async start(options: WorkersOptions): Promise<{ workers: Workers; first: WorkerReady } | undefined> {
    const workers = new Workers(options)
    try {
      if (options.signal?.aborted) return undefined
      const places = Array.from({ length: options.count }, (_, index) => index + 1)
      const served = Promise.all(places.map((place) => workers.#begin(place)))
      const ready = await Promise.race([served, aborted(options.signal)])
      if (ready === undefined) {
        // Each ends in its own way; that it never served is no failure now.
        served.catch((error) => options.log.debug({ err: error }, 'workers were ended while they started'))
        await workers[Symbol.asyncDispose]()
        return undefined
      }
      const [first] = ready
      if (first === undefined) throw new StartError('There is nobody to start.')
      workers.#started = true
      // One may have died while the others came.
      const present = new Set(workers.#alive.values())
      for (const place of places) if (!present.has(place)) void workers.#replace(place, undefined)
      return { workers, first }
    } catch (error) {
      await workers[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Lets every worker drain, and resolves when none is left. Who does not serve yet has nothing to drain, and is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await Promise.all(
      [...this.#alive.keys()].map(async (worker) => {
        const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
        if (!this.#serving.has(worker)) worker.process.kill('SIGKILL')
        else if (worker.isConnected()) worker.send(drainWord)
        const late = setTimeout(() => {
          this.#options.log.warn({ worker: worker.process.pid }, 'a worker did not end in time and is killed')
          worker.process.kill('SIGKILL')
        }, drainMs)
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
    worker.on('message', (word: WorkerReady) => {
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

/** Never rejects; never resolves without a signal. */
function aborted(signal: AbortSignal | undefined): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve(undefined)
    signal?.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}
