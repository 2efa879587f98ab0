import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { StatusWord } from '@atom/contract/health.ts'
import type { Log } from '#foundation/log.ts'
import { portError } from './free-port.ts'
import { ProbeBoard } from './probe-board.ts'

export interface ProbeListenerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** For the addresses of the errors' reference. */
  readonly publicUrl: string
  /** How the process is; asked at every beat. */
  readonly word: () => StatusWord
  /** Told how often `/ready` has said yes since the last beat. */
  readonly asked?: () => void
  readonly log: Log
  /** A main loop that has not turned for so long is taken for stuck: `/live` then says no. */
  readonly stuckMs?: number
}

/** What its thread is given. */
export interface ProbeWorkerData {
  readonly shared: SharedArrayBuffer
  readonly host: string
  readonly port: number
  readonly publicUrl: string
  readonly stuckMs: number
}

const beatMs = 250

/**
 * `/live` and `/ready` on a port of their own, served by a thread of their own: a main loop that is blocked for seconds can answer
 * nobody, and whoever takes that for death restarts a process that was only busy. The thread knows what the main loop wrote last,
 * and how long ago.
 */
export class ProbeListener implements AsyncDisposable {
  /** The port that it listens on. */
  readonly port: number
  readonly #board: ProbeBoard
  readonly #worker: Worker
  readonly #options: ProbeListenerOptions
  readonly #beating: NodeJS.Timeout
  #asked = 0n

  private constructor(options: ProbeListenerOptions, board: ProbeBoard, worker: Worker, port: number) {
    this.#options = options
    this.#board = board
    this.#worker = worker
    this.port = port
    this.#beating = setInterval(() => this.beat(), beatMs)
    this.#beating.unref()
    worker.on('error', (error) => options.log.error({ err: error }, 'the thread of the probes failed'))
    worker.unref()
  }

  /** Resolves when it listens. @throws StartError where it cannot */
  static async open(options: ProbeListenerOptions): Promise<ProbeListener> {
    const board = new ProbeBoard()
    board.beat(options.word())
    const data: ProbeWorkerData = {
      shared: board.shared,
      host: options.host,
      port: options.port,
      publicUrl: options.publicUrl,
      stuckMs: options.stuckMs ?? 30_000,
    }
    const worker = new Worker(new URL('./probe-worker.ts', import.meta.url), {
      name: 'atom-probes',
      workerData: data,
    })
    const [told] = (await once(worker, 'message')) as [
      { port?: number; failed?: { code: string | undefined; message: string } },
    ]
    if (told.port === undefined) {
      await worker.terminate()
      const failure = Object.assign(new Error(told.failed?.message), { code: told.failed?.code })
      throw portError(failure, options.host, options.port, 'ATOM_PROBE_PORT')
    }
    return new ProbeListener(options, board, worker, told.port)
  }

  /** Writes now how the process is, without waiting for the next turn. */
  beat(): void {
    this.#board.beat(this.#options.word())
    const { asked } = this.#board
    if (asked === this.#asked) return
    this.#asked = asked
    this.#options.asked?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beating)
    await this.#worker.terminate()
  }
}
