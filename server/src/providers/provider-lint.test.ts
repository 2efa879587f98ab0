import assert from 'node:assert/strict'
import { test } from 'node:test'
import { github } from './catalog/github.ts'
import { microsoft } from './catalog/microsoft.ts'
import { openid } from './catalog/openid.ts'
import { salesforce } from './catalog/salesforce.ts'
import { slack } from './catalog/slack.ts'
import { zendesk } from './catalog/zendesk.ts'
import { catalog } from './catalog.ts'
import { lintProvider } from './provider-lint.ts'

const trouble = (action: string, reason = 'The access is over, as everything once is.') => ({
  whose: 'person',
  action,
  reason,
})
const slotsOf = (user: object) => ({ ...slack.slots, others: { user: { own: true, ...user } } })
const places = (value: unknown) => lintProvider(value).map(({ at }) => at)

test('[CN60] every provider that Atom ships passes lint', () => {
  for (const [id, provider] of catalog) assert.deepEqual(lintProvider(provider), [], id)
})

test('[CN60] lint finds what would be unsafe, unexplained or left out', () => {
  const { revoked: _revoked, ...halfEnding } = github
  const { revocation: _revocation, ...noEnding } = halfEnding
  const cases: readonly [unknown, string][] = [
    [{ ...github, id: 'GitHub' }, 'id'],
    [{ ...github, issuer: 'http://github.com' }, 'issuer'],
    [{ ...github, endpoints: { ...github.endpoints, token: 'http://github.com/token' } }, 'endpoints.token'],
    [{ ...github, endpoints: { ...github.endpoints, token: 'https://{host}/token' } }, 'endpoints.token'],
    [{ ...github, endpoints: { ...github.endpoints, token: 'https://a@github.com/t' } }, 'endpoints.token'],
    [{ ...github, api: { ...github.api, hosts: ['uploads.github.com'] } }, 'api.hosts'],
    [{ ...github, api: { ...github.api, hosts: ['api.github.com', '*.github.com'] } }, 'api.hosts[1]'],
    [{ ...github, api: { ...github.api, rateLimit: { retryAfter: 'Retry-After' } } }, 'api.rateLimit'],
    [{ ...github, pkce: 'off' }, 'pkce'],
    [{ ...github, pkce: { off: '' } }, 'pkce'],
    [
      { ...github, scopes: { ...github.scopes, standard: [{ scope: 'repo', meaning: '' }] } },
      'scopes.standard[0]',
    ],
    [{ ...github, scopes: { ...github.scopes, always: ['gist'] } }, 'scopes.always'],
    [{ ...github, errors: { bad: 'maybe' } }, 'errors.bad'],
    [{ ...github, errors: { invalid_grant: 'retry' } }, 'errors.invalid_grant'],
    [{ ...github, sharedGrant: 'team' }, 'sharedGrant'],
    [{ ...github, idleLimitDays: 0.5 }, 'idleLimitDays'],
    [{ ...github, slots: slotsOf({ prefix: '', parameter: 'user_scope' }) }, 'slots.others.user'],
    [{ ...github, slots: slotsOf({ prefix: 'u/', parameter: 'scope' }) }, 'slots.others.user'],
    [{ ...github, troubles: { invalid_grant: trouble('ask_admin') } }, 'troubles.invalid_grant'],
    [{ ...github, troubles: { invalid_grant: trouble('reconnect', 'gone') } }, 'troubles.invalid_grant'],
    [{ ...github, troubles: { server_error: trouble('reconnect') } }, 'troubles.server_error'],
    [{ ...github, subjectClaims: ['oid'] }, 'endpoints.jwks'],
    [halfEnding, 'revocation'],
    [noEnding, 'afterRevocation'],
    [{ ...microsoft, afterRevocation: 'It cannot be ended from here.' }, 'afterRevocation'],
    [
      {
        ...salesforce,
        particulars: { ...salesforce.particulars, login: { meaning: 'The host.', pattern: /^.*$/ } },
      },
      'particulars.login',
    ],
    [
      {
        ...salesforce,
        particulars: { ...salesforce.particulars, login: { meaning: 'The host.', pattern: /force/ } },
      },
      'particulars.login',
    ],
    [{ ...github, clientAuthentication: 'trust' }, 'clientAuthentication'],
    [{ ...github, clientAuthentication: 'private_key_jwt' }, 'keyAssertion'],
    [{ ...github, appKey: undefined, keyAssertion: { audience: 'issuer' } }, 'appKey'],
    [{ ...github, clientAuthentication: 'none', pkce: { off: 'it breaks by PKCE, so they say' } }, 'pkce'],
    [{ ...github, endpoints: { ...github.endpoints, refresh: 'http://github.com/r' } }, 'endpoints.refresh'],
    [{ ...github, endpoints: { ...github.endpoints, pushed: 'https://{x}/p' } }, 'endpoints.pushed'],
    [{ ...github, discovery: 'openid' }, 'endpoints'],
    [{ ...openid, discovery: 'guess' }, 'discovery'],
    [{ ...openid, issuer: '{userinfo}', particulars: openid.particulars?.['none'] }, 'issuer'],
    [{ ...openid, revoked: undefined }, 'revocation'],
    [
      {
        ...openid,
        particulars: { ...openid.particulars, api: { ...openid.particulars?.['api'], label: '' } },
      },
      'particulars.api',
    ],
    [
      {
        ...openid,
        particulars: { ...openid.particulars, api: { ...openid.particulars?.['api'], askable: true } },
      },
      'particulars.api',
    ],
    [
      { ...zendesk, api: { ...zendesk.api, hosts: ['{subdomain}.zendesk.com', '*.zendesk.com'] } },
      'api.hosts[1]',
    ],
  ]
  for (const [value, at] of cases) assert.ok(places(value).includes(at), `${at}: ${places(value)}`)
})

test('[CN60] lint names every part that a file lacks, and takes anything', () => {
  const { identify: _identify, ...mute } = github
  assert.deepEqual(places(mute), ['identify'])
  assert.ok(places({}).length > 15)
  assert.ok(places(null).includes('endpoints.token'))
})
