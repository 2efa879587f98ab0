import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startSandbox } from '@atom/sandbox/sandbox.ts'
import sql from 'sql-template-tag'
import { sandboxProviders } from '../src/local-sandbox.ts'
import { type ConnectionHouse, newKeyring, openHouse, type Person } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { LoopbackProvider, type Said } from './support/loopback-provider.ts'
import { type TestDatabase, testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const tokenPath = '/login/oauth/access_token'

interface Scene extends AsyncDisposable {
  readonly loopback: LoopbackProvider
  readonly database: TestDatabase
  readonly clock: TestClock
  readonly open: () => Promise<ConnectionHouse>
}

/** GitHub with a device code for whoever asks: `said` answers each request for a token by its device code. */
async function scene(said: (deviceCode: string) => Said | Promise<Said>): Promise<Scene> {
  const stack = new AsyncDisposableStack()
  const loopback = stack.use(await LoopbackProvider.start())
  const database = stack.use(await testDatabase())
  const clock = new TestClock()
  const keyring = newKeyring()
  let codes = 0
  loopback.workAsGitHub()
  loopback.on('github.com', '/login/device/code', () => {
    codes += 1
    return {
      body: {
        device_code: `device-code-${codes}`,
        user_code: `WDJB-MJH${codes}`,
        verification_uri: 'https://github.com/login/device',
        expires_in: 900,
        interval: 1,
      },
    }
  })
  loopback.on('github.com', tokenPath, ({ body }) => {
    const sent = new URLSearchParams(body)
    assert.equal(sent.get('grant_type'), 'urn:ietf:params:oauth:grant-type:device_code')
    return said(sent.get('device_code') ?? '')
  })
  const open = async () =>
    stack.use(
      await openHouse({
        database: database.database,
        sandbox: loopback,
        reach: [loopback.url],
        clock,
        keyring,
      }),
    )
  return { loopback, database, clock, open, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() }
}

const token: Said = {
  body: { access_token: 'gho_by-device', token_type: 'bearer', scope: 'read:user,repo,user:email' },
}
/** GitHub refuses with status 200. */
const refused = (error: string): Said => ({ body: { error, error_description: 'x' } })

async function begin(
  person: Person,
  wish: object = {},
): Promise<{ flowId: string; device: { userCode: string } }> {
  const reply = await person.call('POST', '/v1/connections', {
    json: { provider: 'github', flow: 'device_code', ...wish },
  })
  assert.equal(reply.status, 201, reply.text)
  return reply.body
}

async function outcome(person: Person, flowId: string) {
  const read = async () => (await person.call('GET', `/v1/connections/flows/${flowId}`)).body
  await until(async () => (await read()).status !== 'pending')
  return await read()
}

test('[CN141] a person enters a device code elsewhere, and the server asks until it is a connection', async () => {
  let entered = false
  await using it = await scene(() => (entered ? token : refused('authorization_pending')))
  const house = await it.open()
  const ada = await house.person()
  const { flowId, device } = await begin(ada)
  assert.deepEqual(device, {
    userCode: 'WDJB-MJH1',
    verificationUri: 'https://github.com/login/device',
    expiresIn: 900,
    interval: 1,
  })
  const [asked] = it.loopback.requests('github.com', '/login/device/code')
  assert.equal(new URLSearchParams(asked?.body).get('scope'), 'read:user user:email repo')
  await until(() => it.loopback.requests('github.com', tokenPath).length > 0)
  assert.equal((await ada.call('GET', `/v1/connections/flows/${flowId}`)).body.status, 'pending')
  entered = true
  const { status, connectionId } = await outcome(ada, flowId)
  assert.equal(status, 'connected')
  const connection = (await ada.call('GET', `/v1/connections/${connectionId}`)).body
  assert.deepEqual([connection.flow, connection.identity.handle], ['device_code', 'octo-ada'])
  assert.deepEqual(await it.database.database.query(sql`select 1 from device_polls`), [])
  for (const text of [...house.lines, ...house.answers]) assert.ok(!text.includes('device-code-1'), text)
  const stored = await it.database.database.query<{ secrets: Buffer }>(
    sql`select secrets from connection_flows`,
  )
  assert.ok(stored.every(({ secrets }) => !secrets.toString('latin1').includes('device-code-1')))
})

test('[CN142] a server that comes back goes on asking for the codes it gave out', async () => {
  let entered = false
  await using it = await scene(() => (entered ? token : refused('authorization_pending')))
  const before = await it.open()
  const ada = await before.person()
  const { flowId } = await begin(ada)
  await until(() => it.loopback.requests('github.com', tokenPath).length > 0)
  await before[Symbol.asyncDispose]()
  entered = true
  const after = await it.open()
  const again = await after.visited(ada)
  assert.equal((await outcome(again, flowId)).status, 'connected')
})

test('[CN242] by device code too a connection is asked for what it was asked for before, and widened', async () => {
  await using it = await scene(() => token)
  const house = await it.open()
  const ada = await house.person()
  const first = await outcome(ada, (await begin(ada, { scopes: ['repo', 'gist'] })).flowId)
  const { connectionId } = first
  assert.equal((await outcome(ada, (await begin(ada, { connectionId })).flowId)).connectionId, connectionId)
  const wider = await begin(ada, { connectionId, scopes: ['read:org'] })
  assert.equal((await outcome(ada, wider.flowId)).connectionId, connectionId)
  const asked = it.loopback
    .requests('github.com', '/login/device/code')
    .map(({ body }) => new URLSearchParams(body).get('scope'))
  const before = 'repo gist'
  assert.deepEqual(asked, [before, before, `${before} read:org`])

  it.loopback.on('api.github.com', '/user', () => ({ body: { id: 99, login: 'octo-bob', name: 'Bob' } }))
  const other = await outcome(ada, (await begin(ada, { connectionId })).flowId)
  assert.deepEqual(other, { status: 'failed', problem: 'other_account' })
  assert.equal((await ada.call('GET', '/v1/connections')).body.items.length, 1)
})

test('[CN112] whoever signs out while a device code waits connects nothing with it', async () => {
  let entered = false
  await using it = await scene(() => (entered ? token : refused('authorization_pending')))
  const house = await it.open()
  const ada = await house.person()
  const { flowId } = await begin(ada)
  await until(() => it.loopback.requests('github.com', tokenPath).length > 0)
  await house.signOut(ada)
  entered = true
  const again = await house.visited({
    ...ada,
    principal: { ...ada.principal, sessionId: crypto.randomUUID() },
  } as Person)
  assert.deepEqual(await outcome(again, flowId), { status: 'failed', problem: 'flow_signed_out' })
  assert.deepEqual((await again.call('GET', '/v1/connections')).body.items, [])
})

test('[CN143] slow_down makes the server ask less often, and an outage is no answer', async () => {
  const answers: Said[] = [refused('slow_down'), { status: 502 }, refused('authorization_pending'), token]
  await using it = await scene((code) =>
    code === 'device-code-1' ? (answers.shift() ?? token) : refused('authorization_pending'),
  )
  const house = await it.open()
  const ada = await house.person()
  const { flowId } = await begin(ada)
  const row = async () => {
    const [poll] = await it.database.database.query<{ every: number; free: boolean; next: Date }>(sql`
      select interval_seconds as every, lease_holder is null as free, next_poll_at as next from device_polls
      where flow_id = ${flowId}`)
    return poll
  }
  const answered = async (times: number) => {
    await until(async () => answers.length === 4 - times && (await row())?.free !== false)
    return await row()
  }
  /** Nobody waits in earnest for what is only said in seconds. */
  const hurry = async () => {
    await it.database.database.query(sql`update device_polls set next_poll_at = now()`)
    // A further code wakes the loop.
    await begin(ada)
    await it.database.database.query(
      sql`delete from device_polls where flow_id <> ${flowId} and lease_holder is null`,
    )
  }
  assert.equal((await answered(1))?.every, 6)
  const [asked] = await it.database.database.query<{ at: Date }>(sql`select now() as at`)
  await hurry()
  const afterOutage = await answered(2)
  // Twice the interval: whoever cannot be reached is given time, and the interval itself stays.
  assert.equal(afterOutage?.every, 6)
  assert.ok(afterOutage.next.getTime() - (asked?.at.getTime() ?? 0) >= 12_000)
  await hurry()
  assert.equal((await answered(3))?.every, 6)
  await hurry()
  assert.equal((await outcome(ada, flowId)).status, 'connected')
})

test('[CN144] a code that is refused, expires, or cannot be had says why', async () => {
  const answers = new Map<string, Said>([
    ['device-code-1', refused('access_denied')],
    ['device-code-2', refused('expired_token')],
    ['device-code-3', refused('incorrect_client_credentials')],
    ['device-code-4', refused('unheard_of')],
  ])
  await using it = await scene((code) => answers.get(code) ?? refused('authorization_pending'))
  const house = await it.open()
  const ada = await house.person()
  const problems = ['consent_denied', 'flow_expired', 'provider_misconfigured', 'provider_refused']
  for (const problem of problems) {
    assert.deepEqual(await outcome(ada, (await begin(ada)).flowId), { status: 'failed', problem })
  }
  const forgotten = await begin(ada)
  it.clock.pass(901_000)
  assert.deepEqual(await outcome(ada, forgotten.flowId), { status: 'failed', problem: 'flow_expired' })
  await until(async () => (await it.database.database.query(sql`select 1 from device_polls`)).length === 0)

  const wish = { json: { provider: 'github', flow: 'device_code' } }
  const cases: readonly (readonly [Said, string])[] = [
    [refused('device_flow_disabled'), 'provider_misconfigured'],
    [{ status: 503 }, 'provider_unavailable'],
    [
      {
        body: {
          device_code: 'd',
          user_code: 'u',
          verification_uri: 'javascript:alert(1)',
          expires_in: 900,
        },
      },
      'provider_refused',
    ],
  ]
  for (const [said, code] of cases) {
    it.loopback.on('github.com', '/login/device/code', () => said)
    assert.equal((await ada.call('POST', '/v1/connections', wish)).body.code, code)
  }
  assert.deepEqual((await ada.call('GET', '/v1/connections')).body.items, [])
})

test('[CN145] each code is asked for by one process at a time', async () => {
  const held = Promise.withResolvers<Said>()
  await using it = await scene((code) => (code === 'device-code-1' ? held.promise : token))
  const [one, other] = [await it.open(), await it.open()]
  const ada = await one.person()
  const first = await begin(ada)
  await until(() => it.loopback.requests('github.com', tokenPath).length === 1)
  // Due again for whoever looks at the time alone.
  await it.database.database.query(sql`update device_polls set next_poll_at = now()`)
  const elsewhere = await other.visited(ada)
  assert.equal((await outcome(elsewhere, (await begin(elsewhere)).flowId)).status, 'connected')
  const asked = it.loopback
    .requests('github.com', tokenPath)
    .filter(({ body }) => new URLSearchParams(body).get('device_code') === 'device-code-1')
  assert.equal(asked.length, 1)
  held.resolve(token)
  assert.equal((await outcome(ada, first.flowId)).status, 'connected')
})

test('[SB72] through Atom a person connects GitHub in the sandbox by a code that they enter on GitHub’s page', async () => {
  await using sandbox = await startSandbox()
  await using database = await testDatabase()
  await using house = await openHouse({
    database: database.database,
    sandbox: { providers: sandboxProviders, running: () => sandbox, open: async () => sandbox },
    reach: [sandbox.url],
  })
  const ada = await house.person()
  const reply = await ada.call('POST', '/v1/connections', {
    json: { provider: 'github', flow: 'device_code' },
  })
  assert.equal(reply.status, 201, reply.text)
  const { flowId, device } = reply.body
  const entered = await fetch(device.verificationUri, {
    method: 'POST',
    body: new URLSearchParams({ user_code: device.userCode, person: 'grace', decision: 'agree' }),
  })
  assert.equal(entered.status, 200)
  const { status, connectionId } = await outcome(ada, flowId)
  assert.equal(status, 'connected')
  const connection = (await ada.call('GET', `/v1/connections/${connectionId}`)).body
  assert.deepEqual([connection.identity.handle, connection.status], ['grace', 'active'])
  assert.equal((await ada.call('GET', `/v1/connections/${connectionId}/proxy/user`)).status, 200)
  assert.equal((await ada.call('DELETE', `/v1/connections/${connectionId}`)).body.revocation, 'revoked')
})
