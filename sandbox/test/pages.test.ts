import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { chromium, type Page } from 'playwright-core'
import { idOf } from '../src/notion/notion-ids.ts'
import { startSandbox } from '../src/sandbox.ts'
import { connectStandard, dial, redirectUri, redirectUris } from './support/clients.ts'

/** Nothing axe finds wrong, nothing wider than the window. */
async function flawless(page: Page, name: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  assert.deepEqual(
    violations.map(({ id, nodes }) => [name, id, nodes.map(({ html }) => html)]),
    [],
  )
  const overflow = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth')
  assert.ok(Number(overflow) <= 0, `${name} is ${overflow} px too wide`)
}

test('[SB25] a person connects in a browser with the keyboard alone; every page passes axe, light and dark, also at 390 px', async () => {
  const app = http.createServer((request, response) => response.end(request.url)).listen(0, '127.0.0.1')
  await once(app, 'listening')
  const callback = `http://127.0.0.1:${(app.address() as AddressInfo).port}/v1/oauth/callback/google`
  const browser = await chromium.launch({
    executablePath: process.env['ATOM_TEST_CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  })
  try {
    await using sandbox = await startSandbox({ redirectUris: [callback] })
    const authorize = new URL(`${sandbox.origins['https://accounts.google.com']}/o/oauth2/v2/auth`)
    authorize.search = new URLSearchParams({
      client_id: sandbox.apps.google.clientId,
      redirect_uri: callback,
      response_type: 'code',
      scope:
        'openid email profile https://www.googleapis.com/auth/calendar.events https://www.googleapis.com/auth/gmail.readonly',
      prompt: 'consent',
    }).toString()
    for (const [colorScheme, width] of [
      ['light', 1440],
      ['dark', 390],
    ] as const) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } })
      const page = await context.newPage()
      await page.goto(authorize.href)
      await page.getByText('Sandbox: a stand-in for Google on this machine').waitFor()
      await flawless(page, 'person')
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'Atom wants to use your Google account' }).waitFor()
      await page.getByText('Ada Lovelace').waitFor()
      await flawless(page, 'consent')
      // Not you?, calendar, mail: takes the tick away from mail, then Cancel, Continue.
      for (const key of ['Tab', 'Tab', 'Tab', 'Space', 'Tab', 'Tab', 'Enter']) await page.keyboard.press(key)
      await page.waitForURL((url) => url.href.startsWith(callback))
      const granted = new URL(page.url()).searchParams.get('scope')
      assert.match(granted ?? '', /calendar\.events/)
      assert.doesNotMatch(granted ?? '', /gmail/)
      for (const path of [
        '/',
        '/github/atom-labs/app',
        '/github/atom-labs/app/issues/17',
        '/asana/0/1204700000000007/list',
        '/asana/0/1204700000000007/1204700000000042',
        `/google/calendar/event?eid=${Buffer.from('customer02 ada@atom-labs.example').toString('base64url')}`,
      ]) {
        const response = await page.goto(`${sandbox.url}${path}`)
        assert.equal(response?.status(), 200, path)
        await flawless(page, path)
      }
      await context.close()
    }
  } finally {
    await browser.close()
    app.close()
    app.closeAllConnections()
  }
})

test('[SB46] the pages of HubSpot, Notion and Slack pass axe, light and dark, also at 390 px', async () => {
  const browser = await chromium.launch({
    executablePath: process.env['ATOM_TEST_CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  })
  try {
    await using sandbox = await startSandbox({ redirectUris })
    const { token } = await connectStandard(sandbox, 'slack', { scope: 'chat:write' })
    const posted = await fetch(dial(sandbox, 'https://slack.com/api/chat.postMessage'), {
      method: 'POST',
      body: new URLSearchParams({ token, channel: 'general', text: 'Good morning' }),
    })
    const { ts } = (await posted.json()) as { ts: string }
    const asking = [
      ['hubspot', 'https://app.hubspot.com/oauth/authorize', { scope: 'oauth crm.objects.contacts.read' }],
      ['notion', 'https://api.notion.com/v1/oauth/authorize', { owner: 'user' }],
      ['slack', 'https://slack.com/oauth/v2/authorize', { scope: 'chat:write', user_scope: 'chat:write' }],
    ] as const
    for (const [colorScheme, width] of [
      ['light', 1440],
      ['dark', 390],
    ] as const) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } })
      const page = await context.newPage()
      for (const [provider, address, extra] of asking) {
        const url = dial(sandbox, address)
        url.search = new URLSearchParams({
          client_id: sandbox.apps[provider].clientId,
          redirect_uri: redirectUri(provider),
          response_type: 'code',
          state: 's',
          ...extra,
        }).toString()
        await page.goto(url.href)
        await flawless(page, `${provider}: person`)
        await page.getByRole('button', { name: 'Ada Lovelace' }).click()
        await page.getByRole('heading', { name: /^Atom wants to use your/ }).waitFor()
        await flawless(page, `${provider}: consent`)
      }
      for (const path of [
        '/hubspot/contacts/record/deals/51000013',
        `/notion/${idOf('page roadmap')}`,
        `/notion/${idOf('page planning')}`,
        `/slack/archives/C0GENERAL/p${ts.replace('.', '')}`,
      ]) {
        const response = await page.goto(`${sandbox.url}${path}`)
        assert.equal(response?.status(), 200, path)
        await flawless(page, path)
      }
      await context.close()
    }
  } finally {
    await browser.close()
  }
})
