import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startSandbox } from '@atom/sandbox/sandbox.ts'
import { sandboxProviders } from '../src/local-sandbox.ts'
import { connected, openHouse } from './support/connection-house.ts'
import { TestClock } from './support/doors.ts'
import { testDatabase } from './support/postgres.ts'
import { visitSandbox } from './support/sandbox-visitor.ts'

test('[CN140] whoever began to connect can ask what has become of it; to anybody else there is no such attempt', async () => {
  await using sandbox = await startSandbox()
  await using database = await testDatabase()
  const clock = new TestClock()
  await using house = await openHouse({
    database: database.database,
    sandbox: { providers: sandboxProviders, running: () => sandbox, open: async () => sandbox },
    reach: [sandbox.url],
    clock,
  })
  sandbox.allowRedirect(`${house.url}/v1/oauth/callback/github`)
  const ada = await house.person()
  const colleague = await house.person('owner', ada.principal.workspaceId)
  const begin = async () => {
    const browser = ada.browser()
    const url = await browser.connect('github')
    const begun = house.answers.findLast((answer) => answer.includes('"flowId"')) ?? '{}'
    const { flowId } = JSON.parse(begun)
    return {
      browser,
      url,
      status: async () => (await ada.call('GET', `/v1/connections/flows/${flowId}`)).body,
      flowId,
    }
  }
  const first = await begin()
  assert.deepEqual(await first.status(), { status: 'pending' })
  assert.equal((await colleague.call('GET', `/v1/connections/flows/${first.flowId}`)).status, 404)
  const back = await visitSandbox(first.url, { person: 'ada', decision: 'agree' })
  const connection = await connected(ada, await first.browser.open(back))
  assert.equal(connection.flow, 'authorization_code')
  assert.deepEqual(await first.status(), { status: 'connected', connectionId: connection.id })

  const denied = await begin()
  await denied.browser.open(await visitSandbox(denied.url, { person: 'grace', decision: 'cancel' }))
  assert.deepEqual(await denied.status(), { status: 'failed', problem: 'consent_denied' })

  const forgotten = await begin()
  clock.pass(11 * 60_000)
  assert.deepEqual(await forgotten.status(), { status: 'failed', problem: 'flow_expired' })
  assert.deepEqual(await first.status(), { status: 'connected', connectionId: connection.id })
})
