import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { migrate } from '#foundation/database/migrate.ts'
import { type Database, openDatabase } from '#foundation/database/pool.ts'
import { createLog } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import { emptyTestDatabase, testLog } from './support/postgres.ts'

async function folder(files: Readonly<Record<string, string>>) {
  const path = await mkdtemp(join(tmpdir(), 'atom-migrations-'))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

const first = { '0001_first.sql': 'create table one (n int);\ninsert into one values (1);\n' }
const second = { '0002_second.sql': "create table two (t text);\ninsert into two values ('$1; a ? b');\n" }

function migrateFrom(directory: string, database: Database) {
  return migrate(database, { directory, log: testLog })
}

async function tables(database: Database): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    sql`select tablename as name from pg_tables where schemaname = 'public' order by 1`,
  )
  return rows.map((row) => row.name)
}

function says(words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof StartError && words.test(error.message)
}

test('[DB15] migrations are applied in order, each once', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder({ ...second, ...first })
  assert.deepEqual(await migrateFrom(files.path, own.database), {
    applied: ['0001_first.sql', '0002_second.sql'],
  })
  assert.deepEqual(await migrateFrom(files.path, own.database), { applied: [] })
  await writeFile(join(files.path, '0003_third.sql'), 'insert into one values (2);')
  assert.deepEqual(await migrateFrom(files.path, own.database), { applied: ['0003_third.sql'] })
  assert.deepEqual(await own.database.query(sql`select sum(n) as sum from one`), [{ sum: 3 }])
})

test('[DB15] several processes that start at once apply each migration once', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder({ ...first, ...second, '0003_slow.sql': 'select pg_sleep(0.1);' })
  const starters = await Promise.all(
    Array.from({ length: 4 }, () => openDatabase({ connection: own.connection, poolSize: 1, log: testLog })),
  )
  try {
    const results = await Promise.all(starters.map((database) => migrateFrom(files.path, database)))
    assert.deepEqual(results.flatMap((result) => result.applied).sort(), [
      '0001_first.sql',
      '0002_second.sql',
      '0003_slow.sql',
    ])
    assert.deepEqual(await own.database.query(sql`select n from one`), [{ n: 1 }])
  } finally {
    await Promise.all(starters.map((database) => database[Symbol.asyncDispose]()))
  }
})

test('[DB16] a migration that was edited after it was applied is refused by name', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder({ ...first, ...second })
  await migrateFrom(files.path, own.database)
  await writeFile(join(files.path, '0001_first.sql'), 'create table one (n bigint);')
  await assert.rejects(migrateFrom(files.path, own.database), says(/0001_first\.sql was changed after/))
})

test('[DB16] line ends of another system are not an edit', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder(first)
  await migrateFrom(files.path, own.database)
  await writeFile(join(files.path, '0001_first.sql'), first['0001_first.sql'].replaceAll('\n', '\r\n'))
  assert.deepEqual(await migrateFrom(files.path, own.database), { applied: [] })
})

test('[DB16] a database from a newer Atom is refused and left alone', async () => {
  await using own = await emptyTestDatabase()
  await using newer = await folder({ ...first, ...second })
  await migrateFrom(newer.path, own.database)
  await using older = await folder(first)
  await assert.rejects(
    migrateFrom(older.path, own.database),
    says(/newer Atom \(it knows 0002_second\.sql\)/),
  )
})

test('[DB16] a migration that comes before an applied one is refused', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder({ ...first, '0003_third.sql': 'select 1;' })
  await migrateFrom(files.path, own.database)
  await writeFile(join(files.path, '0002_second.sql'), second['0002_second.sql'])
  await assert.rejects(migrateFrom(files.path, own.database), says(/0002_second\.sql comes before/))
  assert.deepEqual(await tables(own.database), ['atom_migrations', 'one'])
})

test('[DB17] a migration that fails leaves nothing of itself behind, and the next start tries it again', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder({ ...first, '0002_second.sql': 'create table half (n int); select 1/0;' })
  await assert.rejects(
    migrateFrom(files.path, own.database),
    says(/0002_second\.sql failed.*division by zero/),
  )
  assert.deepEqual(await tables(own.database), ['atom_migrations', 'one'])
  await writeFile(join(files.path, '0002_second.sql'), second['0002_second.sql'])
  assert.deepEqual(await migrateFrom(files.path, own.database), { applied: ['0002_second.sql'] })
})

test('[DB18] a migration that meets a used table steps back, lets others work, and is done when the table is free', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder(first)
  await migrateFrom(files.path, own.database)
  await writeFile(join(files.path, '0002_alter.sql'), 'alter table one add column m int;')
  const held = Promise.withResolvers<void>()
  const holding = Promise.withResolvers<void>()
  const holder = own.database.transaction(async (tx) => {
    await tx.query(sql`select * from one`)
    holding.resolve()
    await held.promise
  })
  await holding.promise
  const steppedBack = Promise.withResolvers<void>()
  const log = createLog({ level: 'warn', write: () => steppedBack.resolve() })
  const migrating = migrate(own.database, { directory: files.path, log, lockTimeoutMs: 50 })
  await steppedBack.promise
  assert.deepEqual(await own.database.query(sql`select n from one`), [{ n: 1 }])
  held.resolve()
  await holder
  assert.deepEqual(await migrating, { applied: ['0002_alter.sql'] })
})

test('[DB18] a migration that never gets its table says what to do', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder(first)
  await migrateFrom(files.path, own.database)
  await writeFile(join(files.path, '0002_alter.sql'), 'alter table one add column m int;')
  await own.database.transaction(async (tx) => {
    await tx.query(sql`select * from one`)
    await assert.rejects(
      migrate(own.database, { directory: files.path, log: testLog, lockTimeoutMs: 20, attempts: 2 }),
      says(/0002_alter\.sql did not get a table that others are using/),
    )
  })
})

test('[DB18] a migration may take longer than any other statement', async () => {
  await using own = await emptyTestDatabase()
  await using files = await folder({ '0001_slow.sql': 'select pg_sleep(0.3);' })
  await using database = await openDatabase({
    connection: own.connection,
    poolSize: 1,
    statementTimeoutMs: 50,
    log: testLog,
  })
  assert.deepEqual(await migrateFrom(files.path, database), { applied: ['0001_slow.sql'] })
})
