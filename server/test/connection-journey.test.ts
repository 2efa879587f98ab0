import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection } from '@atom/contract/connections.ts'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import sql from 'sql-template-tag'
import { ConnectionStore } from '#connections/connection-store.ts'
import { CredentialVault } from '#connections/credential-vault.ts'
import { Envelope } from '#foundation/crypto/envelope.ts'
import {
  type ConnectionHouse,
  connected,
  newKeyring,
  openHouse,
  type Person,
  type Reply,
} from './support/connection-house.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { type Visit, visitSandbox } from './support/sandbox-visitor.ts'

interface Scene extends AsyncDisposable {
  readonly sandbox: Sandbox
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  connect(provider: string, visit?: Partial<Visit>): Promise<Reply>
  /** Every token, code and secret that has been anywhere in this scene so far. */
  secrets(): Promise<Set<string>>
}

async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const sandbox = stack.use(await startSandbox())
  const database = stack.use(await testDatabase())
  const keyring = newKeyring()
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: { providers: ['github', 'google'], running: () => sandbox, open: async () => sandbox },
      reach: [sandbox.url],
      keyring,
    }),
  )
  for (const provider of ['github', 'google'])
    sandbox.allowRedirect(`${house.url}/v1/oauth/callback/${provider}`)
  const ada = await house.person()
  const vault = new CredentialVault({ envelope: new Envelope({ keyring }) })
  const store = new ConnectionStore({ database: database.database })
  const known = new Set<string>(Object.values(sandbox.apps).map(({ clientSecret }) => clientSecret))
  const secrets = async () => {
    for (const { id } of await store.list(ada.principal.workspaceId, ada.principal.id, { limit: 10 })) {
      const live = await store.live(ada.principal.workspaceId, id)
      if (live === undefined) continue
      const place = { workspaceId: live.workspaceId, connectionId: id, generation: live.generation }
      known.add((await vault.openAccessToken(place, live.sealed)).reveal())
      const refreshToken = await vault.openRefreshToken(place, live.sealed)
      if (refreshToken !== undefined) known.add(refreshToken.reveal())
    }
    return known
  }
  return {
    sandbox,
    database,
    house,
    ada,
    secrets,
    connect: async (provider, visit) => {
      const browser = ada.browser()
      const url = await browser.connect(provider)
      const back = await visitSandbox(url, { person: 'ada', decision: 'agree', ...visit })
      known.add(back.searchParams.get('code') ?? 'no code')
      return await browser.open(back)
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

test('[CN1] with the sandbox a person connects GitHub and Google, consent and all, with name and picture', async () => {
  await using it = await scene()
  for (const provider of ['github', 'google']) {
    const connection = await connected(it.ada, await it.connect(provider))
    assert.equal(connection.status, 'active', connection.reason)
    assert.equal(connection.sandbox, true)
    assert.match(connection.identity.name, /\S/)
    assert.match(connection.identity.avatarUrl ?? '', /^data:image\/png;base64,/)
    assert.deepEqual(connection.missingScopes, [])
  }
  const items: Connection[] = (await it.ada.call('GET', '/v1/connections')).body.items
  assert.deepEqual(
    items.map(({ provider }) => provider),
    ['google', 'github'],
  )
})

test('[CN3] with the sandbox a person who says no is told so, and nothing is connected', async () => {
  await using it = await scene()
  for (const provider of ['github', 'google']) {
    const reply = await it.connect(provider, { decision: 'cancel' })
    assert.equal(reply.headers.get('location'), `/connections?problem=consent_denied&provider=${provider}`)
  }
  assert.deepEqual((await it.ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN7] with the sandbox what Google’s person leaves unticked is missing and named', async () => {
  await using it = await scene()
  const url = await it.ada.browser().connect('google')
  const calendar = 'https://www.googleapis.com/auth/calendar.events'
  assert.ok(url.searchParams.get('scope')?.includes(calendar))
  const browser = it.ada.browser()
  const wish = { scopes: [calendar, 'https://www.googleapis.com/auth/calendar.readonly'] }
  const back = await visitSandbox(await browser.connect('google', wish), {
    person: 'ada',
    decision: 'agree',
    withhold: [calendar],
  })
  const connection = await connected(it.ada, await browser.open(back))
  assert.equal(connection.status, 'degraded')
  assert.deepEqual(connection.missingScopes, [calendar])
})

test('[CN3] with the sandbox down during the exchange the person is told, and the next attempt works', async () => {
  await using it = await scene()
  using _down = it.sandbox.control.fault({
    path: '/github/login/oauth/access_token',
    outcome: { status: 503 },
  })
  const reply = await it.connect('github')
  assert.equal(reply.headers.get('location'), '/connections?problem=provider_unavailable&provider=github')
  await connected(it.ada, await it.connect('github'))
})

test('[CN10] with the sandbox fifty callers of an expired Google token cause one refresh', async () => {
  await using it = await scene()
  const connection = await connected(it.ada, await it.connect('google'))
  const tokenRequests = () =>
    it.sandbox.control.requests({ method: 'POST' }).filter(({ path }) => path.endsWith('/token')).length
  const before = tokenRequests()
  assert.ok(before > 0)
  it.sandbox.control.expireTokens('google')
  const path = '/calendar/v3/calendars/primary/events'
  const statuses = await Promise.all(
    Array.from(
      { length: 50 },
      async () => (await it.ada.call('GET', `/v1/connections/${connection.id}/proxy${path}`)).status,
    ),
  )
  assert.deepEqual(new Set(statuses), new Set([200]))
  assert.equal(tokenRequests() - before, 1)
})

test('[CN24] with the sandbox a person who revokes at the provider sees needs_reconnect, and reconnecting mends it', async () => {
  await using it = await scene()
  for (const [provider, path] of [
    ['github', '/user'],
    ['google', '/calendar/v3/calendars/primary/events'],
  ] as const) {
    const connection = await connected(it.ada, await it.connect(provider))
    assert.equal((await it.ada.call('GET', `/v1/connections/${connection.id}/proxy${path}`)).status, 200)
    it.sandbox.control.revoke(provider)
    const lost = await it.ada.call('GET', `/v1/connections/${connection.id}/proxy${path}`)
    assert.equal(lost.body.code, 'connection_needs_reconnect')
    const again = await connected(it.ada, await it.connect(provider))
    assert.equal(again.id, connection.id)
    assert.equal(again.status, 'active')
    assert.equal((await it.ada.call('GET', `/v1/connections/${connection.id}/proxy${path}`)).status, 200)
  }
})

test('[CN30] disconnecting ends the grant at the provider, destroys the credential, and says so on a receipt', async () => {
  await using it = await scene()
  for (const provider of ['github', 'google']) {
    const heard: string[] = []
    using _listening = it.house.room.connections.subscribe(
      ({ connection }) => void heard.push(connection.status),
    )
    const connection = await connected(it.ada, await it.connect(provider))
    const receipt = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
    assert.equal(receipt.status, 200)
    assert.equal(receipt.body.revocation, 'revoked')
    assert.match(receipt.body.detail, /has ended the grant/)
    assert.deepEqual(heard, ['active', 'revoked'])
    // The sandbox has nothing left to revoke.
    assert.equal(it.sandbox.control.revoke(provider as 'github' | 'google'), 0)
    for (const method of ['GET', 'DELETE']) {
      assert.equal((await it.ada.call(method, `/v1/connections/${connection.id}`)).body.code, 'not_found')
    }
    assert.equal(
      (await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/user`)).body.code,
      'not_found',
    )
  }
  assert.deepEqual(await it.database.database.query(sql`select 1 from credentials`), [])
})

test('[CN30] a provider that is down does not keep a credential here: the receipt says what is left to do', async () => {
  await using it = await scene()
  const connection = await connected(it.ada, await it.connect('github'))
  using _down = it.sandbox.control.fault({ path: '/github/api/applications/*', outcome: 'cut', times: 5 })
  const receipt = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
  assert.equal(receipt.body.revocation, 'failed')
  assert.match(receipt.body.detail, /remove Atom in your GitHub settings/)
  assert.deepEqual(await it.database.database.query(sql`select 1 from credentials`), [])
})

test('[CN30] a grant that another connection lives from is kept', async () => {
  await using it = await scene()
  const first = await connected(it.ada, await it.connect('github'))
  const bob = await it.house.person()
  const browser = bob.browser()
  const back = await visitSandbox(await browser.connect('github'), { person: 'ada', decision: 'agree' })
  const second = await connected(bob, await browser.open(back))
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${first.id}`)).body.revocation, 'kept')
  assert.equal((await bob.call('GET', `/v1/connections/${second.id}/proxy/user`)).status, 200)
  assert.equal((await bob.call('DELETE', `/v1/connections/${second.id}`)).body.revocation, 'revoked')
})

test('[CN31] no token, code or secret is in any answer, log line or table of a whole journey', async () => {
  await using it = await scene()
  for (const provider of ['github', 'google']) {
    const { id } = await connected(it.ada, await it.connect(provider))
    await it.secrets()
    const path = provider === 'github' ? '/user' : '/calendar/v3/calendars/primary/events'
    await it.ada.call('GET', `/v1/connections/${id}/proxy${path}`)
    await it.ada.call('POST', `/v1/connections/${id}/refresh`)
    await it.secrets()
    await it.ada.call('GET', '/v1/connections')
    await it.ada.call('GET', '/v1/providers')
    {
      using _cut = it.sandbox.control.fault({ path: '/*', outcome: 'cut_after', times: 3 })
      await it.ada.call('POST', `/v1/connections/${id}/refresh`)
      await it.ada.call('GET', `/v1/connections/${id}/proxy${path}`)
    }
    await it.connect(provider, { decision: 'cancel' })
    await it.connect(provider)
  }
  const secrets = await it.secrets()
  assert.ok(secrets.size >= 8, `${secrets.size} secrets known`)
  const tables = await it.database.database.query<{ text: string }>(sql`
    select t::text as text from credentials t union all select t::text from connections t
    union all select t::text from connection_flows t union all select t::text from provider_apps t`)
  const places = {
    answers: it.house.answers,
    'log lines': it.house.lines,
    tables: tables.flatMap(({ text }) => [
      text,
      Buffer.from(text.replaceAll(/[^0-9a-f]/g, ''), 'hex').toString('latin1'),
    ]),
  }
  assert.ok(places.answers.length > 40 && places['log lines'].length > 20 && places.tables.length > 4)
  for (const [place, texts] of Object.entries(places)) {
    for (const secret of secrets) {
      for (const form of [secret, Buffer.from(secret).toString('hex'), encodeURIComponent(secret)]) {
        assert.ok(!texts.some((text) => text.includes(form)), `a secret is in the ${place}`)
      }
    }
  }
  for (const { id } of (await it.ada.call('GET', '/v1/connections')).body.items) {
    await it.ada.call('DELETE', `/v1/connections/${id}`)
  }
  assert.ok(!it.house.lines.some((line) => [...secrets].some((secret) => line.includes(secret))))
})
