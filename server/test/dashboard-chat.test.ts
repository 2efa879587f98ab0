import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Room, RoomEvent } from '@atom/contract/rooms.ts'
import type { Locator, Page } from 'playwright-core'
import { assertAccessible, say } from './support/browser.ts'
import { chatScene } from './support/chat-scene.ts'
import { CompletionsServer } from './support/completions-server.ts'

const log = (page: Page) => page.getByRole('log')
/** The message that says this. */
const said = (page: Page, text: string) => log(page).getByRole('article').filter({ hasText: text })
const field = (page: Page) => page.getByRole('textbox', { name: /^Message / })
const rooms = (page: Page) => page.getByRole('navigation', { name: 'Rooms' })

/** Does something from the menu of a message, by keyboard: a pointer would have to hit a moving list. */
async function choose(message: Locator, what: string | RegExp): Promise<void> {
  await message.getByRole('button', { name: /^More about the message/ }).press('Enter')
  await message.page().getByRole('menuitem', { name: what }).press('Enter')
}

test('[UI60] [UI61] two people write directly: unread until it is read, read as the sender sees, named, answered, reacted to', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const grace = await scene.guest('Grace Hopper')
  const [adas, graces] = [await ada.page('/rooms'), await grace.page('/rooms')]

  await adas.getByRole('button', { name: 'New direct message' }).click()
  await adas.getByRole('dialog').getByRole('button', { name: 'Grace Hopper' }).click()
  await adas.getByRole('heading', { name: 'Grace Hopper', level: 1 }).waitFor()
  await say(adas, 'Are you there?')
  await said(adas, 'Are you there?').waitFor()

  // Grace's list is asked for again when she comes back to the page.
  await graces.reload()
  const line = rooms(graces).getByRole('link', { name: /Ada Lovelace.*Are you there\?.*1 unread for you/ })
  await line.click()
  await said(graces, 'Are you there?').waitFor()
  await rooms(graces)
    .getByRole('link', { name: /unread/ })
    .waitFor({ state: 'detached' })
  await field(graces).pressSequentially('Yes, @ad')
  await graces.getByRole('option', { name: 'Ada Lovelace' }).waitFor()
  await field(graces).press('Enter')
  assert.equal(await field(graces).inputValue(), 'Yes, @Ada Lovelace ')
  await field(graces).press('Enter')
  await said(adas, 'Yes, @Ada Lovelace').waitFor()
  const [room] = (await ada.call<{ items: { id: string; kind: string }[] }>('GET', '/v1/rooms')).items.filter(
    ({ kind }) => kind === 'direct',
  )
  const { events } = await ada.call<{ events: RoomEvent[] }>('GET', `/v1/rooms/${room?.id}/events`)
  const named = events.find((event) => event.type === 'message.created' && event.actor.id === grace.id)
  assert.deepEqual(named?.type === 'message.created' && named.mentions, [ada.id])

  await choose(said(adas, 'Yes, @Ada Lovelace'), 'Reply')
  await say(adas, 'Good to hear')
  await said(graces, 'Good to hear')
    .getByRole('button', { name: /In answer to Grace Hopper Yes/ })
    .waitFor()
  await choose(said(graces, 'Good to hear'), 'React with 🎉')
  const reaction = said(adas, 'Good to hear').getByRole('button', { name: '🎉 by Grace Hopper' })
  await reaction.click()
  await said(graces, 'Good to hear')
    .getByRole('button', { name: /🎉 by .*Ada Lovelace/ })
    .waitFor()
  await adas.getByRole('button', { name: '🎉 by Grace Hopper, you', pressed: true }).click()
  await reaction.waitFor()
})

test('[UI62] [UI172] a message of mine is changed from the empty field and deleted after one question, and others see both at once', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Engine team', members: [] })
  const grace = await scene.guest('Grace Hopper', [room.id])
  const [adas, graces] = [await ada.page(`/rooms/${room.id}`), await grace.page(`/rooms/${room.id}`)]
  await say(adas, 'The release is on Munday')
  await said(graces, 'The release is on Munday').waitFor()

  await field(adas).press('ArrowUp')
  await adas.getByText('You are editing your message.').waitFor()
  assert.equal(await field(adas).inputValue(), 'The release is on Munday')
  await field(adas).fill('The release is on Monday')
  await field(adas).press('Enter')
  await said(adas, 'The release is on Monday (edited)').waitFor()
  await said(graces, 'The release is on Monday (edited)').waitFor()

  // Not hers: she may answer, but neither change nor delete it.
  await said(graces, 'Monday')
    .getByRole('button', { name: /^More about/ })
    .press('Enter')
  await graces.getByRole('menuitem', { name: 'Reply' }).waitFor()
  assert.equal(await graces.getByRole('menuitem', { name: /Edit|Delete/ }).count(), 0)
  await graces.keyboard.press('Escape')

  await choose(said(adas, 'Monday'), 'Delete…')
  await adas.getByRole('dialog').waitFor()
  await adas.keyboard.press('Escape')
  await adas.locator('button:focus[aria-label^="More about the message"]').waitFor()
  await choose(said(adas, 'Monday'), 'Delete…')
  await adas.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click()
  await said(adas, 'This message was deleted.').waitFor()
  await said(graces, 'This message was deleted.').waitFor()
  // Nor in the list of rooms, which shows what was said last.
  await graces.getByText('Monday').first().waitFor({ state: 'detached' })
})

test('[UI63] [UI64] in a long room one lands at what is unread, finds what was said as one types, and goes there and back to the newest', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Long room', members: [] })
  const grace = await scene.guest('Grace Hopper', [room.id])
  await ada.say(room.id, 'The heron stands at the river')
  for (let n = 1; n <= 330; n += 1) await ada.say(room.id, `Line ${n}`)
  const adas = await ada.page(`/rooms/${room.id}`)
  await said(adas, 'Line 330').waitFor()
  await grace.say(room.id, 'The first that is new')

  // Looked at from elsewhere, so that it stays unread.
  const graces = await grace.page(`/rooms/${room.id}`)
  await graces.getByRole('button', { name: 'Read on from the first unread message' }).click()
  await said(graces, 'The heron stands at the river').waitFor()
  await graces.getByText('New', { exact: true }).waitFor()

  await adas.getByRole('button', { name: 'Search messages here' }).click()
  await adas.getByRole('searchbox', { name: 'Search messages' }).fill('hero')
  const panel = adas.getByRole('region', { name: 'Search' })
  await panel.getByRole('button', { name: /The heron stands/ }).click()
  await said(adas, 'The heron stands at the river').waitFor()
  assert.equal(await said(adas, 'The first that is new').count(), 0)
  // Downwards the history is read on, page by page.
  await adas.getByRole('button', { name: 'Close Search' }).click()
  await said(adas, 'The heron stands at the river').hover()
  const wanted = said(adas, 'Line 200')
  while ((await wanted.count()) === 0) {
    await adas.mouse.wheel(0, 500)
    // As long as a page takes to be drawn: the wheel must not run ahead of what is fetched for ever.
    await adas.waitForTimeout(50)
  }
  await adas.getByRole('button', { name: /new$|To the newest/ }).click()
  await said(adas, 'The first that is new').waitFor()

  // What I want unread stays so while I look at it, and the line stands there.
  await choose(said(adas, 'The first that is new'), 'Mark unread from here')
  await rooms(adas)
    .getByRole('link', { name: /Long room.*1 unread/ })
    .waitFor()
  await adas.getByText('New', { exact: true }).waitFor()
})

test('[UI65] [UI66] an invitation leads into the room; roles give what they allow, and who is taken out sees it at once', async () => {
  await using scene = await chatScene()
  const { ada } = scene
  const room = await ada.room({ name: 'Engine team', members: [] })
  const adas = await ada.page(`/rooms/${room.id}`)
  await adas.getByRole('button', { name: /members?$/ }).click()
  const dialog = adas.getByRole('dialog', { name: 'Members' })
  await dialog.getByRole('textbox', { name: 'Invite somebody new' }).fill('grace@example.com')
  await dialog.getByRole('button', { name: 'Get a link' }).click()
  const link = (await dialog.locator('code').textContent()) ?? ''
  assert.match(link, /\/join#token=/)
  await adas.keyboard.press('Escape')

  const graces = await scene.visitor()
  await graces.goto(link)
  await graces.getByLabel('Your name').fill('Grace Hopper')
  await graces.getByLabel('Password', { exact: true }).fill('nine quiet herons wade')
  await graces.getByRole('button', { name: /Join|Create/ }).click()
  await rooms(graces)
    .getByRole('link', { name: /Engine team/ })
    .click()
  await graces.getByRole('heading', { name: 'Engine team', level: 1 }).waitFor()
  await log(adas).getByText('Ada Lovelace added Grace Hopper').waitFor()
  const grace = await scene.signIn('grace@example.com', 'nine quiet herons wade')
  const menu = graces.getByRole('button', { name: 'More about this room' })
  await menu.click()
  await graces.getByRole('menuitem', { name: 'Leave…' }).waitFor()
  assert.equal(await graces.getByRole('menuitem', { name: 'Rename' }).count(), 0)
  await graces.keyboard.press('Escape')

  await adas.getByRole('button', { name: /members?$/ }).click()
  await dialog.getByRole('combobox', { name: 'Role of Grace Hopper' }).selectOption('admin')
  await log(graces).getByText('Ada Lovelace made Grace Hopper an admin of the room').waitFor()
  await menu.click()
  await graces.getByRole('menuitem', { name: 'Rename' }).click()
  await graces.getByRole('textbox', { name: 'Name of the room' }).fill('Engine room')
  await graces.getByRole('button', { name: 'Rename' }).click()
  await menu.and(graces.locator(':focus')).waitFor()
  await adas.getByRole('heading', { name: 'Engine room', level: 1, includeHidden: true }).waitFor()

  // A room that is not hers, and one that stays between two, are not hers to open.
  const foreign = (await grace.call<{ items: Room[] }>('GET', '/v1/rooms')).items.find(
    ({ members }) => !members.some(({ id }) => id === ada.id),
  )
  const direct = await ada.room({ direct: { kind: 'account', id: grace.id } })
  for (const [roomId, code] of [
    [foreign?.id, 'not_a_member'],
    [direct.id, 'forbidden'],
  ]) {
    const invitation = { email: 'alan@example.com', role: 'member', roomIds: [roomId] }
    await assert.rejects(ada.call('POST', '/v1/invitations', invitation), new RegExp(`"${code}"`))
  }

  await assertAccessible(adas, 'the members of a room')
  await dialog.getByRole('button', { name: 'Remove Grace Hopper' }).click()
  await graces.getByText('You were taken out of this room.').waitFor()
  await rooms(graces)
    .getByRole('link', { name: /Engine room/ })
    .waitFor({ state: 'detached' })
})

test('[UI166] [UI163] [UI164] [UI173] a page whose Markdown cannot be fetched shows the text meanwhile; the open end of a growing answer is shown as what it will be, also after a reload; a stopped one stays as it was read and says once that it was stopped', async () => {
  await using model = await CompletionsServer.start()
  model.replies = [
    { fault: 'stalls', text: 'First **this**,\nthen\n\n```ts\nif (a <= 1)\n```\n\nand see [the boa' },
  ]
  await using scene = await chatScene({ ATOM_MODEL_BASE_URL: model.baseUrl, ATOM_MODEL_NAME: 'a-model' })
  const { ada } = scene
  const [room] = (await ada.call<{ items: Room[] }>('GET', '/v1/rooms')).items
  assert.ok(room)
  const page = await ada.page(`/rooms/${room.id}`)
  const parser = '**/assets/markdown-text-*.js'
  const unreachable = page.waitForEvent('requestfailed', (request) => /markdown-text/.test(request.url()))
  await page.route(parser, (route) => route.abort('connectionrefused'))
  await say(page, 'What is next?')
  const answer = log(page).getByRole('article', { name: 'Atom answered' })
  await answer.getByText('First **this**').waitFor()
  await unreachable
  await field(page).fill('being written')
  await page.unroute(parser)
  await answer.getByText('and see the boa', { exact: true }).waitFor()
  assert.equal(await field(page).inputValue(), 'being written')
  await answer.getByRole('button', { name: 'Copy code' }).click()
  await answer.getByText('Copied').waitFor()
  assert.equal(await page.evaluate('navigator.clipboard.readText()'), 'if (a <= 1)')
  await assertAccessible(page, 'a growing answer')
  await page.reload()
  await answer.getByText('and see the boa', { exact: true }).waitFor()
  await field(page).press('Escape')
  await answer.getByText('and see [the boa', { exact: true }).waitFor()
  await answer.getByText('Stopped').waitFor()
  assert.equal(await answer.getByText('Stopped').count(), 1)
  await rooms(page).getByText('First this, then if (a <= 1) and see the boa', { exact: true }).waitFor()
})
