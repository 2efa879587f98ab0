import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AppTest, ProviderView } from '@atom/contract/connections.ts'
import { startSandbox } from '@atom/sandbox/sandbox.ts'
import { sandboxProviders } from '../src/local-sandbox.ts'
import { type ConnectionHouse, openHouse, type Person } from './support/connection-house.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase } from './support/postgres.ts'

async function tested(operator: Person, provider: string): Promise<AppTest> {
  const reply = await operator.call('POST', `/v1/providers/${provider}/app/test`)
  assert.equal(reply.status, 200, reply.text)
  return reply.body
}

const failed = ({ checks }: AppTest) => checks.filter(({ ok }) => !ok).map(({ name }) => name)

/** An operator's own apps at the providers' real addresses, which lead to the sandbox here. */
async function houseOverSandbox() {
  const stack = new AsyncDisposableStack()
  const sandbox = stack.use(await startSandbox())
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: undefined,
      reach: [sandbox.url],
      detour: sandbox.origins,
    }),
  )
  const operator = await house.person()
  return {
    sandbox,
    house,
    operator,
    configure: async (provider: string, app: { clientId: string; clientSecret: string }) => {
      const reply = await operator.call('PUT', `/v1/providers/${provider}/app`, {
        json: { clientId: app.clientId, clientSecret: app.clientSecret },
      })
      assert.equal(reply.status, 200, reply.text)
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

function allow(sandbox: { allowRedirect(uri: string): void }, house: ConnectionHouse): void {
  for (const provider of sandboxProviders) sandbox.allowRedirect(`${house.url}/v1/oauth/callback/${provider}`)
}

test('[CN246] an app as it should be passes its test at each of the eight providers, and a wrong secret is named as what it is', async () => {
  await using it = await houseOverSandbox()
  allow(it.sandbox, it.house)
  for (const provider of sandboxProviders) {
    const app = it.sandbox.apps[provider as keyof typeof it.sandbox.apps]
    await it.configure(provider, app)
    const good = await tested(it.operator, provider)
    // Slack takes https only, which this server is not.
    assert.deepEqual(failed(good), provider === 'slack' ? ['redirect_uri'] : [], JSON.stringify(good))
    assert.equal(good.ok, provider !== 'slack')
    assert.ok(good.checks.some(({ name }) => name === 'credentials'))

    await it.configure(provider, { ...app, clientSecret: 'not-the-secret' })
    const wrong = await tested(it.operator, provider)
    assert.ok(failed(wrong).includes('credentials'), `${provider}: ${JSON.stringify(wrong)}`)
    assert.equal(JSON.stringify([good, wrong]).includes(app.clientSecret), false)
  }
  assert.deepEqual((await it.operator.call('GET', '/v1/connections')).body.items, [])
})

test('[CN246] a redirect URI that was not entered at the provider, and an unknown client id, show before any person is asked', async () => {
  await using it = await houseOverSandbox()
  await it.configure('google', it.sandbox.apps.google)
  assert.deepEqual(failed(await tested(it.operator, 'google')), ['consent_page'])
  allow(it.sandbox, it.house)
  assert.deepEqual(failed(await tested(it.operator, 'google')), [])
  await it.configure('google', { ...it.sandbox.apps.google, clientId: 'nobody' })
  assert.deepEqual(failed(await tested(it.operator, 'google')), ['consent_page', 'credentials'])
})

test('[CN246] a provider that is away, and one that has moved, are told apart from a wrong app', async () => {
  await using loopback = await LoopbackProvider.start()
  await using database = await testDatabase()
  await using house = await openHouse({
    database: database.database,
    sandbox: undefined,
    reach: [loopback.url],
    detour: loopback.origins,
  })
  const operator = await house.person()
  const none = await operator.call('POST', '/v1/providers/google/app/test')
  assert.equal(none.body.code, 'provider_not_configured')
  await operator.call('PUT', '/v1/providers/google/app', { json: loopback.apps.google })
  loopback.on('accounts.google.com', '/o/oauth2/v2/auth', () => ({ body: 'Sign in' }))
  loopback.on('accounts.google.com', '/.well-known/openid-configuration', () => ({
    body: {
      authorization_endpoint: 'https://accounts.google.com/o/oauth2/v2/auth',
      token_endpoint: 'https://oauth2.googleapis.com/v3/token',
      jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs',
    },
  }))
  loopback.on('oauth2.googleapis.com', '/token', () => ({ status: 503 }))
  const away = await tested(operator, 'google')
  assert.deepEqual(failed(away), ['discovery', 'token_endpoint'])
  assert.match(away.checks.find(({ name }) => name === 'discovery')?.detail ?? '', /v3\/token/)
  assert.equal(
    away.checks.some(({ name }) => name === 'credentials'),
    false,
  )

  const member = await house.person('member', operator.principal.workspaceId)
  assert.equal((await member.call('POST', '/v1/providers/google/app/test')).body.code, 'forbidden')
})

test('[CN247] a provider is listed with its category, the steps to its app with this server’s own address, and every scope in words', async () => {
  await using database = await testDatabase()
  await using house = await openHouse({ database: database.database, sandbox: undefined, reach: [] })
  const ada = await house.person()
  const providers: ProviderView[] = (await ada.call('GET', '/v1/providers')).body.items
  for (const provider of providers) {
    const { id, setup, redirectUri, scopes, furtherScopes, docsPath } = provider
    assert.equal(redirectUri, `${house.url}/v1/oauth/callback/${id}`)
    assert.ok(
      setup.steps.some((step) => step.includes(redirectUri)),
      id,
    )
    assert.doesNotMatch(setup.steps.join(' '), /[{}]/)
    for (const { scope, meaning } of [...scopes, ...furtherScopes]) assert.notEqual(meaning, scope, id)
    assert.deepEqual(
      furtherScopes.filter(({ scope }) => scopes.some((asked) => asked.scope === scope)),
      [],
    )
    assert.equal(docsPath, `/docs/providers/${id}`)
    assert.equal(provider.appFacts, undefined)
  }
  const salesforce = providers.find(({ id }) => id === 'salesforce')
  assert.deepEqual(
    salesforce?.particulars.map(({ name, saidBy, required, standard }) => [name, saidBy, required, standard]),
    [
      ['login', 'person', false, 'login.salesforce.com'],
      ['instance', 'provider', false, undefined],
    ],
  )
})
