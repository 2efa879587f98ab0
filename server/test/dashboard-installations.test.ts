import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { AtomProcess } from './support/atom-process.ts'
import { assertAccessible, openBrowser, setUp } from './support/browser.ts'

/** An owner at the way to connect by installing the app, with the sandbox there. */
async function atInstallation(provider: string) {
  const stack = new AsyncDisposableStack()
  const atom = stack.use(await AtomProcess.started({ ATOM_SANDBOX: '1' }))
  const browser = stack.use(await openBrowser())
  const page = await (await browser.person()).newPage()
  await setUp(page, atom.setupUrl)
  await page.goto(`${atom.url}/connections/catalogue/${provider}`)
  await page.getByRole('radio', { name: 'Install the app for an organisation' }).check()
  return { atom, page, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Chooses who to be in the provider's window, and decides there. */
async function decide(page: Page, person: string, decision: string): Promise<void> {
  const opened = page.waitForEvent('popup')
  await page.getByRole('button', { name: 'Install the app' }).click()
  const popup = await opened
  const gone = popup.waitForEvent('close')
  await popup.getByRole('button', { name: person }).click()
  const button = popup.getByRole('button', { name: decision, exact: true })
  await button.waitFor()
  await assertAccessible(popup, `the provider’s page for ${person}`)
  await button.click()
  await gone
}

async function disconnect(page: Page, provider: string): Promise<void> {
  const panel = page.getByRole('region', { name: 'Connected account' })
  await panel.getByText('Active').waitFor()
  await panel.getByRole('button', { name: 'Disconnect' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
  await panel.getByRole('heading', { name: `Disconnected from ${provider}` }).waitFor()
}

test('[CN169] through the dashboard an owner installs the GitHub App in the sandbox, is told that somebody else has to agree, checks it and disconnects', async () => {
  await using house = await atInstallation('github')
  const { page } = house
  // Who does not own the organisation has only asked for it.
  await decide(page, 'Katherine Johnson', 'Install or request')
  await page.getByText('The provider has asked an administrator').waitFor()
  await decide(page, 'Ada Lovelace', 'Install')
  await page.getByText('GitHub is connected as atom-labs').waitFor()
  await page.getByRole('list', { name: 'Accounts' }).getByRole('link', { name: 'atom-labs' }).click()
  const panel = page.getByRole('region', { name: 'Connected account' })
  await panel.getByText('issues:write').first().waitFor()
  await panel.getByRole('button', { name: 'Check now' }).click()
  await panel.locator('button[aria-busy="true"]').first().waitFor({ state: 'hidden' })
  assert.equal(await panel.getByRole('alert').count(), 0)
  await disconnect(page, 'GitHub')
  await page.getByText('stays installed').first().waitFor()
})

test('[CN169] through the dashboard an administrator of the directory lets the app in at Microsoft’s sandbox, after a no, and disconnects', async () => {
  await using house = await atInstallation('microsoft')
  const { page } = house
  await decide(page, 'Grace Hopper', 'Return to the application without granting consent')
  await page.getByText('Access was not granted at the provider').waitFor()
  await decide(page, 'Ada Lovelace', 'Accept')
  await page.getByText('Microsoft is connected as Atom Labs').waitFor()
  await page.getByRole('list', { name: 'Accounts' }).getByRole('link', { name: 'Atom Labs' }).click()
  await disconnect(page, 'Microsoft')
})
