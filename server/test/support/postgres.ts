import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { migrate, readMigrations } from '#foundation/database/migrate.ts'
import { type Database, type DatabaseAddress, openDatabase } from '#foundation/database/pool.ts'
import type { Log } from '#foundation/log.ts'
import { testLog } from './log.ts'

export { testLog }

export interface TestDatabase extends AsyncDisposable {
  readonly connection: DatabaseAddress
  readonly database: Database
}

export interface TestDatabaseOptions {
  readonly poolSize?: number
  readonly log?: Log
}

export const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url))

/**
 * A fresh, migrated database for one test: a copy of a template that is migrated once for each state of the migrations.
 * It lives on the server that ATOM_TEST_DATABASE_URL names (a superuser's address), or on an embedded server that this
 * process starts and ends.
 */
export async function testDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = await testServer()
  templates ??= template(server)
  return await copyOf(server, await templates, options)
}

/** A database without any table, on the same server. */
export async function emptyTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  return await copyOf(await testServer(), 'template0', options)
}

let servers: Promise<DatabaseAddress> | undefined
let templates: Promise<string> | undefined

/** The server that tests share, addressed at its database `postgres`. */
export function testServer(): Promise<DatabaseAddress> {
  const url = process.env['ATOM_TEST_DATABASE_URL']
  servers ??= url === undefined ? ownServer() : Promise.resolve({ connectionString: url })
  return servers
}

/** Settings of a server for tests: what they write need not survive a power cut. A killed process loses nothing by it. */
export const forgetful = { fsync: 'off', full_page_writes: 'off' }

async function ownServer(): Promise<DatabaseAddress> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-test-'))
  await chmod(folder, 0o755)
  const server = await startEmbedded({ dataDir: folder, log: testLog, settings: forgetful })
  // Not by `after` of node:test: once it is asked for anything, every promise of the process takes several times as long, and the
  // benchmarks, which come here too, would measure that.
  process.once('beforeExit', async () => {
    await server[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  return { ...server.connection, database: 'postgres' }
}

async function template(server: DatabaseAddress): Promise<string> {
  const migrations = await readMigrations(migrationsFolder)
  const state = createHash('sha256').update(JSON.stringify(migrations)).digest('hex').slice(0, 16)
  const name = `atom_template_${state}`
  await asOperator(server, async (client) => {
    // Other test processes want the same template: the first one makes it, the others wait for it here.
    await client.query('select pg_advisory_lock(hashtext($1))', [name])
    const found = await client.query('select datistemplate from pg_database where datname = $1', [name])
    if (found.rows[0]?.datistemplate === true) return
    await client.query(`drop database if exists ${name} with (force)`)
    await client.query(`create database ${name} template template0`)
    {
      await using database = await openDatabase({
        connection: named(server, name),
        poolSize: 1,
        log: testLog,
      })
      await migrate(database, { directory: migrationsFolder, log: testLog })
    }
    await client.query(`alter database ${name} with is_template true`)
  })
  return name
}

async function copyOf(
  server: DatabaseAddress,
  source: string,
  options: TestDatabaseOptions,
): Promise<TestDatabase> {
  const name = `atom_test_${randomBytes(8).toString('hex')}`
  await asOperator(server, (client) => client.query(`create database ${name} template ${source}`))
  const connection = named(server, name)
  const database = await openDatabase({
    connection,
    poolSize: options.poolSize ?? 8,
    log: options.log ?? testLog,
  })
  return {
    connection,
    database,
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]()
      await asOperator(server, (client) => client.query(`drop database if exists ${name} with (force)`))
    },
  }
}

/** The same server, another database. */
export function named(server: DatabaseAddress, database: string): DatabaseAddress {
  const { user, password, host, port } = new pg.Client(server)
  return { host, port, database, ...(user && { user }), ...(password && { password }) }
}

/** As DATABASE_URL takes it. */
export function urlOf(address: DatabaseAddress): string {
  const { user, password, host, port, database } = new pg.Client(address)
  const url = new URL(`postgres://localhost/${database}`)
  url.username = user ?? ''
  if (typeof password === 'string') url.password = password
  // A Unix socket has no place in an address but here.
  if (host.startsWith('/')) url.searchParams.set('host', host)
  else url.hostname = host
  url.port = String(port)
  return url.href
}

/** Runs `work` on a superuser's session of its own. */
export async function asOperator<T>(
  server: DatabaseAddress,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(server)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
