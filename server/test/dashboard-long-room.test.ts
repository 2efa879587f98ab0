import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Locator, Page } from 'playwright-core'
import { assertAccessible } from './support/browser.ts'
import { type ChatPerson, chatScene } from './support/chat-scene.ts'

const log = (page: Page) => page.getByRole('log')
const line = (page: Page, text: string) => log(page).getByText(text, { exact: true })

async function fill(roomId: string, count: number, person: ChatPerson): Promise<void> {
  let next = 1
  const speak = async () => {
    while (next < count) {
      next += 1
      await person.say(roomId, `Line ${next - 1}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, speak))
  await person.say(roomId, `Line ${count}`)
}

/** Presses the key until it is seen. As long as a page takes to be drawn lies between: keys must not run ahead of what is fetched. */
async function pressUntil(page: Page, key: string, wanted: Locator): Promise<void> {
  while ((await wanted.count()) === 0) await pressAndLook(page, key)
}

async function pressWhile(page: Page, key: string, shown: Locator): Promise<void> {
  while ((await shown.count()) > 0) await pressAndLook(page, key)
}

async function pressAndLook(page: Page, key: string): Promise<void> {
  await log(page).press(key)
  await page.waitForTimeout(50)
}

test('[UI152] who has read far up in a long room goes down again row by row, and one key or one press leads to the newest', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Long room', members: [] })
  const grace = await scene.guest('Grace Hopper', [room.id])
  await fill(room.id, 1_100, ada)
  const { head } = await ada.call<{ head: number }>('GET', `/v1/rooms/${room.id}`)
  await ada.call('PATCH', `/v1/rooms/${room.id}/me`, { readSeq: head })
  const page = await ada.page(`/rooms/${room.id}`)
  const newest = line(page, 'Line 1100')
  await newest.waitFor()

  const beginning = log(page).getByText('added Grace Hopper')
  await pressUntil(page, 'Home', beginning)
  await grace.say(room.id, 'Said meanwhile')
  await page.getByRole('button', { name: '1 new' }).waitFor()
  // The list has let go of its end: what is far below the beginning is not the newest.
  await page.evaluate(`{
    const list = document.querySelector('[role=log]')
    list.scrollTop = list.scrollHeight
  }`)
  await beginning.waitFor({ state: 'detached' })
  await log(page).getByText(/^Line/).first().waitFor()
  assert.equal(await newest.count(), 0)
  // And the whole way down it is read on.
  await pressUntil(page, 'PageDown', line(page, 'Line 900'))
  await pressUntil(page, 'PageDown', line(page, 'Said meanwhile'))
  // Rows are drawn a little below what is in view, so that a line may be there before the list is at its end.
  await pressWhile(page, 'PageDown', page.getByRole('button', { name: /new$|To the newest/ }))

  await pressUntil(page, 'Home', beginning)
  await log(page).press('End')
  await newest.waitFor()
  await pressUntil(page, 'Home', beginning)
  await page.getByRole('button', { name: 'To the newest' }).click()
  await newest.waitFor()
  // At the end it stays at the end.
  await grace.say(room.id, 'And one more')
  await line(page, 'And one more').waitFor()
})

test('[UI153] [UI161] text stands in the direction of its script, and nothing that people write makes the page wider or taller than its window', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'R'.repeat(80), members: [] })
  const grace = await scene.guest('Grace_'.repeat(12), [room.id])
  const arabic = 'مرحبا بالعالم، كيف الحال؟'
  const url = `https://example.com/${'long-path/'.repeat(40)}`
  const first = await grace.say(room.id, 'W'.repeat(400))
  for (const text of [url, '🎉'.repeat(200), '一二三四五'.repeat(40), `${arabic}\nAnd English.`]) {
    await grace.say(room.id, text, { replyTo: first, mentions: [ada.id] })
  }
  const page = await ada.page(`/rooms/${room.id}`, { width: 360, height: 740 })
  const message = log(page).getByRole('paragraph').filter({ hasText: 'And English.' })
  await message.waitFor()
  await log(page).press('Home')
  const widths = `[document.scrollingElement, document.querySelector('[role=log]')].map((each) => each.scrollWidth - each.clientWidth)`
  assert.deepEqual(await page.evaluate(widths), [0, 0])
  await assertAccessible(page, 'a narrow room of odd texts')
  // What is said to screen readers alone, in each of many rows, makes nothing taller either.
  for (let n = 1; n <= 20; n += 1) {
    const { id } = await ada.room({ name: `Room ${n}`, members: [{ kind: 'account', id: grace.id }] })
    await grace.say(id, 'Look at this')
  }
  await page.getByRole('link', { name: 'Rooms' }).first().click()
  await page.getByRole('link', { name: /Room 1\b.*1 unread/ }).waitFor()
  assert.equal(await page.evaluate('document.scrollingElement.scrollHeight - innerHeight'), 0)
  await page.goBack()
  await message.waitFor()
  await log(page).press('End')
  await message.waitFor()
  /** How far from the left and the right edge of the message the letter at this place stands, in px. */
  const edges = async (at: number) =>
    (await page.evaluate(`(() => {
      const message = [...document.querySelectorAll('[role=log] p')].find((each) => each.textContent.includes('And English.'))
      const range = document.createRange()
      const words = document.createTreeWalker(message, NodeFilter.SHOW_TEXT).nextNode()
      range.setStart(words, ${at})
      range.setEnd(words, ${at} + 1)
      const [letter, box] = [range.getBoundingClientRect(), message.getBoundingClientRect()]
      return [letter.left - box.left, box.right - letter.right]
    })()`)) as [number, number]
  const [left, right] = await edges(0)
  assert.ok(right < 2 && left > 100, `Arabic begins at the right: ${left}, ${right}`)
  const [leftOfEnglish] = await edges(arabic.length + 1)
  assert.ok(leftOfEnglish < 2, `English begins at the left: ${leftOfEnglish}`)
})

test('[UI154] a room whose newest events are changes of older messages opens at its newest message all the same', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Second thoughts', members: [] })
  await ada.say(room.id, 'What was said before')
  const seq = await ada.say(room.id, 'What was said last')
  // More than two pages of nothing that has a row of its own.
  for (let n = 1; n <= 210; n += 1) {
    const edit = { clientId: `thought-${n}-of-many`, text: `Thought ${n}` }
    await ada.call('PATCH', `/v1/rooms/${room.id}/messages/${seq}`, edit)
  }
  const page = await ada.page(`/rooms/${room.id}`)
  await log(page).getByText('Thought 210').waitFor()
  await line(page, 'What was said before').waitFor()
  await ada.say(room.id, 'And one more')
  await line(page, 'And one more').waitFor()
})

test('[UI155] in a room of many the members stand one under the other on a phone, and one is found by a part of the name', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Everybody', members: [] })
  const page = await ada.page(`/rooms/${room.id}`, { width: 360, height: 740 }, { hasTouch: true })
  await page.getByRole('button', { name: 'Add somebody' }).tap()
  await page.getByRole('dialog', { name: 'Members' }).waitFor()
  await page.getByRole('button', { name: 'Close' }).tap()
  for (let n = 1; n <= 13; n += 1) await scene.guest(`Guest ${n}`, [room.id])
  await page.getByRole('button', { name: '14 members' }).tap()
  const members = page.getByRole('list', { name: 'Members of this room' }).getByRole('listitem')
  await members.nth(13).waitFor()
  const boxes = await Promise.all((await members.all()).map((each) => each.boundingBox()))
  for (const [at, box] of boxes.entries()) {
    const role = await members.nth(at).getByRole('combobox').boundingBox()
    assert.ok(box !== null && role !== null && role.y + role.height <= box.y + box.height + 1, `row ${at}`)
    const next = boxes[at + 1]
    assert.ok(next === undefined || (next !== null && next.y >= box.y + box.height), `row ${at + 1}`)
  }
  await page.getByRole('searchbox', { name: 'Search the members' }).fill('guest 7')
  await members.nth(1).waitFor({ state: 'detached' })
  await members.getByText('Guest 7').waitFor()
  await assertAccessible(page, 'the members of a crowded room')
})
