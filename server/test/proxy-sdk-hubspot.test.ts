import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from '@hubspot/api-client'
import { sdkScene } from './support/sdk-scene.ts'

test('[CN214] @hubspot/api-client runs through the proxy by its base address: reads, pages, a write, a token that ended, a limit, an error', async () => {
  await using it = await sdkScene('hubspot')
  const hubspot = new Client({ accessToken: it.token, basePath: it.base, numberOfApiCallRetries: 0 })

  const contacts = await hubspot.crm.contacts.getAll(2, undefined, ['email'])
  const asked = it.sandbox.control.requests({ path: '/hubspot/api/crm/v3/objects/contacts' })
  assert.equal(asked.length, Math.ceil(contacts.length / 2))
  assert.ok(asked.length > 1)

  const [contact] = contacts
  assert.ok(contact)
  assert.equal((await hubspot.crm.contacts.basicApi.getById(contact.id)).id, contact.id)
  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('hubspot')
  assert.equal((await hubspot.crm.contacts.basicApi.getById(contact.id)).id, contact.id)
  assert.equal(it.tokenRequests(), before + 1)

  using _limit = it.sandbox.control.fault({ path: '/hubspot/api/crm/v3/owners*', outcome: 'rate_limited' })
  await assert.rejects(hubspot.crm.owners.ownersApi.getPage(), {
    code: 429,
    message: /TEN_SECONDLY_ROLLING/,
  })
  await assert.rejects(hubspot.crm.contacts.basicApi.getById('999999999'), { code: 404 })
})

test('[CN214] a contact is written through @hubspot/api-client', async () => {
  await using it = await sdkScene('hubspot', {
    wish: { scopes: ['oauth', 'crm.objects.contacts.read', 'crm.objects.contacts.write'] },
  })
  const hubspot = new Client({ accessToken: it.token, basePath: it.base, numberOfApiCallRetries: 0 })
  const { id } = await hubspot.crm.contacts.basicApi.create({
    properties: { email: 'proxy@example.org', firstname: 'Through', lastname: 'The Proxy' },
  })
  assert.equal(
    (await hubspot.crm.contacts.basicApi.getById(id, ['email'])).properties['email'],
    'proxy@example.org',
  )
  assert.equal(it.sandbox.control.effects({ provider: 'hubspot' }).length, 1)
})
