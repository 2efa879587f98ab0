import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Connection } from '@atom/contract/connections.ts'
import sql from 'sql-template-tag'
import type { RefreshCheckpoint } from '#connections/refresh/token-refresh.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { type ConnectionHouse, connected, openHouse, type Person } from './connection-house.ts'
import { LoopbackProvider } from './loopback-provider.ts'
import { type TestDatabase, testDatabase } from './postgres.ts'
import { RotatingProvider, type Rotation } from './rotating-provider.ts'

const child = fileURLToPath(new URL('connection-child.ts', import.meta.url))

export interface Process {
  readonly url: string
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
}

/** An installation whose processes come and go: one database, one keyring, one data folder, a rotating provider. */
export class RefreshScene implements AsyncDisposable {
  readonly provider: RotatingProvider
  readonly database: TestDatabase
  readonly ada: Person
  readonly connection: Connection
  readonly dataDir: string
  readonly #house: ConnectionHouse
  readonly #masterKeys: string
  readonly #release: AsyncDisposableStack

  private constructor(parts: {
    provider: RotatingProvider
    database: TestDatabase
    house: ConnectionHouse
    ada: Person
    connection: Connection
    dataDir: string
    masterKeys: string
    release: AsyncDisposableStack
  }) {
    this.provider = parts.provider
    this.database = parts.database
    this.#house = parts.house
    this.ada = parts.ada
    this.connection = parts.connection
    this.dataDir = parts.dataDir
    this.#masterKeys = parts.masterKeys
    this.#release = parts.release
  }

  static async open(rotation: Rotation = 'family'): Promise<RefreshScene> {
    await using release = new AsyncDisposableStack()
    const loopback = release.use(await LoopbackProvider.start())
    const provider = new RotatingProvider(loopback, rotation)
    const database = release.use(await testDatabase())
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-storm-'))
    release.defer(() => rm(dataDir, { recursive: true, force: true }))
    const masterKeys = `v1:${randomBytes(32).toString('base64url')}`
    const house = release.use(
      await openHouse({
        database: database.database,
        sandbox: loopback,
        reach: [loopback.url],
        keyring: parseKeyring(masterKeys, 'the test'),
        dataDir,
      }),
    )
    const ada = await house.person()
    const browser = ada.browser()
    const url = await browser.connect('salesforce')
    const back = new URL(url.searchParams.get('redirect_uri') ?? '')
    back.searchParams.set('state', url.searchParams.get('state') ?? '')
    back.searchParams.set('code', 'code-1')
    const connection = await connected(ada, await browser.open(back))
    return new RefreshScene({
      provider,
      database,
      house,
      ada,
      connection,
      dataDir,
      masterKeys,
      release: release.move(),
    })
  }

  /** A further process of the installation. */
  async process(
    settings: {
      dieAt?: RefreshCheckpoint
      leaseSeconds?: number
      dataDir?: string
      connection?: object
    } = {},
  ): Promise<Process> {
    const running = spawn(process.execPath, [child], {
      env: {
        ...process.env,
        ATOM_TEST_CONNECTIONS: JSON.stringify({
          connection: this.database.connection,
          sandbox: this.provider.loopback.running(),
          reach: this.provider.loopback.url,
          masterKeys: this.#masterKeys,
          dataDir: this.dataDir,
          ...settings,
        }),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(running, 'exit')
    this.#release.defer(async () => {
      running.kill('SIGKILL')
      await ended
    })
    const [url] = (await Promise.race([
      once(createInterface(running.stdout), 'line'),
      ended.then(([code]) => Promise.reject(new Error(`it ended with ${code} instead of starting`))),
    ])) as [string]
    return { url, child: running, ended }
  }

  /** Status of a call through the proxy of a process. */
  async call({ url }: Pick<Process, 'url'>): Promise<number> {
    const answer = await fetch(
      `${url}/v1/connections/${this.connection.id}/proxy${RotatingProvider.apiPath}`,
      {
        headers: { authorization: `Bearer ${this.ada.token}` },
      },
    )
    await answer.body?.cancel()
    return answer.status
  }

  /** So many callers at once, spread over the processes. */
  async storm(processes: readonly Process[], callers: number): Promise<number[]> {
    return await Promise.all(
      Array.from({ length: callers }, async (_, n) => {
        const at = processes[n % processes.length]
        if (at === undefined) throw new Error('a storm needs a process')
        return await this.call(at)
      }),
    )
  }

  async refresh({ url }: Pick<Process, 'url'>): Promise<Response> {
    return await fetch(`${url}/v1/connections/${this.connection.id}/refresh`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.ada.token}` },
    })
  }

  /** What the process of this test does by itself from time to time. */
  async sweep(): Promise<void> {
    await this.#house.room.keepAlive.sweep()
  }

  /** Files of renewals that the database has not got yet. */
  async journal(): Promise<string[]> {
    const folder = join(this.dataDir, 'refreshes')
    return existsSync(folder) ? await readdir(folder) : []
  }

  async state(): Promise<Connection> {
    return await this.#house.room.connections.get(this.ada.principal, this.connection.id)
  }

  /** The stored token counts as expired from now on. */
  async expire(): Promise<void> {
    await this.database.database.query(sql`
      update credentials set issued_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'`)
  }

  async lease(): Promise<{ generation: number; until: string | null }> {
    const [row] = await this.database.database.query<{ generation: number; until: string | null }>(
      sql`select generation, lease_until::text as until from credentials`,
    )
    if (row === undefined) throw new Error('there is no credential')
    return row
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release[Symbol.asyncDispose]()
  }
}
