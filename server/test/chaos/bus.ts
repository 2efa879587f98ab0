import { TestRedis } from '../support/redis.ts'
import { standsStill } from './cluster.ts'
import { FaultyLine } from './faulty-line.ts'

const redisPort = 6_379

/** A Redis that the servers share, and the way to it: both can fail. */
export class Bus implements AsyncDisposable {
  readonly url: string
  /** Ours to kill and to freeze; undefined: somebody else's. */
  readonly #own: TestRedis | undefined
  readonly #line: FaultyLine
  readonly #state: { dropped: boolean }
  readonly #release: AsyncDisposableStack
  #dead = false
  /** What is done to it is done one after the other. */
  #last: Promise<void> = Promise.resolve()

  private constructor(parts: {
    readonly url: string
    readonly own: TestRedis | undefined
    readonly line: FaultyLine
    readonly state: { dropped: boolean }
    readonly release: AsyncDisposableStack
  }) {
    this.url = parts.url
    this.#own = parts.own
    this.#line = parts.line
    this.#state = parts.state
    this.#release = parts.release
  }

  /** @param redis `own`: one of this run's alone. Else the address of one that is there. */
  static async open(redis: string): Promise<Bus> {
    await using born = new AsyncDisposableStack()
    const own = redis === 'own' ? born.use(await TestRedis.started()) : undefined
    const there = new URL(own?.url.reveal() ?? redis)
    const port = Number(there.port === '' ? redisPort : there.port)
    const state = { dropped: false }
    const line = born.use(await FaultyLine.open(() => (state.dropped ? undefined : port)))
    there.host = new URL(line.url).host
    return new Bus({ url: there.href, own, line, state, release: born.move() })
  }

  /** Whether somebody was connected. */
  drop(): boolean {
    this.#state.dropped = true
    return this.#line.cut() > 0
  }

  restore(): void {
    this.#state.dropped = false
  }

  /** kill -9; whether there was one. */
  kill(): Promise<boolean> {
    return this.#then(async (own) => {
      if (this.#dead) return false
      this.#dead = true
      await own.kill()
      return true
    })
  }

  start(): Promise<boolean> {
    return this.#then(async (own) => {
      if (!this.#dead) return false
      await own.start()
      this.#dead = false
      return true
    })
  }

  /** Whether it stands still now. */
  freeze(): Promise<boolean> {
    return this.#then(async (own) => {
      const pid = own.freeze()
      return pid !== undefined && (await standsStill(pid))
    })
  }

  thaw(): Promise<boolean> {
    return this.#then(async (own) => {
      own.thaw()
      return true
    })
  }

  /** As it should be. */
  async calm(): Promise<void> {
    this.restore()
    if (this.#own === undefined) return
    await this.thaw()
    await this.start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.calm()
    await this.#release.disposeAsync()
  }

  #then(work: (own: TestRedis) => Promise<boolean>): Promise<boolean> {
    const own = this.#own
    if (own === undefined) throw new Error('this Redis is not ours to break')
    const done = this.#last.then(() => work(own))
    this.#last = done.then(() => undefined)
    return done
  }
}
