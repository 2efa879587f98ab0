import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Room } from '@atom/contract/rooms.ts'
import type { Page } from 'playwright-core'
import { assertAccessible, say } from './support/browser.ts'
import { chatScene } from './support/chat-scene.ts'

const log = (page: Page) => page.getByRole('log')
const rooms = (page: Page) => page.getByRole('navigation', { name: 'Rooms' })

/** Does something from the menu of the room that is open, by keyboard. */
async function choose(page: Page, what: string): Promise<void> {
  await page.getByRole('button', { name: 'More about this room' }).press('Enter')
  await page.getByRole('menuitem', { name: what }).press('Enter')
}

test('[UI100] [UI101] a room is muted, kept at the top, left, and deleted for everybody, each after as many questions as it deserves', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Engine team', members: [] })
  const grace = await scene.guest('Grace Hopper', [room.id])
  const [adas, graces] = [await ada.page(`/rooms/${room.id}`), await grace.page(`/rooms/${room.id}`)]
  const hers = (name: string | RegExp) => rooms(graces).getByRole('link', { name })
  const placed = async () => {
    const { muted, pinned } = await grace.call<Room>('GET', `/v1/rooms/${room.id}`)
    return { muted, pinned }
  }

  await choose(graces, 'Mute')
  await hers(/Engine team.*\(muted\)/).waitFor()
  await choose(graces, 'Keep at the top')
  const top = rooms(graces).getByRole('region', { name: 'Pinned' })
  await top.getByRole('link', { name: /Engine team/ }).waitFor()
  assert.deepEqual(await placed(), { muted: true, pinned: true })
  // It is hers alone, and stays after a reload.
  assert.equal(await rooms(adas).getByRole('region', { name: 'Pinned' }).count(), 0)
  await graces.reload()
  await top.getByRole('link', { name: /Engine team.*\(muted\)/ }).waitFor()
  await choose(graces, 'Unmute')
  await choose(graces, 'Do not keep at the top')
  await top.waitFor({ state: 'detached' })
  assert.deepEqual(await placed(), { muted: false, pinned: false })

  const question = graces.getByRole('dialog', { name: 'Leave Engine team?' })
  await choose(graces, 'Leave…')
  await question.getByRole('button', { name: 'Cancel' }).click()
  await log(graces).getByText('Ada Lovelace added Grace Hopper').waitFor()
  await choose(graces, 'Leave…')
  await question.getByRole('button', { name: 'Leave', exact: true }).click()
  await hers(/Engine team/).waitFor({ state: 'detached' })
  await log(adas).getByText('Grace Hopper left the room').waitFor()

  // Back in, and there when it is ended.
  const back = { kind: 'account', id: grace.id }
  await ada.call('POST', `/v1/rooms/${room.id}/members`, back)
  await graces.goto(`${scene.atom.url}/rooms/${room.id}`)
  await log(graces).getByText('Grace Hopper left the room').waitFor()
  await choose(adas, 'Delete room…')
  await adas.getByRole('dialog').getByRole('button', { name: 'Delete for everybody' }).click()
  await graces.getByText('This room was deleted, with everything that was in it.').waitFor()
  for (const page of [adas, graces]) {
    await rooms(page)
      .getByRole('link', { name: /Engine team/ })
      .waitFor({ state: 'detached' })
  }
})

test('[UI102] [UI103] a new room has whom I chose in it, and the palette leads to a direct message with a person by a part of the name', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const grace = await scene.guest('Grace Hopper')
  await scene.guest('Alan Turing')
  const page = await ada.page('/rooms')
  await page.getByRole('button', { name: 'New room', exact: true }).first().click()
  const dialog = page.getByRole('dialog', { name: 'New room' })
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Night watch')
  await dialog.getByRole('checkbox', { name: /Grace Hopper/ }).check()
  const agent = dialog.getByRole('checkbox', { name: /agent/ })
  assert.ok(await agent.isChecked())
  await agent.uncheck()
  await dialog.getByRole('button', { name: 'Create room' }).click()
  await page.getByRole('heading', { name: 'Night watch', level: 1 }).waitFor()
  const made = (await ada.call<{ items: Room[] }>('GET', '/v1/rooms')).items.find(
    ({ name }) => name === 'Night watch',
  )
  assert.deepEqual(made?.members.map(({ name }) => name).sort(), ['Ada Lovelace', 'Grace Hopper'])

  await page.keyboard.press('Control+k')
  const palette = page.getByRole('dialog', { name: 'Go anywhere, do anything' })
  await palette.getByRole('combobox').fill('hopp')
  await palette.getByRole('option', { name: 'Message Grace Hopper', selected: true }).waitFor()
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Grace Hopper', level: 1 }).waitFor()
  await say(page, 'Are you awake?')
  await log(page).getByText('Are you awake?').waitFor()
  const [direct] = (await grace.call<{ items: Room[] }>('GET', '/v1/rooms')).items.filter(
    ({ kind }) => kind === 'direct',
  )
  assert.equal(direct?.lastMessage?.text, 'Are you awake?')
})

test('[UI140] each message of mine says how far it has come, the newest of each state in words, and a direct room whether the other is there', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const grace = await scene.guest('Grace Hopper')
  const { id } = await ada.room({ direct: { kind: 'account', id: grace.id } })
  const page = await ada.page(`/rooms/${id}`)
  const message = (text: string) => log(page).getByRole('article').filter({ hasText: text })
  const inWords = (text: string, state: string) => message(text).getByText(state, { exact: true }).waitFor()
  const asMark = (text: string, state: string) =>
    message(text).getByRole('img', { name: state, exact: true }).waitFor()
  await say(page, 'The first')
  await inWords('The first', 'Sent')
  await say(page, 'The second')
  await inWords('The second', 'Sent')
  await asMark('The first', 'Sent')

  const header = page.locator('header').filter({ has: page.getByRole('heading', { level: 1 }) })
  const graces = await grace.page(`/rooms/${id}`)
  await inWords('The second', 'Read')
  await asMark('The first', 'Read')
  await header.getByText('Here now:').waitFor()

  // She has the room, and looks at something else.
  await graces.getByRole('link', { name: 'Settings' }).first().click()
  await graces.waitForURL(/settings/)
  await say(page, 'The third')
  await inWords('The third', 'Delivered')
  await inWords('The second', 'Read')
  await asMark('The first', 'Read')
  assert.equal(await log(page).getByText('Sent', { exact: true }).count(), 0)
  await assertAccessible(page, 'a direct room with messages in every state')
})

test('[UI104] [UI162] with a finger the menu of a message stands in sight, large enough, and reacts, replies and deletes; what is touched while one writes does what it says', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'On the road', members: [] })
  await ada.say(room.id, 'The train is late')
  const page = await ada.page(`/rooms/${room.id}`, { width: 390, height: 844 }, { hasTouch: true })
  // The answer to it will quote it, further down.
  const message = log(page).getByRole('article').filter({ hasText: 'The train is late' }).first()
  const more = message.getByRole('button', { name: /^More about the message/ })
  await more.waitFor()
  const shown = `getComputedStyle(document.querySelector('[aria-label^="More about the message"]').parentElement).opacity`
  assert.equal(await page.evaluate(shown), '1')
  const box = await more.boundingBox()
  assert.ok(box !== null && box.width >= 44 && box.height >= 44, JSON.stringify(box))

  await more.tap()
  await page.getByRole('menuitem', { name: 'React with 👍' }).tap()
  const reaction = message.getByRole('button', { name: /by you/, pressed: true })
  await reaction.waitFor()
  await reaction.tap()
  await reaction.waitFor({ state: 'detached' })
  await more.tap()
  await page.getByRole('menuitem', { name: 'Reply' }).tap()
  // The bar below is away while one writes. Coming back it must not move what is touched from under the finger.
  const notReply = page.getByRole('button', { name: 'Do not reply' })
  await page.waitForFunction(`document.activeElement?.tagName === 'TEXTAREA'`)
  await notReply.tap()
  await notReply.waitFor({ state: 'detached' })
  await more.tap()
  await page.getByRole('menuitem', { name: 'Reply' }).tap()
  await page.getByRole('textbox', { name: /^Message / }).fill('Then I walk')
  await page.getByRole('button', { name: 'Send' }).tap()
  await log(page)
    .getByRole('button', { name: /In answer to Ada Lovelace/ })
    .waitFor()
  await more.tap()
  await page.getByRole('menuitem', { name: 'Delete…' }).tap()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).tap()
  await log(page).getByText('This message was deleted.').first().waitFor()
})
