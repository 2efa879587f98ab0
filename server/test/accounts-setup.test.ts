import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SignedIn } from '@atom/contract/accounts.ts'
import sql from 'sql-template-tag'
import { invitationLifetimeMs } from '#accounts/accounts.ts'
import { assertProblem, call } from './support/calls.ts'
import { founder, openDoors, setupToken } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'

test('[AC1] the setup link makes the first owner and the workspace, and signs in', async () => {
  await using db = await testDatabase()
  const arrivals: unknown[] = []
  await using doors = await openDoors(db.database, {
    arrived: async (_tx, arrival) => void arrivals.push(arrival),
  })
  assert.deepEqual((await call(doors.url, 'GET', '/v1/setup')).body, { open: true })
  const { status, body } = await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })
  assert.equal(status, 201)
  assert.equal(body.role, 'owner')
  assert.equal(body.account.email, 'Ada@Example.com')
  assert.equal(body.tokenType, 'Bearer')
  assert.equal(body.expiresIn, 600)
  assert.deepEqual(arrivals, [
    { workspace: body.workspace, account: { id: body.account.id, name: 'Ada' }, founded: true },
  ])
  const me = await call<SignedIn>(doors.url, 'GET', '/v1/me', { token: body.accessToken })
  assert.deepEqual(me.body, { account: body.account, workspace: body.workspace, role: 'owner' })
  assert.deepEqual((await call(doors.url, 'GET', '/v1/setup')).body, { open: false })
  assertProblem(await call(doors.url, 'POST', '/v1/setup', { body: founder }), 'setup_closed')
  assertProblem(
    await call(doors.url, 'POST', '/v1/setup', { body: { ...founder, token: 'wrong' } }),
    'setup_closed',
  )
})

test('[AC2] twenty people with the setup link at once: one becomes the owner, the others are told it is closed', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      call(doors.url, 'POST', '/v1/setup', { body: { ...founder, email: `p${at}@example.com` } }),
    ),
  )
  assert.equal(answers.filter(({ status }) => status === 201).length, 1)
  for (const answer of answers) if (answer.status !== 201) assertProblem(answer, 'setup_closed')
  const rows = await db.database.query(sql`
    select (select count(*) from accounts) as accounts, (select count(*) from workspaces) as workspaces,
      (select count(*) from memberships) as memberships, (select count(*) from sessions) as sessions`)
  assert.deepEqual(rows, [{ accounts: 1, workspaces: 1, memberships: 1, sessions: 1 }])
})

test('[AC3] a wrong setup link changes nothing, and guessing it is slowed down', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const wrong = { body: { ...founder, token: `${setupToken}x` } }
  assertProblem(await call(doors.url, 'POST', '/v1/setup', wrong), 'setup_token_invalid')
  for (let tries = 1; tries < 50; tries++)
    assertProblem(await call(doors.url, 'POST', '/v1/setup', wrong), 'setup_token_invalid')
  const problem = assertProblem(await call(doors.url, 'POST', '/v1/setup', wrong), 'rate_limited')
  assert.ok((problem.retryAfterMs ?? 0) > 0)
  assert.deepEqual((await call(doors.url, 'GET', '/v1/setup')).body, { open: true })
  doors.clock.pass(120_000)
  assert.equal((await call(doors.url, 'POST', '/v1/setup', { body: founder })).status, 201)
})

test('[AC4] a weak password is refused with the reason and nothing is made', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  for (const password of ['short', 'password1234', 'aaaaaaaaaaaaaaaa', 'qwertyuiop12', 'ada@example.com']) {
    const answer = await call(doors.url, 'POST', '/v1/setup', { body: { ...founder, password } })
    const problem = assertProblem(answer, 'weak_password')
    assert.match(problem.detail, /Use /)
    assert.ok(!JSON.stringify(problem).includes(password))
  }
  assert.deepEqual((await call(doors.url, 'GET', '/v1/setup')).body, { open: true })
})

test('[AC5] when what belongs to an arrival fails, there is no account and setup stays open', async () => {
  await using db = await testDatabase()
  let fails = true
  await using doors = await openDoors(db.database, {
    arrived: async () => {
      if (fails) throw new Error('no room for you')
    },
  })
  assertProblem(await call(doors.url, 'POST', '/v1/setup', { body: founder }), 'internal')
  assert.deepEqual((await call(doors.url, 'GET', '/v1/setup')).body, { open: true })
  fails = false
  assert.equal((await call(doors.url, 'POST', '/v1/setup', { body: founder })).status, 201)
})

test('[AC6] an invitation brings one person in, once, within seven days', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const owner = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })).body
  const invite = async (email: string) =>
    (
      await call<{ url: string; invitation: { id: string } }>(doors.url, 'POST', '/v1/invitations', {
        token: owner.accessToken,
        body: { email, role: 'member' },
      })
    ).body
  const accept = async (url: string, name = 'Grace') =>
    await call<SignedIn>(doors.url, 'POST', '/v1/invitations/accept', {
      body: { token: new URL(url).hash.replace('#token=', ''), name, password: 'nine quiet herons walk' },
    })

  const { url, invitation } = await invite('grace@example.com')
  assert.ok(url.startsWith(`${doors.url}/join#token=`))
  const stored = await db.database.query<{ row: string }>(sql`select i::text as row from invitations i`)
  assert.ok(!stored[0]?.row.includes(new URL(url).hash.replace('#token=', '')))

  const answers = await Promise.all(Array.from({ length: 10 }, () => accept(url)))
  const [joined, ...others] = answers.sort((one, other) => one.status - other.status)
  assert.equal(joined?.status, 201)
  assert.equal(joined?.body.role, 'member')
  for (const other of others) assert.ok(['invitation_invalid', 'email_taken'].includes(assertAny(other)))
  assertProblem(await accept(url), 'invitation_invalid')

  const members = await call<{ items: { account: { name: string } }[] }>(doors.url, 'GET', '/v1/members', {
    token: owner.accessToken,
  })
  assert.deepEqual(members.body.items.map(({ account }) => account.name).sort(), ['Ada', 'Grace'])
  const listed = await call<{ items: { id: string; acceptedAt: string | null }[] }>(
    doors.url,
    'GET',
    '/v1/invitations',
    { token: owner.accessToken },
  )
  assert.equal(listed.body.items[0]?.id, invitation.id)
  assert.notEqual(listed.body.items[0]?.acceptedAt, null)

  const withdrawn = await invite('w@example.com')
  const address = `/v1/invitations/${withdrawn.invitation.id}`
  assert.equal((await call(doors.url, 'DELETE', address, { token: owner.accessToken })).status, 204)
  assertProblem(await call(doors.url, 'DELETE', address, { token: owner.accessToken }), 'not_found')
  assertProblem(await accept(withdrawn.url), 'invitation_invalid')

  const late = await invite('late@example.com')
  doors.clock.pass(invitationLifetimeMs)
  assertProblem(await accept(late.url), 'invitation_invalid')
})

function assertAny(answer: { body: unknown }): string {
  return (answer.body as { code: string }).code
}

test('[AC7] only owners and admins invite, and nobody is invited who is here', async () => {
  await using db = await testDatabase()
  await using doors = await openDoors(db.database)
  const owner = (await call<SignedIn>(doors.url, 'POST', '/v1/setup', { body: founder })).body
  const body = { email: 'grace@example.com', role: 'member' }
  const { url } = (
    await call<{ url: string }>(doors.url, 'POST', '/v1/invitations', { token: owner.accessToken, body })
  ).body
  const member = (
    await call<SignedIn>(doors.url, 'POST', '/v1/invitations/accept', {
      body: { token: url.split('#token=')[1], name: 'Grace', password: 'nine quiet herons walk' },
    })
  ).body
  const asMember = { token: member.accessToken, body: { ...body, email: 'x@example.com' } }
  assertProblem(await call(doors.url, 'POST', '/v1/invitations', asMember), 'forbidden')
  assertProblem(await call(doors.url, 'GET', '/v1/invitations', { token: member.accessToken }), 'forbidden')
  assertProblem(await call(doors.url, 'POST', '/v1/invitations', { body }), 'unauthenticated')
  for (const email of ['grace@example.com', 'GRACE@example.com', 'ada@example.com'])
    assertProblem(
      await call(doors.url, 'POST', '/v1/invitations', {
        token: owner.accessToken,
        body: { email, role: 'member' },
      }),
      'email_taken',
    )
  assertProblem(
    await call(doors.url, 'POST', '/v1/invitations', {
      token: owner.accessToken,
      body: { email: 'boss@example.com', role: 'owner' },
    }),
    'validation_failed',
  )
})
