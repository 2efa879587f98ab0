import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type ErrorCode, errorTable, FrameError } from '@atom/contract/errors.ts'
import type { ErrorGroup } from '@atom/contract/failures.ts'
import { limits, type RoomEvent } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import { Check } from 'typebox/value'
import { accessTokenLifetimeMs } from '#access/tokens.ts'
import { OpenAICompatibleModel } from '#agents/models/openai-compatible.ts'
import { startEmbedded } from '#foundation/database/embedded.ts'
import { type Database, openDatabase } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { createLog } from '#foundation/log.ts'
import { type App, createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { assertProblem, type Called, type CallOptions, call } from './support/calls.ts'
import { founder, TestClock } from './support/doors.ts'
import { PlainClient } from './support/live.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testLog, urlOf } from './support/postgres.ts'
import { obedient } from './support/scripted-model.ts'
import { until } from './support/until.ts'

// The whole server, as `app.ts` makes it, over a PostgreSQL that can be stopped, before a provider that does what it is told.

/** What a provider, a model and a database say, which nobody outside is to hear. */
const canary = 'hunter2hunter2'
const minute = 60_000

/** What somebody was told, and where: an HTTP answer, a frame's error, or what an operator is shown of a failed job. */
type Heard =
  | { readonly door: 'http'; readonly answer: Called<unknown> }
  | { readonly door: 'socket'; readonly error: unknown }
  | { readonly door: 'job'; readonly group: ErrorGroup }

interface SignedIn {
  readonly accessToken: string
}

/** Somebody with a name and a password, and a token that is good now. */
class Person {
  readonly email: string
  token: string
  readonly #house: House

  constructor(house: House, email: string, token: string) {
    this.#house = house
    this.email = email
    this.token = token
  }

  async ask<T = Record<string, never>>(method: string, path: string, body?: unknown, more: CallOptions = {}) {
    return await this.#house.call<T>(method, path, {
      token: this.token,
      ...(body !== undefined && { body }),
      ...more,
    })
  }

  async heard(method: string, path: string, body?: unknown, more: CallOptions = {}): Promise<Heard> {
    return { door: 'http', answer: await this.ask<unknown>(method, path, body, more) }
  }

  /** A session more. */
  async again(): Promise<Person> {
    const { email } = this
    const { body } = await this.#house.call<SignedIn>('POST', '/v1/auth/login', {
      body: { email, password: founder.password },
    })
    return new Person(this.#house, email, body.accessToken)
  }

  async room(body: object): Promise<string> {
    return (await this.ask<{ id: string }>('POST', '/v1/rooms', body)).body.id
  }

  async say(room: string, text: string): Promise<number> {
    const said = await this.ask<{ seq: number }>('POST', `/v1/rooms/${room}/messages`, {
      clientId: newId(),
      text,
    })
    assert.equal(said.status, 201, JSON.stringify(said.body))
    return said.body.seq
  }
}

/** One installation with everything in it. */
class House implements AsyncDisposable {
  readonly url: string
  readonly clock: TestClock
  readonly provider: LoopbackProvider
  readonly postgres: Postgres
  readonly app: App
  /** The test's own way to the database. */
  readonly database: Database
  /** What opens the port, and is held up by a sandbox that takes its time. */
  readonly opening: Promise<void>
  readonly goOn: () => void
  readonly #release: AsyncDisposableStack
  #ada: Promise<Person> | undefined
  #bob: Promise<Person> | undefined
  #github: Promise<string> | undefined
  #google: Promise<string> | undefined
  #stopped: Promise<void> | undefined

  private constructor(
    parts: Pick<House, 'url' | 'clock' | 'provider' | 'postgres' | 'app' | 'database' | 'opening' | 'goOn'>,
    release: AsyncDisposableStack,
  ) {
    this.url = parts.url
    this.clock = parts.clock
    this.provider = parts.provider
    this.postgres = parts.postgres
    this.app = parts.app
    this.database = parts.database
    this.opening = parts.opening
    this.goOn = parts.goOn
    this.#release = release
  }

  /** The port is open, and takes no traffic yet. */
  static async open(): Promise<House> {
    await using born = new AsyncDisposableStack()
    const provider = born.use(await LoopbackProvider.start())
    provider.workAsGitHub()
    provider.workAsGoogle()
    provider.on('zoom.us', '/v1/chat/completions', () => ({
      status: 503,
      body: { error: { message: canary } },
    }))
    const postgres = born.use(await Postgres.start())
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-codes-'))
    born.defer(() => rm(dataDir, { recursive: true, force: true }))
    const port = await freePort()
    const asked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    born.defer(() => gate.resolve())
    const clock = new TestClock()
    const app = born.use(
      await createApp(
        readConfig({
          ATOM_DATA_DIR: dataDir,
          ATOM_PORT: String(port),
          ATOM_SETUP_TOKEN: founder.token,
          ATOM_MASTER_KEYS: `v1:${randomBytes(32).toString('base64url')}`,
          ATOM_SANDBOX: '1',
          DATABASE_URL: postgres.url,
        }),
        {
          log: createLog({ level: 'fatal', write: () => undefined }),
          clock,
          models: [
            new OpenAICompatibleModel({
              baseUrl: `${provider.url}/zoom.us/v1`,
              key: undefined,
              name: 'absent',
              retries: 0,
            }),
            obedient(),
          ],
          sandbox: {
            providers: provider.providers,
            running: () => provider.running(),
            open: async () => {
              asked.resolve()
              await gate.promise
              return await provider.open()
            },
            reach: () => [provider.url],
          },
        },
      ),
    )
    const database = born.use(
      await openDatabase({ connection: { connectionString: postgres.url }, poolSize: 2, log: testLog }),
    )
    const opening = app.listen()
    await Promise.race([asked.promise, opening])
    const url = `http://127.0.0.1:${port}`
    const goOn = () => gate.resolve()
    return new House({ url, clock, provider, postgres, app, database, opening, goOn }, born.move())
  }

  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<Called<T>> {
    return await call<T>(this.url, method, path, options)
  }

  async heard(method: string, path: string, options: CallOptions = {}): Promise<Heard> {
    return { door: 'http', answer: await this.call<unknown>(method, path, options) }
  }

  /** Who set the server up. */
  ada(): Promise<Person> {
    this.#ada ??= (async () => {
      const { body } = await this.call<SignedIn>('POST', '/v1/setup', { body: founder })
      return new Person(this, founder.email, body.accessToken)
    })()
    return this.#ada
  }

  /** Whom Ada has invited. */
  bob(): Promise<Person> {
    this.#bob ??= (async () => {
      const token = await this.invitation('bob@example.com')
      const { body } = await this.call<SignedIn>('POST', '/v1/invitations/accept', {
        body: { token, name: 'Bob', password: founder.password },
      })
      return new Person(this, 'bob@example.com', body.accessToken)
    })()
    return this.#bob
  }

  async invitation(email: string): Promise<string> {
    const ada = await this.ada()
    const { body } = await ada.ask<{ url: string }>('POST', '/v1/invitations', { email, role: 'member' })
    return new URL(body.url).hash.replace('#token=', '')
  }

  /** Time goes by, and who was signed in renews their token. */
  async pass(ms: number): Promise<void> {
    this.clock.pass(ms)
    for (const person of [await this.ada(), await this.bob()]) person.token = (await person.again()).token
  }

  /** A connection of Ada's, for good. */
  github(): Promise<string> {
    this.#github ??= this.#connected('github')
    return this.#github
  }

  google(): Promise<string> {
    this.#google ??= this.#connected('google')
    return this.#google
  }

  /** Begins connecting; with what the browser then knows. */
  async begin(person: Person, wish: object): Promise<{ authorize: URL; cookie: string }> {
    const begun = await person.ask<{ authorizeUrl: string }>('POST', '/v1/connections', wish)
    assert.equal(begun.status, 201, JSON.stringify(begun.body))
    const cookies = begun.headers.getSetCookie().map((line) => line.split(';', 1)[0])
    return { authorize: new URL(begun.body.authorizeUrl), cookie: cookies.join('; ') }
  }

  /** The provider sends the browser back with `said`. */
  async back(
    { authorize, cookie }: { authorize: URL; cookie: string },
    said: Readonly<Record<string, string>>,
  ): Promise<Called<unknown>> {
    const url = new URL(authorize.searchParams.get('redirect_uri') ?? '/v1/oauth/callback/github', this.url)
    url.searchParams.set('state', authorize.searchParams.get('state') ?? '')
    for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value)
    return await this.call<unknown>('GET', url.pathname + url.search, {
      headers: cookie === '' ? {} : { cookie },
    })
  }

  /** What Ada hears when she has begun with `wish` and comes back with `said`. */
  async comesBack(wish: object, said: Readonly<Record<string, string>> = { code: 'code-1' }): Promise<Heard> {
    const begun = await this.begin(await this.ada(), { provider: 'github', ...wish })
    return { door: 'http', answer: await this.back(begun, said) }
  }

  /** A write of Ada's at the provider, under a key. */
  async writes(key: string, body: object = { title: 'Once' }): Promise<Called<unknown>> {
    const ada = await this.ada()
    return await ada.ask<unknown>('POST', `/v1/connections/${await this.github()}/proxy${issues}`, body, {
      headers: { 'idempotency-key': key },
    })
  }

  /** What Ada hears when the provider answers the renewal of her token like this. */
  async renews(said: { status?: number; body?: object }): Promise<Heard> {
    const id = await this.google()
    this.provider.on('oauth2.googleapis.com', '/token', () => said)
    return await (await this.ada()).heard('POST', `/v1/connections/${id}/refresh`)
  }

  /** An agent that asks whether it may: in a room of its own with Ada. */
  async asksFirst(): Promise<{ turnId: string; approvalId: string }> {
    const ada = await this.ada()
    await this.github()
    const room = await ada.room({ name: 'With the agent' })
    await ada.say(room, 'create Fix the login page')
    for (;;) {
      const { body } = await ada.ask<{ events: RoomEvent[] }>('GET', `/v1/rooms/${room}/events?after=0`)
      for (const event of body.events)
        if (event.type === 'approval.requested')
          return { turnId: event.turnId, approvalId: event.approval.id }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** What is said to a socket that comes in with this. */
  async turnedAway(auth: object): Promise<Heard> {
    using client = new PlainClient(this.url, auth)
    return { door: 'socket', error: await client.refused() }
  }

  /** While `work` runs, somebody else has the row or table: everybody who needs it waits. */
  async held<T>(lock: ReturnType<typeof sql>, work: () => Promise<T>): Promise<T> {
    const holding = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    const holder = this.database.transaction(async (tx) => {
      await tx.query(lock)
      holding.resolve()
      await over.promise
    })
    try {
      await Promise.race([holding.promise, holder])
      return await work()
    } finally {
      over.resolve()
      await holder
    }
  }

  async waitingForLocks(): Promise<number> {
    const [row] = await this.database.query<{ count: number }>(sql`
      select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`)
    return row?.count ?? 0
  }

  /** As SIGTERM does; resolves when everything has ended. */
  stop(): Promise<void> {
    this.#stopped ??= Promise.resolve(this.app[Symbol.asyncDispose]())
    return this.#stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await this.#release.disposeAsync()
  }

  async #connected(provider: string): Promise<string> {
    const begun = await this.begin(await this.ada(), { provider })
    const code = begun.authorize.searchParams.get('nonce') ?? 'code-1'
    const answer = await this.back(begun, { code })
    const id = new URL(answer.headers.get('location') ?? '', this.url).searchParams.get('connected')
    assert.ok(id !== null, JSON.stringify(answer.body))
    return id
  }
}

/** A PostgreSQL that goes away when it is told to, and comes back with what it had. */
class Postgres implements AsyncDisposable {
  readonly url: string
  readonly #folder: string
  #server: AsyncDisposable

  private constructor(url: string, folder: string, server: AsyncDisposable) {
    this.url = url
    this.#folder = folder
    this.#server = server
  }

  static async start(): Promise<Postgres> {
    const folder = await mkdtemp(join(tmpdir(), 'atom-codes-pg-'))
    const server = await startEmbedded({ dataDir: folder, log: testLog })
    return new Postgres(urlOf(server.connection), folder, server)
  }

  async stop(): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }

  async again(): Promise<void> {
    this.#server = await startEmbedded({ dataDir: this.#folder, log: testLog })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

const issues = '/repos/o/r/issues'
const json = { 'content-type': 'application/json' }
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ownApp = {
  clientId: 'Iv23liAtom',
  clientSecret: 'an-own-secret-0123456789',
  privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  settings: { slug: 'atom-test' },
}
const personalToken = { provider: 'github', flow: 'api_key', credential: { key: 'a-personal-token' } }
const githubUser = { id: 4711, login: 'octo-ada', name: 'Ada Lovelace' }

/**
 * How each code comes about, in this order: what needs a server that is not set up comes first, what leaves it without a
 * database or ends it comes last. A code that is not here does not compile.
 */
const provocations: Record<ErrorCode, (it: House) => Promise<Heard>> = {
  starting: async (it) => {
    const heard = await it.heard('GET', '/ready')
    it.goOn()
    await it.opening
    return heard
  },
  setup_token_invalid: (it) =>
    it.heard('POST', '/v1/setup', { body: { ...founder, token: 'an older link' } }),
  setup_closed: async (it) => {
    await it.ada()
    return await it.heard('POST', '/v1/setup', { body: founder })
  },

  malformed_request: (it) => it.heard('POST', '/v1/auth/login', { body: '{"email":', headers: json }),
  validation_failed: (it) => it.heard('POST', '/v1/auth/login', { body: { email: 'no address' } }),
  unsupported_media_type: (it) =>
    it.heard('POST', '/v1/auth/login', { body: 'email=ada', headers: { 'content-type': 'text/plain' } }),
  payload_too_large: (it) => it.heard('POST', '/v1/auth/login', { body: { email: 'x'.repeat(70_000) } }),
  not_found: (it) => it.heard('GET', '/v1/nothing'),
  method_not_allowed: (it) => it.heard('DELETE', '/v1/me'),
  origin_refused: (it) =>
    it.heard('POST', '/v1/auth/login', {
      body: { email: founder.email, password: founder.password, transport: 'cookie' },
      headers: { origin: 'https://evil.example' },
    }),

  unauthenticated: (it) => it.heard('GET', '/v1/me'),
  invalid_credentials: (it) =>
    it.heard('POST', '/v1/auth/login', { body: { email: founder.email, password: 'another guess of mine' } }),
  rate_limited: async (it) => {
    for (;;) {
      const guess = { email: 'guessed@example.com', password: 'another guess of mine' }
      const heard = await it.heard('POST', '/v1/auth/login', { body: guess })
      if (heard.door === 'http' && heard.answer.status !== 401) return heard
    }
  },
  session_revoked: async (it) => {
    const other = await (await it.bob()).again()
    assert.equal((await other.ask('POST', '/v1/auth/logout')).status, 204)
    return await other.heard('GET', '/v1/me')
  },
  forbidden: async (it) => await (await it.bob()).heard('GET', '/v1/invitations'),
  blocked: async (it) => {
    const [ada, bob] = [await it.ada(), await it.bob()]
    const { id } = (await bob.ask<{ account: { id: string } }>('GET', '/v1/me')).body.account
    const rule = { verdict: 'block', accountId: id, reason: 'A test', forSeconds: 600 }
    const made = await ada.ask<{ id: string }>('POST', '/v1/operations/caller-rules', rule)
    const heard = await bob.heard('GET', '/v1/me')
    assert.equal((await ada.ask('DELETE', `/v1/operations/caller-rules/${made.body.id}`)).status, 204)
    return heard
  },
  not_a_member: async (it) => {
    const room = await (await it.ada()).room({ name: 'Without Bob' })
    return await (await it.bob()).heard('GET', `/v1/rooms/${room}/events?after=0`)
  },
  email_taken: async (it) =>
    await (await it.ada()).heard('POST', '/v1/invitations', { email: founder.email, role: 'member' }),
  invitation_invalid: (it) =>
    it.heard('POST', '/v1/invitations/accept', {
      body: { token: 'never-given', name: 'Eve', password: founder.password },
    }),
  weak_password: async (it) => {
    const token = await it.invitation('weak@example.com')
    return await it.heard('POST', '/v1/invitations/accept', {
      body: { token, name: 'Weak', password: 'password1234' },
    })
  },

  room_full: async (it) => {
    const members = Array.from({ length: limits.roomMembers }, () => ({ kind: 'account', id: newId() }))
    return await (await it.ada()).heard('POST', '/v1/rooms', { name: 'Crowd', members })
  },
  message_too_large: async (it) => {
    const ada = await it.ada()
    const room = await ada.room({ name: 'Long', members: [] })
    const text = 'x'.repeat(limits.messageBytes + 1)
    return await ada.heard('POST', `/v1/rooms/${room}/messages`, { clientId: newId(), text })
  },
  too_many_reactions: async (it) => {
    const ada = await it.ada()
    const room = await ada.room({ name: 'Faces', members: [] })
    const path = `/v1/rooms/${room}/messages/${await ada.say(room, 'look')}/reactions/`
    const faces = Array.from({ length: limits.reactions }, (_, n) => String.fromCodePoint(0x1f600 + n))
    for (const face of faces)
      assert.equal((await ada.ask('PUT', path + encodeURIComponent(face))).status, 204)
    return await ada.heard('PUT', path + encodeURIComponent('🐙'))
  },
  too_many_pins: async (it) => {
    const ada = await it.ada()
    const room = await ada.room({ name: 'Pins', members: [] })
    for (let n = 0; n < limits.pins; n++) {
      const pin = `/v1/rooms/${room}/pins/${await ada.say(room, `pin ${n}`)}`
      assert.equal((await ada.ask('PUT', pin)).status, 204)
    }
    return await ada.heard('PUT', `/v1/rooms/${room}/pins/${await ada.say(room, 'one too many')}`)
  },

  frame_malformed: (it) => it.turnedAway({ token: 7 }),
  protocol_unsupported: async (it) => await it.turnedAway({ token: (await it.ada()).token, v: 2 }),
  busy: async (it) => {
    const ada = await it.ada()
    const roomId = await ada.room({ name: 'Flood', members: [] })
    using client = new PlainClient(it.url, { token: ada.token })
    await client.hello()
    const flood = Array.from({ length: 450 }, () => client.ask('room.read', { roomId, seq: 0 }))
    const refused = (await Promise.all(flood)).find((answer) => !answer.ok)
    assert.ok(refused !== undefined)
    return { door: 'socket', error: refused.error }
  },

  provider_unknown: async (it) =>
    await (await it.ada()).heard('POST', '/v1/connections', { provider: 'nowhere' }),
  provider_not_configured: async (it) =>
    await (await it.ada()).heard('POST', '/v1/connections', { provider: 'openid' }),
  return_to_refused: async (it) =>
    await (await it.ada()).heard('POST', '/v1/connections', {
      provider: 'github',
      returnTo: 'https://evil.example/',
    }),
  flow_invalid: (it) => it.heard('GET', '/v1/oauth/callback/github'),
  consent_denied: (it) => it.comesBack({}, { error: 'access_denied' }),
  flow_used: async (it) => {
    const begun = await it.begin(await it.ada(), { provider: 'github' })
    assert.equal((await it.back(begun, { code: 'code-1' })).status, 303)
    return { door: 'http', answer: await it.back(begun, { code: 'code-1' }) }
  },
  flow_other_browser: async (it) => {
    const { authorize } = await it.begin(await it.ada(), { provider: 'github' })
    return { door: 'http', answer: await it.back({ authorize, cookie: '' }, { code: 'code-1' }) }
  },
  flow_signed_out: async (it) => {
    const other = await (await it.ada()).again()
    const begun = await it.begin(other, { provider: 'github' })
    await other.ask('POST', '/v1/auth/logout')
    return { door: 'http', answer: await it.back(begun, { code: 'code-1' }) }
  },
  other_account: async (it) => {
    const connectionId = await it.github()
    it.provider.on('api.github.com', '/user', () => ({ body: { ...githubUser, id: 2 } }))
    const heard = await it.comesBack({ connectionId })
    it.provider.workAsGitHub()
    return heard
  },
  consent_pending: async (it) => {
    const ada = await it.ada()
    const configured = await ada.ask('PUT', '/v1/providers/github/app', ownApp)
    assert.equal(configured.status, 200, JSON.stringify(configured.body))
    const request = { installation_id: '4242', setup_action: 'request' }
    const heard = await it.comesBack({ flow: 'app_installation' }, request)
    assert.equal((await ada.ask('DELETE', '/v1/providers/github/app')).status, 204)
    return heard
  },
  provider_refused: async (it) => {
    it.provider.on('api.github.com', '/user', () => ({ status: 401, body: { secret: canary } }))
    const heard = await (await it.ada()).heard('POST', '/v1/connections', personalToken)
    it.provider.workAsGitHub()
    return heard
  },
  provider_unavailable: (it) => it.renews({ status: 503, body: { secret: canary } }),
  provider_misconfigured: (it) => it.renews({ status: 401, body: { error: 'invalid_client' } }),
  connection_needs_reconnect: (it) => it.renews({ status: 400, body: { error: 'invalid_grant' } }),
  proxy_target_refused: async (it) =>
    await (await it.ada()).heard('GET', `/v1/connections/${await it.github()}/proxy/evil.example/x`),
  capability_exceeded: async (it) => {
    const connection = `/v1/connections/${await it.github()}`
    const wish = { methods: ['GET'], paths: ['/user'], expiresIn: 60 }
    const lent = await (await it.ada()).ask<{ token: string }>('POST', `${connection}/capabilities`, wish)
    return await it.heard('GET', `${connection}/proxy/orgs/o`, { token: lent.body.token })
  },
  idempotency_conflict: async (it) => {
    it.provider.on('api.github.com', issues, () => ({ status: 201, body: { number: 1 } }))
    assert.equal((await it.writes('conflict')).status, 201)
    return { door: 'http', answer: await it.writes('conflict', { title: 'Twice' }) }
  },
  write_under_way: async (it) => {
    const arrived = Promise.withResolvers<void>()
    const answered = Promise.withResolvers<void>()
    it.provider.on('api.github.com', issues, async () => {
      arrived.resolve()
      await answered.promise
      return { status: 201, body: { number: 2 } }
    })
    const first = it.writes('under-way')
    await arrived.promise
    const answer = await it.writes('under-way')
    answered.resolve()
    await first
    return { door: 'http', answer }
  },
  write_outcome_unknown: async (it) => {
    it.provider.on('api.github.com', issues, (_seen, { request }) => {
      request.socket.destroy()
      return undefined
    })
    await it.writes('lost')
    return { door: 'http', answer: await it.writes('lost') }
  },
  write_answer_not_kept: async (it) => {
    const body = 'a'.repeat(256 * 1024 + 1)
    it.provider.on('api.github.com', issues, () => ({
      status: 201,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ body }),
    }))
    assert.equal((await it.writes('long')).status, 201)
    return { door: 'http', answer: await it.writes('long') }
  },

  approval_not_open: async (it) => {
    const { approvalId } = await it.asksFirst()
    const ada = await it.ada()
    const decide = (decision: string) => ada.heard('POST', `/v1/approvals/${approvalId}`, { decision })
    await decide('deny')
    return await decide('approve')
  },
  approval_expired: async (it) => {
    const { approvalId } = await it.asksFirst()
    // As if nobody had looked for as long as it is open.
    await it.database.query(
      sql`update approvals set expires_at = now() - interval '1 second' where id = ${approvalId}`,
    )
    return await (await it.ada()).heard('POST', `/v1/approvals/${approvalId}`, { decision: 'approve' })
  },
  turn_not_active: async (it) => {
    const { turnId } = await it.asksFirst()
    const ada = await it.ada()
    assert.equal((await ada.ask('POST', `/v1/agents/turns/${turnId}/cancel`)).status, 200)
    return await ada.heard('POST', `/v1/agents/turns/${turnId}/cancel`)
  },

  internal: async (it) => {
    // A migration that somebody undid by hand.
    await it.database.query(sql`alter table agents rename to agents_hunter2hunter2`)
    const heard = await (await it.ada()).heard('GET', '/v1/agents')
    await it.database.query(sql`alter table agents_hunter2hunter2 rename to agents`)
    return heard
  },
  token_expired: async (it) => {
    it.clock.pass(accessTokenLifetimeMs + minute)
    const heard = await (await it.ada()).heard('GET', '/v1/me')
    await it.pass(0)
    return heard
  },
  flow_expired: async (it) => {
    const begun = await it.begin(await it.ada(), { provider: 'github' })
    await it.pass(11 * minute)
    return { door: 'http', answer: await it.back(begun, { code: 'code-1' }) }
  },
  // The model of the turns above has answered 503 each time; nobody outside hears of it, because another one took over.
  model_unavailable: async (it) => {
    const ada = await it.ada()
    for (;;) {
      const { body } = await ada.ask<{ items: ErrorGroup[] }>('GET', '/v1/operations/errors?door=job')
      const group = body.items.find(({ place }) => place === 'model')
      if (group !== undefined) return { door: 'job', group }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  },

  unavailable: async (it) => {
    const ada = await it.ada()
    await it.postgres.stop()
    const heard = await ada.heard('GET', '/v1/rooms')
    await it.postgres.again()
    await until(async () => (await it.call('GET', '/ready')).status === 200)
    return heard
  },
  draining: async (it) => {
    const ada = await it.ada()
    const roomId = await ada.room({ name: 'The last one', members: [] })
    using client = new PlainClient(it.url, { token: ada.token })
    await client.hello()
    // A frame under way is what a stop waits for.
    return await it.held(sql`select 1 from rooms where id = ${roomId} for update`, async () => {
      client.socket.emit('message.send', { roomId, clientId: newId(), text: 'the last word' })
      await until(async () => (await it.waitingForLocks()) > 0)
      void it.stop()
      for (;;) {
        const heard = await it.heard('GET', '/ready')
        if (heard.door === 'http' && heard.answer.status !== 200) return heard
      }
    })
  },
}

test('[ER140] every code of the contract comes about at the real door, in the one form, with what the table says of it and nothing of what is inside', async () => {
  await using it = await House.open()
  for (const [name, provoke] of Object.entries(provocations)) {
    const code = name as ErrorCode
    judge(code, await provoke(it), it.url)
  }
})

function judge(code: ErrorCode, heard: Heard, url: string): void {
  const row = errorTable[code]
  if (heard.door === 'http') {
    const { answer } = heard
    const problem = assertProblem(answer, code)
    const { status, category, severity, retryable, title } = problem
    const { remedy: _remedy, ...expected } = row
    assert.deepEqual({ status, category, severity, retryable, title }, expected)
    assert.equal(answer.status, row.status, code)
    assert.equal(problem.type, `${url}/docs/errors#${code}`)
    const due = row.status === 429 || row.status === 503 || problem.retryAfterMs !== undefined
    const after = answer.headers.get('retry-after')
    assert.equal(after !== null, due, `${code}: Retry-After is ${after}`)
    if (due) assert.ok(Number(after) >= (problem.retryAfterMs ?? 1) / 1_000)
    assertSilent(code, problem)
  } else if (heard.door === 'socket') {
    const { error } = heard
    assert.ok(Check(FrameError, error), `${code}: ${JSON.stringify(error)}`)
    assert.deepEqual([error.code, error.retryable], [code, row.retryable])
    if (row.status === 503) assert.ok((error.retryAfterMs ?? 0) > 0)
    assertSilent(code, error)
  } else {
    const { category, severity, title } = heard.group
    assert.deepEqual(
      [heard.group.code, category, severity, title],
      [code, row.category, row.severity, row.title],
    )
    assertSilent(code, heard.group)
  }
}

/** Nothing of stacks, files, statements, addresses inside, secrets, or what others answered. */
function assertSilent(code: ErrorCode, told: object): void {
  const text = JSON.stringify(told)
  assert.doesNotMatch(
    text,
    /hunter2|\.ts\b|node:|node_modules|\bat \S+ \(|relation|select |insert |postgres|\bECONN|\bENOENT|socket hang up|\/tmp\//i,
    code,
  )
  assert.ok(!text.includes(founder.password), code)
}
