import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Sandbox, startSandbox } from '@atom/sandbox/sandbox.ts'
import { App, Octokit, RequestError } from 'octokit'
import { placed } from '#providers/stand-in.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'

const callback = 'http://127.0.0.1:3999/v1/oauth/callback/github'

/** The vendor's own client at the vendor's own addresses, which the network answers from here. */
function octokitApp(sandbox: Sandbox): App {
  const app = sandbox.apps.github.installable
  assert.ok(app)
  const dialling = (url: string | URL | Request, init?: RequestInit) =>
    fetch(placed(new URL(url instanceof Request ? url.url : url), sandbox.origins), init)
  return new App({
    appId: app.appId,
    privateKey: app.privateKey,
    oauth: { clientId: app.clientId, clientSecret: app.clientSecret },
    Octokit: Octokit.defaults({
      request: { fetch: dialling },
      retry: { enabled: false },
      throttle: { enabled: false },
    }),
  })
}

const refusedWith = (status: number) => (error: unknown) =>
  error instanceof RequestError && error.status === status

test('[SB94] octokit’s own GitHub App client works at the sandbox as at GitHub: signs, finds its installations, takes tokens, writes, and is told when it is uninstalled', async () => {
  await using sandbox = await startSandbox({ redirectUris: [callback] })
  const app = octokitApp(sandbox)
  const page = placed(new URL('https://github.com/apps/atom-sandbox/installations/new'), sandbox.origins)
  const back = await visitSandbox(page, { person: 'ada', decision: 'agree' })
  const id = Number(back.searchParams.get('installation_id'))

  assert.equal((await app.octokit.rest.apps.getAuthenticated()).data?.slug, 'atom-sandbox')
  const found: number[] = []
  await app.eachInstallation(({ installation }) => void found.push(installation.id))
  assert.deepEqual(found, [id])
  const repositories: string[] = []
  await app.eachRepository(({ repository }) => void repositories.push(repository.full_name))
  assert.ok(repositories.includes('atom-labs/app'), repositories.join())
  assert.equal((await app.octokit.rest.apps.getOrgInstallation({ org: 'atom-labs' })).data.id, id)

  const octokit = await app.getInstallationOctokit(id)
  const where = { owner: 'atom-labs', repo: 'app' }
  const issue = await octokit.rest.issues.create({ ...where, title: 'By the vendor’s own client' })
  assert.equal(issue.data.user?.login, 'atom-sandbox[bot]')
  const listed = await octokit.paginate(octokit.rest.issues.listForRepo, { ...where, per_page: 5 })
  assert.ok(listed.some(({ number }) => number === issue.data.number))
  await assert.rejects(octokit.rest.users.getAuthenticated(), refusedWith(403))
  const taken = () =>
    sandbox.control.requests({ method: 'POST', path: '/github/api/app/installations/*/access_tokens' }).length
  // One of the iteration, which the client kept.
  assert.equal(taken(), 1)

  await app.octokit.rest.apps.deleteInstallation({ installation_id: id })
  await assert.rejects(octokit.rest.issues.listForRepo(where), refusedWith(401))
  const fresh = await octokitApp(sandbox).getInstallationOctokit(id)
  await assert.rejects(fresh.rest.issues.listForRepo(where), refusedWith(404))
})

test('[SB94] octokit’s own GitHub App client signs a person in at the sandbox, and renews and deletes their token', async () => {
  await using sandbox = await startSandbox({ redirectUris: [callback] })
  const { oauth } = octokitApp(sandbox)
  const { url } = oauth.getWebFlowAuthorizationUrl({ redirectUrl: callback, state: 's' })
  const back = await visitSandbox(placed(new URL(url), sandbox.origins), {
    person: 'grace',
    decision: 'agree',
  })
  const { authentication } = await oauth.createToken({
    code: back.searchParams.get('code') ?? '',
    state: 's',
  })
  assert.ok('refreshToken' in authentication)
  assert.match(authentication.token, /^ghu_/)
  const person = await oauth.getUserOctokit({ token: authentication.token })
  assert.equal((await person.request('GET /user')).data.login, 'grace')
  const { authentication: next } = await oauth.refreshToken({ refreshToken: authentication.refreshToken })
  await assert.rejects(person.request('GET /user'), refusedWith(401))
  const renewed = await oauth.getUserOctokit({ token: next.token })
  assert.equal((await renewed.request('GET /user')).data.login, 'grace')
  await oauth.deleteToken({ token: next.token })
  await assert.rejects(renewed.request('GET /user'), refusedWith(401))
})
