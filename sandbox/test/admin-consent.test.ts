import assert from 'node:assert/strict'
import { createPrivateKey, sign } from 'node:crypto'
import { test } from 'node:test'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import { Browser } from './support/browser.ts'
import { api, connect, dial, redirectUri, redirectUris } from './support/clients.ts'

const tenant = '6f0d2c4e-9a1b-4c57-8d3e-51f0a7c2b984'
const everything = 'https://graph.microsoft.com/.default'
const ada = 'ada@atom-labs.example'

function consentAddress(sandbox: Sandbox, changed: Record<string, string> = {}, directory = 'organizations') {
  const url = dial(sandbox, `https://login.microsoftonline.com/${directory}/v2.0/adminconsent`)
  url.search = new URLSearchParams({
    client_id: sandbox.apps.microsoft.clientId,
    redirect_uri: redirectUri('microsoft'),
    scope: everything,
    state: 's/1',
    ...changed,
  }).toString()
  return url
}

async function consent(sandbox: Sandbox, person = 'ada', decision = 'agree') {
  const browser = new Browser()
  const page = await browser.submit(await browser.open(consentAddress(sandbox)), [['person', person]])
  assert.equal(page.status, 200, page.text)
  const stop = await browser.submit(page, [['decision', decision]])
  assert.ok(stop.left, stop.text)
  return { page, said: stop.url.searchParams }
}

async function token(sandbox: Sandbox, changed: Record<string, string> = {}, directory = tenant) {
  const answer = await fetch(
    dial(sandbox, `https://login.microsoftonline.com/${directory}/oauth2/v2.0/token`),
    {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: sandbox.apps.microsoft.clientId,
        client_secret: sandbox.apps.microsoft.clientSecret,
        scope: everything,
        ...changed,
      }),
    },
  )
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

async function graph(sandbox: Sandbox, bearer: string, path: string) {
  const answer = await api(sandbox, bearer, `https://graph.microsoft.com/v1.0${path}`)
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
  return { status: answer.status, body: (await answer.json()) as any }
}

test('[SB89] an administrator lets the app into the directory and goes back with it; who is none, and a no, go back with consent_required', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  for (const [person, decision] of [
    ['ada', 'cancel'],
    ['grace', 'cancel'],
    // Also where the form is made up.
    ['grace', 'agree'],
  ] as const) {
    const { page, said } = await consent(sandbox, person, decision)
    if (person === 'grace') assert.match(page.text, /Need admin approval/)
    // Says True in any case; it is the error that counts.
    assert.deepEqual(
      [said.get('admin_consent'), said.get('error'), said.get('state'), said.has('tenant')],
      ['True', 'consent_required', 's/1', false],
    )
    assert.match(said.get('error_description') ?? '', /^AADSTS65004/)
  }
  assert.equal((await token(sandbox)).status, 400)
  const { page, said } = await consent(sandbox)
  assert.match(page.text, /Mail\.Read/)
  assert.deepEqual(Object.fromEntries(said), {
    admin_consent: 'True',
    tenant,
    state: 's/1',
    scope: everything,
  })
  assert.equal((await token(sandbox)).status, 200)

  const wrong: readonly (readonly [URL, RegExp])[] = [
    [consentAddress(sandbox, {}, 'common'), /AADSTS90002/],
    [consentAddress(sandbox, { client_id: 'nobody' }), /AADSTS700016/],
    [consentAddress(sandbox, { redirect_uri: 'https://evil.example/' }), /AADSTS50011/],
    [consentAddress(sandbox, { scope: '' }), /AADSTS900144/],
  ]
  for (const [url, code] of wrong) {
    const answer = await fetch(url, { redirect: 'manual' })
    assert.equal(answer.status, 400)
    assert.match(await answer.text(), code)
  }
})

test('[SB90] with the consent of its administrator the app has tokens of its own for a directory: an hour, no refresh token, no /me, and none without it', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const refusals: readonly (readonly [Record<string, string>, string, number, string, number])[] = [
    [{}, tenant, 400, 'invalid_grant', 65001],
    [{ client_secret: 'wrong' }, tenant, 401, 'invalid_client', 7000215],
    [{}, 'common', 400, 'invalid_request', 50059],
    [{ scope: 'Mail.Read' }, tenant, 400, 'invalid_scope', 1002012],
  ]
  for (const [changed, directory, status, error, number] of refusals) {
    const { status: answered, body } = await token(sandbox, changed, directory)
    assert.deepEqual([answered, body['error'], body['error_codes']], [status, error, [number]])
    assert.match(String(body['error_description']), new RegExp(`^AADSTS${number}: `))
  }
  await consent(sandbox)
  const { body } = await token(sandbox)
  assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'ext_expires_in', 'token_type'])
  assert.equal(body['expires_in'], 3599)
  const bearer = String(body['access_token'])

  const me = await graph(sandbox, bearer, '/me')
  assert.deepEqual([me.status, me.body.error.code], [400, 'BadRequest'])
  assert.match(me.body.error.message, /only valid with delegated authentication flow/)
  const directory = await graph(sandbox, bearer, '/organization')
  assert.equal(directory.body.value[0].id, tenant)
  const person = await graph(sandbox, bearer, `/users/${ada}`)
  assert.equal(person.body.displayName, 'Ada Lovelace')
  const mail = await graph(sandbox, bearer, `/users/${person.body.id}/messages?$top=1`)
  assert.equal(mail.body.value.length, 1)
  assert.equal((await graph(sandbox, bearer, '/users/nobody/messages')).status, 404)

  // A person's own token reaches the person by name too, and nobody else.
  const own = await connect(sandbox, 'microsoft', { scope: 'openid User.Read Mail.Read' })
  assert.equal((await graph(sandbox, own.token, `/users/${ada}/messages`)).status, 200)
  assert.equal((await graph(sandbox, own.token, '/users/grace@atom-labs.example/messages')).status, 403)

  sandbox.control.advance(3600)
  assert.equal((await graph(sandbox, bearer, '/organization')).status, 401)
  const next = String((await token(sandbox)).body['access_token'])
  using _busy = sandbox.control.fault({
    path: '/microsoft/graph/*',
    outcome: 'rate_limited',
    retryAfterSeconds: 3,
  })
  assert.equal((await graph(sandbox, next, '/organization')).status, 429)
  assert.equal((await graph(sandbox, next, '/organization')).status, 200)
  // Her consent to the app for herself is another matter than that of somebody else.
  sandbox.control.revoke('microsoft', 'grace')
  assert.equal((await graph(sandbox, next, '/organization')).status, 200)
  sandbox.control.revoke('microsoft')
  assert.equal((await graph(sandbox, next, '/organization')).status, 401)
  assert.deepEqual((await token(sandbox)).body['error_codes'], [65001])
})

test('[SB91] Slack installs for an organisation where its administrator says so: no team in the answer, and which workspace is meant in the calls', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const install = async (choice: string | undefined, person = 'ada') => {
    const browser = new Browser()
    const url = dial(sandbox, 'https://slack.com/oauth/v2/authorize')
    url.search = new URLSearchParams({
      client_id: sandbox.apps.slack.clientId,
      redirect_uri: redirectUri('slack'),
      scope: 'channels:read,users:read,team:read',
      user_scope: 'users:read',
      state: 's',
    }).toString()
    const page = await browser.submit(await browser.open(url), [['person', person]])
    const fields: [string, string][] = choice === undefined ? [] : [['choice', choice]]
    const stop = await browser.submit(page, [...fields, ['decision', 'agree']])
    return await exchange({ code: stop.url.searchParams.get('code') ?? '' })
  }
  const exchange = async (fields: Record<string, string>) => {
    const { clientId, clientSecret } = sandbox.apps.slack
    const answer = await fetch(dial(sandbox, 'https://slack.com/api/oauth.v2.access'), {
      method: 'POST',
      body: new URLSearchParams({ client_id: clientId, client_secret: clientSecret, ...fields }),
    })
    // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
    return (await answer.json()) as any
  }
  const call = async (bearer: string, method: string) =>
    // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
    (await (await api(sandbox, bearer, `https://slack.com/api/${method}`)).json()) as any
  const whole = (answer: {
    team: object | null
    enterprise: object | null
    is_enterprise_install: boolean
  }) => [answer.team, answer.enterprise, answer.is_enterprise_install]
  const ofTeam = [{ id: 'T0ATOMLAB', name: 'Atom Labs' }, null, false]
  const ofOrganisation = [null, { id: 'E0ATOMORG', name: 'Atom Organisation' }, true]
  const first = await install('E0ATOMORG')
  assert.deepEqual(whole(first), ofOrganisation)
  assert.deepEqual(
    [first.scope, first.authed_user.scope],
    ['channels:read,users:read,team:read', 'users:read'],
  )
  // The choice is made anew each time, and only by who may.
  assert.deepEqual(whole(await install(undefined)), ofTeam)
  assert.deepEqual(whole(await install('E0ATOMORG', 'grace')), ofTeam)

  const plain = await install(undefined)
  assert.equal((await call(plain.access_token, 'conversations.list')).ok, true)
  assert.equal((await call(plain.access_token, 'auth.test')).is_enterprise_install, false)
  for (const bearer of [first.access_token, first.authed_user.access_token]) {
    const who = await call(bearer, 'auth.test')
    assert.deepEqual(
      [who.team_id, who.enterprise_id, who.is_enterprise_install],
      ['E0ATOMORG', 'E0ATOMORG', true],
    )
    assert.equal((await call(bearer, 'users.list')).error, 'missing_argument')
    assert.equal((await call(bearer, 'users.list?team_id=T0OTHER')).error, 'team_access_not_granted')
    assert.equal((await call(bearer, 'users.list?team_id=T0ATOMLAB')).ok, true)
  }
  assert.equal((await call(first.access_token, 'users.info?user=U01ADALVL')).ok, true)

  sandbox.control.turnOnSlackTokenRotation()
  let rotating = await install('E0ATOMORG')
  for (let round = 0; round < 2; round++) {
    sandbox.control.advance(12 * 3600 + 1)
    assert.equal((await call(rotating.access_token, 'auth.test')).error, 'token_expired')
    rotating = await exchange({ grant_type: 'refresh_token', refresh_token: rotating.refresh_token })
    assert.deepEqual(whole(rotating), ofOrganisation)
    assert.equal((await call(rotating.access_token, 'auth.test')).is_enterprise_install, true)
  }
})

test('[SB92] who allowed a key to act for people takes that back, in the words of Google and of Salesforce, until the sandbox is reset', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const keyFile = JSON.parse(sandbox.control.serviceKey('google')) as Record<string, string>
  const ask = async (provider: 'google' | 'salesforce', person: string, key?: string, audience?: string) => {
    const [tokenUrl, said, pem] =
      provider === 'google'
        ? [
            'https://oauth2.googleapis.com/token',
            { iss: keyFile['client_email'], scope: 'https://www.googleapis.com/auth/calendar.events' },
            keyFile['private_key'],
          ]
        : [
            'https://login.salesforce.com/services/oauth2/token',
            { iss: sandbox.apps.salesforce.clientId },
            sandbox.control.serviceKey('salesforce'),
          ]
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const iat = Math.floor(Date.now() / 1000)
    const aud = audience ?? (provider === 'google' ? tokenUrl : 'https://login.salesforce.com')
    const text = `${part({ alg: 'RS256' })}.${part({ ...said, sub: person, aud, iat, exp: iat + 240 })}`
    const signature = sign('RSA-SHA256', Buffer.from(text), createPrivateKey(key ?? pem ?? ''))
    const answer = await fetch(dial(sandbox, tokenUrl), {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: `${text}.${signature.toString('base64url')}`,
      }),
    })
    // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever came
    return { status: answer.status, body: (await answer.json()) as any }
  }
  const grace = 'grace@atom-labs.example'
  for (const provider of ['google', 'salesforce'] as const) {
    assert.equal((await ask(provider, ada)).status, 200, provider)
  }
  const foreign = await ask('google', ada, sandbox.control.serviceKey('salesforce'))
  assert.deepEqual(foreign.body, { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' })
  assert.match(
    (await ask('google', ada, undefined, 'https://evil.example')).body.error_description,
    /audience/,
  )

  sandbox.control.revoke('salesforce', 'ada')
  assert.deepEqual((await ask('salesforce', ada)).body, {
    error: 'invalid_grant',
    error_description: "user hasn't approved this consumer",
  })
  assert.equal((await ask('salesforce', grace)).status, 200)
  sandbox.control.revoke('google')
  const undelegated = await ask('google', grace)
  assert.deepEqual([undelegated.status, undelegated.body.error], [401, 'unauthorized_client'])
  sandbox.control.reset()
  assert.equal((await ask('google', grace)).status, 200)
  assert.equal((await ask('salesforce', ada)).status, 200)
})
