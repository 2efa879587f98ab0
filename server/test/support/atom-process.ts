import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { emptyTestDatabase, urlOf } from './postgres.ts'

/** Where it serves, and the setup link where there is one. */
const said = /^ {2}Atom is ready at .*\n(?: {2}Set it up .*\n)?\n/m

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

/**
 * Atom as a person runs it: a process of its own, with its data folder, on a port of its own. It is the same after a `kill`:
 * `start` again, and everything acknowledged is there. With ATOM_TEST_EXTERNAL=1 the database is one of the test server's
 * instead of the embedded one.
 */
export class AtomProcess implements AsyncDisposable {
  readonly url: string
  readonly dataDir: string
  /** Everything that it printed, over all starts. */
  output = ''
  readonly #environment: Readonly<Record<string, string>>
  readonly #args: readonly string[]
  readonly #release = new AsyncDisposableStack()
  #child: ChildProcess | undefined

  private constructor(
    url: string,
    dataDir: string,
    environment: Readonly<Record<string, string>>,
    args: readonly string[],
  ) {
    this.#args = args
    this.url = url
    this.dataDir = dataDir
    this.#environment = environment
  }

  /** A new installation, not yet started. */
  static async prepare(
    environment: Readonly<Record<string, string>> = {},
    args: readonly string[] = [],
  ): Promise<AtomProcess> {
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-home-'))
    await chmod(dataDir, 0o755)
    const port = await freePort()
    const release = new AsyncDisposableStack()
    const database: Record<string, string> = {}
    if (process.env['ATOM_TEST_EXTERNAL'] === '1') {
      const { connection } = release.use(await emptyTestDatabase())
      database['DATABASE_URL'] = urlOf(connection)
    }
    const settings = {
      ATOM_DATA_DIR: dataDir,
      ATOM_PORT: String(port),
      ATOM_LOG_LEVEL: 'debug',
      // No balancer looks at it, however often a test asks.
      ATOM_STOP_GRACE: '0',
      ...database,
      ...environment,
    }
    const atom = new AtomProcess(`http://127.0.0.1:${port}`, dataDir, settings, args)
    atom.#release.use(release)
    atom.#release.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
    return atom
  }

  static async started(environment: Readonly<Record<string, string>> = {}): Promise<AtomProcess> {
    const atom = await AtomProcess.prepare(environment)
    await atom.start()
    return atom
  }

  /** The setup link that was printed last. */
  get setupUrl(): string {
    const found = [...this.output.matchAll(/http:\S+\/setup#token=\S+/g)].at(-1)?.[0]
    if (found === undefined) throw new Error(`no setup link was printed:\n${this.output}`)
    return found
  }

  /** DATABASE_URL, where it does not bring its own database. */
  get database(): Readonly<Record<string, string>> {
    const url = this.#environment['DATABASE_URL']
    return url === undefined ? {} : { DATABASE_URL: url }
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('it does not run')
    return this.#child.pid
  }

  /** Resolves when it is ready for traffic and has said so. */
  async start(): Promise<void> {
    const before = this.output.length
    const child = this.#spawn()
    const ended = new Promise<never>((_resolve, reject) => {
      child.once('exit', (code) =>
        reject(new Error(`it ended with ${code} instead of starting:\n${this.output}`)),
      )
    })
    await Promise.race([this.#ready(before), ended])
    child.removeAllListeners('exit')
  }

  /** Runs it until it ends by itself: for starts that must fail. */
  async runToEnd(): Promise<{ code: number | null; said: string }> {
    const before = this.output.length
    const child = this.#spawn()
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    this.#child = undefined
    return { code, said: this.output.slice(before) }
  }

  /** kill -9 */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM, or SIGINT as a terminal sends it; the exit status. */
  async stop(signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM'): Promise<number | null> {
    return await this.#end(signal)
  }

  /** The exit status of what is ending by itself. */
  async ended(): Promise<number | null> {
    const child = this.#child
    if (child === undefined) return null
    const code =
      child.exitCode ?? (await new Promise<number | null>((resolve) => child.once('exit', resolve)))
    this.#child = undefined
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child !== undefined) await this.#end('SIGTERM')
    await this.#release.disposeAsync()
  }

  #spawn(): ChildProcess {
    const { DATABASE_URL: _url, ...inherited } = process.env
    const child = spawn(process.execPath, [main, 'serve', ...this.#args], {
      env: { ...inherited, ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const listen = (chunk: Buffer) => {
      this.output += chunk
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    this.#child = child
    return child
  }

  async #ready(before: number): Promise<void> {
    for (;;) {
      const answer = await fetch(`${this.url}/ready`).catch(() => undefined)
      // It is said after the first probe can be answered, and comes through a pipe besides.
      if (answer?.ok === true && said.test(this.output.slice(before))) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null) return child?.exitCode ?? null
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    child.kill(signal)
    const code = await ended
    this.#child = undefined
    return code
  }
}

export async function freePort(): Promise<number> {
  // Below the ports that the system hands out by itself (from 32,768 on), so that nobody is given it while its Atom is down.
  for (;;) {
    const port = randomInt(20_000, 32_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}
