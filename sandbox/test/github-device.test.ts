import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Sandbox, startSandbox } from '../src/sandbox.ts'
import { dial, githubApi, redirectUris } from './support/clients.ts'

const grantType = 'urn:ietf:params:oauth:grant-type:device_code'

async function post(sandbox: Sandbox, address: string, form: Record<string, string>) {
  const response = await fetch(dial(sandbox, address), {
    method: 'POST',
    headers: { accept: 'application/json' },
    body: new URLSearchParams({ client_id: sandbox.apps.github.clientId, ...form }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function begin(sandbox: Sandbox) {
  const { body } = await post(sandbox, 'https://github.com/login/device/code', { scope: 'repo read:user' })
  const poll = async (more = {}) =>
    (
      await post(sandbox, 'https://github.com/login/oauth/access_token', {
        grant_type: grantType,
        device_code: String(body['device_code']),
        ...more,
      })
    ).body
  const page = async (form: Record<string, string>) => {
    const answer = await fetch(String(body['verification_uri']), {
      method: 'POST',
      body: new URLSearchParams({ user_code: String(body['user_code']), ...form }),
    })
    return { status: answer.status, text: await answer.text() }
  }
  return { body, poll, page }
}

test('[SB70] GitHub gives a device code, and a token once the person has entered it on GitHub’s page', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const { body, poll, page } = await begin(sandbox)
  assert.match(String(body['device_code']), /^[0-9a-f]{40}$/)
  assert.match(String(body['user_code']), /^[B-Z]{4}-[B-Z]{4}$/)
  assert.deepEqual([body['expires_in'], body['interval']], [900, 5])
  assert.equal(body['verification_uri'], `${sandbox.url}/github/login/device`)
  assert.equal((await poll())['error'], 'authorization_pending')
  const asked = await page({ user_code: ` ${String(body['user_code']).toLowerCase()} ` })
  assert.match(asked.text, /Authorize/)
  await page({ person: 'grace', decision: 'agree' })
  const answer = await poll()
  assert.equal(answer['scope'], 'repo,read:user')
  const me = await githubApi(sandbox, String(answer['access_token']), '/user')
  assert.equal(((await me.json()) as { login: string }).login, 'grace')
  assert.equal((await poll())['error'], 'incorrect_device_code', 'a device code gives one token')
  assert.equal(sandbox.control.revoke('github', 'grace'), 1)
})

test('[SB71] GitHub refuses device codes with HTTP 200: too often, denied, expired, unknown', async () => {
  await using sandbox = await startSandbox({ redirectUris })
  const hurried = await begin(sandbox)
  assert.equal((await hurried.poll())['error'], 'authorization_pending')
  const slower = await hurried.poll()
  assert.deepEqual([slower['error'], slower['interval']], ['slow_down', 10])
  sandbox.control.advance(11)
  assert.equal((await hurried.poll())['error'], 'authorization_pending')
  await hurried.page({ decision: 'cancel' })
  assert.equal((await hurried.poll())['error'], 'access_denied')
  assert.equal((await hurried.page({})).status, 400, 'what was answered cannot be entered again')

  const slow = await begin(sandbox)
  sandbox.control.advance(901)
  assert.equal((await slow.poll())['error'], 'expired_token')
  assert.equal((await slow.page({})).status, 400)
  assert.equal((await slow.poll({ device_code: 'x' }))['error'], 'incorrect_device_code')
  const stranger = await post(sandbox, 'https://github.com/login/device/code', { client_id: 'nobody' })
  assert.equal(stranger.status, 404)
})
