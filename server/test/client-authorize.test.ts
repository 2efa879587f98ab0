import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { type App, createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { ada, assertAccessible, openBrowser } from './support/browser.ts'
import { buildClientPage } from './support/client-page.ts'
import { emptyTestDatabase, testLog, urlOf } from './support/postgres.ts'

interface Ended {
  readonly outcome: string
  readonly code?: string
  readonly connected?: string
  readonly detail?: string
  readonly connection?: { readonly id: string; readonly identity: { readonly name: string } }
}

const token = 'the-token-of-this-test'

suite('consent in a real browser', { concurrency: false, timeout: 200_000 }, () => {
  const born = new AsyncDisposableStack()
  let atom: App
  let context: BrowserContext
  let address: string

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atom-authorize-'))
    born.defer(() => rm(folder, { recursive: true }))
    const database = born.use(await emptyTestDatabase())
    const config = readConfig({
      ATOM_DATA_DIR: join(folder, 'data'),
      ATOM_PORT: String(await freePort()),
      ATOM_SETUP_TOKEN: token,
      ATOM_SANDBOX: '1',
      DATABASE_URL: urlOf(database.connection),
    })
    await buildClientPage(join(folder, 'page'))
    atom = born.use(await createApp(config, { log: testLog, dashboard: join(folder, 'page') }))
    await atom.listen()
    // Playwright lets every window through; people's browsers do not.
    const browser = born.use(await openBrowser({ blockPopups: true }))
    context = await browser.person()
    const page = await context.newPage()
    address = `${atom.url}/client-page`
    await page.goto(address)
    await page.locator('#session').filter({ hasText: 'signed_out' }).waitFor()
    await page.evaluate(`window.atom.session.setup(${JSON.stringify({ ...ada, token })})`)
    await page.evaluate('window.atom.connections.openSandbox()')
    await page.close()
  })
  after(() => born[Symbol.asyncDispose]())

  async function open(): Promise<Page> {
    const page = await context.newPage()
    await page.goto(address)
    await page.locator('#session').filter({ hasText: 'signed_in' }).waitFor()
    return page
  }

  /** Clicks, with these calls of the client in the click. */
  async function begin(page: Page, ...calls: readonly (readonly unknown[])[]): Promise<void> {
    await page.evaluate(`window.calls = ${JSON.stringify(calls)}`)
    await page.getByRole('button', { name: 'Begin' }).click()
  }

  async function ended(page: Page, id = '#ended'): Promise<Ended> {
    const told = page.locator(id).filter({ hasText: /^\{/ })
    return JSON.parse((await told.textContent()) ?? '')
  }

  async function popupOf(page: Page, ...call: readonly unknown[]): Promise<Page> {
    const opened = page.waitForEvent('popup')
    await begin(page, call)
    const popup = await opened
    await popup.getByRole('button', { name: /Ada Lovelace/ }).waitFor()
    return popup
  }

  async function agree(at: Page, person = 'Ada Lovelace'): Promise<void> {
    await at.getByRole('button', { name: new RegExp(person) }).click()
    await at.getByRole('button', { name: /^Authorize|^Allow|^Continue/ }).click()
  }

  const inPopup = { mode: 'popup', returnTo: '/client-page' }

  test('[CL43] by popup: connected, with the connection; the window is gone', async () => {
    const page = await open()
    const popup = await popupOf(page, 'authorize', 'github', inPopup)
    await agree(popup)
    const { outcome, connection } = await ended(page)
    assert.equal(outcome, 'connected')
    assert.equal(connection?.identity.name, 'Ada Lovelace')
    if (!popup.isClosed()) await popup.waitForEvent('close')
    await page.close()
  })

  test('[CL43] a person who takes their time is waited for: the window at the provider does not read as closed', async () => {
    const page = await context.newPage()
    await page.clock.install()
    await page.goto(address)
    await page.locator('#session').filter({ hasText: 'signed_in' }).waitFor()
    const popup = await popupOf(page, 'authorize', 'google', inPopup)
    await page.clock.runFor('01:00')
    assert.equal(await page.locator('#ended').textContent(), 'null')
    await agree(popup)
    assert.equal((await ended(page)).outcome, 'connected')
    await page.close()
  })

  test('[CL43] by popup: denied at the provider, and closed by the person, are two outcomes', async () => {
    const page = await open()
    const denying = await popupOf(page, 'authorize', 'google', inPopup)
    await denying.getByRole('button', { name: /Ada Lovelace/ }).click()
    await denying.getByRole('button', { name: /^Cancel|^Deny/ }).click()
    assert.equal((await ended(page)).outcome, 'denied')

    const leaving = await popupOf(page, 'authorize', 'google', inPopup)
    await leaving.close()
    assert.equal((await ended(page)).outcome, 'closed')
    await page.close()
  })

  test('[CL43] a window that the browser blocks is said, and redirect takes its place: the page leaves and is told on return', async () => {
    const page = await open()
    // One click is good for one window.
    await begin(page, ['authorize', 'google', inPopup], ['authorize', 'github', inPopup])
    const blocked = await ended(page)
    assert.equal(blocked.outcome, 'popup_blocked')
    assert.match(blocked.detail ?? '', /Allow pop-ups/)
    for (const other of context.pages()) if (other !== page) await other.close()

    await begin(page, ['authorize', 'google', { mode: 'redirect', returnTo: '/client-page' }])
    await page.waitForURL((url) => url.origin !== atom.url)
    await agree(page)
    await page.waitForURL(`${address}*`)
    const returned = await ended(page, '#returned')
    assert.match(returned.connected ?? '', /^[0-9a-f-]{36}$/)
    await page.close()
  })

  test('[CL44] reconnecting with another account is told as such, and the connection stays; with its own it is the same connection', async () => {
    const page = await open()
    const first = await popupOf(page, 'authorize', 'google', inPopup)
    await agree(first)
    const { connection } = await ended(page)
    assert.ok(connection)
    const about = { id: connection.id, provider: 'google' }

    const wrong = await popupOf(page, 'reconnect', about, inPopup)
    await agree(wrong, 'Grace Hopper')
    const refused = await ended(page)
    assert.equal(refused.outcome, 'other_account')
    assert.match(refused.detail ?? '', /Sign in there with the account of this connection/)

    const right = await popupOf(page, 'reconnect', about, inPopup)
    await agree(right)
    const again = await ended(page)
    assert.equal(again.outcome, 'connected')
    assert.equal(again.connection?.id, connection.id)

    const wider = await popupOf(page, 'widen', about, ['https://www.googleapis.com/auth/calendar'], inPopup)
    await agree(wider)
    assert.equal((await ended(page)).connection?.id, connection.id)
    const kinds = await page.evaluate(
      `window.atom.connections.events('${connection.id}').then(({ items }) => items.map(({ kind }) => kind))`,
    )
    assert.ok(Array.isArray(kinds))
    assert.deepEqual(kinds.slice(0, 2), ['widened', 'reconnected'])
    await page.close()
  })

  test('[CL44] ten minutes without an answer time out and close the window; what cannot be begun fails with its code', async () => {
    const page = await context.newPage()
    await page.clock.install()
    await page.goto(address)
    await page.locator('#session').filter({ hasText: 'signed_in' }).waitFor()
    const popup = await popupOf(page, 'authorize', 'google', inPopup)
    await page.clock.fastForward('10:05')
    assert.equal((await ended(page)).outcome, 'timed_out')
    if (!popup.isClosed()) await popup.waitForEvent('close')

    await begin(page, ['authorize', 'linear', inPopup])
    const failed = await ended(page)
    assert.deepEqual([failed.outcome, failed.code], ['failed', 'provider_not_configured'])
    await page.close()
  })

  test('[CN248] the server shows each provider’s setup page with its own address, and the page is accessible', async () => {
    const page = await context.newPage()
    await page.goto(`${atom.url}/docs/providers/google`)
    await page.getByRole('heading', { level: 1, name: 'Google' }).waitFor()
    await page.getByText(`${atom.url}/v1/oauth/callback/google`).waitFor()
    await assertAccessible(page, 'setup page')
    await page.close()
  })
})
