import assert from 'node:assert/strict'
import { test } from 'node:test'
import { APIErrorCode, Client, isNotionClientError } from '@notionhq/client'
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

const ask = { scope: '', extra: { owner: 'user' } }

const api = (sandbox: Sandbox, token: string, path: string, init: RequestInit = {}) =>
  fetch(dial(sandbox, `https://api.notion.com/v1${path}`), {
    ...init,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'notion-version': '2026-03-11',
      ...init.headers,
    },
  })
const sdk = (sandbox: Sandbox, token: string) =>
  new Client({ auth: token, baseUrl: sandbox.origins['https://api.notion.com'], retry: false })

const dead = async (promise: Promise<unknown>) =>
  assert.rejects(promise, (thrown) => {
    assert.ok(thrown instanceof oauth.ResponseBodyError)
    assert.deepEqual([thrown.status, thrown.error], [400, 'invalid_grant'])
    return true
  })

test('[SB35] Notion tells who connected in the token answer, without expiry or scopes, over Basic and JSON alone', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, token, asked } = await connectStandard(sandbox, 'notion', { ...ask, person: 'ada' })
  assert.ok(asked.pages.some((page) => page.includes('Meeting notes')))
  assert.equal(body.expires_in, undefined)
  assert.equal(body.scope, undefined)
  const owner = body['owner'] as { type: string; user: { name: string; person: { email: string } } }
  assert.deepEqual(
    [owner.type, owner.user.name, owner.user.person.email],
    ['user', 'Ada Lovelace', 'ada@atom-labs.example'],
  )
  assert.equal(body['workspace_name'], 'Atom Labs')
  const me = await sdk(sandbox, token).users.me({})
  assert.equal(me.id, body['bot_id'])
  assert.equal((await introspected(sandbox, 'notion', token)).active, true)

  const { clientId, clientSecret } = sandbox.apps.notion
  const post = async (authorization: string | undefined, type: string, sent: string) => {
    const response = await fetch(dial(sandbox, 'https://api.notion.com/v1/oauth/token'), {
      method: 'POST',
      headers: { 'content-type': type, ...(authorization === undefined ? undefined : { authorization }) },
      body: sent,
    })
    return [response.status, ((await response.json()) as Json)['error']]
  }
  const basic = (secret: string) => `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}`
  const fields = { grant_type: 'authorization_code', code: 'nothing', redirect_uri: redirectUri('notion') }
  const json = 'application/json'
  const inBody = JSON.stringify({ ...fields, client_id: clientId, client_secret: clientSecret })
  assert.deepEqual(await post(undefined, json, inBody), [401, 'invalid_client'])
  assert.deepEqual(await post(basic('wrong'), json, JSON.stringify(fields)), [401, 'invalid_client'])
  assert.deepEqual(await post(basic(clientSecret), json, JSON.stringify(fields)), [400, 'invalid_grant'])
  assert.deepEqual(
    await post(
      basic(clientSecret),
      'application/x-www-form-urlencoded',
      new URLSearchParams(fields).toString(),
    ),
    [400, 'invalid_request'],
  )
  const without = await askConsent(sandbox, 'notion', { scope: '' })
  assert.equal(without.stop.left, false)
  assert.match(without.stop.text, /owner=user/)
  const no = await askConsent(sandbox, 'notion', { ...ask, decision: 'cancel' })
  assert.equal(no.stop.url.searchParams.get('error'), 'access_denied')
  assert.equal(no.stop.url.searchParams.get('state'), no.state)
})

test('[SB36] a Notion refresh ends the pair before it; each authorization has a pair of its own, and revoking ends that one', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const first = await connectStandard(sandbox, 'notion', ask)
  const again = await connectStandard(sandbox, 'notion', ask)
  assert.equal(again.body['bot_id'], first.body['bot_id'])
  assert.notEqual(again.token, first.token)
  assert.notEqual(again.refreshToken, first.refreshToken)

  const next = await refreshed(sandbox, 'notion', first.refreshToken)
  assert.equal((await api(sandbox, first.token, '/users/me')).status, 401)
  assert.equal((await api(sandbox, next.access_token, '/users/me')).status, 200)
  await dead(refreshed(sandbox, 'notion', first.refreshToken))
  assert.equal((await api(sandbox, next.access_token, '/users/me')).status, 200, 'a replay ends nothing else')
  assert.equal((await api(sandbox, again.token, '/users/me')).status, 200, 'nor does a refresh next door')

  await revoked(sandbox, 'notion', next.access_token)
  assert.equal((await introspected(sandbox, 'notion', next.access_token)).active, false)
  assert.equal((await api(sandbox, next.access_token, '/users/me')).status, 401)
  await dead(refreshed(sandbox, 'notion', next.refresh_token ?? ''))
  assert.equal((await api(sandbox, again.token, '/users/me')).status, 200)
  assert.ok(sandbox.control.revoke('notion', 'ada') > 0)
  assert.equal((await api(sandbox, again.token, '/users/me')).status, 401)
})

test('[SB37] at Notion a token sees the pages that were shared and what lies below them; all else is not found', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connectStandard(sandbox, 'notion', { ...ask, tick: ['page.meetings'] })
  const notion = sdk(sandbox, token)
  const titles = async (client: Client) =>
    (await client.search({ filter: { property: 'object', value: 'page' } })).results
      .map((page) => JSON.stringify(page).match(/"plain_text":"([^"]+)"/)?.[1])
      .sort()
  assert.deepEqual(await titles(notion), [
    'Meeting notes',
    'Retrospective: the outage of the export',
    'Weekly planning',
  ])
  const all = sdk(sandbox, (await connectStandard(sandbox, 'notion', { ...ask, person: 'grace' })).token)
  assert.ok((await titles(all)).length > 10)
  const [handbook] = (await all.search({ query: 'handbook' })).results
  await assert.rejects(
    notion.pages.retrieve({ page_id: handbook?.id ?? '' }),
    (thrown) => isNotionClientError(thrown) && thrown.code === APIErrorCode.ObjectNotFound,
  )
})

test('[SB38] Notion’s data source is queried with filters, orders and cursors, and pages and lines are written, by its own SDK', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connectStandard(sandbox, 'notion', ask)
  const notion = sdk(sandbox, token)
  const [source] = (await notion.search({ filter: { property: 'object', value: 'data_source' } })).results
  const id = source?.id ?? ''
  const names = (results: readonly object[]) =>
    results.map((row) => JSON.stringify(row).match(/"plain_text":"([^"]+)"/)?.[1])
  const due = await notion.dataSources.query({
    data_source_id: id,
    filter: {
      and: [
        { property: 'Status', status: { equals: 'In progress' } },
        { property: 'Effort', number: { greater_than: 3 } },
      ],
    },
    sorts: [{ property: 'Effort', direction: 'descending' }],
  })
  assert.deepEqual(names(due.results), ['Faster sync of large calendars', 'Importer for old calendars'])
  const first = await notion.dataSources.query({ data_source_id: id, page_size: 5 })
  assert.equal(first.has_more, true)
  const rest = await notion.dataSources.query({ data_source_id: id, start_cursor: first.next_cursor ?? '' })
  assert.equal(first.results.length + rest.results.length, 8)
  await assert.rejects(
    notion.dataSources.query({
      data_source_id: id,
      filter: { property: 'Mood', select: { equals: 'good' } },
    }),
    (thrown) => isNotionClientError(thrown) && thrown.code === APIErrorCode.ValidationError,
  )

  const plan = await notion.pages.create({
    parent: { data_source_id: id },
    properties: {
      Name: { title: [{ text: { content: 'Audit log' } }] },
      Status: { status: { name: 'Planned' } },
      Due: { date: { start: '2027-02-01' } },
    },
    children: [{ paragraph: { rich_text: [{ text: { content: 'Who did what.' } }] } }],
  })
  await notion.pages.update({ page_id: plan.id, properties: { Effort: { number: 4 } } })
  const added = await notion.blocks.children.append({
    block_id: plan.id,
    children: [{ to_do: { rich_text: [{ text: { content: 'Ask Northwind' } }], checked: true } }],
  })
  assert.equal(added.results.length, 1)
  const lines = await notion.blocks.children.list({ block_id: plan.id })
  assert.deepEqual(names(lines.results), ['Who did what.', 'Ask Northwind'])
  await notion.blocks.delete({ block_id: added.results[0]?.id ?? '' })
  assert.equal((await notion.blocks.children.list({ block_id: plan.id })).results.length, 1)
  const page = await fetch(`${sandbox.url}/notion/${plan.id.replaceAll('-', '')}`)
  assert.match(await page.text(), /Audit log/)
  assert.deepEqual(
    sandbox.control.effects({ provider: 'notion' }).map(({ kind, title }) => [kind, title]),
    [
      ['page.created', 'Audit log'],
      ['page.changed', 'Audit log'],
      ['blocks.appended', 'Ask Northwind'],
      ['block.trashed', 'Ask Northwind'],
    ],
  )
})

test('[SB39] Notion wants a version, shows what that version knows, and refuses in its shape: bad token, conflict, too many', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connectStandard(sandbox, 'notion', ask)
  const told = async (response: Response) => {
    const body = (await response.json()) as Json
    return [response.status, body['object'], body['code']]
  }
  const me = dial(sandbox, 'https://api.notion.com/v1/users/me')
  const bare = await fetch(me, { headers: { authorization: `Bearer ${token}` } })
  assert.deepEqual(await told(bare), [400, 'error', 'missing_version'])
  const old = { 'notion-version': '2022-06-28' }
  assert.deepEqual(await told(await api(sandbox, 'ntn_nothing', '/users/me')), [401, 'error', 'unauthorized'])
  assert.deepEqual(await told(await api(sandbox, token, '/nonsense')), [400, 'error', 'invalid_request_url'])

  const search = async (version: string, value: string) => {
    const body = JSON.stringify({ filter: { property: 'object', value } })
    const headers = { 'notion-version': version }
    const response = await api(sandbox, token, '/search', { method: 'POST', headers, body })
    return (await response.json()) as { results?: Json[]; code?: string }
  }
  const [database] = (await search('2022-06-28', 'database')).results ?? []
  assert.ok(database?.['properties'], 'before data sources a database has the properties')
  assert.equal((await search('2022-06-28', 'data_source')).code, 'validation_error')
  assert.equal((await search('2025-09-03', 'database')).code, 'validation_error')
  const query = `/databases/${String(database?.['id'])}/query`
  const rows = await api(sandbox, token, query, { method: 'POST', headers: old, body: '{}' })
  assert.equal(((await rows.json()) as { results: Json[] }).results.length, 8)
  const gone = await api(sandbox, token, query, { method: 'POST', body: '{}' })
  assert.deepEqual(await told(gone), [400, 'error', 'invalid_request_url'])
  const row = ((await search('2026-03-11', 'page')).results ?? [])[0]
  assert.deepEqual([row?.['archived'], row?.['in_trash']], [undefined, false])

  sandbox.control.fault({ path: '/notion/v1/users/me', outcome: { status: 409 } })
  assert.deepEqual(await told(await api(sandbox, token, '/users/me')), [409, 'error', 'conflict_error'])
  sandbox.control.rateLimit('notion', 0)
  const many = await api(sandbox, token, '/users/me')
  assert.match(many.headers.get('retry-after') ?? '', /^\d+$/)
  assert.deepEqual(await told(many), [429, 'error', 'rate_limited'])
})

test('[SB48] of ten refreshes with one Notion refresh token at the same time, one is answered, and its pair is good', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { refreshToken } = await connectStandard(sandbox, 'notion', ask)
  const tries = await Promise.allSettled(
    Array.from({ length: 10 }, () => refreshed(sandbox, 'notion', refreshToken)),
  )
  const answered = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  assert.equal(answered.length, 1)
  const [pair] = answered
  assert.equal((await api(sandbox, pair?.access_token ?? '', '/users/me')).status, 200)
  assert.ok((await refreshed(sandbox, 'notion', pair?.refresh_token ?? '')).access_token)
})
