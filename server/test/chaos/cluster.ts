import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { type Database, type DatabaseAddress, openDatabase } from '#foundation/database/pool.ts'
import { AtomProcess } from '../support/atom-process.ts'
import { emptyTestDatabase, testLog, urlOf } from '../support/postgres.ts'

export interface ClusterOptions {
  readonly nodes: number
  /** How many processes each node is, below one that watches over them; 0: a single one. */
  readonly workers: number
  /** `own`: an embedded PostgreSQL, which can be crashed. `suite`: a database of the server that the tests share. */
  readonly database: 'own' | 'suite'
  readonly environment: Readonly<Record<string, string>>
  /** A server ended although nobody had ended it. */
  readonly died: (node: number, words: string) => void
}

interface Node {
  readonly atom: AtomProcess
  /** Processes of it that stand still. */
  readonly still: Set<number>
  /** `up`: takes traffic. `frozen`: looks as if. `leaving`: drains, and gets nothing new. */
  state: 'down' | 'starting' | 'up' | 'frozen' | 'leaving'
  /** What is done to a node is done one after the other. */
  last: Promise<void>
}

export const setupToken = 'the-setup-token-of-the-chaos'
/** How long before a start that failed, because the database was away just then, is tried again. */
const startAgainMs = 500
/** How long a process may take to end, or to stand still, when it was told to. */
const endsWithinMs = 5_000

/** Several servers, each a process of its own, on one PostgreSQL. */
export class Cluster implements AsyncDisposable {
  readonly database: Database
  readonly nodes: readonly Node[]
  readonly #folder: string | undefined
  readonly #died: ClusterOptions['died']
  readonly #release: AsyncDisposableStack
  /** How many servers were asked to start and take no traffic yet. */
  #starting = 0
  #closing = false

  private constructor(parts: {
    readonly database: Database
    readonly nodes: readonly Node[]
    readonly folder: string | undefined
    readonly died: ClusterOptions['died']
    readonly release: AsyncDisposableStack
  }) {
    this.database = parts.database
    this.nodes = parts.nodes
    this.#folder = parts.folder
    this.#died = parts.died
    this.#release = parts.release
  }

  /** All of it runs when this resolves. */
  static async open(options: ClusterOptions): Promise<Cluster> {
    await using born = new AsyncDisposableStack()
    const own = options.database === 'own' ? born.use(await ownDatabase()) : undefined
    const connection = own?.connection ?? born.use(await emptyTestDatabase()).connection
    const keys = `v1:${randomBytes(32).toString('base64url')}`
    const nodes: Node[] = []
    for (let at = 0; at < options.nodes; at++) {
      const atom = born.use(
        await AtomProcess.prepare(
          {
            ATOM_LOG_LEVEL: 'warn',
            ATOM_SANDBOX: '0',
            ATOM_SETUP_TOKEN: setupToken,
            ATOM_MASTER_KEYS: keys,
            // One address for all of them, or a token of one would be a stranger's at the next.
            ATOM_PUBLIC_URL: 'http://127.0.0.1:3000',
            DATABASE_URL: urlOf(connection),
            ...options.environment,
          },
          options.workers > 0 ? ['--workers', String(options.workers)] : [],
        ),
      )
      nodes.push({ atom, still: new Set(), state: 'down', last: Promise.resolve() })
    }
    // Of its own, with patience: it reads what is true when everything is over.
    const database = born.use(await openDatabase({ connection, poolSize: 4, log: testLog }))
    const release = new AsyncDisposableStack()
    // Should this process end in the middle of it all, the servers end as well.
    const end = () => {
      for (const { atom, state, still } of nodes) {
        if (state !== 'down' && isAlive(atom)) process.kill(atom.pid, 'SIGKILL')
        for (const pid of still) wake(pid)
      }
    }
    process.once('exit', end)
    release.defer(() => void process.off('exit', end))
    const cluster = new Cluster({ database, nodes, folder: own?.folder, died: options.died, release })
    // The first one makes the tables.
    await cluster.start(0)
    await cluster.calm()
    release.use(born.move())
    return cluster
  }

  /** The ports that a load balancer would choose from: it does not know who is frozen. */
  ports(): number[] {
    return this.nodes
      .filter(({ state }) => state === 'up' || state === 'frozen')
      .map(({ atom }) => Number(new URL(atom.url).port))
  }

  /** Nobody takes traffic, and somebody is about to. */
  get waitsForFirst(): boolean {
    return this.#starting > 0 && this.ports().length === 0
  }

  async start(at: number): Promise<void> {
    this.#starting++
    try {
      await this.#start(at)
    } finally {
      this.#starting--
    }
  }

  #start(at: number): Promise<void> {
    return this.#then(at, async (node) => {
      while (node.state === 'down' && !this.#closing) {
        node.state = 'starting'
        try {
          await node.atom.start()
          node.state = 'up'
        } catch {
          // It says what it missed, the database most often, and ends; whoever runs servers starts it again.
          node.state = 'down'
          await delay(startAgainMs)
        }
      }
    })
  }

  /** Whether there was one to kill; resolves when it is dead. */
  kill(at: number): Promise<boolean> {
    return this.#then(at, async (node) => {
      if (node.state === 'down') return false
      node.state = 'down'
      await node.atom.kill()
      // Its workers end when they notice; who stands still does not.
      for (const pid of node.still) wake(pid)
      node.still.clear()
      return true
    })
  }

  /** kill -9 of one of the processes that a node is; whether there was one. */
  killWorker(at: number, worker: number): Promise<boolean> {
    return this.#then(at, async (node) => {
      const pid = await workerOf(node, worker)
      if (pid === undefined) return false
      process.kill(pid, 'SIGKILL')
      node.still.delete(pid)
      return true
    })
  }

  /** Whether one of the processes that a node is stands still now. */
  freezeWorker(at: number, worker: number): Promise<boolean> {
    return this.#then(at, async (node) => {
      const pid = await workerOf(node, worker)
      if (pid === undefined) return false
      node.still.add(pid)
      process.kill(pid, 'SIGSTOP')
      return await standsStill(pid)
    })
  }

  /** Those of a node that stand still go on. */
  thawWorkers(at: number): Promise<void> {
    return this.#then(at, async (node) => {
      if (node.state === 'frozen') return
      for (const pid of node.still) wake(pid)
      node.still.clear()
    })
  }

  /** Whether it stands still now. */
  freeze(at: number): Promise<boolean> {
    return this.#then(at, async (node) => {
      if (node.state !== 'up') return false
      // Who watches over the others first, or it would find them silent.
      const all = [node.atom.pid, ...(await workersUnder(node.atom.pid))]
      for (const pid of all) {
        process.kill(pid, 'SIGSTOP')
        if (pid !== node.atom.pid) node.still.add(pid)
      }
      node.state = 'frozen'
      for (const pid of all) if (!(await standsStill(pid))) return false
      return true
    })
  }

  thaw(at: number): Promise<void> {
    return this.#then(at, async (node) => {
      if (node.state !== 'frozen') return
      for (const pid of node.still) wake(pid)
      node.still.clear()
      process.kill(node.atom.pid, 'SIGCONT')
      node.state = 'up'
    })
  }

  /** SIGTERM, and a new process in its place when it has ended. Whether one drained to its end: killed ones do not. */
  async drain(at: number): Promise<boolean> {
    const drained = await this.#then(at, async (node) => {
      if (node.state !== 'up') return false
      node.state = 'leaving'
      const code = await node.atom.stop()
      node.state = 'down'
      return code === 0
    })
    await this.start(at)
    return drained
  }

  /**
   * PostgreSQL ends at once, as with a failing machine; it is started again and recovers from its log. Whether it was there to
   * end, and has.
   */
  async crashDatabase(): Promise<boolean> {
    if (this.#folder === undefined) throw new Error('this database is not ours to crash')
    const words = await readFile(join(this.#folder, 'database', 'postmaster.pid'), 'utf8').catch(() => '')
    const pid = Number(words.split('\n')[0])
    // Without a number it is just starting again.
    if (!Number.isSafeInteger(pid) || pid <= 1 || !isRunning(pid)) return false
    process.kill(pid, 'SIGQUIT')
    for (const deadline = performance.now() + endsWithinMs; performance.now() < deadline; ) {
      if (!isRunning(pid)) return true
      await delay(20)
    }
    return false
  }

  /** Looks for servers that ended by themselves, says so, and starts them again. */
  lookForDead(): void {
    for (const [at, node] of this.nodes.entries()) {
      if ((node.state !== 'up' && node.state !== 'frozen') || isAlive(node.atom)) continue
      this.#died(at, node.atom.output.slice(-2_000))
      node.state = 'down'
      void this.start(at)
    }
  }

  /** Everything up, thawed and started. */
  async calm(): Promise<void> {
    await Promise.all(
      this.nodes.map(async (_, at) => {
        await this.thaw(at)
        await this.thawWorkers(at)
        await this.start(at)
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    await Promise.all(this.nodes.map(({ last }) => last))
    for (const { atom, state, still } of this.nodes) {
      for (const pid of still) wake(pid)
      if (state === 'frozen') process.kill(atom.pid, 'SIGCONT')
    }
    // Together, because each of them takes its time to say goodbye.
    await Promise.all(this.nodes.map(({ atom }) => atom.kill()))
    await this.#release.disposeAsync()
  }

  #then<T>(at: number, work: (node: Node) => Promise<T>): Promise<T> {
    const node = this.nodes[at]
    if (node === undefined) throw new Error(`there is no node ${at}`)
    const done = node.last.then(() => work(node))
    node.last = done.then(() => undefined)
    return done
  }
}

/** The processes below a node's own that serve as it does; its database is none. */
async function workersUnder(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const found: number[] = []
  for (const child of children.split(' ').filter((id) => id !== '')) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('--workers')) found.push(Number(child))
  }
  return found
}

async function workerOf(node: Node, worker: number): Promise<number | undefined> {
  if (node.state !== 'up' || !isAlive(node.atom)) return undefined
  const pids = (await workersUnder(node.atom.pid)).filter((pid) => !node.still.has(pid))
  return pids[worker % pids.length]
}

/** SIGCONT to whoever is still there. */
function wake(pid: number): void {
  if (isRunning(pid)) process.kill(pid, 'SIGCONT')
}

function isAlive(atom: AtomProcess): boolean {
  return isRunning(atom.pid)
}

/** Stopped by a signal, as the system sees it: the letter behind the name in parentheses (proc_pid_stat(5)). */
export async function standsStill(pid: number): Promise<boolean> {
  for (const deadline = performance.now() + endsWithinMs; performance.now() < deadline; ) {
    const words = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    if (/\) T /.test(words)) return true
    await delay(10)
  }
  return false
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    throw error
  }
}

async function ownDatabase(): Promise<
  AsyncDisposable & { readonly connection: DatabaseAddress; readonly folder: string }
> {
  const folder = await mkdtemp(join(tmpdir(), 'atom-chaos-'))
  await chmod(folder, 0o755)
  const server = await startEmbedded({
    dataDir: folder,
    log: testLog,
    // A crash of PostgreSQL loses nothing that it has written; that the disk has it is for the failing of a machine.
    settings: { fsync: 'off', full_page_writes: 'off', max_connections: '150' },
  })
  return {
    connection: server.connection,
    folder,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
