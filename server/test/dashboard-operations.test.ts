import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { Page } from 'playwright-core'
import { AtomProcess } from './support/atom-process.ts'
import { ada, assertAccessible, openBrowser, setUp } from './support/browser.ts'
import { call } from './support/calls.ts'

suite('the operator’s pages', () => {
  const release = new AsyncDisposableStack()
  let atom: AtomProcess
  let browser: Awaited<ReturnType<typeof openBrowser>>
  let page: Page

  before(async () => {
    atom = release.use(await AtomProcess.started())
    browser = release.use(await openBrowser())
    page = await (await browser.person()).newPage()
    await setUp(page, atom.setupUrl)
  })
  after(() => release.disposeAsync())

  const go = (path: string) => page.goto(`${atom.url}${path}`)

  /** A request that is refused, and its id as its caller sees it. */
  async function refused(): Promise<string> {
    const { status, body } = await call<{ requestId: string }>(atom.url, 'POST', '/v1/auth/login', {
      body: { email: ada.email, passwort: 'a field that is none' },
    })
    assert.equal(status, 400)
    return body.requestId
  }

  test('[UI110] an error that happened a moment ago is on the page with its example, leads to its lines in the log, and is resolved with one click', async () => {
    const requestId = await refused()
    await go('/operations/errors')
    const row = page.getByRole('row', { name: /validation_failed/ })
    await row.getByText('Open').waitFor()
    await page
      .getByRole('figure', { name: 'How much goes wrong?' })
      .getByText(/validation_failed \(\d+\)/)
      .waitFor()
    await assertAccessible(page, 'errors')
    await row.getByRole('link').click()
    await page.getByText(requestId, { exact: true }).waitFor()
    await page.getByText('1, of them 1 in the last hour').waitFor()
    await assertAccessible(page, 'an error')
    await page.getByRole('link', { name: 'Its lines in the log' }).click()
    await page.waitForURL(`**/operations/log?requestId=${requestId}`)
    const lines = page.getByRole('region', { name: 'Lines of the log' })
    await lines.getByRole('button').first().waitFor()
    await page.goBack()
    await page.getByRole('button', { name: 'Resolve' }).click()
    await page.getByText('When it comes again, it is open again.').waitFor()
    await page.getByRole('link', { name: 'All errors' }).click()
    await row.getByText('Resolved').waitFor()
    await refused()
    await row.getByText('Open').waitFor()
  })

  test('[UI111] errors are narrowed down by a word, state, category and place, which survives a reload', async () => {
    await refused()
    await go('/operations/errors')
    const row = page.getByRole('row', { name: /validation_failed/ })
    await row.waitFor()
    await page.getByLabel('Find a code, a place or a word').fill('auth/login')
    await page.getByLabel('Category').selectOption('request')
    await page.getByLabel('Where').selectOption('http')
    await page.getByLabel('State').selectOption('open')
    await row.waitFor()
    await page.getByLabel('State').selectOption('resolved')
    await page.getByText('No error is like that.').waitFor()
    await page.reload()
    await page.getByText('No error is like that.').waitFor()
    assert.equal(await page.getByLabel('Category').inputValue(), 'request')
    assert.equal(await page.getByLabel('Find a code, a place or a word').inputValue(), 'auth/login')
  })

  test('[UI112] the log is followed as it is written, stands still when asked to, and a line opens to all that it says', async () => {
    await go('/operations/log?level=debug')
    await page.getByText('Live', { exact: true }).nth(1).waitFor()
    const lines = page.getByRole('region', { name: 'Lines of the log' })
    const requestId = await refused()
    await page.getByLabel('Find a part of a line').fill(requestId)
    await lines.getByRole('button').first().waitFor()
    await page.getByLabel('Find a part of a line').fill('a-word-that-is-nowhere')
    await page.getByText('No line is like that yet.').waitFor()
    await page.getByLabel('Find a part of a line').fill('/v1/auth/login')
    await page.getByText('Live', { exact: true }).nth(1).waitFor()
    const before = await lines.getByRole('listitem').count()
    const second = await refused()
    await lines.getByRole('listitem').nth(before).waitFor()
    await lines.getByRole('button', { expanded: false }).last().click()
    await lines.getByText(second).first().waitFor()
    await assertAccessible(page, 'the log')
    await lines.getByRole('button', { name: 'Only this request' }).click()
    await page.waitForURL(`**requestId=${second}`)
    await page.getByRole('button', { name: 'Show all' }).click()
    await page.getByRole('button', { name: 'Follow', pressed: true }).click()
    const still = await lines.getByRole('listitem').count()
    await refused()
    assert.equal(await lines.getByRole('listitem').count(), still)
  })
})
