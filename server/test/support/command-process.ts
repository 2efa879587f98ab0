import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')

/** A command of Atom as a person runs it, in a process that a test can kill. */
export class CommandProcess implements AsyncDisposable {
  /** Everything that it printed, on both streams. */
  output = ''
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>
  readonly #child: ChildProcess

  constructor(args: readonly string[], environment: Readonly<Record<string, string>>) {
    const { DATABASE_URL: _url, ATOM_MASTER_KEYS: _keys, ...inherited } = process.env
    const child = spawn(process.execPath, [main, ...args], {
      env: { ...inherited, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.output += chunk
      })
    }
    this.#child = child
    this.ended = once(child, 'close').then(([code]) => ({ code, output: this.output }))
  }

  /** kill -9 */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  /** SIGTERM; the exit status. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    return (await this.ended).code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) await this.kill()
  }
}
