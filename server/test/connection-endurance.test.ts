import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Connection } from '@atom/contract/connections.ts'
import sql from 'sql-template-tag'
import { CredentialVault } from '#connections/credential-vault.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import { type Database, openDatabase } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import { Secret } from '#foundation/secret.ts'
import {
  connected,
  type HouseOptions,
  newKeyring,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase, testLog } from './support/postgres.ts'
import { RefreshScene } from './support/refresh-scene.ts'
import { RotatingProvider, type Rotation } from './support/rotating-provider.ts'

const minute = 60_000
const day = 24 * 60 * minute

/** What a holder that is stopped with its request at the provider leads to, where another process has meanwhile taken over. */
const stops: readonly {
  readonly rotation: Rotation
  /** Whether the provider had spent the refresh token when the holder was stopped. */
  readonly spent: boolean
  readonly works: boolean
}[] = [
  { rotation: 'single_use', spent: true, works: true },
  { rotation: 'single_use', spent: false, works: true },
  { rotation: 'family', spent: true, works: false },
  { rotation: 'family', spent: false, works: false },
]

for (const { rotation, spent, works } of stops) {
  test(`[CN75] SIGSTOP of the holder for longer than its lease, its token ${spent ? 'spent' : 'not yet spent'} at a provider of rotation “${rotation}”, then SIGCONT: the connection ${works ? 'works' : 'says that it has to be reconnected'}`, async () => {
    await using it = await RefreshScene.open(rotation)
    const [holder, other] = await Promise.all([
      it.process({ leaseSeconds: 1 }),
      it.process({ leaseSeconds: 1 }),
    ])
    const arrived = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const strike = async () => {
      if (it.provider.tokenRequests.length > 1) return
      holder.child.kill('SIGSTOP')
      arrived.resolve()
      await goOn.promise
    }
    if (spent) it.provider.beforeAnswer = strike
    else it.provider.beforeEffect = strike
    it.provider.endAccess()
    const stopped = it.call(holder)
    await arrived.promise
    // It takes over when the lease is over, with the same refresh token, which it cannot know to be spent.
    assert.equal(await it.call(other), spent ? 409 : 200)
    assert.deepEqual(it.provider.tokenRequests, ['5Aep.1', '5Aep.1'])
    goOn.resolve()
    holder.child.kill('SIGCONT')
    const late = await stopped
    if (works) {
      assert.equal(late, 200)
      assert.deepEqual(new Set(await it.storm([holder, other], 10)), new Set([200]))
      assert.equal((await it.state()).status, 'active')
      assert.equal((await it.lease()).generation, 2)
    } else {
      // The provider's own word: it has ended what it gave a moment before. The next call finds out why.
      assert.equal(late, 401)
      assert.deepEqual(new Set(await it.storm([holder, other], 10)), new Set([409]))
      const { status, remedy } = await it.state()
      assert.deepEqual([status, remedy?.action], ['needs_reconnect', 'reconnect'])
    }
    assert.deepEqual(await it.journal(), [])
  })
}

/** One process, a provider whose access tokens live for an hour, and time that a test moves. */
async function scene(t: TestContext, options: Partial<HouseOptions> & { database?: Database } = {}) {
  const stack = new AsyncDisposableStack()
  t.after(() => stack[Symbol.asyncDispose]())
  const loopback = stack.use(await LoopbackProvider.start())
  const provider = new RotatingProvider(loopback, 'single_use')
  provider.expiresIn = 3600
  const own = stack.use(await testDatabase())
  const clock = new TestClock()
  const keyring = newKeyring()
  const house = stack.use(
    await openHouse({
      database: own.database,
      sandbox: loopback,
      reach: [loopback.url],
      clock,
      keyring,
      ...options,
    }),
  )
  const ada = await house.person()
  const connection = await connectSalesforce(ada)
  const at = `/v1/connections/${connection.id}`
  return {
    ...{ loopback, provider, clock, house, ada, connection, database: own, keyring, stack },
    call: async () => await ada.call('GET', `${at}/proxy${RotatingProvider.apiPath}`),
    get: async (): Promise<Connection> => (await ada.call('GET', at)).body,
  }
}

async function connectSalesforce(person: Person): Promise<Connection> {
  const browser = person.browser()
  const url = await browser.connect('salesforce')
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', 'code-1')
  return await connected(person, await browser.open(back))
}

test('[CN76] a clock that jumps a year ahead and back again ends no connection: one refresh, and calls go on', async (t) => {
  const it = await scene(t)
  const year = 365 * day
  assert.equal((await it.call()).status, 200)
  it.clock.pass(year)
  assert.equal((await it.call()).status, 200)
  assert.equal(it.provider.tokenRequests.length, 1)
  it.clock.pass(-year)
  assert.equal((await it.call()).status, 200)
  // What the clock of now takes for fresh has ended at the provider: one refresh more.
  it.provider.endAccess()
  assert.equal((await it.call()).status, 200)
  assert.equal(it.provider.tokenRequests.length, 2)
  assert.equal((await it.get()).status, 'active')
})

test('[CN76] a clock that is set back while a provider is rested from does not prolong the rest', async (t) => {
  const it = await scene(t)
  it.clock.pass(2 * 60 * minute)
  it.loopback.on('login.salesforce.com', '/services/oauth2/token', () => ({ status: 503, body: {} }))
  for (let n = 0; n < 3; n++) assert.equal((await it.call()).body.code, 'provider_unavailable')
  const before = it.loopback.requests('login.salesforce.com', '/services/oauth2/token').length
  it.clock.pass(-30 * minute)
  await it.call()
  const after = it.loopback.requests('login.salesforce.com', '/services/oauth2/token').length
  assert.ok(after > before, 'it is asked again')
})

test('[CN77] a pair that arrives while the database is busy is stored when there is room, and used from then on', async (t) => {
  const own = await testDatabase()
  t.after(() => own[Symbol.asyncDispose]())
  const narrow = await openDatabase({ connection: own.connection, poolSize: 1, maxWaiting: 1, log: testLog })
  t.after(() => narrow[Symbol.asyncDispose]())
  const it = await scene(t, { database: narrow })
  it.clock.pass(2 * 60 * minute)
  const busy: Promise<unknown>[] = []
  it.provider.beforeAnswer = async () => {
    // One that works, one that waits, and no room for another; where a question of the house's own was quicker, one of
    // these is the other.
    busy.push(
      Promise.allSettled([narrow.query(sql`select pg_sleep(1.5)`), narrow.query(sql`select pg_sleep(1.5)`)]),
    )
    await assert.rejects(narrow.query(sql`select 1`), { code: 'busy' })
  }
  const answer = await it.call()
  // With one session for everything, a question of the caller's own may meet another's and be told to come back.
  assert.ok(answer.status === 200 || answer.body.code === 'busy', answer.text)
  await Promise.all(busy)
  assert.equal(it.provider.tokenRequests.length, 1)
  it.provider.beforeAnswer = async () => undefined
  assert.equal((await it.call()).status, 200)
  assert.equal(it.provider.tokenRequests.length, 1)
})

test('[CN78] a provider that is down turns a connection whose token has ended to degraded, with nothing to do, and it is active again by itself', async (t) => {
  const it = await scene(t)
  const changes: string[] = []
  using _heard = it.house.room.connections.subscribe(({ connection }) => void changes.push(connection.status))
  const down = () =>
    it.loopback.on('login.salesforce.com', '/services/oauth2/token', () => ({ status: 503, body: {} }))
  // While the token works, nobody is troubled.
  it.clock.pass(58 * minute)
  down()
  for (let n = 0; n < 3; n++) assert.equal((await it.call()).status, 200)
  assert.equal((await it.get()).status, 'active')
  it.clock.pass(10 * minute)
  for (let n = 0; n < 2; n++) assert.equal((await it.call()).body.code, 'provider_unavailable')
  const waiting = await it.get()
  assert.equal(waiting.status, 'degraded')
  assert.match(waiting.reason ?? '', /^Salesforce does not renew the access at the moment.*Nothing is lost/)
  assert.deepEqual(waiting.remedy, { whose: 'person', action: 'wait', label: 'Try Salesforce again' })
  // Its turn has not come; then it has, and the provider is still down; then it is back.
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 0 })
  it.clock.pass(11 * minute)
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 1 })
  assert.equal((await it.get()).status, 'degraded')
  it.loopback.on('login.salesforce.com', '/services/oauth2/token', () => ({
    body: { access_token: '00D!2', refresh_token: '5Aep.2', token_type: 'Bearer', expires_in: 3600 },
  }))
  it.clock.pass(11 * minute)
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 1, failed: 0 })
  const mended = await it.get()
  assert.deepEqual([mended.status, mended.reason, mended.remedy], ['active', undefined, undefined])
  assert.deepEqual(changes, ['degraded', 'active'])
})

test('[CN78] a token that nothing renews never waits: what cannot be asked for now is the caller’s matter', async (t) => {
  const it = await scene(t)
  await it.database.database.query(sql`update credentials set refresh_token = null, expires_at = null`)
  it.provider.endAccess()
  it.loopback.on('login.salesforce.com', '/services/oauth2/userinfo', () => ({ status: 503, body: {} }))
  for (let n = 0; n < 3; n++) assert.equal((await it.call()).body.code, 'provider_unavailable')
  assert.equal((await it.get()).status, 'active')
})

test('[CN79] hundreds of connections due at once are renewed one after the other, in several looks, each once; a provider that is down is asked for one of them', async (t) => {
  const it = await scene(t)
  const vault = new CredentialVault({ envelope: new Envelope({ keyring: it.keyring }) })
  const { workspaceId } = it.ada.principal
  // Rows as consent would have made them.
  for (let n = 0; n < 300; n++) {
    const id = newId()
    const sealed = await vault.sealTokens(
      { workspaceId, connectionId: id, generation: 1 },
      { accessToken: new Secret(`00D!${n}`), refreshToken: new Secret(`of ${n}`) },
    )
    await it.database.database.query(sql`
      with made as (
        insert into connections (id, workspace_id, owner_id, provider, flow, client_id, sandbox, status, identity_id,
          identity, scopes, missing_scopes, connected_at)
        select ${id}, workspace_id, owner_id, provider, flow, client_id, sandbox, status, ${id}, identity, scopes,
          missing_scopes, connected_at from connections where id = ${it.connection.id}
        returning id
      )
      insert into credentials (connection_id, workspace_id, data_key, access_token, refresh_token, generation, issued_at,
        expires_at, keep_alive_at, slot, particulars)
      select ${id}, workspace_id, ${sealed.dataKey}, ${sealed.accessToken}, ${sealed.refreshToken}, 1, issued_at,
        expires_at, now(), slot, particulars from credentials where connection_id = ${it.connection.id}`)
  }
  let atOnce = 0
  let most = 0
  const asked: string[] = []
  it.loopback.on('login.salesforce.com', '/services/oauth2/token', async ({ body }) => {
    most = Math.max(most, ++atOnce)
    asked.push(new URLSearchParams(body).get('refresh_token') ?? '')
    await new Promise((resolve) => setImmediate(resolve))
    atOnce -= 1
    return { body: { access_token: 'fresh', token_type: 'Bearer', expires_in: 3600 } }
  })
  it.clock.pass(minute)
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 200, failed: 0 })
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 100, failed: 0 })
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 0 })
  assert.deepEqual([asked.length, new Set(asked).size, most], [300, 300, 1])

  it.loopback.on('login.salesforce.com', '/services/oauth2/token', () => ({ status: 503, body: {} }))
  const before = it.loopback.requests('login.salesforce.com', '/services/oauth2/token').length
  await it.database.database.query(sql`update credentials set keep_alive_at = now()`)
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 200 })
  const requests = it.loopback.requests('login.salesforce.com', '/services/oauth2/token').length - before
  assert.equal(requests, 2, 'one attempt with its repetition')
})
