import assert from 'node:assert/strict'
import { test } from 'node:test'
import { github } from './catalog/github.ts'
import { google } from './catalog/google.ts'
import { catalog } from './catalog.ts'
import { missingScopes, verdictOf } from './provider.ts'
import { placed, unplaced } from './stand-in.ts'

test('[CN50] every provider names real https addresses, and its API lies on its own list of hosts', () => {
  for (const [id, provider] of catalog) {
    assert.equal(provider.id, id)
    const { authorization, token, jwks } = provider.endpoints
    for (const address of [
      provider.issuer,
      authorization,
      token,
      provider.api.base,
      provider.appConsoleUrl,
      jwks ?? token,
    ]) {
      assert.equal(new URL(address).protocol, 'https:', address)
    }
    assert.ok(provider.api.hosts.includes(new URL(provider.api.base).host))
    assert.ok(provider.scopes.standard.every(({ meaning }) => meaning.length > 5))
  }
})

test('[CN7] a scope that another one contains is not missing', () => {
  assert.deepEqual(missingScopes(github, ['read:user', 'user:email', 'public_repo'], ['user', 'repo']), [])
  assert.deepEqual(missingScopes(github, ['repo'], ['public_repo']), ['repo'])
  assert.deepEqual(missingScopes(github, ['read:org'], ['admin:org']), [])
  assert.deepEqual(missingScopes(github, ['repo'], ['constructor', '__proto__']), ['repo'])
  const userinfo = 'https://www.googleapis.com/auth/userinfo'
  assert.deepEqual(
    missingScopes(
      google,
      ['openid', 'email', 'profile'],
      ['openid', `${userinfo}.email`, `${userinfo}.profile`],
    ),
    [],
  )
  const calendar = 'https://www.googleapis.com/auth/calendar'
  assert.deepEqual(missingScopes(google, [`${calendar}.events.readonly`], [calendar]), [])
  assert.deepEqual(missingScopes(google, [calendar], [`${calendar}.events`]), [calendar])
})

test('[CN3] an error code means what the provider means by it, and what nobody knows is a refusal', () => {
  assert.equal(verdictOf(github, 'bad_refresh_token'), 'reconnect')
  assert.equal(verdictOf(github, 'incorrect_client_credentials'), 'operator')
  assert.equal(verdictOf(google, 'invalid_grant'), 'reconnect')
  assert.equal(verdictOf(google, 'temporarily_unavailable'), 'retry')
  for (const unknown of ['something_new', 'constructor', '__proto__', '']) {
    assert.equal(verdictOf(google, unknown), 'refused')
  }
})

test('[CN51] a stand-in takes the place of an origin, path and query kept, and is found back from its address', () => {
  const standIns = {
    'https://github.com': 'http://127.0.0.1:1/github',
    'https://api.github.com': 'http://127.0.0.1:1/github/api/',
  }
  assert.equal(
    placed('https://api.github.com/user?x=1', standIns).href,
    'http://127.0.0.1:1/github/api/user?x=1',
  )
  assert.equal(placed('https://github.com/a', standIns).href, 'http://127.0.0.1:1/github/a')
  assert.equal(placed('https://other.example/a', standIns).href, 'https://other.example/a')
  assert.equal(placed('https://github.com:8443/a', standIns).href, 'https://github.com:8443/a')
  assert.equal(
    unplaced(new URL('http://127.0.0.1:1/github/api/user?x=1'), standIns)?.href,
    'https://api.github.com/user?x=1',
  )
  assert.equal(unplaced(new URL('http://127.0.0.1:1/github/a'), standIns)?.href, 'https://github.com/a')
  assert.equal(unplaced(new URL('http://127.0.0.1:1/githubx'), standIns), undefined)
  assert.equal(unplaced(new URL('http://127.0.0.1:2/github/a'), standIns), undefined)
})
