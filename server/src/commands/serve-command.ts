import cluster from 'node:cluster'
import type { StatusWord } from '@atom/contract/health.ts'
import { Command, InvalidArgumentError } from 'commander'
import pg from 'pg'
import type { App, Overrides } from '../app.ts'
import { type Config, readConfig } from '../config.ts'
import { openKeyring } from '../foundation/crypto/keyring.ts'
import { openDataDir } from '../foundation/database/database-folder.ts'
import { randomToken } from '../foundation/ids.ts'
import { createLog, type Log } from '../foundation/log.ts'
import { LogSink } from '../foundation/log-sink.ts'
import { LogTail } from '../foundation/log-tail.ts'
import { nodeName } from '../foundation/node-name.ts'
import { StartError } from '../foundation/start-error.ts'
import { requireFreePort } from '../http/free-port.ts'
import { ProbeListener } from '../http/probe-listener.ts'
import { Readiness } from '../http/readiness.ts'
import { Stopping } from './stopping.ts'
import { LimitsAmongWorkers } from './worker-limits.ts'
import { MetricsAmongWorkers } from './worker-metrics.ts'
import {
  isLostWord,
  type WorkerBeat,
  type WorkerReady,
  Workers,
  type WorkerWord,
  workerBeatMs,
} from './workers.ts'

/** How often a worker looks whether it has something new to say of itself. */
const wordMs = 250
/** Below this a worker that is only busy would be taken for one that stands still. */
const leastStuckSeconds = 5
/** Workers have the deadline; who started them waits a little longer. */
const workerMarginMs = 2_000

const help = `
Each worker is a whole node: it takes about 14 sessions of PostgreSQL, and hears of the others as of nodes on other machines,
over PostgreSQL or, where REDIS_URL is set, Redis. One that dies is replaced, and so is one whose main loop stands still for
longer than --stuck-after; 0 lets it stand, for a debugger.`

/** `atom serve`: runs until SIGTERM or SIGINT, which drain and exit 0; a second signal exits at once, the deadline with 1. */
export function serveCommand(): Command {
  return new Command('serve')
    .description('run the server (what `npm start` does)')
    .option('--workers <number>', 'processes that serve on the one port', countOf, 1)
    .option('--stuck-after <seconds>', 'when a worker that stands still is replaced', secondsOf, 60)
    .addHelpText('after', help)
    .action(async ({ workers, stuckAfter }: { workers: number; stuckAfter: number }) => {
      const began = performance.now()
      const config = readConfig()
      const logTail = new LogTail()
      const log = createLog({
        level: config.logLevel,
        write: LogSink.open().write,
        readable: process.stdout.isTTY === true,
        tail: logTail,
        ...(cluster.isWorker && { node: nodeName }),
      })
      if (cluster.isWorker) await serveAsWorker(config, { log, logTail })
      else if (workers === 1) await serveAlone(config, { log, logTail }, began)
      else await serveWithWorkers(config, log, began, { count: workers, stuckMs: stuckAfter * 1_000 })
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
  using stopping = new Stopping({ log, deadlineMs: config.stop.deadlineMs })
  await serve(config, { log, logTail }, stopping, async (app) =>
    announce(began, { url: app.url, setupUrl: await app.setupUrl() }),
  )
}

/** One of several. It ends when it is told to, or with the process that started it (Node sees to that). */
async function serveAsWorker(config: Config, { log, logTail }: Kept): Promise<void> {
  using stopping = new Stopping({ log, deadlineMs: config.stop.deadlineMs, asWorker: true })
  const metrics = new MetricsAmongWorkers()
  const kept = { log, logTail, scrape: () => metrics.text(), rateLimits: new LimitsAmongWorkers() }
  await serve(config, kept, stopping, async (app) => {
    metrics.answerWith(() => app.metrics())
    process.send?.({ ready: true, url: app.url, setupUrl: await app.setupUrl() } satisfies WorkerReady)
    let told: StatusWord | undefined
    const tell = () => {
      if (app.word === told || !process.connected) return
      told = app.word
      process.send?.({ word: told } satisfies WorkerWord)
    }
    tell()
    setInterval(tell, wordMs).unref()
    const beat = () => {
      if (process.connected) process.send?.({ beat: true } satisfies WorkerBeat)
    }
    setInterval(beat, workerBeatMs).unref()
    process.on('message', (word) => {
      if (isLostWord(word)) app.crashed(new WorkerLost(word.lost))
    })
  })
}

/** Brings the server up, keeps it until the process is asked to stop, and takes it down again in good order. */
async function serve(
  config: Config,
  kept: Kept & Pick<Overrides, 'scrape' | 'rateLimits'>,
  stopping: Stopping,
  ready: (app: App) => Promise<void>,
): Promise<void> {
  const { createApp } = await theApp()
  try {
    await using app = await createApp(config, { ...kept, starting: stopping.signal })
    stopping.unfinished = () => app.unfinished()
    stopping.crashed = (error) => app.crashed(error)
    await app.listen()
    await ready(app)
    const { patient, watched } = await stopping.asked
    const graceMs = patient && (watched || app.watched) ? config.stop.graceMs : 0
    await app.drain({ graceMs, withinMs: stopping.leftMs })
    await app[Symbol.asyncDispose]()
    if (app.cut > 0) process.exitCode = 1
  } catch (error) {
    // Asked to stop before it was ready: what had begun has been taken down, and nothing is wrong.
    if (!stopping.signal.aborted || error !== stopping.signal.reason) throw error
    kept.log.info('stopped before it was ready')
  }
}

/** Opens what there is once only, the database and the keys, and keeps it for the workers. */
async function serveWithWorkers(
  config: Config,
  log: Log,
  began: number,
  { count, stuckMs }: { readonly count: number; readonly stuckMs: number },
): Promise<void> {
  if (config.sandbox === 'on') {
    throw new StartError(
      'ATOM_SANDBOX=1 starts the provider sandbox inside the one process. Leave out --workers, or ATOM_SANDBOX.',
    )
  }
  using stopping = new Stopping({ log, deadlineMs: config.stop.deadlineMs + workerMarginMs })
  await using born = new AsyncDisposableStack()
  await requireFreePort(config.host, config.port)
  const dataDir = await openDataDir(config.dataDir)
  await openKeyring({ env: config.masterKeys?.reveal(), dataDir, log })
  const { openAtomDatabase } = await theApp()
  const { database, address } = await openAtomDatabase(config, { log, born, processes: count })
  await database[Symbol.asyncDispose]()
  if (stopping.signal.aborted) return
  const workers = born.use(
    new Workers({
      count,
      environment: {
        DATABASE_URL: config.databaseUrl?.reveal() ?? addressAsUrl(address),
        // One link opens every worker's setup page.
        ATOM_SETUP_TOKEN: config.setupToken?.reveal() ?? randomToken(),
        ATOM_SANDBOX: '0',
      },
      drainMs: config.stop.deadlineMs + workerMarginMs / 2,
      stuckMs,
      log,
    }),
  )
  stopping.unfinished = () => ({ workers: workers.alive })
  const readiness = new Readiness({
    phase: () => (stopping.signal.aborted ? 'draining' : workers.phase),
    health: workers,
  })
  const probes =
    config.probePort === undefined
      ? undefined
      : born.use(
          await ProbeListener.open({
            ...{ host: config.host, port: config.probePort, publicUrl: config.publicUrl, log },
            word: () => readiness.word,
            asked: () => readiness.asked(),
          }),
        )
  const started = workers.start()
  // Whoever ends while the others come is told by `asked`; a start that fails on its own is told here.
  const first = await Promise.race([started, stopping.asked.then(() => undefined)])
  if (first === undefined) started.catch((error) => log.debug({ err: error }, 'workers were still starting'))
  else announce(began, first, count)
  const { patient } = await stopping.asked
  probes?.beat()
  await workers.drain({ patient, watched: readiness.watched })
  if (workers.unclean > 0) process.exitCode = 1
}

function announce(
  began: number,
  { url, setupUrl }: Pick<WorkerReady, 'url' | 'setupUrl'>,
  workers?: number,
): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const how = workers === undefined ? '' : `, ${workers} workers`
  const setup = setupUrl === undefined ? '' : `  Set it up here, the link works once: ${setupUrl}\n`
  // At once: workers write their lines to the same place.
  process.stdout.write(`\n  Atom is ready at ${url}  (${seconds} s${how})\n${setup}\n`)
}

function countOf(text: string): number {
  const count = Number(text)
  if (!/^\d+$/.test(text) || count < 1 || count > 64) throw new InvalidArgumentError('Give 1 to 64.')
  return count
}

function secondsOf(text: string): number {
  const seconds = Number(text)
  if (!/^\d+$/.test(text) || (seconds > 0 && seconds < leastStuckSeconds) || seconds > 3_600)
    throw new InvalidArgumentError(`Give ${leastStuckSeconds} to 3600, or 0 for never.`)
  return seconds
}

/** The end of a worker, told by those that are left. It has no stack of its own: nobody can say where it stood. */
class WorkerLost extends Error {
  override readonly name = 'WorkerLost'
  override readonly stack = ''
}

/** The embedded database as DATABASE_URL takes it: a Unix socket, which has no place in an address but here. */
function addressAsUrl(address: pg.ClientConfig): string {
  const { user, host, database } = new pg.Client(address)
  return `postgres://${encodeURIComponent(user ?? '')}@localhost/${database}?host=${encodeURIComponent(host)}`
}
