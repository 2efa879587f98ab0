import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection } from '@atom/contract/connections.ts'
import {
  type ConnectionHouse,
  connected,
  newKeyring,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'

const day = 24 * 3600 * 1000

interface Scene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly database: TestDatabase
  readonly clock: TestClock
  readonly house: ConnectionHouse
  readonly houses: readonly ConnectionHouse[]
  readonly ada: Person
  connect(provider: string): Promise<Connection>
  get(id: string): Promise<Connection>
  /** Refreshes that Google, and GitHub, were asked for. */
  refreshes(): number
}

async function scene(processes = 1): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const provider = stack.use(await LoopbackProvider.start())
  provider.workAsGoogle()
  const database = stack.use(await testDatabase())
  const clock = new TestClock()
  const keyring = newKeyring()
  const houses: ConnectionHouse[] = []
  for (let n = 0; n < processes; n++) {
    houses.push(
      stack.use(
        await openHouse({
          database: database.database,
          sandbox: provider,
          reach: [provider.url],
          keyring,
          clock,
        }),
      ),
    )
  }
  const [house] = houses
  assert.ok(house)
  const ada = await house.person()
  return {
    provider,
    database,
    clock,
    house,
    houses,
    ada,
    connect: async (id) => {
      const browser = ada.browser()
      const url = await browser.connect(id)
      const back = new URL(url.searchParams.get('redirect_uri') ?? '')
      back.searchParams.set('state', url.searchParams.get('state') ?? '')
      back.searchParams.set('code', url.searchParams.get('nonce') ?? 'code-1')
      return await connected(ada, await browser.open(back))
    },
    get: async (id) => (await ada.call('GET', `/v1/connections/${id}`)).body,
    refreshes: () =>
      [
        ...provider.requests('oauth2.googleapis.com', '/token'),
        ...provider.requests('github.com', '/login/oauth/access_token'),
      ].filter(({ body }) => body.includes('grant_type=refresh_token')).length,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

test('[CN66] what nobody uses is refreshed before the provider ends it for that, by one process of several, again and again', async () => {
  await using it = await scene(2)
  const { id } = await it.connect('google')
  it.clock.pass(120 * day)
  for (const house of it.houses) assert.deepEqual(await house.room.keepAlive.sweep(), { kept: 0, failed: 0 })
  // Google ends it after 180 days.
  it.clock.pass(35 * day)
  const swept = await Promise.all(it.houses.map((house) => house.room.keepAlive.sweep()))
  assert.equal(
    swept.reduce((sum, { kept }) => sum + kept, 0),
    1,
  )
  assert.equal(it.refreshes(), 1)
  assert.ok(
    it.houses.some(({ lines }) => lines.some((line) => line.includes('unused credentials were refreshed'))),
  )
  for (const house of it.houses) assert.deepEqual(await house.room.keepAlive.sweep(), { kept: 0, failed: 0 })
  it.clock.pass(155 * day)
  await it.house.room.keepAlive.sweep()
  assert.equal(it.refreshes(), 2)
  assert.equal((await it.get(id)).status, 'active')
})

test('[CN66] the end that a provider names for the refresh token is stored, shown, and kept away from', async () => {
  await using it = await scene()
  it.provider.workAsGitHub(() => ({
    refresh_token: `ghr_${it.refreshes()}`,
    expires_in: 28_800,
    refresh_token_expires_in: 15_897_600,
  }))
  const { id, credentials } = await it.connect('github')
  const end = it.clock.now().getTime() + 184 * day
  assert.equal(credentials[0]?.slot, 'main')
  assert.equal(new Date(credentials[0]?.refreshExpiresAt ?? 0).getTime(), end)
  it.clock.pass(160 * day)
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 1, failed: 0 })
  assert.equal(new Date((await it.get(id)).credentials[0]?.refreshExpiresAt ?? 0).getTime(), end + 160 * day)
})

test('[CN66] while the provider is down nothing is lost and it is tried again later; a grant that is gone is said before anybody needs it', async () => {
  await using it = await scene()
  const { id } = await it.connect('google')
  it.clock.pass(155 * day)
  it.provider.on('oauth2.googleapis.com', '/token', () => ({ status: 503, body: {} }))
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 1 })
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 0 }, 'not at once again')
  assert.equal((await it.get(id)).status, 'active')
  it.clock.pass(day)
  it.provider.on('oauth2.googleapis.com', '/token', () => ({ status: 400, body: { error: 'invalid_grant' } }))
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 1 })
  assert.equal((await it.get(id)).status, 'needs_reconnect')
  it.clock.pass(day)
  assert.deepEqual(await it.house.room.keepAlive.sweep(), { kept: 0, failed: 0 }, 'nothing is left to keep')
})

test('[CN71] while a provider is down, callers without a valid token are told so without asking it again each time; it is asked again soon, and at once when a person wants it', async () => {
  await using it = await scene()
  const { id } = await it.connect('google')
  it.clock.pass(2 * 3600 * 1000)
  it.provider.on('oauth2.googleapis.com', '/token', () => ({ status: 503, body: {} }))
  it.provider.on('www.googleapis.com', '/calendar/v3/echo', () => ({ body: {} }))
  const call = () => it.ada.call('GET', `/v1/connections/${id}/proxy/calendar/v3/echo`)
  for (let n = 0; n < 20; n++) assert.equal((await call()).body.code, 'provider_unavailable')
  // Two attempts, each with its repetition.
  assert.equal(it.refreshes(), 4)
  const told = await call()
  assert.ok(told.body.retryAfterMs > 0 && told.body.retryAfterMs <= 1000, told.text)
  assert.ok(Number(told.headers.get('retry-after')) > 0)
  it.clock.pass(1000)
  await call()
  assert.equal(it.refreshes(), 6)
  it.provider.workAsGoogle()
  assert.equal((await call()).body.code, 'provider_unavailable', 'it rests for two seconds now')
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  assert.equal((await call()).status, 200)
})

test('[CN62] what the provider’s error says decides whose job it is, and the words on the button', async () => {
  await using it = await scene()
  const cases = [
    // Google says it in a field of its own, beside `error`.
    [
      'invalid_grant invalid_rapt',
      'needs_reconnect',
      'admin',
      'ask_admin',
      'Ask your Google admin',
      /Workspace/,
    ],
    ['invalid_grant', 'needs_reconnect', 'person', 'reconnect', 'Reconnect Google', /revoked, or not used/],
    [
      'invalid_client',
      'degraded',
      'operator',
      'configure_app',
      'Set up the Google app',
      /client id and secret/,
    ],
    ['org_internal', 'degraded', 'operator', 'configure_app', 'Set up the Google app', /External/],
    ['admin_policy_enforced', 'degraded', 'admin', 'ask_admin', 'Ask your Google admin', /trust the app/],
    ['consent_required', 'needs_reconnect', 'person', 'allow_more', 'Allow the access at Google', /anew/],
  ] as const
  for (const [error, status, whose, action, label, reason] of cases) {
    it.provider.workAsGoogle()
    const { id } = await it.connect('google')
    const [code, subtype] = error.split(' ')
    it.provider.on('oauth2.googleapis.com', '/token', () => ({
      status: 400,
      body: { error: code, ...(subtype !== undefined && { error_subtype: subtype }) },
    }))
    await it.ada.call('POST', `/v1/connections/${id}/refresh`)
    const now = await it.get(id)
    assert.equal(now.status, status, error)
    assert.deepEqual(now.remedy, { whose, action, label }, error)
    assert.match(now.reason ?? '', reason, error)
  }
  it.provider.workAsGoogle()
  const again = await it.connect('google')
  assert.deepEqual([again.status, again.reason, again.remedy], ['active', undefined, undefined])
})
