import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { Connection } from 'jsforce'
import * as oauth from 'oauth4webapi'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import {
  api,
  askConsent,
  connect,
  dial,
  dialling,
  exchange,
  redirectUri,
  redirectUris,
  refreshOf,
  servers,
} from './support/clients.ts'

type Json = Record<string, unknown>

const home = 'https://atom-labs.my.salesforce.com'
const basics = 'openid api refresh_token'
const data = '/services/data/v62.0'
const rest = (sandbox: Sandbox, token: string, path: string, init?: RequestInit) =>
  api(sandbox, token, `${home}${data}${path}`, init)
const query = (sandbox: Sandbox, token: string, soql: string) =>
  rest(sandbox, token, `/query?q=${encodeURIComponent(soql)}`)
const found = async (response: Response) =>
  (await response.json()) as { totalSize: number; done: boolean; records: Json[] }
const problemOf = async (response: Response) => {
  const [problem] = (await response.json()) as Json[]
  return [response.status, problem?.['errorCode']]
}
const at = (host: string): oauth.AuthorizationServer => ({
  ...servers.salesforce,
  issuer: host === 'https://test.salesforce.com' ? host : servers.salesforce.issuer,
  authorization_endpoint: `${host}/services/oauth2/authorize`,
  token_endpoint: `${host}/services/oauth2/token`,
})

test('[SB63] a standard client connects Salesforce: no expires_in, a signature that verifies, the instance, and introspection that knows the end', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const issuer = new URL('https://login.salesforce.com')
  const as = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, dialling(sandbox)),
  )
  const asked = await askConsent(sandbox, 'salesforce', { scope: `${basics} profile email`, as })
  const response = await exchange(sandbox, 'salesforce', asked)
  const tokens = await oauth.processAuthorizationCodeResponse(as, asked.client, response, {
    expectedNonce: asked.nonce,
    requireIdToken: true,
  })
  await oauth.validateApplicationLevelSignature(as, response, dialling(sandbox))
  assert.equal(tokens.expires_in, undefined)
  assert.match(tokens.access_token, /^00D.{12}!AQ/)
  assert.equal(tokens['instance_url'], home)
  assert.match(String(tokens['issued_at']), /^\d{13}$/)
  const signed = createHmac('sha256', asked.secret)
    .update(`${tokens['id']}${tokens['issued_at']}`)
    .digest('base64')
  assert.equal(tokens['signature'], signed)
  assert.ok(tokens.scope?.split(' ').includes('refresh_token'))

  const inspected = await oauth.introspectionRequest(
    as,
    asked.client,
    oauth.ClientSecretPost(asked.secret),
    tokens.access_token,
    dialling(sandbox),
  )
  const state = await oauth.processIntrospectionResponse(as, asked.client, inspected)
  assert.equal(state.active, true)
  const left = (state.exp ?? 0) - Date.now() / 1000
  assert.ok(left > 7100 && left <= 7200, 'the session lives two hours')
  assert.equal(state.username, 'ada@atom-labs.example')

  const info = await oauth.userInfoRequest(as, asked.client, tokens.access_token, dialling(sandbox))
  const claims = oauth.getValidatedIdTokenClaims(tokens)
  const person = await oauth.processUserInfoResponse(as, asked.client, claims?.sub ?? '', info)
  assert.equal(person.sub, tokens['id'])
  assert.match(String(person['organization_id']), /^00D\w{15}$/)
  const identity = (await (await api(sandbox, tokens.access_token, String(tokens['id']))).json()) as Json
  assert.deepEqual(
    [identity['display_name'], identity['organization_id']],
    ['Ada Lovelace', person['organization_id']],
  )

  sandbox.control.advance(7201)
  const after = await oauth.introspectionRequest(
    as,
    asked.client,
    oauth.ClientSecretPost(asked.secret),
    tokens.access_token,
    dialling(sandbox),
  )
  assert.equal((await oauth.processIntrospectionResponse(as, asked.client, after)).active, false)
})

test('[SB64] a Salesforce refresh token works once; using it again ends the whole family, the current tokens too', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { asked, body } = await connect(sandbox, 'salesforce', { scope: basics })
  const other = await connect(sandbox, 'salesforce', { scope: basics, person: 'grace' })
  const first = String(body['refresh_token'])
  const second = await oauth.processRefreshTokenResponse(
    asked.as,
    asked.client,
    await refreshOf(sandbox, 'salesforce', first),
  )
  assert.ok(second.refresh_token && second.refresh_token !== first)
  assert.equal(second['instance_url'], home, 'said with every refresh')
  assert.equal((await rest(sandbox, second.access_token, '/limits')).status, 200)

  const reused = await refreshOf(sandbox, 'salesforce', first)
  assert.deepEqual(
    [reused.status, await reused.json()],
    [400, { error: 'invalid_grant', error_description: 'expired access/refresh token' }],
  )
  assert.equal((await refreshOf(sandbox, 'salesforce', second.refresh_token)).status, 400)
  assert.deepEqual(await problemOf(await rest(sandbox, second.access_token, '/limits')), [
    401,
    'INVALID_SESSION_ID',
  ])
  assert.equal((await rest(sandbox, other.token, '/limits')).status, 200, 'another person’s tokens live')
})

test('[SB65] of ten refreshes with one Salesforce refresh token at the same time, one is answered', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body } = await connect(sandbox, 'salesforce', { scope: basics })
  const token = String(body['refresh_token'])
  const answers = await Promise.all(Array.from({ length: 10 }, () => refreshOf(sandbox, 'salesforce', token)))
  const statuses = answers.map(({ status }) => status).toSorted((one, other) => one - other)
  assert.deepEqual(statuses, [200, ...Array.from({ length: 9 }, () => 400)])
})

test('[SB66] login and My Domain lead to one Salesforce org, test.salesforce.com to another, and a token is good at its own only', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const mine = await connect(sandbox, 'salesforce', { scope: basics, as: at(home) })
  assert.equal(mine.body['instance_url'], home)
  assert.equal((await rest(sandbox, mine.token, '/sobjects')).status, 200)
  const trial = await connect(sandbox, 'salesforce', { scope: basics, as: at('https://test.salesforce.com') })
  const there = String(trial.body['instance_url'])
  assert.equal(there, 'https://atom-labs--test.sandbox.my.salesforce.com')
  assert.match(String(trial.body['id']), /^https:\/\/test\.salesforce\.com\/id\/00D/)
  assert.equal((await api(sandbox, trial.token, `${there}${data}/sobjects`)).status, 200)
  assert.deepEqual(await problemOf(await rest(sandbox, trial.token, '/sobjects')), [
    401,
    'INVALID_SESSION_ID',
  ])
  assert.equal((await refreshOf(sandbox, 'salesforce', String(trial.body['refresh_token']))).status, 400)
  assert.equal(sandbox.control.revoke('salesforce', 'ada'), 4, 'in both orgs')

  for (const [extra, words] of [
    [{ client_id: 'stranger' }, /invalid_client_id/],
    [{ redirect_uri: 'https://elsewhere.example/' }, /redirect_uri_mismatch/],
  ] as const) {
    assert.match((await askConsent(sandbox, 'salesforce', { scope: basics, extra })).stop.text, words)
  }
  const strange = await askConsent(sandbox, 'salesforce', { scope: 'openid everything' })
  assert.equal(`${strange.stop.url.origin}${strange.stop.url.pathname}`, redirectUri('salesforce'))
  assert.equal(strange.stop.url.searchParams.get('error'), 'invalid_scope')
  const asked = await askConsent(sandbox, 'salesforce', { scope: basics })
  const wrong = await exchange(sandbox, 'salesforce', asked, 'v'.repeat(50))
  assert.equal(((await wrong.json()) as Json)['error_description'], 'invalid code verifier')
  const unsigned = await exchange(sandbox, 'salesforce', { ...asked, secret: 'wrong' })
  assert.equal(((await unsigned.json()) as Json)['error'], 'invalid_client')
})

test('[SB67] SOQL finds records by comparison, text, date and parent, and says what it does not understand', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'salesforce', { scope: basics })
  const names = async (soql: string) =>
    (await found(await query(sandbox, token, soql))).records.map((each) => each['Name'])
  assert.deepEqual(await names("SELECT Name FROM Account WHERE BillingCountry = 'Germany'"), [
    'Northwind Traders',
  ])
  assert.deepEqual(
    await names(
      "select name from Account where (Industry in ('Energy', 'Healthcare') or Name like 'Wide%') and Type != 'Prospect'",
    ),
    ['Wide World Importers'],
  )
  assert.deepEqual(
    await names('SELECT Name FROM Opportunity WHERE IsClosed = false ORDER BY Amount DESC LIMIT 2 OFFSET 1'),
    ['Northwind renewal 2027', 'Fabrikam: second warehouse'],
  )
  assert.deepEqual(
    await names(
      "SELECT Name FROM Opportunity WHERE CloseDate = NEXT_N_DAYS:30 AND NOT Owner.Name = 'Ada Lovelace'",
    ),
    ['Wide World quality reports'],
  )
  const joined = await found(
    await query(
      sandbox,
      token,
      "SELECT Name, Account.Name, Account.Owner.Email FROM Contact WHERE Account.Industry = 'Retail' AND LastName = 'Voss'",
    ),
  )
  const [contact] = joined.records
  const { Account: account } = contact as { Account: Json & { Owner: Json } }
  assert.deepEqual([joined.totalSize, joined.done, contact?.['Name']], [1, true, 'Henrik Voss'])
  assert.deepEqual([account['Name'], account.Owner['Email']], ['Northwind Traders', 'ada@atom-labs.example'])
  assert.equal((await found(await query(sandbox, token, 'SELECT COUNT() FROM Opportunity'))).totalSize, 7)

  for (const [soql, code] of [
    ['SELECT Name FROM Nothing', 'INVALID_TYPE'],
    ['SELECT Nothing FROM Account', 'INVALID_FIELD'],
    ['SELECT Name FROM Account WHERE Name LIKE', 'MALFORMED_QUERY'],
    ['SELECT Name FROM Account WHERE Name ~ 1', 'MALFORMED_QUERY'],
    ['SELECT Name FROM Account GROUP BY Name', 'MALFORMED_QUERY'],
  ] as const) {
    assert.deepEqual(await problemOf(await query(sandbox, token, soql)), [400, code])
  }
  const described = (await (await rest(sandbox, token, '/sobjects/Opportunity/describe')).json()) as Json & {
    fields: Json[]
  }
  const stage = described.fields.find(({ name }) => name === 'StageName')
  assert.equal(stage?.['nillable'], false)
  assert.ok(((stage?.['picklistValues'] ?? []) as Json[]).some(({ value }) => value === 'Closed Won'))
  assert.equal((await rest(sandbox, token, '/sobjects/Nothing/describe')).status, 404)

  const many = Array.from({ length: 201 }, (_, index) =>
    rest(sandbox, token, '/sobjects/Task', {
      method: 'POST',
      body: JSON.stringify({ Subject: `Call ${index}` }),
    }),
  )
  assert.ok((await Promise.all(many)).every(({ status }) => status === 201))
  const soql = encodeURIComponent("SELECT Id FROM Task WHERE Subject LIKE 'Call %'")
  const page = (await (
    await rest(sandbox, token, `/query?q=${soql}`, { headers: { 'sforce-query-options': 'batchSize=200' } })
  ).json()) as Json & { records: Json[] }
  assert.deepEqual([page['totalSize'], page['done'], page.records.length], [201, false, 200])
  const rest201 = await found(
    await api(sandbox, token, `${home}${String(page['nextRecordsUrl'])}`, {
      headers: { 'sforce-query-options': 'batchSize=200' },
    }),
  )
  assert.deepEqual([rest201.done, rest201.records.length], [true, 1])
})

test('[SB68] a Salesforce record is made, changed and deleted; an upsert by external id twice leaves one; each counts once', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'salesforce', { scope: basics })
  const send = (method: string, path: string, body: object) =>
    rest(sandbox, token, path, { method, body: JSON.stringify(body) })
  const created = await send('POST', '/sobjects/Contact', { FirstName: 'Mary', LastName: 'Somerville' })
  assert.equal(created.status, 201)
  const { id, success } = (await created.json()) as Json
  assert.equal(success, true)
  const path = `/sobjects/Contact/${String(id)}`
  assert.equal((await send('PATCH', path, { Title: 'Polymath' })).status, 204)
  const short = `/sobjects/Contact/${String(id).slice(0, 15)}?fields=Name,Title`
  const read = (await (await rest(sandbox, token, short)).json()) as Json
  assert.deepEqual(
    [read['Name'], read['Title'], read['LastName']],
    ['Mary Somerville', 'Polymath', undefined],
  )
  const page = await fetch(dial(sandbox, `${home}/${String(id)}`))
  assert.match(await page.text(), /Mary Somerville.*Polymath/s)
  assert.equal((await rest(sandbox, token, path, { method: 'DELETE' })).status, 204)
  assert.equal((await fetch(dial(sandbox, `${home}/${String(id)}`))).status, 404)
  assert.deepEqual(await problemOf(await rest(sandbox, token, path)), [404, 'NOT_FOUND'])

  const upsert = '/sobjects/Account/External_Id__c/crm-9001'
  const made = await send('PATCH', upsert, { Name: 'Adventure Works' })
  const again = await send('PATCH', upsert, { Name: 'Adventure Works Cycles' })
  const [one, two] = [(await made.json()) as Json, (await again.json()) as Json]
  assert.deepEqual([made.status, one['created'], again.status, two['created']], [201, true, 200, false])
  assert.equal(one['id'], two['id'])
  assert.deepEqual(
    sandbox.control.effects({ provider: 'salesforce' }).map(({ kind, title }) => [kind, title]),
    [
      ['record.created', 'Mary Somerville'],
      ['record.changed', 'Mary Somerville'],
      ['record.deleted', 'Mary Somerville'],
      ['record.created', 'Adventure Works'],
      ['record.changed', 'Adventure Works Cycles'],
    ],
  )
  for (const [type, body, code] of [
    ['Contact', { FirstName: 'Nobody' }, 'REQUIRED_FIELD_MISSING'],
    ['Account', { Name: 'x', Nothing: 1 }, 'INVALID_FIELD'],
    ['Account', { Name: 'x', Id: '1' }, 'INVALID_FIELD_FOR_INSERT_UPDATE'],
    ['Account', { Name: 'x', AnnualRevenue: 'much' }, 'JSON_PARSER_ERROR'],
    ['Contact', { LastName: 'x', AccountId: 'nowhere' }, 'MALFORMED_ID'],
    ['Account', { Name: 'x', External_Id__c: 'crm-9001' }, 'DUPLICATE_VALUE'],
    ['User', { Name: 'x' }, 'CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY'],
  ] as const) {
    assert.deepEqual(await problemOf(await send('POST', `/sobjects/${type}`, body)), [400, code])
  }
  sandbox.control.reset()
  const fresh = await connect(sandbox, 'salesforce', { scope: basics })
  const left = await query(sandbox, fresh.token, "SELECT COUNT() FROM Account WHERE Name LIKE 'Adventure%'")
  assert.equal((await found(left)).totalSize, 0)
})

test('[SB69] Salesforce says how much of the limit is used, refuses beyond it with 403, and revokes one token or the family', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, token } = await connect(sandbox, 'salesforce', { scope: basics })
  sandbox.control.rateLimit('salesforce', 2)
  assert.equal((await rest(sandbox, token, '/sobjects')).headers.get('sforce-limit-info'), 'api-usage=1/2')
  await rest(sandbox, token, '/sobjects')
  const over = await rest(sandbox, token, '/sobjects')
  assert.equal(over.headers.get('sforce-limit-info'), 'api-usage=2/2')
  assert.deepEqual(await problemOf(over), [403, 'REQUEST_LIMIT_EXCEEDED'])
  sandbox.control.rateLimit('salesforce', 1000)

  const revoke = (value: string) =>
    fetch(dial(sandbox, `${home}/services/oauth2/revoke`), {
      method: 'POST',
      body: new URLSearchParams({ token: value }),
    })
  assert.equal((await revoke(token)).status, 200)
  assert.deepEqual(await problemOf(await rest(sandbox, token, '/sobjects')), [401, 'INVALID_SESSION_ID'])
  const again = (await (await refreshOf(sandbox, 'salesforce', String(body['refresh_token']))).json()) as Json
  assert.equal((await rest(sandbox, String(again['access_token']), '/sobjects')).status, 200)
  assert.equal((await revoke(String(again['refresh_token']))).status, 200)
  assert.equal((await rest(sandbox, String(again['access_token']), '/sobjects')).status, 401)
  assert.equal((await revoke('nothing')).status, 400)

  const weak = await connect(sandbox, 'salesforce', { scope: 'openid', person: 'grace' })
  assert.equal(weak.body['refresh_token'], undefined)
  assert.equal((await rest(sandbox, weak.token, '/sobjects')).status, 403)
  sandbox.control.fault({ path: '/salesforce/*/token', outcome: 'cut_after' })
  const third = await connect(sandbox, 'salesforce', { scope: basics }).catch((thrown: unknown) => thrown)
  assert.ok(third instanceof TypeError, 'the answer was lost')
})

test('[SB64] jsforce works here by its addresses, and refreshes by itself when the session has ended', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token, body } = await connect(sandbox, 'salesforce', { scope: basics })
  const connection = new Connection({
    instanceUrl: sandbox.origins[home],
    accessToken: token,
    refreshToken: String(body['refresh_token']),
    version: '62.0',
    oauth2: { loginUrl: sandbox.origins['https://login.salesforce.com'], ...sandbox.apps.salesforce },
  })
  const { records } = await connection.query<Json>(
    'SELECT Name, Owner.Name FROM Account ORDER BY Name LIMIT 1',
  )
  assert.equal(records[0]?.['Name'], 'Contoso Energy')
  const contacts = connection.sobject('Contact')
  const made = await contacts.create({ LastName: 'Sdk' })
  assert.ok(made.success)
  assert.equal((await contacts.retrieve(made.id))['Name'], 'Sdk')
  const upserted = await connection
    .sobject('Account')
    .upsert({ Name: 'Up', External_Id__c: 'e-1' }, 'External_Id__c')
  assert.ok(upserted.success)
  assert.ok((await connection.describe('Account')).fields.length > 10)
  assert.ok((connection.limitInfo.apiUsage?.used ?? 0) >= 5)
  await assert.rejects(async () => connection.query('SELECT Nothing FROM Account'), { name: 'INVALID_FIELD' })

  sandbox.control.expireTokens('salesforce')
  let refreshes = 0
  connection.on('refresh', () => {
    refreshes += 1
  })
  assert.equal((await connection.query('SELECT COUNT() FROM Account')).totalSize, 6)
  assert.equal(refreshes, 1)
})
