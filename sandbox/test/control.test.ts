import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import { Browser } from './support/browser.ts'
import {
  askConsent,
  connect,
  connectStandard,
  dial,
  exchange,
  githubApi,
  googleApi,
  redirectUris,
  refreshed,
} from './support/clients.ts'

type Json = Record<string, unknown>
const newIssue = (title: string) => ({ method: 'POST', body: JSON.stringify({ title }) })
const issues = '/repos/atom-labs/app/issues'

test('[SB17] faults strike as often as told, in the provider’s own shape, and then no more', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'github', { scope: 'repo' })
  const google = await connect(sandbox, 'google', { scope: 'https://www.googleapis.com/auth/calendar' })
  const path = '/github/api/user'

  sandbox.control.fault({ path, times: 2, outcome: { status: 503 }, retryAfterSeconds: 7 })
  for (const _round of [1, 2]) {
    const down = await githubApi(sandbox, token, '/user')
    assert.equal(down.status, 503)
    assert.equal(down.headers.get('retry-after'), '7')
    assert.ok(((await down.json()) as Json)['documentation_url'])
  }
  assert.equal((await githubApi(sandbox, token, '/user')).status, 200)

  sandbox.control.fault({ path: '/github/api/*', outcome: 'rate_limited', retryAfterSeconds: 3 })
  const limited = await githubApi(sandbox, token, '/user')
  assert.deepEqual([limited.status, limited.headers.get('retry-after')], [403, '3'])
  sandbox.control.fault({ path: '/google/calendar/*', outcome: 'rate_limited' })
  const quota = await googleApi(sandbox, google.token, '/calendar/v3/calendars/primary/events')
  const problem = (await quota.json()) as { error: { errors: Json[] } }
  assert.deepEqual([quota.status, problem.error.errors[0]?.['reason']], [403, 'rateLimitExceeded'])

  const lifted = sandbox.control.fault({ path, times: 99, outcome: { status: 500 } })
  await githubApi(sandbox, token, '/user')
  lifted[Symbol.dispose]()
  assert.equal(lifted.struck, 1)
  assert.equal((await githubApi(sandbox, token, '/user')).status, 200)
})

test('[SB18] a cut connection loses the request, a cut answer only the answer: the effect tells them apart', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'github', { scope: 'repo' })
  sandbox.control.fault({ path: '/github/api/repos/*', method: 'POST', outcome: 'cut' })
  await assert.rejects(githubApi(sandbox, token, issues, newIssue('Lost')), TypeError)
  sandbox.control.fault({ path: '/github/api/repos/*', method: 'POST', outcome: 'cut_after' })
  await assert.rejects(githubApi(sandbox, token, issues, newIssue('Made')), TypeError)
  assert.deepEqual(
    sandbox.control.effects().map(({ title }) => title),
    ['Made'],
  )

  const asked = await askConsent(sandbox, 'google', { scope: 'openid' })
  sandbox.control.fault({ path: '/google/token', outcome: 'cut_after' })
  await assert.rejects(exchange(sandbox, 'google', asked), TypeError)
  assert.equal(
    (await exchange(sandbox, 'google', asked)).status,
    400,
    'the code was spent by the lost answer',
  )
  assert.equal(sandbox.control.requests({ method: 'POST', path: '/google/token' }).length, 2)
})

test('[SB19] time passes when told: access tokens die after an hour, refresh tokens do not', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const scope = 'https://www.googleapis.com/auth/calendar'
  const { token, body } = await connect(sandbox, 'google', { scope, extra: { access_type: 'offline' } })
  const status = async (bearer: string) =>
    (await googleApi(sandbox, bearer, '/calendar/v3/users/me/calendarList')).status
  const refreshed = async () => {
    const { clientId, clientSecret } = sandbox.apps.google
    const answer = await fetch(dial(sandbox, 'https://oauth2.googleapis.com/token'), {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: String(body['refresh_token']),
        client_id: clientId,
        client_secret: clientSecret,
      }),
    })
    return ((await answer.json()) as Json)['access_token']
  }
  sandbox.control.advance(3500)
  assert.equal(await status(token), 200)
  sandbox.control.advance(200)
  assert.equal(await status(token), 401)
  const second = String(await refreshed())
  assert.equal(await status(second), 200)
  assert.equal(sandbox.control.expireTokens('google'), 1)
  assert.equal(await status(second), 401)
  assert.ok(await refreshed())
})

test('[SB20] a person can withdraw consent: every token is dead, nobody else’s is', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const ada = await connect(sandbox, 'github', { scope: 'repo' })
  const grace = await connect(sandbox, 'github', { scope: 'repo', person: 'grace' })
  assert.equal(sandbox.control.revoke('github', 'ada'), 1)
  assert.equal((await githubApi(sandbox, ada.token, '/user')).status, 401)
  assert.equal((await githubApi(sandbox, grace.token, '/user')).status, 200)
})

test('[SB21] a GitHub token has its limit of requests, said in headers, and 403 beyond it', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'github', { scope: 'repo' })
  const usual = await githubApi(sandbox, token, '/user')
  assert.deepEqual(
    [usual.headers.get('x-ratelimit-limit'), usual.headers.get('x-ratelimit-remaining')],
    ['5000', '4999'],
  )
  sandbox.control.rateLimit('github', 2)
  assert.equal((await githubApi(sandbox, token, '/user')).status, 200)
  const beyond = await githubApi(sandbox, token, '/user')
  assert.equal(beyond.status, 403)
  assert.equal(beyond.headers.get('x-ratelimit-remaining'), '0')
  assert.match(String(((await beyond.json()) as Json)['message']), /^API rate limit exceeded for user ID/)
})

test('[SB22] the controls are open over HTTP on this machine, and to nothing that comes by another name', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const control = (path: string, body?: object) =>
    fetch(`${sandbox.url}/_control${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body ?? {}),
    })
  assert.equal((await control('/faults', { path: '/github/api/user', outcome: { status: 500 } })).status, 204)
  assert.equal((await githubApi(sandbox, undefined, '/user')).status, 500)
  assert.equal((await control('/faults', { path: '/x', outcome: 'sometimes' })).status, 400)
  assert.equal((await control('/revoke', { provider: 'nobody' })).status, 400)
  const { token } = await connect(sandbox, 'github', { scope: 'repo' })
  await githubApi(sandbox, token, issues, newIssue('Once'))
  const effects = (await (await fetch(`${sandbox.url}/_control/effects?title=Once`)).json()) as {
    items: Json[]
  }
  assert.equal(effects.items.length, 1)
  assert.equal((await control('/reset')).status, 204)
  assert.equal(sandbox.control.effects().length, 0)
  assert.equal((await githubApi(sandbox, token, '/user')).status, 401)
  assert.equal((await githubApi(sandbox, undefined, `${issues}/43`)).status, 404)

  const rebound = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get(`${sandbox.url}/_control`, { headers: { host: 'evil.example' } }, resolve).on('error', reject)
  })
  rebound.resume()
  assert.equal(rebound.statusCode, 421)
})

test('[SB23] kill -9 loses nothing: port, apps, consents, tokens, open pages and issues are there after the restart', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-sandbox-'))
  const running: ChildProcess[] = []
  try {
    const before = await start(dataDir, running)
    const { token, asked } = await connect(before.sandbox, 'github', { scope: 'repo' })
    const google = await connect(before.sandbox, 'google', {
      scope: 'https://www.googleapis.com/auth/calendar openid',
      extra: { access_type: 'offline' },
    })
    const created = await githubApi(before.sandbox, token, issues, newIssue('Survive'))
    assert.equal(created.status, 201)
    const browser = new Browser()
    const { apps } = before.sandbox
    const authorize = dial(before.sandbox, 'https://github.com/login/oauth/authorize')
    authorize.search = `client_id=${apps.github.clientId}&scope=gist&redirect_uri=${redirectUris[0]}`
    const page = await browser.submit(await browser.open(authorize), [['person', 'katherine']])
    assert.match(page.text, /Katherine Johnson/)
    const code = await askConsent(before.sandbox, 'google', { scope: 'openid' })

    before.child.kill('SIGKILL')
    await once(before.child, 'exit')
    const after = await start(dataDir, running)
    assert.equal(after.sandbox.url, before.sandbox.url)
    assert.deepEqual(after.sandbox.apps, before.sandbox.apps)

    assert.equal((await githubApi(after.sandbox, token, '/user')).status, 200)
    const issue = (await (await githubApi(after.sandbox, token, `${issues}/43`)).json()) as Json
    assert.equal(issue['title'], 'Survive')
    const effects = (await (await fetch(`${after.sandbox.url}/_control/effects`)).json()) as { items: Json[] }
    assert.equal(effects.items.length, 1)
    assert.equal((await exchange(after.sandbox, 'google', code)).status, 200, 'a code from before')
    const { url: callback } = await browser.submit(page, [['decision', 'agree']])
    assert.ok(callback.searchParams.get('code'), 'the page that was open is answered')
    const again = await askConsent(after.sandbox, 'github', { scope: 'repo', browser: asked.browser })
    assert.equal(again.pages.length, 0, 'still signed in, still granted')
    const { clientId, clientSecret } = after.sandbox.apps.google
    const refreshed = await fetch(dial(after.sandbox, 'https://oauth2.googleapis.com/token'), {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: String(google.body['refresh_token']),
        client_id: clientId,
        client_secret: clientSecret,
      }),
    })
    assert.equal(refreshed.status, 200)
    await assert.rejects(startSandbox({ dataDir }), /another sandbox may be running on it/)
  } finally {
    for (const child of running) child.kill('SIGKILL')
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('[SB47] kill -9 loses nothing of HubSpot, Notion and Slack either: tokens, rotation, records, pages and messages', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-sandbox-'))
  const running: ChildProcess[] = []
  try {
    const { child, sandbox: before } = await start(dataDir, running)
    const json = { 'content-type': 'application/json' }
    const rotation = `${before.url}/_control/slack-token-rotation`
    assert.equal((await fetch(rotation, { method: 'POST', headers: json, body: '{}' })).status, 204)
    const slack = await connectStandard(before, 'slack', { scope: 'chat:write,channels:history' })
    const notion = await connectStandard(before, 'notion', { scope: '', extra: { owner: 'user' } })
    const hubspot = await connectStandard(before, 'hubspot', { scope: 'crm.objects.contacts.write' })
    const write = async (url: string, token: string, body: object) => {
      const headers = { ...json, authorization: `Bearer ${token}`, 'notion-version': '2026-03-11' }
      const init = { method: 'POST', headers, body: JSON.stringify(body) }
      return (await (await fetch(dial(before, url), init)).json()) as Json
    }
    const contacts = 'https://api.hubapi.com/crm/v3/objects/contacts'
    await write(contacts, hubspot.token, { properties: { email: 'survivor@example.com' } })
    const message = { channel: 'general', text: 'Survive' }
    await write('https://slack.com/api/chat.postMessage', slack.token, message)
    const search = 'https://api.notion.com/v1/search'
    const found = (await write(search, notion.token, { query: 'handbook' })) as { results?: Json[] }
    const parent = { page_id: found.results?.[0]?.['id'] }
    const properties = { title: [{ text: { content: 'Survive' } }] }
    await write('https://api.notion.com/v1/pages', notion.token, { parent, properties })

    child.kill('SIGKILL')
    await once(child, 'exit')
    const { sandbox: after } = await start(dataDir, running)
    assert.deepEqual(after.apps, before.apps)
    const again = await write(contacts, hubspot.token, { properties: { email: 'survivor@example.com' } })
    assert.equal(again['category'], 'CONFLICT', 'the contact is there')
    const pages = (await write(search, notion.token, { query: 'survive' })) as { results?: Json[] }
    assert.equal(pages.results?.length, 1)
    const next = await refreshed(after, 'slack', slack.refreshToken)
    const history = dial(after, 'https://slack.com/api/conversations.history?channel=C0GENERAL&limit=1')
    const headers = { authorization: `Bearer ${next.access_token}` }
    const newest = (await (await fetch(history, { headers })).json()) as { messages: Json[] }
    assert.equal(newest.messages[0]?.['text'], 'Survive')
    assert.match((await connectStandard(after, 'slack', { scope: 'chat:write' })).refreshToken, /^xoxe-1-/)
    const effects = (await (await fetch(`${after.url}/_control/effects`)).json()) as { items: Json[] }
    assert.deepEqual(
      effects.items.map(({ provider }) => provider),
      ['hubspot', 'slack', 'notion'],
    )
  } finally {
    for (const each of running) each.kill('SIGKILL')
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('[SB24] a port that is taken stops the start with one sentence; last time’s port that is taken is given up', async () => {
  await using other = await startSandbox()
  await assert.rejects(startSandbox({ port: other.port }), {
    message: `Port ${other.port} is taken: choose another for the sandbox.`,
  })
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-sandbox-'))
  try {
    const first = await startSandbox({ dataDir })
    const { port } = first
    await first[Symbol.asyncDispose]()
    const squatter = http.createServer().listen(port, '127.0.0.1')
    await once(squatter, 'listening')
    await using second = await startSandbox({ dataDir })
    assert.notEqual(second.port, port)
    squatter.close()
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

/** The sandbox as a process of its own, seen from outside. */
async function start(dataDir: string, running: ChildProcess[]) {
  const main = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url))
  const redirects = redirectUris.flatMap((uri) => ['--redirect-uri', uri])
  const child = spawn(process.execPath, [main, 'sandbox', '--data-dir', dataDir, ...redirects], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.push(child)
  const lines = createInterface({ input: child.stdout })
  const [line] = (await once(lines, 'line')) as [string]
  const url = /http:\S+/.exec(line)?.[0]
  assert.ok(url, line)
  const about = (await (await fetch(`${url}/_control`)).json()) as Pick<Sandbox, 'url' | 'origins' | 'apps'>
  return { child, sandbox: about as Sandbox }
}
