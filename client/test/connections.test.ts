import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import { accountRoutes } from '@atom/contract/accounts.ts'
import { type Connection, type ConnectionFlow, connectionRoutes } from '@atom/contract/connections.ts'
import type { Body } from '@atom/contract/route.ts'
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
  /** What has become of the flow that was begun last. */
  flow: ConnectionFlow = { status: 'pending' }
  /** The last request that began something. */
  begun: Body<typeof connectionRoutes.connect> | undefined
  /** The person is at the page that waits. */
  focused = true
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
      hasFocus: () => this.focused,
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
      askedScopes: [],
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
    this.flow = { status: 'connected', connectionId: connection.id }
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
    if (pathname.startsWith('/v1/connections/flows/')) return Response.json(this.flow)
    if (pathname !== connectionRoutes.connections.path) {
      return Response.json(this.connections.find(({ id }) => pathname.endsWith(id)))
    }
    if (init?.method === 'GET') return Response.json({ items: this.connections, next: null })
    const body = JSON.parse(String(init?.body)) as Body<typeof connectionRoutes.connect>
    this.begun = body
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
    assert.equal((await outcome).outcome, 'closed')
  })

  test('[CL27] a blocked window is said at once, and nothing is begun', async () => {
    const house = new House()
    house.blocked = true
    const connections = await house.open()
    assert.equal((await connections.authorize('github', { mode: 'popup' })).outcome, 'popup_blocked')
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
    assert.deepEqual(await outcome, { outcome: 'connected', connection: granted })
    assert.equal(house.popup.closed, true)
    assert.match(house.returnTo ?? '', /^\/rooms\/7\?view=all&attempt=/)
  })

  test('[CL28] consent that was denied is told as what it is', async () => {
    const house = new House()
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 2)
    const back = await house.open(house.returns({ problem: 'consent_denied' }))
    assert.equal(back.completeAuthorization()?.problem?.code, 'consent_denied')
    const ended = await outcome
    assert.equal(ended.outcome, 'denied')
    assert.equal('problem' in ended && ended.problem.code, 'consent_denied')
    assert.equal(house.popup.closed, true)
  })

  test('[CL28] where the return page’s word does not arrive, the server says what became of it', async () => {
    const house = new House()
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 2)
    const granted = house.grant('github')
    assert.deepEqual(await outcome, { outcome: 'connected', connection: granted })
    assert.equal(house.popup.closed, true)

    house.popup.closed = false
    house.flow = { status: 'pending' }
    const second = connections.authorize('google', { mode: 'popup' })
    await eventually(() => house.happened.length === 4)
    house.flow = { status: 'failed', problem: 'consent_denied' }
    assert.equal((await second).outcome, 'denied')
  })

  test('[CL45] a window that reads as closed is waited for while the person is not back at the page', async () => {
    const house = new House()
    house.focused = false
    const connections = await house.open()
    const outcome = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 2)
    house.popup.closed = true
    // Longer than the grace of a window that was really closed.
    assert.equal(
      await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 200, 'waits'))]),
      'waits',
    )
    const granted = house.grant('github')
    assert.deepEqual(await outcome, { outcome: 'connected', connection: granted })

    house.flow = { status: 'pending' }
    house.popup.closed = false
    const given = connections.authorize('github', { mode: 'popup' })
    await eventually(() => house.happened.length === 4)
    house.popup.closed = true
    await new Promise((resolve) => setTimeout(resolve, 100))
    house.focused = true
    assert.equal((await given).outcome, 'closed')
  })

  test('[CL46] an account that came by a key, a code or an installation is begun anew as itself, by its own way', async () => {
    const house = new House()
    const connections = await house.open()
    const { id } = house.grant('linear')
    await connections.beginAgain({ id, provider: 'linear', flow: 'api_key' }, { credential: { key: 'new' } })
    assert.deepEqual(house.begun, {
      provider: 'linear',
      connectionId: id,
      flow: 'api_key',
      credential: { key: 'new' },
    })
    await connections.beginAgain({ id, provider: 'github', flow: 'device_code' })
    assert.deepEqual(house.begun, { provider: 'github', connectionId: id, flow: 'device_code' })
    void connections.reconnect({ id, provider: 'github', flow: 'app_installation' }, { mode: 'redirect' })
    await eventually(() => house.begun?.flow === 'app_installation')
    assert.equal(house.begun?.connectionId, id)
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
    assert.deepEqual(await outcome, { outcome: 'connected', connection: granted })
  })

  test('[CL29] by redirect the page goes to the provider, and tells the outcome when it is back', async () => {
    const house = new House()
    const connections = await house.open()
    assert.deepEqual(await connections.authorize('google', { mode: 'redirect', returnTo: '/connections' }), {
      outcome: 'leaving',
    })
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
