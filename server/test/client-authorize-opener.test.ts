import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { type App, createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { ada, openBrowser } from './support/browser.ts'
import { buildClientPage } from './support/client-page.ts'
import { LoopbackProvider } from './support/loopback-provider.ts'
import { emptyTestDatabase, testLog, urlOf } from './support/postgres.ts'
import { until } from './support/until.ts'

const token = 'the-token-of-this-test'

suite('consent at a provider that cuts the tie between the windows', {
  concurrency: false,
  timeout: 200_000,
}, () => {
  const born = new AsyncDisposableStack()
  let atom: App
  let provider: LoopbackProvider
  let context: BrowserContext

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atom-opener-'))
    born.defer(() => rm(folder, { recursive: true }))
    const database = born.use(await emptyTestDatabase())
    provider = born.use(await LoopbackProvider.start())
    provider.workAsGitHub()
    provider.on('github.com', '/login/oauth/authorize', ({ path }) => {
      const asked = new URL(path, provider.url).searchParams
      const back = new URL(asked.get('redirect_uri') ?? '')
      back.searchParams.set('state', asked.get('state') ?? '')
      const denied = new URL(back)
      back.searchParams.set('code', 'the-code')
      denied.searchParams.set('error', 'access_denied')
      return {
        headers: { 'content-type': 'text/html', 'cross-origin-opener-policy': 'same-origin' },
        body: `<!doctype html><title>Provider</title><a href="${back}">Allow</a> <a href="${denied}">Deny</a>`,
      }
    })
    const config = readConfig({
      ATOM_DATA_DIR: join(folder, 'data'),
      ATOM_PORT: String(await freePort()),
      ATOM_SETUP_TOKEN: token,
      DATABASE_URL: urlOf(database.connection),
    })
    await buildClientPage(join(folder, 'page'))
    const sandbox = {
      providers: provider.providers,
      running: () => provider.running(),
      open: () => provider.open(),
      reach: () => [provider.url],
    }
    atom = born.use(await createApp(config, { log: testLog, dashboard: join(folder, 'page'), sandbox }))
    await atom.listen()
    const browser = born.use(await openBrowser())
    context = await browser.person()
    const page = await context.newPage()
    await page.goto(`${atom.url}/client-page`)
    await page.locator('#session').filter({ hasText: 'signed_out' }).waitFor()
    await page.evaluate(`window.atom.session.setup(${JSON.stringify({ ...ada, token })})`)
    await page.close()
  })
  after(() => born[Symbol.asyncDispose]())

  /** Begins in a window, and waits until that reads as closed although it is open. */
  async function atProvider(): Promise<{ page: Page; popup: Page }> {
    const page = await context.newPage()
    // A headless browser gives the focus to every page at once. Who looks at the provider's window has it there.
    await page.addInitScript({
      content: `
          document.hasFocus = () => window.isBack === true
          const open = window.open
          window.open = (...args) => (window.opened = open.apply(window, args))`,
    })
    await page.goto(`${atom.url}/client-page`)
    await page.locator('#session').filter({ hasText: 'signed_in' }).waitFor()
    await page.evaluate(
      `window.calls = [['authorize', 'github', { mode: 'popup', returnTo: '/client-page' }]]`,
    )
    const opened = page.waitForEvent('popup')
    await page.getByRole('button', { name: 'Begin' }).click()
    const popup = await opened
    await popup.getByRole('link', { name: 'Allow' }).waitFor()
    await until(async () => (await page.evaluate('window.opened.closed')) === true)
    assert.equal(popup.isClosed(), false)
    return { page, popup }
  }

  async function ended(page: Page): Promise<{ outcome: string }> {
    const told = page.locator('#ended').filter({ hasText: /^\{/ })
    return JSON.parse((await told.textContent()) ?? '')
  }

  test('[CL45] whoever takes their time there is waited for, and what they decide is the outcome', async () => {
    for (const [link, outcome] of [
      ['Allow', 'connected'],
      ['Deny', 'denied'],
    ] as const) {
      const { page, popup } = await atProvider()
      // Longer than a window that was really closed is forgiven.
      await page.waitForTimeout(3_000)
      assert.equal(await page.locator('#ended').textContent(), 'null')
      await popup.getByRole('link', { name: link }).click()
      assert.equal((await ended(page)).outcome, outcome)
      await page.close()
      if (!popup.isClosed()) await popup.close()
    }
  })

  test('[CL45] whoever is back at the page without an answer has closed the window', async () => {
    const { page, popup } = await atProvider()
    await popup.close()
    await page.evaluate('window.isBack = true')
    assert.equal((await ended(page)).outcome, 'closed')
    await page.close()
  })
})
