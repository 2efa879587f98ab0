import { randomBytes } from 'node:crypto'
import { isOperatorsToken } from '#access/authenticate.ts'
import { createGuards, type Guards } from '#access/guarded-route.ts'
import { keyRoutes } from '#access/key-routes.ts'
import { Revocations } from '#access/revocations.ts'
import { SigningKeyStore } from '#access/signing-key-store.ts'
import { AccessTokens, accessTokenLifetimeMs, clockToleranceMs } from '#access/tokens.ts'
import { accountRoutes } from '#accounts/account-routes.ts'
import { AccountStore } from '#accounts/account-store.ts'
import { Accounts, type Arrived } from '#accounts/accounts.ts'
import { SessionStore } from '#accounts/session-store.ts'
import { Sessions } from '#accounts/sessions.ts'
import { SignInThrottle } from '#accounts/sign-in-throttle.ts'
import type { Clock } from '#foundation/clock.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { parseKeyring } from '#foundation/crypto/keyring.ts'
import type { Database } from '#foundation/database/pool.ts'
import { createLog, type Log } from '#foundation/log.ts'
import { MemoryRateLimits } from '#foundation/rate-limit/memory-rate-limit.ts'
import { Secret } from '#foundation/secret.ts'
import { Callers } from '#http/callers.ts'
import { dashboardDoors } from '#http/dashboard-files.ts'
import { Edge, type EdgeOptions } from '#http/edge.ts'
import { Health, type HealthCheck } from '#http/health.ts'
import { healthDoors } from '#http/health-doors.ts'
import { LoadShedding } from '#http/load-shedding.ts'
import { openApiDoor } from '#http/openapi.ts'
import { PolicyLimits } from '#http/policy-limits.ts'
import { Readiness } from '#http/readiness.ts'
import { referenceDoors } from '#http/reference.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from '#http/server.ts'

export const setupToken = 'the-token-of-the-setup-link'
/** One master key for all servers of a test: what one sealed, another opens. */
export const masterKeys = `v1:${randomBytes(32).toString('base64url')}`

/** Who sets a server up. */
export const founder = {
  token: setupToken,
  email: 'Ada@Example.com',
  password: 'seven calm otters sing',
  name: 'Ada',
  workspace: 'Engines',
}

/** Time that a test moves. */
export class TestClock implements Clock {
  #now = Date.now()

  now(): Date {
    return new Date(this.#now)
  }

  pass(ms: number): void {
    this.#now += ms
  }
}

export interface Doors extends AsyncDisposable {
  readonly http: HttpServer
  readonly url: string
  readonly clock: TestClock
  readonly accounts: Accounts
  readonly tokens: AccessTokens
  readonly revocations: Revocations
  readonly log: Log
  /** Every line that was logged. */
  readonly lines: string[]
}

export interface DoorsOptions {
  readonly http?: Partial<HttpServerOptions>
  readonly clock?: TestClock
  readonly masterKeys?: string
  readonly arrived?: Arrived
  readonly checks?: readonly HealthCheck[]
  readonly dashboard?: string
  /** Whatever comes passes this first. */
  readonly edge?: Partial<EdgeOptions>
  /** More doors, before the port opens. */
  readonly register?: (parts: { guards: Guards; http: HttpServer }) => void
}

/** The rooms `http`, `access` and `accounts` on a real port, over a real database. */
export async function openDoors(database: Database, options: DoorsOptions = {}): Promise<Doors> {
  const lines: string[] = []
  const log = createLog({ level: 'debug', write: (line) => void lines.push(line) })
  const clock = options.clock ?? new TestClock()
  const http = createHttpServer({ log, closeMs: 2_000, ...options.http })
  const publicUrl = () => http.publicUrl
  const envelope = new Envelope({ keyring: parseKeyring(options.masterKeys ?? masterKeys, 'the test') })
  const revocations = await Revocations.open({
    database,
    clock,
    log,
    tokenLifetimeMs: accessTokenLifetimeMs + clockToleranceMs,
  })
  const tokens = await AccessTokens.open({
    store: new SigningKeyStore(database),
    envelope,
    revocations,
    clock,
    issuer: publicUrl,
  })
  const limits =
    options.edge?.limits ??
    new PolicyLimits(new MemoryRateLimits({ nowUs: () => clock.now().getTime() * 1_000 }))
  if (options.edge !== undefined) {
    const callers = new Callers()
    const shedding = new LoadShedding({ log })
    http.protect(new Edge({ limits, callers, shedding, ...options.edge }))
  }
  const accounts = new Accounts({
    database,
    store: new AccountStore(),
    sessions: new Sessions({ database, store: new SessionStore(), revocations, clock, log }),
    tokens,
    throttle: new SignInThrottle({
      perAccount: limits.of('sign-in'),
      perAddress: limits.of('sign-in-address'),
      perSite: limits.of('sign-in-network'),
    }),
    clock,
    log,
    setupToken: new Secret(setupToken),
    publicUrl,
    arrived: options.arrived ?? (async () => undefined),
    mayInviteInto: () => Promise.reject(new Error('no rooms here')),
  })
  const health = new Health({
    log,
    clock,
    checks: options.checks ?? [
      {
        name: 'database',
        required: true,
        check: async () => {
          await database.check()
          return undefined
        },
      },
    ],
    everyMs: 50,
  })
  const guards = createGuards({ http, tokens, log })
  accountRoutes(guards.guard, { accounts, crossOrigin: http.crossOrigin })
  keyRoutes(guards.guard, { tokens })
  healthDoors(http, {
    health,
    readiness: new Readiness({ phase: () => http.phase, health }),
    mayKnow: async (authorization) => await isOperatorsToken(tokens, authorization),
    about: { node: 'the-test', version: '0.0.0', startedAt: clock.now() },
  })
  openApiDoor(http, { version: '0.0.0' })
  referenceDoors(http)
  await dashboardDoors(http, { folder: options.dashboard ?? '/nonexistent/dashboard' })
  options.register?.({ guards, http })
  await health.start()
  const url = await http.listen({ host: '127.0.0.1', port: 0 })
  http.takeTraffic()
  return {
    http,
    url,
    clock,
    accounts,
    tokens,
    revocations,
    log,
    lines,
    async [Symbol.asyncDispose]() {
      await http[Symbol.asyncDispose]()
      health[Symbol.dispose]()
      await revocations[Symbol.asyncDispose]()
    },
  }
}
