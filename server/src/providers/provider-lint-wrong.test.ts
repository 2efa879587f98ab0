import assert from 'node:assert/strict'
import { test } from 'node:test'
import { github } from './catalog/github.ts'
import { google } from './catalog/google.ts'
import { hubspot } from './catalog/hubspot.ts'
import { microsoft } from './catalog/microsoft.ts'
import { openid } from './catalog/openid.ts'
import { salesforce } from './catalog/salesforce.ts'
import { slack } from './catalog/slack.ts'
import { lintProvider } from './provider-lint.ts'

const { api, endpoints, guide, scopes } = github
const said = (value: unknown) => lintProvider(value).map(({ at, problem }) => `${at} ${problem}`)
const [profile, ...otherScopes] = scopes.standard

/** A file that somebody got wrong, and the one line that they are told. */
const wrong: readonly (readonly [string, unknown, string])[] = [
  ['a text is missing', { ...github, name: undefined }, 'name is missing: a text'],
  ['a whole part is missing', { ...github, guide: undefined }, 'guide.steps is missing: a list'],
  ['a text is a number', { ...github, issuer: 7 }, 'issuer must be a text'],
  ['a list is a text', { ...github, api: { ...api, hosts: 'api.github.com' } }, 'api.hosts must be a list'],
  [
    'a regular expression is a text',
    { ...github, scopes: { ...scopes, answerSeparator: ',' } },
    'scopes.answerSeparator must be a regular expression',
  ],
  ['a hook is no function', { ...github, identify: {} }, 'identify must be a function'],
  [
    'a hook has another name',
    { ...github, indentify: github.identify },
    'indentify is nothing that Atom reads: did you mean identify?',
  ],
  [
    'a hook of somebody else’s',
    { ...github, beforeRequest: () => undefined },
    'beforeRequest is nothing that Atom reads: take it out',
  ],
  [
    'an endpoint has another name',
    { ...github, endpoints: { ...endpoints, revokation: 'https://github.com/revoke' } },
    'endpoints.revokation is nothing that Atom reads: did you mean revocation?',
  ],
  [
    'a category that is none',
    { ...github, guide: { ...guide, category: 'fun' } },
    'guide.category must be one of office, communication, development, projects, documents, customers, support, design, standard',
  ],
  [
    'client authentication that is none',
    { ...github, clientAuthentication: 'post' },
    'clientAuthentication must be one of client_secret_post, client_secret_basic, client_secret_jwt, private_key_jwt, tls_client_auth, self_signed_tls_client_auth, none',
  ],
  ['PKCE plain', { ...github, pkce: 'plain' }, 'pkce must be S256, or say why it is off'],
  [
    'an endpoint in the clear',
    { ...github, endpoints: { ...endpoints, token: 'http://github.com/login/oauth/access_token' } },
    'endpoints.token must be an https address',
  ],
  [
    'an endpoint at a number',
    { ...github, endpoints: { ...endpoints, token: 'https://140.82.112.3/token' } },
    'endpoints.token must be at a name, not at a number',
  ],
  [
    'a host at a number',
    { ...github, api: { ...api, hosts: [...api.hosts, '127.0.0.1'] } },
    'api.hosts[2] must be a name, not a number',
  ],
  [
    'any host',
    { ...github, api: { ...api, hosts: [...api.hosts, '*.github.com'] } },
    'api.hosts[2] must be one whole host in lower case; wildcards pin nothing',
  ],
  [
    'id_tokens of an issuer in the clear',
    { ...microsoft, idTokenIssuer: 'http://login.microsoftonline.com/{tid}/v2.0' },
    'idTokenIssuer must be an https address',
  ],
  [
    'a client secret',
    { ...google, authorizationExtras: { ...google.authorizationExtras, client_secret: 'x' } },
    'authorizationExtras.client_secret is set by Atom itself: take it out',
  ],
  [
    'a token, somewhere',
    {
      ...slack,
      afterRevocation: `Done: ${['xoxb', '1234567890', 'abcdefghij'].join('-')}, for whoever reads this.`,
    },
    'afterRevocation looks like a secret: take it out and make it invalid at the provider; an operator enters it in Atom',
  ],
  [
    'state that never changes',
    { ...github, authorizationExtras: { state: 'xyz' } },
    'authorizationExtras.state is set by Atom itself: take it out',
  ],
  [
    'a credential in the headers',
    { ...github, api: { ...api, headers: { Authorization: 'Basic x' } } },
    'api.headers.Authorization is set by Atom itself: take it out',
  ],
  [
    'a slip in a scope that is always asked for',
    { ...github, scopes: { ...scopes, always: ['reed:user'] } },
    'scopes.always reed:user is not among the standard scopes, so nobody explains it; did you mean read:user?',
  ],
  [
    'a slip in a scope that contains others',
    { ...github, scopes: { ...scopes, contains: { repos: ['public_repo'] } } },
    'scopes name repos, which is not asked for; did you mean repo?',
  ],
  [
    'two scopes in one',
    {
      ...github,
      scopes: {
        ...scopes,
        separator: ',',
        standard: [{ ...profile, scope: 'read:user user:email' }, ...otherScopes],
      },
    },
    'scopes.standard[0] “read:user user:email” is no scope that can be asked for',
  ],
  [
    'a verdict that is none',
    { ...github, errors: { bad_refresh_token: 'reconect' } },
    'errors.bad_refresh_token must be one of denied, operator, reconnect, reconsent, refresh, retry, refused',
  ],
  [
    'an outage that ends grants',
    { ...github, errors: { temporarily_unavailable: 'reconnect' } },
    'errors.temporarily_unavailable means reconnect, must be retry',
  ],
  [
    'an ending that nobody believes',
    { ...hubspot, revoked: undefined },
    'revocation and revoked belong together',
  ],
  [
    'a key that is attached nowhere',
    { ...hubspot, flows: { api_key: { ...hubspot.flows?.api_key, attach: { as: 'header', key: '{key}' } } } },
    'flows.api_key.attach.header is missing: an attachment as header needs it',
  ],
  [
    'an installation without its token',
    { ...github, flows: { app_installation: { ...github.flows?.app_installation, token: undefined } } },
    'flows.app_installation.token is missing: an installation by key needs it',
  ],
]

test('[CN253] whatever is wrong with a provider file, lint says where, and what to do instead', () => {
  for (const [what, file, line] of wrong)
    assert.ok(said(file).includes(line), `${what}: ${said(file).join('; ')}`)
})

test('[CN253] lint takes anything: no part of a file, whatever it is instead, ends it before it has said so', () => {
  const instead = [
    undefined,
    null,
    7,
    '',
    'x',
    true,
    [],
    [null],
    {},
    { a: null },
    () => undefined,
    /x/,
    Symbol('x'),
  ]
  let tried = 0
  for (const provider of [github, google, slack, salesforce, openid]) {
    for (const path of pathsOf(provider)) {
      for (const value of instead) {
        const findings = lintProvider(withPart(provider, path, value))
        assert.ok(Array.isArray(findings))
        tried += 1
      }
    }
  }
  assert.ok(tried > 5_000, `${tried} files`)
})

/** Every place of a value, from its own members down to the last text. */
function pathsOf(value: unknown, at: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null || value instanceof RegExp) return []
  return Object.entries(value).flatMap(([name, inner]) => [[...at, name], ...pathsOf(inner, [...at, name])])
}

function withPart(value: unknown, [name, ...rest]: readonly string[], part: unknown): unknown {
  if (name === undefined) return part
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value)
    ? [...value]
    : { ...(value as object) }
  Reflect.set(copy, name, withPart(Reflect.get(copy, name), rest, part))
  return copy
}
