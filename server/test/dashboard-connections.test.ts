import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import type { DeviceCode } from '@atom/contract/connections.ts'
import type { Locator, Page } from 'playwright-core'
import { AtomProcess } from './support/atom-process.ts'
import { ada, assertAccessible, openBrowser, setUp } from './support/browser.ts'
import {
  answerFrom,
  connection,
  crowded,
  fromNow,
  idOf,
  provider,
  type Script,
  troubled,
} from './support/scripted-answers.ts'
import { until } from './support/until.ts'

/** Nothing is wider than the window, so nothing scrolls sideways. */
async function assertFits(page: Page, where: string): Promise<void> {
  const width = Number(await page.evaluate('document.documentElement.scrollWidth'))
  assert.ok(width <= (page.viewportSize()?.width ?? 0), `${where} is ${width} px wide`)
}

suite('the dashboard’s connections in every state', () => {
  const release = new AsyncDisposableStack()
  let atom: AtomProcess
  let browser: Awaited<ReturnType<typeof openBrowser>>

  before(async () => {
    atom = release.use(await AtomProcess.started())
    browser = release.use(await openBrowser())
    const page = await (await browser.person()).newPage()
    await setUp(page, atom.setupUrl)
    await page.close()
  })
  after(() => release.disposeAsync())

  /** Signed in, with the script's answers, at a path. */
  async function at(path: string, script: Script): Promise<Page> {
    const page = await (await browser.person()).newPage()
    await page.goto(`${atom.url}/sign-in`)
    await page.getByLabel('E-mail').fill(ada.email)
    await page.getByLabel('Password', { exact: true }).fill(ada.password)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('link', { name: 'Connections' }).waitFor()
    await answerFrom(page, script)
    await page.goto(`${atom.url}${path}`)
    return page
  }

  const rows = (page: Page) => page.getByRole('list', { name: 'Accounts' }).getByRole('listitem')

  test('[UI34] among three hundred accounts what needs someone comes first, and one is found by typing a part of it', async () => {
    const page = await at('/connections', crowded(300))
    await page.getByRole('button', { name: 'All 300' }).waitFor()
    const broken = page.getByRole('button', { name: /^Need someone/ })
    const [, count = ''] = /(\d+)/.exec((await broken.textContent()) ?? '') ?? []
    assert.ok(Number(count) > 0)
    // Only what can be seen is there, and says where it stands among the others.
    const at300 = (place: number) => page.locator(`li[aria-posinset="${place}"][aria-setsize="300"]`)
    await at300(1).waitFor()
    assert.ok((await rows(page).count()) < 100)
    for (let place = 1; place <= 5; place += 1)
      assert.match((await at300(place).textContent()) ?? '', /Needs (you|your admin|the operator):/)
    await rows(page).first().hover()
    while (!(await at300(300).isVisible())) {
      await page.mouse.wheel(0, 3_000)
      await page.waitForTimeout(50)
    }
    assert.doesNotMatch((await at300(300).textContent()) ?? '', /Needs (you|your admin|the operator):/)

    await page.keyboard.press('/')
    await page.keyboard.type('person-277')
    await page.getByRole('listitem', { name: /Person 277$/ }).waitFor()
    await counted(rows(page), 1)
    // What is looked for is in the address: it survives opening, reloading and going back.
    await rows(page).getByRole('link').click()
    await page.getByRole('region', { name: 'Connected account' }).waitFor()
    await page.reload()
    await page.getByRole('region', { name: 'Connected account' }).getByText('Person 277').waitFor()
    assert.equal(await page.getByRole('searchbox').inputValue(), 'person-277')
    await page.goBack()
    await page.getByRole('region', { name: 'Connected account' }).waitFor({ state: 'detached' })
    await counted(rows(page), 1)

    await page.getByRole('searchbox').fill('nobody at all')
    await page.getByText('No account goes by “nobody at all”.').waitFor()
    await page.getByRole('button', { name: 'Show all accounts' }).click()
    await at300(1).waitFor()
    await broken.click()
    await counted(rows(page), Number(count))
    await page.close()
  })

  test('[UI35] every screen is axe-clean and fits, wide and narrow, light and dark, empty, troubled, crowded and failed', async () => {
    const troubledScript = troubled()
    const screens: readonly (readonly [string, string, Script])[] = [
      ['empty', '/connections', { ...troubledScript, connections: [], forecast: [] }],
      ['accounts', '/connections', troubledScript],
      ['crowded', '/connections', crowded(60)],
      ['an account', `/connections/${idOf(4)}`, troubledScript],
      ['an account that needs its admin', `/connections/${idOf(3)}`, troubledScript],
      ['catalogue', '/connections/catalogue', troubledScript],
      ['a provider with a key', '/connections/catalogue/linear', troubledScript],
      ['a setup', '/connections/catalogue/gitlab/setup', troubledScript],
      ['nothing found', '/connections/catalogue?q=qqqq', troubledScript],
    ]
    for (const [width, height, colorScheme] of [
      [1440, 900, 'light'],
      [390, 844, 'dark'],
    ] as const) {
      const page = await at('/connections', troubledScript)
      await page.setViewportSize({ width, height })
      await page.emulateMedia({ colorScheme })
      for (const [name, path, script] of screens) {
        await answerFrom(page, script)
        await page.goto(`${atom.url}${path}`)
        await page.getByRole('heading', { level: 1 }).first().waitFor()
        await page.locator('[aria-busy="true"]').first().waitFor({ state: 'detached' })
        await assertAccessible(page, `${name} at ${width} px, ${colorScheme}`)
        await assertFits(page, `${name} at ${width} px`)
      }
      await page.route('**/v1/connections?*', (route) =>
        route.fulfill({ status: 503, json: { code: 'unavailable' } }),
      )
      await page.goto(`${atom.url}/connections/catalogue`)
      await page.getByRole('link', { name: 'Accounts' }).click()
      await page.getByRole('button', { name: 'Try now' }).waitFor()
      await assertAccessible(page, `failed at ${width} px, ${colorScheme}`)
      await page.close()
    }
  })

  test('[UI36] everything is reached without a mouse: rows by arrows, a panel by Enter, back by Esc with the focus where it was', async () => {
    const page = await at('/connections', troubled())
    const links = page.getByRole('list', { name: 'Accounts' }).getByRole('link')
    await links.first().focus()
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowUp')
    const second = links.nth(1)
    assert.ok(await isFocused(page, await second.getAttribute('data-row')))
    await page.keyboard.press('Enter')
    const panel = page.getByRole('region', { name: 'Connected account' })
    await panel.waitFor()
    await page.waitForFunction(`document.activeElement?.tagName === 'H1'`)
    // Esc in a dialog over the panel closes the dialog alone.
    await panel.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await panel.waitFor()
    await page.keyboard.press('Escape')
    await panel.waitFor({ state: 'detached' })
    const row = await second.getAttribute('data-row')
    await page.waitForFunction(`document.activeElement?.getAttribute('data-row') === '${row}'`)
    await page.close()
  })

  test('[UI37] an operator is led through the setup: steps, addresses to copy, the provider’s own fields, and a test that says what is wrong', async () => {
    const script = troubled()
    const page = await at('/connections/catalogue/gitlab/setup', script)
    const panel = page.getByRole('region', { name: 'Setup' })
    await panel.getByText('Open “Developer settings”').waitFor()
    await panel.getByText('https://atom.example/v1/oauth/callback/gitlab').waitFor()
    await panel.getByRole('button', { name: 'Copy redirect address' }).waitFor()
    await panel.getByText('identity work.read').waitFor()
    await counted(panel.getByRole('button', { name: 'Test' }), 0)

    await panel.getByLabel('Client id').fill('the-client')
    await panel.getByLabel('Private key').fill('-----BEGIN PRIVATE KEY-----')
    await panel.getByLabel('The secret ends on').fill('2027-03-01')
    await panel.getByLabel('The app is not published yet').check()
    const sent = page.waitForRequest((request) => request.method() === 'PUT')
    await panel.getByRole('button', { name: 'Save' }).click()
    assert.deepEqual((await sent).postDataJSON(), {
      clientId: 'the-client',
      privateKey: '-----BEGIN PRIVATE KEY-----',
      clientSecretExpiresAt: '2027-03-01T00:00:00Z',
      testing: true,
    })

    script.providers = script.providers.map((entry) =>
      entry.id === 'gitlab'
        ? {
            ...entry,
            app: 'configured',
            appFacts: {
              clientId: 'the-client',
              configuredAt: fromNow(0),
              clientSecretExpiresAt: '2027-03-01T00:00:00Z',
              testing: true,
              scopes: null,
            },
          }
        : entry,
    )
    await page.reload()
    assert.equal(await panel.getByLabel('Client id').inputValue(), 'the-client')
    assert.equal(await panel.getByLabel('Client secret').inputValue(), '')
    assert.equal(await panel.getByLabel('Private key').inputValue(), '')
    await panel.getByRole('button', { name: 'Test' }).click()
    await panel.getByText('Not everything is in order').waitFor()
    await panel.getByText('Client id and secret: not yet').waitFor()
    await panel.getByText('Copy it again from the console').waitFor()
    await panel.getByText('Token endpoint: fine').waitFor()
    // Forgetting destroys a secret, so it is asked for twice.
    await panel.getByRole('button', { name: 'Forget the app' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Keep it' }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await assertAccessible(page, 'a test of an app')
    await page.close()
  })

  test('[UI41] for any server the operator says what a connection asks for; what a form does not ask for stays as it was', async () => {
    const script = troubled()
    const page = await at('/connections/catalogue', script)
    const appFacts = {
      clientId: 'the-client',
      configuredAt: fromNow(0),
      clientSecretExpiresAt: null,
      testing: false,
      scopes: ['work.read'],
    }
    const panel = page.getByRole('region', { name: 'Setup' })
    const saved = async () => {
      await panel.getByLabel('Client secret').fill('a new secret')
      const sent = page.waitForRequest((request) => request.method() === 'PUT')
      await panel.getByRole('button', { name: 'Replace' }).click()
      return (await sent).postDataJSON().scopes
    }
    script.providers = [provider('github', 'GitHub', { app: 'configured', appFacts })]
    await page.goto(`${atom.url}/connections/catalogue/github/setup`)
    await counted(panel.getByLabel(/^Scopes/), 0)
    assert.deepEqual(await saved(), ['work.read'])

    script.providers = [
      provider('oauth2', 'OAuth 2.0', { category: 'standard', app: 'configured', appFacts, scopes: [] }),
    ]
    await page.goto(`${atom.url}/connections/catalogue/oauth2/setup`)
    assert.equal(await panel.getByLabel(/^Scopes/).inputValue(), 'work.read')
    await panel.getByLabel(/^Scopes/).fill(' work.read  work.write ')
    assert.deepEqual(await saved(), ['work.read', 'work.write'])
    // Where nothing is known to be asked for there is nothing to copy.
    await counted(panel.getByText('Access it will ask for'), 0)
    await page.close()
  })

  test('[UI31] what only an admin of the organisation can mend comes with the message to send them', async () => {
    const page = await at('/connections', troubled())
    const row = page.getByRole('listitem', { name: 'Salesforce: Grace Hopper' })
    await row.getByText(/^Needs your admin: /).waitFor()
    await row.getByRole('button').click()
    const panel = page.getByRole('region', { name: 'Connected account' })
    await panel.getByText(/my Salesforce account \(Grace Hopper, grace@example.com\)/).waitFor()
    await panel.getByRole('button', { name: 'Copy message' }).waitFor()
    await panel.getByRole('button', { name: 'They have allowed it' }).waitFor()
    await page.close()
  })

  test('[UI38] what a provider has to be told is asked for before connecting, and a key goes to the server and nowhere else', async () => {
    const script = troubled()
    const page = await at('/connections/catalogue', script)
    await page
      .getByRole('listitem', { name: 'Linear' })
      .getByRole('link', { name: 'Linear', exact: true })
      .click()
    const panel = page.getByRole('region', { name: 'Provider' })
    await panel.getByLabel('API key').fill('lin_api_very_secret')
    assert.equal(await panel.getByLabel('API key').getAttribute('type'), 'password')
    const made = connection(9, { provider: 'linear', flow: 'api_key' })
    script.connections = [...script.connections, made]
    const bodies: unknown[] = []
    await page.route('**/v1/connections', async (route) => {
      if (route.request().method() !== 'POST') return route.fallback()
      bodies.push(route.request().postDataJSON())
      return route.fulfill({ status: 201, json: { connection: made } })
    })
    await panel.getByRole('button', { name: 'Connect', exact: true }).click()
    await page.getByText('Linear is connected as Person 9').waitFor()
    assert.deepEqual(bodies, [
      { provider: 'linear', flow: 'api_key', credential: { key: 'lin_api_very_secret' } },
    ])
    const kept = await page.evaluate(
      'location.href + JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.body.innerHTML',
    )
    assert.doesNotMatch(String(kept), /lin_api_very_secret/)
    await page.close()
  })

  test('[UI39] a device code can be copied, survives a reload, connects by itself, and says when it has ended', async () => {
    const script = troubled()
    script.providers = [provider('github', 'GitHub', { flows: ['authorization_code', 'device_code'] })]
    const page = await at('/connections/catalogue/github', script)
    const flowId = idOf(77)
    const device: DeviceCode = {
      userCode: 'WDJB-MJHT',
      verificationUri: 'https://github.example/login/device',
      expiresIn: 900,
      interval: 1,
    }
    let flow: object = { status: 'pending' }
    await page.route('**/v1/connections', (route) =>
      route.request().method() === 'POST'
        ? route.fulfill({ status: 201, json: { flowId, device } })
        : route.fallback(),
    )
    await page.route(`**/v1/connections/flows/${flowId}`, (route) => route.fulfill({ json: flow }))
    const panel = page.getByRole('region', { name: 'Provider' })
    const begin = async () => {
      await panel.getByLabel('Enter a code on another device').check()
      await panel.getByRole('button', { name: 'Get a code' }).click()
      await panel.getByText('WDJB-MJHT').waitFor()
    }
    await begin()
    await panel.getByRole('button', { name: 'Copy code' }).waitFor()
    await panel.getByText(/ends in 1[45]:\d\d/).waitFor()
    await assertAccessible(page, 'a device code')
    await page.reload()
    await panel.getByText('WDJB-MJHT').waitFor()

    flow = { status: 'failed', problem: 'consent_denied' }
    await panel.getByText('Access was not granted at the provider').waitFor()
    await panel.getByRole('button', { name: 'Dismiss' }).click()
    flow = { status: 'pending' }
    device.expiresIn = 1
    await begin()
    await panel.getByText('The code has expired').waitFor()
    await panel.getByRole('button', { name: 'Dismiss' }).click()

    device.expiresIn = 900
    await begin()
    flow = { status: 'connected', connectionId: idOf(1) }
    await page.getByText('GitHub is connected as Ada Lovelace').waitFor()
    assert.equal(await page.evaluate('sessionStorage.getItem("atom:device-code:github")'), null)
    await page.close()
  })

  test('[UI40] what will end stands above the accounts, the pressing first, each with the way to where it is dealt with', async () => {
    const script = troubled()
    const page = await at('/connections', script)
    const forecast = page.getByRole('region', { name: 'What will end' })
    await counted(forecast.getByRole('listitem'), 2)
    await forecast.getByRole('button', { name: 'Show 2 more' }).click()
    await counted(forecast.getByRole('listitem'), 4)
    await forecast.getByRole('link', { name: 'Enter a new secret' }).click()
    await page.getByRole('region', { name: 'Setup' }).getByText('Your app for Google').waitFor()
    // Where nothing presses it is one line.
    script.forecast = script.forecast.filter(({ severity }) => severity === 'low')
    await page.goto(`${atom.url}/connections`)
    await forecast.getByRole('button', { name: 'Show 2 things' }).waitFor()
    await counted(forecast.getByRole('listitem'), 0)
    script.forecast = []
    await page.reload()
    await rows(page).first().waitFor()
    await counted(forecast, 0)
    await page.close()
  })

  test('[UI45] a server that is away is said in one line, wherever one looks, and is over by itself', async () => {
    const page = await at('/connections', troubled())
    await rows(page).first().waitFor()
    // Away for whatever is asked here; a socket is not needed on this page.
    const away = (url: URL) => url.pathname.startsWith('/v1/')
    await page.route(away, (route) => route.abort('connectionrefused'))
    const line = page.getByRole('status', { name: 'Live connection' })
    await rows(page).first().getByRole('link').click()
    await line.getByText(/^The server cannot be reached\./).waitFor()
    // What was there stays.
    await rows(page).first().waitFor()
    await page.getByRole('link', { name: 'Catalogue' }).click()
    await page.getByRole('link', { name: 'GitHub', exact: true }).waitFor()
    assert.equal(await page.getByText(/cannot be reached/).count(), 1)
    assert.equal(await page.getByRole('alert').count(), 0)
    await assertAccessible(page, 'the server away')

    await page.unroute(away)
    await line.getByText(/cannot be reached/).waitFor({ state: 'detached' })
    await page.goBack()
    await page.getByRole('region', { name: 'What happened' }).getByText('Allowed more').waitFor()
    await page.close()
  })
})

/** Lists follow the address, which changes a moment after the click. */
async function counted(locator: Locator, count: number): Promise<void> {
  await until(async () => (await locator.count()) === count)
}

async function isFocused(page: Page, row: string | null): Promise<boolean> {
  return (await page.evaluate(`document.activeElement?.getAttribute('data-row')`)) === row
}
