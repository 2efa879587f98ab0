import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { AtomProcess } from './support/atom-process.ts'
import { ada, assertAccessible, consent, openBrowser, say, setUp } from './support/browser.ts'

/** What the person said, in the order in which it stands on the page. */
async function saidBy(page: Page, name: string): Promise<string[]> {
  const articles = page.getByRole('article', { name: `${name} said` })
  return (await articles.allInnerTexts()).map((text) => text.replace(/\s+/g, ' '))
}

function countOf(texts: readonly string[], part: string): number {
  return texts.filter((text) => text.includes(part)).length
}

test('[MJ1] [UI2] [UI7] [UI10] [UI11] a person arrives by the setup link, connects an account, and the agent reads and writes on it', async () => {
  await using atom = await AtomProcess.started()
  await using browser = await openBrowser()
  const context = await browser.person()
  const page = await context.newPage()
  const refused: string[] = []
  page.on('console', (line) => {
    if (/Content Security Policy/.test(line.text())) refused.push(line.text())
  })

  await page.goto(atom.setupUrl)
  await assertAccessible(page, 'setup')
  await setUp(page, atom.setupUrl)
  assert.doesNotMatch(page.url(), /token/)
  await assertAccessible(page, 'an empty room')

  await say(page, 'show my open issues')
  await page.getByText('GitHub is not connected').first().waitFor()

  await page.getByRole('link', { name: 'Connections' }).click()
  await page.getByRole('heading', { name: 'Connections' }).waitFor()
  await assertAccessible(page, 'connections without an account')
  await consent(page, () =>
    page
      .getByRole('listitem', { name: 'GitHub' })
      .getByRole('button', { name: /sandbox/i })
      .click(),
  )
  await page.getByRole('listitem', { name: 'GitHub' }).getByText('Active').waitFor()
  await page.getByRole('listitem', { name: 'GitHub' }).getByText('Ada Lovelace').waitFor()
  await page.getByRole('listitem', { name: 'GitHub' }).locator('img[src^="data:image/png"]').waitFor()
  await assertAccessible(page, 'connections with an account')

  await page.getByRole('link', { name: 'Rooms' }).first().click()
  await say(page, 'show my open issues')
  await page
    .getByText(/17 open issues/)
    .first()
    .waitFor()

  await say(page, 'create an issue called Fix the login page')
  const card = page.getByRole('region', { name: /Approval needed: Create an issue/ })
  await card.waitFor()
  await assertAccessible(page, 'an approval')
  await card.getByRole('button', { name: /Approve/ }).click()
  const link = page.getByRole('link', { name: /#43 Fix the login page/ }).first()
  await link.waitFor()
  const href = (await link.getAttribute('href')) ?? ''
  const issue = await (await fetch(href)).text()
  assert.match(issue, /Fix the login page/)

  await say(page, 'create an issue called Never do this')
  const second = page.getByRole('region', { name: /Approval needed: Create an issue/ })
  await second.waitFor()
  // [UI7] A letter typed into a message decides nothing; the same letter outside of one does.
  const box = page.getByRole('textbox', { name: /^Message / })
  await box.fill('')
  await box.press('d')
  await second.getByRole('button', { name: /Deny/ }).waitFor()
  await box.fill('')
  await page.getByRole('heading', { level: 1 }).click()
  await page.keyboard.press('d')
  await page
    .getByText(/denied/i)
    .last()
    .waitFor()
  assert.equal((await fetch(href.replace('/43', '/44'))).status, 404)
  await assertAccessible(page, 'a room with cards')

  await page.getByRole('button', { name: /^Ada Lovelace/ }).click()
  await page.getByRole('menuitem', { name: /Sign out/ }).click()
  await page.getByLabel('E-mail').waitFor()
  await assertAccessible(page, 'sign-in')
  await page.getByLabel('E-mail').fill(ada.email)
  await page.getByLabel('Password', { exact: true }).fill(ada.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('Created issue #43').first().waitFor()
  assert.deepEqual(refused, [], 'the content security policy refused something of our own')
})

test('[MJ2] kill -9 in the middle of a conversation: the open page shows each message once, and sends what was waiting', async () => {
  await using atom = await AtomProcess.started({ ATOM_SANDBOX: '1' })
  await using browser = await openBrowser()
  const page = await (await browser.person()).newPage()
  await setUp(page, atom.setupUrl)
  for (const word of ['one', 'two', 'three']) await say(page, `note ${word}`)
  await page.getByRole('log').getByText('note three').waitFor()
  await say(page, 'hello')
  await atom.kill()
  await say(page, 'said while nobody listened')
  await say(page, 'and one more')
  await page.getByText(/waiting to be sent/).waitFor()
  await atom.start()
  await page.getByText(/waiting to be sent/).waitFor({ state: 'detached' })
  const spoken = ['note one', 'note two', 'note three', 'hello', 'said while nobody listened', 'and one more']
  await page
    .getByRole('article')
    .filter({ hasText: 'and one more' })
    .locator('xpath=following::*[@role="article" or self::article]')
    .first()
    .waitFor()
  const before = await saidBy(page, ada.name)
  for (const text of spoken) assert.equal(countOf(before, text), 1, `“${text}” in ${before.join(' | ')}`)
  const order = spoken.map((text) => before.findIndex((shown) => shown.includes(text)))
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
  await page.reload()
  await page.getByRole('log').getByText('and one more').waitFor()
  const after = await saidBy(page, ada.name)
  assert.deepEqual(after.map(withoutTime), before.map(withoutTime), 'a reload shows what the page showed')
})

test('[CN31] no token of a provider is in an answer, a log line or the database', async () => {
  await using atom = await AtomProcess.started({ ATOM_SANDBOX: '1', ATOM_LOG_LEVEL: 'trace' })
  await using browser = await openBrowser()
  const page = await (await browser.person()).newPage()
  const seen: string[] = []
  page.on('response', (response) => {
    if (response.url().startsWith(atom.url))
      response.text().then(
        (text) => seen.push(text),
        () => undefined,
      )
  })
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => seen.push(String(payload))))
  await setUp(page, atom.setupUrl)
  await page.getByRole('link', { name: 'Connections' }).click()
  await consent(page, () => page.getByRole('button', { name: 'Connect GitHub' }).click())
  await page.getByRole('listitem', { name: 'GitHub' }).getByText('Active').waitFor()
  await page.getByRole('link', { name: 'Rooms' }).first().click()
  await say(page, 'show my open issues')
  await page
    .getByText(/17 open issues/)
    .first()
    .waitFor()
  const token = /gho_[A-Za-z0-9_-]{8,}/
  assert.ok(seen.length > 10)
  assert.deepEqual(
    seen.filter((text) => token.test(text)),
    [],
  )
  assert.doesNotMatch(atom.output, token)
  await atom.stop()
  const database = join(atom.dataDir, 'database')
  // A database of one's own has its files elsewhere; its tables are searched in connection-journey.test.ts.
  if (process.env['ATOM_TEST_EXTERNAL'] === '1') return
  const files = await readdir(database, { recursive: true, withFileTypes: true })
  for (const file of files.filter((entry) => entry.isFile())) {
    const bytes = await readFile(join(file.parentPath, file.name), 'latin1')
    assert.doesNotMatch(bytes, token, file.name)
  }
})

test('[UI4] [UI12] a crowded room: what is read does not move, what comes is counted, and leaving offline says so', async () => {
  await using atom = await AtomProcess.started({ ATOM_SANDBOX: '1' })
  await using browser = await openBrowser()
  const page = await (await browser.person()).newPage()
  await setUp(page, atom.setupUrl)
  const roomId = new URL(page.url()).pathname.split('/').at(-1) ?? ''
  const token = await signIn(atom.url)
  // Said by the same person through another door; a question to the agent every time would only take longer.
  const asked: number[] = []
  for (let at = 1; at < 120; at += 1) asked.push(await post(atom.url, token, roomId, `thanks ${at}`))
  // Only rows near the end are on the page: the last word must not be pushed away by answers to those before it.
  await answered(atom.url, token, roomId, asked)
  const last = await post(atom.url, token, roomId, 'thanks 120')
  await page.getByRole('log').getByText('thanks 120', { exact: true }).waitFor()
  await answered(atom.url, token, roomId, [last])
  const log = page.getByRole('log')
  await log.hover()
  const pill = page.getByRole('button', { name: /To the newest|\d+ new/ })
  const spoken = page.getByRole('article', { name: `${ada.name} said` })
  // As a person does it: turn the wheel until the page follows and something said can be seen.
  while (!(await pill.isVisible()) || (await spoken.count()) === 0) {
    await page.mouse.wheel(0, -600)
    await page.waitForTimeout(100)
  }
  const anchor = spoken.first()
  const words = (await anchor.textContent()) ?? ''
  const place = (await anchor.boundingBox())?.y ?? 0
  await post(atom.url, token, roomId, 'thanks 121')
  await page.getByRole('button', { name: /\d+ new/ }).waitFor()
  const same = page
    .getByRole('article')
    .filter({ hasText: words.match(/thanks \d+/)?.[0] ?? words })
    .first()
  assert.ok(Math.abs(((await same.boundingBox())?.y ?? 0) - place) < 2, 'what was being read has moved')
  await page.getByRole('button', { name: /\d+ new/ }).click()
  await page.getByRole('log').getByText('thanks 121', { exact: true }).waitFor()
  await assertAccessible(page, 'a crowded room')

  await atom.kill()
  await page.getByRole('button', { name: /^Ada Lovelace/ }).click()
  await page.getByRole('menuitem', { name: /Sign out/ }).click()
  await page
    .getByText(/session (goes|went) on|still signed in|not be told/i)
    .first()
    .waitFor()
})

async function signIn(url: string): Promise<string> {
  const answer = await fetch(`${url}/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: ada.email, password: ada.password }),
  })
  return ((await answer.json()) as { accessToken: string }).accessToken
}

/** Until the agent is done with what was said at these places of the timeline. */
async function answered(url: string, token: string, roomId: string, asked: readonly number[]): Promise<void> {
  const open = new Set(asked)
  const turns = new Map<string, number>()
  for (let after = 0; open.size > 0; ) {
    const answer = await fetch(`${url}/v1/rooms/${roomId}/events?after=${after}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    const { events } = (await answer.json()) as {
      events: { seq: number; type: string; turnId: string; triggerSeq: number }[]
    }
    for (const event of events) {
      if (event.type === 'turn.started') turns.set(event.turnId, event.triggerSeq)
      if (event.type === 'turn.ended') open.delete(turns.get(event.turnId) ?? 0)
    }
    after = events.at(-1)?.seq ?? after
    if (events.length === 0) await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Resolves with its place in the timeline. */
async function post(url: string, token: string, roomId: string, text: string): Promise<number> {
  const answer = await fetch(`${url}/v1/rooms/${roomId}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ clientId: randomUUID(), text }),
  })
  assert.equal(answer.status, 201)
  return ((await answer.json()) as { seq: number }).seq
}

function withoutTime(text: string): string {
  return text.replace(/\d\d:\d\d( [AP]M)?/g, '')
}
