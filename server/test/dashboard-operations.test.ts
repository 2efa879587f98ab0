import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { limitPolicies } from '@atom/contract/limits.ts'
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
    const row = page.getByRole('row', { name: /validation_failed at POST .v1.auth.login/ })
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
    const row = page.getByRole('row', { name: /validation_failed at POST .v1.auth.login/ })
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

  test('[UI114] a limit is changed for everybody after one question, and put back to what it came as', async () => {
    await go('/operations/limits')
    const row = page.getByRole('row', { name: /^bulk/ })
    await row.getByRole('button', { name: 'Change bulk' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Points at once').fill('321')
    await assertAccessible(page, 'the question')
    await dialog.getByRole('button', { name: 'Change the limit' }).click()
    await dialog.waitFor({ state: 'detached' })
    await row.getByRole('cell', { name: '321', exact: true }).waitFor()
    await row.getByText(/changed just now/).waitFor()
    await page.reload()
    await row.getByRole('cell', { name: '321', exact: true }).waitFor()
    await row.getByRole('button', { name: 'Change bulk' }).click()
    await dialog.getByRole('button', { name: 'As usual' }).click()
    await row.getByRole('cell', { name: String(limitPolicies.bulk.burst), exact: true }).waitFor()
  })

  test('[UI115] somebody is kept out or let through for a time with a reason, and no longer, from the page of limits', async () => {
    await go('/operations/limits')
    const exceptions = page.getByRole('region', { name: 'Exceptions' })
    await exceptions.getByText('will stand here').waitFor()
    await exceptions.getByRole('button', { name: 'Add one…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Address, network or account id').fill('not an address')
    await dialog.getByLabel('Why').fill('guesses passwords')
    await dialog.getByLabel('For').selectOption('an hour')
    await dialog.getByRole('button', { name: 'Keep it out' }).click()
    await dialog.getByRole('alert').waitFor()
    await assertAccessible(page, 'an exception that is refused')
    await dialog.getByLabel('Address, network or account id').fill('198.51.100.0/24')
    await dialog.getByRole('button', { name: 'Keep it out' }).click()
    await dialog.waitFor({ state: 'detached' })
    const entry = exceptions.getByRole('listitem').filter({ hasText: '198.51.100.0/24' })
    await entry.getByText('Kept out').waitFor()
    await entry.getByText('guesses passwords').waitFor()
    await assertAccessible(page, 'limits')
    await entry.getByRole('button', { name: 'End for 198.51.100.0/24' }).click()
    await dialog.getByRole('button', { name: 'End it' }).click()
    await exceptions.getByText('will stand here').waitFor()
  })

  test('[UI113] one part of the server says more for a while, which the page tells', async () => {
    await go('/operations/log')
    await page.getByRole('button', { name: 'Levels…' }).click()
    const dialog = page.getByRole('dialog')
    const part = await dialog.getByLabel('Part').inputValue()
    await dialog.getByLabel(/^From level/).selectOption('trace')
    await dialog.getByLabel('For').selectOption('60')
    await assertAccessible(page, 'the levels')
    await dialog.getByRole('button', { name: 'Change' }).click()
    await dialog.waitFor({ state: 'detached' })
    await page
      .getByRole('listitem')
      .filter({ hasText: `${part} says trace until` })
      .waitFor()
  })

  test('[UI116] the overview says in one word how it goes and why, with every part, the machine, the objectives, what fires and every process', async () => {
    await page.getByRole('link', { name: 'Operations' }).click()
    await page.waitForURL('**/operations/overview')
    // A small machine may well be busy: the word is one of two, and the reason belongs to it.
    await page
      .getByRole('region', { name: 'State' })
      .getByText(/^(Up|Degraded)$/)
      .waitFor()
    await page.getByRole('row', { name: /^Database.*Up/ }).waitFor()
    const machine = page.getByRole('region', { name: 'Machine' })
    for (const reading of ['Processors', 'Event loop', 'Memory', 'Disk', 'Descriptors'])
      await machine.getByText(reading, { exact: true }).waitFor()
    await page
      .getByRole('region', { name: 'Objectives' })
      .getByText('within', { exact: false })
      .first()
      .waitFor()
    await page.getByRole('region', { name: 'Alerts' }).waitFor()
    await page.getByRole('region', { name: 'Processes' }).getByRole('row').nth(1).waitFor()
    await assertAccessible(page, 'the overview')
    const alert = {
      ...{ id: '01900000-0000-7000-8000-000000000001', kind: 'objective', subject: 'api latency' },
      ...{ severity: 'page', state: 'firing', title: 'Requests are slow' },
      ...{ why: 'In the last hour 14 % took longer.', lookAt: 'Look at the slowest routes first.' },
      ...{ since: new Date(Date.now() - 400_000).toISOString(), resolvedAt: null, resolution: null },
    }
    const part = { required: true, since: alert.since, checkedAt: alert.since, latencyMs: 1_000 }
    const database = { ...part, status: 'down', detail: 'The database does not answer.' }
    await page.route('**/health', (route) =>
      route.fulfill({ status: 503, json: { status: 'down', state: 'down', components: { database } } }),
    )
    await page.route('**/v1/operations/alerts?*', (route) =>
      route.fulfill({ json: { items: [alert], next: null } }),
    )
    await page.getByRole('region', { name: 'State' }).getByText('Down', { exact: true }).waitFor()
    await page.getByRole('region', { name: 'State' }).getByText('The database does not answer.').waitFor()
    await page
      .getByRole('region', { name: 'Alerts' })
      .getByText('Look at the slowest routes first.')
      .waitFor()
    await assertAccessible(page, 'the overview when it is down')
    await page.unrouteAll()
  })

  test('[UI117] traffic is shown over a range that is chosen, of all routes or of one, and the routes by what is looked for', async () => {
    await go('/operations/traffic')
    const routes = page.getByRole('region', { name: 'Routes' })
    const one = 'POST /v1/auth/login'
    await refused()
    await routes.getByRole('row', { name: one }).waitFor()
    await page
      .getByRole('figure', { name: 'How much is asked?' })
      .getByText(/in all/)
      .waitFor()
    await page
      .getByRole('figure', { name: 'How long does it take?' })
      .getByText(/p99 [\d.,]+ m?s/)
      .waitFor()
    await page.locator('.uplot canvas').nth(2).waitFor()
    await assertAccessible(page, 'traffic')
    await routes.getByRole('button', { name: 'p99' }).click()
    await routes
      .getByRole('columnheader', { name: 'p99' })
      .and(page.locator('[aria-sort=descending]'))
      .waitFor()
    await routes.getByRole('button', { name: one }).click()
    await page.getByText('Plots of').waitFor()
    await page.getByRole('button', { name: 'Last 6 hours' }).click()
    await page.reload()
    await page.getByRole('button', { name: 'Last 6 hours', pressed: true }).waitFor()
    await page.getByRole('button', { name: 'Show all routes' }).click()
    await page.getByText('Plots of').waitFor({ state: 'detached' })
  })

  test('[UI118] [UI171] every page of the operators fits a narrow window, dark, full or without an answer of the server, and keeps what it had; one that breaks leaves the others', async () => {
    await refused()
    await page.setViewportSize({ width: 390, height: 844 })
    await page.emulateMedia({ colorScheme: 'dark' })
    const look = async (name: string) => {
      // Colours on their way from light to dark are neither.
      await page.evaluate(
        `Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished.catch(() => 0))).then(() => 0)`,
      )
      const wide = await page.evaluate(
        `[document.documentElement, ...document.querySelectorAll('main *')]
          .filter((element) => element.tagName !== 'CANVAS' && element.getBoundingClientRect().right > innerWidth + 1)
          .map((element) => element.outerHTML.slice(0, 120))`,
      )
      assert.deepEqual(wide, [], name)
      await assertAccessible(page, name)
    }
    for (const [name, there] of [
      ['overview', page.getByRole('region', { name: 'Machine' })],
      ['traffic', page.getByRole('region', { name: 'Routes' }).getByRole('row').nth(1)],
      ['errors', page.getByRole('row', { name: /validation_failed at POST .v1.auth.login/ })],
      ['limits', page.getByRole('row', { name: /^bulk/ })],
      ['log', page.getByRole('region', { name: 'Lines of the log' }).getByRole('listitem').first()],
    ] as const) {
      await go(`/operations/${name}`)
      await there.waitFor()
      await look(`${name}, narrow`)
    }
    const away = (url: URL) => url.pathname.startsWith('/v1/operations/')
    await go('/operations/errors')
    await page.getByRole('row', { name: /validation_failed at POST .v1.auth.login/ }).waitFor()
    await page.route(away, (route) => route.fulfill({ status: 503, json: { code: 'unavailable' } }))
    await page.getByText('What you see is old').waitFor()
    await page.getByRole('row', { name: /validation_failed at POST .v1.auth.login/ }).waitFor()
    await look('errors, old')
    for (const name of ['errors', 'limits', 'traffic', 'log']) {
      await go(`/operations/${name}`)
      await page.getByRole('button', { name: 'Try again' }).first().waitFor()
      await look(`${name}, failed`)
    }
    await page.unrouteAll()
    const lines = page.getByRole('region', { name: 'Lines of the log' }).getByRole('listitem')
    await page.getByRole('button', { name: 'Try again' }).first().click()
    await lines.first().waitFor()
    // An answer that its page breaks over.
    await page.route(
      (url) => url.pathname === '/v1/operations/limits',
      (route) => route.fulfill({ json: {} }),
    )
    const to = (name: string) =>
      page.getByRole('navigation', { name: 'Operations' }).getByRole('link', { name })
    await to('Limits').click()
    await page.getByText('Something went wrong on this page').waitFor()
    await to('Log').click()
    await lines.first().waitFor()
    await page.unrouteAll()
    await to('Limits').click()
    await page.getByRole('row', { name: /^bulk/ }).waitFor()
  })
})

test('[UI165] where there are several processes, the log is read of the one that is chosen, which survives a reload', async () => {
  await using atom = await AtomProcess.prepare({}, ['--workers', '2'])
  await atom.start()
  await using browser = await openBrowser()
  const page = await (await browser.person()).newPage()
  await setUp(page, atom.setupUrl)
  await page.goto(`${atom.url}/operations/log`)
  const choice = page.getByLabel('Process')
  // The second one may still be on its way.
  while ((await choice.getByRole('option').count()) < 3)
    await page.reload().then(() => page.waitForTimeout(500))
  const names = (await choice.getByRole('option').allTextContents()).slice(1)
  for (const name of names) {
    await choice.selectOption(name)
    await page.getByText(`What ${name} writes down.`).waitFor()
    await page.getByText('Asked every 2 s').waitFor()
  }
  await page.reload()
  await page.getByText(`What ${names.at(-1)} writes down.`).waitFor()
  await assertAccessible(page, 'the log of another process')
})
