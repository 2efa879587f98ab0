import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { CommandProcess } from './support/command-process.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'
import { until } from './support/until.ts'

/** All that somebody who is no part of Atom knows of it: what the command says of itself. */
interface Said {
  readonly url: string
  readonly control: string
  readonly origins: Readonly<Record<string, string>>
  readonly apps: Readonly<Record<string, { readonly clientId: string; readonly clientSecret: string }>>
}

const callback = 'http://127.0.0.1:9/callback'

/** Something that each provider answers; without a token, which a fault does not ask for. */
const asked: Readonly<Record<string, string>> = {
  github: 'https://api.github.com/user',
  google: 'https://www.googleapis.com/calendar/v3/users/me/calendarList',
  microsoft: 'https://graph.microsoft.com/v1.0/me',
  asana: 'https://app.asana.com/api/1.0/users/me',
  salesforce: 'https://atom-labs.my.salesforce.com/services/data/v67.0/limits',
  hubspot: 'https://api.hubapi.com/crm/v3/objects/contacts',
  notion: 'https://api.notion.com/v1/users/me',
  slack: 'https://slack.com/api/auth.test',
}

class Stranger implements AsyncDisposable {
  readonly said: Said
  readonly command: CommandProcess

  private constructor(command: CommandProcess) {
    this.command = command
    this.said = JSON.parse(command.output) as Said
  }

  static async start(...args: string[]): Promise<Stranger> {
    const command = new CommandProcess(['sandbox', '--json', '--redirect-uri', callback, ...args], {})
    let ended = false
    void command.ended.then(() => {
      ended = true
    })
    await until(() => command.output.endsWith('\n') || ended)
    return new Stranger(command)
  }

  /** The address that stands in for a provider's own. */
  here(address: string): string {
    const { origin, pathname, search } = new URL(address)
    const base = this.said.origins[origin]
    assert.ok(base, origin)
    return `${base}${pathname}${search}`
  }

  async control(what: string, body?: object): Promise<unknown> {
    const answer = await fetch(`${this.said.control}/${what}`, {
      ...(body !== undefined && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    })
    const text = await answer.text()
    assert.ok(answer.ok, text)
    return text === '' ? undefined : JSON.parse(text)
  }

  async ask(provider: string): Promise<Response> {
    return await fetch(this.here(asked[provider] ?? ''), { headers: { 'user-agent': 'a stranger' } })
  }

  /** An access token of Google and its refresh token, by nothing but RFC 6749 and RFC 7636. */
  async connect(): Promise<{ access_token: string; refresh_token: string }> {
    const { clientId, clientSecret } = this.said.apps['google'] ?? { clientId: '', clientSecret: '' }
    const verifier = randomBytes(32).toString('base64url')
    const url = new URL(this.here('https://accounts.google.com/o/oauth2/v2/auth'))
    const query = {
      response_type: 'code',
      client_id: clientId,
      redirect_uri: callback,
      scope: 'https://www.googleapis.com/auth/calendar',
      access_type: 'offline',
      prompt: 'consent',
      state: 'a-state',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    }
    url.search = new URLSearchParams(query).toString()
    const back = await visitSandbox(url, { person: 'ada', decision: 'agree' })
    assert.equal(`${back.origin}${back.pathname}`, callback)
    return await this.token({
      grant_type: 'authorization_code',
      code: back.searchParams.get('code') ?? '',
      redirect_uri: callback,
      code_verifier: verifier,
      client_id: clientId,
      client_secret: clientSecret,
    })
  }

  async token(form: Record<string, string>) {
    const body = new URLSearchParams(form)
    const answer = await fetch(this.here('https://oauth2.googleapis.com/token'), { method: 'POST', body })
    const text = await answer.text()
    assert.equal(answer.status, 200, text)
    return JSON.parse(text) as { access_token: string; refresh_token: string }
  }

  async statusWith(accessToken: string): Promise<number> {
    const headers = { authorization: `Bearer ${accessToken}` }
    return (await fetch(this.here(asked['google'] ?? ''), { headers })).status
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.command[Symbol.asyncDispose]()
  }
}

test('[SB80] “atom sandbox” runs alone, and with what it says any client connects; SIGTERM ends it with 0', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'atom-sandbox-'))
  try {
    await using stranger = await Stranger.start('--data-dir', dataDir)
    const { said } = stranger
    assert.deepEqual(Object.keys(said.apps).sort(), Object.keys(asked).sort())
    const { access_token } = await stranger.connect()
    assert.equal(await stranger.statusWith(access_token), 200)
    assert.equal(await stranger.command.stop(), 0)
    // Another time, the same addresses, apps and tokens.
    await using again = await Stranger.start('--data-dir', dataDir)
    assert.deepEqual(again.said, said)
    assert.equal(await again.statusWith(access_token), 200)
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

test('[SB80] a wrong call of “atom sandbox” ends with 2, a port that is taken with 1 and one sentence', async () => {
  const wrong = [
    ['--port', '99999'],
    ['--redirect-uri', 'callback'],
    ['--redirect-uri', 'http://127.0.0.1/#fragment'],
    ['--surprise'],
  ]
  for (const args of wrong)
    assert.equal((await new CommandProcess(['sandbox', ...args], {}).ended).code, 2, args.join(' '))
  const squatter = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => squatter.once('listening', resolve))
  const address = squatter.address()
  assert.ok(address !== null && typeof address === 'object')
  const { code, output } = await new CommandProcess(['sandbox', '--port', String(address.port)], {}).ended
  squatter.close()
  assert.deepEqual([code, output], [1, `Port ${address.port} is taken: choose another for the sandbox.\n`])
})

test('[SB81] a stranger makes each of the eight providers slow, busy, broken, or gone, over HTTP, as often as told', async () => {
  await using stranger = await Stranger.start()
  for (const provider of Object.keys(asked)) {
    const path = new URL(stranger.here(asked[provider] ?? '')).pathname
    const usual = (await stranger.ask(provider)).status

    await stranger.control('faults', { path, outcome: 'rate_limited', retryAfterSeconds: 7 })
    const busy = await stranger.ask(provider)
    assert.ok([403, 429].includes(busy.status), `${provider} ${busy.status}`)
    await stranger.control('faults', { path, outcome: { status: 503 }, times: 2 })
    assert.equal((await stranger.ask(provider)).status, 503, provider)
    const { items } = (await stranger.control('faults')) as { items: object[] }
    assert.deepEqual(items, [{ path, outcome: { status: 503 }, times: 2, struck: 1 }])
    assert.equal((await stranger.ask(provider)).status, 503, provider)

    for (const outcome of ['cut', 'cut_after']) {
      await stranger.control('faults', { path, outcome })
      await assert.rejects(stranger.ask(provider), TypeError, `${provider} ${outcome}`)
    }
    await stranger.control('faults', { path, delayMs: 300 })
    const began = performance.now()
    assert.equal((await stranger.ask(provider)).status, usual, provider)
    assert.ok(performance.now() - began >= 295, 'latency')
    assert.deepEqual(await stranger.control('faults'), { items: [] })
    assert.equal((await stranger.ask(provider)).status, usual, `${provider}, and then no more`)
  }
  const { items } = (await stranger.control('requests?path=/slack/*')) as { items: { status: number }[] }
  assert.equal(items.length, 8)
})

test('[SB82] a stranger lets time pass, ends tokens, withdraws consent and begins anew, over HTTP', async () => {
  await using stranger = await Stranger.start()
  const tokens = await stranger.connect()
  const now = async () => {
    const about = (await (await fetch(stranger.said.control)).json()) as { now: string }
    return Date.parse(about.now)
  }
  assert.equal(await stranger.statusWith(tokens.access_token), 200)
  const before = await now()
  await stranger.control('advance', { seconds: 4_000 })
  assert.ok((await now()) - before >= 4_000_000)
  assert.equal(await stranger.statusWith(tokens.access_token), 401)
  const { clientId, clientSecret } = stranger.said.apps['google'] ?? { clientId: '', clientSecret: '' }
  const client = { client_id: clientId, client_secret: clientSecret }
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...client }
  const second = await stranger.token(refresh)
  assert.equal(await stranger.statusWith(second.access_token), 200)
  assert.deepEqual(await stranger.control('expire', { provider: 'google' }), { expired: 1 })
  assert.equal(await stranger.statusWith(second.access_token), 401)
  const third = await stranger.token(refresh)
  const { items } = (await stranger.control('issued')) as { items: string[] }
  for (const token of [tokens.access_token, tokens.refresh_token, second.access_token, third.access_token])
    assert.ok(items.includes(token), 'what it issued can be looked for')
  await stranger.control('revoke', { provider: 'google', person: 'ada' })
  assert.equal(await stranger.statusWith(third.access_token), 401)
  await stranger.control('rate-limit', { provider: 'google', perHour: 1 })
  const fourth = await stranger.connect()
  assert.equal(await stranger.statusWith(fourth.access_token), 200)
  assert.equal(await stranger.statusWith(fourth.access_token), 403)
  await stranger.control('reset', {})
  assert.equal(await stranger.statusWith(fourth.access_token), 401)
  assert.deepEqual(await stranger.control('issued'), { items: [] })
})
