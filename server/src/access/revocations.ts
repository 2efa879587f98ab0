import sql from 'sql-template-tag'
import type { Clock } from '#foundation/clock.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import type { Log } from '#foundation/log.ts'

/** The channel on which processes tell each other which session has ended. */
const channel = 'atom_session_ended'

type Heard = (sessionId: string) => void

/**
 * Sessions that ended while access tokens of theirs may still be unexpired. Known in every process at once (NOTIFY travels
 * with the commit), loaded at start, and read anew whenever the listening session was lost. Forgotten once no token can be left.
 */
export class Revocations implements AsyncDisposable {
  readonly #database: Database
  readonly #clock: Clock
  readonly #log: Log
  readonly #tokenLifetimeMs: number
  /** Session id to the time after which no token of it can be valid. */
  readonly #ended = new Map<string, number>()
  readonly #listeners = new Set<Heard>()
  #listening: AsyncDisposable | undefined

  private constructor(dependencies: RevocationsDependencies) {
    this.#database = dependencies.database
    this.#clock = dependencies.clock
    this.#log = dependencies.log
    this.#tokenLifetimeMs = dependencies.tokenLifetimeMs
  }

  /** Listens first and loads then, so that nothing falls between. */
  static async open(dependencies: RevocationsDependencies): Promise<Revocations> {
    const revocations = new Revocations(dependencies)
    revocations.#listening = await dependencies.database.listen(channel, (sessionId) => {
      if (sessionId !== '') revocations.#add(sessionId)
      else
        revocations.#load().catch((cause: unknown) => {
          revocations.#log.warn({ err: cause }, 'ended sessions could not be read again')
        })
    })
    await revocations.#load()
    return revocations
  }

  has(sessionId: string): boolean {
    return this.#ended.has(sessionId)
  }

  /** Hears of each session once, when it ends: its sockets are to be closed. */
  subscribe(heard: Heard): Disposable {
    this.#listeners.add(heard)
    return { [Symbol.dispose]: () => void this.#listeners.delete(heard) }
  }

  /** Part of the transaction that ends the session; every process hears of it when that commits. */
  async announce(tx: Transaction, sessionId: string): Promise<void> {
    await tx.query(sql`select pg_notify(${channel}, ${sessionId})`)
    tx.afterCommit(() => this.#add(sessionId))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear()
    await this.#listening?.[Symbol.asyncDispose]()
  }

  async #load(): Promise<void> {
    const since = new Date(this.#clock.now().getTime() - this.#tokenLifetimeMs)
    const rows = await this.#database.query<{ id: string }>(
      sql`select id from sessions where ended_at > ${since}`,
    )
    for (const row of rows) this.#add(row.id)
  }

  #add(sessionId: string): void {
    const now = this.#clock.now().getTime()
    for (const [id, until] of this.#ended) {
      if (until > now) break
      this.#ended.delete(id)
    }
    if (this.#ended.has(sessionId)) return
    this.#ended.set(sessionId, now + this.#tokenLifetimeMs)
    for (const heard of this.#listeners) heard(sessionId)
  }
}

interface RevocationsDependencies {
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** Longest life of an access token, with the tolerance of clocks, in ms. */
  readonly tokenLifetimeMs: number
}
