import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Static, TSchema } from 'typebox'
import { github } from './catalog/github.ts'
import { google } from './catalog/google.ts'
import { microsoft } from './catalog/microsoft.ts'
import { openid } from './catalog/openid.ts'
import { salesforce } from './catalog/salesforce.ts'
import { catalog } from './catalog.ts'
import { filled, missingScopes, scopesIn, settled, unfitParticulars, verdictOf } from './provider.ts'
import { placed, unplaced } from './stand-in.ts'

test('[CN50] every provider names real https addresses or leaves them to the operator, and its API lies on its own list of hosts', () => {
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
      // Read from the server, or said by the operator as a whole address.
      if (address === '' || /^\{\w+\}$/.test(address)) continue
      assert.equal(new URL(address).protocol, 'https:', address)
    }
    assert.ok(provider.api.hosts.includes(new URL(provider.api.base).host))
    assert.ok(provider.scopes.standard.every(({ meaning }) => meaning.length > 5))
  }
})

test('[CN163] a person of an OpenID Connect server is the same one with and without an id_token', async () => {
  const nothing = () => Promise.reject(new Error('is not asked'))
  const recognised = async (subject: string | undefined) =>
    await openid.identify({
      subject,
      granted: [],
      clientId: 'atom',
      particulars: { issuer: 'https://id.example.org/one', userinfo: 'https://id.example.org/one/me' },
      get: async <T extends TSchema>(_url: string, _shape: T) => ({ sub: '7', name: 'Ada' }) as Static<T>,
      post: nothing,
      introspect: nothing,
      getAsApp: nothing,
    })
  const claimed = (openid.subjectClaims ?? []).map(
    (name) => ({ iss: 'https://id.example.org/one', sub: '7' })[name],
  )
  const { id } = await recognised(undefined)
  assert.equal(id, 'https://id.example.org/one.7')
  assert.equal((await recognised(claimed.join('.'))).id, id)
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

test('[CN58] a particular fills the addresses of its provider, and only with a value of the form that was declared', () => {
  const { api, endpoints, issuer } = settled(salesforce, { instance: 'acme.my.salesforce.com' })
  assert.deepEqual(
    [api.base, api.hosts, endpoints.token, issuer],
    [
      'https://acme.my.salesforce.com',
      ['acme.my.salesforce.com'],
      'https://login.salesforce.com/services/oauth2/token',
      'https://login.salesforce.com',
    ],
  )
  assert.deepEqual(settled(google, {}), google)
  assert.deepEqual(unfitParticulars(salesforce, { instance: 'acme--dev.sandbox.my.salesforce.com' }), [])
  for (const instance of [
    'evil.example',
    'salesforce.com',
    'a.salesforce.com/x',
    'a.salesforce.com\n',
    '-.salesforce.com',
  ])
    assert.deepEqual(unfitParticulars(salesforce, { instance }), ['instance'], instance)
  assert.deepEqual(unfitParticulars(salesforce, { constructor: 'x' }), ['constructor'])
  assert.equal(filled('{a}{b}{constructor}', { a: '{b}', b: '1' }), '{b}1{constructor}')
})

test('[CN52] scopes are compared as they are asked for, whatever an answer puts before them or leaves unsaid', () => {
  const granted = scopesIn(microsoft, 'https://graph.microsoft.com/User.Read  Mail.ReadWrite')
  assert.deepEqual(granted, ['User.Read', 'Mail.ReadWrite'])
  assert.deepEqual(missingScopes(microsoft, ['offline_access', 'Mail.Read', 'Files.Read'], granted), [
    'Files.Read',
  ])
})
