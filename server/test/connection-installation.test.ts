import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { jwtVerify } from 'jose'
import { connected, openHouse, type Person, type Reply } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { testDatabase } from './support/postgres.ts'
import { tenant } from './support/provider-wires.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
/** As GitHub hands it out. */
const pem = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
const app = { clientId: 'Iv23liAtom', clientSecret: 'github-app-secret-0123456789' }

async function scene() {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  const database = stack.use(await testDatabase())
  const clock = new TestClock()
  const house = stack.use(
    await openHouse({
      database: database.database,
      sandbox: undefined,
      reach: [loopback.url],
      detour: loopback.origins,
      clock,
    }),
  )
  const admin = await house.person('admin')
  return { loopback, house, clock, admin, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

function problem(reply: Reply): string | null {
  return new URL(reply.headers.get('location') ?? '', 'http://atom.test').searchParams.get('problem')
}

/** Goes to install the app and comes back with what the provider says. */
async function install(person: Person, provider: string, said: Record<string, string>) {
  const browser = person.browser()
  const url = await browser.connect(provider, { flow: 'app_installation' })
  const back = new URL(`http://atom.test/v1/oauth/callback/${provider}`)
  for (const [name, value] of Object.entries(said)) back.searchParams.set(name, value)
  back.searchParams.set('state', url.searchParams.get('state') ?? '')
  return { url, reply: await browser.open(back.pathname + back.search) }
}

async function enter(person: Person, provider: string, entry: object): Promise<void> {
  const reply = await person.call('PUT', `/v1/providers/${provider}/app`, { json: entry })
  assert.equal(reply.status, 200, reply.text)
}

test('[CN152] GitHub: an operator installs the app; its tokens are asked for with the app’s own key, each when it is needed', async () => {
  await using it = await scene()
  const { loopback, admin, clock } = it
  let tokens = 0
  const assertions: string[] = []
  const bearer = (header: string | undefined) => (header ?? '').replace('Bearer ', '')
  loopback.on('api.github.com', '/app/installations/4242/access_tokens', ({ headers }) => {
    assertions.push(bearer(headers.authorization))
    tokens += 1
    return {
      status: 201,
      body: {
        token: `ghs_installation-${tokens}`,
        expires_at: new Date(clock.now().getTime() + 3600_000).toISOString(),
        permissions: { issues: 'write', metadata: 'read' },
        repository_selection: 'all',
      },
    }
  })
  loopback.on('api.github.com', '/app/installations/4242', ({ headers }) => {
    assertions.push(bearer(headers.authorization))
    return { body: { id: 4242, account: { id: 99, login: 'atom-labs', type: 'Organization' } } }
  })
  const used: string[] = []
  loopback.on('api.github.com', '/installation/repositories', ({ headers }) => {
    used.push(bearer(headers.authorization))
    return { body: {} }
  })
  loopback.on('api.github.com', '/installation/token', () => ({ status: 204 }))

  const wish = { json: { provider: 'github', flow: 'app_installation' } }
  await enter(admin, 'github', app)
  assert.equal((await admin.call('POST', '/v1/connections', wish)).body.code, 'provider_not_configured')
  await enter(admin, 'github', { ...app, privateKey: pem, settings: { slug: 'atom-test' } })
  const member = await it.house.person('member', admin.principal.workspaceId)
  assert.equal((await member.call('POST', '/v1/connections', wish)).body.code, 'forbidden')

  const { url, reply } = await install(admin, 'github', { installation_id: '4242', setup_action: 'install' })
  assert.equal(`${url.origin}${url.pathname}`, 'https://github.com/apps/atom-test/installations/new')
  assert.deepEqual([...url.searchParams.keys()], ['state'])
  const connection = await connected(admin, reply)
  assert.deepEqual(
    [connection.flow, connection.status, connection.identity.name, connection.identity.id, connection.scopes],
    ['app_installation', 'active', 'atom-labs', '99.installation', ['issues:write', 'metadata:read']],
  )
  const path = `/v1/connections/${connection.id}`
  clock.pass(3600_000)
  const callers = await Promise.all(
    Array.from({ length: 20 }, () => admin.call('GET', `${path}/proxy/installation/repositories`)),
  )
  assert.deepEqual(new Set(callers.map(({ status }) => status)), new Set([200]))
  assert.equal(used.length, 20)
  assert.deepEqual(new Set(used), new Set(['ghs_installation-2']))
  assert.equal(assertions.length, 3)
  for (const assertion of assertions) {
    const { payload } = await jwtVerify(assertion, publicKey, {
      issuer: app.clientId,
      // All were signed within the hour that was let pass.
      currentDate: new Date((payloadOf(assertion).iat + 60) * 1000),
    })
    assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 540)
  }
  const leaked = [pem.split('\n')[3] ?? '', 'ghs_installation-1', ...assertions]
  for (const text of [...it.house.lines, ...it.house.answers])
    for (const secret of leaked) assert.ok(!text.includes(secret), text)
  const receipt = (await admin.call('DELETE', path)).body
  assert.equal(receipt.revocation, 'revoked')
  assert.match(receipt.detail, /stays installed/)
  assert.ok(receipt.gone.includes('The access at GitHub.'), receipt.gone.join())
  assert.match(receipt.remains[0].what, /stays installed at GitHub/)
})

test('[CN153] GitHub: an installation that is asked for, uninstalled, or not GitHub’s to tell, says so', async () => {
  await using it = await scene()
  const { loopback, admin } = it
  await enter(admin, 'github', { ...app, privateKey: pem, settings: { slug: 'atom-test' } })
  const ask = (said: Record<string, string>) => install(admin, 'github', said)
  assert.equal(problem((await ask({ setup_action: 'request' })).reply), 'consent_pending')
  assert.equal(problem((await ask({ setup_action: 'install' })).reply), 'provider_refused')
  assert.equal(problem((await ask({ installation_id: '42/../../user' })).reply), 'provider_refused')
  assert.equal(loopback.seen.length, 0)
  const answers = [
    [401, 'provider_misconfigured'],
    [404, 'provider_refused'],
    [502, 'provider_unavailable'],
  ] as const
  let status = 0
  loopback.on('api.github.com', '/app/installations/4242/access_tokens', () => ({ status, body: {} }))
  for (const [answered, code] of answers) {
    status = answered
    assert.equal(problem((await ask({ installation_id: '4242' })).reply), code)
  }
  const expires_at = new Date(it.clock.now().getTime() + 3600_000).toISOString()
  loopback.on('api.github.com', '/app/installations/4242/access_tokens', () => ({
    status: 201,
    body: { token: 'ghs_1', expires_at },
  }))
  loopback.on('api.github.com', '/app/installations/4242', () => ({
    body: { id: 4242, account: { id: 99, login: 'atom-labs' } },
  }))
  const { id } = await connected(admin, (await ask({ installation_id: '4242' })).reply)
  status = 404
  loopback.on('api.github.com', '/app/installations/4242/access_tokens', () => ({ status, body: {} }))
  const refused = await admin.call('POST', `/v1/connections/${id}/refresh`)
  assert.equal(refused.body.code, 'connection_needs_reconnect')
})

test('[CN154] Microsoft: an administrator’s consent connects their directory in the app’s own name', async () => {
  await using it = await scene()
  const { loopback, admin } = it
  await enter(admin, 'microsoft', { clientId: 'ms-app', clientSecret: 'ms-app-secret-0123456789' })
  loopback.on('login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`, () => ({
    body: { token_type: 'Bearer', expires_in: 3599, access_token: 'app-token' },
  }))
  loopback.on('graph.microsoft.com', '/v1.0/organization', () => ({
    body: { value: [{ id: tenant, displayName: 'Contoso' }] },
  }))
  const ask = (said: Record<string, string>) => install(admin, 'microsoft', said)
  const { url, reply } = await ask({ admin_consent: 'True', tenant })
  assert.equal(url.pathname, '/organizations/v2.0/adminconsent')
  assert.deepEqual(
    [url.searchParams.get('client_id'), url.searchParams.get('redirect_uri'), url.searchParams.get('scope')],
    ['ms-app', `${it.house.url}/v1/oauth/callback/microsoft`, 'https://graph.microsoft.com/.default'],
  )
  const connection = await connected(admin, reply)
  assert.deepEqual(
    [connection.flow, connection.status, connection.identity.name],
    ['app_installation', 'active', 'Contoso'],
  )
  assert.equal((await admin.call('POST', `/v1/connections/${connection.id}/refresh`)).status, 200)
  const forms = loopback
    .requests('login.microsoftonline.com', `/${tenant}/oauth2/v2.0/token`)
    .map(({ body }) => new URLSearchParams(body).get('grant_type'))
  assert.deepEqual(forms, ['client_credentials', 'client_credentials'])
  const refusals: readonly (readonly [Record<string, string>, string])[] = [
    [{ error: 'access_denied', error_description: 'AADSTS65004' }, 'consent_denied'],
    [{ tenant }, 'provider_refused'],
    [{ admin_consent: 'False', tenant }, 'provider_refused'],
    [{ admin_consent: 'True' }, 'provider_refused'],
    [{ admin_consent: 'True', tenant: 'evil.example/x' }, 'provider_refused'],
    // A directory of its own, or none: an app is nobody in `common`.
    [{ admin_consent: 'True', tenant: 'common' }, 'provider_refused'],
  ]
  for (const [said, code] of refusals) {
    assert.equal(problem((await ask(said)).reply), code, JSON.stringify(said))
  }
})

test('[CN155] Slack: an organisation’s install is one only where it was given for the organisation', async () => {
  await using it = await scene()
  const { loopback } = it
  const member = await it.house.person('member', it.admin.principal.workspaceId)
  await enter(it.admin, 'slack', { clientId: '1.2', clientSecret: 'slack-app-secret-0123456789' })
  const answer = (more: object) =>
    loopback.on('slack.com', '/api/oauth.v2.access', () => ({
      body: {
        ok: true,
        access_token: 'xoxb-org',
        token_type: 'bot',
        scope: 'channels:read,chat:write,users:read,team:read',
        authed_user: { id: 'U0ADA' },
        ...more,
      },
    }))
  loopback.on('slack.com', '/api/auth.test', () => ({ body: { ok: true } }))
  loopback.on('slack.com', '/api/users.info', () => ({ body: { ok: true, user: { name: 'ada' } } }))
  answer({ team: { id: 'T0TEAM' }, enterprise: null, is_enterprise_install: false })
  assert.equal(problem((await install(member, 'slack', { code: 'c' })).reply), 'provider_refused')
  answer({ team: null, enterprise: { id: 'E0ORG', name: 'Atom' }, is_enterprise_install: true })
  const connection = await connected(member, (await install(member, 'slack', { code: 'c' })).reply)
  assert.deepEqual([connection.flow, connection.identity.id], ['app_installation', 'E0ORG.U0ADA'])
})

function payloadOf(token: string): { iat: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
