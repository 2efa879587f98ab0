import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Secret } from '#foundation/secret.ts'
import { freePort } from './atom-process.ts'

/** Debian's `redis-tools` has the program; it is a server where it is called by that name. */
const program = '/usr/bin/redis-check-rdb'

/** A Redis of its own for one test, which may kill it and start it again on the same port. It keeps nothing. */
export class TestRedis implements AsyncDisposable {
  readonly port: number
  readonly #folder: string
  #server: ChildProcess | undefined

  private constructor(port: number, folder: string) {
    this.port = port
    this.#folder = folder
  }

  static async started(): Promise<TestRedis> {
    const redis = await TestRedis.prepared()
    await redis.start()
    return redis
  }

  /** Its address is known, and nobody answers there yet. */
  static async prepared(): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'atom-redis-'))
    await symlink(program, join(folder, 'redis-server'))
    return new TestRedis(await freePort(), folder)
  }

  get url(): Secret {
    return new Secret(`redis://127.0.0.1:${this.port}`)
  }

  /** Resolves when it takes connections. */
  async start(): Promise<void> {
    const settings = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder]
    // Ends with this process, in whatever way that ends.
    const server = spawn(
      'setpriv',
      [
        '--pdeathsig=KILL',
        join(this.#folder, 'redis-server'),
        ...settings,
        '--save',
        '',
        '--appendonly',
        'no',
      ],
      {
        stdio: 'ignore',
      },
    )
    this.#server = server
    const failed = new Promise<never>((_resolve, reject) => {
      server.once('error', reject)
      server.once('exit', (code) => reject(new Error(`redis-server ended with ${code} instead of starting`)))
    })
    await Promise.race([this.#answers(), failed])
    server.removeAllListeners('exit')
  }

  /** kill -9 */
  async kill(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGKILL')
    await ended
    this.#server = undefined
  }

  /** It stands still, with all its sessions open. */
  freeze(): void {
    this.#server?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#server?.kill('SIGCONT')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #answers(): Promise<void> {
    for (;;) {
      const answered = await new Promise<boolean>((resolve) => {
        const socket = net.connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'))
        socket.once('data', (data) => {
          socket.destroy()
          resolve(data.toString().startsWith('+PONG'))
        })
        socket.once('error', () => resolve(false))
      })
      if (answered) return
      await delay(20)
    }
  }
}
