import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const setupToken = 'the-setup-token-of-the-client-tests'
const main = fileURLToPath(new URL('../../../server/src/main.ts', import.meta.url))

/** The real server in a process of its own, with its own embedded PostgreSQL: it can be killed and started again. */
export class RunningServer implements AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly #dataDir: string
  #child: ChildProcess | undefined

  private constructor(port: number, dataDir: string) {
    this.port = port
    this.url = `http://127.0.0.1:${port}`
    this.#dataDir = dataDir
  }

  static async open(): Promise<RunningServer> {
    const server = new RunningServer(await freePort(), await mkdtemp(join(tmpdir(), 'atom-client-')))
    await server.start()
    return server
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [main, 'serve'], {
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        ATOM_PORT: String(this.port),
        ATOM_DATA_DIR: this.#dataDir,
        ATOM_SETUP_TOKEN: setupToken,
        ATOM_LOG_LEVEL: 'warn',
        ATOM_SANDBOX: '0',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    const said: string[] = []
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said.push(text)
        if (text.includes('Atom is ready')) resolve()
      })
      child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${said.join('')}`)))
    })
  }

  /** No goodbye: as when the power fails. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM: it drains and exits. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.#dataDir, { recursive: true, force: true })
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
