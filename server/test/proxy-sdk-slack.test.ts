import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ConversationsListResponse, ErrorCode, LogLevel, WebClient } from '@slack/web-api'
import { sdkScene } from './support/sdk-scene.ts'

test('[CN210] @slack/web-api runs through the proxy by its base address: reads, pages, a write, a token that ended, a limit, an error', async () => {
  await using it = await sdkScene('slack', {
    before: (sandbox) => sandbox.control.turnOnSlackTokenRotation(),
  })
  const slack = new WebClient(it.token, {
    slackApiUrl: `${it.base}/`,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    logLevel: LogLevel.ERROR,
  })
  assert.equal((await slack.auth.test()).ok, true)

  const names: (string | undefined)[] = []
  let pages = 0
  for await (const page of slack.paginate('conversations.list', { limit: 2 })) {
    pages++
    for (const { name } of (page as ConversationsListResponse).channels ?? []) names.push(name)
  }
  assert.ok(pages > 1)
  assert.ok(names.includes('general') && names.includes('engineering'))

  const said = await slack.chat.postMessage({ channel: 'C0GENERAL', text: 'Through the proxy' })
  assert.equal(said.message?.text, 'Through the proxy')
  assert.equal(it.sandbox.control.effects({ provider: 'slack' }).length, 1)

  const before = it.tokenRequests()
  it.sandbox.control.expireTokens('slack')
  assert.equal((await slack.chat.postMessage({ channel: 'C0GENERAL', text: 'Still here' })).ok, true)
  assert.equal(it.tokenRequests(), before + 1)
  assert.equal(it.sandbox.control.effects({ provider: 'slack' }).length, 2)

  using _limit = it.sandbox.control.fault({
    path: '/slack/api/users.list',
    outcome: 'rate_limited',
    retryAfterSeconds: 7,
  })
  await assert.rejects(slack.users.list({}), { code: ErrorCode.RateLimitedError, retryAfter: 7 })
  await assert.rejects(slack.chat.postMessage({ channel: 'C0NOWHERE', text: 'x' }), {
    code: ErrorCode.PlatformError,
    message: /channel_not_found/,
  })
})
