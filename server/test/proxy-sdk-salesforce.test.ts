import assert from 'node:assert/strict'
import { test } from 'node:test'
import jsforce from 'jsforce'
import { sdkScene } from './support/sdk-scene.ts'

test('[CN213] jsforce runs through the proxy by its base address: reads, pages, a write, a session that ended, a limit, an error', async () => {
  await using it = await sdkScene('salesforce')
  const salesforce = new jsforce.Connection({ instanceUrl: it.base, accessToken: it.token })
  assert.equal((await salesforce.sobject('Account').describe()).name, 'Account')

  const batch = Array.from({ length: 201 }, (_, at) => ({ LastName: `Number ${at}` }))
  for (let at = 0; at < batch.length; at += 20) {
    await Promise.all(
      batch.slice(at, at + 20).map(async (contact) => {
        assert.equal((await salesforce.sobject('Contact').create(contact)).success, true)
      }),
    )
  }
  const found = await salesforce
    .query<{ Id: string }>("SELECT Id FROM Contact WHERE LastName LIKE 'Number %'", {
      headers: { 'Sforce-Query-Options': 'batchSize=200' },
    })
    .execute({ autoFetch: true, maxFetch: 10_000, responseTarget: 'Records' })
  assert.equal(new Set(found.map(({ Id }) => Id)).size, 201)
  assert.equal(it.sandbox.control.requests({ path: '/salesforce/*/query/*-200' }).length, 1)

  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('salesforce')
  assert.ok((await salesforce.query('SELECT Id FROM Account')).totalSize > 0)
  assert.equal(it.tokenRequests(), before + 1)

  await assert.rejects(async () => await salesforce.query('SELECT Nothing FROM Contact'), {
    errorCode: 'INVALID_FIELD',
  })
  it.sandbox.control.rateLimit('salesforce', 0)
  await assert.rejects(async () => await salesforce.query('SELECT Id FROM Account'), {
    errorCode: 'REQUEST_LIMIT_EXCEEDED',
  })
  assert.ok(it.house.lines.some((line) => line.includes('the provider limits this account')))
})
