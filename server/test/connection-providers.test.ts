import assert from 'node:assert/strict'
import { test } from 'node:test'
import sql from 'sql-template-tag'
import {
  type ConnectionHouse,
  connected,
  openHouse,
  type Person,
  type Reply,
} from './support/connection-house.ts'
import { type Host, LoopbackProvider } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import {
  tenant,
  workAsAsana,
  workAsHubSpot,
  workAsMicrosoft,
  workAsNotion,
  workAsSalesforce,
  workAsSlack,
} from './support/provider-wires.ts'

interface Scene extends AsyncDisposable {
  readonly loopback: LoopbackProvider
  readonly database: TestDatabase
  readonly house: ConnectionHouse
  readonly ada: Person
}

async function scene(): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  const database = stack.use(await testDatabase())
  const house = stack.use(
    await openHouse({ database: database.database, sandbox: loopback, reach: [loopback.url] }),
  )
  const ada = await house.person()
  return { loopback, database, house, ada, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

/** Goes to the provider and comes back with a code; where there is a nonce, the code carries it. */
async function consent(
  person: Person,
  provider: string,
  { code, wish }: { code?: string; wish?: object } = {},
): Promise<{ url: URL; reply: Reply }> {
  const browser = person.browser()
  const url = await browser.connect(provider, wish)
  const back = new URL(url.searchParams.get('redirect_uri') ?? '')
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  back.searchParams.set('code', code ?? url.searchParams.get('nonce') ?? 'code-1')
  return { url, reply: await browser.open(back) }
}

async function connect(person: Person, provider: string, options: { code?: string; wish?: object } = {}) {
  const { url, reply } = await consent(person, provider, options)
  return { url, connection: await connected(person, reply) }
}

/** What a person is told when it did not work. */
function problem(reply: Reply): string | null {
  return new URL(reply.headers.get('location') ?? '', 'http://atom.test').searchParams.get('problem')
}

function refresh(person: Person, id: string): Promise<Reply> {
  return person.call('POST', `/v1/connections/${id}/refresh`)
}

function bodies(it: Scene, host: Host, path: string): URLSearchParams[] {
  return it.loopback.requests(host, path).map(({ body }) => new URLSearchParams(body))
}

test('[CN52] Microsoft: the tenant of the id_token is kept with the connection, and refreshes go to it with their scopes', async () => {
  await using it = await scene()
  workAsMicrosoft(it.loopback)
  const { url, connection } = await connect(it.ada, 'microsoft')
  assert.match(url.pathname, /\/common\/oauth2\/v2\.0\/authorize$/)
  assert.equal(url.searchParams.get('code_challenge_method'), 'S256')
  assert.deepEqual(
    [connection.status, connection.identity.id, connection.identity.email, connection.missingScopes],
    ['active', `${tenant}.aaaaaaaa-0000-0000-0000-000000000001`, 'grace@contoso.example', []],
  )
  assert.deepEqual(connection.scopes, ['User.Read', 'profile', 'openid', 'email'])
  assert.equal((await refresh(it.ada, connection.id)).status, 200)
  const [sent] = bodies(it, 'login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`)
  assert.equal(sent?.get('refresh_token'), 'microsoft-refresh-token-1')
  assert.deepEqual(sent?.get('scope')?.split(' ').sort(), [
    'User.Read',
    'email',
    'offline_access',
    'openid',
    'profile',
  ])
})

test('[CN52] Microsoft: an id_token whose issuer is not that of its tenant connects nothing', async () => {
  await using it = await scene()
  const other = '99999999-2222-3333-4444-555555555555'
  for (const claims of [
    { iss: `https://login.microsoftonline.com/${other}/v2.0` },
    { tid: 'evil.example/x', iss: 'https://login.microsoftonline.com/evil.example/x/v2.0' },
    { oid: undefined },
    { tid: undefined },
  ]) {
    workAsMicrosoft(it.loopback, claims)
    assert.equal(
      problem((await consent(it.ada, 'microsoft')).reply),
      'provider_refused',
      JSON.stringify(claims),
    )
  }
})

test('[CN52] Microsoft: a tenant that the person names is gone to; what is none is refused by name', async () => {
  await using it = await scene()
  workAsMicrosoft(it.loopback)
  const { url } = await connect(it.ada, 'microsoft', { wish: { particulars: { tenant } } })
  assert.ok(url.pathname.endsWith(`/${tenant}/oauth2/v2.0/authorize`))
  for (const particulars of [{ tenant: '../evil' }, { tenant: 'x' }, { login: 'login.salesforce.com' }]) {
    const reply = await it.ada.call('POST', '/v1/connections', {
      json: { provider: 'microsoft', particulars },
    })
    assert.equal(reply.body.code, 'validation_failed')
    assert.equal(reply.body.errors[0].pointer, `/particulars/${Object.keys(particulars)[0]}`)
  }
})

test('[CN52] Microsoft: disconnecting says that Microsoft cannot end the access, and where the person can', async () => {
  await using it = await scene()
  workAsMicrosoft(it.loopback)
  const { connection } = await connect(it.ada, 'microsoft')
  const before = it.loopback.seen.length
  const receipt = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
  assert.equal(receipt.body.revocation, 'unsupported')
  assert.match(receipt.body.detail, /myapps\.microsoft\.com/)
  assert.equal(it.loopback.seen.length, before)
})

test('[CN53] Slack: no PKCE, scopes with commas, the bot’s token is the connection’s, the person is who installed it', async () => {
  await using it = await scene()
  workAsSlack(it.loopback)
  const { url, connection } = await connect(it.ada, 'slack')
  assert.equal(url.searchParams.get('scope'), 'channels:read,chat:write,users:read,team:read')
  assert.equal(url.searchParams.has('code_challenge'), false)
  assert.equal(bodies(it, 'slack.com', '/api/oauth.v2.access')[0]?.has('code_verifier'), false)
  assert.deepEqual(
    [connection.status, connection.identity.id, connection.identity.name, connection.scopes.length],
    ['active', 'T0TEAM.U0ADA', 'Ada Lovelace', 4],
  )
  const answer = await it.ada.call('GET', `/v1/connections/${connection.id}/proxy/auth.test`)
  assert.deepEqual(answer.body, { ok: true, user_id: 'U0BOT' })
})

test('[CN53] Slack: `ok: false` with status 200 is the error that it names, at the code as at the refresh', async () => {
  await using it = await scene()
  workAsSlack(it.loopback)
  assert.equal(problem((await consent(it.ada, 'slack', { code: 'used-code' })).reply), 'provider_refused')
  const { connection } = await connect(it.ada, 'slack')
  assert.equal((await refresh(it.ada, connection.id)).status, 200)
  assert.equal((await refresh(it.ada, connection.id)).status, 200)
  it.loopback.on('slack.com', '/api/oauth.v2.access', () => ({
    body: { ok: false, error: 'bad_client_secret' },
  }))
  assert.equal((await refresh(it.ada, connection.id)).body.code, 'provider_misconfigured')
  it.loopback.on('slack.com', '/api/oauth.v2.access', () => ({
    body: { ok: false, error: 'invalid_refresh_token' },
  }))
  assert.equal((await refresh(it.ada, connection.id)).body.code, 'connection_needs_reconnect')
})

test('[CN53] Slack: the token of a team is ended with the last connection that lives from it', async () => {
  await using it = await scene()
  workAsSlack(it.loopback)
  const { connection: first } = await connect(it.ada, 'slack')
  const { connection: second } = await connect(it.ada, 'slack', { code: 'bert' })
  assert.notEqual(first.id, second.id)
  const kept = await it.ada.call('DELETE', `/v1/connections/${first.id}`)
  assert.equal(kept.body.revocation, 'kept')
  // What Ada's consent gave for her alone ends with her connection.
  const ended = it.loopback
    .requests('slack.com', '/api/auth.revoke')
    .map(({ headers }) => headers.authorization)
  assert.deepEqual(ended, ['Bearer xoxe.xoxp-person'])
  const last = await it.ada.call('DELETE', `/v1/connections/${second.id}`)
  assert.equal(last.body.revocation, 'revoked')
})

test('[CN54] Asana: the refresh token of the consent is kept through refreshes, and is what is revoked', async () => {
  await using it = await scene()
  workAsAsana(it.loopback)
  const { url, connection } = await connect(it.ada, 'asana')
  assert.equal(url.searchParams.get('code_challenge_method'), 'S256')
  assert.equal(connection.identity.id, '1200')
  for (let n = 0; n < 2; n++) assert.equal((await refresh(it.ada, connection.id)).status, 200)
  const receipt = await it.ada.call('DELETE', `/v1/connections/${connection.id}`)
  assert.equal(receipt.body.revocation, 'revoked')
  const [sent] = bodies(it, 'app.asana.com', '/-/oauth_revoke')
  assert.equal(sent?.get('token'), 'asana-refresh-token')
  assert.equal(sent?.get('client_secret'), it.loopback.apps.asana.clientSecret)
})

test('[CN55] Notion: Basic with the secret as it is, JSON, `owner=user`, no scopes; the person and their workspace', async () => {
  await using it = await scene()
  workAsNotion(it.loopback)
  const { url, connection } = await connect(it.ada, 'notion')
  assert.deepEqual([...url.searchParams.keys()].sort(), [
    'client_id',
    'owner',
    'redirect_uri',
    'response_type',
    'state',
  ])
  const [sent] = it.loopback.requests('api.notion.com', '/v1/oauth/token')
  assert.deepEqual(JSON.parse(sent?.body ?? ''), {
    grant_type: 'authorization_code',
    code: 'code-1',
    redirect_uri: url.searchParams.get('redirect_uri'),
  })
  assert.deepEqual(connection.identity, {
    id: 'f0000000-0000-0000-0000-000000000001.e0000000-0000-0000-0000-000000000001',
    name: 'Ada Lovelace',
    handle: 'Atom Labs',
    email: 'ada@example.org',
  })
  assert.equal(connection.expiresAt, null)
})

test('[CN55] Notion: a token without a lifetime is renewed when the API refuses it, each time with the newest of the pair', async () => {
  await using it = await scene()
  workAsNotion(it.loopback)
  const { connection } = await connect(it.ada, 'notion')
  for (let n = 0; n < 2; n++) {
    // The first refusal is not about the token's age: Notion has ended it.
    let refusals = 0
    it.loopback.on('api.notion.com', '/v1/search', () =>
      refusals++ === 0 ? { status: 401, body: { code: 'unauthorized' } } : { body: { results: [] } },
    )
    const reply = await it.ada.call('POST', `/v1/connections/${connection.id}/proxy/v1/search`, { json: {} })
    assert.equal(reply.status, 200)
  }
  const refreshes = it.loopback
    .requests('api.notion.com', '/v1/oauth/token')
    .slice(1)
    .map(({ body }) => JSON.parse(body).refresh_token)
  assert.deepEqual(refreshes, ['nrt_1', 'nrt_2'])
  assert.equal(
    it.loopback.requests('api.notion.com', '/v1/search').at(-1)?.headers['notion-version'],
    '2026-03-11',
  )
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
})

test('[CN55] Notion: an old grant with `refresh_token: null` connects all the same', async () => {
  await using it = await scene()
  workAsNotion(it.loopback, { refreshable: false })
  const { connection } = await connect(it.ada, 'notion')
  assert.equal(connection.status, 'active')
  assert.equal((await refresh(it.ada, connection.id)).status, 200)
})

test('[CN56] Salesforce: the API is at the instance that the last token answer named, also after a move', async () => {
  await using it = await scene()
  const org = workAsSalesforce(it.loopback, 'https://acme.my.salesforce.com')
  const { url, connection } = await connect(it.ada, 'salesforce')
  assert.ok(url.href.startsWith(`${it.loopback.url}/login.salesforce.com/services/oauth2/authorize?`))
  assert.deepEqual(
    [connection.identity.id, connection.expiresAt, connection.missingScopes],
    ['00D1.0051', null, []],
  )
  const path = `/v1/connections/${connection.id}/proxy/services/data/v62.0/limits`
  assert.deepEqual((await it.ada.call('GET', path)).body, { host: 'acme.my.salesforce.com' })
  org.move('https://acme-moved.my.salesforce.com')
  assert.deepEqual((await it.ada.call('GET', path)).body, { host: 'acme-moved.my.salesforce.com' })
  assert.deepEqual((await it.ada.call('GET', path)).body, { host: 'acme-moved.my.salesforce.com' })
  const refreshes = bodies(it, 'login.salesforce.com', '/services/oauth2/token').slice(1)
  assert.deepEqual(
    refreshes.map((sent) => sent.get('refresh_token')),
    ['5Aep.1'],
  )
  const elsewhere = await it.ada.call(
    'GET',
    `/v1/connections/${connection.id}/proxy/acme.my.salesforce.com/services/data/v62.0/limits`,
  )
  assert.equal(elsewhere.body.code, 'proxy_target_refused')
})

test('[CN56] Salesforce: an organisation’s own login host serves the whole life of a connection; no other host can be named', async () => {
  await using it = await scene()
  workAsSalesforce(it.loopback, 'https://acme.my.salesforce.com')
  const wish = { particulars: { login: 'acme.my.salesforce.com' } }
  const { url, connection } = await connect(it.ada, 'salesforce', { wish })
  assert.ok(url.href.startsWith(`${it.loopback.url}/acme.my.salesforce.com/`))
  assert.equal((await refresh(it.ada, connection.id)).status, 200)
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
  assert.equal(it.loopback.requests('acme.my.salesforce.com', '/services/oauth2/revoke').length, 1)
  for (const login of [
    'evil.example',
    'acme.lightning.force.com',
    'acme.my.salesforce.com.evil.example',
    'evil.example/.my.salesforce.com',
    'user@acme.my.salesforce.com',
    'acme.my.salesforce.com:8443',
    '.my.salesforce.com',
  ]) {
    const reply = await it.ada.call('POST', '/v1/connections', {
      json: { provider: 'salesforce', particulars: { login } },
    })
    assert.equal(reply.body.code, 'validation_failed', login)
  }
})

test('[CN56] Salesforce: an instance that is none of Salesforce’s connects nothing and receives nothing', async () => {
  await using it = await scene()
  for (const instance of [
    'https://evil.example',
    'http://acme.my.salesforce.com',
    'https://acme.my.salesforce.com.evil.example',
    'https://evil.example/.salesforce.com',
    'https://x@acme.salesforce.com',
    '',
  ]) {
    workAsSalesforce(it.loopback, instance)
    assert.equal(problem((await consent(it.ada, 'salesforce')).reply), 'provider_refused', instance)
  }
})

test('[CN57] HubSpot: only the endpoints of 2026-03 are called, and introspection tells the person and the hub', async () => {
  await using it = await scene()
  workAsHubSpot(it.loopback)
  const { connection } = await connect(it.ada, 'hubspot')
  assert.deepEqual(connection.identity, {
    id: '4711.1',
    name: 'ada@example.org',
    handle: 'acme.example',
    email: 'ada@example.org',
  })
  assert.equal((await refresh(it.ada, connection.id)).status, 200)
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body.revocation, 'revoked')
  const paths = it.loopback.seen.filter(({ host }) => host === 'api.hubapi.com').map(({ path }) => path)
  assert.ok(paths.length >= 4)
  assert.deepEqual(
    paths.filter((path) => !path.startsWith('/oauth/2026-03/')),
    [],
  )
})

test('[CN57] HubSpot: the refresh token that a hub’s people share is revoked with the last of them', async () => {
  await using it = await scene()
  workAsHubSpot(it.loopback)
  const { connection: first } = await connect(it.ada, 'hubspot')
  const { connection: second } = await connect(it.ada, 'hubspot', { code: 'bert' })
  assert.equal((await it.ada.call('DELETE', `/v1/connections/${first.id}`)).body.revocation, 'kept')
  assert.equal((await refresh(it.ada, second.id)).status, 200)
  const last = await it.ada.call('DELETE', `/v1/connections/${second.id}`)
  assert.equal(last.body.revocation, 'revoked')
  assert.match(last.body.detail, /30 minutes/)
  const revocations = bodies(it, 'api.hubapi.com', '/oauth/2026-03/token/revoke')
  assert.deepEqual(
    revocations.map((sent) => sent.get('token_type_hint')),
    ['refresh_token'],
  )
})

test('[CN57] HubSpot: an error in the old form ends the connection like one in the new', async () => {
  await using it = await scene()
  for (const body of [{ status: 'BAD_REFRESH_TOKEN', message: 'no' }, { error: 'invalid_grant' }]) {
    workAsHubSpot(it.loopback)
    const { connection } = await connect(it.ada, 'hubspot')
    it.loopback.on('api.hubapi.com', '/oauth/2026-03/token', () => ({ status: 400, body }))
    assert.equal((await refresh(it.ada, connection.id)).body.code, 'connection_needs_reconnect')
  }
})

test('[CN58] what differs from connection to connection is stored with the credential, and holds no secret', async () => {
  await using it = await scene()
  workAsSalesforce(it.loopback, 'https://acme.my.salesforce.com')
  workAsSlack(it.loopback)
  await connect(it.ada, 'salesforce')
  await connect(it.ada, 'slack')
  const rows = await it.database.database.query<{ particulars: object }>(
    sql`select particulars from credentials order by connection_id`,
  )
  assert.deepEqual(
    rows.map(({ particulars }) => particulars),
    [
      { login: 'login.salesforce.com', instance: 'acme.my.salesforce.com' },
      { team: 'T0TEAM', person: 'U0ADA' },
    ],
  )
})

test('[CN59] a provider without a stand-in is not offered in the sandbox', async () => {
  await using loopback = await LoopbackProvider.start()
  await using database = await testDatabase()
  await using house = await openHouse({
    database: database.database,
    sandbox: { providers: ['github'], running: () => undefined, open: () => loopback.open() },
    reach: [loopback.url],
  })
  const ada = await house.person()
  const { items } = (await ada.call('GET', '/v1/providers')).body
  assert.deepEqual(
    items
      .filter((view: { sandboxAvailable: boolean }) => view.sandboxAvailable)
      .map((view: { id: string }) => view.id),
    ['github'],
  )
})

interface Wire {
  readonly token: readonly [Host, string]
  /** How the app proves itself there. */
  readonly proof: 'form' | 'json' | 'basic'
  readonly pkce: boolean
  readonly scope: string | null
  /** Of a token answer, besides the tokens. */
  readonly says: object
  readonly identity: readonly [Host, string, 'GET' | 'POST', object]
  readonly person: { readonly id: string; readonly name: string }
  /** Whether a refresh answers with another refresh token. */
  readonly rotates: boolean
  readonly revocation: readonly [Host, string, 'access' | 'refresh'] | undefined
}

/** The further providers, each as its own documentation shows it. */
const wires: Readonly<Record<string, Wire>> = {
  linear: {
    token: ['api.linear.app', '/oauth/token'],
    proof: 'form',
    pkce: true,
    scope: 'read,write',
    says: { scope: ['read', 'write'], expires_in: 86_399 },
    identity: [
      'api.linear.app',
      '/graphql',
      'POST',
      { data: { viewer: { id: 'lin-1', name: 'Ada Lovelace', email: 'ada@example.org', avatarUrl: null } } },
    ],
    person: { id: 'lin-1', name: 'Ada Lovelace' },
    rotates: true,
    revocation: ['api.linear.app', '/oauth/revoke', 'refresh'],
  },
  jira: {
    token: ['auth.atlassian.com', '/oauth/token'],
    proof: 'json',
    pkce: false,
    scope: 'read:me read:jira-work write:jira-work offline_access',
    says: { scope: 'read:me read:jira-work write:jira-work', expires_in: 3600 },
    identity: ['api.atlassian.com', '/me', 'GET', { account_id: '557058:1', name: 'Ada Lovelace' }],
    person: { id: '557058:1', name: 'Ada Lovelace' },
    rotates: true,
    revocation: undefined,
  },
  gitlab: {
    token: ['gitlab.com', '/oauth/token'],
    proof: 'form',
    pkce: true,
    scope: 'openid profile email api',
    says: { scope: 'openid profile email api', expires_in: 7200, created_at: 1_607_635_748 },
    identity: ['gitlab.com', '/oauth/userinfo', 'GET', { sub: '42', name: 'Ada Lovelace', nickname: 'ada' }],
    person: { id: '42', name: 'Ada Lovelace' },
    rotates: true,
    revocation: ['gitlab.com', '/oauth/revoke', 'refresh'],
  },
  discord: {
    token: ['discord.com', '/api/oauth2/token'],
    proof: 'form',
    pkce: false,
    scope: 'identify email guilds',
    says: { scope: 'guilds email identify', expires_in: 604_800 },
    identity: [
      'discord.com',
      '/api/v10/users/@me',
      'GET',
      { id: '80351110224678912', username: 'ada', global_name: 'Ada Lovelace', avatar: null },
    ],
    person: { id: '80351110224678912', name: 'Ada Lovelace' },
    rotates: true,
    revocation: ['discord.com', '/api/oauth2/token/revoke', 'refresh'],
  },
  zoom: {
    token: ['zoom.us', '/oauth/token'],
    proof: 'basic',
    pkce: true,
    scope: null,
    says: { scope: 'user:read:user', expires_in: 3599, api_url: 'https://api.zoom.us' },
    identity: [
      'api.zoom.us',
      '/v2/users/me',
      'GET',
      { id: 'z8yA', first_name: 'Ada', last_name: 'Lovelace' },
    ],
    person: { id: 'z8yA', name: 'Ada Lovelace' },
    rotates: true,
    revocation: ['zoom.us', '/oauth/revoke', 'access'],
  },
  dropbox: {
    token: ['api.dropboxapi.com', '/oauth2/token'],
    proof: 'form',
    pkce: true,
    scope: 'account_info.read files.metadata.read files.content.read',
    says: { scope: 'account_info.read files.content.read files.metadata.read', expires_in: 14_400, uid: '1' },
    identity: [
      'api.dropboxapi.com',
      '/2/users/get_current_account',
      'POST',
      { account_id: 'dbid:1', name: { display_name: 'Ada Lovelace' }, email: 'ada@example.org' },
    ],
    person: { id: 'dbid:1', name: 'Ada Lovelace' },
    rotates: false,
    revocation: ['api.dropboxapi.com', '/2/auth/token/revoke', 'access'],
  },
  airtable: {
    token: ['airtable.com', '/oauth2/v1/token'],
    proof: 'basic',
    pkce: true,
    scope: 'user.email:read schema.bases:read data.records:read',
    says: {
      scope: 'data.records:read schema.bases:read user.email:read',
      expires_in: 3600,
      refresh_expires_in: 5_184_000,
    },
    identity: ['api.airtable.com', '/v0/meta/whoami', 'GET', { id: 'usr1', email: 'ada@example.org' }],
    person: { id: 'usr1', name: 'ada@example.org' },
    rotates: true,
    revocation: undefined,
  },
  box: {
    token: ['api.box.com', '/oauth2/token'],
    proof: 'form',
    pkce: false,
    scope: 'root_readwrite',
    says: { restricted_to: [], expires_in: 3600 },
    identity: [
      'api.box.com',
      '/2.0/users/me',
      'GET',
      { id: '11446498', name: 'Ada Lovelace', login: 'ada@x.org' },
    ],
    person: { id: '11446498', name: 'Ada Lovelace' },
    rotates: true,
    revocation: ['api.box.com', '/oauth2/revoke', 'refresh'],
  },
}

/** Answers as the wire says, and keeps what came with the token requests, whatever form it had. */
function speak(
  loopback: LoopbackProvider,
  id: keyof LoopbackProvider['apps'],
  wire: Wire,
): Map<string, string>[] {
  const { clientId, clientSecret } = loopback.apps[id]
  const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  const asked: Map<string, string>[] = []
  let turn = 0
  loopback.on(...wire.token, async ({ body, headers }) => {
    const json = headers['content-type']?.startsWith('application/json') === true
    const sent = new Map(json ? Object.entries(JSON.parse(body)) : new URLSearchParams(body)) as Map<
      string,
      string
    >
    asked.push(sent)
    const proven =
      wire.proof === 'basic'
        ? headers.authorization === basic && !sent.has('client_secret')
        : json === (wire.proof === 'json') && sent.get('client_secret') === clientSecret
    if (!proven) return { status: 401, body: { error: 'invalid_client' } }
    const first = sent.get('grant_type') === 'authorization_code'
    const current = wire.rotates ? `${id}-refresh-${turn}` : `${id}-refresh-1`
    if (!first && sent.get('refresh_token') !== current)
      return { status: 400, body: { error: 'invalid_grant' } }
    turn += 1
    return {
      body: {
        access_token: `${id}-access-${turn}`,
        token_type: 'bearer',
        ...wire.says,
        ...((first || wire.rotates) && { refresh_token: `${id}-refresh-${turn}` }),
        ...(first &&
          id === 'gitlab' && {
            id_token: await loopback.idToken({
              iss: 'https://gitlab.com',
              aud: clientId,
              sub: '42',
              nonce: sent.get('code') ?? '',
            }),
          }),
      },
    }
  })
  const [host, path, method, person] = wire.identity
  loopback.on(host, path, (seen) =>
    seen.method === method && seen.headers.authorization === `Bearer ${id}-access-${turn}`
      ? { body: person }
      : { status: 401, body: {} },
  )
  if (wire.revocation === undefined) return asked
  const [revokeHost, revokePath, which] = wire.revocation
  loopback.on(revokeHost, revokePath, ({ body, headers }) => {
    const token = `${id}-${which}-${which === 'refresh' && !wire.rotates ? 1 : turn}`
    const named = new URLSearchParams(body).get('token') ?? headers.authorization?.replace('Bearer ', '')
    return { status: named === token ? 200 : 400, body: {} }
  })
  return asked
}

for (const [id, wire] of Object.entries(wires)) {
  test(`[CN61] ${id}: from consent through two refreshes to the end, as its documentation says`, async () => {
    await using it = await scene()
    it.loopback.on('gitlab.com', '/oauth/discovery/keys', async () => ({
      body: { keys: [await it.loopback.publicKey()] },
    }))
    const asked = speak(it.loopback, id as keyof LoopbackProvider['apps'], wire)
    const { url, connection } = await connect(it.ada, id)
    assert.equal(url.searchParams.get('scope'), wire.scope)
    assert.equal(url.searchParams.get('code_challenge_method'), wire.pkce ? 'S256' : null)
    assert.equal(asked[0]?.has('code_verifier'), wire.pkce)
    assert.deepEqual(
      [connection.status, connection.identity.id, connection.identity.name, connection.missingScopes],
      ['active', wire.person.id, wire.person.name, []],
    )
    for (let n = 0; n < 2; n++) assert.equal((await refresh(it.ada, connection.id)).status, 200)
    assert.deepEqual(
      asked.slice(1).map((sent) => sent.get('refresh_token')),
      [`${id}-refresh-1`, wire.rotates ? `${id}-refresh-2` : `${id}-refresh-1`],
    )
    const receipt = (await it.ada.call('DELETE', `/v1/connections/${connection.id}`)).body
    assert.equal(
      receipt.revocation,
      wire.revocation === undefined ? 'unsupported' : 'revoked',
      receipt.detail,
    )
  })
}
