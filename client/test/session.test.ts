import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import { accountRoutes, type SignedIn } from '@atom/contract/accounts.ts'
import { errorTable } from '@atom/contract/errors.ts'
import { Http } from '../src/http.ts'
import { Session } from '../src/session.ts'
import { loneTab, type Tabs } from '../src/tabs.ts'
import { sharedTabs } from './support/shared-tabs.ts'
import { until } from './support/until.ts'

type Code = keyof typeof errorTable

/** The server's doors for accounts as the contract has them, with rotating refresh tokens: one that comes twice ends it all. */
class Doors {
  readonly account = {
    id: randomUUID(),
    email: 'ada@example.org',
    name: 'Ada',
    createdAt: new Date(0).toISOString(),
  }
  readonly requests: string[] = []
  refreshToken = 'refresh-0'
  readonly accessTokens = new Set<string>()
  lifetime = 600
  away = false
  #issued = 0

  readonly fetch: typeof fetch = async (input, init) => {
    if (this.away) throw new TypeError('fetch failed')
    const { pathname } = new URL(String(input))
    this.requests.push(`${init?.method} ${pathname}`)
    // The cookie is what it was when the request left.
    const cookie = this.refreshToken
    await new Promise((resolve) => setTimeout(resolve, 1))
    const bearer = new Headers(init?.headers).get('authorization')?.slice('Bearer '.length)
    const body = typeof init?.body === 'string' ? (JSON.parse(init.body) as Record<string, unknown>) : {}
    if (pathname === accountRoutes.login.path) return this.#signIn(body['transport'] === 'body')
    if (pathname === accountRoutes.refresh.path) {
      if (this.refreshToken === 'ended') return this.#refuse('session_revoked')
      if ((body['refreshToken'] ?? cookie) !== this.refreshToken) {
        this.refreshToken = 'ended'
        return this.#refuse('session_revoked')
      }
      return this.#signIn(body['refreshToken'] !== undefined)
    }
    if (bearer === undefined || !this.accessTokens.has(bearer)) return this.#refuse('token_expired')
    if (pathname === accountRoutes.logout.path) {
      this.refreshToken = 'ended'
      return new Response(null, { status: 204 })
    }
    return this.#json(200, { account: this.account, workspace: { id: 'w', name: 'W' }, role: 'owner' })
  }

  count(path: string): number {
    return this.requests.filter((request) => request.endsWith(path)).length
  }

  #signIn(inBody: boolean): Response {
    this.#issued += 1
    const accessToken = `access-${this.#issued}`
    this.accessTokens.add(accessToken)
    this.refreshToken = `refresh-${this.#issued}`
    const signedIn: SignedIn = {
      account: this.account,
      workspace: { id: 'w', name: 'W' },
      role: 'owner',
      accessToken,
      tokenType: 'Bearer',
      expiresIn: this.lifetime,
      ...(inBody ? { refreshToken: this.refreshToken } : {}),
    }
    return this.#json(200, signedIn)
  }

  #json(status: number, body: unknown): Response {
    return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json' } })
  }

  #refuse(code: Code): Response {
    const { status, title } = errorTable[code]
    return this.#json(status, { code, status, title, detail: title, retryable: false, requestId: 'r-1' })
  }
}

function open(doors: Doors, options: { tabs?: Tabs; transport?: 'cookie' | 'body' } = {}): Session {
  const transport = options.transport ?? 'cookie'
  const http = new Http({ baseUrl: 'http://atom.test', fetch: doors.fetch, transport })
  return new Session({ http, tabs: options.tabs ?? loneTab(), transport })
}

const ada = { email: 'ada@example.org', password: 'a long enough password' }

suite('a session', () => {
  test('[CL19] fifty callers of an expired access token cause one refresh, and none of them notices', async () => {
    for (const transport of ['cookie', 'body'] as const) {
      const doors = new Doors()
      const session = open(doors, { transport })
      await session.login(ada)
      doors.accessTokens.clear()
      const answers = await Promise.all(Array.from({ length: 50 }, () => session.call(accountRoutes.me)))
      assert.equal(answers.length, 50)
      assert.equal(doors.count('/refresh'), 1)
    }
  })

  test('[CL19] a token that is about to expire is refreshed before it is sent', async () => {
    const doors = new Doors()
    doors.lifetime = 10
    const session = open(doors)
    await session.login(ada)
    doors.lifetime = 600
    await session.call(accountRoutes.me)
    assert.deepEqual(doors.requests.slice(1), ['POST /v1/auth/refresh', 'GET /v1/me'])
  })

  test('[CL20] tabs that wake together refresh one after the other, never with the same refresh token', async () => {
    const browser = sharedTabs()
    const doors = new Doors()
    const tabs = Array.from({ length: 5 }, () => open(doors, { tabs: browser.open() }))
    await tabs[0]?.login(ada)
    for (const tab of tabs) await until(tab, ({ state }) => state === 'signed_in')
    assert.equal(doors.count('/refresh'), 0)
    doors.accessTokens.clear()
    await Promise.all(tabs.map((tab) => tab.call(accountRoutes.me)))
    // What one tab has fetched reaches the others by message; a tab that was faster than the message refreshes for itself.
    assert.ok(doors.count('/refresh') >= 1 && doors.count('/refresh') <= tabs.length)
    assert.notEqual(doors.refreshToken, 'ended')
  })

  test('[CL21] after a reload the session is taken up by the cookie; without one, the person is signed out', async () => {
    const doors = new Doors()
    await open(doors).login(ada)
    const reloaded = open(doors)
    assert.equal(reloaded.state, 'unknown')
    assert.equal((await reloaded.resume()).state, 'signed_in')
    assert.equal(reloaded.me?.account.name, 'Ada')
    doors.refreshToken = 'ended'
    assert.deepEqual(await open(doors).resume(), { state: 'signed_out' })
  })

  test('[CL21] a server that is away does not sign anybody out', async () => {
    const doors = new Doors()
    const session = open(doors)
    doors.away = true
    await assert.rejects(session.resume(), { code: 'offline', retryable: true })
    assert.equal(session.state, 'unknown')
    doors.away = false
    await session.login(ada)
    doors.away = true
    await assert.rejects(session.logout(), { code: 'offline' })
    assert.equal(session.state, 'signed_in')
  })

  test('[CL22] leaving in one tab leaves in all of them', async () => {
    const browser = sharedTabs()
    const doors = new Doors()
    const [one, two] = [open(doors, { tabs: browser.open() }), open(doors, { tabs: browser.open() })]
    await one.login(ada)
    await until(two, ({ state }) => state === 'signed_in')
    await one.logout()
    assert.equal(one.state, 'signed_out')
    await until(two, ({ state }) => state === 'signed_out')
    const before = doors.requests.length
    await assert.rejects(two.call(accountRoutes.me), { code: 'unauthenticated' })
    assert.equal(doors.requests.length, before)
  })

  test('[CL22] a session that the server has ended is over at the first answer that says so', async () => {
    const doors = new Doors()
    const session = open(doors)
    await session.login(ada)
    doors.accessTokens.clear()
    doors.refreshToken = 'ended'
    await assert.rejects(session.call(accountRoutes.me), { code: 'session_revoked', status: 401 })
    assert.deepEqual(session.getSnapshot(), { state: 'signed_out' })
  })

  test('[CL23] no token is in what is told to other tabs but the short-lived one, nor in anything a page can see', async () => {
    const told: unknown[] = []
    const tabs: Tabs = { ...loneTab(), tell: (_, message) => told.push(message) }
    const doors = new Doors()
    const session = open(doors, { tabs, transport: 'body' })
    await session.login(ada)
    assert.ok(told.length > 0)
    assert.doesNotMatch(JSON.stringify(told), /refresh-\d/)
    assert.doesNotMatch(JSON.stringify(session.getSnapshot()), /access-|refresh-/)
    assert.doesNotMatch(JSON.stringify(session), /access-|refresh-/)
  })

  test('[CL24] who I am stays the same object when only the token is renewed', async () => {
    const doors = new Doors()
    const session = open(doors)
    const me = await session.login(ada)
    const snapshot = session.getSnapshot()
    doors.accessTokens.clear()
    await session.call(accountRoutes.me)
    assert.equal(session.me, me)
    assert.equal(session.getSnapshot(), snapshot)
  })
})
