import { mkdtemp, rm, symlink } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '#foundation/log.ts'
import { StartError } from '#foundation/start-error.ts'
import { BoundedFile } from './bounded-file.ts'
import {
  checkMajor,
  createIfMissing,
  databaseName,
  databaseUser,
  explainedFailure,
  openDataDir,
  runnerOf,
} from './database-folder.ts'
import type { DatabaseAddress } from './pool.ts'
import { type Binaries, sheltersFor, usableBinaries } from './postgres-binaries.ts'
import { type FoundServer, here, Postmaster, type RunAs, serverOf } from './postmaster.ts'

export interface EmbeddedOptions {
  /** Atom's data folder; the database lives in `database` below it, what the server says in `database.log`. */
  readonly dataDir: string
  readonly log: Log
  /** Told in a few words what takes time. */
  readonly onProgress?: (words: string) => void
  /** Settings of PostgreSQL in place of Atom's own. */
  readonly settings?: Readonly<Record<string, string>>
  /** The folder of the npm package with the programs; found by its name where absent. */
  readonly packageFolder?: string
  /** Which package, as `<platform>-<architecture>`; this machine's where absent. */
  readonly platform?: string
  /** Where copies of the programs may live when they cannot be used in place. */
  readonly shelters?: readonly string[]
}

export interface EmbeddedDatabase extends AsyncDisposable {
  readonly connection: DatabaseAddress
}

/**
 * What differs from PostgreSQL's own defaults. Durability is left as it is: fsync, full_page_writes and synchronous_commit
 * are on, and saying so here keeps an edited postgresql.conf from turning them off.
 */
const settings: Readonly<Record<string, string>> = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  listen_addresses: '',
  unix_socket_directories: here,
  unix_socket_permissions: '0700',
  max_connections: '60',
  shared_buffers: '64MB',
  max_wal_size: '256MB',
  jit: 'off',
  timezone: 'UTC',
  lc_messages: 'C',
  log_timezone: 'UTC',
  // LOG, FATAL and PANIC only: failed statements are Atom's to report, and may quote what people wrote.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
  logging_collector: 'off',
}

/** The longest path of a Unix socket (sun_path in unix(7), without the closing zero). */
const longestSocketPath = 107
const socketName = '.s.PGSQL.5432'
const logFileBytes = 2_000_000
/** How long a start waits for the server of a process that has just died, or that is about to stop. */
const patienceWithOthersMs = 3_000
/** Backends of a server that was killed leave by themselves; until then their memory is in use. */
const patienceWithBackendsMs = 10_000
const leftovers = /pre-existing shared memory block|lock file ".*" already exists/

/**
 * Starts the PostgreSQL that Atom brings along, on a Unix socket inside the data folder, and keeps it running until it is
 * disposed or this process ends, in whatever way. Every reason not to start is a `StartError`.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const dataDir = await openDataDir(options.dataDir)
  const folder = join(dataDir, 'database')
  await endOrphan(folder, options.log)
  const runAs = await runnerOf(folder)
  const binaries = await usableBinaries({
    uid: runAs?.uid ?? process.geteuid?.() ?? 0,
    log: options.log,
    shelters: options.shelters ?? sheltersFor(dataDir),
    ...(options.packageFolder && { packageFolder: options.packageFolder }),
    ...(options.platform && { platform: options.platform }),
  })
  options.onProgress?.('opening the database')
  await createIfMissing({ folder, binaries, runAs, log: options.log })
  await checkMajor(folder, binaries)
  const server = new EmbeddedServer({ ...options, dataDir, folder, binaries, runAs })
  await server.start()
  return server
}

interface ServerOptions extends EmbeddedOptions {
  readonly folder: string
  readonly binaries: Binaries
  readonly runAs: RunAs | undefined
}

class EmbeddedServer implements EmbeddedDatabase {
  connection: DatabaseAddress = {}
  readonly #options: ServerOptions
  readonly #file: BoundedFile
  readonly #stopping = new AbortController()
  #postmaster: Postmaster | undefined
  #watching: Promise<void> = Promise.resolve()
  #shortcut: string | undefined
  #stopped: Promise<void> | undefined

  constructor(options: ServerOptions) {
    this.#options = options
    this.#file = new BoundedFile(join(options.dataDir, 'database.log'), logFileBytes)
  }

  async start(): Promise<void> {
    const { host, shortcut } = await socketFolder(this.#options.folder)
    this.#shortcut = shortcut
    this.connection = { host, user: databaseUser, database: databaseName }
    try {
      const postmaster = await this.#run()
      this.#watching = this.#watch(postmaster)
    } catch (error) {
      await this.#clear()
      throw error
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#stopping.abort()
    await this.#postmaster?.stop()
    await this.#watching
    await this.#clear()
  }

  /** Starts the server, again and again while what a killed one left behind is still dissolving. */
  async #run(): Promise<Postmaster> {
    const { folder, log } = this.#options
    const deadline = Date.now() + patienceWithBackendsMs
    for (;;) {
      const { server, otherProcess } = await serverOf(folder)
      if (server !== undefined) throw inUse(folder, server.pid)
      const postmaster = new Postmaster({
        home: this.#options.binaries.home,
        folder,
        runAs: this.#options.runAs,
        settings: { ...settings, ...this.#options.settings },
        notThePostmaster: otherProcess,
        log,
        heard: (line) => this.#heard(line),
      })
      this.#postmaster = postmaster
      if (await postmaster.ready) return postmaster
      const { lastWords } = postmaster
      if (this.#stopping.signal.aborted || Date.now() > deadline || !leftovers.test(lastWords)) {
        throw explainedFailure(lastWords)
      }
      log.debug({ lastWords }, 'what a killed database left behind is still in use')
      await delay(50)
    }
  }

  /** A server that ends by itself is started again: everything committed is in its log. */
  async #watch(first: Postmaster): Promise<void> {
    const { log } = this.#options
    let postmaster = first
    for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, 10_000)) {
      const began = Date.now()
      await postmaster.ended
      if (this.#stopping.signal.aborted) return
      if (Date.now() - began > 60_000) pauseMs = 100
      log.error(
        { lastWords: postmaster.lastWords },
        'the embedded database ended by itself and is started again',
      )
      for (;;) {
        try {
          await delay(pauseMs, undefined, { signal: this.#stopping.signal })
          postmaster = await this.#run()
          log.info('the embedded database is back')
          break
        } catch (error) {
          if (this.#stopping.signal.aborted) return
          log.error({ err: error }, 'the embedded database could not be started again yet')
          pauseMs = Math.min(pauseMs * 2, 10_000)
        }
      }
    }
  }

  #heard(line: string): void {
    try {
      this.#file.write(`${line}\n`)
    } catch (error) {
      this.#options.log.warn({ err: error, line }, 'what the embedded database said could not be written')
    }
    if (/\b(FATAL|PANIC): /.test(line)) this.#options.log.debug({ line }, 'the embedded database complained')
    if (/automatic recovery in progress/.test(line))
      this.#options.onProgress?.('recovering the database after a crash')
  }

  async #clear(): Promise<void> {
    if (this.#shortcut !== undefined) await rm(this.#shortcut, { recursive: true, force: true })
    await this.#file.close()
  }
}

/**
 * The database of the Atom that runs on this data folder now, by its socket; undefined where none does. The socket lets in
 * whoever may enter the folder, which is the user that runs Atom and root. Disposing it leaves the server alone.
 */
export async function reachEmbedded(dataDir: string): Promise<EmbeddedDatabase | undefined> {
  const folder = join(dataDir, 'database')
  const { server } = await serverOf(folder)
  // An unattended one belongs to an Atom that was killed, and may be ended by the next one at any moment.
  const running = server === undefined ? await answers(join(folder, socketName)) : server.attended
  if (!running) return undefined
  const { host, shortcut } = await socketFolder(folder)
  return {
    connection: { host, user: databaseUser, database: databaseName },
    async [Symbol.asyncDispose]() {
      if (shortcut !== undefined) await rm(shortcut, { recursive: true, force: true })
    },
  }
}

/** Where clients find the socket. Too long a path is reached through a short link, in a folder only we can enter. */
async function socketFolder(folder: string): Promise<{ host: string; shortcut: string | undefined }> {
  if (Buffer.byteLength(join(folder, socketName)) <= longestSocketPath) {
    return { host: folder, shortcut: undefined }
  }
  const shortcut = await mkdtemp('/tmp/atom-')
  const host = join(shortcut, 'db')
  await symlink(folder, host)
  return { host, shortcut }
}

/**
 * A server whose Atom was killed together with its death watch has no one: it is ended. One that is still attended gets a
 * moment, because its Atom may have died just now; after that the folder counts as in use.
 */
async function endOrphan(folder: string, log: Log): Promise<void> {
  const begun = await serverOf(folder)
  if (begun.server === undefined && (await answers(join(folder, socketName)))) throw inUse(folder)
  let server = begun.server?.attended === true ? await outlasted(folder, true) : begun.server
  if (server?.attended === true) throw inUse(folder, server.pid)
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (server === undefined) return
    log.warn({ pid: server.pid, signal }, 'ending a database that a killed Atom left behind')
    signalIfThere(server.pid, signal)
    server = await outlasted(folder, false)
  }
  if (server !== undefined) throw inUse(folder, server.pid)
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // Between looking and signalling it ended by itself, which is all that was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** The folder's server, if it is still there (and still attended, when that is the question) after some patience. */
async function outlasted(folder: string, attended: boolean): Promise<FoundServer | undefined> {
  const deadline = Date.now() + patienceWithOthersMs
  for (;;) {
    const { server } = await serverOf(folder)
    if (server === undefined || (attended && !server.attended) || Date.now() > deadline) return server
    await delay(20)
  }
}

function inUse(folder: string, pid?: number): StartError {
  const by = pid === undefined ? 'in another container' : `(its database is process ${pid})`
  return new StartError(
    `Another Atom uses the data folder ${folder.replace(/\/database$/, '')} ${by}. Stop that one, or name another folder in ATOM_DATA_DIR.`,
  )
}

/** Whether a server answers on the socket although no process here is it: the folder is shared with another container. */
function answers(path: string): Promise<boolean> {
  if (Buffer.byteLength(path) > longestSocketPath) return Promise.resolve(false)
  return new Promise((resolve) => {
    const socket = net.connect({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
