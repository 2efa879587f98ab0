import { setTimeout as pause } from 'node:timers/promises'
import sql, { join, raw, type Sql } from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { Envelope } from './envelope.ts'
import type { Keyring } from './keyring.ts'
import { type Binding, EnvelopeError } from './sealed-bytes.ts'

/** Where a room keeps wrapped data keys. Names of tables and columns come from the source, never from outside. */
export interface KeyColumn {
  /** What has such a key, for people: `connection`. */
  readonly noun: string
  readonly table: string
  /** The primary key, by which rows are walked. */
  readonly id: string
  readonly idType: 'uuid' | 'text'
  readonly key: string
  /** The column of the workspace, where the rows have one. */
  readonly workspace?: string
  /** What the data key of a row is bound to. */
  binding(row: { readonly id: string; readonly workspaceId: string }): Binding
  /** What a person does about a row whose data key does not open. */
  readonly remedy: string
}

/** How many data keys of a kind are under a master key; version 0 is what has no readable version. */
export interface KeyCount {
  readonly noun: string
  readonly version: number
  readonly keys: number
}

/** A row whose data key does not open where it is; it stays as it was. */
export interface RefusedKey {
  readonly noun: string
  readonly id: string
  readonly reason: string
  readonly remedy: string
}

export interface RotationProgress {
  readonly done: number
  readonly total: number
}

export interface RotationResult {
  /** The master key that everything was moved to. */
  readonly version: number
  readonly rewrapped: number
  readonly refused: readonly RefusedKey[]
  /** Data keys under other master keys that are held by somebody's transaction, refused ones apart. */
  readonly held: number
}

interface KeyRow {
  readonly id: string
  readonly workspaceId: string
  readonly wrapped: Buffer
}

interface FreshKey extends KeyRow {
  readonly fresh: Buffer
}

/** Small enough that who waits for one of its rows waits for milliseconds. */
const batchRows = 200
const pauseBetweenPassesMs = 100
/** How long rows that somebody else holds are come back to. */
const patienceWithHoldersMs = 30_000
/** How long a database or a key service that is away is waited for. */
const patienceWithOutageMs = 60_000
/** How many data keys are on their way to a key service at once. */
const lanes = 16

/**
 * Moves every data key from older master keys to the newest, while traffic goes on. The rows are the only record of how far
 * it is: a rotation that was killed is finished by the next one, and two at once do the work once.
 *
 * A data key is replaced only while it is still the one that was rewrapped, so whoever gives a row a new one in the meantime
 * wins; sealed values are never touched, so a refresh neither sees it nor is seen. A row that another transaction holds is
 * left for the next pass instead of waited for.
 */
export class KeyRotation {
  readonly #database: Pick<Database, 'query' | 'transaction'>
  readonly #keyring: Keyring
  readonly #envelope: Envelope
  readonly #columns: readonly KeyColumn[]

  constructor(dependencies: {
    database: Pick<Database, 'query' | 'transaction'>
    keyring: Keyring
    columns: readonly KeyColumn[]
  }) {
    this.#database = dependencies.database
    this.#keyring = dependencies.keyring
    this.#envelope = new Envelope(dependencies)
    this.#columns = dependencies.columns
  }

  /** By kind, oldest version first. */
  async count(): Promise<KeyCount[]> {
    const counts: KeyCount[] = []
    for (const column of this.#columns) {
      const rows = await this.#patiently(() =>
        this.#database.query<{ version: Buffer; keys: number }>(sql`
          select ${versionIn(column)} as version, count(*) as keys from ${raw(column.table)} group by 1 order by 1`),
      )
      counts.push(
        ...rows.map(({ version, keys }) => ({ noun: column.noun, version: versionFrom(version), keys })),
      )
    }
    return counts
  }

  async run(onProgress: (progress: RotationProgress) => void = () => undefined): Promise<RotationResult> {
    let rewrapped = 0
    let total = await this.#left()
    let deadline = Date.now() + patienceWithHoldersMs
    onProgress({ done: 0, total })
    for (;;) {
      const refused: RefusedKey[] = []
      const before = rewrapped
      for (const column of this.#columns) {
        for await (const done of this.#walk(column, refused)) {
          rewrapped += done
          total = Math.max(total, rewrapped)
          onProgress({ done: rewrapped, total })
        }
      }
      const held = Math.max(0, (await this.#left()) - refused.length)
      if (rewrapped > before) deadline = Date.now() + patienceWithHoldersMs
      if (held === 0 || Date.now() > deadline) {
        return { version: this.#keyring.current.version, rewrapped, refused, held }
      }
      await pause(pauseBetweenPassesMs)
    }
  }

  /** How many data keys are not under the newest master key. */
  async #left(): Promise<number> {
    const { version } = this.#keyring.current
    const counts = await this.count()
    return counts.filter((one) => one.version !== version).reduce((sum, { keys }) => sum + keys, 0)
  }

  /** Once through a column, in the order of its primary key; yields how many were rewrapped. */
  async *#walk(column: KeyColumn, refused: RefusedKey[]): AsyncGenerator<number> {
    let after: string | undefined
    for (;;) {
      const rows = await this.#patiently(() =>
        this.#database.query<KeyRow>(olderKeys(column, this.#keyring.current.version, after)),
      )
      const last = rows.at(-1)
      if (last === undefined) return
      after = last.id
      const fresh = await this.#rewrappedAll(column, rows, refused)
      if (fresh.length > 0) {
        // In a transaction for its second attempt after a deadlock, which two rotations can give each other.
        const replaced = await this.#patiently(() =>
          this.#database.transaction((tx) => tx.query(replaceKeys(column, fresh))),
        )
        yield replaced.length
      }
    }
  }

  async #rewrappedAll(
    column: KeyColumn,
    rows: readonly KeyRow[],
    refused: RefusedKey[],
  ): Promise<FreshKey[]> {
    const waiting = rows.values()
    const fresh: FreshKey[] = []
    const lane = async () => {
      for (const row of waiting) {
        const moved = await this.#rewrapped(column, row, refused)
        if (moved !== undefined) fresh.push(moved)
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    return fresh
  }

  async #rewrapped(column: KeyColumn, row: KeyRow, refused: RefusedKey[]): Promise<FreshKey | undefined> {
    try {
      return {
        ...row,
        fresh: await this.#patiently(() => this.#envelope.rewrap(row.wrapped, column.binding(row))),
      }
    } catch (error) {
      if (!(error instanceof EnvelopeError)) throw error
      refused.push({ noun: column.noun, id: row.id, reason: error.message, remedy: column.remedy })
      return undefined
    }
  }

  /** Everything here may be repeated: a database or a key service away for a moment does not end a long rotation. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + patienceWithOutageMs
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const passes = error instanceof AtomError && ['unavailable', 'busy'].includes(error.code)
        if (!passes || Date.now() > deadline) throw error
        await pause(500)
      }
    }
  }
}

/** The four bytes of the wrapped key that are the version of its master key (`Envelope`). */
function versionIn(column: KeyColumn): Sql {
  return sql`substring(${raw(column.key)} from 2 for 4)`
}

function versionFrom(bytes: Buffer): number {
  return bytes.length === 4 ? bytes.readUInt32BE(0) : 0
}

function versionBytes(version: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(version)
  return bytes
}

function olderKeys(column: KeyColumn, current: number, after: string | undefined): Sql {
  const id = raw(column.id)
  return sql`
    select ${id} as id, ${raw(column.workspace ?? "''")} as "workspaceId", ${raw(column.key)} as wrapped
    from ${raw(column.table)}
    where ${versionIn(column)} <> ${versionBytes(current)}
      ${after === undefined ? sql`` : sql`and ${id} > ${after}::${raw(column.idType)}`}
    order by ${id} limit ${batchRows}`
}

function replaceKeys(column: KeyColumn, keys: readonly FreshKey[]): Sql {
  const [table, id, key, idType] = [column.table, column.id, column.key, column.idType].map((name) =>
    raw(name),
  )
  const rows = keys.map((row) => sql`(${row.id}::${idType}, ${row.wrapped}::bytea, ${row.fresh}::bytea)`)
  return sql`
    with fresh (id, before, after) as (values ${join(rows)}),
    free as (
      select ${id} as id from ${table} where ${id} in (select id from fresh)
      order by ${id} for no key update skip locked
    )
    update ${table} as target set ${key} = fresh.after
    from fresh join free on free.id = fresh.id
    where target.${id} = fresh.id and target.${key} = fresh.before
    returning target.${id}`
}
