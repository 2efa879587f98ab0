import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, GraphError } from '@microsoft/microsoft-graph-client'
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
interface List {
  value: (Json & { subject: string; start: Json; from: { emailAddress: Json } })[]
  '@odata.nextLink'?: string
  '@odata.count'?: number
}

const login = 'https://login.microsoftonline.com'
const tid = '6f0d2c4e-9a1b-4c57-8d3e-51f0a7c2b984'
const basics = 'openid profile email offline_access User.Read'
const graph = (sandbox: Sandbox, token: string, path: string, init?: RequestInit) =>
  api(sandbox, token, `https://graph.microsoft.com/v1.0${path}`, init)
const listed = async (response: Response) => (await response.json()) as List

test('[SB50] an OpenID Connect client connects a Microsoft account through common, and verifies the id_token as the directory’s', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const metadata = async (name: string) => {
    const answer = await fetch(dial(sandbox, `${login}/${name}/v2.0/.well-known/openid-configuration`))
    return [answer.status, (await answer.json()) as Json] as const
  }
  const [, common] = await metadata('common')
  assert.equal(common['issuer'], `${login}/{tenantid}/v2.0`, 'a literal hole')
  assert.equal(common['token_endpoint'], `${login}/common/oauth2/v2.0/token`)
  assert.equal(common['revocation_endpoint'], undefined, 'Microsoft has none')
  assert.equal((await metadata('11111111-2222-3333-4444-555555555555'))[0], 400)
  const issuer = new URL(`${login}/${tid}/v2.0`)
  const as = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, dialling(sandbox)),
  )

  const asked = await askConsent(sandbox, 'microsoft', { scope: basics })
  const { searchParams } = asked.stop.url
  assert.equal(searchParams.get('iss'), null)
  assert.ok(searchParams.get('session_state'))
  const response = await exchange(sandbox, 'microsoft', asked)
  const tokens = await oauth.processAuthorizationCodeResponse(as, asked.client, response, {
    expectedNonce: asked.nonce,
    requireIdToken: true,
  })
  await oauth.validateApplicationLevelSignature(as, response, dialling(sandbox))
  const claims = oauth.getValidatedIdTokenClaims(tokens)
  assert.equal(claims?.iss, `${login}/${tid}/v2.0`)
  assert.equal(claims?.['tid'], tid)
  assert.equal(claims?.['preferred_username'], 'ada@atom-labs.example')
  assert.notEqual(claims?.sub, claims?.['oid'])
  assert.equal(tokens.scope, 'openid profile email User.Read', 'offline_access is not named')
  const { expires_in: seconds = 0 } = tokens
  assert.ok(seconds >= 3600 && seconds <= 5400, 'between 60 and 90 minutes')
  assert.ok(tokens.access_token.split('.').length === 3 && tokens.refresh_token)

  const info = await oauth.userInfoRequest(as, asked.client, tokens.access_token, dialling(sandbox))
  const person = await oauth.processUserInfoResponse(as, asked.client, claims?.sub ?? '', info)
  assert.equal(person.name, 'Ada Lovelace')
  const me = (await (
    await graph(sandbox, tokens.access_token, '/me?$select=displayName,mail')
  ).json()) as Json
  assert.deepEqual(
    [me['displayName'], me['mail'], me['id'], me['surname']],
    ['Ada Lovelace', 'ada@atom-labs.example', claims?.['oid'], undefined],
  )
  for (const path of ['/me/photo/$value', '/me/photos/48x48/$value']) {
    assert.equal((await graph(sandbox, tokens.access_token, path)).headers.get('content-type'), 'image/png')
  }
  assert.equal((await graph(sandbox, tokens.access_token, '/me/photos/3x3/$value')).status, 404)
})

test('[SB51] each refresh at Microsoft brings a new refresh token while the old ones stay good, and scope chooses among what was granted', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { asked, body } = await connect(sandbox, 'microsoft', { scope: `${basics} Mail.Read` })
  const first = String(body['refresh_token'])
  const seen = new Set([first])
  for (const _round of [1, 2, 3]) {
    const again = await oauth.processRefreshTokenResponse(
      asked.as,
      asked.client,
      await refreshOf(sandbox, 'microsoft', first),
    )
    assert.ok(again.refresh_token && !seen.has(again.refresh_token))
    seen.add(again.refresh_token)
  }
  for (const token of seen) assert.equal((await refreshOf(sandbox, 'microsoft', token)).status, 200)

  const narrow = (await (
    await refreshOf(sandbox, 'microsoft', first, {
      scope: 'https://graph.microsoft.com/user.read offline_access',
    })
  ).json()) as Json
  assert.equal(narrow['scope'], 'User.Read')
  assert.equal((await graph(sandbox, String(narrow['access_token']), '/me')).status, 200)
  assert.equal((await graph(sandbox, String(narrow['access_token']), '/me/messages')).status, 403)
  const wide = await refreshOf(sandbox, 'microsoft', first, { scope: 'Files.Read' })
  assert.deepEqual([wide.status, ((await wide.json()) as Json)['error']], [400, 'invalid_scope'])

  sandbox.control.advance(91 * 24 * 3600)
  const late = await refreshOf(sandbox, 'microsoft', first)
  assert.deepEqual([late.status, ((await late.json()) as Json)['error']], [400, 'invalid_grant'])

  const without = await connect(sandbox, 'microsoft', { scope: 'openid User.Read', person: 'grace' })
  assert.equal(without.body['refresh_token'], undefined, 'offline_access was not asked for')
})

test('[SB52] Microsoft’s tenant stands in the path, what it cannot serve is a page, and a person’s no says so', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const at = (tenant: string): oauth.AuthorizationServer => ({
    ...servers.microsoft,
    authorization_endpoint: `${login}/${tenant}/oauth2/v2.0/authorize`,
    token_endpoint: `${login}/${tenant}/oauth2/v2.0/token`,
  })
  for (const tenant of ['organizations', tid, 'atom-labs.example']) {
    const { body } = await connect(sandbox, 'microsoft', { scope: basics, as: at(tenant) })
    const again = await refreshOf(sandbox, 'microsoft', String(body['refresh_token']), {}, at(tid))
    assert.equal(again.status, 200)
  }
  for (const [ask, words] of [
    [{ as: at('consumers') }, /AADSTS50020/],
    [{ as: at('nowhere.example') }, /AADSTS90002/],
    [{ extra: { client_id: 'stranger' } }, /AADSTS700016/],
    [{ extra: { redirect_uri: 'https://elsewhere.example/' } }, /AADSTS50011/],
    [{ scope: 'openid Everything.All' }, /AADSTS650053/],
    [{ scope: '' }, /AADSTS900144/],
  ] as const) {
    const { stop } = await askConsent(sandbox, 'microsoft', { scope: basics, ...ask })
    assert.equal(stop.left, false)
    assert.match(stop.text, words)
  }
  const denied = await askConsent(sandbox, 'microsoft', {
    scope: basics,
    person: 'katherine',
    decision: 'cancel',
  })
  assert.equal(`${denied.stop.url.origin}${denied.stop.url.pathname}`, redirectUri('microsoft'))
  assert.equal(denied.stop.url.searchParams.get('error'), 'access_denied')
  assert.equal(denied.stop.url.searchParams.get('error_subcode'), 'cancel')
  assert.equal(denied.stop.url.searchParams.get('state'), denied.state)

  const widened = await connect(sandbox, 'microsoft', { scope: 'openid Mail.Read' })
  assert.ok(String(widened.body['scope']).includes('User.Read'), 'what was consented to before comes along')
})

test('[SB53] Microsoft’s token endpoint refuses with error for programs and AADSTS for people', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const refusal = async (response: Response) => {
    const body = (await response.json()) as Json & { error_codes: number[] }
    assert.match(String(body['error_description']), /^AADSTS\d+: .*Trace ID: [0-9a-f-]{36}/)
    assert.ok(body['correlation_id'] && body['trace_id'] && body['timestamp'])
    return [response.status, body['error'], body.error_codes[0]]
  }
  const asked = await askConsent(sandbox, 'microsoft', { scope: basics })
  assert.deepEqual(await refusal(await exchange(sandbox, 'microsoft', asked, 'y'.repeat(50))), [
    400,
    'invalid_grant',
    501481,
  ])
  assert.deepEqual(await refusal(await exchange(sandbox, 'microsoft', { ...asked, secret: 'wrong' })), [
    401,
    'invalid_client',
    7000215,
  ])
  const second = await askConsent(sandbox, 'microsoft', { scope: basics })
  assert.equal((await exchange(sandbox, 'microsoft', second)).status, 200)
  assert.equal(
    (await refusal(await exchange(sandbox, 'microsoft', second)))[1],
    'invalid_grant',
    'a code works once',
  )
  assert.deepEqual(await refusal(await refreshOf(sandbox, 'microsoft', 'nonsense')), [
    400,
    'invalid_grant',
    70000,
  ])

  const form = { grant_type: 'refresh_token', refresh_token: 'x', client_id: 'stranger', client_secret: 'x' }
  const stranger = await fetch(dial(sandbox, `${login}/common/oauth2/v2.0/token`), {
    method: 'POST',
    body: new URLSearchParams(form),
  })
  assert.deepEqual(await refusal(stranger), [400, 'unauthorized_client', 700016])

  const grace = { scope: basics, person: 'grace' }
  using fault = sandbox.control.fault({ path: '/microsoft/*/token', outcome: { status: 503 } })
  await assert.rejects(connect(sandbox, 'microsoft', grace), /temporarily_unavailable/)
  assert.equal(fault.struck, 1)
  await connect(sandbox, 'microsoft', grace)
})

test('[SB54] when Microsoft judges the sessions anew, Graph answers 401 with a claims challenge until the person signs in again', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const ada = await connect(sandbox, 'microsoft', { scope: basics })
  const grace = await connect(sandbox, 'microsoft', { scope: basics, person: 'grace' })
  assert.equal(sandbox.control.challenge('ada'), 2)
  assert.throws(() => sandbox.control.challenge('nobody'), TypeError)

  const refused = await graph(sandbox, ada.token, '/me')
  assert.equal(refused.status, 401)
  const header = refused.headers.get('www-authenticate') ?? ''
  assert.match(header, /error="insufficient_claims"/)
  const claims = /claims="([^"]+)"/.exec(header)?.[1] ?? ''
  const challenge = JSON.parse(Buffer.from(claims, 'base64').toString()) as { access_token: { nbf: Json } }
  assert.equal(challenge.access_token.nbf['essential'], true)
  const dead = await refreshOf(sandbox, 'microsoft', String(ada.body['refresh_token']))
  const problem = (await dead.json()) as Json & { error_codes: number[] }
  assert.deepEqual([dead.status, problem['error'], problem.error_codes], [400, 'invalid_grant', [50173]])
  assert.equal((await graph(sandbox, grace.token, '/me')).status, 200, 'nobody else')

  const again = await connect(sandbox, 'microsoft', {
    scope: basics,
    extra: { claims: JSON.stringify(challenge) },
  })
  assert.equal(again.asked.pages.length, 1, 'the consent stands')
  assert.equal((await graph(sandbox, again.token, '/me')).status, 200)
  const overHttp = await fetch(`${sandbox.url}/_control/challenge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"person":"grace"}',
  })
  assert.deepEqual(await overHttp.json(), { challenged: 2 })
  assert.equal((await graph(sandbox, grace.token, '/me')).status, 401)
  const unknown = await graph(sandbox, 'a.b.c', '/me')
  assert.equal(unknown.status, 401)
  assert.doesNotMatch(unknown.headers.get('www-authenticate') ?? '', /claims=/)
})

test('[SB55] Graph lists mail filtered, chosen, ordered and in pages, and a mail that is sent arrives once', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const scope = 'openid Mail.ReadWrite Mail.Send'
  const { token } = await connect(sandbox, 'microsoft', { scope })
  const all = await listed(await graph(sandbox, token, '/me/messages?$top=100&$count=true'))
  assert.ok(all.value.length >= 5)
  assert.equal(all['@odata.count'], all.value.length)
  const times = all.value.map((each) => String(each['receivedDateTime']))
  assert.deepEqual(times, times.toSorted().reverse(), 'newest first')

  const paged: string[] = []
  let next: string | undefined = `${sandbox.url}/microsoft/graph/v1.0/me/messages?$top=2&$select=subject`
  while (next !== undefined) {
    const page: List = await listed(await fetch(next, { headers: { authorization: `Bearer ${token}` } }))
    paged.push(...page.value.map(({ subject }) => subject))
    next = page['@odata.nextLink']
  }
  assert.deepEqual(
    paged,
    all.value.map(({ subject }) => subject),
  )

  const query = async (text: string) => listed(await graph(sandbox, token, `/me/messages?${text}`))
  const unread = await query(
    `$filter=${encodeURIComponent("isRead eq false and importance eq 'high'")}&$select=subject,from`,
  )
  assert.deepEqual(
    unread.value.map(({ subject }) => subject),
    ['Single sign-on before we sign'],
  )
  assert.equal(unread.value[0]?.from.emailAddress['address'], 'olivia.brandt@northwind.example')
  assert.equal(unread.value[0]?.['body'], undefined)
  assert.equal((await query('$search="one-cent"')).value.length, 2)
  assert.equal((await graph(sandbox, token, '/me/messages?$filter=broken')).status, 400)

  const message = String(all.value[0]?.['id'])
  const read = await graph(sandbox, token, `/me/messages/${message}`, {
    method: 'PATCH',
    body: '{"isRead":true}',
  })
  assert.equal(((await read.json()) as Json)['isRead'], true)
  const mail = {
    message: {
      subject: 'Thursday',
      body: { contentType: 'Text', content: 'I am there.' },
      toRecipients: [{ emailAddress: { address: 'grace@atom-labs.example' } }],
    },
  }
  const sent = await graph(sandbox, token, '/me/sendMail', { method: 'POST', body: JSON.stringify(mail) })
  assert.equal(sent.status, 202)
  const grace = await connect(sandbox, 'microsoft', { scope, person: 'grace' })
  const inbox = await listed(await graph(sandbox, grace.token, '/me/mailFolders/inbox/messages?$top=1'))
  assert.equal(inbox.value[0]?.subject, 'Thursday')
  assert.match(await (await fetch(String(inbox.value[0]?.['webLink']))).text(), /I am there\./)
  assert.equal((await graph(sandbox, grace.token, `/me/messages/${message}`)).status, 404, 'not her mail')
  assert.deepEqual(
    sandbox.control.effects({ provider: 'microsoft' }).map(({ kind }) => kind),
    ['message.changed', 'mail.sent'],
  )
  const nobody = await graph(sandbox, token, '/me/sendMail', { method: 'POST', body: '{"message":{}}' })
  assert.equal(nobody.status, 400)
})

test('[SB56] a Graph event with a transactionId is made once however often it is sent, in the time zone it names', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'microsoft', { scope: 'openid Calendars.ReadWrite' })
  const week = await listed(await graph(sandbox, token, '/me/events?$top=50&$orderby=start/dateTime'))
  assert.ok(week.value.length >= 7)
  const event = {
    subject: 'Review',
    transactionId: 'a1b2',
    start: { dateTime: '2027-01-11T15:00:00', timeZone: 'Europe/Berlin' },
    end: { dateTime: '2027-01-11T16:00:00', timeZone: 'Europe/Berlin' },
    attendees: [{ emailAddress: { address: 'grace@atom-labs.example', name: 'Grace' }, type: 'required' }],
  }
  const post = (body: object) =>
    graph(sandbox, token, '/me/events', { method: 'POST', body: JSON.stringify(body) })
  const made = await Promise.all([post(event), post(event), post(event)])
  const ids = await Promise.all(made.map(async (each) => ((await each.json()) as Json)['id']))
  assert.equal(new Set(ids).size, 1)
  assert.equal(sandbox.control.effects({ kind: 'event.created', title: 'Review' }).length, 1)
  const kept = (await (await graph(sandbox, token, `/me/events/${String(ids[0])}`)).json()) as Json
  const link = await fetch(String(kept['webLink']))
  assert.match(await link.text(), /Monday, 11 January 2027 at 14:00.*Grace \(grace@atom-labs\.example\)/s)

  const window = 'startDateTime=2027-01-11T00:00:00Z&endDateTime=2027-01-12T00:00:00Z'
  const zoned = (zone: string) =>
    graph(sandbox, token, `/me/calendarView?${window}`, { headers: { prefer: `outlook.timezone="${zone}"` } })
  const [utc, tokyo] = [await listed(await zoned('UTC')), await listed(await zoned('Asia/Tokyo'))]
  assert.deepEqual(utc.value[0]?.start, { dateTime: '2027-01-11T14:00:00.0000000', timeZone: 'UTC' })
  assert.equal(tokyo.value[0]?.start['dateTime'], '2027-01-11T23:00:00.0000000')
  assert.equal((await zoned('Middle-earth')).status, 400)
  assert.equal((await graph(sandbox, token, '/me/calendarView')).status, 400)

  const path = `/me/events/${String(ids[0])}`
  const moved = await graph(sandbox, token, path, { method: 'PATCH', body: '{"subject":"Review, later"}' })
  assert.equal(((await moved.json()) as Json)['subject'], 'Review, later')
  assert.equal((await graph(sandbox, token, path, { method: 'DELETE' })).status, 204)
  assert.equal((await graph(sandbox, token, path)).status, 404)
  for (const wrong of [
    { ...event, transactionId: 'x1', end: undefined },
    { ...event, transactionId: 'x2', end: { dateTime: '2027-01-11T10:00:00', timeZone: 'UTC' } },
    { ...event, transactionId: 'x3', start: { dateTime: '2027-01-11T10:00:00', timeZone: 'Nowhere' } },
  ]) {
    assert.equal((await post(wrong)).status, 400)
  }
})

test('[SB57] Graph says in its own shape what is wrong: 429 with Retry-After, 403 without the scope, 401 for a dead token', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'microsoft', { scope: basics })
  const problem = async (response: Response) => {
    const { error } = (await response.json()) as { error: Json & { innerError: Json } }
    assert.ok(error.innerError['request-id'])
    return [response.status, error['code']]
  }
  sandbox.control.fault({ path: '/microsoft/graph/*', outcome: 'rate_limited', retryAfterSeconds: 7 })
  const struck = await graph(sandbox, token, '/me')
  assert.equal(struck.headers.get('retry-after'), '7')
  assert.deepEqual(await problem(struck), [429, 'TooManyRequests'])
  assert.equal((await graph(sandbox, token, '/me')).status, 200)
  assert.deepEqual(await problem(await graph(sandbox, token, '/me/messages')), [403, 'ErrorAccessDenied'])

  sandbox.control.rateLimit('microsoft', 2)
  const over = await graph(sandbox, token, '/me')
  assert.deepEqual(await problem(over), [429, 'TooManyRequests'])
  assert.ok(Number(over.headers.get('retry-after')) > 0)
  assert.equal(sandbox.control.expireTokens('microsoft'), 1)
  assert.deepEqual(await problem(await graph(sandbox, token, '/me')), [401, 'InvalidAuthenticationToken'])
  sandbox.control.revoke('microsoft', 'ada')
  const again = await askConsent(sandbox, 'microsoft', { scope: basics })
  assert.equal(again.pages.length, 2, 'the consent is gone')
})

test('[SB55] Microsoft’s own SDK reads, pages and writes here by its base address', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'microsoft', {
    scope: 'openid User.Read Mail.Read Calendars.ReadWrite',
  })
  const client = Client.init({
    baseUrl: `${sandbox.origins['https://graph.microsoft.com']}/`,
    authProvider: (done) => done(null, token),
    // By itself the SDK gives its token to https addresses only.
    fetchOptions: { headers: { authorization: `Bearer ${token}` } },
  })
  assert.equal(((await client.api('/me').get()) as Json)['displayName'], 'Ada Lovelace')
  const page = (await client
    .api('/me/messages')
    .filter('isRead eq false')
    .select('subject')
    .top(1)
    .get()) as List
  assert.equal(page.value.length, 1)
  const next = (await client.api('/me/messages').filter('isRead eq false').skip(1).top(1).get()) as List
  assert.notEqual(next.value[0]?.subject, page.value[0]?.subject)
  const event = (await client.api('/me/events').post({
    subject: 'By the SDK',
    start: { dateTime: '2027-01-11T10:00:00', timeZone: 'UTC' },
    end: { dateTime: '2027-01-11T11:00:00', timeZone: 'UTC' },
  })) as Json
  assert.deepEqual(
    sandbox.control.effects({ provider: 'microsoft' }).map(({ target }) => target),
    [event['id']],
  )
  await assert.rejects(
    client.api('/me/events/nothing').get(),
    (thrown) => thrown instanceof GraphError && thrown.code === 'ErrorItemNotFound',
  )
})
