import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { symmetricEncrypt } from 'better-auth/crypto'
import { getMigrations } from 'better-auth/db/migration'
import { startDebianPostgres } from '../../../scripts/debian-postgres.ts'
import { LoopbackProvider } from '../../../server/test/support/loopback-provider.ts'
import { emptyTestDatabase, urlOf } from '../../../server/test/support/postgres.ts'
import { RefreshScene } from '../../../server/test/support/refresh-scene.ts'
import { RotatingProvider, type Rotation } from '../../../server/test/support/rotating-provider.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { type Benchmark, type Figure, figure, median } from '../benchmark.ts'
import { betterAuthProvider, openBetterAuth } from '../better-auth.ts'

const callers = 200
/** How long the provider takes over a token request: a fast one, far away. */
const tokenRequestMs = 150
const peer = `Better Auth ${packageJson.devDependencies['better-auth']}`

const rotations: Readonly<Record<Rotation, string>> = {
  lasting: 'refresh tokens last (as at Google)',
  single_use: 'refresh tokens work once (as at GitHub, Slack, Notion)',
  family: 'refresh tokens work once, and reuse ends the family (as at Salesforce, Airtable)',
}

export const benchmark: Benchmark = {
  name: 'refresh',
  question: `${callers} callers at once want an access token that has expired, in two processes on one PostgreSQL: how often is the provider asked for a new one, how many callers get one that its API takes, and does the account still work afterwards? Better Auth does the same with getAccessToken, on the same server in the same run.`,
  async run({ quick, say }) {
    await using postgres = await startDebianPostgres()
    // The databases of both sides are made on this server.
    process.env['ATOM_TEST_DATABASE_URL'] = postgres.url
    const figures: Figure[] = []
    for (const rotation of Object.keys(rotations) as Rotation[]) {
      const atom: Storm[] = []
      const other: Storm[] = []
      for (let round = 0; round < (quick ? 1 : 5); round++) {
        atom.push(await atomStorm(rotation))
        other.push(await betterAuthStorm(rotation))
      }
      say(`${rotations[rotation]}: Atom ${told(atom)}; ${peer} ${told(other)}`)
      figures.push(...figuresOf(rotation, 'Atom', atom, true), ...figuresOf(rotation, peer, other, false))
    }
    return figures
  },
}

/** What one storm came to. */
interface Storm {
  readonly tokenRequests: number
  /** Callers whose token the API took. */
  readonly served: number
  /** Until the last of them had their answer. */
  readonly ms: number
  /** Whether one more caller is served afterwards. */
  readonly after: boolean
}

async function atomStorm(rotation: Rotation): Promise<Storm> {
  await using scene = await RefreshScene.open(rotation)
  const { provider } = scene
  slow(provider)
  const processes = await Promise.all([scene.process(), scene.process()])
  // Both have opened a credential before, as after any first call.
  await scene.storm(processes, 2)
  provider.endAccess()
  await scene.expire()
  const began = performance.now()
  const statuses = await scene.storm(processes, callers)
  const ms = performance.now() - began
  const { tokenRequests } = provider
  const asked = tokenRequests.length
  const after = await scene.storm(processes, 1)
  return {
    tokenRequests: asked,
    served: statuses.filter((status) => status === 200).length,
    ms,
    after: after[0] === 200,
  }
}

async function betterAuthStorm(rotation: Rotation): Promise<Storm> {
  await using loopback = await LoopbackProvider.start()
  const provider = new RotatingProvider(loopback, rotation)
  slow(provider)
  await using database = await emptyTestDatabase()
  const settings = {
    databaseUrl: urlOf(database.connection),
    tokenUrl: `${loopback.url}/login.salesforce.com/services/oauth2/token`,
    ...loopback.apps.salesforce,
  }
  const account = await connectedAccount(settings, provider)
  await using processes = new AsyncDisposableStack()
  const urls = await Promise.all([0, 1].map(() => betterAuthProcess({ ...settings, ...account }, processes)))
  const call = async (n: number): Promise<boolean> => {
    const answer = await fetch(urls[n % urls.length] ?? '')
    const token = await answer.text()
    if (!answer.ok) return false
    const api = await fetch(`${loopback.url}/acme.my.salesforce.com${RotatingProvider.apiPath}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    await api.body?.cancel()
    return api.status === 200
  }
  await Promise.all([call(0), call(1)])
  provider.endAccess()
  await account.expire()
  const began = performance.now()
  const served = await Promise.all(Array.from({ length: callers }, (_, n) => call(n)))
  const ms = performance.now() - began
  const asked = provider.tokenRequests.length
  const after = await call(0)
  return { tokenRequests: asked, served: served.filter(Boolean).length, ms, after }
}

function slow(provider: RotatingProvider): void {
  provider.expiresIn = 3600
  provider.beforeEffect = () => delay(tokenRequestMs)
}

/** Somebody who has connected the provider already, as Better Auth stores it. */
async function connectedAccount(settings: Parameters<typeof openBetterAuth>[0], provider: RotatingProvider) {
  const { auth, pool } = openBetterAuth(settings)
  const { runMigrations } = await getMigrations(auth.options)
  await runMigrations()
  const { internalAdapter, secretConfig } = await auth.$context
  const pair = provider.grant()
  const sealed = (data: string) => symmetricEncrypt({ key: secretConfig, data })
  const { user, account } = await internalAdapter.createOAuthUser(
    { name: 'Ada', email: 'ada@example.org', emailVerified: true },
    {
      providerId: betterAuthProvider,
      accountId: '0051',
      accessToken: await sealed(pair.accessToken),
      refreshToken: await sealed(pair.refreshToken),
      accessTokenExpiresAt: new Date(Date.now() + 3600_000),
    },
  )
  await pool.end()
  return {
    userId: user.id,
    accountId: account.id,
    expire: async () => {
      const { auth: again, pool: own } = openBetterAuth(settings)
      const context = await again.$context
      await context.internalAdapter.updateAccount(account.id, {
        accessTokenExpiresAt: new Date(Date.now() - 3600_000),
      })
      await own.end()
    },
  }
}

async function betterAuthProcess(settings: object, release: AsyncDisposableStack): Promise<string> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('../better-auth-child.ts', import.meta.url))],
    {
      env: { ...process.env, ATOM_BENCH_BETTER_AUTH: JSON.stringify(settings) },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = once(child, 'exit')
  release.defer(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const [url] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    ended.then(([code]) => Promise.reject(new Error(`Better Auth ended with ${code} instead of starting`))),
  ])) as [string]
  return url
}

function figuresOf(rotation: Rotation, who: string, storms: readonly Storm[], judged: boolean): Figure[] {
  const of = `${who}, ${rotations[rotation]}`
  return [
    figure({
      name: `${of}: token requests, most in a storm`,
      value: Math.max(...storms.map(({ tokenRequests }) => tokenRequests)),
      unit: 'requests',
      ...(judged && { target: '<=1' as const }),
    }),
    figure({
      name: `${of}: callers served, fewest in a storm`,
      value: Math.min(...storms.map(({ served }) => served)),
      unit: `of ${callers}`,
      ...(judged && { target: `>=${callers}` as const }),
    }),
    figure({
      name: `${of}: storms after which the account still works`,
      value: storms.filter(({ after }) => after).length,
      unit: `of ${storms.length}`,
      ...(judged && { target: `>=${storms.length}` as const }),
    }),
    figure({
      name: `${of}: until the last caller has an answer`,
      value: median(storms.map(({ ms }) => ms)),
      unit: 'ms',
    }),
  ]
}

function told(storms: readonly Storm[]): string {
  return storms
    .map(
      ({ tokenRequests, served, after }) =>
        `${tokenRequests} asked/${served} served/${after ? 'works' : 'dead'}`,
    )
    .join(', ')
}
