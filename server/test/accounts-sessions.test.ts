import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SignedIn } from '@atom/contract/accounts.ts'
import { accountRoutes as routes } from '@atom/contract/accounts.ts'
import sql from 'sql-template-tag'
import { mostReissues, refreshGraceMs, refreshTokenLifetimeMs } from '#accounts/sessions.ts'
import { assertProblem, type Called, call } from './support/calls.ts'
import { type Doors, founder, openDoors } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'
import { until } from './support/until.ts'

const login = { email: founder.email, password: founder.password }

async function setUp(doors: Doors): Promise<SignedIn> {
  const { status, body } = await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })
  assert.equal(status, 201)
  return body
}

async function refresh(doors: Doors, refreshToken: string | undefined): Promise<Called<SignedIn>> {
  return await call<SignedIn>(doors.url, 'POST', '/v1/auth/refresh', { body: { refreshToken } })
}

async function me(doors: Doors, token: string): Promise<Called<SignedIn>> {
  return await call<SignedIn>(doors.url, 'GET', '/v1/me', { token })
}

test('[AC8] signing in works with the e-mail in any case; an unknown e-mail and a wrong password get the same answer', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  await setUp(doors)
  const { status, body } = await call<SignedIn>(doors.url, 'POST', '/v1/auth/login', {
    body: { ...login, email: 'ADA@example.com' },
  })
  assert.equal(status, 200)
  assert.equal((await me(doors, body.accessToken)).body.account.name, 'Ada')
  const wrong = [
    { ...login, password: 'seven calm otters sang' },
    { ...login, email: 'nobody@example.com' },
  ]
  const problems = []
  for (const attempt of wrong) {
    const answer = await call(doors.url, 'POST', '/v1/auth/login', { body: attempt })
    const {
      instance: _instance,
      requestId: _requestId,
      ...same
    } = assertProblem(answer, 'invalid_credentials')
    problems.push(same)
  }
  assert.deepEqual(problems[0], problems[1])
})

test('[AC9] guessing passwords is slowed down per account and address, also when all guesses come at once; the right one is not counted', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  await setUp(doors)
  for (let times = 0; times < 12; times++)
    assert.equal((await call(doors.url, 'POST', '/v1/auth/login', { body: login })).status, 200)
  const wrong = { body: { ...login, password: 'seven calm otters sang' } }
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      // A made-up address does not help: nobody told this server to believe a proxy.
      call(doors.url, 'POST', '/v1/auth/login', { ...wrong, headers: { 'x-forwarded-for': `10.0.0.${at}` } }),
    ),
  )
  assert.equal(answers.filter(({ status }) => status === 401).length, 5)
  const limited = answers.filter(({ status }) => status === 429)
  assert.equal(limited.length, 15)
  for (const answer of limited) {
    const problem = assertProblem(answer, 'rate_limited')
    assert.ok(Number(answer.headers.get('retry-after')) * 1000 >= (problem.retryAfterMs ?? Infinity))
  }
  assertProblem(await call(doors.url, 'POST', '/v1/auth/login', { body: login }), 'rate_limited')
  doors.clock.pass(30_000)
  assert.equal((await call(doors.url, 'POST', '/v1/auth/login', { body: login })).status, 200)
})

test('[CN256] behind a proxy that the operator listed each caller has their own address, and what they make up in front of it is not believed', async () => {
  for (const [trustedProxies, passed] of [
    [['127.0.0.1'], 20],
    [['192.0.2.1'], 5],
  ] as const) {
    await using db = await testDatabase()
    await using doors = await openDoors(db.database, { http: { trustedProxies } })
    await setUp(doors)
    const guess = (forwarded: string) =>
      call(doors.url, 'POST', '/v1/auth/login', {
        body: { ...login, password: 'seven calm otters sang' },
        headers: { 'x-forwarded-for': forwarded },
      })
    // Each from an address of their own, as the proxy saw it: read from the right.
    const many = await Promise.all(Array.from({ length: 20 }, (_, at) => guess(`198.51.100.7, 10.0.0.${at}`)))
    assert.equal(many.filter(({ status }) => status === 401).length, passed)
    const one = await Promise.all(Array.from({ length: 20 }, (_, at) => guess(`198.51.100.${at}, 10.9.9.9`)))
    assert.equal(one.filter(({ status }) => status === 401).length, passed === 20 ? 5 : 0)
  }
})

test('[AC10] a refresh token is spent for a new pair, and the database never holds one in the clear', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const first = await setUp(doors)
  const second = await refresh(doors, first.refreshToken)
  assert.equal(second.status, 200)
  assert.deepEqual(second.body.account, first.account)
  assert.notEqual(second.body.refreshToken, first.refreshToken)
  assert.notEqual(second.body.accessToken, first.accessToken)
  const rows = await db.database.query<{ row: string }>(sql`
    select r::text as row from refresh_tokens r union all select s::text from sessions s
    union all select a::text from accounts a`)
  const stored = JSON.stringify(rows)
  for (const secret of [first.refreshToken ?? '', second.body.refreshToken ?? '', founder.password])
    assert.ok(secret.length > 0 && !stored.includes(secret))
  assertProblem(await refresh(doors, 'unknown'), 'unauthenticated')
  assertProblem(await refresh(doors, undefined), 'unauthenticated')
})

test('[AC11] fifty refreshes with the same token at once: all get the same successor, and the session lives', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  let { refreshToken } = await setUp(doors)
  for (let round = 0; round < 4; round++) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => refresh(doors, refreshToken)))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
    const successors = new Set(answers.map(({ body }) => body.refreshToken))
    assert.equal(successors.size, 1)
    refreshToken = [...successors][0]
    doors.clock.pass(refreshGraceMs + 1)
  }
  const unused = await db.database.query(sql`select from refresh_tokens where used_at is null`)
  assert.equal(unused.length, 1)
  assert.equal((await refresh(doors, refreshToken)).status, 200)
})

test('[AC12] a refresh whose answer was lost can be sent again, even when the session has moved on meanwhile', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const first = await setUp(doors)
  const lost = await refresh(doors, first.refreshToken)
  const moved = await refresh(doors, lost.body.refreshToken)
  const again = await refresh(doors, first.refreshToken)
  assert.equal(again.status, 200)
  assert.equal(again.body.refreshToken, moved.body.refreshToken)
})

test('[AC13] a spent refresh token used again later ends the session: neither thief nor owner can go on', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const first = await setUp(doors)
  const second = (await refresh(doors, first.refreshToken)).body
  const third = (await refresh(doors, second.refreshToken)).body
  doors.clock.pass(refreshGraceMs + 1)
  assertProblem(await refresh(doors, first.refreshToken), 'session_revoked')
  assertProblem(await refresh(doors, second.refreshToken), 'session_revoked')
  assertProblem(await refresh(doors, third.refreshToken), 'session_revoked')
  assertProblem(await me(doors, third.accessToken), 'session_revoked')
  assert.ok(doors.lines.some((line) => line.includes('a spent refresh token was used again')))
  assert.equal((await call(doors.url, 'POST', '/v1/auth/login', { body: login })).status, 200)
})

test('[AC31] a tab closed in the middle of its refresh signs nobody out: hours later the same token is exchanged once more', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  let { refreshToken } = await setUp(doors)
  for (let round = 0; round < 3; round++) {
    // The answer is lost, and so is the one after it.
    const lost = [await refresh(doors, refreshToken)]
    doors.clock.pass(3 * 3_600_000)
    lost.push(await refresh(doors, refreshToken))
    doors.clock.pass(20 * 3_600_000)
    const arrived = await refresh(doors, refreshToken)
    assert.equal(arrived.status, 200)
    assert.equal((await me(doors, arrived.body.accessToken)).status, 200)
    // Two tabs that wake together get the same one here too.
    const both = await Promise.all([refresh(doors, refreshToken), refresh(doors, refreshToken)])
    assert.deepEqual(
      both.map(({ status, body }) => [status, body.refreshToken]),
      [1, 2].map(() => [200, arrived.body.refreshToken]),
    )
    assert.equal(new Set([...lost, arrived].map(({ body }) => body.refreshToken)).size, 3)
    refreshToken = arrived.body.refreshToken
  }
})

test('[AC31] two tabs that bring a token of yesterday at once get the same successor, and the session lives', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const first = await setUp(doors)
  await refresh(doors, first.refreshToken)
  doors.clock.pass(24 * 3_600_000)
  const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(doors, first.refreshToken)))
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  const [successor, ...others] = new Set(answers.map(({ body }) => body.refreshToken))
  assert.deepEqual(others, [])
  doors.clock.pass(3_600_000)
  assert.equal((await refresh(doors, successor)).status, 200)
})

test('[AC32] of two who hold the same refresh token at most one keeps a session: whoever comes second with an older one ends it', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const hour = 3_600_000
  const stolen = async (steal: (token: string) => Promise<void>): Promise<string> => {
    const from = doors.lines.length
    const session = (await call<SignedIn>(doors.url, 'POST', '/v1/auth/login', { body: login })).body
    await steal(session.refreshToken ?? '')
    return doors.lines.slice(from).join('')
  }
  const found = /a spent refresh token was used again/
  await setUp(doors)
  // The thief comes after the owner, who has not yet presented what they got.
  assert.match(
    await stolen(async (token) => {
      const owner = (await refresh(doors, token)).body
      doors.clock.pass(hour)
      const thief = (await refresh(doors, token)).body
      assert.notEqual(thief.refreshToken, owner.refreshToken)
      doors.clock.pass(hour)
      const next = (await refresh(doors, thief.refreshToken)).body
      assertProblem(await refresh(doors, owner.refreshToken), 'session_revoked')
      for (const token of [thief.refreshToken, next.refreshToken, owner.refreshToken])
        assertProblem(await refresh(doors, token), 'session_revoked')
      assertProblem(await me(doors, next.accessToken), 'session_revoked')
    }),
    found,
  )
  // The thief comes first.
  assert.match(
    await stolen(async (token) => {
      const thief = (await refresh(doors, token)).body
      doors.clock.pass(hour)
      const owner = (await refresh(doors, token)).body
      assertProblem(await refresh(doors, thief.refreshToken), 'session_revoked')
      assertProblem(await refresh(doors, owner.refreshToken), 'session_revoked')
    }),
    found,
  )
  // The thief comes first and goes on before the owner is back.
  assert.match(
    await stolen(async (token) => {
      const thief = (await refresh(doors, token)).body
      doors.clock.pass(hour)
      const next = (await refresh(doors, thief.refreshToken)).body
      doors.clock.pass(hour)
      assertProblem(await refresh(doors, token), 'session_revoked')
      assertProblem(await refresh(doors, next.refreshToken), 'session_revoked')
    }),
    found,
  )
  // The thief comes once the owner has gone on.
  assert.match(
    await stolen(async (token) => {
      const owner = (await refresh(doors, token)).body
      doors.clock.pass(hour)
      const next = (await refresh(doors, owner.refreshToken)).body
      doors.clock.pass(hour)
      assertProblem(await refresh(doors, token), 'session_revoked')
      assertProblem(await refresh(doors, next.refreshToken), 'session_revoked')
    }),
    found,
  )
})

test('[AC33] a token is exchanged once more at most five times, and no longer than it lives', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const first = await setUp(doors)
  for (let times = 0; times <= mostReissues; times++) {
    assert.equal((await refresh(doors, first.refreshToken)).status, 200)
    doors.clock.pass(refreshGraceMs + 1)
  }
  assertProblem(await refresh(doors, first.refreshToken), 'session_revoked')
  const second = (await call<SignedIn>(doors.url, 'POST', '/v1/auth/login', { body: login })).body
  await refresh(doors, second.refreshToken)
  doors.clock.pass(refreshTokenLifetimeMs)
  assertProblem(await refresh(doors, second.refreshToken), 'unauthenticated')
})

test('[AC14] a session that nobody uses for thirty days is over', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const first = await setUp(doors)
  doors.clock.pass(refreshTokenLifetimeMs - 1)
  const second = await refresh(doors, first.refreshToken)
  assert.equal(second.status, 200)
  doors.clock.pass(refreshTokenLifetimeMs)
  assertProblem(await refresh(doors, second.body.refreshToken), 'unauthenticated')
})

test('[AC15] with transport "cookie" no script sees the refresh token: it is in an HttpOnly cookie for /v1/auth only', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  await setUp(doors)
  const origin = { origin: doors.url }
  const signedIn = await call<SignedIn>(doors.url, 'POST', '/v1/auth/login', {
    body: { ...login, transport: 'cookie' },
    headers: origin,
  })
  assert.equal(signedIn.status, 200)
  assert.equal('refreshToken' in signedIn.body, false)
  const [cookie = ''] = signedIn.headers.getSetCookie()
  assert.match(
    cookie,
    /^atom_refresh=[\w-]{43}; Max-Age=2592000; Path=\/v1\/auth; HttpOnly; SameSite=Strict$/,
  )
  const pair = cookie.split(';', 1)[0] ?? ''
  const refreshed = await call<SignedIn>(doors.url, 'POST', '/v1/auth/refresh', {
    headers: { ...origin, cookie: pair },
  })
  assert.equal(refreshed.status, 200)
  assert.equal('refreshToken' in refreshed.body, false)
  assert.notEqual(refreshed.headers.getSetCookie()[0]?.split(';', 1)[0], pair)
  const out = await call(doors.url, 'POST', '/v1/auth/logout', { token: refreshed.body.accessToken })
  assert.equal(out.status, 204)
  assert.match(out.headers.getSetCookie()[0] ?? '', /^atom_refresh=; Max-Age=0; Path=\/v1\/auth;/)
})

test('[AC16] over https the cookie is Secure', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database, { http: { publicUrl: 'https://atom.example' } })
  const answer = await call(doors.url, 'POST', '/v1/setup', {
    body: { ...founder, transport: 'cookie' },
    headers: { origin: 'https://atom.example', host: 'atom.example' },
  })
  assert.equal(answer.status, 201)
  assert.match(answer.headers.getSetCookie()[0] ?? '', /; Secure/)
  assert.match(answer.headers.get('strict-transport-security') ?? '', /max-age=\d{8}/)
})

test('[AC17] a page of another origin can neither sign in with cookies nor use the refresh cookie', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database, {
    http: { allowedOrigins: ['https://friend.example'] },
  })
  await setUp(doors)
  const host = new URL(doors.url).host
  const refused = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `${doors.url}.evil.example` },
    { origin: `http://evil.example:${new URL(doors.url).port}` },
    { origin: `http://${host}@evil.example` },
    { origin: 'https://friend.example.evil.example' },
    { origin: 'https://friend.example:8443' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]
  const signedIn = await call<SignedIn>(doors.url, 'POST', '/v1/auth/login', {
    body: { ...login, transport: 'cookie' },
    headers: { origin: 'https://friend.example' },
  })
  assert.equal(signedIn.status, 200)
  const cookie = signedIn.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
  for (const headers of refused as Record<string, string>[]) {
    assertProblem(
      await call(doors.url, 'POST', '/v1/auth/refresh', { headers: { ...headers, cookie } }),
      'origin_refused',
    )
    assertProblem(
      await call(doors.url, 'POST', '/v1/auth/login', { body: { ...login, transport: 'cookie' }, headers }),
      'origin_refused',
    )
  }
  assert.equal((await call(doors.url, 'POST', '/v1/auth/refresh', { headers: { cookie } })).status, 200)
})

test('[AC18] ending a session stops its access tokens at once, on every process, and tells who listens', async () => {
  await using db = await testDatabase()
  const http = { publicUrl: 'http://atom.test' }
  await using one = await openDoors(db.database, { http })
  await using two = await openDoors(db.database, { http, clock: one.clock })
  const first = await setUp(one)
  const second = (await call<SignedIn>(two.url, 'POST', '/v1/auth/login', { body: login })).body
  const heard: string[] = []
  using _listening = two.revocations.subscribe((sessionId) => void heard.push(sessionId))
  assert.equal((await me(two, first.accessToken)).status, 200)

  const list = await call<{ items: { id: string; current: boolean }[] }>(
    one.url,
    'GET',
    '/v1/auth/sessions',
    {
      token: second.accessToken,
    },
  )
  assert.deepEqual(
    list.body.items.map(({ current }) => current),
    [true, false],
  )
  const other = list.body.items[1]?.id ?? ''
  const ended = await call(one.url, 'DELETE', `/v1/auth/sessions/${other}`, { token: second.accessToken })
  assert.equal(ended.status, 204)
  assertProblem(await me(one, first.accessToken), 'session_revoked')
  await until(() => heard.length > 0)
  assert.deepEqual(heard, [other])
  assertProblem(await me(two, first.accessToken), 'session_revoked')
  assertProblem(await refresh(two, first.refreshToken), 'session_revoked')

  await using three = await openDoors(db.database, { http, clock: one.clock })
  assertProblem(await me(three, first.accessToken), 'session_revoked')
  assert.equal((await me(three, second.accessToken)).status, 200)
  const again = await call(one.url, 'DELETE', `/v1/auth/sessions/${other}`, { token: second.accessToken })
  assertProblem(again, 'not_found')
})

test('[AC19] nobody ends the session of somebody else', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const owner = await setUp(doors)
  const invited = await call<{ url: string }>(doors.url, 'POST', routes.invite.path, {
    token: owner.accessToken,
    body: { email: 'grace@example.com', role: 'admin' },
  })
  const guest = await call<SignedIn>(doors.url, 'POST', routes.acceptInvitation.path, {
    body: {
      token: invited.body.url.split('#token=')[1],
      name: 'Grace',
      password: 'nine quiet herons walk',
    },
  })
  const list = await call<{ items: { id: string }[] }>(doors.url, 'GET', '/v1/auth/sessions', {
    token: owner.accessToken,
  })
  assert.equal(list.body.items.length, 1)
  const address = `/v1/auth/sessions/${list.body.items[0]?.id}`
  assertProblem(await call(doors.url, 'DELETE', address, { token: guest.body.accessToken }), 'not_found')
  assert.equal((await me(doors, owner.accessToken)).status, 200)
})

test('[AC20] a list is read page by page without a gap, and a cursor of something else is refused', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const { accessToken: token } = await setUp(doors)
  for (let times = 0; times < 4; times++) await call(doors.url, 'POST', '/v1/auth/login', { body: login })
  const seen: string[] = []
  let next: string | null = ''
  while (next !== null) {
    const cursor: string = next === '' ? '' : `&cursor=${next}`
    const page = await call<{ items: { id: string }[]; next: string | null }>(
      doors.url,
      'GET',
      `/v1/auth/sessions?limit=2${cursor}`,
      { token },
    )
    seen.push(...page.body.items.map(({ id }) => id))
    next = page.body.next
  }
  assert.equal(seen.length, 5)
  assert.equal(new Set(seen).size, 5)
  for (const query of ['cursor=7', 'limit=0', 'limit=2x', 'limit=1&limit=2', 'limit=%00', 'other=1'])
    assertProblem(await call(doors.url, 'GET', `/v1/auth/sessions?${query}`, { token }), 'validation_failed')
})
