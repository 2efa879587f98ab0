import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { Page } from 'playwright-core'
import sql from 'sql-template-tag'
import { FineHistogram } from '#foundation/telemetry/fine-histogram.ts'
import { type HistoryRow, write } from '#operations/history-store.ts'
import { AtomProcess } from './support/atom-process.ts'
import { assertAccessible, openBrowser, setUp } from './support/browser.ts'
import { type TestDatabase, testDatabase, urlOf } from './support/postgres.ts'

const minuteMs = 60_000

/** Requests of three days, of which a fifth failed in the last twenty minutes, and goes on to fail for as long as a slow test takes. */
async function lived({ database }: TestDatabase): Promise<void> {
  const now = Math.floor(Date.now() / minuteMs / 10) * 10 * minuteMs
  const rows = (requests: number, failed: number): HistoryRow[] => {
    const fine = new FineHistogram()
    for (let n = 0; n < requests; n++) fine.record(n % 200 === 199 ? 900 : 20 + (n % 40))
    const taken = fine.take()
    assert.ok(taken)
    return [
      { metric: 'class.duration', label: 'api', ...taken },
      { metric: 'class.failed', label: 'api', count: 0, sum: failed, peak: failed, counts: [] },
    ]
  }
  const put = (step: number, from: number, each: HistoryRow[]) =>
    write(database, { step, at: new Date(from), node: '' }, each)
  const recent = now - 60 * minuteMs
  for (let at = now - 3 * 24 * 60 * minuteMs; at < recent; at += 60 * minuteMs)
    await put(600, at, rows(300, at % (7 * 60 * minuteMs) === 0 ? 1 : 0))
  await put(600, recent - 10 * minuteMs, rows(300, 0))
  for (let at = recent; at <= Date.now() + 20 * minuteMs; at += minuteMs)
    await put(60, at, rows(100, at >= Date.now() - 20 * minuteMs ? 20 : 0))
}

suite('alerts and objectives', () => {
  const release = new AsyncDisposableStack()
  const shots = process.env['ATOM_TEST_SHOTS']
  let own: TestDatabase
  let atom: AtomProcess
  let page: Page

  before(async () => {
    own = release.use(await testDatabase())
    await lived(own)
    atom = release.use(await AtomProcess.started({ DATABASE_URL: urlOf(own.connection) }))
    const browser = release.use(await openBrowser())
    page = await (await browser.person()).newPage()
    await setUp(page, atom.setupUrl)
  })
  after(() => release.disposeAsync())

  const go = (path: string) => page.goto(`${atom.url}${path}`)
  const region = (name: string) => page.getByRole('region', { name, exact: true })

  async function look(name: string): Promise<void> {
    // Colours on their way from light to dark are neither.
    await page.evaluate(
      `Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition).map((one) => one.finished.catch(() => 0))).then(() => 0)`,
    )
    await assertAccessible(page, name)
    const wide = await page.evaluate(
      `[document.documentElement, ...document.querySelectorAll('main *')]
        .filter((element) => element.tagName !== 'CANVAS' && element.getBoundingClientRect().right > innerWidth + 1)
        .map((element) => element.outerHTML.slice(0, 120))`,
    )
    assert.deepEqual(wide, [], name)
    if (shots === undefined) return
    await page.screenshot({ path: `${shots}/${name.replaceAll(/\W+/g, '-')}.png` })
    const { width, height } = page.viewportSize() ?? assert.fail()
    await page.mouse.move(width / 2, height / 2)
    await page.mouse.wheel(0, 700)
    await page.waitForTimeout(200)
    await page.screenshot({ path: `${shots}/${name.replaceAll(/\W+/g, '-')}-below.png` })
  }

  test('[UI119] [UI160] what fires stands on the page of alerts with where to look first, what is over below with how long it lasted; the overview leads there', async () => {
    // Wherever an operator is, the rail says that something is wrong.
    await go('/settings')
    await page
      .getByRole('navigation', { name: 'Atom' })
      .getByRole('link', { name: 'Operations (something is wrong that cannot wait)' })
      .waitFor()
    await go('/operations/overview')
    await region('Alerts').getByText('Requests fail').waitFor()
    await region('Alerts').getByRole('link', { name: 'All alerts, and who is told' }).click()
    await page.waitForURL('**/operations/alerts')
    const firing = region('Firing')
    await firing.getByText(/In the last (hour|6 hours) .* did not hold to it: 99\.9 % of requests/).waitFor()
    await firing.getByText('Cannot wait.').waitFor()
    await region('Over').getByText('will stay here').waitFor()
    await look('alerts, the first one')
    await own.database.query(sql`
      insert into alerts (id, kind, subject, severity, title, why, look_at, since, updated_at, resolved_at, resolution)
      values ('01900000-0000-7000-8000-000000000001', 'error_new', '0123456789abcdef', 'ticket',
          'A new error: TypeError: x is not a function', 'Nobody foresaw it.', '/operations/errors/0123456789abcdef',
          now() - interval '3 hours', now(), null, null),
        ('01900000-0000-7000-8000-000000000002', 'component', 'disk', 'page', 'Disk is down', 'The disk is full.',
          'Operations, Overview.', now() - interval '2 days', now(), now() - interval '2 days' + interval '4 minutes',
          'No process finds it any more.')`)
    await firing.getByRole('link', { name: 'The error, with an example' }).waitFor()
    const over = region('Over').getByRole('row').filter({ hasText: 'Disk is down' })
    await over.getByText('4 min').waitFor()
    await over.getByText('No process finds it any more.').waitFor()
    await over.getByText('Disk is down').click()
    await over.getByText('The disk is full.').waitFor()
    await look('alerts')
  })

  test('[UI120] alerts go to a room and to a webhook, whose secret is shown once, a test says whether they arrive, and both are taken away again', async () => {
    await go('/operations/alerts')
    const targets = region('Where alerts go')
    const dialog = page.getByRole('dialog')
    await targets.getByText('no webhook').waitFor()
    assert.equal(await targets.getByRole('button', { name: 'Send a test' }).count(), 0)
    await targets.getByRole('button', { name: 'Choose the room' }).click()
    await look('alerts, a room is chosen')
    await dialog.getByRole('button', { name: 'Tell this room' }).click()
    await dialog.waitFor({ state: 'detached' })
    await targets.getByRole('button', { name: 'Send a test' }).click()
    await targets.getByText('The test has arrived').waitFor()
    await region('Over').getByText('This is a test of the alerts').first().waitFor()
    await targets.getByRole('link').click()
    await page.getByText('Over: This is a test of the alerts').waitFor()
    await page.goBack()

    await targets.getByRole('button', { name: 'Choose the webhook' }).click()
    await dialog.getByLabel('Address').fill('https://127.0.0.1/alerts')
    await dialog.getByRole('button', { name: 'Tell this address' }).click()
    const secret = await dialog.getByText(/^whsec_/).textContent()
    await look('alerts, the secret')
    await dialog.getByRole('button', { name: 'I have it' }).click()
    await targets.getByText('https://127.0.0.1/alerts').waitFor()
    assert.ok(!(await page.content()).includes(secret ?? assert.fail()))
    // A private address is nowhere that this server goes.
    await targets.getByRole('button', { name: 'Send a test' }).click()
    await targets.getByText(/has not arrived|have not arrived/).waitFor()
    await targets.getByText(/^webhook: /).waitFor()
    await look('alerts, not arrived')
    for (const name of ['webhook', 'room']) {
      await targets.getByRole('button', { name: `Remove the ${name}` }).click()
      await dialog.getByRole('button', { name: 'Remove it' }).click()
      await dialog.waitFor({ state: 'detached' })
    }
    await targets.getByText('no room').waitFor()
    await targets.getByText('no webhook').waitFor()
  })

  test('[UI121] each objective says what is promised, what is left and how fast it is used up, now and over time, and is changed', async () => {
    await go('/operations/overview')
    await region('Objectives').getByRole('link', { name: 'All objectives' }).click()
    const row = page.getByRole('row', { name: /The API, availability/ })
    await row.getByRole('cell', { name: 'Burns too fast' }).waitFor()
    await row.getByRole('cell', { name: '0 %', exact: true }).waitFor()
    await page.getByRole('row', { name: /The API, latency.*Within its budget/ }).waitFor()
    await page
      .getByRole('row', { name: /Requests to providers, availability.*Nothing to judge yet/ })
      .waitFor()
    await look('objectives')
    await row.getByRole('link').click()
    await region('How it stands').getByText('Its budget is used up').waitFor()
    const plot = page.getByRole('figure', { name: 'How much does not hold to it?' })
    await plot.getByText(/% of [\d,]+ requests; 0\.1 % may/).waitFor()
    await page.getByRole('figure', { name: 'What is left of its budget?' }).getByText('nothing').waitFor()
    await page.locator('.uplot canvas').nth(1).waitFor()
    const rates = region('Burn rates')
    await rates.getByRole('row', { name: /at once 1 hour and 5 minutes/ }).waitFor()
    await rates.getByRole('row', { name: /in working hours 3 days and 6 hours/ }).waitFor()
    await look('an objective')
    await page.getByRole('button', { name: 'Last 6 hours' }).click()
    await page.reload()
    await page.getByRole('button', { name: 'Last 6 hours', pressed: true }).waitFor()

    await page.getByRole('button', { name: 'Change…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Percent of requests').fill('60')
    await look('an objective, changed')
    await dialog.getByRole('button', { name: 'Change', exact: true }).click()
    await dialog.waitFor({ state: 'detached' })
    await region('How it stands').getByText('60 % without a failure of this server').waitFor()
    await page.getByRole('button', { name: 'Change…' }).click()
    await dialog.getByLabel('Tell when it is missed').uncheck()
    await dialog.getByRole('button', { name: 'Change', exact: true }).click()
    await region('How it stands').getByText('Not watched').waitFor()
    await page.getByRole('link', { name: 'All objectives' }).click()
    await page.getByRole('row', { name: /The API, availability.*Not watched/ }).waitFor()
    // Who switches it off ends its alert.
    await go('/operations/alerts')
    await region('Over').getByText('The objective was switched off.').waitFor()
  })

  test('[UI122] the pages of alerts and objectives fit a narrow window, dark, empty, full or without an answer of the server', async () => {
    await own.database.query(sql`
      insert into alerts (id, kind, subject, severity, title, why, look_at, since, updated_at, resolved_at, resolution)
      select gen_random_uuid(), 'error_rising', md5(n::text), case n % 5 when 0 then 'page' else 'ticket' end,
        'More errors than usual: ' || repeat('provider_unavailable_', 1 + n % 6), n || ' in five minutes, where 0.4 were usual.',
        '/operations/errors/0123456789abcdef', now() - n * interval '1 hour', now(),
        case when n > 12 then now() - n * interval '50 minutes' end, case when n > 12 then 'It comes no more often than usual.' end
      from generate_series(1, 60) n`)
    await page.setViewportSize({ width: 390, height: 844 })
    await page.emulateMedia({ colorScheme: 'dark' })
    await go('/operations/alerts')
    await region('Firing').getByText('More errors than usual').nth(11).waitFor()
    await region('Over').getByRole('row').nth(20).waitFor()
    await look('alerts, full and narrow')
    await page.getByRole('button', { name: 'Show more' }).click()
    await region('Over').getByRole('row').nth(45).waitFor()
    await go('/operations/objectives')
    await page.getByRole('row', { name: /The API, latency/ }).waitFor()
    await look('objectives, narrow')
    await page.getByRole('link', { name: 'The API, latency' }).click()
    await page.locator('.uplot canvas').nth(1).waitFor()
    await look('an objective, narrow')
    await page.goBack()
    await page.getByRole('link', { name: 'Requests to providers, availability' }).click()
    await region('How it stands').getByText('Nothing was asked in the last three days.').waitFor()
    await look('an objective, empty')
    const away = (url: URL) => /^\/v1\/operations\/(alert|objective)/.test(url.pathname)
    await page.route(away, (route) => route.fulfill({ status: 503, json: { code: 'unavailable' } }))
    await page.getByText('What you see is old').waitFor()
    await look('an objective, old')
    for (const name of ['alerts', 'objectives']) {
      await go(`/operations/${name}`)
      await page.getByRole('button', { name: 'Try again' }).first().waitFor()
      await look(`${name}, failed`)
    }
    await page.unrouteAll()
    await go('/operations/objectives/0199e000-0000-7000-8000-00000000000f')
    await page.getByText('There is no such objective').waitFor()
    await look('no objective')
  })
})
