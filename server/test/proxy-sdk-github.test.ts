import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Octokit, RequestError } from 'octokit'
import { sdkScene } from './support/sdk-scene.ts'

const repository = { owner: 'atom-labs', repo: 'app' }

test('[CN211] octokit runs through the proxy by its base address: reads, pages by Link, a write, a limit, an error, a revoked grant', async () => {
  await using it = await sdkScene('github')
  const limits: number[] = []
  const octokit = new Octokit({
    auth: it.token,
    baseUrl: it.base,
    retry: { enabled: false },
    throttle: {
      onRateLimit: (retryAfter: number) => {
        limits.push(retryAfter)
        return false
      },
      onSecondaryRateLimit: (retryAfter: number) => {
        limits.push(retryAfter)
        return false
      },
    },
  })
  assert.equal((await octokit.rest.users.getAuthenticated()).data.login, 'ada')

  const issues = await octokit.paginate(octokit.rest.issues.listForRepo, {
    ...repository,
    state: 'all',
    per_page: 5,
  })
  const asked = it.sandbox.control.requests({ path: '/github/api/repos/atom-labs/app/issues' })
  assert.equal(asked.length, Math.ceil(issues.length / 5))
  assert.ok(asked.length > 2)
  assert.equal(new Set(issues.map(({ number }) => number)).size, issues.length)

  const { data: issue } = await octokit.rest.issues.create({ ...repository, title: 'Through the proxy' })
  assert.equal(issue.title, 'Through the proxy')
  assert.equal(it.sandbox.control.effects({ kind: 'issue.created', title: 'Through the proxy' }).length, 1)

  await assert.rejects(
    octokit.rest.issues.get({ ...repository, issue_number: 99_999 }),
    (error) => error instanceof RequestError && error.status === 404 && /Not Found/.test(error.message),
  )

  it.sandbox.control.rateLimit('github', 0)
  await assert.rejects(
    octokit.rest.issues.get({ ...repository, issue_number: issue.number }),
    (error) => error instanceof RequestError && error.status === 403,
  )
  assert.equal(limits.length, 1)
  assert.ok((limits[0] ?? 0) > 0)

  it.sandbox.control.rateLimit('github', 5_000)
  it.sandbox.control.revoke('github')
  await assert.rejects(
    octokit.rest.users.getAuthenticated(),
    (error) => error instanceof RequestError && error.status === 409,
  )
})

test('[CN211] octokit takes a capability for a token as well', async () => {
  await using it = await sdkScene('github')
  const lent = await it.ada.call('POST', `/v1/connections/${it.connection.id}/capabilities`, {
    json: { methods: ['GET'], paths: ['/repos/atom-labs/app/**'], expiresIn: 60 },
  })
  const octokit = new Octokit({ auth: lent.body.token, baseUrl: it.base, retry: { enabled: false } })
  assert.ok((await octokit.rest.issues.listForRepo(repository)).data.length > 0)
  await assert.rejects(
    octokit.rest.issues.create({ ...repository, title: 'Not allowed' }),
    (error) => error instanceof RequestError && error.status === 403,
  )
})
