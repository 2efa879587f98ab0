import assert from 'node:assert/strict'
import { AxeBuilder } from '@axe-core/playwright'
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

/** Debian's Chromium with nothing in it that talks to the outside. */
export async function openBrowser({
  blockPopups = false,
} = {}): Promise<AsyncDisposable & { person(options?: BrowserContextOptions): Promise<BrowserContext> }> {
  const browser = await chromium.launch({
    ignoreDefaultArgs: blockPopups ? ['--disable-popup-blocking'] : [],
    executablePath: process.env['ATOM_TEST_CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  return {
    /** Somebody with a browser of their own: no cookie is shared. */
    person: async (options = {}) => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
      // No test here is about speed: a machine that is three times slower still gets there.
      context.setDefaultTimeout(90_000)
      return context
    },
    [Symbol.asyncDispose]: () => browser.close(),
  }
}

export const ada = {
  name: 'Ada Lovelace',
  workspace: 'Analytical Engines',
  email: 'ada@example.com',
  password: 'seven calm otters sing',
}

/** Through the setup link into the first room. */
export async function setUp(page: Page, setupUrl: string): Promise<void> {
  await page.goto(setupUrl)
  await page.getByLabel('Your name').fill(ada.name)
  await page.getByLabel('Workspace').fill(ada.workspace)
  await page.getByLabel('E-mail').fill(ada.email)
  await page.getByLabel('Password', { exact: true }).fill(ada.password)
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByRole('textbox', { name: /^Message / }).waitFor()
}

/** Says yes on the sandbox's consent pages as one of its people, in the window that `open` leads to. */
export async function consent(page: Page, open: () => Promise<void>, person = 'Ada Lovelace'): Promise<void> {
  const opened = page.waitForEvent('popup')
  await open()
  const popup = await opened
  await popup.getByRole('button', { name: new RegExp(person) }).click()
  await popup.getByRole('button', { name: /^Authorize|^Allow|^Continue/ }).click()
  if (!popup.isClosed()) await popup.waitForEvent('close')
}

export async function say(page: Page, text: string): Promise<void> {
  const box = page.getByRole('textbox', { name: /^Message / })
  await box.fill(text)
  await box.press('Enter')
}

/** No violation of WCAG 2.2 A and AA that axe can see. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
    .analyze()
  const found = violations.map(
    ({ id, nodes }) => `${where}: ${id} at ${nodes.map((node) => node.target).join(' ; ')}`,
  )
  assert.deepEqual(found, [])
}
