import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oauth from 'oauth4webapi'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import {
  askConsent,
  connect,
  dial,
  dialling,
  exchange,
  googleApi,
  redirectUri,
  redirectUris,
} from './support/clients.ts'

type Json = Record<string, unknown>
const calendarScope = 'https://www.googleapis.com/auth/calendar.events'
const offline = { access_type: 'offline' }

const refresh = (sandbox: Sandbox, token: string, secret = sandbox.apps.google.clientSecret) =>
  fetch(dial(sandbox, 'https://oauth2.googleapis.com/token'), {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: token,
      client_id: sandbox.apps.google.clientId,
      client_secret: secret,
    }),
  })

test('[SB10] an OpenID Connect client discovers Google, connects, and verifies the id_token as issued by Google', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const issuer = new URL('https://accounts.google.com')
  const found = await oauth.discoveryRequest(issuer, dialling(sandbox))
  const as = await oauth.processDiscoveryResponse(issuer, found)
  assert.equal(as.token_endpoint, 'https://oauth2.googleapis.com/token')

  const asked = await askConsent(sandbox, 'google', {
    scope: `openid email profile ${calendarScope}`,
    extra: offline,
  })
  const { searchParams } = asked.stop.url
  assert.equal(searchParams.get('iss'), 'https://accounts.google.com')
  assert.equal(searchParams.get('authuser'), '0')
  assert.equal(searchParams.get('prompt'), 'consent')
  assert.match(searchParams.get('code') ?? '', /^4\/0A/)

  const response = await exchange(sandbox, 'google', asked)
  const tokens = await oauth.processAuthorizationCodeResponse(as, asked.client, response, {
    expectedNonce: asked.nonce,
    requireIdToken: true,
  })
  await oauth.validateApplicationLevelSignature(as, response, dialling(sandbox))
  const claims = oauth.getValidatedIdTokenClaims(tokens)
  assert.equal(claims?.iss, 'https://accounts.google.com')
  assert.equal(claims?.['azp'], sandbox.apps.google.clientId)
  assert.equal(claims?.['email'], 'ada@atom-labs.example')
  assert.match(claims?.sub ?? '', /^\d{21}$/)
  assert.equal(tokens.expires_in, 3600)
  assert.match(tokens.access_token, /^ya29\./)
  assert.match(tokens.refresh_token ?? '', /^1\/\/0/)
  assert.deepEqual(tokens.scope?.split(' ').sort(), [
    calendarScope,
    'https://www.googleapis.com/auth/userinfo.email',
    'https://www.googleapis.com/auth/userinfo.profile',
    'openid',
  ])

  const info = await oauth.userInfoRequest(as, asked.client, tokens.access_token, dialling(sandbox))
  const person = await oauth.processUserInfoResponse(as, asked.client, claims?.sub ?? '', info)
  assert.equal(person.name, 'Ada Lovelace')
  assert.equal((await fetch(String(person.picture))).headers.get('content-type'), 'image/png')
})

test('[SB11] Google gives a refresh token for offline access with the first consent or prompt=consent only, and never rotates it', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const scope = `openid ${calendarScope}`
  const online = await connect(sandbox, 'google', { scope, person: 'grace' })
  assert.equal(online.body['refresh_token'], undefined, 'not asked for offline access')

  const first = await connect(sandbox, 'google', { scope, extra: offline })
  const token = String(first.body['refresh_token'])
  assert.match(token, /^1\/\/0/)
  const repeated = await connect(sandbox, 'google', { scope, extra: offline })
  assert.equal(repeated.asked.pages.length, 1, 'only the choice of person')
  assert.equal(repeated.body['refresh_token'], undefined)
  const forced = await connect(sandbox, 'google', { scope, extra: { ...offline, prompt: 'consent' } })
  assert.ok(forced.body['refresh_token'])

  for (const _round of [1, 2]) {
    const refreshed = (await (await refresh(sandbox, token)).json()) as Json
    assert.match(String(refreshed['access_token']), /^ya29\./)
    assert.equal(refreshed['refresh_token'], undefined)
    assert.equal(refreshed['expires_in'], 3600)
  }
})

test('[SB12] Google’s person may grant a part: the answer names it, and the rest is refused and asked for again', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const gmail = 'https://www.googleapis.com/auth/gmail.readonly'
  const scope = `openid email ${calendarScope} ${gmail}`
  const { asked, body, token } = await connect(sandbox, 'google', { scope, tick: [gmail] })
  assert.deepEqual(String(body['scope']).split(' ').sort(), [
    gmail,
    'https://www.googleapis.com/auth/userinfo.email',
    'openid',
  ])
  const events = await googleApi(sandbox, token, '/calendar/v3/calendars/primary/events')
  assert.equal(events.status, 403)
  const problem = ((await events.json()) as { error: { errors: Json[] } }).error
  assert.equal(problem.errors[0]?.['reason'], 'insufficientPermissions')

  const again = await connect(sandbox, 'google', { scope, browser: asked.browser })
  assert.equal(again.asked.pages.length, 2)
  assert.ok(String(again.body['scope']).includes(calendarScope))

  const widened = await connect(sandbox, 'google', {
    scope: 'openid',
    extra: { include_granted_scopes: 'true' },
  })
  assert.ok(
    String(widened.body['scope']).includes(calendarScope),
    'include_granted_scopes brings what was granted',
  )
})

test('[SB13] Google’s token endpoint names what is wrong: verifier, code, secret, client, revoked grant', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const refusalOf = async (response: Response) => {
    const { error, error_description: description } = (await response.json()) as Json
    return [response.status, error, description]
  }
  const asked = await askConsent(sandbox, 'google', { scope: 'openid', extra: offline })
  assert.deepEqual(await refusalOf(await exchange(sandbox, 'google', asked, 'y'.repeat(50))), [
    400,
    'invalid_grant',
    'Invalid code verifier.',
  ])
  const token = String(((await (await exchange(sandbox, 'google', asked)).json()) as Json)['refresh_token'])
  assert.deepEqual(await refusalOf(await refresh(sandbox, token, 'wrong')), [
    401,
    'invalid_client',
    'Unauthorized',
  ])
  assert.equal((await refresh(sandbox, token)).status, 200)

  const revoke = (value: string) =>
    fetch(dial(sandbox, `https://oauth2.googleapis.com/revoke?token=${encodeURIComponent(value)}`), {
      method: 'POST',
    })
  assert.equal((await revoke(token)).status, 200)
  assert.deepEqual(await refusalOf(await refresh(sandbox, token)), [
    400,
    'invalid_grant',
    'Token has been expired or revoked.',
  ])
  assert.deepEqual(await refusalOf(await revoke(token)), [400, 'invalid_token', 'Token expired or revoked'])

  const second = await askConsent(sandbox, 'google', { scope: 'openid' })
  assert.equal((await exchange(sandbox, 'google', second)).status, 200)
  assert.deepEqual(
    (await refusalOf(await exchange(sandbox, 'google', second)))[1],
    'invalid_grant',
    'a code works once',
  )
})

test('[SB14] the calendar lists this week’s events by time, and refuses as Google does', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'google', { scope: 'https://www.googleapis.com/auth/calendar' })
  const now = new Date()
  const monday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - ((now.getDay() + 6) % 7))
  const range = new URLSearchParams({
    timeMin: monday.toISOString(),
    timeMax: new Date(monday.getTime() + 7 * 86_400_000).toISOString(),
    singleEvents: 'true',
    orderBy: 'startTime',
  })
  const list = async (query: URLSearchParams) =>
    (await (await googleApi(sandbox, token, `/calendar/v3/calendars/primary/events?${query}`)).json()) as {
      items: (Json & { start: { dateTime: string } })[]
      nextPageToken?: string
      error?: { errors: Json[] }
    }
  const week = await list(range)
  assert.ok(week.items.length >= 10)
  const starts = week.items.map(({ start }) => Date.parse(start.dateTime))
  assert.deepEqual(
    starts,
    starts.toSorted((one, other) => one - other),
  )
  assert.ok(starts.every((start) => start >= monday.getTime()))

  const first = await list(new URLSearchParams({ ...Object.fromEntries(range), maxResults: '4' }))
  const rest = await list(
    new URLSearchParams({ ...Object.fromEntries(range), pageToken: first.nextPageToken ?? '' }),
  )
  assert.deepEqual(
    [...first.items, ...rest.items].map(({ id }) => id),
    week.items.map(({ id }) => id),
  )
  assert.equal((await list(new URLSearchParams({ q: 'northwind' }))).items.length, 1)
  const unordered = await list(new URLSearchParams({ orderBy: 'startTime' }))
  assert.equal(unordered.error?.errors[0]?.['reason'], 'invalid')

  const calendars = (await (
    await googleApi(sandbox, token, '/calendar/v3/users/me/calendarList')
  ).json()) as {
    items: Json[]
  }
  assert.equal(calendars.items[0]?.['primary'], true)
  const bad = await googleApi(sandbox, 'ya29.nothing', '/calendar/v3/calendars/primary/events')
  assert.equal(bad.status, 401)
  assert.match(bad.headers.get('www-authenticate') ?? '', /^Bearer /)
})

test('[SB15] an event with the client’s own id is made once: the second try, also after deletion, is 409 duplicate', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connect(sandbox, 'google', { scope: calendarScope })
  const path = '/calendar/v3/calendars/primary/events'
  const insert = (body: object) =>
    googleApi(sandbox, token, path, { method: 'POST', body: JSON.stringify(body) })
  const event = {
    id: 'atom0k3v1a',
    summary: 'Review',
    start: { dateTime: '2027-01-11T15:00:00', timeZone: 'Europe/Berlin' },
    end: { dateTime: '2027-01-11T16:00:00', timeZone: 'Europe/Berlin' },
    attendees: [{ email: 'grace@atom-labs.example' }],
  }
  const made = (await (await insert(event)).json()) as Json & { start: Json }
  assert.equal(made.start['dateTime'], '2027-01-11T14:00:00Z', 'a wall clock is read in its time zone')
  const page = await fetch(String(made['htmlLink']))
  assert.equal(page.status, 200)
  assert.match(await page.text(), /Review/)

  const duplicate = await insert(event)
  assert.equal(duplicate.status, 409)
  const problem = (await duplicate.json()) as { error: { errors: Json[] } }
  assert.equal(problem.error.errors[0]?.['reason'], 'duplicate')

  const one = `${path}/atom0k3v1a`
  assert.equal((await googleApi(sandbox, token, one, { method: 'DELETE' })).status, 204)
  assert.equal((await googleApi(sandbox, token, one, { method: 'DELETE' })).status, 410)
  assert.equal(((await (await googleApi(sandbox, token, one)).json()) as Json)['status'], 'cancelled')
  assert.equal((await insert(event)).status, 409)
  assert.deepEqual(
    sandbox.control.effects({ provider: 'google' }).map(({ kind, title }) => [kind, title]),
    [
      ['event.created', 'Review'],
      ['event.deleted', 'Review'],
    ],
  )
  for (const wrong of [
    { ...event, id: 'NOT-BASE32' },
    { ...event, id: 'another1', end: undefined },
    { ...event, id: 'another2', end: { dateTime: '2027-01-11T10:00:00Z' } },
    { ...event, id: 'another3', start: { dateTime: 'tomorrow' } },
  ]) {
    assert.equal((await insert(wrong)).status, 400)
  }
})

test('[SB16] what Google blocks before consent is a page, never a redirect: unknown client and scope, missing scope', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  for (const [extra, words] of [
    [{ client_id: 'stranger' }, /invalid_client/],
    [{ scope: 'openid everything' }, /invalid_scope/],
    [{ scope: '' }, /invalid_request/],
  ] as const) {
    const { stop } = await askConsent(sandbox, 'google', { scope: 'openid', extra })
    assert.equal(stop.left, false)
    assert.match(stop.text, words)
  }
  const silent = await askConsent(sandbox, 'google', { scope: 'openid', extra: { prompt: 'none' } })
  assert.equal(`${silent.stop.url.origin}${silent.stop.url.pathname}`, redirectUri('google'))
  assert.equal(silent.stop.url.searchParams.get('error'), 'login_required')
})

test('[SB110] when a Workspace ends the sessions of apps, a Google refresh is invalid_grant with the subtype invalid_rapt until the person signs in again', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const wish = { scope: `openid email ${calendarScope}`, extra: { ...offline, prompt: 'consent' } }
  const ada = await connect(sandbox, 'google', wish)
  const grace = await connect(sandbox, 'google', { ...wish, person: 'grace' })
  const challenged = await fetch(`${sandbox.url}/_control/challenge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"person":"ada","provider":"google"}',
  })
  assert.deepEqual(await challenged.json(), { challenged: 2 })
  const ended = await refresh(sandbox, String(ada.body['refresh_token']))
  const { error, error_subtype: subtype } = (await ended.json()) as Json
  assert.deepEqual([ended.status, error, subtype], [400, 'invalid_grant', 'invalid_rapt'])
  assert.equal((await refresh(sandbox, String(grace.body['refresh_token']))).status, 200, 'nobody else')
  const again = await connect(sandbox, 'google', wish)
  assert.equal((await refresh(sandbox, String(again.body['refresh_token']))).status, 200)
})
