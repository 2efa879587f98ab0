import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import { type ConnectionHouse, connected, openHouse, type Person } from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'

interface Scene extends AsyncDisposable {
  readonly provider: LoopbackProvider
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
  configure(clientId: string, clientSecret: string): Promise<void>
  apps(): Promise<{ client_id: string; retired: boolean }[]>
}

/** No sandbox: an operator's own app, at the provider's real addresses, which lead to loopback here. */
async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const provider = stack.use(await LoopbackProvider.start())
  provider.workAsGoogle()
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: undefined,
      reach: [provider.url],
      detour: provider.origins,
    }),
  )
  const ada = await house.person()
  return {
    provider,
    database,
    house,
    ada,
    configure: async (clientId, clientSecret) => {
      const reply = await ada.call('PUT', '/v1/providers/google/app', { json: { clientId, clientSecret } })
      assert.equal(reply.status, 200)
    },
    apps: () =>
      database.database.query(
        sql`select client_id, retired_at is not null as retired from provider_apps order by configured_at`,
      ),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

async function connect(it: Scene) {
  const browser = it.ada.browser()
  const url = await browser.connect('google')
  assert.equal(url.origin, 'https://accounts.google.com')
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', url.searchParams.get('nonce') ?? '')
  return await connected(it.ada, await browser.open(back))
}

/** The id_token's audience is the loopback's own client id, so that is the one to configure. */
const clientId = 'google-client'

function lastSecret(it: Scene): string | null {
  const sent = it.provider.requests('oauth2.googleapis.com', '/token').at(-1)
  return new URLSearchParams(sent?.body).get('client_secret')
}

test('[CN6] with an operator’s own app the whole journey runs at the provider’s real addresses, by configuration alone', async () => {
  await using it = await scene()
  await it.configure(clientId, 'first-secret')
  const connection = await connect(it)
  assert.equal(connection.sandbox, false)
  assert.equal(connection.status, 'active')
  assert.equal(lastSecret(it), 'first-secret')
  it.provider.on('www.googleapis.com', '/calendar/v3/x', () => ({ body: { ok: true } }))
  const proxied = await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/calendar/v3/x`)
  assert.deepEqual(proxied.body, { ok: true })
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
})

test('[CN40] a new secret of the same app is used by the connections that there are already', async () => {
  await using it = await scene()
  await it.configure(clientId, 'first-secret')
  const { id } = await connect(it)
  await it.configure(clientId, 'second-secret')
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  assert.equal(lastSecret(it), 'second-secret')
  assert.deepEqual(await it.apps(), [{ client_id: clientId, retired: false }])
})

test('[CN40] a connection lives from the app it was made with, until it is disconnected; then that app’s secret goes too', async () => {
  await using it = await scene()
  await it.configure(clientId, 'first-secret')
  const { id } = await connect(it)
  await it.configure('another-client', 'another-secret')
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  assert.equal(lastSecret(it), 'first-secret')
  assert.deepEqual(await it.apps(), [
    { client_id: clientId, retired: true },
    { client_id: 'another-client', retired: false },
  ])
  assert.equal((await it.ada.call('DELETE', '/v1/providers/google/app')).status, 204)
  assert.deepEqual(await it.apps(), [{ client_id: clientId, retired: true }])
  const none = await it.ada.call('POST', '/v1/connections', { json: { provider: 'google' } })
  assert.equal(none.body.code, 'provider_not_configured')
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${id}`)).status, 200)
  assert.deepEqual(await it.apps(), [])
})

test('[CN40] an app that was removed and is entered again is the same app', async () => {
  await using it = await scene()
  await it.configure(clientId, 'first-secret')
  const { id } = await connect(it)
  await it.ada.call('DELETE', '/v1/providers/google/app')
  await it.configure(clientId, 'second-secret')
  assert.deepEqual(await it.apps(), [{ client_id: clientId, retired: false }])
  assert.equal((await it.ada.call('POST', `/v1/connections/${id}/refresh`)).status, 200)
  assert.equal(lastSecret(it), 'second-secret')
})

test('[CN40] two operators who enter an app at once leave one of the two, whole', async () => {
  await using it = await scene()
  await Promise.all(Array.from({ length: 8 }, (_, n) => it.configure(`client-${n}`, `secret-${n}`)))
  const apps = await it.apps()
  assert.equal(apps.length, 1)
  assert.equal(apps[0]?.retired, false)
})

test('[CN250] a way to connect that the app cannot go yet is not offered, what the operator has asked for is shown again, and what people enter has a label', async () => {
  await using it = await scene()
  const github = async (): Promise<{
    flows: string[]
    appFacts?: { scopes: string[] | null }
    particulars: { label: string }[]
  }> => {
    const { body } = await it.ada.call('GET', '/v1/providers')
    const providers: readonly { id: string; particulars: { name: string; label: string }[] }[] = body.items
    for (const { id, particulars } of providers)
      for (const { name, label } of particulars) assert.ok(label !== '', `${id}: ${name}`)
    return body.items.find(({ id }: { id: string }) => id === 'github')
  }
  const enter = (more: object) =>
    it.ada.call('PUT', '/v1/providers/github/app', {
      json: { clientId: 'github-client', clientSecret: 'the-secret', ...more },
    })
  assert.equal((await github()).flows.includes('app_installation'), false)
  assert.equal((await enter({ scopes: ['read:user', 'repo'] })).status, 200)
  const first = await github()
  assert.equal(first.flows.includes('app_installation'), false)
  assert.ok(first.flows.includes('authorization_code'))
  assert.deepEqual(first.appFacts?.scopes?.toSorted(), ['read:user', 'repo'])
  assert.equal((await enter({ settings: { slug: 'atom-of-ours' } })).status, 200)
  const second = await github()
  assert.ok(second.flows.includes('app_installation'))
  assert.equal(second.appFacts?.scopes, null)
})
