import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Locator, Page } from 'playwright-core'
import { AtomProcess } from './support/atom-process.ts'
import { assertAccessible, openBrowser, setUp } from './support/browser.ts'

const providers = [
  'GitHub',
  'Google',
  'Microsoft',
  'Slack',
  'Asana',
  'Notion',
  'Salesforce',
  'HubSpot',
] as const

/** Somebody who looks at their connections, with the sandbox there. */
async function atConnections() {
  const stack = new AsyncDisposableStack()
  const atom = stack.use(await AtomProcess.started({ ATOM_SANDBOX: '1' }))
  const browser = stack.use(await openBrowser())
  const page = await (await browser.person()).newPage()
  await setUp(page, atom.setupUrl)
  await page.goto(`${atom.url}/connections/catalogue`)
  return { atom, page, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Chooses a person in the window that `open` leads to, and a decision where it asks for one. Returns where the sandbox is. */
async function decide(
  page: Page,
  open: () => Promise<void>,
  { person = 'Ada Lovelace', agree = true }: { person?: string; agree?: boolean } = {},
): Promise<string> {
  const opened = page.waitForEvent('popup')
  await open()
  const popup = await opened
  const gone = popup.waitForEvent('close')
  const chosen = popup.getByRole('button', { name: person })
  const notMe = popup.getByRole('button', { name: 'Not you?' })
  const decision = popup.locator(`button[value="${agree ? 'agree' : 'cancel'}"]`)
  await chosen.or(notMe).first().waitFor()
  const sandbox = new URL(popup.url()).origin
  // Where the account is known already, the question who to be is skipped.
  if (!(await chosen.isVisible()) && !(await popup.getByText(person).first().isVisible())) await notMe.click()
  if (await notMe.isHidden()) await chosen.click()
  await decision.click()
  await gone
  return sandbox
}

async function control(sandbox: string, path: string, body: object): Promise<void> {
  const answer = await fetch(`${sandbox}/_control/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  assert.ok(answer.ok, await answer.text())
}

function rowOf(page: Page, provider: string) {
  return page
    .getByRole('list', { name: 'Accounts' })
    .getByRole('listitem', { name: new RegExp(`^${provider}:`) })
}

/** Until nothing that was clicked is still under way. */
async function settled(panel: Locator): Promise<void> {
  await panel.locator('button[aria-busy="true"]').first().waitFor({ state: 'hidden' })
}

const panelOf = (page: Page) => page.getByRole('region', { name: 'Connected account' })

test('[UI30] through the dashboard a person connects an account at each of the eight providers, refreshes it, and disconnects with a receipt', async () => {
  await using house = await atConnections()
  const { atom, page } = house
  for (const provider of providers) {
    await page.goto(`${atom.url}/connections/catalogue`)
    await page.getByRole('searchbox', { name: 'Search the catalogue' }).fill(provider)
    const card = page.getByRole('list', { name: 'Providers' }).getByRole('listitem', { name: provider })
    await decide(page, () => card.getByRole('button', { name: `Connect ${provider}` }).click())
    await page.getByText(`${provider} is connected as `).waitFor()

    const row = rowOf(page, provider)
    await row.getByText('Active').waitFor()
    // HubSpot has no name to tell, only the mail address.
    await row.getByRole('link', { name: provider === 'HubSpot' ? 'ada@' : 'Ada Lovelace' }).click()
    const panel = panelOf(page)
    await panel.getByRole('heading', { name: provider, exact: true }).waitFor()
    await panel.getByText('Connected', { exact: true }).first().waitFor()
    const access = panel.getByRole('region', { name: 'Access' })
    assert.ok((await access.getByRole('listitem').count()) > 0 || provider === 'Notion', provider)
    assert.equal(await access.getByText('(not granted)').count(), 0, provider)

    await panel.getByRole('button', { name: 'Check now' }).click()
    await settled(panel)
    assert.equal(await panel.getByRole('alert').count(), 0, provider)
    await panel.getByText('Active').waitFor()

    await panel.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
    await panel.getByRole('heading', { name: `Disconnected from ${provider}` }).waitFor()
    const gone = panel.locator('section', { has: page.getByRole('heading', { name: 'Gone' }) })
    assert.ok((await gone.getByRole('listitem').count()) > 0, provider)
    if (provider === 'Google') await assertAccessible(page, 'a receipt')
    await rowOf(page, provider).waitFor({ state: 'detached' })
  }
  await page.goto(`${atom.url}/connections`)
  await page.getByText('No account is connected yet').waitFor()
})

test('[UI42] the window of a consent spends no refresh token: its answer would be lost with the window, and the session with it', async () => {
  await using house = await atConnections()
  const { atom, page } = house
  const spent = () => atom.output.split('/v1/auth/refresh').length - 1
  // A window that says it is closing, and takes long enough over it to do whatever it would.
  await page.context().addInitScript({
    content: `window.close = () => Object.defineProperty(window, 'closed', { value: true })`,
  })
  // The page has taken up its own session by now.
  await page.getByRole('button', { name: 'Connect GitHub' }).waitFor()
  const before = spent()
  const opened = page.waitForEvent('popup')
  await page.getByRole('button', { name: 'Connect GitHub' }).click()
  const popup = await opened
  await popup.getByRole('button', { name: 'Ada Lovelace' }).click()
  await popup.locator('button[value="agree"]').click()
  await popup.waitForURL(`${atom.url}/**`)
  await page.getByText('GitHub is connected as Ada Lovelace').waitFor()
  await popup.waitForLoadState('networkidle')
  assert.equal(spent(), before)
})

test('[UI31] [UI32] a lost connection says whose job it is, one button mends it with the same account only, and its history tells', async () => {
  await using house = await atConnections()
  const { page } = house
  const sandbox = await decide(page, () => page.getByRole('button', { name: 'Connect Google' }).click())
  await page.getByText('Google is connected as Ada Lovelace').waitFor()
  await control(sandbox, 'revoke', { provider: 'google', person: 'ada' })
  await control(sandbox, 'expire', { provider: 'google' })
  await rowOf(page, 'Google').getByRole('link').click()
  const panel = panelOf(page)
  await panel.getByRole('button', { name: 'Check now' }).click()
  await panel.getByText(/^Needs you: /).waitFor()
  await page.getByRole('link', { name: 'Connections (needs you)' }).waitFor()
  await assertAccessible(page, 'a lost connection')

  const mend = panel.locator('button[class*="bg-accent"]')
  assert.equal(await mend.count(), 1)
  // Somebody else's account is not this connection.
  await decide(page, () => mend.click(), { person: 'Grace Hopper' })
  await panel.getByText('Another account was chosen at the provider').waitFor()
  await panel.getByText(/^Needs you: /).waitFor()
  // A no is no alarm.
  await decide(page, () => mend.click(), { agree: false })
  await panel.getByText('Access was not granted at the provider').waitFor()
  assert.equal(await panel.getByRole('alert').count(), 0)
  // A window that is closed is not mentioned.
  const opened = page.waitForEvent('popup')
  await mend.click()
  await (await opened).close()
  await settled(panel)
  assert.equal(await panel.getByRole('alert').count(), 0)

  await decide(page, () => mend.click())
  await panel.getByText('Active').waitFor()
  const history = panel.getByRole('region', { name: 'What happened' })
  await history.getByText('Connected again').waitFor()
  await history.getByText('Access lost').waitFor()
  assert.equal(await rowOf(page, 'Google').count(), 1)
})

test('[UI33] what was allowed can be widened, and only what was chosen is asked for', async () => {
  await using house = await atConnections()
  const { page } = house
  await decide(page, () => page.getByRole('button', { name: 'Connect GitHub' }).click())
  await rowOf(page, 'GitHub').getByRole('link').click()
  const panel = panelOf(page)
  const access = panel.getByRole('region', { name: 'Access' })
  await access.getByText('Allow more').click()
  const boxes = access.getByRole('checkbox')
  const offered = await boxes.count()
  assert.ok(offered > 1)
  assert.ok(await access.getByRole('button', { name: 'Ask GitHub' }).isDisabled())
  const chosen = (await access.locator('label code').first().textContent()) ?? ''
  await boxes.first().check()
  await decide(page, () => access.getByRole('button', { name: 'Ask GitHub' }).click())
  await access.locator('li > span code', { hasText: chosen }).first().waitFor()
  await panel.getByRole('region', { name: 'What happened' }).getByText('Allowed more').waitFor()
})
