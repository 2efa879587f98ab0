import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import { accountRoutes } from '@atom/contract/accounts.ts'
import { type Connection, connectionRoutes } from '@atom/contract/connections.ts'
import { Connections, type Page, type Popup } from '../src/connections.ts'
import { Http } from '../src/http.ts'
import { Session } from '../src/session.ts'
import type { Tabs } from '../src/tabs.ts'
import { sharedTabs } from './support/shared-tabs.ts'
import { eventually, until } from './support/until.ts'

/** The server's doors for connections, and the browser's window. */
class House {
  connections: Connection[] = []
  returnTo: string | undefined
  readonly browser = sharedTabs()
  readonly happened: string[] = []
  readonly popup: Popup & { closed: boolean } = {
    closed: false,
    close: () => {
      this.popup.closed = true
    },
    location: { replace: (url) => this.happened.push(`popup goes to ${url}`) },
  }
  blocked = false

  page(href = 'http://atom.test/connections'): Page {
    return {
      href,
      openPopup: () => {
        this.happened.push('popup opens')
        return this.blocked ? null : this.popup
      },
      goTo: (url) => this.happened.push(`page goes to ${url}`),
      closeItself: () => this.popup.close(),
    }
  }

  async open(href?: string, tabs: Tabs = this.browser.open()): Promise<Connections> {
    const http = new Http({ baseUrl: 'http://atom.test', fetch: this.#fetch, transport: 'cookie' })
    const session = new Session({ http, tabs, transport: 'cookie' })
    await session.resume()
    return new Connections({ session, tabs, page: this.page(href), pollMs: 20 })
  }

  grant(provider: string): Connection {
    const connection: Connection = {
      id: randomUUID(),
      provider,
      flow: 'authorization_code',
      status: 'active',
      identity: { id: '1', name: 'Ada' },
      scopes: [],
      missingScopes: [],
      sandbox: false,
      ownerId: randomUUID(),
      expiresAt: null,
      credentials: [{ slot: 'main', expiresAt: null, refreshExpiresAt: null }],
      connectedAt: new Date().toISOString(),
      lastUsedAt: null,
    }
    this.connections = [connection, ...this.connections]
    return connection
  }

  /** Where consent sends the browser back to. */
  returns(outcome: Record<string, string>): string {
    const url = new URL(this.returnTo ?? '/connections', 'http://atom.test')
    for (const [name, value] of Object.entries(outcome)) url.searchParams.set(name, value)
    return url.href
  }

  readonly #fetch: typeof fetch = async (input, init) => {
    const { pathname } = new URL(String(input))
    if (pathname === accountRoutes.refresh.path)
      return Response.json({
        account: { id: 'a', email: '', name: 'Ada', createdAt: '' },
        workspace: { id: 'w', name: 'W' },
        role: 'owner',
        accessToken: 'token',
        tokenType: 'Bearer',
        expiresIn: 600,
      })
    if (pathname !== connectionRoutes.connections.path) {
      return Response.json(this.connections.find(({ id }) => pathname.endsWith(id)))
    }
    if (init?.method === 'GET') return Response.json({ items: this.connections, next: null })
    const body = JSON.parse(String(init?.body)) as { provider: string; returnTo?: string }
    this.returnTo = body.returnTo
    return Response.json(
      { flowId: randomUUID(), authorizeUrl: `https://${body.provider}.test/authorize` },
      { status: 201 },
    )
  }
}

suite('authorizing a connection', () => {
  test('[CL27] the window opens within the click itself, before anything is awaited', async () => {
    const house = new House()
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    assert.deepEqual(house.happened, ['popup opens'])
    await eventually(() => house.happened.includes('popup goes to https://github.test/authorize'))
    house.popup.closed = true
    await assert.rejects(outcome, { code: 'window_closed' })
  })

  test('[CL27] a blocked window is said at once, and nothing is begun', async () => {
    const house = new House()
    house.blocked = true
    const connections = await house.open()
    await assert.rejects(connections.authorize('github', { mode: 'popup' }), { code: 'popup_blocked' })
    assert.equal(house.returnTo, undefined)
  })

  test('[CL28] the page that consent returns to tells the one that waits, and closes its window', async () => {
    const house = new House()
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup', returnTo: '/rooms/7?view=all' })
    await eventually(() => house.happened.length === 2)
    const granted = house.grant('github')
    const back = await house.open(house.returns({ connected: granted.id }))
    assert.deepEqual(back.completeAuthorization(), { connected: granted.id })
    assert.deepEqual(await outcome, granted)
    assert.equal(house.popup.closed, true)
    assert.match(house.returnTo ?? '', /^\/rooms\/7\?view=all&attempt=/)
  })

  test('[CL28] consent that was denied is thrown as what it is', async () => {
    const house = new House()
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 2)
    const back = await house.open(house.returns({ problem: 'consent_denied' }))
    assert.equal(back.completeAuthorization()?.problem?.code, 'consent_denied')
    await assert.rejects(outcome, { code: 'consent_denied' })
    assert.equal(house.popup.closed, true)
  })

  test('[CL28] where the return page’s word does not arrive, the new connection is found in the list', async () => {
    const house = new House()
    house.grant('github')
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 2)
    house.grant('google')
    const granted = house.grant('github')
    assert.deepEqual(await outcome, granted)
    assert.equal(house.popup.closed, true)
  })

  test('[CL28] the outcome of another attempt is not taken for this one', async () => {
    const house = new House()
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 2)
    const stranger = await house.open('http://atom.test/connections?attempt=another&problem=consent_denied')
    stranger.completeAuthorization()
    await new Promise((resolve) => setTimeout(resolve, 20))
    const granted = house.grant('github')
    const back = await house.open(house.returns({ connected: granted.id }))
    back.completeAuthorization()
    assert.deepEqual(await outcome, granted)
  })

  test('[CL29] by redirect the page goes to the provider, and tells the outcome when it is back', async () => {
    const house = new House()
    const connections = await house.open()
    assert.equal(
      await connections.authorize('google', { mode: 'redirect', returnTo: '/connections' }),
      undefined,
    )
    assert.deepEqual(house.happened, ['page goes to https://google.test/authorize'])
    const back = await house.open(house.returns({ problem: 'flow_expired', provider: 'google' }))
    assert.equal(back.completeAuthorization()?.problem?.code, 'flow_expired')
    assert.equal(house.popup.closed, false)
    assert.equal((await house.open('http://atom.test/connections')).completeAuthorization(), undefined)
    const forged = await house.open('http://atom.test/connections?problem=%3Cscript%3E')
    assert.equal(forged.completeAuthorization()?.problem?.code, 'flow_invalid')
  })

  test('[CL29] a connection made in one tab appears in the lists of the others', async () => {
    const house = new House()
    const [one, two] = [await house.open(), await house.open()]
    await two.list()
    const granted = house.grant('github')
    const back = await house.open(house.returns({ connected: granted.id }))
    back.completeAuthorization()
    const { items } = await until(two, (now) => now.items.length === 1)
    assert.deepEqual(items, [granted])
    assert.equal(one.getSnapshot().state, 'loading')
  })
})
