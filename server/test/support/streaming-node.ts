import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Room } from '@atom/contract/rooms.ts'
import type { RoomSignal } from '@atom/contract/socket.ts'
import type { Model } from '#agents/models/model.ts'
import { createApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { freePort } from './atom-process.ts'
import { emptyTestDatabase, testLog, urlOf } from './postgres.ts'

const child = fileURLToPath(new URL('streaming-child.ts', import.meta.url))
const setupToken = 'the-token-of-this-test'

export interface NodeSettings {
  readonly environment: Readonly<Record<string, string>>
  readonly leaseMs: number
}

/** Several whole servers on one database, in this process or in one of their own. */
export class Installation implements AsyncDisposable {
  readonly #release = new AsyncDisposableStack()
  readonly #shared: Readonly<Record<string, string>>

  private constructor(shared: Readonly<Record<string, string>>) {
    this.#shared = shared
  }

  static async prepare(): Promise<Installation> {
    const database = await emptyTestDatabase()
    const installation = new Installation({
      ATOM_PUBLIC_URL: 'http://127.0.0.1:3999',
      ATOM_MASTER_KEYS: `v1:${randomBytes(32).toString('base64url')}`,
      ATOM_SETUP_TOKEN: setupToken,
      ATOM_SANDBOX: '0',
      DATABASE_URL: urlOf(database.connection),
    })
    installation.#release.use(database)
    return installation
  }

  /** A server in this process; its URL. */
  async here(models: readonly [Model, ...Model[]], leaseMs = 2_000): Promise<string> {
    const { environment } = await this.#settings(leaseMs)
    const app = this.#release.use(
      await createApp(readConfig(environment), { log: testLog, models, turns: { leaseMs } }),
    )
    await app.listen()
    return `http://127.0.0.1:${environment['ATOM_PORT']}`
  }

  /** A server in a process of its own, whose model says what it is told to. */
  async apart(leaseMs = 2_000): Promise<NodeApart> {
    const settings = await this.#settings(leaseMs)
    const node = new NodeApart(
      spawn(process.execPath, [child], {
        env: { ...process.env, ATOM_TEST_NODE: JSON.stringify(settings) },
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    )
    this.#release.use(node)
    await node.ready
    return node
  }

  /** Sets the server up: its owner, and the room with the agent in it. */
  static async found(url: string): Promise<{ token: string; room: Room }> {
    const answer = await fetch(`${url}/v1/setup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        token: setupToken,
        email: 'ada@example.com',
        password: 'seven calm otters sing',
        name: 'Ada',
        workspace: 'Engines',
      }),
    })
    const { accessToken } = (await answer.json()) as { accessToken: string }
    const rooms = await fetch(`${url}/v1/rooms`, { headers: { authorization: `Bearer ${accessToken}` } })
    const { items } = (await rooms.json()) as { items: Room[] }
    const [room] = items
    if (room === undefined) throw new Error('there is no room')
    return { token: accessToken, room }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release.disposeAsync()
  }

  async #settings(leaseMs: number): Promise<NodeSettings> {
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-node-'))
    this.#release.defer(() => rm(dataDir, { recursive: true, force: true }))
    const port = await freePort()
    return {
      environment: { ...this.#shared, ATOM_DATA_DIR: dataDir, ATOM_PORT: String(port) },
      leaseMs,
    }
  }
}

export class NodeApart implements AsyncDisposable {
  readonly ready: Promise<void>
  url = ''
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  constructor(started: ChildProcess) {
    this.#child = started
    this.#exited = once(started, 'exit')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.ready = promise
    void this.#exited.then(() => reject(new Error('the server ended')))
    if (started.stdout === null) throw new Error('it has no output')
    createInterface(started.stdout).on('line', (line) => {
      if (!line.startsWith('http')) return
      this.url = line
      resolve()
    })
  }

  /** The model's next piece; undefined: it has finished. */
  say(piece: string | undefined): void {
    this.#child.stdin?.write(`${JSON.stringify(piece ?? null)}\n`)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  /** SIGTERM */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.#exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill()
  }
}

/** What a client holds of an answer, by the rule of the contract. */
export class HeldAnswer {
  attempt = 0
  text = ''

  /** False: a piece is missing. */
  take(delta: Pick<Extract<RoomSignal, { kind: 'delta' }>, 'attempt' | 'offset' | 'text'>): boolean {
    if (delta.attempt < this.attempt) return true
    const before = delta.attempt === this.attempt ? this.text : ''
    if (delta.offset > before.length) return false
    this.attempt = delta.attempt
    this.text = before + delta.text.slice(before.length - delta.offset)
    return true
  }
}
