import type { Database } from '#foundation/database/pool.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Tracing } from '#foundation/telemetry/tracing.ts'
import * as store from './agent-store.ts'
import { LeaseLost, type TurnDependencies, TurnFailed, TurnRun } from './turn.ts'

export interface TurnWorkerOptions extends TurnDependencies {
  /** Turns that this process runs at once. */
  readonly concurrency?: number
  /** How long a turn stays with a process that does not say that it lives. */
  readonly leaseMs?: number
  /** How often it looks for turns that nobody told it of. */
  readonly pollMs?: number
  /** How long running turns may take to finish when the process ends. */
  readonly graceMs?: number
  /** Absent: turns are not traced. */
  readonly tracing?: Tracing | undefined
}

interface Running {
  readonly run: TurnRun
  readonly lost: AbortController
  readonly cancelled: AbortController
  readonly heartbeat: NodeJS.Timeout
  readonly done: Promise<void>
}

/**
 * Takes turns that are due and runs them. Several processes may do so on one database: a claim has a lease, its attempt
 * number fences every write, and a turn that waits for a person has no process at all.
 */
export class TurnWorker implements AsyncDisposable {
  readonly #options: TurnWorkerOptions
  readonly #database: Database
  readonly #log: Log
  readonly #leaseMs: number
  readonly #places: number
  readonly #running = new Map<string, Running>()
  readonly #release = new AsyncDisposableStack()
  #looking: Promise<void> | undefined
  #again = false
  /** Takes nothing more. */
  #ending = false

  private constructor(options: TurnWorkerOptions) {
    this.#options = options
    this.#database = options.database
    this.#log = options.log
    this.#leaseMs = options.leaseMs ?? 10_000
    this.#places = options.concurrency ?? 16
  }

  /** Resolves once it hears of new turns; those that are due already are taken at once. */
  static async start(options: TurnWorkerOptions): Promise<TurnWorker> {
    const worker = new TurnWorker(options)
    worker.#release.use(await options.database.listen(store.turnChannel, (payload) => worker.#heard(payload)))
    const poll = setInterval(() => worker.#look(), options.pollMs ?? 1_000)
    poll.unref()
    worker.#release.defer(() => clearInterval(poll))
    worker.#look()
    return worker
  }

  /** Turns that this process runs now. */
  get running(): number {
    return this.#running.size
  }

  /** How the queue is: what waits for any process, and what this one runs. @throws AtomError `unavailable` */
  async standing(): Promise<{
    readonly waiting: number
    readonly oldestMs: number
    readonly running: number
    readonly places: number
  }> {
    const due = await store.dueTurns(this.#database)
    return { ...due, running: this.#running.size, places: this.#places }
  }

  /** Takes no more turns: those that come are another process's. What runs goes on. */
  retire(): void {
    this.#ending = true
  }

  /** Turns that are due on any process and nobody runs, and for how long the first of them has been, in ms. */
  async backlog(): Promise<{ waiting: number; latenessMs: number }> {
    return await store.backlog(this.#database)
  }

  /** Takes no more turns, lets the running ones finish for a while, and gives the rest back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.retire()
    await this.#release.disposeAsync()
    await this.#looking
    const all = Promise.all([...this.#running.values()].map((running) => running.done))
    let timer: NodeJS.Timeout | undefined
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.graceMs ?? 3_000)
    })
    await Promise.race([all, grace])
    clearTimeout(timer)
    const unfinished = [...this.#running.values()]
    for (const running of unfinished) running.lost.abort(new LeaseLost())
    await all
    for (const { run } of unfinished) {
      try {
        await store.giveBack(this.#database, run.claim)
      } catch (error) {
        this.#log.warn(
          { err: error, turnId: run.claim.id },
          'a turn could not be given back; its lease will end',
        )
      }
    }
  }

  #heard(turnId: string): void {
    const running = this.#running.get(turnId)
    if (running !== undefined) void this.#beat(turnId, running)
    this.#look()
  }

  /** Takes what is due until nothing is, or all hands are full. Never rejects, and never runs twice at once. */
  #look(): void {
    this.#again = true
    this.#looking ??= this.#takeAll().finally(() => {
      this.#looking = undefined
    })
  }

  async #takeAll(): Promise<void> {
    while (this.#again && !this.#ending) {
      this.#again = false
      while (!this.#ending && this.#running.size < this.#places) {
        const turn = await this.#claim()
        if (turn === undefined) break
        if (turn !== 'contended') this.#take(turn)
      }
    }
  }

  async #claim(): Promise<store.TurnRow | 'contended' | undefined> {
    try {
      return await store.claimTurn(this.#database, this.#leaseMs)
    } catch (error) {
      // Another worker took a turn of the same room in this very moment.
      if (error instanceof Error && 'code' in error && error.code === '23505') return 'contended'
      const passing = error instanceof AtomError && error.row.retryable
      this.#log[passing ? 'debug' : 'error']({ err: error }, 'turns could not be looked for')
      return undefined
    }
  }

  #take(turn: store.TurnRow): void {
    const lost = new AbortController()
    const cancelled = new AbortController()
    if (turn.cancelRequestedBy !== null) cancelled.abort()
    const run = new TurnRun(turn, { lost: lost.signal, cancelled: cancelled.signal }, this.#options)
    const heartbeat = setInterval(() => void this.#beat(turn.id, running), this.#leaseMs / 3)
    const running: Running = { run, lost, cancelled, heartbeat, done: this.#see(turn, run, lost.signal) }
    this.#running.set(turn.id, running)
    void running.done.finally(() => {
      clearInterval(heartbeat)
      this.#running.delete(turn.id)
      this.#look()
    })
  }

  /** Sees a turn through. Never rejects. */
  async #see(turn: store.TurnRow, run: TurnRun, lost: AbortSignal): Promise<void> {
    // The caller enters it into the list of running turns first.
    await Promise.resolve()
    await this.#traced(
      turn,
      () => run.run(),
      (thrown) => this.#failed(thrown, turn, run, lost),
    )
  }

  /** Never rejects. */
  async #failed(failure: unknown, turn: store.TurnRow, run: TurnRun, lost: AbortSignal): Promise<void> {
    const turnId = turn.id
    try {
      if (lost.aborted || isPassing(failure)) throw failure
      if (!(failure instanceof TurnFailed) || failure.cause === undefined)
        this.#options.failures?.note({ door: 'job', place: 'turn', error: asAtomError(failure) })
      await run.fail(failure)
    } catch (thrown) {
      if (thrown instanceof LeaseLost) this.#log.info({ turnId }, 'a turn went on elsewhere')
      // Its lease ends by itself, and then it is tried again.
      else this.#log.error({ err: thrown, turnId }, 'a turn was left unfinished')
    }
  }

  async #traced(
    turn: store.TurnRow,
    work: () => Promise<void>,
    recover: (thrown: unknown) => Promise<void>,
  ): Promise<void> {
    const { tracing } = this.#options
    if (tracing === undefined) return await work().catch(recover)
    const description = {
      name: 'turn',
      kind: 'consumer',
      attributes: { 'atom.turn_id': turn.id, 'atom.turn_attempt': turn.attempt },
    } as const
    await tracing.run(turn.traceparent ?? undefined, description, work, recover)
  }

  /** Tried twice before it counts: a turn that raises its own attempt may do so in between. */
  #extend({ run }: Running): Promise<{ readonly cancelRequestedBy: string | null } | undefined> {
    return store.extendLease(this.#database, run.claim, this.#leaseMs)
  }

  /** Says that the turn is alive, and hears whether it still is this process's, and wanted. */
  async #beat(turnId: string, running: Running): Promise<void> {
    try {
      const claim = (await this.#extend(running)) ?? (await this.#extend(running))
      if (claim === undefined) {
        // A turn that has just ended or parked has no claim either; then nothing listens to this any more.
        running.lost.abort(new LeaseLost())
      } else if (claim.cancelRequestedBy !== null) {
        running.cancelled.abort()
      }
    } catch (error) {
      this.#log.debug({ err: error, turnId }, 'a heartbeat failed')
    }
  }
}

/** The database is away or too busy, or the turn is not ours any more: nothing is wrong with the turn. */
function isPassing(thrown: unknown): boolean {
  return (
    thrown instanceof LeaseLost ||
    (thrown instanceof AtomError && (thrown.code === 'unavailable' || thrown.code === 'busy'))
  )
}
