import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from '@hubspot/api-client'
import * as oauth from 'oauth4webapi'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import {
  askConsent,
  connectStandard,
  dial,
  introspected,
  redirectUri,
  redirectUris,
  refreshed,
  revoked,
} from './support/clients.ts'

type Json = Record<string, unknown>

const scope =
  'oauth crm.objects.contacts.read crm.objects.contacts.write crm.objects.deals.read crm.objects.deals.write crm.objects.owners.read'

const api = (sandbox: Sandbox, token: string | undefined, path: string, init: RequestInit = {}) =>
  fetch(dial(sandbox, `https://api.hubapi.com${path}`), {
    ...init,
    headers: {
      'content-type': 'application/json',
      ...(token === undefined ? undefined : { authorization: `Bearer ${token}` }),
      ...init.headers,
    },
  })

const told = async (response: Response) => ({
  status: response.status,
  body: (await response.json()) as Json,
})

test('[SB30] a standard OAuth client connects a HubSpot account for half an hour, learns which it is, and refreshes with the same token', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, token, refreshToken, asked } = await connectStandard(sandbox, 'hubspot', {
    scope,
    person: 'grace',
    extra: { optional_scope: 'automation' },
  })
  assert.ok(asked.pages.some((page) => page.includes('See contacts')))
  assert.equal(body.expires_in, 1800)
  assert.deepEqual(
    (body['scopes'] as string[]).toSorted(),
    scope.split(' ').toSorted(),
    'an optional scope the account has no product for is left out',
  )
  const who = await introspected(sandbox, 'hubspot', token)
  assert.equal(who.active, true)
  assert.equal(who['user'], 'grace@atom-labs.example')
  assert.equal(who['hub_id'], body['hub_id'])
  assert.equal(who['user_id'], body['user_id'])
  assert.equal((await introspected(sandbox, 'hubspot', refreshToken))['token_use'], 'refresh_token')

  const next = await refreshed(sandbox, 'hubspot', refreshToken)
  assert.notEqual(next.access_token, token)
  assert.equal(next.refresh_token, refreshToken)
  sandbox.control.advance(1801)
  const late = await told(await api(sandbox, token, '/crm/v3/objects/contacts'))
  assert.deepEqual([late.status, late.body['category']], [401, 'EXPIRED_AUTHENTICATION'])
  assert.ok((await refreshed(sandbox, 'hubspot', refreshToken)).access_token)
  const lengths = new Set<number>()
  for (let times = 0; times < 5; times += 1) {
    lengths.add((await refreshed(sandbox, 'hubspot', refreshToken)).access_token.length)
  }
  assert.ok(lengths.size > 1, 'access tokens differ in length')
})

test('[SB31] HubSpot’s token endpoint takes a form only, refuses in two vocabularies, and the v1 endpoints are gone', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { clientId, clientSecret } = sandbox.apps.hubspot
  const post = (fields: Record<string, string>, path = '/oauth/2026-03/token') =>
    api(sandbox, undefined, path, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ client_id: clientId, client_secret: clientSecret, ...fields }).toString(),
    })
  const refresh = { grant_type: 'refresh_token', refresh_token: 'na1-nothing' }
  for (const [fields, error, legacy] of [
    [refresh, 'invalid_grant', 'BAD_REFRESH_TOKEN'],
    [{ ...refresh, client_secret: 'wrong' }, 'invalid_client', 'BAD_CLIENT_ID'],
    [
      { grant_type: 'authorization_code', code: 'nothing', redirect_uri: redirectUri('hubspot') },
      'invalid_grant',
      'BAD_AUTH_CODE',
    ],
  ] as const) {
    const { status, body } = await told(await post(fields))
    assert.deepEqual([status, body['error'], body['status']], [400, error, legacy])
    assert.equal(typeof body['error_description'], 'string')
  }
  const asJson = await api(sandbox, undefined, '/oauth/2026-03/token', {
    method: 'POST',
    body: JSON.stringify({ client_id: clientId, client_secret: clientSecret, ...refresh }),
  })
  assert.equal(asJson.status, 415)
  assert.equal((await post(refresh, '/oauth/v1/token')).status, 410)
  assert.equal((await api(sandbox, undefined, '/oauth/v1/access-tokens/abc')).status, 410)

  const lacking = await askConsent(sandbox, 'hubspot', { scope: 'oauth automation' })
  assert.equal(lacking.stop.left, false)
  assert.match(lacking.stop.text, /has no product for: automation/)
  const no = await askConsent(sandbox, 'hubspot', { scope, decision: 'cancel' })
  assert.equal(no.stop.url.searchParams.get('error'), 'access_denied')
})

test('[SB32] revoking at HubSpot ends the refresh token; access tokens that are out live to their end', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token, refreshToken } = await connectStandard(sandbox, 'hubspot', { scope })
  await revoked(sandbox, 'hubspot', refreshToken)
  await assert.rejects(refreshed(sandbox, 'hubspot', refreshToken), (thrown) => {
    assert.ok(thrown instanceof oauth.ResponseBodyError)
    assert.equal(thrown.error, 'invalid_grant')
    return true
  })
  assert.equal((await introspected(sandbox, 'hubspot', refreshToken)).active, false)
  assert.equal((await api(sandbox, token, '/crm/v3/objects/contacts')).status, 200)
  sandbox.control.advance(1801)
  assert.equal((await api(sandbox, token, '/crm/v3/objects/contacts')).status, 401)
})

test('[SB33] HubSpot’s contacts and deals are listed in pages, found, made, changed and archived by its own SDK, and counted as effects', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connectStandard(sandbox, 'hubspot', { scope, person: 'katherine' })
  const client = new Client({ accessToken: token, basePath: sandbox.origins['https://api.hubapi.com'] })
  const { basicApi, searchApi } = client.crm.contacts

  const first = await basicApi.getPage(5)
  const second = await basicApi.getPage(100, first.paging?.next?.after)
  assert.equal(first.results.length, 5)
  assert.equal(new Set([...first.results, ...second.results].map(({ id }) => id)).size, 12)

  const made = await basicApi.create({
    properties: { email: 'Grete.Hermann@Example.com', firstname: 'Grete', lastname: 'Hermann' },
    associations: [],
  })
  assert.equal(made.properties['email'], 'grete.hermann@example.com')
  await assert.rejects(
    basicApi.create({ properties: { email: 'grete.hermann@example.com' }, associations: [] }),
    (thrown: { code?: number }) => thrown.code === 409,
  )
  await basicApi.update(made.id, { properties: { lifecyclestage: 'opportunity' } })
  const found = await searchApi.doSearch({
    query: 'hermann',
    filterGroups: [
      { filters: [{ propertyName: 'lifecyclestage', operator: 'EQ' as never, value: 'opportunity' }] },
    ],
    sorts: [],
    properties: ['lifecyclestage'],
    limit: 10,
    after: '0',
  })
  assert.deepEqual(
    found.results.map(({ id, properties }) => [id, properties['lifecyclestage']]),
    [[made.id, 'opportunity']],
  )
  const page = await fetch(`${sandbox.url}/hubspot/contacts/record/contacts/${made.id}`)
  assert.match(await page.text(), /Grete Hermann/)
  await basicApi.archive(made.id)
  await basicApi.archive(made.id)
  await assert.rejects(basicApi.getById(made.id), (thrown: { code?: number }) => thrown.code === 404)

  const open = await client.crm.deals.searchApi.doSearch({
    filterGroups: [{ filters: [{ propertyName: 'amount', operator: 'GTE' as never, value: '18000' }] }],
    sorts: ['-amount'],
    properties: ['dealname', 'amount'],
    limit: 2,
    after: '0',
  })
  assert.equal(open.total, 3)
  assert.deepEqual(
    open.results.map(({ properties }) => properties['amount']),
    ['54000', '28800'],
  )
  const deal = await client.crm.deals.basicApi.create({
    properties: { dealname: 'Centaur Energy: pilot', dealstage: 'qualifiedtobuy', amount: '4000' },
    associations: [],
  })
  assert.equal((await client.crm.owners.ownersApi.getPage()).results.length, 3)
  assert.deepEqual(
    sandbox.control.effects({ provider: 'hubspot' }).map(({ kind, target }) => [kind, target]),
    [
      ['contact.created', made.id],
      ['contact.changed', made.id],
      ['contact.archived', made.id],
      ['deal.created', deal.id],
    ],
  )
})

test('[SB34] HubSpot refuses in its own shape: no token, unknown token, missing scope, wrong property, unknown record, too many', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connectStandard(sandbox, 'hubspot', { scope: 'oauth crm.objects.contacts.read' })
  const contacts = '/crm/v3/objects/contacts'
  const all = await api(sandbox, token, contacts)
  assert.equal(all.headers.get('x-hubspot-ratelimit-max'), '110')
  assert.equal(all.headers.get('x-hubspot-ratelimit-remaining'), '109')
  const write = { method: 'POST', body: JSON.stringify({ properties: {} }) }
  const search = {
    method: 'POST',
    body: JSON.stringify({ filterGroups: [{ filters: [{ propertyName: 'x' }] }] }),
  }
  for (const [given, path, init, status, category] of [
    [undefined, contacts, {}, 401, 'INVALID_AUTHENTICATION'],
    ['CJnothing', contacts, {}, 401, 'INVALID_AUTHENTICATION'],
    [token, contacts, write, 403, 'MISSING_SCOPES'],
    [token, '/crm/v3/objects/deals', {}, 403, 'MISSING_SCOPES'],
    [token, `${contacts}/1`, {}, 404, 'OBJECT_NOT_FOUND'],
    [token, `${contacts}/search`, search, 400, 'VALIDATION_ERROR'],
    [token, `${contacts}?limit=500`, {}, 400, 'VALIDATION_ERROR'],
  ] as const) {
    const { status: got, body } = await told(await api(sandbox, given, path, init))
    assert.deepEqual([got, body['category'], body['status']], [status, category, 'error'], path)
    assert.equal(typeof body['correlationId'], 'string')
  }
  const { token: writer } = await connectStandard(sandbox, 'hubspot', { scope })
  for (const properties of [{ nonsense: 'x' }, { email: 'not-an-address' }]) {
    const wrong = await api(sandbox, writer, contacts, {
      method: 'POST',
      body: JSON.stringify({ properties }),
    })
    assert.equal(wrong.status, 400)
  }
  sandbox.control.rateLimit('hubspot', 1)
  await api(sandbox, writer, contacts)
  const many = await told(await api(sandbox, writer, contacts))
  assert.deepEqual([many.status, many.body['policyName']], [429, 'TEN_SECONDLY_ROLLING'])
  sandbox.control.advance(10)
  assert.equal((await api(sandbox, writer, contacts)).status, 200)
  assert.equal(sandbox.control.effects({ provider: 'hubspot' }).length, 0)
})
