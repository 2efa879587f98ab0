import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Locator, Page } from 'playwright-core'
import { createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { assertAccessible, openBrowser, setUp } from './support/browser.ts'
import { LoopbackProvider, type Said } from './support/loopback-provider.ts'
import { emptyTestDatabase, testLog, urlOf } from './support/postgres.ts'
import { tenant } from './support/provider-wires.ts'
import { until } from './support/until.ts'

/** Somebody at the catalogue, over a provider that does what the test tells it. */
async function atCatalogue() {
  const stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'atom-ways-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const database = stack.use(await emptyTestDatabase())
  const provider = stack.use(await LoopbackProvider.start())
  const config = readConfig({
    ATOM_DATA_DIR: join(folder, 'data'),
    ATOM_PORT: String(await freePort()),
    DATABASE_URL: urlOf(database.connection),
  })
  const sandbox = {
    providers: provider.providers,
    running: () => provider.running(),
    open: () => provider.open(),
    reach: () => [provider.url],
  }
  const atom = stack.use(await createApp(config, { log: testLog, sandbox }))
  await atom.listen()
  const browser = stack.use(await openBrowser())
  const page = await (await browser.person()).newPage()
  await setUp(page, (await atom.setupUrl()) ?? '')
  return { atom, provider, page, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

const offered = (page: Page) => page.getByRole('region', { name: 'Provider' })
const account = (page: Page) => page.getByRole('region', { name: 'Connected account' })
const rows = (page: Page) => page.getByRole('list', { name: 'Accounts' }).getByRole('listitem')

/** What stands at a field that the server found something wrong with; the field has the focus. */
async function troubleAt(page: Page, field: Locator): Promise<string> {
  await until(async () => (await field.getAttribute('aria-invalid')) === 'true')
  await page.waitForFunction(`document.activeElement?.getAttribute('aria-invalid') === 'true'`)
  const ids = ((await field.getAttribute('aria-describedby')) ?? '').split(' ')
  return (await page.locator(`[id="${ids.at(-1)}"]`).textContent()) ?? ''
}

test('[UI43] a key that the provider refuses is said at its field; the right one connects, and mends this account and no other', async () => {
  await using it = await atCatalogue()
  const { atom, provider, page } = it
  const people: Record<string, string | undefined> = { 'key-of-ada': 'Ada', 'key-of-grace': 'Grace' }
  provider.on('api.linear.app', '/graphql', ({ headers }) => {
    const name = people[String(headers.authorization)]
    return name === undefined
      ? { status: 401, body: { errors: [{ message: 'Authentication required' }] } }
      : { body: { data: { viewer: { id: `linear-${name}`, name, email: `${name}@example.org` } } } }
  })
  await page.goto(`${atom.url}/connections/catalogue/linear`)
  const form = offered(page)
  await form.getByLabel('With a key').check()
  const key = form.getByLabel('API key')
  await key.fill('no-key-at-all')
  await form.getByRole('button', { name: 'Connect', exact: true }).click()
  assert.match(await troubleAt(page, key), /Linear does not accept this key/)
  assert.equal(await page.getByRole('alert').count(), 0)
  await assertAccessible(page, 'a refused key')
  await key.fill('key-of-ada')
  await key.press('Enter')
  await page.getByText('Linear is connected as Ada').waitFor()

  // Ada makes a new key, which ends the old one.
  delete people['key-of-ada']
  people['new-key-of-ada'] = 'Ada'
  await rows(page).getByRole('link', { name: 'Ada' }).click()
  const panel = account(page)
  await panel.getByRole('button', { name: 'Check now' }).click()
  await panel.getByText(/^Needs you: /).waitFor()
  await panel.getByRole('button', { name: 'Close' }).click()
  // From the row to where it is entered: one button, and nothing else that could mend it.
  await rows(page).getByRole('button').click()
  const anew = panel.getByLabel('API key')
  await anew.waitFor()
  assert.equal(await panel.locator('button[class*="bg-accent"]').count(), 1)
  await assertAccessible(page, 'an account that is mended with a key')
  await anew.fill('key-of-grace')
  await anew.press('Enter')
  await panel.getByText('Another account was chosen at the provider').waitFor()
  await panel.getByText(/^Needs you: /).waitFor()
  assert.equal(await rows(page).count(), 1)
  await anew.fill('new-key-of-ada')
  await anew.press('Enter')
  await panel.getByText('Active', { exact: true }).waitFor()
  await panel.getByText('Connected again').waitFor()
  assert.equal(await rows(page).count(), 1)
  assert.equal(await anew.count(), 0)
})

test('[UI44] a device code counts down, is followed by another when it ends or is refused, connects, and mends this account and no other', async () => {
  await using it = await atCatalogue()
  const { atom, provider, page } = it
  let codes = 0
  let refused = 'authorization_pending'
  let person = { id: 4711, login: 'octo-ada', name: 'Ada Lovelace' }
  let lost = false
  provider.workAsGitHub()
  provider.on('api.github.com', '/user', () =>
    lost ? { status: 401, body: { message: 'Bad credentials' } } : { body: { ...person, email: null } },
  )
  provider.on('github.com', '/login/device/code', () => ({
    body: {
      device_code: `device-code-${++codes}`,
      user_code: `WDJB-MJH${codes}`,
      verification_uri: 'https://github.com/login/device',
      expires_in: 900,
      interval: 1,
    },
  }))
  provider.on('github.com', '/login/oauth/access_token', (): Said => {
    if (refused !== '') return { body: { error: refused, error_description: 'x' } }
    return {
      body: { access_token: `by-code-${codes}`, token_type: 'bearer', scope: 'read:user,repo,user:email' },
    }
  })
  await page.goto(`${atom.url}/connections/catalogue/github`)
  const panel = offered(page)
  await panel.getByLabel('Enter a code on another device').check()
  await panel.getByRole('button', { name: 'Get a code' }).click()
  await panel.getByText('WDJB-MJH1').waitFor()
  await panel.getByText(/ends in 1[45]:\d\d/).waitFor()
  refused = 'expired_token'
  await panel.getByText('The code has expired').waitFor()
  await panel.getByRole('button', { name: 'Get a new code' }).click()
  refused = 'access_denied'
  await panel.getByText('Access was not granted at the provider').waitFor()
  assert.equal(await page.getByRole('alert').count(), 0)
  refused = 'authorization_pending'
  await panel.getByRole('button', { name: 'Get a new code' }).click()
  await panel.getByText('WDJB-MJH3').waitFor()
  // Whoever looks at the catalogue meanwhile finds the code again.
  await page.reload()
  await panel.getByText('WDJB-MJH3').waitFor()
  refused = ''
  await page.getByText('GitHub is connected as Ada Lovelace').waitFor()

  lost = true
  await rows(page).getByRole('link', { name: 'Ada Lovelace' }).click()
  const mended = account(page)
  await mended.getByRole('button', { name: 'Check now' }).click()
  await mended.getByText(/^Needs you: /).waitFor()
  lost = false
  person = { id: 815, login: 'octo-grace', name: 'Grace Hopper' }
  await mended.getByRole('button', { name: 'Get a code' }).click()
  await mended.getByText('Another account was chosen at the provider').waitFor()
  person = { id: 4711, login: 'octo-ada', name: 'Ada Lovelace' }
  await mended.getByRole('button', { name: 'Get a new code' }).click()
  await mended.getByText('Active', { exact: true }).waitFor()
  assert.equal(await rows(page).count(), 1)
})

test('[UI46] an address that is none is said at its field, in words that tell what is wrong with it', async () => {
  await using it = await atCatalogue()
  const { atom, page } = it
  await page.goto(`${atom.url}/connections/catalogue/oauth2/setup`)
  const form = page.getByRole('region', { name: 'Setup' })
  const fill = async (authorization: string) => {
    await form.getByLabel('Authorization address').fill(authorization)
    await form.getByLabel('Token address').fill('https://login.example.com/token')
    await form.getByLabel('Account address').fill('https://api.example.com/me')
    await form.getByLabel('Client id').fill('the-client')
    await form.getByLabel('Client secret').fill('the-secret')
    await form.getByRole('button', { name: 'Save' }).click()
  }
  const field = form.getByLabel('Authorization address')
  for (const [address, trouble] of [
    ['http://login.example.com/authorize', 'Has to begin with https://.'],
    ['https://login.example.com/authorize?tenant=1', 'Has to end before “?” and “#”.'],
    ['https://login/authorize', 'Names no host: one such as login.example.com has to follow https://.'],
  ] as const) {
    await fill(address)
    await page.getByText(trouble).waitFor()
    assert.equal(await troubleAt(page, field), trouble)
    // What it is for stays there to be read.
    await form.getByText('Where people are sent to allow the access.').waitFor()
  }
  await fill('https://login.example.com/authorize')
  await form.getByText('Saved and sealed.').waitFor()
})

test('[UI47] an operator connects an organisation as the app itself and by installing it, is told what the form lacks, and mends it as itself only', async () => {
  await using it = await atCatalogue()
  const { atom, provider, page } = it
  const other = '99999999-2222-3333-4444-555555555555'
  const names: Record<string, string> = { [tenant]: 'Contoso', [other]: 'Fabrikam' }
  let asked = tenant
  let lost = false
  for (const id of [tenant, other]) {
    provider.on('login.microsoftonline.com', `/${id}/oauth2/v2.0/token`, () => {
      asked = id
      return lost
        ? { status: 400, body: { error: 'invalid_grant', error_description: 'AADSTS70008: ended' } }
        : { body: { token_type: 'Bearer', expires_in: 3599, access_token: `app-token-of-${id}` } }
    })
  }
  provider.on('graph.microsoft.com', '/v1.0/organization', () => ({
    body: { value: [{ id: asked, displayName: names[asked] }] },
  }))
  for (const where of ['organizations', tenant, other]) {
    provider.on('login.microsoftonline.com', `/${where}/v2.0/adminconsent`, ({ path }) => {
      const query = new URL(path, provider.url).searchParams
      const links = [tenant, other].map((id) => {
        const back = new URL(query.get('redirect_uri') ?? '')
        back.search = String(
          new URLSearchParams({ state: query.get('state') ?? '', admin_consent: 'True', tenant: id }),
        )
        return `<a href="${back.href.replaceAll('&', '&amp;')}">${names[id]}</a>`
      })
      return { headers: { 'content-type': 'text/html' }, body: `<!doctype html>${links.join(' ')}` }
    })
  }
  await page.goto(`${atom.url}/connections/catalogue/microsoft`)
  const form = offered(page)
  await form.getByLabel('As the app itself').check()
  await form.getByRole('button', { name: 'Connect the app' }).click()
  const field = form.getByLabel('Tenant')
  assert.match(await troubleAt(page, field), /Has to name your own organisation here; “common” does not\./)
  await field.fill('contoso')
  await field.press('Enter')
  await form.getByText('Is not of the form that is asked for.').waitFor()
  await field.fill(tenant)
  await field.press('Enter')
  await page.getByText('Microsoft is connected as Contoso').waitFor()
  await rows(page).getByRole('link', { name: 'Contoso' }).click()
  await account(page).getByText('as the app itself').waitFor()
  await account(page).getByRole('button', { name: 'Disconnect' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
  await account(page).getByText('Disconnected from Microsoft').waitFor()

  const install = async (button: Locator, organisation: string) => {
    const opened = page.waitForEvent('popup')
    await button.click()
    await (await opened).getByRole('link', { name: organisation }).click()
  }
  await page.goto(`${atom.url}/connections/catalogue/microsoft`)
  await form.getByLabel('Install the app for an organisation').check()
  await install(form.getByRole('button', { name: 'Install the app' }), 'Contoso')
  await page.getByText('Microsoft is connected as Contoso').waitFor()
  lost = true
  await rows(page).getByRole('link', { name: 'Contoso' }).click()
  const panel = account(page)
  await panel.getByRole('button', { name: 'Check now' }).click()
  await panel.getByText(/^Needs /).waitFor()
  lost = false
  const mend = panel.locator('button[class*="bg-accent"]')
  assert.equal(await mend.count(), 1)
  await install(mend, 'Fabrikam')
  await panel.getByText('Another account was chosen at the provider').waitFor()
  await install(mend, 'Contoso')
  await panel.getByText('Active', { exact: true }).waitFor()
  assert.equal(await rows(page).count(), 1)
})
