import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import {
  type AuthorizationDialect,
  type AuthorizationServer,
  type Outcome,
  scopeList,
  type TokenAnswer,
} from '../authorization-server.ts'
import { consentPages } from '../consent-pages.ts'
import { html, sendPage } from '../page.ts'
import type { Person } from '../people.ts'
import { bearerOf, fieldsWithClientOf, paramOf, queryOf } from '../request-parts.ts'
import { asanaAnswer, asanaProblem } from './asana-answers.ts'
import { userGids } from './asana-seed.ts'

const site = 'https://app.asana.com'
const issuer = `${site}/api/1.0`

/** https://developers.asana.com/docs/oauth-scopes */
const meanings: Readonly<Record<string, string>> = {
  openid: 'Know that it is you',
  email: 'See your e-mail address',
  profile: 'See your name and picture',
  default: 'Access everything you can, and change it as you could',
  'users:read': 'See the people you work with',
  'workspaces:read': 'See your workspaces',
  'projects:read': 'See projects',
  'tasks:read': 'See tasks',
  'tasks:write': 'Create and change tasks',
  'tasks:delete': 'Delete tasks',
  'stories:read': 'See what was said about a task',
  'stories:write': 'Comment on tasks',
}

const paths = {
  authorize: '/asana/-/oauth_authorize',
  consent: '/asana/-/oauth_sandbox',
  token: '/asana/-/oauth_token',
  jwks: '/asana/api/1.0/openid_connect/jwks',
  cookies: '/asana/-',
} as const

export const asanaDialect = (url: () => string): AuthorizationDialect => ({
  provider: 'asana',
  issuer,
  paths,
  scopes: Object.keys(meanings),
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'picture'] },
  subjectOf: gidOf,
  claimsOf: (person) => ({
    email: person.email,
    email_verified: true,
    name: person.name,
    picture: `${url()}/avatars/${person.key}.png`,
  }),
  accessTokenSeconds: 3600,
  refreshTokens: true,
  mint: (kind) =>
    `${kind === 'access' ? '1' : '2'}/${numberish()}/${numberish()}:${randomBytes(16).toString('hex')}`,
  widen: (requested) => requested,
  extraParameters: [],
  offline: () => true,
})

export function gidOf(person: Person): string {
  const gid = userGids[person.key]
  if (gid === undefined) throw new Error(`${person.key} has no account at Asana.`)
  return gid
}

/** Sixteen digits, as Asana's numbers have. */
function numberish(): string {
  return String(1_204_000_000_000_000n + BigInt(randomBytes(5).readUIntBE(0, 5)))
}

/** https://developers.asana.com/docs/oauth and …/openid-connect */
export function asanaOauth(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; apps: AppRegistry; url: () => string },
): void {
  const { server, apps, url } = dependencies

  consentPages(app, {
    server,
    name: 'Asana',
    agree: 'Allow',
    words: (scope) => ({
      scope,
      shown: scope,
      meaning: meanings[scope] ?? scope,
      optional: false,
      implied: scope === 'openid',
    }),
    handle: (person) => person.email,
    hint: 'login_hint',
  })

  app.get(paths.authorize, async (request, reply) => {
    const asked = queryOf(request)
    if (!apps.knows('asana', asked['client_id'] ?? '')) {
      return refuse(reply, 'invalid_client', 'The client_id does not belong to any app.')
    }
    const redirectUri = asked['redirect_uri'] ?? ''
    if (!apps.redirectUris.includes(redirectUri)) {
      return refuse(
        reply,
        'invalid_request',
        'The `redirect_uri` parameter does not match a valid url for the application.',
      )
    }
    // Without a word about scopes it is the whole account, as it was before there were scopes.
    const scopes = scopeList(asked['scope'] ?? 'default')
    const unknown = scopes.filter((scope) => !(scope in meanings))
    if (unknown.length > 0) {
      const back = new URL(redirectUri)
      back.searchParams.set('error', 'forbidden_scopes')
      back.searchParams.set(
        'error_description',
        `Your app is not allowed to request user authorization for ${unknown.join(', ')} scopes.`,
      )
      if (asked['state'] !== undefined) back.searchParams.set('state', asked['state'])
      return reply.redirect(back.href, 302)
    }
    const outcome = await server.begin(
      {
        ...asked,
        scope: scopes.join(' '),
        nonce: scopes.includes('openid') ? asked['nonce'] : undefined,
        prompt: asked['prompt'] === 'consent' ? 'consent' : undefined,
      },
      request.headers.cookie,
      { forgetPerson: true },
    )
    return goOn(reply, outcome)
  })

  app.get(`${paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie)),
  )

  app.post(paths.token, async (request, reply) => {
    const sent = fieldsWithClientOf(request)
    if (!apps.authenticates('asana', sent['client_id'] ?? '', sent['client_secret'] ?? '')) {
      return asanaAnswer(
        reply,
        { error: 'invalid_client', error_description: 'The client_id or client_secret is incorrect.' },
        401,
      )
    }
    const refreshing = sent['grant_type'] === 'refresh_token'
    const answer = await server.token({ ...sent, scope: undefined }, undefined)
    if (answer.status !== 200) return tokenRefusal(reply, answer, refreshing)
    const owner = await server.owner(String(answer.body['access_token']))
    if (owner === undefined) throw new Error('A token that was just issued is not known.')
    const gid = gidOf(owner.person)
    const {
      access_token: accessToken,
      expires_in: expiresIn,
      refresh_token: refreshToken,
      id_token: idToken,
    } = answer.body
    return asanaAnswer(reply, {
      access_token: accessToken,
      token_type: 'bearer',
      expires_in: expiresIn,
      data: { id: gid, gid, name: owner.person.name, email: owner.person.email },
      // With a code only: who refreshes keeps the one they have.
      ...(refreshing ? undefined : { refresh_token: refreshToken }),
      ...(idToken === undefined ? undefined : { id_token: idToken }),
    })
  })

  // Refresh tokens only: a bearer token is refused. What is not known counts as revoked (RFC 7009).
  app.post('/asana/-/oauth_revoke', async (request, reply) => {
    const sent = fieldsWithClientOf(request)
    if (!apps.authenticates('asana', sent['client_id'] ?? '', sent['client_secret'] ?? '')) {
      return asanaAnswer(reply, { error: 'invalid_client' }, 401)
    }
    const token = sent['token'] ?? ''
    const state = server.stateOf(token)
    if (token === '' || state?.kind === 'access') {
      return asanaAnswer(
        reply,
        { error: 'invalid_request', error_description: 'The token must be a refresh token.' },
        400,
      )
    }
    if (state?.grantId !== undefined) server.revokeGrant(state.grantId)
    return asanaAnswer(reply, {})
  })

  app.get(paths.jwks, async (_request, reply) => asanaAnswer(reply, await server.jwks()))

  app.get('/asana/api/1.0/.well-known/openid-configuration', async (_request, reply) =>
    asanaAnswer(reply, discovery),
  )

  app.get('/asana/api/1.0/openid_connect/userinfo', async (request, reply) => {
    const owner = await server.owner(bearerOf(request) ?? '')
    if (owner === undefined) return asanaProblem(reply, 401, 'Not Authorized')
    if (!owner.scopes.includes('openid')) return asanaProblem(reply, 403, 'The openid scope is missing.')
    const { person, scopes } = owner
    return asanaAnswer(reply, {
      sub: gidOf(person),
      ...(scopes.includes('profile')
        ? { name: person.name, picture: `${url()}/avatars/${person.key}.png` }
        : undefined),
      ...(scopes.includes('email') ? { email: person.email, email_verified: true } : undefined),
    })
  })
}

function goOn(reply: FastifyReply, outcome: Outcome) {
  if (outcome.kind === 'refused') return refuse(reply, outcome.error, outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  const { searchParams } = outcome.url
  searchParams.delete('iss')
  if (searchParams.has('error')) searchParams.set('error_description', 'The user denied the request.')
  return reply.redirect(outcome.url.href, 302)
}

function refuse(reply: FastifyReply, error: string, description: string) {
  return sendPage(reply, {
    title: 'This request is invalid · Asana sandbox',
    note: 'Sandbox: a stand-in for Asana on this machine',
    status: 400,
    body: html`<h1>Something is wrong with this request</h1><p>${description}</p><p><code>${error}</code></p>
<p>Go back to the app and connect again.</p>`,
  })
}

function tokenRefusal(reply: FastifyReply, answer: TokenAnswer, refreshing: boolean) {
  const error = String(answer.body['error'])
  const { detail } = answer
  const description =
    error !== 'invalid_grant'
      ? String(answer.body['error_description'] ?? 'Bad Request')
      : refreshing
        ? 'The refresh token provided was invalid.'
        : detail.includes('code_verifier') || detail.includes('code_challenge')
          ? 'The code_verifier does not match the code_challenge.'
          : detail.includes('redirect_uri')
            ? 'The redirect_uri does not match the one the code was asked for with.'
            : 'The code provided was invalid.'
  return asanaAnswer(reply, { error, error_description: description }, 400)
}

const discovery = {
  issuer,
  authorization_endpoint: `${site}/-/oauth_authorize`,
  token_endpoint: `${site}/-/oauth_token`,
  revocation_endpoint: `${site}/-/oauth_revoke`,
  userinfo_endpoint: `${issuer}/openid_connect/userinfo`,
  jwks_uri: `${issuer}/openid_connect/jwks`,
  response_types_supported: ['code'],
  subject_types_supported: ['public'],
  id_token_signing_alg_values_supported: ['RS256'],
  scopes_supported: Object.keys(meanings),
  token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
  claims_supported: ['iss', 'sub', 'aud', 'exp', 'iat', 'name', 'email', 'email_verified', 'picture'],
  code_challenge_methods_supported: ['S256'],
  grant_types_supported: ['authorization_code', 'refresh_token'],
}
