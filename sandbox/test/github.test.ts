import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { startSandbox } from '../src/sandbox.ts'
import { Browser } from './support/browser.ts'
import {
  askConsent,
  connect,
  dial,
  exchange,
  githubApi,
  redirectUri,
  redirectUris,
} from './support/clients.ts'

type Json = Record<string, unknown>

test('[SB1] a standard OAuth client with PKCE connects a GitHub account and reads who it is', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { asked, response, body, token } = await connect(sandbox, 'github', {
    scope: 'read:user user:email repo',
  })

  assert.equal(asked.stop.url.searchParams.get('iss'), 'https://github.com/login/oauth')
  assert.equal(response.status, 200)
  assert.match(token, /^gho_[0-9A-Za-z]{36}$/)
  assert.deepEqual(
    Object.keys(body).sort(),
    ['access_token', 'scope', 'token_type'],
    'no expiry, no refresh token',
  )
  assert.equal(body['scope'], 'read:user,user:email,repo')

  const me = await githubApi(sandbox, token, '/user')
  assert.equal(me.headers.get('x-oauth-scopes'), 'read:user, user:email, repo')
  assert.match(me.headers.get('x-github-request-id') ?? '', /^[0-9A-F]{4}:[0-9A-F]{4}:/)
  const profile = (await me.json()) as Json
  assert.equal(profile['login'], 'ada')
  assert.equal(profile['name'], 'Ada Lovelace')
  const picture = await fetch(String(profile['avatar_url']))
  assert.equal(picture.headers.get('content-type'), 'image/png')
  assert.equal(
    Buffer.from(await picture.arrayBuffer())
      .subarray(1, 4)
      .toString(),
    'PNG',
  )
})

test('[SB2] GitHub refuses with HTTP 200: wrong verifier, used code, wrong secret, other redirect URI', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const refusalOf = async (response: Response) => {
    assert.equal(response.status, 200)
    return ((await response.json()) as Json)['error']
  }

  const first = await askConsent(sandbox, 'github', { scope: 'repo' })
  assert.equal(
    await refusalOf(await exchange(sandbox, 'github', first, 'x'.repeat(43))),
    'bad_verification_code',
  )
  const good = await exchange(sandbox, 'github', first)
  assert.ok(((await good.json()) as Json)['access_token'], 'a wrong verifier does not spend the code')
  assert.equal(await refusalOf(await exchange(sandbox, 'github', first)), 'bad_verification_code')

  const second = await askConsent(sandbox, 'github', { scope: 'repo', browser: first.browser })
  assert.equal(second.pages.length, 0, 'signed in and granted: GitHub asks nothing')
  assert.equal(
    await refusalOf(await exchange(sandbox, 'github', { ...second, secret: 'wrong' })),
    'incorrect_client_credentials',
  )
  const elsewhere = await fetch(dial(sandbox, 'https://github.com/login/oauth/access_token'), {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({
      client_id: sandbox.apps.github.clientId,
      client_secret: sandbox.apps.github.clientSecret,
      code: second.stop.url.searchParams.get('code') ?? '',
      code_verifier: second.verifier,
      redirect_uri: redirectUri('google'),
    }),
  })
  assert.equal(await refusalOf(elsewhere), 'redirect_uri_mismatch')
})

test('[SB3] GitHub answers the token request as a form unless JSON is asked for, and needs neither PKCE nor redirect_uri', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const browser = new Browser()
  const url = dial(sandbox, 'https://github.com/login/oauth/authorize')
  url.search = `client_id=${sandbox.apps.github.clientId}&scope=read:user,gist&state=s`
  const people = await browser.open(url)
  const consent = await browser.submit(people, [['person', 'grace']])
  const { url: callback } = await browser.submit(consent, [['decision', 'agree']])
  const { clientId, clientSecret } = sandbox.apps.github
  const response = await fetch(dial(sandbox, 'https://github.com/login/oauth/access_token'), {
    method: 'POST',
    body: new URLSearchParams({
      client_id: clientId,
      client_secret: clientSecret,
      code: callback.searchParams.get('code') ?? '',
    }),
  })
  assert.match(response.headers.get('content-type') ?? '', /^application\/x-www-form-urlencoded/)
  const form = new URLSearchParams(await response.text())
  assert.equal(form.get('scope'), 'read:user,gist')
  const profile = (await (await githubApi(sandbox, form.get('access_token') ?? '', '/user')).json()) as Json
  assert.equal(profile['login'], 'grace')
})

test('[SB4] Cancel on the consent page comes back as access_denied with the state', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  for (const provider of ['github', 'google'] as const) {
    const { stop, state } = await askConsent(sandbox, provider, {
      scope: provider === 'github' ? 'repo' : 'openid email',
      decision: 'cancel',
    })
    assert.ok(stop.left)
    assert.equal(stop.url.searchParams.get('error'), 'access_denied')
    assert.equal(stop.url.searchParams.get('state'), state)
    assert.equal(stop.url.searchParams.get('code'), null)
  }
})

test('[SB5] a redirect URI that was not allowed gets no code; allowing it takes effect at once', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const ask = (uri: string) => ({ scope: 'repo', extra: { redirect_uri: uri } })
  const stranger = 'http://127.0.0.1:4999/v1/oauth/callback/github'
  const refused = await askConsent(sandbox, 'github', ask(stranger))
  assert.equal(`${refused.stop.url.origin}${refused.stop.url.pathname}`, redirectUri('github'))
  assert.equal(refused.stop.url.searchParams.get('error'), 'redirect_uri_mismatch')
  const google = await askConsent(sandbox, 'google', { ...ask(stranger), scope: 'openid' })
  assert.equal(google.stop.status, 400)
  assert.match(google.stop.text, /redirect_uri_mismatch/)

  sandbox.allowRedirect(stranger)
  const { stop } = await askConsent(sandbox, 'github', ask(stranger))
  assert.equal(stop.url.port, '4999')
  assert.ok(stop.url.searchParams.get('code'))
  assert.throws(() => sandbox.allowRedirect('/relative'), TypeError)
})

test('[SB6] revoking a GitHub token kills that token; revoking the grant kills all and asks for consent again', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const first = await connect(sandbox, 'github', { scope: 'repo' })
  const second = await connect(sandbox, 'github', { scope: 'repo', browser: first.asked.browser })
  const { clientId, clientSecret } = sandbox.apps.github
  const revoke = (what: 'token' | 'grant', token: string, secret = clientSecret) =>
    githubApi(sandbox, undefined, `/applications/${clientId}/${what}`, {
      method: 'DELETE',
      headers: {
        authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ access_token: token }),
    })
  const status = async (token: string) => (await githubApi(sandbox, token, '/user')).status

  assert.equal((await revoke('token', first.token, 'wrong')).status, 404)
  assert.equal((await revoke('token', first.token)).status, 204)
  assert.equal(await status(first.token), 401)
  assert.equal(await status(second.token), 200)

  assert.equal((await revoke('grant', second.token)).status, 204)
  assert.equal(await status(second.token), 401)
  const again = await askConsent(sandbox, 'github', { scope: 'repo', browser: first.asked.browser })
  assert.equal(again.pages.length, 1)
  assert.match(again.pages[0] ?? '', /Atom wants to use your GitHub account/)
})

test('[SB7] the GitHub API refuses in GitHub’s words: no User-Agent, bad token, no token, unknown, invisible, invalid', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'github', { scope: 'public_repo' })
  const nameless = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get(`${sandbox.origins['https://api.github.com']}/user`, resolve).on('error', reject)
  })
  assert.equal(nameless.statusCode, 403)
  nameless.resume()

  const refused = async (response: Response) => ({
    status: response.status,
    ...((await response.json()) as Json),
  })
  const bad = await refused(await githubApi(sandbox, `${token.slice(0, -1)}_`, '/user'))
  assert.deepEqual([bad.status, bad['message' as keyof typeof bad]], ['401', 'Bad credentials'])
  const none = await githubApi(sandbox, undefined, '/user')
  assert.equal(none.status, 401)
  assert.equal((await githubApi(sandbox, token, '/repos/atom-labs/nothing')).status, 404)
  assert.equal(
    (await githubApi(sandbox, token, '/repos/atom-labs/infra')).status,
    404,
    'private, and no repo scope',
  )
  assert.equal((await githubApi(sandbox, token, '/user/emails')).status, 404, 'no user:email scope')

  const post = (body: string) =>
    githubApi(sandbox, token, '/repos/atom-labs/app/issues', { method: 'POST', body })
  assert.equal((await post('{')).status, 400)
  assert.equal((await post('{}')).status, 422)
  const empty = await post('{"title":""}')
  assert.equal(empty.status, 422)
  const problem = (await empty.json()) as Json
  assert.deepEqual(problem['errors'], [{ resource: 'Issue', field: 'title', code: 'missing_field' }])
  assert.equal(sandbox.control.effects().length, 0)

  const reader = await connect(sandbox, 'github', { scope: 'read:user', person: 'grace' })
  const unscoped = await githubApi(sandbox, reader.token, '/repos/atom-labs/app/issues', {
    method: 'POST',
    body: '{"title":"No"}',
  })
  assert.equal(unscoped.status, 404)
  assert.equal(unscoped.headers.get('x-accepted-oauth-scopes'), 'public_repo, repo')
})

test('[SB8] issues are listed in pages with Link, pull requests among them, filtered and searched as GitHub does', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'github', { scope: 'repo' })
  const all: Json[] = []
  let next: string | undefined =
    `${sandbox.origins['https://api.github.com']}/repos/atom-labs/app/issues?state=all&per_page=10`
  let pages = 0
  while (next !== undefined) {
    const response: Response = await fetch(next, {
      headers: { authorization: `token ${token}`, 'user-agent': 'sandbox-test' },
    })
    all.push(...((await response.json()) as Json[]))
    next = /<([^>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
    pages += 1
  }
  assert.ok(all.length > 20 && pages === Math.ceil(all.length / 10))
  assert.equal(new Set(all.map((issue) => issue['number'])).size, all.length)
  assert.ok(all.some((issue) => 'pull_request' in issue))

  const mine = (await (await githubApi(sandbox, token, '/issues?per_page=100')).json()) as Json[]
  assert.ok(mine.length > 5)
  assert.ok(mine.every((issue) => (issue['assignees'] as Json[]).some(({ login }) => login === 'ada')))
  assert.ok(mine.some((issue) => (issue['repository'] as Json)['full_name'] === 'atom-labs/infra'))

  const search = async (q: string) => {
    const found = (await (
      await githubApi(sandbox, token, `/search/issues?q=${encodeURIComponent(q)}`)
    ).json()) as Json
    const items = found['items'] as Json[]
    return { count: found['total_count'], titles: items.map((issue) => issue['title']), items }
  }
  assert.deepEqual((await search('invoice cent repo:atom-labs/app is:issue is:open')).titles, [
    'Invoice total is off by one cent',
  ])
  assert.ok(
    (await search('assignee:@me is:open is:issue')).items.every((issue) => !('pull_request' in issue)),
  )
  const labelled = await search('label:"good first issue" repo:atom-labs/app -is:closed')
  assert.ok(labelled.titles.length > 2)
  assert.equal((await search('repo:atom-labs/app nonsensewordthatisnowhere')).count, 0)
  assert.equal((await githubApi(sandbox, token, '/search/issues?q=')).status, 422)
})

test('[SB9] an issue that is made, discussed and closed is counted as an effect once each, and its link opens', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'github', { scope: 'repo' })
  const created = await githubApi(sandbox, token, '/repos/atom-labs/app/issues', {
    method: 'POST',
    body: JSON.stringify({
      title: 'Fix the <login> page',
      body: 'Now.',
      labels: ['bug'],
      assignees: ['ada'],
    }),
  })
  assert.equal(created.status, 201)
  const issue = (await created.json()) as Json
  assert.equal(issue['number'], 43)
  await githubApi(sandbox, token, '/repos/atom-labs/app/issues/43/comments', {
    method: 'POST',
    body: '{"body":"On it."}',
  })
  const closed = await githubApi(sandbox, token, '/repos/atom-labs/app/issues/43', {
    method: 'PATCH',
    body: '{"state":"closed","state_reason":"not_planned"}',
  })
  assert.equal(((await closed.json()) as Json)['state_reason'], 'not_planned')

  assert.equal(sandbox.control.effects({ kind: 'issue.created', title: 'Fix the <login> page' }).length, 1)
  assert.deepEqual(
    sandbox.control.effects().map(({ kind, person, target }) => [kind, person, target]),
    ['issue.created', 'comment.created', 'issue.closed'].map((kind) => [kind, 'ada', 'atom-labs/app#43']),
  )
  const page = await fetch(String(issue['html_url']))
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-security-policy') ?? '', /^default-src 'none'/)
  const text = await page.text()
  assert.match(text, /Fix the &#60;login&#62; page/)
  assert.match(text, /On it\./)
})
