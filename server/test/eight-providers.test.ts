import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startSandbox } from '@atom/sandbox/sandbox.ts'
import { sandboxProviders } from '../src/local-sandbox.ts'
import { connected, openHouse } from './support/connection-house.ts'
import { testDatabase } from './support/postgres.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'

/** Token requests of a connection that is made and refreshed once; those without a refresh token are not asked again. */
const asked: Readonly<Record<string, number>> = { github: 1, slack: 1 }

/** Something to read through the proxy, below the provider's base address. */
const readable: Readonly<Record<string, string>> = {
  hubspot: 'crm/v3/objects/contacts',
  notion: 'v1/users/me',
  slack: 'auth.test',
}

test('[SB49] through Atom a person connects each of the eight providers in the sandbox, refreshes what can be refreshed, and disconnects', async () => {
  await using sandbox = await startSandbox()
  await using database = await testDatabase()
  await using house = await openHouse({
    database: database.database,
    sandbox: { providers: sandboxProviders, running: () => sandbox, open: async () => sandbox },
    reach: [sandbox.url],
  })
  const ada = await house.person()
  for (const provider of sandboxProviders) {
    sandbox.allowRedirect(`${house.url}/v1/oauth/callback/${provider}`)
    const browser = ada.browser()
    const url = await browser.connect(provider)
    const back = await visitSandbox(url, { person: 'ada', decision: 'agree' })
    const connection = await connected(ada, await browser.open(back))
    assert.equal(connection.status, 'active', `${provider}: ${connection.reason}`)
    assert.match(connection.identity.name, /\S/, provider)
    assert.deepEqual(connection.missingScopes, [], provider)
    const here = `/v1/connections/${connection.id}`
    assert.equal((await ada.call('POST', `${here}/refresh`)).status, 200, provider)
    const requests = sandbox.control
      .requests({ method: 'POST', path: `/${provider}/*` })
      .filter(({ path, status }) => status === 200 && /token$|oauth\.v2\.access$/.test(path))
    assert.equal(requests.length, asked[provider] ?? 2, provider)
    const path = readable[provider]
    if (path !== undefined) {
      const answer = await ada.call('GET', `${here}/proxy/${path}`)
      assert.equal(answer.status, 200, provider)
      assert.notEqual(answer.body.ok, false, provider)
    }
    assert.equal((await ada.call('DELETE', here)).status, 200, provider)
  }
  assert.deepEqual((await ada.call('GET', '/v1/connections')).body.items, [])
})
