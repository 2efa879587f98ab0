import cluster from 'node:cluster'
import { Command, InvalidArgumentError } from 'commander'
import pg from 'pg'
import { type Config, readConfig } from '../config.ts'
import { openKeyring } from '../foundation/crypto/keyring.ts'
import { openDataDir } from '../foundation/database/database-folder.ts'
import { randomToken } from '../foundation/ids.ts'
import { createLog, type Log } from '../foundation/log.ts'
import { LogSink } from '../foundation/log-sink.ts'
import { LogTail } from '../foundation/log-tail.ts'
import { StartError } from '../foundation/start-error.ts'
import { requireFreePort } from '../http/free-port.ts'
import { drainWord, type WorkerReady, Workers } from './workers.ts'

const help = `
Each worker is a whole node: it takes about 12 sessions of PostgreSQL, and hears of the others as of nodes on other machines,
over PostgreSQL or, where REDIS_URL is set, Redis. One that dies is replaced.`

/** `atom serve`: runs until SIGTERM or SIGINT, which drain and exit 0; a second signal exits at once. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the server (what `npm start` does)')
    .option('--workers <number>', 'processes that serve on the one port', countOf, 1)
    .addHelpText('after', help)
    .action(async ({ workers }: { workers: number }) => {
      const began = performance.now()
      const config = readConfig()
      const logTail = new LogTail()
      const log = createLog({
        level: config.logLevel,
        write: LogSink.open().write,
        readable: process.stdout.isTTY === true,
        tail: logTail,
      })
      if (cluster.isWorker) await serveAsWorker(config, { log, logTail })
      else if (workers === 1) await serveAlone(config, { log, logTail }, began)
      else await serveWithWorkers(config, log, began, workers)
      log.info('stopped')
      // A library's forgotten timer must not keep a stopped server in the process list.
      process.exit()
    })
}

interface Kept {
  readonly log: Log
  /** The last lines of it. */
  readonly logTail: LogTail
}

/** Not before: what is wrong with a file of the server, such as a provider's, must not end the other commands. */
function theApp() {
  return import('../app.ts')
}

async function serveAlone(config: Config, { log, logTail }: Kept, began: number): Promise<void> {
  const stopped = untilStopped()
  const { createApp } = await theApp()
  await using app = await createApp(config, { log, logTail })
  await app.listen()
  announce(began, { url: app.url, setupUrl: await app.setupUrl() })
  noteEnd(log, await stopped)
}

/** One of several. It ends when it is told to, or with the process that started it (Node sees to that). */
async function serveAsWorker(config: Config, { log, logTail }: Kept): Promise<void> {
  const stopped = untilStopped({ asWorker: true })
  const { createApp } = await theApp()
  await using app = await createApp(config, { log, logTail })
  await app.listen()
  process.send?.({ ready: true, url: app.url, setupUrl: await app.setupUrl() } satisfies WorkerReady)
  noteEnd(log, await stopped)
}

/** Opens what there is once only, the database and the keys, and keeps it for the workers. */
async function serveWithWorkers(config: Config, log: Log, began: number, count: number): Promise<void> {
  if (config.sandbox === 'on') {
    throw new StartError(
      'ATOM_SANDBOX=1 starts the provider sandbox inside the one process. Leave out --workers, or ATOM_SANDBOX.',
    )
  }
  const stopped = untilStopped()
  await using born = new AsyncDisposableStack()
  await requireFreePort(config.host, config.port)
  const dataDir = await openDataDir(config.dataDir)
  await openKeyring({ env: config.masterKeys?.reveal(), dataDir, log })
  const { openAtomDatabase } = await theApp()
  const { database, address } = await openAtomDatabase(config, { log, born, processes: count })
  await database[Symbol.asyncDispose]()
  const stopping = new AbortController()
  void stopped.then(() => stopping.abort())
  const started = await Workers.start({
    count,
    signal: stopping.signal,
    environment: {
      DATABASE_URL: config.databaseUrl?.reveal() ?? addressAsUrl(address),
      // One link opens every worker's setup page.
      ATOM_SETUP_TOKEN: config.setupToken?.reveal() ?? randomToken(),
      ATOM_SANDBOX: '0',
    },
    log,
  })
  if (started !== undefined) {
    born.use(started.workers)
    announce(began, started.first, count)
  }
  noteEnd(log, await stopped)
}

function announce(
  began: number,
  { url, setupUrl }: Pick<WorkerReady, 'url' | 'setupUrl'>,
  workers?: number,
): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const how = workers === undefined ? '' : `, ${workers} workers`
  process.stdout.write(`\n  Atom is ready at ${url}  (${seconds} s${how})\n`)
  if (setupUrl !== undefined) process.stdout.write(`  Set it up here, the link works once: ${setupUrl}\n`)
  process.stdout.write('\n')
}

function noteEnd(log: Log, reason: NodeJS.Signals | Error): void {
  if (reason instanceof Error) {
    log.fatal({ err: reason }, 'stopping after a failure')
    process.exitCode = 1
  } else {
    log.info({ signal: reason }, 'draining')
  }
}

/**
 * The first signal, or the first thing nobody caught. The second signal does not wait for the drain. A worker is told by the
 * process that started it, since a terminal sends its signals to both.
 */
function untilStopped({ asWorker = false } = {}): Promise<NodeJS.Signals | Error> {
  return new Promise((resolve) => {
    let signalled = false
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (asWorker) return
        if (signalled) process.exit(130)
        signalled = true
        resolve(signal)
      })
    }
    if (asWorker) {
      process.on('message', (word) => {
        if (word === drainWord) resolve('SIGTERM')
      })
    }
    const crash = (thrown: unknown) => resolve(thrown instanceof Error ? thrown : new Error(String(thrown)))
    process.on('uncaughtException', crash)
    process.on('unhandledRejection', crash)
  })
}

function countOf(text: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < 1 || count > 64) throw new InvalidArgumentError('Give 1 to 64.')
  return count
}

/** The embedded database as DATABASE_URL takes it: a Unix socket, which has no place in an address but here. */
function addressAsUrl(address: pg.ClientConfig): string {
  const { user, host, database } = new pg.Client(address)
  return `postgres://${encodeURIComponent(user ?? '')}@localhost/${database}?host=${encodeURIComponent(host)}`
}
