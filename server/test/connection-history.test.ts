import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection, ConnectionEvent, ForecastItem } from '@atom/contract/connections.ts'
import sql from 'sql-template-tag'
import { ConnectionStore } from '#connections/connection-store.ts'
import { newId } from '#foundation/ids.ts'
import {
  type Browser,
  type ConnectionHouse,
  connected,
  openHouse,
  type Person,
} from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const dayMs = 24 * 60 * 60 * 1000

interface Scene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  readonly browser: Browser
  connect(provider: string, wish?: object): Promise<Connection>
  /** Where the browser is sent, once consent was given. */
  outcome(url: URL): Promise<URLSearchParams>
  /** Lets time pass for the house. */
  pass(ms: number): void
}

/** With `own` the apps are an operator's, entered by configuration. */
async function scene({ own = false } = {}): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const provider = stack.use(await LoopbackProvider.start())
  provider.workAsGitHub()
  provider.workAsGoogle()
  const database = stack.use(await testDatabase())
  let passed = 0
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: own ? undefined : provider,
      reach: [provider.url],
      clock: { now: () => new Date(Date.now() + passed) },
      ...(own && { detour: provider.origins }),
    }),
  )
  const ada = await house.person()
  const browser = ada.browser()
  return {
    provider,
    database,
    house,
    ada,
    browser,
    connect: async (id, wish) =>
      await connected(ada, await browser.open(back(await browser.connect(id, wish)))),
    outcome: async (url) => {
      const reply = await browser.open(back(url))
      return new URL(reply.headers.get('location') ?? '', 'http://atom.test').searchParams
    },
    pass: (ms) => {
      passed += ms
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** The address a provider sends the browser back to after consent; the code carries the nonce, as the loopback Google needs it. */
function back(authorizeUrl: URL): URL {
  const asked = authorizeUrl.searchParams
  const url = new URL(asked.get('redirect_uri') ?? '')
  url.searchParams.set('state', asked.get('state') ?? '')
  url.searchParams.set('code', asked.get('nonce') ?? 'code-1')
  return url
}

async function eventsOf(it: Scene, id: string, query = ''): Promise<ConnectionEvent[]> {
  const reply = await it.ada.call('GET', `/v1/connections/${id}/events${query}`)
  assert.equal(reply.status, 200, reply.text)
  return reply.body.items
}

async function forecastOf(person: Person): Promise<ForecastItem[]> {
  const reply = await person.call('GET', '/v1/connections/forecast')
  assert.equal(reply.status, 200, reply.text)
  return reply.body.items
}

function grantedAs(it: Scene, sub: string): void {
  it.provider.on('oauth2.googleapis.com', '/token', async ({ body }) => ({
    body: {
      access_token: `google-access-token-of-${sub}`,
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: `google-refresh-token-of-${sub}`,
      id_token: await it.provider.idToken({ nonce: new URLSearchParams(body).get('code') ?? '', sub }),
    },
  }))
  it.provider.on('openidconnect.googleapis.com', '/v1/userinfo', () => ({
    body: { sub, name: `Person ${sub}`, email: `${sub}@example.org`, email_verified: true },
  }))
}

test('[CN240] the history of a connection tells of consent, first use, refreshes, trouble and loss, newest first, in pages, without a secret', async () => {
  await using it = await scene()
  const { id } = await it.connect('google')
  it.provider.on('www.googleapis.com', '/calendar/v3/x', () => ({ body: { ok: true } }))
  for (let call = 0; call < 2; call++)
    assert.equal((await it.ada.call('GET', `/v1/connections/${id}/proxy/calendar/v3/x`)).status, 200)
  await until(async () => (await eventsOf(it, id)).length === 2)
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  await until(async () => (await eventsOf(it, id)).length === 3)

  it.provider.on('oauth2.googleapis.com', '/token', () => ({ status: 503 }))
  for (let attempt = 0; attempt < 3; attempt++)
    assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 503)
  await until(async () => (await eventsOf(it, id))[0]?.times === 3)
  it.provider.on('oauth2.googleapis.com', '/token', () => ({ status: 400, body: { error: 'invalid_grant' } }))
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 409)
  await until(async () => (await eventsOf(it, id)).length === 5)

  const events = await eventsOf(it, id)
  assert.deepEqual(
    events.map(({ kind, times }) => [kind, times]),
    [
      ['lost', 1],
      ['refresh_failed', 3],
      ['refreshed', 1],
      ['called_first', 1],
      ['connected', 1],
    ],
  )
  const [lost, failed, refreshed, , first] = events
  assert.ok(lost && failed && refreshed && first)
  assert.equal(first.generation, 1)
  assert.equal(refreshed.generation, 2)
  assert.ok((refreshed.durationMs ?? -1) >= 0)
  assert.ok(failed.at < failed.lastAt)
  assert.match(lost.detail, /Google/)
  assert.equal(JSON.stringify(events).match(/google-(?:access|refresh)-token/), null)

  const pages: ConnectionEvent[] = []
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '?limit=2' : `?limit=2&cursor=${cursor}`
    const reply = await it.ada.call('GET', `/v1/connections/${id}/events${query}`)
    pages.push(...reply.body.items)
    cursor = reply.body.next
  } while (cursor !== null)
  assert.deepEqual(pages, events)
})

test('[CN240] nobody but its owner reads the history, and it goes with the connection', async () => {
  await using it = await scene()
  const { id } = await it.connect('github')
  const colleague = await it.house.person('owner', it.ada.principal.workspaceId)
  for (const stranger of [colleague, await it.house.person()]) {
    const reply = await stranger.call('GET', `/v1/connections/${id}/events`)
    assert.equal(reply.body.code, 'not_found')
  }
  const odd = await it.ada.call('GET', `/v1/connections/${id}/events?cursor=1`)
  assert.equal(odd.body.code, 'validation_failed')
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${id}`)).status, 200)
  const [left] = await it.database.database.query<{ n: number }>(
    sql`select count(*)::int as n from connection_events`,
  )
  assert.equal(left?.n, 0)
})

test('[CN241] of what happens by itself two hundred events are kept, and they never push consent out', async () => {
  await using it = await scene()
  const { id } = await it.connect('github')
  const store = new ConnectionStore({ database: it.database.database })
  const happening = { connectionId: id, workspaceId: it.ada.principal.workspaceId, detail: 'Renewed.' }
  for (let n = 1; n <= 230; n++) {
    await store.writeEvent({
      ...happening,
      id: newId(),
      at: new Date(),
      kind: 'refreshed',
      generation: n,
      durationMs: 1,
      slot: null,
    })
  }
  const [kept] = await it.database.database.query<{ n: number; oldest: number }>(sql`
    select count(*)::int as n, min(generation)::int as oldest from connection_events
    where connection_id = ${id} and kind = 'refreshed'`)
  assert.deepEqual(kept, { n: 200, oldest: 31 })
  const events = await eventsOf(it, id, '?limit=200')
  assert.equal(events.length, 200)
  const last = await eventsOf(it, id, `?limit=200&cursor=${events.at(-1)?.id}`)
  assert.deepEqual(
    last.map(({ kind }) => kind),
    ['connected'],
  )
})

test('[CN241] an event of a connection that is gone is not kept and disturbs nobody', async () => {
  await using it = await scene()
  const store = new ConnectionStore({ database: it.database.database })
  await store.writeEvent({
    id: newId(),
    connectionId: newId(),
    workspaceId: newId(),
    at: new Date(),
    kind: 'refreshed',
    detail: 'Renewed.',
    generation: null,
    durationMs: null,
    slot: null,
  })
  assert.deepEqual(await it.database.database.query(sql`select id from connection_events`), [])
})

test('[CN242] reconnecting asks for the same account and for what it was asked for before; widening asks for more; both are the same connection', async () => {
  await using it = await scene()
  const first = await it.connect('google')
  const asked = first.askedScopes
  assert.deepEqual(asked, ['openid', 'email', 'profile', 'https://www.googleapis.com/auth/calendar.events'])

  const again = await it.browser.connect('google', { connectionId: first.id })
  assert.equal(again.searchParams.get('login_hint'), 'grace@example.org')
  assert.equal(again.searchParams.get('scope'), asked.join(' '))
  assert.equal((await it.outcome(again)).get('connected'), first.id)

  const more = 'https://www.googleapis.com/auth/drive.file'
  it.provider.workAsGoogle(() => ({ scope: `${asked.join(' ')} ${more}` }))
  const wider = await it.browser.connect('google', { connectionId: first.id, scopes: [more] })
  assert.deepEqual(wider.searchParams.get('scope')?.split(' '), [...asked, more])
  assert.equal((await it.outcome(wider)).get('connected'), first.id)
  const now = (await it.ada.call('GET', `/v1/connections/${first.id}`)).body as Connection
  assert.deepEqual(now.askedScopes, [...asked, more])
  assert.deepEqual(now.missingScopes, [])
  assert.equal((await it.ada.call('GET', '/v1/connections')).body.items.length, 1)
  const events = await eventsOf(it, first.id)
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['widened', 'reconnected', 'connected'],
  )
  assert.ok(events[0]?.detail.includes(more))
})

test('[CN242] a connection is reconnected by its owner only, at its own provider, and not once it is gone', async () => {
  await using it = await scene()
  const { id } = await it.connect('google')
  const colleague = await it.house.person('owner', it.ada.principal.workspaceId)
  const wish = { json: { provider: 'google', connectionId: id } }
  assert.equal((await colleague.call('POST', '/v1/connections', wish)).body.code, 'not_found')
  const other = { json: { provider: 'github', connectionId: id } }
  const reply = await it.ada.call('POST', '/v1/connections', other)
  assert.equal(reply.body.errors[0].pointer, '/connectionId')
  const begun = await it.browser.connect('google', { connectionId: id })
  await it.ada.call('DELETE', `/v1/connections/${id}`)
  assert.equal((await it.outcome(begun)).get('problem'), 'flow_invalid')
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN243] consent for another account is `other_account`: the connection stays as it was, and the grant that nobody wants is ended', async () => {
  await using it = await scene()
  const before = await it.connect('google')
  const url = await it.browser.connect('google', { connectionId: before.id })
  grantedAs(it, 'google-person-2')
  const revoked: string[] = []
  it.provider.on('oauth2.googleapis.com', '/revoke', ({ body }) => {
    revoked.push(new URLSearchParams(body).get('token') ?? '')
    return { body: {} }
  })
  const outcome = await it.outcome(url)
  assert.equal(outcome.get('problem'), 'other_account')
  assert.equal(outcome.get('connected'), null)
  assert.deepEqual(revoked, ['google-refresh-token-of-google-person-2'])
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [before])

  // A program is told whose account it was.
  const again = await it.browser.connect('google', { connectionId: before.id })
  const reply = await it.browser.open(back(again), { page: false })
  assert.equal(reply.status, 409)
  assert.equal(reply.body.code, 'other_account')
  assert.match(reply.body.detail, /Person google-person-2/)
})

test('[CN243] a grant that another connection lives from is left alone', async () => {
  await using it = await scene()
  const first = await it.connect('google')
  grantedAs(it, 'google-person-2')
  const second = await it.connect('google')
  assert.notEqual(second.id, first.id)
  const url = await it.browser.connect('google', { connectionId: first.id })
  assert.equal((await it.outcome(url)).get('problem'), 'other_account')
  assert.deepEqual(it.provider.requests('oauth2.googleapis.com', '/revoke'), [])
  assert.equal((await it.ada.call('GET', '/v1/connections')).body.items.length, 2)
})

test('[CN244] the forecast tells of a client secret that ends, of apps in testing and what they end, and of what the provider switches off', async () => {
  await using it = await scene({ own: true })
  const secretEnd = new Date(Date.now() + 20 * dayMs)
  const entry = { clientId: 'google-client', clientSecret: 'google-client-secret' }
  const configured = await it.ada.call('PUT', '/v1/providers/google/app', {
    json: { ...entry, clientSecretExpiresAt: secretEnd.toISOString(), testing: true },
  })
  assert.deepEqual(configured.body.appFacts, {
    clientId: 'google-client',
    configuredAt: configured.body.appFacts.configuredAt,
    clientSecretExpiresAt: secretEnd.toISOString(),
    testing: true,
    scopes: null,
  })
  assert.equal(configured.text.includes('google-client-secret'), false)
  const connection = await it.connect('google')
  const items = await forecastOf(it.ada)
  assert.deepEqual(
    items.map(({ kind, severity, connectionId }) => [kind, severity, connectionId]),
    [
      ['testing_app', 'high', connection.id],
      ['client_secret', 'medium', undefined],
      ['testing_app', 'medium', undefined],
    ],
  )
  const [testing, secret] = items
  assert.equal(testing?.at, new Date(Date.parse(connection.connectedAt) + 7 * dayMs).toISOString())
  assert.equal(testing?.remedy?.action, 'reconnect')
  assert.equal(secret?.at, secretEnd.toISOString())
  assert.equal(secret?.remedy?.whose, 'operator')

  it.pass(21 * dayMs)
  const late = await forecastOf(it.ada)
  const [expired] = late.filter(({ kind }) => kind === 'client_secret')
  assert.equal(expired?.severity, 'critical')
  assert.match(expired?.title ?? '', /has expired/)

  // What is said anew counts: the app is published, and its secret does not end.
  await it.ada.call('PUT', '/v1/providers/google/app', { json: entry })
  assert.deepEqual(
    (await forecastOf(it.ada)).map(({ kind }) => kind),
    [],
  )
})

test('[CN244] members hear of their own connections and not of the apps; a sunset is told to whoever uses the provider', async () => {
  await using it = await scene({ own: true })
  it.pass(Date.parse('2027-01-15T00:00:00Z') - Date.now())
  await it.ada.call('PUT', '/v1/providers/hubspot/app', {
    json: { clientId: 'h', clientSecret: 's', clientSecretExpiresAt: '2027-02-01T00:00:00Z' },
  })
  const items = await forecastOf(it.ada)
  assert.deepEqual(
    items.map(({ kind, at }) => [kind, at]),
    [
      ['client_secret', '2027-02-01T00:00:00.000Z'],
      ['sunset', '2027-02-16T00:00:00.000Z'],
    ],
  )
  const member = await it.house.person('member', it.ada.principal.workspaceId)
  assert.deepEqual(await forecastOf(member), [])
})

test('[CN244] an access that cannot be renewed, and one that nothing has kept alive, is told before it ends', async () => {
  await using it = await scene()
  it.provider.workAsGitHub(() => ({ expires_in: 28_800 }))
  const unrenewable = await it.connect('github')
  const google = await it.connect('google')
  const [item, ...others] = await forecastOf(it.ada)
  assert.deepEqual(others, [])
  assert.equal(item?.kind, 'refresh_token')
  assert.equal(item?.connectionId, unrenewable.id)
  assert.equal(item?.at, unrenewable.expiresAt)
  await it.ada.call('DELETE', `/v1/connections/${unrenewable.id}`)
  // Google ends what is unused for six months; at nine tenths Atom should have refreshed it long ago.
  it.pass(150 * dayMs)
  assert.deepEqual(await forecastOf(it.ada), [])
  it.pass(20 * dayMs)
  const [idle] = await forecastOf(it.ada)
  assert.equal(idle?.kind, 'inactivity')
  assert.equal(idle?.connectionId, google.id)
})

test('[CN30] a connection whose credential does not open any more is disconnected all the same, and says that the provider was not told', async () => {
  await using it = await scene()
  const { id } = await it.connect('google')
  await it.database.database.query(
    sql`update credentials set access_token = 'edited', refresh_token = 'edited' where connection_id = ${id}`,
  )
  const receipt = await it.ada.call('DELETE', `/v1/connections/${id}`)
  assert.deepEqual([receipt.status, receipt.body.revocation], [200, 'failed'], receipt.text)
  assert.deepEqual(await it.database.database.query(sql`select 1 from credentials`), [])
})

test('[CN245] the receipt says what is gone, what remains and until when, whatever became of the revocation', async () => {
  await using it = await scene()
  const gone = await it.connect('google')
  const revoked = (await it.ada.call('DELETE', `/v1/connections/${gone.id}`)).body
  assert.equal(revoked.revocation, 'revoked')
  assert.ok(revoked.gone.includes('The consent at Google.'))
  assert.deepEqual(revoked.remains, [])

  const stubborn = await it.connect('google')
  it.provider.on('oauth2.googleapis.com', '/revoke', () => ({ status: 503 }))
  const failed = (await it.ada.call('DELETE', `/v1/connections/${stubborn.id}`)).body
  assert.equal(failed.revocation, 'failed')
  assert.equal(failed.gone.includes('The consent at Google.'), false)
  assert.deepEqual(
    failed.remains.map(({ until }: { until: string | null }) => until),
    [null, stubborn.expiresAt],
  )
})
