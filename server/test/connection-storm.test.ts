import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Connection } from '@atom/contract/connections.ts'
import sql from 'sql-template-tag'
import type { RefreshCheckpoint } from '#connections/token-refresh.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import { type ConnectionHouse, connected, openHouse, type Person } from './support/connection-house.ts'
import { LoopbackProvider, type Said, type Seen } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const child = fileURLToPath(new URL('support/connection-child.ts', import.meta.url))
const path = '/services/data/v62.0/limits'

/**
 * Salesforce with rotation: no lifetime is said, a token dies when the API says so, each refresh token works once, and using
 * one again ends the whole family.
 */
class Rotating {
  readonly loopback: LoopbackProvider
  readonly tokenRequests: string[] = []
  generation = 0
  familyEnded = false
  /** Of access tokens that the API was called with, and took. */
  readonly taken: string[] = []
  stale = false
  /** What happens between the request and its effect, and between the effect and the answer. */
  beforeEffect: () => Promise<void> = async () => undefined
  beforeAnswer: () => Promise<void> = async () => undefined

  constructor(loopback: LoopbackProvider) {
    this.loopback = loopback
    loopback.on('login.salesforce.com', '/services/oauth2/token', (seen) => this.#token(seen))
    loopback.on('login.salesforce.com', '/services/oauth2/userinfo', () => ({
      body: { user_id: '0051', organization_id: '00D1', name: 'Ada Lovelace' },
    }))
    loopback.on('acme.my.salesforce.com', path, ({ headers }) => this.#api(headers.authorization ?? ''))
  }

  async #token(seen: Seen): Promise<Said> {
    const form = new URLSearchParams(seen.body)
    const refreshToken = form.get('refresh_token')
    if (refreshToken !== null) {
      this.tokenRequests.push(refreshToken)
      await this.beforeEffect()
      if (refreshToken !== `5Aep.${this.generation}`) this.familyEnded = true
    }
    if (this.familyEnded) return { status: 400, body: { error: 'invalid_grant' } }
    this.generation += 1
    this.stale = false
    const pair = this.generation
    if (refreshToken !== null) await this.beforeAnswer()
    return {
      body: {
        access_token: `00D!${pair}`,
        refresh_token: `5Aep.${pair}`,
        scope: 'refresh_token api openid',
        instance_url: 'https://acme.my.salesforce.com',
        token_type: 'Bearer',
      },
    }
  }

  #api(authorization: string): Said {
    if (this.familyEnded || this.stale || authorization !== `Bearer 00D!${this.generation}`) {
      return { status: 401, body: [{ errorCode: 'INVALID_SESSION_ID' }] as object }
    }
    this.taken.push(authorization)
    return { body: {} }
  }
}

interface Process {
  readonly url: string
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
}

/** An installation whose processes come and go: one database, one keyring, one data folder, a rotating provider. */
class Scene implements AsyncDisposable {
  readonly provider: Rotating
  readonly database: TestDatabase
  readonly ada: Person
  readonly connection: Connection
  readonly dataDir: string
  readonly #house: ConnectionHouse
  readonly #masterKeys: string
  readonly #release: AsyncDisposableStack

  private constructor(parts: {
    provider: Rotating
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

  static async open(): Promise<Scene> {
    await using release = new AsyncDisposableStack()
    const loopback = release.use(await LoopbackProvider.start())
    const provider = new Rotating(loopback)
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
      }),
    )
    const ada = await house.person()
    const browser = ada.browser()
    const url = await browser.connect('salesforce')
    const back = new URL(url.searchParams.get('redirect_uri') ?? '')
    back.searchParams.set('state', url.searchParams.get('state') ?? '')
    back.searchParams.set('code', 'code-1')
    const connection = await connected(ada, await browser.open(back))
    return new Scene({
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
    settings: { dieAt?: RefreshCheckpoint; leaseSeconds?: number; dataDir?: string } = {},
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
    const answer = await fetch(`${url}/v1/connections/${this.connection.id}/proxy${path}`, {
      headers: { authorization: `Bearer ${this.ada.token}` },
    })
    await answer.body?.cancel()
    return answer.status
  }

  async refresh({ url }: Pick<Process, 'url'>): Promise<Response> {
    return await fetch(`${url}/v1/connections/${this.connection.id}/refresh`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.ada.token}` },
    })
  }

  async state(): Promise<Connection> {
    return await this.#house.room.connections.get(this.ada.principal, this.connection.id)
  }

  async lease(): Promise<{ generation: number; until: string | null }> {
    const [row] = await this.database.database.query<{ generation: number; until: string | null }>(
      sql`select generation, lease_until::text as until from credentials`,
    )
    assert.ok(row)
    return row
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release[Symbol.asyncDispose]()
  }
}

async function storm(it: Scene, processes: readonly Process[], callers: number): Promise<number[]> {
  return await Promise.all(
    Array.from({ length: callers }, async (_, n) => {
      const at = processes[n % processes.length]
      assert.ok(at)
      return await it.call(at)
    }),
  )
}

test('[CN63] two hundred callers of a stale token in two processes cause one request to a rotating provider, and get two hundred fresh tokens', async () => {
  await using it = await Scene.open()
  const processes = await Promise.all([it.process(), it.process()])
  it.provider.stale = true
  const statuses = await storm(it, processes, 200)
  assert.deepEqual(new Set(statuses), new Set([200]))
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1'])
  assert.deepEqual([it.provider.taken.length, ...new Set(it.provider.taken)], [200, 'Bearer 00D!2'])
  assert.equal((await it.lease()).generation, 2)
})

test('[CN64] a token endpoint slower than every lease is still asked once: its holder renews the lease until the answer is stored', async () => {
  await using it = await Scene.open()
  const processes = await Promise.all([it.process({ leaseSeconds: 3 }), it.process({ leaseSeconds: 3 })])
  const answer = Promise.withResolvers<void>()
  it.provider.beforeAnswer = () => answer.promise
  it.provider.stale = true
  const calls = storm(it, processes, 200)
  // The lease that was taken first is over, and the one after it, and the one after that.
  const first = new Date(
    await new Promise<string>((resolve) => {
      void until(async () => {
        const { until: held } = await it.lease()
        if (held !== null) resolve(held)
        return held !== null
      })
    }),
  )
  await until(async () => {
    const { until: held } = await it.lease()
    return held !== null && new Date(held).getTime() > first.getTime() + 6_000
  })
  answer.resolve()
  assert.deepEqual(new Set(await calls), new Set([200]))
  assert.deepEqual(it.provider.tokenRequests, ['5Aep.1'])
  assert.equal(it.provider.taken.length, 200)
})

/** What a kill at each step leaves, where the next process has the same data folder. */
const steps: readonly {
  readonly name: string
  readonly dieAt?: RefreshCheckpoint
  readonly killWhen?: 'asked' | 'spent'
  readonly works: boolean
  /** Refresh tokens that the provider is sent, over all processes. */
  readonly sent: readonly string[]
}[] = [
  { name: 'claimed', dieAt: 'claimed', works: true, sent: ['5Aep.1'] },
  { name: 'sent, and lost on the way', killWhen: 'asked', works: true, sent: ['5Aep.1', '5Aep.1'] },
  { name: 'sent, and answered to nobody', killWhen: 'spent', works: false, sent: ['5Aep.1', '5Aep.1'] },
  { name: 'answered', dieAt: 'answered', works: false, sent: ['5Aep.1', '5Aep.1'] },
  { name: 'journalled, before it is stored', dieAt: 'journalled', works: true, sent: ['5Aep.1'] },
  { name: 'stored', dieAt: 'stored', works: true, sent: ['5Aep.1'] },
]

for (const { name, dieAt, killWhen, works, sent } of steps) {
  test(`[CN65] kill -9 in a refresh, ${name}: afterwards the connection ${works ? 'works' : 'says that it has to be reconnected, and why'}`, async () => {
    await using it = await Scene.open()
    const doomed = await it.process({ leaseSeconds: 1, ...(dieAt && { dieAt }) })
    it.provider.stale = true
    const forever = new Promise<void>(() => undefined)
    const strike = async () => {
      doomed.child.kill('SIGKILL')
      await forever
    }
    if (killWhen === 'asked') it.provider.beforeEffect = strike
    if (killWhen === 'spent') it.provider.beforeAnswer = strike
    await assert.rejects(it.call(doomed), 'the caller hears nothing')
    await doomed.ended
    it.provider.beforeEffect = async () => undefined
    it.provider.beforeAnswer = async () => undefined

    const next = await it.process({ leaseSeconds: 1 })
    const statuses = await storm(it, [next], 20)
    assert.deepEqual(new Set(statuses), new Set([works ? 200 : 409]))
    assert.deepEqual(it.provider.tokenRequests, sent)
    const state = await it.state()
    if (works) {
      assert.equal(state.status, 'active')
      assert.equal(it.provider.familyEnded, false)
    } else {
      assert.equal(state.status, 'needs_reconnect')
      assert.match(state.reason ?? '', /cut off before its answer arrived/)
      assert.deepEqual(state.remedy, {
        whose: 'person',
        action: 'reconnect',
        label: 'Reconnect Salesforce',
      })
    }
    // What was stored already is forgotten with the next refresh.
    if (works) assert.equal((await it.refresh(next)).status, 200)
    const journal = join(it.dataDir, 'refreshes')
    assert.deepEqual(existsSync(journal) ? await readdir(journal) : [], [], 'nothing stays in the journal')
  })
}
