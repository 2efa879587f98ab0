import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import type { Role } from '@atom/contract/accounts.ts'
import { startSandbox } from '@atom/sandbox/sandbox.ts'
import { decodeProtectedHeader, jwtVerify } from 'jose'
import sql from 'sql-template-tag'
import type { SandboxOffer } from '#connections/apps.ts'
import { sandboxProviders } from '../src/local-sandbox.ts'
import { type ConnectionHouse, openHouse, type Person, type Reply } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { type Host, LoopbackProvider, type Said, type Seen } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { tenant } from './support/provider-wires.ts'

interface Scene extends AsyncDisposable {
  readonly loopback: LoopbackProvider
  readonly database: TestDatabase
  readonly clock: TestClock
  readonly house: ConnectionHouse
  readonly person: (role?: Role) => Promise<Person>
}

async function scene({ apps = true, later }: { apps?: boolean; later?: Later } = {}): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  const database = stack.use(await testDatabase())
  const clock = new TestClock()
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: later === undefined ? (apps ? loopback : undefined) : openedLater(loopback, later),
      reach: [loopback.url],
      detour: apps ? {} : loopback.origins,
      clock,
    }),
  )
  return {
    loopback,
    database,
    clock,
    house,
    person: (role) => house.person(role),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  }
}

/** Whether the sandbox has been opened. */
interface Later {
  opened: boolean
}

function openedLater(loopback: LoopbackProvider, later: Later): SandboxOffer {
  return {
    providers: loopback.providers,
    running: () => (later.opened ? loopback.running() : undefined),
    open: () => loopback.open(),
  }
}

function connect(person: Person, wish: object): Promise<Reply> {
  return person.call('POST', '/v1/connections', { json: wish })
}

async function connected(person: Person, wish: object) {
  const reply = await connect(person, wish)
  assert.equal(reply.status, 201, reply.text)
  return reply.body.connection
}

/** The form of each token request so far. */
function sent(it: Scene, host: Host, path: string): Record<string, string>[] {
  return it.loopback.requests(host, path).map(({ body }) => Object.fromEntries(new URLSearchParams(body)))
}

/** Whether any secret has come out: in an answer, a log line, or a table. */
async function seenOutside(it: Scene, ...secrets: string[]): Promise<string[]> {
  const rows = await it.database.database.query<{ row: string }>(sql`
    select c::text as row from connections c union all select k::text from credentials k
    union all select f::text from connection_flows f`)
  const all = [...it.house.lines, ...it.house.answers, ...rows.map(({ row }) => row)]
  return secrets.filter((secret) => {
    const forms = [secret, JSON.stringify(secret).slice(1, -1), Buffer.from(secret).toString('hex')]
    return all.some((text) => forms.some((form) => text.includes(form)))
  })
}

test('[CN146] a key connects without an app, is attached as its provider wants it, and passes the proxy', async () => {
  await using it = await scene({ apps: false })
  const ada = await it.person('member')
  const echo = ({ headers }: Seen): Said => ({
    headers: {
      'x-echo': String(headers.authorization ?? headers['private-token'] ?? headers['x-figma-token']),
    },
  })
  it.loopback.workAsGitHub()
  it.loopback.on('gitlab.com', '/api/v4/user', () => ({ body: { id: 7, username: 'ada', name: 'Ada' } }))
  it.loopback.on('api.linear.app', '/graphql', () => ({
    body: { data: { viewer: { id: 'l1', name: 'Ada' } } },
  }))
  it.loopback.on('acme.atlassian.net', '/rest/api/3/myself', () => ({
    body: { accountId: 'a1', displayName: 'Ada', emailAddress: 'ada@example.org' },
  }))
  it.loopback.on('slack.com', '/api/auth.test', () => ({
    body: { ok: true, team: 'Atom Labs', team_id: 'T0TEAM', user: 'atom', user_id: 'U0BOT' },
  }))
  it.loopback.on('api.hubapi.com', '/account-info/v3/details', () => ({
    body: { portalId: 62515, uiDomain: 'app.hubspot.com' },
  }))
  const basic = Buffer.from('ada@example.org:key-of-jira').toString('base64')
  const zendesk = Buffer.from('ada@example.org/token:key-of-zendesk').toString('base64')
  it.loopback.on('api.figma.com', '/v1/me', () => ({ body: { id: 'f1', handle: 'Ada' } }))
  it.loopback.on('acme.zendesk.com', '/api/v2/users/me.json', () => ({
    body: { user: { id: 35, name: 'Ada' } },
  }))
  const cases: readonly {
    provider: string
    host: Host
    path: string
    wish?: object
    as: string
    id: string
  }[] = [
    { provider: 'github', host: 'api.github.com', path: '/zen', as: 'Bearer key-of-github', id: '4711' },
    { provider: 'gitlab', host: 'gitlab.com', path: '/api/v4/zen', as: 'key-of-gitlab', id: '7' },
    { provider: 'linear', host: 'api.linear.app', path: '/zen', as: 'key-of-linear', id: 'l1' },
    {
      provider: 'jira',
      host: 'acme.atlassian.net',
      path: '/zen',
      wish: { particulars: { site: 'acme.atlassian.net' }, email: 'ada@example.org' },
      as: `Basic ${basic}`,
      id: 'a1',
    },
    {
      provider: 'slack',
      host: 'slack.com',
      path: '/api/zen',
      as: 'Bearer key-of-slack',
      id: 'T0TEAM.U0BOT',
    },
    {
      provider: 'hubspot',
      host: 'api.hubapi.com',
      path: '/zen',
      as: 'Bearer key-of-hubspot',
      id: '62515.app',
    },
    { provider: 'figma', host: 'api.figma.com', path: '/zen', as: 'key-of-figma', id: 'f1' },
    {
      provider: 'zendesk',
      host: 'acme.zendesk.com',
      path: '/zen',
      wish: { particulars: { subdomain: 'acme' }, email: 'ada@example.org' },
      as: `Basic ${zendesk}`,
      id: 'acme.35',
    },
  ]
  for (const { provider, host, path, wish = {}, as, id } of cases) {
    const { email, ...rest } = wish as { email?: string }
    const key = `key-of-${provider}`
    const connection = await connected(ada, {
      provider,
      flow: 'api_key',
      credential: { key, ...(email && { email }) },
      ...rest,
    })
    assert.deepEqual(
      [connection.flow, connection.status, connection.sandbox, connection.expiresAt, connection.identity.id],
      ['api_key', 'active', false, null, id],
      provider,
    )
    it.loopback.on(host, path, (seen) => ({ ...echo(seen), body: { bare: key, sent: as } }))
    const answer = await ada.call('GET', `/v1/connections/${connection.id}/proxy/${host}${path}`)
    assert.equal(answer.status, 200, answer.text)
    const [asked] = it.loopback.requests(host, path)
    const own = asked?.headers['private-token'] ?? asked?.headers['x-figma-token']
    assert.equal(asked?.headers.authorization ?? own, as, provider)
    assert.equal(answer.headers.get('x-echo'), null, provider)
    assert.match(answer.text, /^\{"bare":"\*+","sent":"[^"]*\*"\}$/, provider)
    const here = `/v1/connections/${connection.id}`
    assert.equal((await ada.call('POST', `${here}/refresh`)).status, 200, provider)
    const receipt = (await ada.call('DELETE', here)).body
    assert.equal(receipt.revocation, 'unsupported', provider)
    assert.match(receipt.detail, /^Atom has destroyed its copy of the key\. .* https:\/\//, provider)
    assert.deepEqual(
      receipt.remains.map(({ what }: { what: string }) => what.replace(/ at .*,/, ' at …,')),
      ['The key at …, until somebody removes it there.'],
    )
  }
  assert.deepEqual(
    await seenOutside(it, ...cases.map(({ provider }) => `key-of-${provider}`), basic, zendesk),
    [],
  )
})

test('[CN147] a key that the provider stops accepting needs a reconnect, and is not asked for twice', async () => {
  await using it = await scene({ apps: false })
  const ada = await it.person()
  it.loopback.workAsGitHub()
  const wish = { provider: 'github', flow: 'api_key', credential: { key: 'key-of-github' } }
  const { id } = await connected(ada, wish)
  const gone = { status: 401, body: { message: 'Bad credentials' } }
  it.loopback.on('api.github.com', '/user', () => gone)
  const refused = await ada.call('GET', `/v1/connections/${id}/proxy/user`)
  assert.deepEqual([refused.status, refused.body.code], [409, 'connection_needs_reconnect'])
  assert.match((await ada.call('GET', `/v1/connections/${id}`)).body.reason, /revoked there/)
  const unknown = await connect(ada, { ...wish, credential: { key: 'another-key' } })
  assert.equal(unknown.body.code, 'provider_refused')
  it.loopback.workAsGitHub()
  assert.equal((await connected(ada, { ...wish, credential: { key: 'a-newer-key' } })).id, id)
})

test('[CN161] a key is renewed where it belongs: with what was said of it then, and never in a sandbox opened since', async () => {
  const later = { opened: false }
  await using it = await scene({ apps: false, later })
  const ada = await it.person('owner')
  it.loopback.on('acme.atlassian.net', '/rest/api/3/myself', () => ({
    body: { accountId: 'a1', displayName: 'Ada', emailAddress: 'ada@example.org' },
  }))
  it.loopback.workAsGitHub()
  const credential = { key: 'key-of-jira', email: 'ada@example.org' }
  const jira = await connected(ada, {
    provider: 'jira',
    flow: 'api_key',
    particulars: { site: 'acme.atlassian.net' },
    credential,
  })
  const github = await connected(ada, {
    provider: 'github',
    flow: 'api_key',
    credential: { key: 'key-of-github' },
  })
  later.opened = true
  const again = { provider: 'jira', connectionId: jira.id, credential }
  assert.deepEqual([(await connected(ada, again)).id, jira.sandbox], [jira.id, false])
  const items = async () => (await ada.call('GET', '/v1/connections')).body.items as { sandbox: boolean }[]
  assert.deepEqual(
    (await items()).map(({ sandbox }) => sandbox),
    [false, false],
  )

  // By consent instead, which needs an app of the real provider.
  const consent = { provider: 'github', flow: 'authorization_code', connectionId: github.id }
  assert.equal((await connect(ada, consent)).body.code, 'provider_not_configured')
  const app = { json: { clientId: 'own-app', clientSecret: 'own-app-secret-0123456789' } }
  assert.equal((await ada.call('PUT', '/v1/providers/github/app', app)).status, 200)
  const { authorizeUrl } = (await connect(ada, consent)).body
  const asked = new URL(authorizeUrl)
  assert.deepEqual(
    [asked.origin, asked.searchParams.get('client_id'), asked.searchParams.get('scope')],
    ['https://github.com', 'own-app', 'read:user user:email repo'],
  )
})

test('[CN148] a flow that is not offered, and a credential that does not fit, are refused by the place', async () => {
  await using it = await scene({ apps: false })
  const ada = await it.person()
  const jira = { provider: 'jira', flow: 'api_key', particulars: { site: 'acme.atlassian.net' } }
  const google = { provider: 'google', flow: 'jwt_bearer' }
  const file = (more: object) => ({ keyFile: JSON.stringify({ type: 'service_account', ...more }) })
  const cases: readonly (readonly [object, string])[] = [
    [{ provider: 'github', flow: 'jwt_bearer' }, '/flow'],
    [{ provider: 'linear', flow: 'app_installation' }, '/flow'],
    [{ provider: 'github', credential: { key: 'a-key-of-mine' } }, '/credential'],
    [{ provider: 'github', flow: 'api_key' }, '/credential/key'],
    [{ provider: 'github', flow: 'api_key', credential: { key: 'two\r\nlines-of-key' } }, '/credential/key'],
    [{ provider: 'github', flow: 'api_key', credential: { key: 'a-key-of-mine', x: 'y' } }, '/credential/x'],
    [{ ...jira, credential: { key: 'a-key-of-mine' } }, '/credential/email'],
    [{ ...jira, credential: { key: 'a-key-of-mine', email: 'a:b@example.org' } }, '/credential/email'],
    [{ ...jira, particulars: {}, credential: { key: 'a-key-of-mine', email: 'a@b.c' } }, '/particulars/site'],
    [{ ...jira, particulars: { site: 'evil.example' } }, '/particulars/site'],
    [{ ...google, credential: { keyFile: 'no json' } }, '/credential/keyFile'],
    [{ ...google, credential: { keyFile: '{"type":"authorized_user"}' } }, '/credential/keyFile'],
    [
      { ...google, credential: file({ client_email: 'a@b.c', private_key: 'no key' }) },
      '/credential/keyFile',
    ],
    [{ ...google, credential: file({ client_email: 'a@b.c', private_key: ecKey }) }, '/credential/keyFile'],
  ]
  for (const [wish, pointer] of cases) {
    const reply = await connect(ada, wish)
    assert.deepEqual(
      [reply.status, reply.body.code, reply.body.errors?.[0]?.pointer],
      [400, 'validation_failed', pointer],
      JSON.stringify(wish),
    )
  }
  assert.equal(it.loopback.seen.length, 0)
  assert.deepEqual(await seenOutside(it, 'a-key-of-mine', ecKey), [])
})

const ecKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()

test('[CN149] in the app’s own name only an operator connects; a new token is asked for when the old one ends', async () => {
  await using it = await scene()
  const admin = await it.person('admin')
  const wish = { provider: 'microsoft', flow: 'client_credentials', particulars: { tenant } }
  let tokens = 0
  it.loopback.on('login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`, () => ({
    // RFC 6749 4.4.3 wants none; who gives one all the same is not believed.
    body: {
      token_type: 'Bearer',
      expires_in: 3599,
      access_token: `app-token-${++tokens}`,
      refresh_token: 'not-to-be-used',
    },
  }))
  it.loopback.on('graph.microsoft.com', '/v1.0/organization', () => ({
    body: { value: [{ id: tenant, displayName: 'Contoso' }] },
  }))
  const used: (string | undefined)[] = []
  it.loopback.on('graph.microsoft.com', '/v1.0/users', ({ headers }) => {
    used.push(headers.authorization)
    return { body: {} }
  })
  const member = await it.person('member')
  assert.equal((await connect(member, wish)).body.code, 'forbidden')
  const nowhere = await connect(admin, { ...wish, particulars: { tenant: 'common' } })
  assert.equal(nowhere.body.errors?.[0]?.pointer, '/particulars/tenant')
  assert.equal(it.loopback.seen.length, 0)

  const connection = await connected(admin, wish)
  assert.deepEqual(
    [connection.status, connection.identity.name, connection.identity.id, connection.scopes],
    ['active', 'Contoso', `${tenant}.app`, ['https://graph.microsoft.com/.default']],
  )
  const path = `/v1/connections/${connection.id}`
  const first = sent(it, 'login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`)
  assert.deepEqual(first, [
    {
      grant_type: 'client_credentials',
      scope: 'https://graph.microsoft.com/.default',
      client_id: it.loopback.apps.microsoft.clientId,
      client_secret: it.loopback.apps.microsoft.clientSecret,
    },
  ])
  it.clock.pass(3600_000)
  const callers = await Promise.all(
    Array.from({ length: 20 }, () => admin.call('GET', `${path}/proxy/graph.microsoft.com/v1.0/users`)),
  )
  assert.deepEqual(new Set(callers.map(({ status }) => status)), new Set([200]))
  assert.deepEqual([used.length, new Set(used)], [20, new Set(['Bearer app-token-2'])])
  const again = sent(it, 'login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`)
  assert.deepEqual(again, [first[0], first[0]])

  it.loopback.on('login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`, () => ({
    status: 401,
    body: { error: 'invalid_client', error_description: 'AADSTS7000222' },
  }))
  assert.equal((await admin.call('POST', `${path}/refresh`)).body.code, 'provider_misconfigured')
  const blamed = (await admin.call('GET', path)).body
  assert.deepEqual([blamed.status, blamed.remedy?.whose], ['degraded', 'operator'])
  it.loopback.on('graph.microsoft.com', '/v1.0/organization', () => ({ status: 403, body: {} }))
  const receipt = (await admin.call('DELETE', path)).body
  assert.equal(receipt.revocation, 'unsupported')
  assert.match(receipt.detail, /administrator/)
})

test('[CN150] Google: a service account connects by its key file alone, and signs anew for each token', async () => {
  await using it = await scene({ apps: false })
  const ada = await it.person('member')
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const keyFile = JSON.stringify({
    type: 'service_account',
    client_email: 'atom@project.iam.gserviceaccount.com',
    private_key_id: 'key-1',
    private_key: pem,
  })
  it.loopback.workAsGoogle(() => ({ refresh_token: undefined, id_token: undefined }))
  const credential = { keyFile, person: 'grace@example.org' }
  const calendar = 'https://www.googleapis.com/auth/calendar.events'
  const connection = await connected(ada, {
    provider: 'google',
    flow: 'jwt_bearer',
    scopes: [calendar],
    credential,
  })
  assert.deepEqual([connection.status, connection.identity.email], ['active', 'grace@example.org'])
  assert.equal((await ada.call('POST', `/v1/connections/${connection.id}/refresh`)).status, 200)

  const requests = sent(it, 'oauth2.googleapis.com', '/token')
  assert.equal(requests.length, 2)
  const ids = new Set<unknown>()
  for (const { assertion = '', ...others } of requests) {
    assert.deepEqual(others, { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer' })
    assert.deepEqual(decodeProtectedHeader(assertion), { alg: 'RS256', typ: 'JWT', kid: 'key-1' })
    const { payload } = await jwtVerify(assertion, publicKey, {
      issuer: 'atom@project.iam.gserviceaccount.com',
      subject: 'grace@example.org',
      audience: 'https://oauth2.googleapis.com/token',
      maxTokenAge: '1h',
      currentDate: it.clock.now(),
    })
    assert.equal(payload['scope'], `openid email profile ${calendar}`)
    assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 3600)
    ids.add(payload.jti)
  }
  assert.equal(ids.size, 2)
  const line = pem.split('\n')[3] ?? ''
  assert.ok(line.length > 60)
  assert.deepEqual(await seenOutside(it, line, ...requests.map(({ assertion }) => assertion ?? '')), [])

  it.loopback.on('oauth2.googleapis.com', '/token', () => ({
    status: 400,
    body: { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' },
  }))
  const refused = await ada.call('POST', `/v1/connections/${connection.id}/refresh`)
  assert.equal(refused.body.code, 'connection_needs_reconnect')
  const receipt = (await ada.call('DELETE', `/v1/connections/${connection.id}`)).body
  assert.equal(receipt.revocation, 'unsupported')
  // The key is never told to anybody, not even to be revoked.
  assert.equal(it.loopback.requests('oauth2.googleapis.com', '/revoke').length, 0)
})

/** Salesforce for whoever proves themselves otherwise than by a code. */
function workAsSalesforceServer(loopback: LoopbackProvider): void {
  let tokens = 0
  const host = 'acme.my.salesforce.com'
  loopback.on(host, '/services/oauth2/token', () => ({
    body: {
      access_token: `00D!server-${++tokens}`,
      scope: 'api openid',
      instance_url: `https://${host}`,
      id: 'https://login.salesforce.com/id/00D1/0051',
      token_type: 'Bearer',
      ...(tokens === 1 && { issued_token_type: 'urn:ietf:params:oauth:token-type:access_token' }),
    },
  }))
  loopback.on(host, '/services/oauth2/userinfo', () => ({
    body: { user_id: '0051', organization_id: '00D1', name: 'Ada Lovelace', email: 'ada@example.org' },
  }))
  loopback.on(host, '/services/oauth2/revoke', () => ({ body: '' }))
  loopback.on(host, '/services/data', ({ headers }) =>
    headers.authorization === `Bearer 00D!server-${tokens}`
      ? { body: { tokens } }
      : { status: 401, body: [{ errorCode: 'INVALID_SESSION_ID' }] as object },
  )
}

test('[CN151] Salesforce: by assertion, in the app’s name, and for another token; each is renewed when it is refused', async () => {
  await using it = await scene()
  workAsSalesforceServer(it.loopback)
  const host = 'acme.my.salesforce.com'
  const particulars = { login: host }
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const admin = await it.person('admin')
  const key = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
  const { clientId, clientSecret } = it.loopback.apps.salesforce
  const jwt = 'urn:ietf:params:oauth:token-type:jwt'
  const flows = {
    jwt_bearer: { username: 'ada@acme.example', privateKey: key },
    client_credentials: undefined,
    token_exchange: { token: 'token-of-an-idp', tokenType: jwt },
  }
  for (const [flow, credential] of Object.entries(flows)) {
    const before = sent(it, host, '/services/oauth2/token').length
    const connection = await connected(admin, {
      provider: 'salesforce',
      flow,
      particulars,
      ...(credential && { credential }),
    })
    assert.deepEqual([connection.flow, connection.identity.id], [flow, '00D1.0051'])
    const path = `/v1/connections/${connection.id}`
    // Whatever comes in between makes the token an old one.
    const elsewhere = { grant_type: 'x' }
    await fetch(`${it.loopback.url}/${host}/services/oauth2/token`, {
      method: 'POST',
      body: new URLSearchParams(elsewhere),
    })
    assert.equal((await admin.call('GET', `${path}/proxy/services/data`)).status, 200, flow)
    const requests = sent(it, host, '/services/oauth2/token')
      .slice(before)
      .filter((form) => form['grant_type'] !== 'x')
    assert.equal(requests.length, 2, flow)
    for (const { assertion, ...form } of requests) {
      if (assertion !== undefined) {
        const { payload } = await jwtVerify(assertion, publicKey, {
          audience: `https://${host}`,
          currentDate: it.clock.now(),
        })
        assert.deepEqual(
          [payload.iss, payload.sub, (payload.exp ?? 0) - (payload.iat ?? 0)],
          [clientId, 'ada@acme.example', 180],
        )
        assert.deepEqual(form, { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer' })
      } else if (flow === 'client_credentials') {
        assert.deepEqual(form, {
          grant_type: 'client_credentials',
          client_id: clientId,
          client_secret: clientSecret,
        })
      } else {
        assert.deepEqual(form, {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: 'token-of-an-idp',
          subject_token_type: jwt,
          scope: 'openid api refresh_token',
          client_id: clientId,
          client_secret: clientSecret,
        })
      }
    }
    assert.equal((await admin.call('DELETE', path)).body.revocation, 'revoked', flow)
    const revoked = sent(it, host, '/services/oauth2/revoke').at(-1)?.['token'] ?? ''
    assert.match(revoked, /^00D!server-\d+$/)
  }
  assert.deepEqual(await seenOutside(it, 'token-of-an-idp', key.split('\n')[3] ?? ''), [])
})

test('[SB73] through Atom the sandbox’s Google and Salesforce connect by a key, for whom it names, and refuse a foreign one', async () => {
  await using sandbox = await startSandbox()
  await using database = await testDatabase()
  await using house = await openHouse({
    database: database.database,
    sandbox: { providers: sandboxProviders, running: () => sandbox, open: async () => sandbox },
    reach: [sandbox.url],
  })
  const ada = await house.person('member')
  const served = await fetch(`${sandbox.url}/_control/service-keys/google`)
  const { key: keyFile } = (await served.json()) as { key: string }
  const google = { provider: 'google', flow: 'jwt_bearer' }
  const person = 'grace@atom-labs.example'
  const calendars = await connected(ada, { ...google, credential: { keyFile, person } })
  assert.deepEqual([calendars.status, calendars.sandbox, calendars.identity.email], ['active', true, person])
  const privateKey = sandbox.control.serviceKey('salesforce')
  const salesforce = { provider: 'salesforce', flow: 'jwt_bearer' }
  const username = 'ada@atom-labs.example'
  const records = await connected(ada, { ...salesforce, credential: { username, privateKey } })
  assert.deepEqual([records.status, records.identity.name], ['active', 'Ada Lovelace'])
  const query = `services/data/v62.0/query?q=${encodeURIComponent('select Id from Account limit 1')}`
  const read = (id: string, path: string) => ada.call('GET', `/v1/connections/${id}/proxy/${path}`)
  assert.equal((await read(records.id, query)).status, 200)
  assert.equal((await read(calendars.id, 'calendar/v3/calendars/primary/events')).status, 200)
  sandbox.control.expireTokens('google')
  sandbox.control.expireTokens('salesforce')
  assert.equal((await read(records.id, query)).status, 200)
  assert.equal((await read(calendars.id, 'calendar/v3/calendars/primary/events')).status, 200)

  const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString()
  const wrong = JSON.stringify({ ...JSON.parse(keyFile), private_key: foreign })
  const refusals: readonly (readonly [object, RegExp])[] = [
    [{ ...google, credential: { keyFile: wrong, person } }, /invalid_grant/],
    [{ ...google, credential: { keyFile, person: 'nobody@atom-labs.example' } }, /./],
    [{ ...google, scopes: ['unheard.of'], credential: { keyFile, person } }, /./],
    [{ ...salesforce, credential: { username, privateKey: foreign } }, /invalid_grant/],
    [{ ...salesforce, credential: { username: 'nobody@x.example', privateKey } }, /invalid_grant/],
  ]
  for (const [wish, detail] of refusals) {
    const reply = await connect(ada, wish)
    assert.ok(reply.status >= 400, JSON.stringify(wish))
    assert.match(reply.body.detail, detail)
  }
  assert.equal((await ada.call('DELETE', `/v1/connections/${records.id}`)).body.revocation, 'revoked')
})

test('[CN158] Salesforce: with the app’s own key only an operator connects, whom they name; without one nobody does', async () => {
  await using it = await scene({ apps: false })
  workAsSalesforceServer(it.loopback)
  const admin = await it.person('admin')
  const member = await it.house.person('member', admin.principal.workspaceId)
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const own = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const app = { clientId: '3MVG9.own', clientSecret: 'salesforce-own-secret-0123456789' }
  const enter = (entry: object) => admin.call('PUT', '/v1/providers/salesforce/app', { json: entry })
  const host = 'acme.my.salesforce.com'
  const wish = {
    provider: 'salesforce',
    flow: 'jwt_bearer',
    particulars: { login: host },
    credential: { username: 'ada@acme.example' },
  }
  await enter(app)
  assert.equal((await connect(admin, wish)).body.code, 'provider_not_configured')
  assert.equal((await enter({ ...app, privateKey: own })).status, 200)
  assert.equal((await connect(member, wish)).body.code, 'forbidden')
  assert.equal(it.loopback.seen.length, 0)
  assert.equal((await connected(admin, wish)).identity.id, '00D1.0051')
  const [{ assertion = '' } = {}] = sent(it, host, '/services/oauth2/token')
  const { payload } = await jwtVerify(assertion, publicKey, {
    audience: `https://${host}`,
    currentDate: it.clock.now(),
  })
  assert.deepEqual([payload.iss, payload.sub], [app.clientId, 'ada@acme.example'])
})
