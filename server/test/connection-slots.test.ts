import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection, ConnectionEvent } from '@atom/contract/connections.ts'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import sql from 'sql-template-tag'
import {
  type ConnectionHouse,
  connected,
  openHouse,
  type Person,
  type Reply,
} from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'
import { until } from './support/until.ts'

const hour = 3600
const botScopes = ['channels:read', 'chat:write', 'users:read', 'team:read']
const both = [...botScopes, 'user/channels:read', 'user/chat:write']

/** Slack in the sandbox, with or without the rotation of tokens, and a house whose time passes with the sandbox's. */
class Scene implements AsyncDisposable {
  readonly sandbox: Sandbox
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  readonly #clock: TestClock
  readonly #release: AsyncDisposableStack

  private constructor(parts: {
    sandbox: Sandbox
    database: TestDatabase
    house: ConnectionHouse
    ada: Person
    clock: TestClock
    release: AsyncDisposableStack
  }) {
    this.sandbox = parts.sandbox
    this.database = parts.database
    this.house = parts.house
    this.ada = parts.ada
    this.#clock = parts.clock
    this.#release = parts.release
  }

  static async open({ rotation = true } = {}): Promise<Scene> {
    await using release = new AsyncDisposableStack()
    const sandbox = release.use(await startSandbox())
    if (rotation) sandbox.control.turnOnSlackTokenRotation()
    const database = release.use(await testDatabase())
    const clock = new TestClock()
    const house = release.use(
      await openHouse({
        database: database.database,
        sandbox: { providers: ['slack'], running: () => sandbox, open: async () => sandbox },
        reach: [sandbox.url],
        clock,
      }),
    )
    sandbox.allowRedirect(`${house.url}/v1/oauth/callback/slack`)
    const ada = await house.person()
    return new Scene({ sandbox, database, house, ada, clock, release: release.move() })
  }

  async connect(
    atom: Person = this.ada,
    person = 'ada',
    scopes: readonly string[] = both,
  ): Promise<Connection> {
    const browser = atom.browser()
    const url = await browser.connect('slack', { scopes })
    return await connected(atom, await browser.open(await visitSandbox(url, { person, decision: 'agree' })))
  }

  /** `auth.test`: for whom a call was made. */
  async who(id: string, slot?: string, atom: Person = this.ada): Promise<Reply> {
    return await atom.call('GET', `/v1/connections/${id}/proxy/auth.test`, {
      headers: slot === undefined ? {} : { 'atom-credential': slot },
    })
  }

  pass(seconds: number): void {
    this.#clock.pass(seconds * 1000)
    this.sandbox.control.advance(seconds)
  }

  tokenRequests(): number {
    return this.sandbox.control.requests({ method: 'POST', path: '/slack/api/oauth.v2.access' }).length
  }

  revocations(): number {
    return this.sandbox.control.requests({ method: 'POST', path: '/slack/api/auth.revoke' }).length
  }

  async get(id: string, atom: Person = this.ada): Promise<Connection> {
    return (await atom.call('GET', `/v1/connections/${id}`)).body
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release[Symbol.asyncDispose]()
  }
}

test('[CN68] one consent of Slack gives the bot’s credential and the person’s, and a caller of the proxy names the one to use', async () => {
  await using it = await Scene.open()
  const url = await it.ada.browser().connect('slack', { scopes: both })
  assert.equal(url.searchParams.get('scope')?.split(',').sort().join(), botScopes.toSorted().join())
  assert.equal(url.searchParams.get('user_scope'), 'channels:read,chat:write')
  const { id, status, scopes, credentials } = await it.connect()
  assert.equal(status, 'active')
  assert.deepEqual(scopes.toSorted(), both.toSorted())
  assert.deepEqual(
    credentials.map(({ slot }) => slot),
    ['bot', 'user'],
  )
  for (const { expiresAt } of credentials) assert.ok(expiresAt !== null)
  assert.equal((await it.who(id)).body.user, 'atom')
  assert.equal((await it.who(id, 'bot')).body.user, 'atom')
  assert.equal((await it.who(id, 'user')).body.user, 'ada')
  const unknown = await it.who(id, 'admin')
  assert.equal(unknown.body.code, 'validation_failed')
  assert.match(JSON.stringify(unknown.body.errors), /This account has: bot, user/)
})

test('[CN68] what one credential of a connection is sealed as opens as no other', async () => {
  await using it = await Scene.open()
  const { id } = await it.connect()
  await it.database.database.query(sql`
    update credentials k set access_token = f.access_token from further_credentials f where f.connection_id = k.connection_id`)
  assert.equal((await it.who(id)).body.code, 'internal')
})

test('[CN68] each credential is refreshed by itself: twelve hours on, fifty callers of each cause one request for each', async () => {
  await using it = await Scene.open()
  const { id } = await it.connect()
  it.pass(13 * hour)
  const before = it.tokenRequests()
  const replies = await Promise.all(
    Array.from({ length: 100 }, (_, n) => it.who(id, n % 2 === 0 ? 'bot' : 'user')),
  )
  assert.deepEqual(new Set(replies.map(({ body }) => body.user)), new Set(['atom', 'ada']))
  assert.equal(it.tokenRequests() - before, 2)
  it.pass(13 * hour)
  assert.equal((await it.who(id, 'user')).body.user, 'ada')
  assert.equal(it.tokenRequests() - before, 3)
})

test('[CN73] the history names the credential that was renewed or lost, and none where the connection has one', async () => {
  await using it = await Scene.open()
  const { id } = await it.connect()
  it.pass(13 * hour)
  const told = async () => {
    const { body } = await it.ada.call('GET', `/v1/connections/${id}/events`)
    return (body.items as ConnectionEvent[]).map(({ kind, slot }) => `${kind} ${slot}`)
  }
  await it.who(id)
  await until(async () => (await told())[0] === 'refreshed bot')
  await it.who(id, 'user')
  await until(async () => (await told())[0] === 'refreshed user')
  it.pass(13 * hour)
  using _fault = it.sandbox.control.fault({
    path: '/slack/api/oauth.v2.access',
    outcome: 'cut_after',
    times: 1,
  })
  await it.who(id, 'user')
  await until(async () => (await told())[0] === 'lost user')
  assert.deepEqual(
    new Set((await told()).slice(3)),
    new Set(['called_first undefined', 'connected undefined']),
  )
  const grace = await it.house.person()
  const alone = await it.connect(grace, 'grace', botScopes)
  it.pass(13 * hour)
  await it.who(alone.id, undefined, grace)
  const events = async () => (await grace.call('GET', `/v1/connections/${alone.id}/events`)).body.items
  await until(async () => (await events())[0].kind === 'refreshed')
  assert.equal('slot' in (await events())[0], false)
})

test('[CN69] where one credential is lost the connection lives on from the other, says so, and reconnecting mends it', async () => {
  await using it = await Scene.open()
  const { id } = await it.connect()
  it.pass(13 * hour)
  // The answer to the person's refresh is lost, and Slack takes a refresh token once.
  using fault = it.sandbox.control.fault({
    path: '/slack/api/oauth.v2.access',
    outcome: 'cut_after',
    times: 1,
  })
  const lost = await it.who(id, 'user')
  assert.equal(fault.struck, 1)
  assert.equal(lost.body.code, 'connection_needs_reconnect')
  assert.equal((await it.who(id, 'user')).body.code, 'connection_needs_reconnect')
  const now = await it.get(id)
  assert.equal(now.status, 'degraded')
  assert.match(now.reason ?? '', /cut off/)
  assert.equal(now.remedy?.action, 'reconnect')
  assert.equal((await it.who(id)).body.user, 'atom')
  assert.equal((await it.get(id)).status, 'degraded', 'the other one’s refresh does not mend it')
  assert.equal((await it.connect()).id, id)
  assert.equal((await it.get(id)).status, 'active')
  assert.equal((await it.who(id, 'user')).body.user, 'ada')
})

test('[CN70] disconnecting revokes each credential, also when both have expired', async () => {
  await using it = await Scene.open()
  const { id } = await it.connect()
  it.pass(20 * hour)
  const receipt = (await it.ada.call('DELETE', `/v1/connections/${id}`)).body
  assert.equal(receipt.revocation, 'revoked', receipt.detail)
  // Each once with the token that had expired, and once with the one that replaced it.
  assert.equal(it.revocations(), 4)
  assert.equal(it.sandbox.control.revoke('slack'), 0)
  const [rows] = await it.database.database.query<{ n: number }>(
    sql`select count(*)::int as n from further_credentials`,
  )
  assert.equal(rows?.n, 0)
})

test('[CN70] a bot that others of the team live from stays, while what belongs to the person alone ends', async () => {
  await using it = await Scene.open({ rotation: false })
  const { id } = await it.connect()
  const bert = await it.house.person('owner', it.ada.principal.workspaceId)
  const other = await it.connect(bert, 'grace')
  const receipt = (await it.ada.call('DELETE', `/v1/connections/${id}`)).body
  assert.equal(receipt.revocation, 'kept')
  assert.match(receipt.detail, /for you alone has ended/)
  assert.equal(it.revocations(), 1)
  assert.equal((await it.who(other.id, 'bot', bert)).body.user, 'atom')
  assert.equal((await it.who(other.id, 'user', bert)).body.user, 'grace')
  const last = (await bert.call('DELETE', `/v1/connections/${other.id}`)).body
  assert.equal(last.revocation, 'revoked')
})

test('[CN68] a consent without scopes of the person’s own gives the bot’s credential alone', async () => {
  await using it = await Scene.open()
  const { credentials } = await it.connect(it.ada, 'ada', botScopes)
  assert.deepEqual(
    credentials.map(({ slot }) => slot),
    ['bot'],
  )
})
