import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { BrowserContext, Page } from 'playwright-core'
import { Line } from '../../client/test/support/line.ts'
import { type App, createApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { freePort } from './support/atom-process.ts'
import { ada, openBrowser } from './support/browser.ts'
import { buildClientPage } from './support/client-page.ts'
import { emptyTestDatabase, testLog, urlOf } from './support/postgres.ts'

const token = 'the-token-of-this-test'
const texts = `window.room.getSnapshot().events.flatMap((event) => event.type === 'message.created' ? [event.text] : [])`

suite('three tabs of a real browser', { concurrency: false, timeout: 200_000 }, () => {
  const born = new AsyncDisposableStack()
  let atom: App
  let line: Line
  let context: BrowserContext
  let roomId: string

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atom-tabs-'))
    born.defer(() => rm(folder, { recursive: true }))
    const database = born.use(await emptyTestDatabase())
    const port = await freePort()
    line = born.use(await Line.to(port))
    const config = readConfig({
      ATOM_DATA_DIR: join(folder, 'data'),
      ATOM_PORT: String(port),
      ATOM_PUBLIC_URL: line.url,
      ATOM_SETUP_TOKEN: token,
      DATABASE_URL: urlOf(database.connection),
    })
    await buildClientPage(join(folder, 'page'))
    atom = born.use(await createApp(config, { log: testLog, dashboard: join(folder, 'page') }))
    await atom.listen()
    const browser = born.use(await openBrowser())
    context = await browser.person()
    const page = await context.newPage()
    await page.goto(`${line.url}/client-page`)
    await page.locator('#session').filter({ hasText: 'signed_out' }).waitFor()
    await page.evaluate(`window.atom.session.setup(${JSON.stringify({ ...ada, token })})`)
    roomId = await page.evaluate(`window.atom.rooms.create('Tabs').then(({ id }) => id)`)
    await page.close()
  })
  after(() => born[Symbol.asyncDispose]())

  async function open(): Promise<Page> {
    const page = await context.newPage()
    await page.goto(`${line.url}/client-page`)
    await page.locator('#session').filter({ hasText: 'signed_in' }).waitFor()
    await page.evaluate(
      `window.room = window.atom.rooms.room(${JSON.stringify(roomId)}); window.room.open(); 0`,
    )
    await holds(page, `window.room.getSnapshot().state === 'live'`)
    return page
  }

  /** Asked again and again from outside: the page's own policy forbids it to evaluate what it is told. */
  async function holds(page: Page, condition: string): Promise<void> {
    const end = Date.now() + 40_000
    while (!(await page.evaluate(condition))) {
      assert.ok(Date.now() < end, `it never came to pass: ${condition}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async function untilSockets(count: number): Promise<void> {
    const end = Date.now() + 30_000
    while (line.sockets !== count) {
      assert.ok(Date.now() < end, `${line.sockets} sockets, not ${count}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  const leads = (page: Page) => page.evaluate<boolean>('window.atom.realtime.leads')
  const send = (page: Page, text: string) =>
    page.evaluate<{ seq: number }>(`window.room.send(${JSON.stringify(text)})`)

  async function assertShows(page: Page, expected: readonly string[]): Promise<void> {
    await holds(page, `${texts}.length >= ${expected.length}`)
    assert.deepEqual(await page.evaluate<string[]>(texts), expected)
  }

  test('[CL76] they have one socket; the leading tab is closed, the network goes and comes, and each message is there once', async () => {
    const pages = [await open(), await open(), await open()]
    await untilSockets(1)
    const said: string[] = []
    for (const [index, page] of pages.entries()) {
      said.push(`from tab ${index}`)
      await send(page, `from tab ${index}`)
    }
    for (const page of pages) await assertShows(page, said)
    const standing = await Promise.all(pages.map(leads))
    assert.equal(standing.filter(Boolean).length, 1)

    // Begun in the leading tab and never answered there: the next one finds it in the outbox that they share.
    const [leader, ...others] = [...pages].sort(
      (a, b) => Number(standing[pages.indexOf(b)]) - Number(standing[pages.indexOf(a)]),
    ) as [Page, Page, Page]
    await context.setOffline(true)
    line.cut()
    await leader.evaluate(`window.room.send('left behind').catch(() => 0); 0`)
    await holds(leader, `window.room.getSnapshot().outgoing.length === 1`)
    said.push('left behind')
    await leader.close()
    line.mend()
    await context.setOffline(false)
    for (const page of others) await assertShows(page, said)
    await untilSockets(1)
    for (const [index, page] of others.entries()) {
      said.push(`afterwards ${index}`)
      await send(page, `afterwards ${index}`)
    }
    for (const page of others) await assertShows(page, said)
    assert.equal((await Promise.all(others.map(leads))).filter(Boolean).length, 1)

    // Leaving in one of them ends the line of both.
    await others[1].evaluate('window.atom.session.logout()')
    await holds(others[0], `window.atom.session.state === 'signed_out'`)
    await untilSockets(0)
  })
})
