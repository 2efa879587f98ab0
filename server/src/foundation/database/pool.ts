import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import sql, { type Sql } from 'sql-template-tag'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { Places } from '#foundation/places.ts'
import { StartError } from '#foundation/start-error.ts'
import { DatabaseTraffic } from './database-traffic.ts'
import { isLostDatabase, isTransient, unavailable } from './failures.ts'
import { Notifications } from './notifications.ts'

/** Where the database is: a `connectionString`, or `host` (a folder means a Unix socket), `user`, `database`. */
export type DatabaseAddress = pg.ClientConfig

/** Rows come back with bigint as number (refused from 2^53 on), timestamptz as Date, date as text, jsonb parsed. */
export interface Queryable {
  query<Row extends object>(statement: Sql): Promise<Row[]>
}

export interface Transaction extends Queryable {
  /** Runs once, after COMMIT, never after a rollback. For telling; what it throws is logged and changes nothing. */
  afterCommit(work: () => void): void
}

export interface TransactionOptions {
  /** Instead of the database's own limit for one statement; 0 lifts it. */
  readonly statementTimeoutMs?: number
}

/**
 * A session lent for a while. What it is asked is sent at once, whatever is still on its way, and answered in order. Each statement
 * is a transaction of its own, and one that fails ends none of those behind it. Disposing waits for all answers.
 */
export interface Line extends Queryable, AsyncDisposable {}

/** Disposed when nobody listens any more. */
export interface Listening extends AsyncDisposable {
  /** A listener that rests reads on at once, and is asked anew how long it may rest. */
  wake(): void
}

export interface DatabaseOptions {
  readonly connection: DatabaseAddress
  /** How many sessions may work at once. */
  readonly poolSize: number
  readonly log: Log
  /** How many callers may wait for a session before the next one is refused as `busy`. */
  readonly maxWaiting?: number
  /** How long a caller waits for a session before it is refused as `busy`. */
  readonly acquireTimeoutMs?: number
  /** How long one statement may run (`statement_timeout`). */
  readonly statementTimeoutMs?: number
  /** How long opening waits for a server that is still starting. */
  readonly patienceMs?: number
}

const oldestServer = 150_000
const connectTimeoutMs = 5_000
const idleInTransactionMs = 30_000
/** How long a disposed database waits for what is still running. */
const drainMs = 5_000
/** A serialization failure or deadlock is tried again this often before it surfaces. */
const attempts = 5
/** The client gives up this much after the server should have: only a frozen server or a dead link gets there. */
const frozenServerMarginMs = 5_000

export interface DatabaseLoad {
  /** Sessions there may be. */
  readonly size: number
  /** Sessions at work now. */
  readonly inUse: number
  /** Callers that wait for a session. */
  readonly waiting: number
  /** Why the last caller who was due for a session got none; undefined where they got one. */
  readonly refusal: string | undefined
}

/**
 * A bounded set of sessions on one PostgreSQL database.
 *
 * Every call throws `unavailable` when the database cannot be reached and `busy` when too many wait; what PostgreSQL says
 * about a statement (constraint violations, syntax) surfaces as `pg.DatabaseError`.
 */
export class Database implements Queryable, AsyncDisposable {
  /** What is counted of statements. */
  readonly traffic = new DatabaseTraffic()
  readonly #pool: pg.Pool
  readonly #poolSize: number
  readonly #slots: Places
  readonly #log: Log
  readonly #settings: pg.ClientConfig
  readonly #notifications: Notifications
  /** Sessions of listeners that have one to themselves. */
  readonly #resting = new Set<Notifications>()
  readonly #queryTimeoutMs: number
  readonly #working = new Set<pg.PoolClient>()
  #refusal: string | undefined
  #closed: Promise<void> | undefined

  constructor(options: DatabaseOptions) {
    const statementTimeoutMs = options.statementTimeoutMs ?? 30_000
    const settings: pg.ClientConfig = {
      application_name: 'atom',
      ...options.connection,
      types: { getTypeParser },
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: connectTimeoutMs,
    }
    this.#log = options.log
    this.#settings = settings
    this.#poolSize = options.poolSize
    this.#slots = new Places({
      size: options.poolSize,
      maxWaiting: options.maxWaiting ?? 1_000,
      timeoutMs: options.acquireTimeoutMs ?? 5_000,
    })
    this.#pool = new pg.Pool({
      ...settings,
      max: options.poolSize,
      idleTimeoutMillis: 60_000,
      maxLifetimeSeconds: 1_800,
      statement_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: idleInTransactionMs,
      // Nothing is held back until what was sent before is answered: it is for whoever asks to wait, or not to (`line`).
      pipeline: true,
    })
    // Without a listener an idle session that the server ends would end this process.
    this.#pool.on('error', (error) => this.#log.warn({ err: error }, 'an idle database session was lost'))
    this.#queryTimeoutMs = clientTimeout(statementTimeoutMs)
    this.#notifications = new Notifications({ settings, log: options.log })
  }

  get load(): DatabaseLoad {
    return {
      refusal: this.#refusal,
      size: this.#poolSize,
      inUse: this.#poolSize - this.#slots.free,
      waiting: this.#slots.waiting,
    }
  }

  /** Callers that wait for a session, and how long the first of them has been waiting, ms. */
  get queue(): { readonly waiting: number; readonly longestMs: number } {
    return { waiting: this.#slots.waiting, longestMs: this.#slots.longestWaitMs }
  }

  /** Whether what other processes tell is heard now. */
  get hears(): boolean {
    return this.#notifications.hears
  }

  async query<Row extends object>(statement: Sql): Promise<Row[]> {
    const session = await this.#acquire()
    let broken = false
    try {
      const result = await this.#run(session, statement)
      return result.rows as Row[]
    } catch (error) {
      broken = isLostDatabase(error) || !(await this.#settled(session))
      throw translated(error)
    } finally {
      this.#release(session, broken)
    }
  }

  /** For statements that follow on each other without a pause. Throws as `query` does, and so do its statements. */
  async line(): Promise<Line> {
    const session = await this.#acquire()
    /** Resolves when everything sent so far is answered. */
    let answered: Promise<unknown> = Promise.resolve()
    let onTheirWay = 0
    let failed = false
    let lost = false
    return {
      query: async <Row extends object>(statement: Sql) => {
        const ahead = answered
        onTheirWay++
        // Each of those ahead may take as long.
        const answer = send(session, statement, this.#queryTimeoutMs * onTheirWay)
        answered = answer.catch(() => undefined)
        await ahead
        try {
          const result = await this.traffic.watch(statement.text, () => answer)
          return result.rows as Row[]
        } catch (error) {
          failed = true
          lost ||= isLostDatabase(error)
          throw translated(error)
        } finally {
          onTheirWay--
        }
      },
      [Symbol.asyncDispose]: async () => {
        await answered
        this.#release(session, lost || (failed && !(await this.#settled(session))))
      },
    }
  }

  /**
   * Runs `work` in one READ COMMITTED transaction and resolves after COMMIT. A deadlock or serialization failure runs `work`
   * again, so it must have no effect outside the transaction; such effects belong in `afterCommit`.
   */
  async transaction<T>(work: (tx: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(work, options)
      } catch (error) {
        if (attempt >= attempts || !isTransient(error)) throw error
        this.#log.debug({ err: error, attempt }, 'a transaction met another one and is tried again')
        await delay(Math.random() * 10 * 2 ** attempt)
      }
    }
  }

  /**
   * Hears NOTIFY on a session of its own; resolves once LISTEN is in force. After a lost session it comes back by itself and
   * then calls `heard('')`: something may have been missed.
   *
   * `restMs` is asked after each reading how long what comes next may wait to be read with what comes after it; 0: not at all.
   * Such a listener has a session to itself, so that nobody else waits; `wake` ends its rest.
   */
  async listen(
    channel: string,
    heard: (payload: string) => void,
    { restMs }: { readonly restMs?: () => number } = {},
  ): Promise<Listening> {
    if (restMs === undefined) {
      const listening = await this.#notifications.listen(channel, heard)
      return { wake: () => undefined, [Symbol.asyncDispose]: () => listening[Symbol.asyncDispose]() }
    }
    const own = new Notifications({ settings: this.#settings, log: this.#log, restMs })
    this.#resting.add(own)
    try {
      await own.listen(channel, heard)
    } catch (error) {
      await this.#silence(own)
      throw error
    }
    return { wake: () => own.wake(), [Symbol.asyncDispose]: () => this.#silence(own) }
  }

  /** Resolves when the database answers; throws `unavailable` when it does not. */
  async check(): Promise<void> {
    const session = await this.#acquire()
    let broken = false
    try {
      await session.query({ text: 'select 1' })
    } catch (error) {
      broken = true
      throw unavailable(error)
    } finally {
      this.#release(session, broken)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#slots.close()
    await Promise.all([this.#notifications, ...this.#resting].map((heard) => heard[Symbol.asyncDispose]()))
    const ended = this.#pool.end()
    const patience = new AbortController()
    await Promise.race([ended, delay(drainMs, undefined, { signal: patience.signal }).catch(() => undefined)])
    patience.abort()
    for (const session of this.#working) {
      this.#log.warn('a database session was still working at the end and was cut')
      // Its polite end would wait for what it works on.
      session.connection.stream.destroy()
    }
    await ended
  }

  async #silence(notifications: Notifications): Promise<void> {
    this.#resting.delete(notifications)
    await notifications[Symbol.asyncDispose]()
  }

  async #attempt<T>(
    work: (tx: Transaction) => Promise<T>,
    { statementTimeoutMs }: TransactionOptions,
  ): Promise<T> {
    const queryTimeoutMs =
      statementTimeoutMs === undefined ? this.#queryTimeoutMs : clientTimeout(statementTimeoutMs)
    const session = await this.#acquire()
    const tellings: (() => void)[] = []
    let open = true
    let broken = false
    // One session answers one statement at a time: statements asked for together queue here.
    let last: Promise<unknown> = Promise.resolve()
    const tx: Transaction = {
      query: <Row extends object>(statement: Sql) => {
        if (!open) throw new Error('a transaction was used after its end')
        const answer = last
          .then(() => this.#run(session, statement, queryTimeoutMs))
          .then((result) => result.rows as Row[])
        last = answer.catch(() => undefined)
        return answer
      },
      afterCommit: (telling) => {
        tellings.push(telling)
      },
    }
    let result: T
    try {
      await this.#run(session, { text: 'begin' })
      if (statementTimeoutMs !== undefined) {
        await this.#run(session, { text: `set local statement_timeout = ${Math.trunc(statementTimeoutMs)}` })
      }
      result = await work(tx)
      open = false
      await last
      const end = await this.#run(session, { text: 'commit' })
      // PostgreSQL answers COMMIT of a failed transaction with success and the word ROLLBACK.
      if (end.command !== 'COMMIT') {
        throw new Error('a transaction was rolled back because one of its statements had failed unnoticed')
      }
    } catch (error) {
      open = false
      broken = isLostDatabase(error) || !(await this.#rolledBack(session, last))
      throw translated(error)
    } finally {
      this.#release(session, broken)
    }
    for (const telling of tellings) {
      try {
        telling()
      } catch (error) {
        this.#log.error({ err: error }, 'what was to be told after a commit failed')
      }
    }
    return result
  }

  /**
   * The error of a statement arrives before the word of the server that it is done, which alone says whether a transaction is
   * open. A round trip with nothing in it waits for that word.
   */
  async #settled(session: pg.PoolClient): Promise<boolean> {
    try {
      await this.#run(session, { text: '' })
      return true
    } catch (error) {
      this.#log.debug({ err: error }, 'a session did not recover from a failed statement and was ended')
      return false
    }
  }

  async #rolledBack(session: pg.PoolClient, last: Promise<unknown>): Promise<boolean> {
    try {
      await last
      await this.#run(session, { text: 'rollback' })
      return true
    } catch (error) {
      this.#log.warn({ err: error }, 'a transaction could not be rolled back; its session was ended')
      return false
    }
  }

  async #run(
    session: pg.PoolClient,
    statement: { readonly text: string; readonly values?: unknown[] },
    queryTimeoutMs = this.#queryTimeoutMs,
  ): Promise<pg.QueryResult> {
    return await this.traffic.watch(statement.text, () => send(session, statement, queryTimeoutMs))
  }

  async #acquire(): Promise<pg.PoolClient> {
    await this.#slots.take()
    try {
      for (;;) {
        const session = await this.#pool.connect()
        this.#refusal = undefined
        this.#working.add(session)
        session.on('error', ignoreWhileWorking)
        // Whoever left a transaction open must not hand it to the next caller.
        if (session.getTransactionStatus() === 'I') return session
        this.#drop(session)
      }
    } catch (error) {
      this.#slots.give()
      this.#refusal = error instanceof Error ? error.message : String(error)
      throw unavailable(error)
    }
  }

  #release(session: pg.PoolClient, broken: boolean): void {
    if (broken || session.getTransactionStatus() !== 'I') this.#drop(session)
    else {
      this.#working.delete(session)
      session.off('error', ignoreWhileWorking)
      session.release()
    }
    this.#slots.give()
  }

  #drop(session: pg.PoolClient): void {
    this.#working.delete(session)
    session.release(true)
  }
}

function send(
  session: pg.PoolClient,
  statement: { readonly text: string; readonly values?: unknown[] },
  queryTimeoutMs: number,
): Promise<pg.QueryResult> {
  // A plain object: pg takes anything else that carries a `text` for a prepared statement of its own kind.
  const config = { text: statement.text, values: statement.values ?? [], query_timeout: queryTimeoutMs }
  return session.query(config)
}

/** Opens the database and makes sure that it answers and is new enough; a `StartError` says what to do when not. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const database = new Database(options)
  try {
    await firstAnswer(database, options)
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
  return database
}

async function firstAnswer(database: Database, options: DatabaseOptions): Promise<void> {
  const deadline = Date.now() + (options.patienceMs ?? 5_000)
  for (let told = false; ; told = true) {
    try {
      const [server] = await database.query<{ version: number }>(
        sql`select current_setting('server_version_num')::int as version`,
      )
      if (server === undefined || server.version < oldestServer) {
        throw new StartError(
          `The database server is PostgreSQL ${Math.floor((server?.version ?? 0) / 10_000)}; Atom needs 15 or newer. Upgrade it, or name another one in DATABASE_URL.`,
        )
      }
      return
    } catch (error) {
      if (error instanceof StartError) throw error
      if (!mayStillBeStarting(error) || Date.now() >= deadline) throw startError(options.connection, error)
      if (!told) options.log.info('waiting for the database to answer')
      await delay(250)
    }
  }
}

function mayStillBeStarting(error: unknown): boolean {
  return ['ECONNREFUSED', 'ENOENT', '57P03'].includes(codeBeneath(error))
}

function startError(address: DatabaseAddress, error: unknown): StartError {
  const { host, port, database, user } = new pg.Client(address)
  const where = host.startsWith('/') ? `behind the socket in ${host}` : `at ${host}:${port}`
  const code = codeBeneath(error)
  const cause = { cause: error }
  if (code.startsWith('28')) {
    return new StartError(
      `The PostgreSQL server ${where} does not let user "${user}" in (${code}). Correct user and password in DATABASE_URL.`,
      cause,
    )
  }
  if (code === '3D000') {
    return new StartError(
      `The PostgreSQL server ${where} has no database "${database}". Create it (createdb ${database}), or correct DATABASE_URL.`,
      cause,
    )
  }
  return new StartError(
    `The PostgreSQL server ${where} cannot be reached (${code}). Start it, or correct DATABASE_URL.`,
    cause,
  )
}

function codeBeneath(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof AggregateError && at.errors[0] !== undefined) return codeBeneath(at.errors[0])
    if (!(at instanceof AtomError) && 'code' in at && typeof at.code === 'string') return at.code
    if (at.cause === undefined) return at.message
  }
  return 'no answer'
}

function clientTimeout(statementTimeoutMs: number): number {
  return statementTimeoutMs === 0 ? 0 : statementTimeoutMs + frozenServerMarginMs
}

function translated(error: unknown): unknown {
  return isLostDatabase(error) ? unavailable(error) : error
}

/** A working session that breaks rejects its statement too; this only keeps the event from ending the process. */
function ignoreWhileWorking(): void {
  // The rejected statement carries the error.
}

const textual = 'text'
type TypeId = Parameters<typeof pg.types.getTypeParser>[0]
const int8Array = 1016 as TypeId

const parsers = new Map<number, (value: string) => unknown>([
  [pg.types.builtins.INT8, safeInteger],
  [pg.types.builtins.DATE, (value) => value],
  [
    int8Array,
    (value) =>
      (pg.types.getTypeParser(int8Array, textual)(value) as (string | null)[]).map(orNull(safeInteger)),
  ],
])

function getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
  const own = format === 'binary' ? undefined : parsers.get(oid)
  return own ?? pg.types.getTypeParser(oid, textual)
}

function orNull<T>(parse: (value: string) => T): (value: string | null) => T | null {
  return (value) => (value === null ? null : parse(value))
}

function safeInteger(value: string): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw new RangeError(`bigint ${value} does not fit into a number`)
  return number
}
