import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'

type Row = Readonly<Record<string, unknown>>

/**
 * One SQLite file, held by one process at a time. WAL without a sync per commit: what was answered survives the death of the
 * process, which is what a stand-in has to survive.
 */
export class SandboxStore implements Disposable {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  readonly #collections = new Map<string, Collection<unknown>>()

  /** Memory where no folder is given. Throws one sentence when another sandbox holds the file. */
  constructor(dataDir: string | undefined) {
    if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    const file = dataDir === undefined ? ':memory:' : join(dataDir, 'sandbox.sqlite')
    this.#database = new DatabaseSync(file, { timeout: 3000 })
    try {
      this.#database.exec(`
        pragma locking_mode = exclusive;
        pragma journal_mode = wal;
        pragma synchronous = normal;
        create table if not exists setting (key text primary key, value text not null) strict;
        create table if not exists artifact (
          provider text not null, model text not null, id text not null, payload text not null,
          expires_at integer, grant_id text, uid text, account text, client text,
          primary key (provider, model, id)) strict;
        create index if not exists artifact_grant on artifact (provider, grant_id) where grant_id is not null;
        create table if not exists record (
          position integer primary key autoincrement, provider text not null, kind text not null, id text not null,
          value text not null, unique (provider, kind, id)) strict;
        create table if not exists effect (
          seq integer primary key autoincrement, at text not null, provider text not null, kind text not null,
          person text not null, target text not null, title text not null) strict;
      `)
    } catch (cause) {
      this.#database.close()
      throw new Error(`The sandbox cannot use ${file}: another sandbox may be running on it.`, { cause })
    }
  }

  all(statement: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepared(statement).all(...values)
  }

  /** Rows changed. */
  run(statement: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepared(statement).run(...values).changes)
  }

  #prepared(statement: string): StatementSync {
    const known = this.#statements.get(statement)
    if (known !== undefined) return known
    const prepared = this.#database.prepare(statement)
    this.#statements.set(statement, prepared)
    return prepared
  }

  setting(key: string): string | undefined {
    const value = this.all('select value from setting where key = ?', key)[0]?.['value']
    return typeof value === 'string' ? value : undefined
  }

  /** The setting, made by `make` and kept when it is not there yet. */
  settingOr(key: string, make: () => string): string {
    const kept = this.setting(key)
    if (kept !== undefined) return kept
    const made = make()
    this.keepSetting(key, made)
    return made
  }

  keepSetting(key: string, value: string): void {
    this.run(
      'insert into setting values (?, ?) on conflict (key) do update set value = excluded.value',
      key,
      value,
    )
  }

  /** All or nothing, also around others of its kind; collections read what the file holds again after a failure. */
  transaction<T>(work: () => T): T {
    if (this.#database.isTransaction) return work()
    this.#database.exec('begin immediate')
    try {
      const result = work()
      this.#database.exec('commit')
      return result
    } catch (thrown) {
      this.#database.exec('rollback')
      for (const collection of this.#collections.values()) collection.reload()
      throw thrown
    }
  }

  /** The records of one kind at one provider. The caller names their type: the file is written by nobody else. */
  collection<T>(provider: string, kind: string): Collection<T> {
    const name = `${provider}/${kind}`
    const known = this.#collections.get(name)
    if (known !== undefined) return known as Collection<T>
    const opened = new Collection<T>(this, provider, kind)
    this.#collections.set(name, opened)
    return opened
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}

/**
 * Records by id, in the order they were made. Read from memory, written through to the file: a provider under load test
 * must not be slower than what it stands in for. Values are replaced, never changed in place.
 */
export class Collection<T> {
  readonly #store: SandboxStore
  readonly #provider: string
  readonly #kind: string
  readonly #values = new Map<string, T>()

  constructor(store: SandboxStore, provider: string, kind: string) {
    this.#store = store
    this.#provider = provider
    this.#kind = kind
    this.reload()
  }

  get(id: string): T | undefined {
    return this.#values.get(id)
  }

  list(): T[] {
    return [...this.#values.values()]
  }

  put(id: string, value: T): void {
    this.#store.run(
      `insert into record (provider, kind, id, value) values (?, ?, ?, ?)
       on conflict (provider, kind, id) do update set value = excluded.value`,
      this.#provider,
      this.#kind,
      id,
      JSON.stringify(value),
    )
    this.#values.set(id, value)
  }

  delete(id: string): void {
    this.#store.run(
      'delete from record where provider = ? and kind = ? and id = ?',
      this.#provider,
      this.#kind,
      id,
    )
    this.#values.delete(id)
  }

  clear(): void {
    this.#store.run('delete from record where provider = ? and kind = ?', this.#provider, this.#kind)
    this.#values.clear()
  }

  reload(): void {
    this.#values.clear()
    const rows = this.#store.all(
      'select id, value from record where provider = ? and kind = ? order by position',
      this.#provider,
      this.#kind,
    )
    for (const row of rows) this.#values.set(String(row['id']), JSON.parse(String(row['value'])) as T)
  }
}
