import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { CallerRule, LimitedCallers, LimitState, limitRoutes } from '@atom/contract/limits.ts'
import { limitPolicies, limitPolicyNames } from '@atom/contract/limits.ts'
import type { Answer } from '@atom/contract/route.ts'
import { createLog } from '#foundation/log.ts'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { assertProblem, type Called, call } from './support/calls.ts'
import { EventReader } from './support/event-reader.ts'
import { PlainClient } from './support/live.ts'
import { emptyTestDatabase, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

const setupToken = 'the-token-of-this-test'
const password = 'seven calm otters sing'

/** Whole nodes on one database, and an owner. A proxy on this machine says where requests come from. */
async function startNodes(count = 2) {
  await using born = new AsyncDisposableStack()
  const database = born.use(await emptyTestDatabase())
  const lines: string[] = []
  const log = createLog({ level: 'info', write: (line) => void lines.push(line) })
  const masterKeys = `v1:${randomBytes(32).toString('base64url')}`
  const urls: string[] = []
  for (let node = 0; node < count; node++) {
    const dataDir = await mkdtemp(join(tmpdir(), 'atom-limits-'))
    born.defer(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
    const port = await freePort()
    const config = readConfig({
      ATOM_DATA_DIR: dataDir,
      ATOM_PORT: String(port),
      ATOM_PUBLIC_URL: 'http://127.0.0.1:3999',
      ATOM_SETUP_TOKEN: setupToken,
      ATOM_MASTER_KEYS: masterKeys,
      ATOM_SANDBOX: '0',
      ATOM_TRUSTED_PROXIES: '127.0.0.1',
      DATABASE_URL: urlOf(database.connection),
    })
    const app = born.use(await createApp(config, { log }))
    await app.listen()
    urls.push(`http://127.0.0.1:${port}`)
  }
  const [one = '', other = ''] = urls
  const arrived = await call<{ accessToken: string; account: { id: string } }>(one, 'POST', '/v1/setup', {
    body: { token: setupToken, email: 'ada@example.com', password, name: 'Ada', workspace: 'Engines' },
  })
  const owner = { token: arrived.body.accessToken, id: arrived.body.account.id }
  const ask = async <T>(
    method: string,
    path: string,
    body?: object,
    options: { url?: string; from?: string; as?: string } = {},
  ): Promise<Called<T>> =>
    await call<T>(options.url ?? one, method, path, {
      token: options.as ?? owner.token,
      headers: { 'x-forwarded-for': options.from ?? '192.0.2.1' },
      ...(body !== undefined && { body }),
    })
  const invited = await ask<{ url: string }>('POST', '/v1/invitations', {
    email: 'bob@example.com',
    role: 'member',
  })
  const joined = await call<{ accessToken: string; account: { id: string } }>(
    one,
    'POST',
    '/v1/invitations/accept',
    {
      body: { token: invited.body.url.split('token=')[1], name: 'Bob', password: 'eight calm otters sing' },
    },
  )
  const bob = { token: joined.body.accessToken, id: joined.body.account.id }
  const alive = born.move()
  return { one, other, owner, bob, ask, lines, [Symbol.asyncDispose]: () => alive.disposeAsync() }
}

type Overview = Answer<typeof limitRoutes.limits>

test('[RL22] an operator sees every limit, changes one on all nodes while they run, and puts it back; the log names who did', async () => {
  await using house = await startNodes()
  const { ask, other, owner, bob } = house
  const overview = (await ask<Overview>('GET', '/v1/operations/limits')).body
  assert.deepEqual(
    overview.policies.map(({ policy }) => policy),
    limitPolicyNames,
  )
  assert.equal(overview.together, false)
  assert.equal(overview.load.admitting, 1)
  assert.ok(overview.connections.open >= 1)
  for (const { policy, burst, perSecond, changed } of overview.policies) {
    assert.equal(burst, limitPolicies[policy].burst)
    assert.equal(perSecond, limitPolicies[policy].perSecond)
    assert.equal(changed, null)
  }
  const changed = await ask<LimitState>('PUT', '/v1/operations/limits/bulk', { burst: 2, perSecond: 0.001 })
  assert.equal(changed.status, 200)
  assert.equal(changed.body.changed?.by, owner.id)
  const search = async (url?: string) =>
    await ask('GET', '/v1/messages/search?q=otters', undefined, { as: bob.token, ...(url && { url }) })
  const stateAt = async (url: string) =>
    (await ask<Overview>('GET', '/v1/operations/limits', undefined, { url })).body.policies.find(
      ({ policy }) => policy === 'bulk',
    )
  await until(async () => (await stateAt(other))?.burst === 2)
  for (const url of [house.one, other]) {
    for (let times = 0; times < 2; times++) assert.equal((await search(url)).status, 200)
    assert.deepEqual(assertProblem(await search(url), 'rate_limited').violatedPolicies, ['bulk'])
  }
  const { body: callers } = await ask<LimitedCallers>('GET', '/v1/operations/limits/callers')
  assert.deepEqual(
    callers.busiest.slice(0, 1).map(({ policy, subject, heldBack }) => ({ policy, subject, heldBack })),
    [{ policy: 'bulk', subject: bob.id, heldBack: true }],
  )
  assert.deepEqual(
    callers.refusals.map(({ policy, subject, refused }) => ({ policy, subject, refused })),
    [{ policy: 'bulk', subject: bob.id, refused: 1 }],
  )
  assert.equal((await ask<LimitState>('DELETE', '/v1/operations/limits/bulk')).body.changed, null)
  await until(async () => (await stateAt(other))?.burst === limitPolicies.bulk.burst)
  assert.ok(house.lines.some((line) => line.includes('a limit was changed') && line.includes(owner.id)))
  for (const [path, body] of [
    ['/v1/operations/limits/nothing', { burst: 2, perSecond: 1 }],
    ['/v1/operations/limits/bulk', { burst: 0, perSecond: 1 }],
    ['/v1/operations/limits/bulk', { burst: 2, perSecond: 0 }],
  ] as const)
    assertProblem(await ask('PUT', path, body), 'validation_failed')
})

test('[RL23] an operator keeps an address, a network or an account out, or lets one through, until its time is over', async () => {
  await using house = await startNodes()
  const { ask, one, other, bob, owner } = house
  const rule = async (body: object) =>
    await ask<CallerRule>('POST', '/v1/operations/caller-rules', {
      reason: 'a test',
      forSeconds: 3_600,
      ...body,
    })
  const statusOf = async (from: string, url = one, as = bob.token) =>
    (await ask('GET', '/v1/me', undefined, { from, url, as })).status

  // A network, from which nobody is answered at any node, with or without a session.
  const blocked = await rule({ verdict: 'block', network: '203.0.113.0/24' })
  assert.equal(blocked.status, 201)
  await until(async () => (await statusOf('203.0.113.9', other)) === 403)
  assertProblem(await ask('GET', '/v1/me', undefined, { from: '203.0.113.9' }), 'blocked')
  assertProblem(
    await call(one, 'GET', '/v1/nowhere', { headers: { 'x-forwarded-for': '203.0.113.9' } }),
    'blocked',
  )
  assert.equal(await statusOf('203.0.114.9'), 200)
  // One of them is let through, and has no limit by its address.
  await rule({ verdict: 'allow', network: '203.0.113.7' })
  assert.equal(await statusOf('203.0.113.7'), 200)
  assert.equal(await statusOf('203.0.113.8'), 403)
  await ask('PUT', '/v1/operations/limits/address', { burst: 3, perSecond: 0.001 }, { from: '203.0.113.7' })
  for (let times = 0; times < 10; times++) assert.equal(await statusOf('203.0.113.7'), 200)
  const statuses = await Promise.all(Array.from({ length: 6 }, () => statusOf('198.51.100.1')))
  assert.equal(statuses.filter((status) => status === 429).length, 3)
  await ask('DELETE', '/v1/operations/limits/address', undefined, { from: '203.0.113.7' })

  // An account, which loses the socket that it has open.
  using socket = new PlainClient(other, { token: bob.token })
  await socket.hello()
  const account = await rule({ verdict: 'block', accountId: bob.id })
  assert.equal(await statusOf('192.0.2.7'), 403)
  await until(() => socket.socket.disconnected)
  assert.equal(await statusOf('192.0.2.7', one, owner.token), 200)

  const list = async () =>
    (await ask<{ items: CallerRule[] }>('GET', '/v1/operations/caller-rules')).body.items
  assert.deepEqual(
    (await list()).map(({ verdict, network, accountId }) => [verdict, network ?? accountId]),
    [
      ['block', bob.id],
      ['allow', '203.0.113.7'],
      ['block', '203.0.113.0/24'],
    ],
  )
  assert.equal((await ask('DELETE', `/v1/operations/caller-rules/${account.body.id}`)).status, 204)
  assert.equal(await statusOf('192.0.2.7'), 200)
  assertProblem(await ask('DELETE', `/v1/operations/caller-rules/${account.body.id}`), 'not_found')

  // A rule ends by itself, and is gone with the next one.
  await rule({ verdict: 'block', network: '2001:db8:0:7::/64', forSeconds: 1 })
  await until(async () => (await statusOf('2001:db8:0:7::9')) === 403 || (await list()).length === 2)
  await until(async () => (await statusOf('2001:db8:0:7::9')) === 200)
  assert.equal((await list()).length, 2)
  assert.ok(house.lines.filter((line) => line.includes('rule about callers')).length >= 5)
})

test('[RL30] who is kept out loses the streams that they read, by address or by account', async () => {
  await using house = await startNodes(1)
  const { ask, one, bob, owner } = house
  const block = async (whom: object) =>
    await ask('POST', '/v1/operations/caller-rules', {
      ...{ verdict: 'block', reason: 'a test', forSeconds: 3_600 },
      ...whom,
    })
  const rooms = await ask<{ items: { id: string }[] }>('GET', '/v1/rooms', undefined, { as: bob.token })
  const open = async (path: string, token: string, from: string) =>
    await EventReader.open(`${one}/v1${path}`, { token, headers: { 'x-forwarded-for': from } })
  await using bobs = await open(`/rooms/${rooms.body.items[0]?.id}/stream`, bob.token, '192.0.2.7')
  await using elsewhere = await open('/operations/log/stream', owner.token, '203.0.113.9')
  await using here = await open('/operations/log/stream', owner.token, '192.0.2.1')
  assert.deepEqual([bobs.status, elsewhere.status, here.status], [200, 200, 200])
  const reason = (reader: EventReader) => reader.named('closing')[0]?.data['reason']
  await block({ network: '203.0.113.0/24' })
  await until(() => elsewhere.over)
  assert.equal(reason(elsewhere), 'blocked')
  assert.equal(bobs.over, false)
  await block({ accountId: bob.id })
  await until(() => bobs.over)
  assert.equal(reason(bobs), 'blocked')
  assert.equal(here.over, false)
})

test('[RL24] nobody but operators sees or changes limits, and nobody shuts themselves out', async () => {
  await using house = await startNodes(1)
  const { ask, bob, owner } = house
  const rule = { verdict: 'block', reason: 'a test', forSeconds: 60 }
  for (const [method, path, body] of [
    ['GET', '/v1/operations/limits', undefined],
    ['GET', '/v1/operations/limits/callers', undefined],
    ['PUT', '/v1/operations/limits/account', { burst: 1, perSecond: 1 }],
    ['DELETE', '/v1/operations/limits/account', undefined],
    ['GET', '/v1/operations/caller-rules', undefined],
    ['POST', '/v1/operations/caller-rules', { ...rule, network: '203.0.113.1' }],
    ['DELETE', `/v1/operations/caller-rules/${owner.id}`, undefined],
  ] as const)
    assertProblem(await ask(method, path, body, { as: bob.token }), 'forbidden')
  for (const subject of [
    { network: '192.0.2.1' },
    { network: '0.0.0.0/0' },
    { accountId: owner.id },
    { network: 'fe80::1%eth0' },
    { network: '203.0.113.0/33' },
    { network: 'example.com' },
    {},
    { network: '203.0.113.1', accountId: bob.id },
  ])
    assertProblem(
      await ask('POST', '/v1/operations/caller-rules', { ...rule, ...subject }),
      'validation_failed',
    )
  assertProblem(
    await ask('POST', '/v1/operations/caller-rules', {
      ...rule,
      accountId: '0198c5a2-0000-7000-8000-000000000000',
    }),
    'not_found',
  )
})
