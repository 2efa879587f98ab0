import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection } from '@atom/contract/connections.ts'
import sql from 'sql-template-tag'
import type { Principal } from '#access/principal.ts'
import { CredentialStore } from '#connections/refresh/credential-store.ts'
import type { Keyring } from '#foundation/crypto/keyring.ts'
import { openDatabase } from '#foundation/database/pool.ts'
import {
  type ConnectionHouse,
  connected,
  newKeyring,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { Network } from './support/network.ts'
import { type TestDatabase, testDatabase, testLog } from './support/postgres.ts'
import { until } from './support/until.ts'

interface Scene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly database: TestDatabase
  readonly houses: readonly ConnectionHouse[]
  readonly house: ConnectionHouse
  readonly ada: Person
  /** Connected, with a token that counts as expired once `expire` was called. */
  readonly connection: Connection
  readonly keyring: Keyring
  expire(): Promise<void>
  tokenRequests(): number
}

const tokenPath = '/token'

async function scene(provider: 'github' | 'google' = 'google', processes = 1): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  loopback.workAsGitHub()
  loopback.workAsGoogle()
  const database = stack.use(await testDatabase())
  const keyring = newKeyring()
  const houses: ConnectionHouse[] = []
  for (let n = 0; n < processes; n++) {
    const pool =
      n === 0
        ? database.database
        : stack.use(await openDatabase({ connection: database.connection, poolSize: 4, log: testLog }))
    houses.push(
      stack.use(await openHouse({ database: pool, sandbox: loopback, reach: [loopback.url], keyring })),
    )
  }
  const [house] = houses
  assert.ok(house)
  const ada = await house.person()
  const browser = ada.browser()
  const url = await browser.connect(provider)
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', url.searchParams.get('nonce') ?? 'code-1')
  const connection = await connected(ada, await browser.open(back))
  const before = loopback.requests('oauth2.googleapis.com', tokenPath).length
  return {
    provider: loopback,
    database,
    houses,
    house,
    ada,
    connection,
    keyring,
    expire: async () => {
      await database.database.query(sql`
        update credentials set issued_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
        where connection_id = ${connection.id}`)
    },
    tokenRequests: () => loopback.requests('oauth2.googleapis.com', tokenPath).length - before,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** Google's token endpoint, answering only when told. */
function heldBack(
  it: Scene,
  answer: (n: number) => { status?: number; body?: object } | undefined,
): () => void {
  const release = Promise.withResolvers<void>()
  let n = 0
  it.provider.on('oauth2.googleapis.com', tokenPath, async (_seen, { request }) => {
    n += 1
    const said = answer(n)
    await release.promise
    if (said === undefined) request.socket.destroy()
    return said
  })
  return () => release.resolve()
}

function calls(house: ConnectionHouse, principal: Principal, id: string, count: number): Promise<number>[] {
  return Array.from({ length: count }, async () => {
    const answer = await house.room.proxy.request(principal, id, { method: 'GET', path: '/calendar/v3/echo' })
    await answer.body?.cancel()
    return answer.status
  })
}

function echo(it: Scene): void {
  it.provider.on('www.googleapis.com', '/calendar/v3/echo', () => ({ body: {} }))
}

function bearers(it: Scene): Set<string | undefined> {
  return new Set(
    it.provider
      .requests('www.googleapis.com', '/calendar/v3/echo')
      .map(({ headers }) => headers.authorization),
  )
}

test('[CN10] fifty callers of an expired token cause one token request, and all fifty use the fresh token', async () => {
  await using it = await scene()
  echo(it)
  await it.expire()
  const statuses = await Promise.all(calls(it.house, it.ada.principal, it.connection.id, 50))
  assert.deepEqual(new Set(statuses), new Set([200]))
  assert.equal(it.tokenRequests(), 1)
  assert.deepEqual(bearers(it), new Set(['Bearer google-access-token-2']))
})

test('[CN10] fifty callers in two processes on one database cause one token request, however slow it is', async () => {
  await using it = await scene('google', 2)
  echo(it)
  await it.expire()
  const release = heldBack(it, () => ({
    body: { access_token: 'google-access-token-slow', token_type: 'Bearer', expires_in: 3600 },
  }))
  const all = it.houses.flatMap((house) => calls(house, it.ada.principal, it.connection.id, 25))
  await until(() => it.tokenRequests() > 0)
  // Both processes are at it: nobody else may claim what one of them holds.
  const [row] = await it.database.database.query<{ generation: number; held: boolean }>(
    sql`select generation, lease_until > now() as held from credentials`,
  )
  assert.deepEqual(row, { generation: 1, held: true })
  const store = new CredentialStore({ database: it.database.database, changed: () => undefined })
  const other = { connectionId: it.connection.id, generation: 1, holder: it.connection.id, leaseSeconds: 1 }
  assert.equal(await store.claim(other), undefined)
  release()
  assert.deepEqual(new Set(await Promise.all(all)), new Set([200]))
  assert.equal(it.tokenRequests(), 1)
  assert.deepEqual(bearers(it), new Set(['Bearer google-access-token-slow']))
})

test('[CN10] callers whose token was rejected meanwhile use the one that another caller got', async () => {
  await using it = await scene()
  // The token dies at the provider before its time.
  it.provider.on('www.googleapis.com', '/calendar/v3/echo', ({ headers }) => ({
    status: headers.authorization === 'Bearer google-access-token-1' ? 401 : 200,
    body: {},
  }))
  const statuses = await Promise.all(calls(it.house, it.ada.principal, it.connection.id, 50))
  assert.deepEqual(new Set(statuses), new Set([200]))
  assert.equal(it.tokenRequests(), 1)
})

test('[CN11] a provider that replaces refresh tokens has the new one stored before anybody uses the new access token', async () => {
  await using it = await scene()
  const seen: string[] = []
  it.provider.on('oauth2.googleapis.com', tokenPath, ({ body }) => {
    const token = new URLSearchParams(body).get('refresh_token') ?? ''
    seen.push(token)
    const next = seen.length + 1
    return {
      body: {
        access_token: `access-${next}`,
        refresh_token: `refresh-${next}`,
        token_type: 'Bearer',
        expires_in: 3600,
      },
    }
  })
  let storedWhenUsed: number | undefined
  it.provider.on('www.googleapis.com', '/calendar/v3/echo', async () => {
    const [row] = await it.database.database.query<{ generation: number }>(
      sql`select generation from credentials`,
    )
    storedWhenUsed = row?.generation
    return { body: {} }
  })
  for (let round = 0; round < 2; round++) {
    await it.expire()
    await Promise.all(calls(it.house, it.ada.principal, it.connection.id, 1))
  }
  assert.deepEqual(seen, ['google-refresh-token-1', 'refresh-2'])
  assert.equal(storedWhenUsed, 3)
})

test('[CN11] a caller that goes away does not cancel the request it began', async () => {
  await using it = await scene()
  echo(it)
  await it.expire()
  const release = heldBack(it, () => ({
    body: {
      access_token: 'access-late',
      refresh_token: 'refresh-late',
      token_type: 'Bearer',
      expires_in: 3600,
    },
  }))
  const gone = new AbortController()
  const call = it.house.room.proxy.request(it.ada.principal, it.connection.id, {
    method: 'GET',
    path: '/calendar/v3/echo',
    signal: gone.signal,
  })
  await until(() => it.tokenRequests() === 1)
  gone.abort(new Error('the caller went away'))
  release()
  await assert.rejects(call, /went away/)
  assert.deepEqual(await Promise.all(calls(it.house, it.ada.principal, it.connection.id, 1)), [200])
  assert.equal(it.tokenRequests(), 1)
  assert.deepEqual(bearers(it), new Set(['Bearer access-late']))
})

test('[CN11] closing waits until what a refresh brought is stored', async () => {
  await using it = await scene()
  await it.expire()
  const release = heldBack(it, () => ({
    body: { access_token: 'access-last', token_type: 'Bearer', expires_in: 3600 },
  }))
  const call = it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
  await until(() => it.tokenRequests() === 1)
  const closed = it.house.room[Symbol.asyncDispose]()
  release()
  await closed
  const [row] = await it.database.database.query<{ generation: number }>(
    sql`select generation from credentials`,
  )
  assert.equal(row?.generation, 2)
  assert.equal((await call).status, 200)
})

test('[CN11] a pair that arrives while the database is away is stored when it is back', async () => {
  await using it = await scene()
  await using network = await Network.before(it.database.connection)
  await using pool = await openDatabase({
    connection: { ...it.database.connection, ...network.address },
    poolSize: 4,
    log: testLog,
  })
  await using house = await openHouse({
    database: pool,
    sandbox: it.provider,
    reach: [it.provider.url],
    keyring: it.keyring,
  })
  await it.expire()
  const release = heldBack(it, () => ({
    body: { access_token: 'access-2', refresh_token: 'refresh-2', token_type: 'Bearer', expires_in: 3600 },
  }))
  const call = house.room.connections.refresh(it.ada.principal, it.connection.id)
  await until(() => it.tokenRequests() === 1)
  await network.cut()
  release()
  await until(() => house.lines.some((line) => line.includes('not stored yet')))
  await network.open()
  assert.equal((await call).status, 'active')
  const [row] = await it.database.database.query<{ generation: number }>(
    sql`select generation from credentials`,
  )
  assert.equal(row?.generation, 2)
  assert.equal(it.tokenRequests(), 1)
})

test('[CN12] a dead grant is needs_reconnect at once, says why, is told to listeners, and is not asked again', async () => {
  await using it = await scene()
  echo(it)
  const heard: string[] = []
  it.house.room.connections.subscribe(
    ({ connection }) => void heard.push(`${connection.id} ${connection.status}`),
  )
  it.provider.on('oauth2.googleapis.com', tokenPath, () => ({
    status: 400,
    body: { error: 'invalid_grant', error_description: 'Token has been expired or revoked.' },
  }))
  await it.expire()
  for (let n = 0; n < 2; n++) {
    const reply = await it.ada.call('GET', `/v1/connections/${it.connection.id}/proxy/calendar/v3/echo`)
    assert.equal(reply.status, 409)
    assert.equal(reply.body.code, 'connection_needs_reconnect')
    assert.match(reply.body.detail, /Google has ended the access/)
  }
  assert.equal(it.tokenRequests(), 1)
  const now = (await it.ada.call('GET', `/v1/connections/${it.connection.id}`)).body
  assert.equal(now.status, 'needs_reconnect')
  assert.match(now.reason, /Google has ended the access/)
  assert.equal(
    (await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)).body.code,
    'connection_needs_reconnect',
  )
  assert.deepEqual(heard, [`${it.connection.id} needs_reconnect`])
})

test('[CN12] a refusal that a reconnect has overtaken changes nothing: the newer credential is used', async () => {
  await using it = await scene()
  echo(it)
  await it.expire()
  const release = heldBack(it, () => ({ status: 400, body: { error: 'invalid_grant' } }))
  const call = calls(it.house, it.ada.principal, it.connection.id, 1)
  await until(() => it.tokenRequests() === 1)
  // Meanwhile the person consents again in the browser; GitHub-like: the flow's own exchange answers at once.
  it.provider.workAsGoogle()
  const browser = it.ada.browser()
  const url = await browser.connect('google')
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', url.searchParams.get('nonce') ?? '')
  const renewed = await connected(it.ada, await browser.open(back))
  assert.equal(renewed.id, it.connection.id)
  release()
  assert.deepEqual(await Promise.all(call), [200])
  assert.equal((await it.ada.call('GET', `/v1/connections/${it.connection.id}`)).body.status, 'active')
})

test('[CN13] a provider that is down is provider_unavailable and never a revocation; it works again when the provider does', async () => {
  await using it = await scene()
  echo(it)
  await it.expire()
  for (const outage of [
    { status: 503, body: {} },
    { status: 429, body: {} },
    { status: 400, body: { error: 'temporarily_unavailable' } },
    undefined,
  ]) {
    it.provider.on('oauth2.googleapis.com', tokenPath, (_seen, { request }) => {
      if (outage === undefined) request.socket.destroy()
      return outage
    })
    const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
    assert.equal(reply.status, 503)
    assert.equal(reply.body.code, 'provider_unavailable')
    assert.equal((await it.ada.call('GET', `/v1/connections/${it.connection.id}`)).body.status, 'active')
  }
  it.provider.workAsGoogle()
  assert.deepEqual(await Promise.all(calls(it.house, it.ada.principal, it.connection.id, 1)), [200])
})

test('[CN13] a token that is still valid goes on being used while it cannot be renewed early', async () => {
  await using it = await scene()
  echo(it)
  await it.database.database.query(sql`
    update credentials set issued_at = now() - interval '59 minutes 50 seconds', expires_at = now() + interval '10 seconds'`)
  it.provider.on('oauth2.googleapis.com', tokenPath, () => ({ status: 503, body: {} }))
  for (let n = 0; n < 3; n++)
    assert.deepEqual(await Promise.all(calls(it.house, it.ada.principal, it.connection.id, 1)), [200])
  // One attempt with its one repetition, and then a while of calm.
  assert.equal(it.tokenRequests(), 2)
  assert.deepEqual(bearers(it), new Set(['Bearer google-access-token-1']))
})

test('[CN13] [CN62] an app that the provider does not know any more is the operator’s matter: it is said so, and over once the app is mended', async () => {
  await using it = await scene()
  await it.expire()
  it.provider.on('oauth2.googleapis.com', tokenPath, () => ({
    status: 401,
    body: { error: 'deleted_client' },
  }))
  const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
  assert.equal(reply.body.code, 'provider_misconfigured')
  const blamed = (await it.ada.call('GET', `/v1/connections/${it.connection.id}`)).body
  assert.equal(blamed.status, 'degraded')
  assert.match(blamed.reason, /deleted_client/)
  assert.deepEqual(blamed.remedy, {
    whose: 'operator',
    action: 'configure_app',
    label: 'Set up the Google app',
  })
  it.provider.workAsGoogle()
  const mended = (await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)).body
  assert.deepEqual([mended.status, mended.reason, mended.remedy], ['active', undefined, undefined])
})

test('[CN14] an answer that was lost on the way is asked for once more, and said to be unknown when that is refused', async () => {
  await using it = await scene()
  await it.expire()
  let n = 0
  it.provider.on('oauth2.googleapis.com', tokenPath, (_seen, { request }) => {
    n += 1
    if (n > 1) return { status: 400, body: { error: 'invalid_grant' } }
    request.socket.destroy()
    return undefined
  })
  const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
  assert.equal(reply.body.code, 'connection_needs_reconnect')
  assert.match(reply.body.detail, /cut off before its answer arrived/)
  assert.equal(n, 2)
})

test('[CN14] a process that died while refreshing holds nobody up for longer than its lease, and the doubt it left is said', async () => {
  await using it = await scene()
  await it.expire()
  const store = new CredentialStore({ database: it.database.database, changed: () => undefined })
  // What kill -9 leaves: a claim that nobody gives back.
  const dead = { connectionId: it.connection.id, generation: 1, holder: it.connection.id, leaseSeconds: 0.3 }
  assert.deepEqual(await store.claim(dead), { unanswered: false })
  it.provider.on('oauth2.googleapis.com', tokenPath, () => ({
    status: 400,
    body: { error: 'invalid_grant' },
  }))
  const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
  assert.equal(reply.body.code, 'connection_needs_reconnect')
  assert.match(reply.body.detail, /cut off before its answer arrived/)
  assert.equal(it.tokenRequests(), 1)
  // Whoever saw it before it was given up, and comes now, does not send the spent token once more.
  assert.equal(await store.claim(dead), undefined)
})

test('[CN15] refreshing an account whose tokens do not expire asks whether the provider still knows it', async () => {
  await using it = await scene('github')
  const path = `/v1/connections/${it.connection.id}/refresh`
  assert.equal((await it.ada.call('POST', path)).body.status, 'active')
  it.provider.on('api.github.com', '/user', () => ({ status: 500, body: {} }))
  assert.equal((await it.ada.call('POST', path)).body.code, 'provider_unavailable')
  it.provider.on('api.github.com', '/user', () => ({ status: 401, body: { message: 'Bad credentials' } }))
  const lost = await it.ada.call('POST', path)
  assert.equal(lost.body.code, 'connection_needs_reconnect')
  assert.match(lost.body.detail, /revoked there/)
})

test('[CN16] an answer for another person than the one who connected is not believed', async () => {
  await using it = await scene()
  await it.expire()
  it.provider.workAsGoogle(async () => ({ id_token: await it.provider.idToken({ sub: 'somebody-else' }) }))
  const reply = await it.ada.call('POST', `/v1/connections/${it.connection.id}/refresh`)
  assert.equal(reply.body.code, 'connection_needs_reconnect')
  assert.match(reply.body.detail, /another person/)
})

test('[CN17] sealed tokens open nowhere but in their own row, field and generation', async () => {
  await using it = await scene()
  const moved = [
    sql`update credentials set access_token = refresh_token`,
    sql`update credentials set generation = generation + 1`,
    sql`update credentials set access_token = set_byte(access_token, 20, get_byte(access_token, 20) # 1)`,
  ]
  echo(it)
  for (const move of moved) {
    const [before] = await it.database.database.query<{ a: Buffer; g: number }>(
      sql`select access_token as a, generation as g from credentials`,
    )
    await it.database.database.query(move)
    assert.equal(
      (await it.ada.call('GET', `/v1/connections/${it.connection.id}/proxy/calendar/v3/echo`)).body.code,
      'internal',
    )
    await it.database.database.query(
      sql`update credentials set access_token = ${before?.a}, generation = ${before?.g}`,
    )
  }
  assert.equal(
    (await it.ada.call('GET', `/v1/connections/${it.connection.id}/proxy/calendar/v3/echo`)).status,
    200,
  )
})
