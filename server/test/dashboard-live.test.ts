import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type {
  LiveHistory,
  LiveNode,
  LiveRoom,
  LiveSummary,
  OpenSocket,
  SilentNode,
} from '@atom/contract/operations.ts'
import type { Room } from '@atom/contract/rooms.ts'
import type { Page } from 'playwright-core'
import { AtomProcess } from './support/atom-process.ts'
import { ada, assertAccessible, openBrowser, setUp } from './support/browser.ts'
import { call } from './support/calls.ts'
import { PlainClient, range } from './support/live.ts'
import { until } from './support/until.ts'

interface Scripted {
  readonly sockets: { summary: LiveSummary; items: readonly OpenSocket[]; next: string | null }
  readonly rooms: { node: string; items: readonly LiveRoom[] }
  readonly history: LiveHistory
}

const node = 'a-node-with-a-name-4711'
const names = ['Ada Lovelace', 'Grace Hopper', 'Katherine Johnson', 'Mary Somerville', 'Émilie du Châtelet']

function idOf(number: number): string {
  return `01900000-0000-7000-8000-${String(number).padStart(12, '0')}`
}

/** What a busy process with some slow readers tells; no process can be brought into it on demand. */
function busy(): Scripted {
  const now = Date.now()
  const seconds = range(0, 899)
  const wave = (middle: number, height: number) =>
    seconds.map((second) => Math.max(0, Math.round(middle + height * Math.sin(second / 40) + (second % 7))))
  const summary: LiveSummary = {
    node,
    sockets: 1_204,
    people: 862,
    rooms: 311,
    crowded: 2,
    behind: 1,
    unsentBytes: 2_415_000,
    published: 214.3,
    acknowledgedP50Ms: 8.4,
    acknowledgedP99Ms: 71.2,
    lanes: [
      { rows: 12, bytes: 4_800 },
      { rows: 0, bytes: 0 },
    ],
    handshakes: 3.2,
    returned: 1.1,
    spreadMs: 3_763,
    moving: 0,
  }
  const items = range(0, 49).map((number): OpenSocket => {
    const state = number === 0 ? 'behind' : number < 3 ? 'crowded' : 'live'
    return {
      id: `socket-${number}`,
      account: { id: idOf(number), name: names[number % names.length] ?? '' },
      deviceId: `device-${idOf(number)}`,
      address: number % 3 === 0 ? '2001:db8:85a3::8a2e:370:7334' : '203.0.113.17',
      since: new Date(now - number * 340_000).toISOString(),
      lastFrameAt: new Date(now - number * 7_000).toISOString(),
      rooms: 1 + (number % 9),
      unsentBytes: state === 'behind' ? 1_912_000 : state === 'crowded' ? 251_000 : 0,
      state,
    }
  })
  const history: LiveHistory = {
    node,
    at: seconds.map((second) => now - (899 - second) * 1_000),
    sockets: wave(1_150, 60),
    published: wave(200, 90),
    acknowledgedP50Ms: wave(9, 3),
    acknowledgedP99Ms: wave(48, 24),
    handshakes: seconds.map((second) => (second > 400 && second < 440 ? 320 : second % 4)),
    returned: seconds.map((second) => (second > 400 && second < 440 ? 300 : 0)),
    resumes: seconds.map((second) => (second > 402 && second < 444 ? 180 : 0)),
    behind: seconds.map((second) => (second > 800 ? 1 : 0)),
  }
  const rooms = range(0, 9).map(
    (number): LiveRoom => ({
      roomId: idOf(100 + number),
      name: number % 3 === 1 ? null : `Room ${number} about something that has a long name of its own`,
      followers: 400 - number * 37,
      perSecond: Math.max(0, 60 - number * 7.3),
    }),
  )
  return {
    sockets: { summary, items, next: 'more' },
    rooms: { node, items: rooms },
    history,
  }
}

function quiet(): Scripted {
  const { sockets, history } = busy()
  const nothing = history.at.map(() => 0)
  return {
    sockets: {
      summary: {
        ...sockets.summary,
        sockets: 0,
        people: 0,
        rooms: 0,
        crowded: 0,
        behind: 0,
        unsentBytes: 0,
        published: 0,
        acknowledgedP50Ms: null,
        acknowledgedP99Ms: null,
        lanes: [],
        handshakes: 0,
        returned: 0,
        spreadMs: 0,
      },
      items: [],
      next: null,
    },
    rooms: { node, items: [] },
    history: {
      node,
      at: history.at,
      sockets: nothing,
      published: nothing,
      acknowledgedP50Ms: nothing.map(() => null),
      acknowledgedP99Ms: nothing.map((_, second) => (second % 200 === 0 ? 9 : null)),
      handshakes: nothing,
      returned: nothing,
      resumes: nothing,
      behind: nothing,
    },
  }
}

/** Another process that drains, and one that was killed a moment ago. */
function nodesBeside({ sockets: { summary } }: Scripted): { items: LiveNode[]; silent: SilentNode[] } {
  const since = new Date(Date.now() - 86_400_000).toISOString()
  const one = { id: idOf(1), version: '0.1.0', since, draining: false, answers: true, summary }
  const two = { ...one, id: idOf(2), draining: true, answers: false }
  const other = { ...summary, node: 'another-node-with-a-name-815', sockets: 17, behind: 0 }
  return {
    items: [one, { ...two, summary: other }],
    silent: [{ id: idOf(3), node: 'a-third-node-with-a-name-42', heardAt: since }],
  }
}

async function answerFrom(page: Page, script: Scripted): Promise<void> {
  await page.route('**/v1/operations/sockets?*', (route) => route.fulfill({ json: script.sockets }))
  await page.route('**/v1/operations/rooms/live?*', (route) => route.fulfill({ json: script.rooms }))
  await page.route('**/v1/operations/live/history*', (route) => route.fulfill({ json: script.history }))
  await page.route('**/v1/operations/nodes', (route) => route.fulfill({ json: nodesBeside(script) }))
}

async function drawn(page: Page): Promise<void> {
  await page.locator('.uplot canvas').nth(3).waitFor()
}

suite('the operator’s live page', () => {
  const release = new AsyncDisposableStack()
  let atom: AtomProcess
  let browser: Awaited<ReturnType<typeof openBrowser>>
  let token: string

  before(async () => {
    atom = release.use(await AtomProcess.started())
    browser = release.use(await openBrowser())
    const page = await (await browser.person()).newPage()
    await setUp(page, atom.setupUrl)
    await page.close()
    const { email, password } = ada
    const signedIn = await call<{ accessToken: string }>(atom.url, 'POST', '/v1/auth/login', {
      body: { email, password },
    })
    token = signedIn.body.accessToken
  })
  after(() => release.disposeAsync())

  async function at(path: string, who: { email: string; password: string } = ada): Promise<Page> {
    const page = await (await browser.person()).newPage()
    await page.goto(`${atom.url}/sign-in`)
    await page.getByLabel('E-mail').fill(who.email)
    await page.getByLabel('Password', { exact: true }).fill(who.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'Rooms' }).waitFor()
    await page.goto(`${atom.url}${path}`)
    return page
  }

  test('[UI81] an operator watches the live side: who is connected, what is said and how quickly it is stored, renewed while they look, plots in words too', async () => {
    const page = await at('/rooms')
    await page.getByRole('link', { name: 'Operations' }).click()
    await page.getByRole('link', { name: 'Live', exact: true }).click()
    await page.waitForURL('**/operations/live')
    await page.getByRole('heading', { level: 1, name: 'Live' }).waitFor()
    await drawn(page)
    const { body } = await call<{ items: Room[] }>(atom.url, 'GET', '/v1/rooms', { token })
    const [room] = body.items
    assert.ok(room)
    using client = new PlainClient(atom.url, { token, deviceId: 'the-plain-client' })
    await client.hello()
    assert.ok((await client.ask('room.join', { roomId: room.id })).ok)
    await page.getByRole('row', { name: /the-plai/ }).waitFor()
    await Promise.all(
      range(1, 25).map((number) =>
        call(atom.url, 'POST', `/v1/rooms/${room.id}/messages`, {
          token,
          body: { clientId: `client-of-live-${number}`, text: `message ${number}` },
        }),
      ),
    )
    const said = page.getByRole('figure', { name: 'How much is said?' })
    await said.getByText(/^(2[5-9]|[3-9]\d) in all/).waitFor()
    await page
      .getByRole('figure', { name: 'How long until it is stored?' })
      .getByText(/p99 [\d.]+ m?s/)
      .waitFor()
    const busiest = page.getByRole('region', { name: 'Busiest rooms' })
    await busiest.getByRole('link', { name: room.name }).waitFor()
    client.socket.disconnect()
    await page.getByRole('row', { name: /the-plai/ }).waitFor({ state: 'detached' })
    await assertAccessible(page, 'the live page')
    await page.close()
  })

  test('[UI82] an operator moves or disconnects one socket, and drains the process, each after one question', async () => {
    const page = await at('/operations/live')
    for (const [button, reason] of [
      ['Move', 'moved'],
      ['Disconnect', 'disconnected'],
    ] as const) {
      using client = new PlainClient(atom.url, { token, deviceId: 'the-plain-client' })
      await client.hello()
      await page.getByRole('button', { name: /^Disconnect .* the-plai$/ }).click()
      const dialog = page.getByRole('dialog')
      await assertAccessible(page, 'the question')
      await dialog.getByRole('button', { name: button, exact: true }).click()
      await dialog.waitFor({ state: 'detached' })
      await until(() => client.first('closing')?.reason === reason)
      await page.getByRole('row', { name: /the-plai/ }).waitFor({ state: 'detached' })
    }
    using client = new PlainClient(atom.url, { token, deviceId: 'the-plain-client' })
    await client.hello()
    await page.getByRole('row', { name: /the-plai/ }).waitFor()
    await page.getByRole('button', { name: 'Drain…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Leave it' }).click()
    assert.ok(client.socket.connected)
    await page.getByRole('button', { name: 'Drain…' }).click()
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /^Drain \d+ socket/ })
      .click()
    await until(() => client.first('closing')?.reason === 'moved')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    // This page's own socket was moved, too, and is back.
    await page
      .getByRole('row', { name: /Ada Lovelace \(you\)/ })
      .filter({ hasNotText: 'the-plai' })
      .waitFor()
    await page.close()
  })

  test('[UI83] whoever is no operator has no Operations in the rail, and is told who can grant it', async () => {
    const member = { email: 'grace@example.com', password: 'nine brave herons dance' }
    const invited = await call<{ url: string }>(atom.url, 'POST', '/v1/invitations', {
      token,
      body: { email: member.email, role: 'member' },
    })
    const [, secret = ''] = /#token=(.+)$/.exec(invited.body.url) ?? []
    const joined = await call(atom.url, 'POST', '/v1/invitations/accept', {
      body: { token: secret, name: 'Grace Hopper', password: member.password },
    })
    assert.equal(joined.status, 201)
    const page = await at('/operations', member)
    await page.getByText('This page is for owners and admins of the workspace').waitFor()
    await page.getByText('Ada Lovelace can make you one.').waitFor()
    assert.equal(await page.getByRole('link', { name: 'Operations' }).count(), 0)
    await assertAccessible(page, 'a member')
    await page.close()
  })

  for (const [width, height, colorScheme] of [
    [1440, 900, 'light'],
    [1024, 800, 'dark'],
    [390, 844, 'dark'],
  ] as const) {
    test(`[UI84] [UI105] busy, one of several processes, stale, failed and quiet at ${width} px, ${colorScheme}: axe-clean, and nothing is wider than the window`, async () => {
      const shots = process.env['ATOM_TEST_SHOTS']
      const page = await at('/rooms')
      await page.setViewportSize({ width, height })
      await page.emulateMedia({ colorScheme })
      const look = async (name: string) => {
        await assertAccessible(page, `${name} at ${width} px, ${colorScheme}`)
        // The page itself scrolls in the main part.
        const wide = await page.evaluate(
          `[document.documentElement, ...document.querySelectorAll('main *')]
            .filter((element) => element.tagName !== 'CANVAS' && element.getBoundingClientRect().right > innerWidth + 1)
            .map((element) => element.outerHTML.slice(0, 120))`,
        )
        assert.deepEqual(wide, [], `${name} at ${width}`)
        if (shots !== undefined) {
          await page.screenshot({ path: `${shots}/${name}-${width}-${colorScheme}.png` })
          await page.mouse.move(width / 2, height / 2)
          await page.mouse.wheel(0, 900)
          await page.waitForTimeout(200)
          await page.screenshot({ path: `${shots}/${name}-${width}-${colorScheme}-below.png` })
        }
      }
      await answerFrom(page, busy())
      await page.goto(`${atom.url}/operations/live`)
      await drawn(page)
      await page.getByRole('button', { name: 'Slow readers 3' }).waitFor()
      const processes = page.getByRole('region', { name: 'Processes' })
      await processes.getByRole('row', { name: /another-node.*Draining/ }).waitFor()
      await processes.getByRole('row', { name: /a-third-node.*Does not answer/ }).waitFor()
      await processes
        .getByRole('link', { name: node, exact: true })
        .and(page.locator('[aria-current]'))
        .waitFor()
      await look('busy')
      await page.route('**/v1/operations/**', (route) =>
        route.fulfill({ status: 503, json: { code: 'unavailable' } }),
      )
      await page.getByText('These numbers are old').waitFor()
      await look('stale')
      await page.reload()
      await page.getByRole('button', { name: 'Try again' }).first().waitFor()
      await look('failed')
      await answerFrom(page, quiet())
      // It asks again by itself.
      await page.getByText('Nobody is connected to this process.').waitFor()
      await drawn(page)
      await look('quiet')
      await page.close()
    })
  }

  test('[UI85] a person is found among the sockets by a part of the name, slow readers by one press, and both survive a reload', async () => {
    const page = await at('/operations/live')
    using client = new PlainClient(atom.url, { token, deviceId: 'the-plain-client' })
    await client.hello()
    const rows = page.getByRole('region', { name: 'Sockets' }).getByRole('row')
    const field = page.getByRole('searchbox')
    await page.getByRole('row', { name: /the-plai/ }).waitFor()
    await field.fill('the-plain')
    await until(async () => (await rows.count()) === 2)
    await page.reload()
    await page.getByRole('row', { name: /the-plai/ }).waitFor()
    assert.equal(await field.inputValue(), 'the-plain')
    await field.fill('nobody at all')
    await page.getByText('No socket here goes by “nobody at all”.').waitFor()
    await field.fill('')
    await page.getByRole('button', { name: /^Slow readers/ }).click()
    await page.getByText('Everybody reads as fast as you send.').waitFor()
    await page.reload()
    await page.getByText('Everybody reads as fast as you send.').waitFor()
    await page.close()
  })
})
