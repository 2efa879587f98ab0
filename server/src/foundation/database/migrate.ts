import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import sql, { raw } from 'sql-template-tag'
import type { Log } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import type { Database, Queryable } from './pool.ts'

export interface MigrateOptions {
  /** A folder of `0001_name.sql`, applied in the order of their numbers, each in a transaction of its own. */
  readonly directory: string
  readonly log: Log
  /** Told before each migration. */
  readonly onProgress?: (step: {
    readonly name: string
    readonly done: number
    readonly total: number
  }) => void
  /** How long a migration waits for a table lock, holding up everyone behind it, before it steps back and tries again. */
  readonly lockTimeoutMs?: number
  /** How often it tries. */
  readonly attempts?: number
}

interface Migration {
  readonly name: string
  readonly text: string
  readonly sha256: string
}

interface AppliedRow {
  readonly name: string
  readonly sha256: string
}

/** Any number, the same in every Atom: whoever holds it migrates. */
const lockKey = 4_155_131_077
const fileName = /^\d{4}_[a-z0-9_]+\.sql$/

/**
 * Brings the database to the state the files describe. Safe to run from several processes at once; refuses, with a
 * `StartError`, a database that does not descend from exactly these files.
 */
export async function migrate(database: Database, options: MigrateOptions): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(options.directory)
  const pending = pendingOf(migrations, await appliedIn(database))
  const applied: string[] = []
  for (const [done, migration] of pending.entries()) {
    options.onProgress?.({ name: migration.name, done, total: pending.length })
    if (await applyInPeace(database, migrations, migration, options)) applied.push(migration.name)
  }
  return { applied }
}

/**
 * The names of what `migrate` would apply.
 *
 * @throws StartError as `migrate` does for a database with another past
 */
export async function pendingMigrations(database: Database, directory: string): Promise<readonly string[]> {
  const pending = pendingOf(await readMigrations(directory), await appliedIn(database))
  return pending.map(({ name }) => name)
}

/** The migrations of a folder, in order. The hash does not depend on how git checks out line ends. */
export async function readMigrations(directory: string): Promise<readonly Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort()
  const numbers = new Set<string>()
  for (const name of names) {
    const number = name.slice(0, 4)
    if (!fileName.test(name)) throw new Error(`the migration ${name} is not called like 0001_name.sql`)
    if (numbers.has(number)) throw new Error(`two migrations have the number ${number}`)
    numbers.add(number)
  }
  return await Promise.all(
    names.map(async (name) => {
      const text = (await readFile(join(directory, name), 'utf8')).replaceAll('\r\n', '\n')
      return { name, text, sha256: createHash('sha256').update(text).digest('hex') }
    }),
  )
}

/** What is left to do, or a `StartError` when the database has another past than the files. */
function pendingOf(migrations: readonly Migration[], applied: readonly AppliedRow[]): readonly Migration[] {
  const known = new Map(migrations.map((migration) => [migration.name, migration]))
  for (const row of applied) {
    const migration = known.get(row.name)
    if (migration === undefined) {
      throw new StartError(
        `The database was written by a newer Atom (it knows ${row.name}). Start that version again, or restore a backup from before the update.`,
      )
    }
    if (migration.sha256 !== row.sha256) {
      throw new StartError(
        `The migration ${row.name} was changed after this database had applied it. Put the file back as it was, and make the change in a new migration.`,
      )
    }
  }
  const pending = migrations.slice(applied.length)
  const skipped = migrations
    .slice(0, applied.length)
    .find(({ name }) => !applied.some((row) => row.name === name))
  if (skipped !== undefined) {
    throw new StartError(
      `The migration ${skipped.name} comes before one that this database has applied already. Give it the next free number.`,
    )
  }
  return pending
}

async function applyInPeace(
  database: Database,
  migrations: readonly Migration[],
  migration: Migration,
  options: MigrateOptions,
): Promise<boolean> {
  const attempts = options.attempts ?? 10
  for (let attempt = 1; ; attempt++) {
    try {
      return await apply(database, migrations, migration, options.lockTimeoutMs ?? 2_000)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === '55P03' && attempt < attempts) {
        options.log.warn(
          { migration: migration.name, attempt },
          'the migration waits for a lock held by others',
        )
        await delay(Math.min(100 * 2 ** attempt, 3_000))
      } else throw explained(migration, code, error)
    }
  }
}

/** False when another process was faster. */
async function apply(
  database: Database,
  migrations: readonly Migration[],
  migration: Migration,
  lockTimeoutMs: number,
): Promise<boolean> {
  return await database.transaction(
    async (tx) => {
      await tx.query(sql`select pg_advisory_xact_lock(${lockKey})`)
      await tx.query(raw(`set local lock_timeout = ${Math.trunc(lockTimeoutMs)}`))
      await tx.query(sql`
        create table if not exists atom_migrations (
          name text primary key,
          sha256 text not null,
          applied_at timestamptz not null default now()
        )`)
      const [next] = pendingOf(migrations, await appliedIn(tx))
      if (next?.name !== migration.name) return false
      await tx.query(raw(migration.text))
      await tx.query(
        sql`insert into atom_migrations (name, sha256) values (${migration.name}, ${migration.sha256})`,
      )
      return true
    },
    { statementTimeoutMs: 0 },
  )
}

async function appliedIn(database: Queryable): Promise<readonly AppliedRow[]> {
  const [found] = await database.query<{ present: boolean }>(
    sql`select to_regclass('atom_migrations') is not null as present`,
  )
  if (found?.present !== true) return []
  return await database.query<AppliedRow>(sql`select name, sha256 from atom_migrations order by name`)
}

function explained(migration: Migration, code: unknown, error: unknown): unknown {
  if (!(error instanceof Error) || typeof code !== 'string' || error instanceof StartError) return error
  if (code === '55P03') {
    return new StartError(
      `The migration ${migration.name} did not get a table that others are using. Stop what else works on this database and start again.`,
      { cause: error },
    )
  }
  if (code === '42501') {
    return new StartError(
      `The database user may not do what the migration ${migration.name} needs (${error.message}). Make that user the owner of the database.`,
      { cause: error },
    )
  }
  return new StartError(
    `The migration ${migration.name} failed and left nothing behind: ${error.message} (${code}).`,
    { cause: error },
  )
}
