import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebClient } from '@slack/web-api'
import * as oauth from 'oauth4webapi'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import { askConsent, connectStandard, dial, redirectUri, redirectUris, refreshed } from './support/clients.ts'

type Json = Record<string, unknown>

const scope = 'channels:read,channels:history,channels:join,chat:write,users:read,team:read'
const both = { scope, extra: { user_scope: 'chat:write,groups:read,groups:history' } }

const call = async (sandbox: Sandbox, method: string, fields: Record<string, string>, token?: string) => {
  const response = await fetch(dial(sandbox, `https://slack.com/api/${method}`), {
    method: 'POST',
    body: new URLSearchParams(fields),
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  })
  return { status: response.status, headers: response.headers, body: (await response.json()) as Json }
}
const sdk = (sandbox: Sandbox, token: string) =>
  new WebClient(token, {
    slackApiUrl: `${sandbox.origins['https://slack.com']}/api/`,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
  })
const failing = async (promise: Promise<unknown>, error: string) =>
  assert.rejects(promise, (thrown: { data?: { error?: string } }) => thrown.data?.error === error)

test('[SB40] Slack gives the bot’s token and the person’s in one answer, scopes with commas, without expiry', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, token, asked } = await connectStandard(sandbox, 'slack', { ...both, person: 'katherine' })
  assert.ok(
    asked.pages.some(
      (page) => page.includes('Send messages as Atom') && page.includes('Send messages as you'),
    ),
  )
  assert.match(token, /^xoxb-/)
  assert.equal(body.token_type, 'bot')
  assert.equal(body.scope, scope)
  assert.deepEqual([body.expires_in, body.refresh_token], [undefined, undefined])
  assert.deepEqual(body['team'], { id: 'T0ATOMLAB', name: 'Atom Labs' })
  const person = body['authed_user'] as Record<string, string>
  assert.match(person['access_token'] ?? '', /^xoxp-/)
  assert.deepEqual([person['token_type'], person['scope']], ['user', both.extra.user_scope])

  const own = await sdk(sandbox, token).auth.test()
  assert.deepEqual([own.user_id, own.bot_id], [body['bot_user_id'], 'B0ATOMBOT'])
  const theirs = await sdk(sandbox, person['access_token'] ?? '').auth.test()
  assert.deepEqual([theirs.user_id, theirs.bot_id], [person['id'], undefined])

  const personal = { scope: '', extra: { user_scope: 'chat:write' } }
  const { url } = (await askConsent(sandbox, 'slack', personal)).stop
  const { clientId, clientSecret } = sandbox.apps.slack
  const only = await call(sandbox, 'oauth.v2.access', {
    client_id: clientId,
    client_secret: clientSecret,
    code: url.searchParams.get('code') ?? '',
    redirect_uri: redirectUri('slack'),
  })
  assert.equal(only.body['access_token'], undefined, 'without bot scopes there is no bot token')
  assert.match(String((only.body['authed_user'] as Json)['access_token']), /^xoxp-/)
})

test('[SB41] Slack refuses with HTTP 200 and ok false: client, secret, code, used code, redirect URI; bad requests are pages', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { clientId, clientSecret } = sandbox.apps.slack
  const right = { client_id: clientId, client_secret: clientSecret, redirect_uri: redirectUri('slack') }
  const { stop } = await askConsent(sandbox, 'slack', { scope })
  const code = stop.url.searchParams.get('code') ?? ''
  for (const [fields, error] of [
    [{ ...right, code, client_id: 'nobody' }, 'invalid_client_id'],
    [{ ...right, code, client_secret: 'wrong' }, 'bad_client_secret'],
    [{ ...right, code: '1.2.3' }, 'invalid_code'],
    [{ ...right, code, redirect_uri: 'https://elsewhere.example/' }, 'bad_redirect_uri'],
    [{ ...right, code }, undefined],
    [{ ...right, code }, 'code_already_used'],
    [{ ...right, grant_type: 'refresh_token', refresh_token: 'xoxe-1-nothing' }, 'invalid_refresh_token'],
    [{ ...right, grant_type: 'password' }, 'invalid_grant_type'],
  ] as const) {
    const { status, body } = await call(sandbox, 'oauth.v2.access', fields)
    assert.deepEqual([status, body['ok'], body['error']], [200, error === undefined, error])
  }
  for (const [ask, words] of [
    [{ scope: 'channels:read everything' }, /everything/],
    [{ scope: '' }, /No scopes requested/],
    [{ scope, extra: { client_id: 'nobody' } }, /Invalid client_id/],
    [{ scope, extra: { redirect_uri: 'https://elsewhere.example/' } }, /did not match/],
  ] as const) {
    const { stop: page } = await askConsent(sandbox, 'slack', ask)
    assert.equal(page.left, false)
    assert.match(page.text, words)
  }
  const no = await askConsent(sandbox, 'slack', { scope, decision: 'cancel' })
  assert.deepEqual(
    [no.stop.url.searchParams.get('error'), no.stop.url.searchParams.get('state')],
    ['access_denied', no.state],
  )
})

test('[SB42] with token rotation Slack’s tokens live for twelve hours, and each refresh token works once, the bot’s and the person’s apart', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const before = await connectStandard(sandbox, 'slack', { scope, person: 'grace' })
  sandbox.control.turnOnSlackTokenRotation()
  const { body, token, refreshToken } = await connectStandard(sandbox, 'slack', both)
  assert.match(token, /^xoxe\.xoxb-1-/)
  assert.equal(body.expires_in, 43_200)
  const person = body['authed_user'] as Record<string, string>
  assert.match(person['access_token'] ?? '', /^xoxe\.xoxp-1-/)
  assert.notEqual(person['refresh_token'], refreshToken)

  const next = await refreshed(sandbox, 'slack', refreshToken)
  assert.deepEqual([next.token_type, next.expires_in, next.scope], ['bot', 43_200, scope])
  assert.equal((await sdk(sandbox, token).auth.test()).ok, true, 'the access token before lives to its end')
  await assert.rejects(refreshed(sandbox, 'slack', refreshToken), (thrown) => {
    assert.ok(thrown instanceof oauth.ResponseBodyError)
    assert.equal(thrown.error, 'invalid_refresh_token')
    return true
  })
  const theirs = await refreshed(sandbox, 'slack', person['refresh_token'] ?? '')
  assert.deepEqual([theirs.token_type, theirs.scope], ['user', both.extra.user_scope])

  sandbox.control.advance(43_201)
  await failing(sdk(sandbox, next.access_token).auth.test(), 'token_expired')
  assert.equal(
    (await sdk(sandbox, before.token).auth.test()).ok,
    true,
    'tokens from before the change live on',
  )
  const { clientId, clientSecret } = sandbox.apps.slack
  const client = { client_id: clientId, client_secret: clientSecret }
  const exchanged = await call(sandbox, 'oauth.v2.exchange', { ...client, token: before.token })
  assert.match(String(exchanged.body['access_token']), /^xoxe\.xoxb-1-/)
  await failing(sdk(sandbox, before.token).auth.test(), 'token_revoked')
})

test('[SB43] revoking a Slack token ends that one; the other kind lives on until the person withdraws', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, token } = await connectStandard(sandbox, 'slack', both)
  const theirs = (body['authed_user'] as Record<string, string>)['access_token'] ?? ''
  const trial = await call(sandbox, 'auth.revoke', { test: 'true' }, token)
  assert.equal(trial.body['revoked'], false)
  assert.equal((await sdk(sandbox, token).auth.revoke()).ok, true)
  await failing(sdk(sandbox, token).auth.test(), 'token_revoked')
  assert.equal((await sdk(sandbox, theirs).auth.test()).ok, true)
  assert.ok(sandbox.control.revoke('slack', 'ada') > 0)
  await failing(sdk(sandbox, theirs).auth.test(), 'token_revoked')
})

test('[SB44] Slack’s channels, people and messages are read and written by its own SDK: the bot where it was added, a person where they are', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, token } = await connectStandard(sandbox, 'slack', both)
  const bot = sdk(sandbox, token)
  const ada = sdk(sandbox, (body['authed_user'] as Record<string, string>)['access_token'] ?? '')

  const first = await bot.conversations.list({ limit: 2, exclude_archived: true })
  const cursor = first.response_metadata?.next_cursor
  const rest = await bot.conversations.list({
    limit: 100,
    exclude_archived: true,
    ...(cursor ? { cursor } : {}),
  })
  const names = [...(first.channels ?? []), ...(rest.channels ?? [])].map(({ name }) => name)
  assert.deepEqual(names, ['general', 'engineering', 'customers', 'random'])
  const hers = await ada.conversations.list({ types: 'private_channel' })
  assert.deepEqual(
    hers.channels?.map(({ name }) => name),
    ['finance'],
  )
  const members = (await bot.users.list({})).members ?? []
  assert.equal(members.length, 4)
  assert.equal(members[0]?.profile?.email, undefined, 'an address needs users:read.email')

  const history = await bot.conversations.history({ channel: 'C0GENERAL' })
  const thread = history.messages?.find(({ reply_count: count }) => count === 2)
  assert.ok(thread?.ts)
  const replies = await bot.conversations.replies({ channel: 'C0GENERAL', ts: thread.ts })
  assert.equal(replies.messages?.length, 3)

  const posted = await bot.chat.postMessage({ channel: '#general', text: 'Good morning' })
  assert.equal(posted.message?.bot_id, 'B0ATOMBOT')
  const answer = await bot.chat.postMessage({
    channel: 'C0GENERAL',
    text: 'to you',
    thread_ts: posted.ts ?? '',
  })
  await bot.chat.update({ channel: 'C0GENERAL', ts: answer.ts ?? '', text: 'to all of you' })
  await failing(bot.chat.postMessage({ channel: 'C0RANDOM0', text: 'hello' }), 'not_in_channel')
  await failing(bot.conversations.history({ channel: 'C0RANDOM0' }), 'not_in_channel')
  await bot.conversations.join({ channel: 'C0RANDOM0' })
  await bot.chat.postMessage({ channel: 'C0RANDOM0', text: 'hello' })
  await failing(bot.chat.postMessage({ channel: 'G0FINANCE', text: 'hello' }), 'channel_not_found')
  const hello = await ada.chat.postMessage({ channel: 'G0FINANCE', text: 'Found the cent?' })
  assert.equal(hello.message?.user, 'U01ADALVL')
  await failing(bot.chat.delete({ channel: 'C0GENERAL', ts: thread.ts }), 'cant_delete_message')
  const link = await bot.chat.getPermalink({ channel: 'C0GENERAL', message_ts: posted.ts ?? '' })
  const page = await (await fetch(link.permalink ?? '')).text()
  assert.match(page, /Good morning/)
  assert.match(page, /to all of you/)
  await bot.chat.delete({ channel: 'C0GENERAL', ts: answer.ts ?? '' })
  assert.deepEqual(
    sandbox.control.effects({ provider: 'slack' }).map(({ kind, title }) => [kind, title]),
    [
      ['message.posted', 'Good morning'],
      ['message.posted', 'to you'],
      ['message.changed', 'to all of you'],
      ['channel.joined', 'random'],
      ['message.posted', 'hello'],
      ['message.posted', 'Found the cent?'],
      ['message.deleted', 'to all of you'],
    ],
  )
})

test('[SB45] Slack’s API refuses with ok false: no token, no token of its own, missing scope, unknown method; too many are 429', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { token } = await connectStandard(sandbox, 'slack', { scope: 'channels:read' })
  for (const [method, fields, given, error] of [
    ['auth.test', {}, undefined, 'not_authed'],
    ['auth.test', { token: 'nothing' }, undefined, 'invalid_auth'],
    ['constructor', {}, token, 'unknown_method'],
    ['users.list', {}, token, 'missing_scope'],
    ['conversations.list', { types: 'private_channel' }, token, 'missing_scope'],
    ['conversations.list', { cursor: 'bm9uc2Vuc2U=' }, token, 'invalid_cursor'],
    ['conversations.info', { channel: 'C0NOTHING' }, token, 'channel_not_found'],
  ] as const) {
    const { status, body } = await call(sandbox, method, fields, given)
    assert.deepEqual([status, body['ok'], body['error']], [200, false, error], method)
  }
  const lacking = await call(sandbox, 'users.list', { token })
  assert.deepEqual([lacking.body['needed'], lacking.body['provided']], ['users:read', 'channels:read'])
  assert.equal(lacking.headers.get('x-oauth-scopes'), 'channels:read')
  sandbox.control.rateLimit('slack', 1)
  assert.equal((await call(sandbox, 'auth.test', { token })).status, 200)
  const many = await call(sandbox, 'auth.test', { token })
  assert.deepEqual([many.status, many.body['error']], [429, 'ratelimited'])
  assert.match(many.headers.get('retry-after') ?? '', /^\d+$/)
  sandbox.control.fault({
    path: '/slack/api/chat.postMessage',
    outcome: 'rate_limited',
    retryAfterSeconds: 7,
  })
  const struck = await call(sandbox, 'chat.postMessage', { token })
  assert.deepEqual([struck.status, struck.headers.get('retry-after')], [429, '7'])
  sandbox.control.advance(60)
  assert.equal((await call(sandbox, 'auth.test', { token })).status, 200)
})
