import { createHmac, randomBytes } from 'node:crypto'
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
import { type Person, people } from '../people.ts'
import { bearerOf, fieldsOf, fieldsWithClientOf, paramOf, queryOf } from '../request-parts.ts'
import type { SandboxClock } from '../sandbox-clock.ts'
import type { ServiceKeys } from '../service-keys.ts'
import { salesforceAnswer } from './salesforce-answers.ts'
import { identityOf, type SalesforceOrg, userIdOf } from './salesforce-org.ts'

// The library lets `offline_access` through on conditions of its own. Salesforce has two names for it; neither is this.
const keepAccess = 'keep_access'

/** https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_tokens_scopes.htm */
const meanings: Readonly<Record<string, string>> = {
  id: 'Access the identity URL service',
  openid: 'Access unique user identifiers',
  profile: 'Access your basic information',
  email: 'Access your e-mail address',
  api: 'Manage user data via APIs',
  web: 'Manage user data via Web browsers',
  full: 'Full access',
  [keepAccess]: 'Perform requests at any time',
  chatter_api: 'Access Connect REST API resources',
  custom_permissions: 'Access custom permissions',
}

const pathsOf = (org: SalesforceOrg) => ({
  authorize: `${org.paths.login}/services/oauth2/authorize`,
  consent: `${org.paths.login}/services/oauth2/sandbox`,
  token: `${org.paths.login}/services/oauth2/token`,
  jwks: `${org.paths.login}/id/keys`,
  cookies: `/${org.key}`,
})

export const salesforceDialect = (org: SalesforceOrg, url: () => string): AuthorizationDialect => ({
  provider: 'salesforce',
  issuer: org.login,
  paths: pathsOf(org),
  scopes: Object.keys(meanings),
  claims: {
    openid: ['sub', 'organization_id', 'user_id'],
    profile: ['name', 'given_name', 'family_name', 'preferred_username', 'picture'],
    email: ['email', 'email_verified'],
  },
  subjectOf: (person) => identityOf(org, person),
  claimsOf: (person) => ({
    organization_id: org.id,
    user_id: userIdOf(person),
    name: person.name,
    given_name: person.givenName,
    family_name: person.familyName,
    preferred_username: person.email,
    picture: `${url()}/avatars/${person.key}.png`,
    email: person.email,
    email_verified: true,
  }),
  // The session timeout of the org. No answer says it; introspection does.
  accessTokenSeconds: 7200,
  refreshTokens: true,
  // Refresh Token Rotation is on, as it is for apps of this year.
  rotation: 'family',
  mint: (kind) =>
    kind === 'access'
      ? `${org.id.slice(0, 15)}!AQ${randomBytes(70).toString('base64url').replaceAll('-', '.')}`
      : kind === 'refresh'
        ? `5Aep861${randomBytes(58).toString('base64url').replaceAll('-', '.')}`
        : `aPrx${randomBytes(44).toString('base64url')}==`,
  widen: (requested) => requested,
  extraParameters: ['display', 'immediate'],
  offline: (parameters) => scopeList(parameters['scope']).includes(keepAccess),
})

/**
 * https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_endpoints.htm, at the shared sign-in and at the org's own
 * host alike. The id_token is always issued by the shared sign-in.
 */
export function salesforceOauth(
  app: FastifyInstance,
  dependencies: {
    org: SalesforceOrg
    server: AuthorizationServer
    apps: AppRegistry
    keys: ServiceKeys
    clock: SandboxClock
    url: () => string
  },
): void {
  const { org, server, apps, keys, clock, url } = dependencies
  const paths = pathsOf(org)

  consentPages(app, {
    server,
    name: 'Salesforce',
    agree: 'Allow',
    words: (scope) => ({
      scope,
      shown: scope === keepAccess ? 'refresh_token, offline_access' : scope,
      meaning: meanings[scope] ?? scope,
      optional: false,
      implied: scope === 'openid',
    }),
    handle: (person) => person.email,
    hint: 'login_hint',
  })

  app.get(`${paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie)),
  )

  for (const host of [org.paths.login, org.paths.instance]) {
    const oauth = `${host}/services/oauth2`

    app.get(`${oauth}/authorize`, async (request, reply) => {
      const asked = queryOf(request)
      if (!apps.knows('salesforce', asked['client_id'] ?? '')) {
        return refuse(reply, 'invalid_client_id', 'client identifier invalid')
      }
      if (!apps.redirectUris.includes(asked['redirect_uri'] ?? '')) {
        return refuse(reply, 'redirect_uri_mismatch', 'redirect_uri must match configuration')
      }
      const scopes = salesforceScopes(asked['scope'] ?? 'id api web refresh_token')
      const unknown = scopes.find((scope) => !(scope in meanings))
      if (unknown !== undefined) {
        const back = new URL(asked['redirect_uri'] ?? '')
        back.searchParams.set('error', 'invalid_scope')
        back.searchParams.set('error_description', 'the requested scope is not allowed')
        if (asked['state'] !== undefined) back.searchParams.set('state', asked['state'])
        return reply.redirect(back.href, 302)
      }
      const prompt = scopeList(asked['prompt'])
      const outcome = await server.begin(
        {
          ...asked,
          scope: scopes.join(' '),
          nonce: scopes.includes('openid') ? asked['nonce'] : undefined,
          prompt: prompt.filter((each) => each === 'consent' || each === 'login').join(' ') || undefined,
        },
        request.headers.cookie,
        { forgetPerson: true },
      )
      return goOn(reply, outcome)
    })

    app.post(`${oauth}/token`, async (request, reply) => {
      const sent = fieldsWithClientOf(request)
      reply.headers({ 'cache-control': 'no-cache, no-store', pragma: 'no-cache' })
      if (sent['grant_type'] === 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
        const { status, body } = await assertedToken(org, server, apps, keys, sent['assertion'] ?? '')
        return salesforceAnswer(reply, body, status)
      }
      if (!apps.knows('salesforce', sent['client_id'] ?? '')) {
        return salesforceAnswer(
          reply,
          { error: 'invalid_client_id', error_description: 'client identifier invalid' },
          400,
        )
      }
      const refreshing = sent['grant_type'] === 'refresh_token'
      const answer = await server.token({ ...sent, scope: undefined }, undefined)
      if (answer.status !== 200) return tokenRefusal(reply, answer, refreshing)
      const accessToken = String(answer.body['access_token'])
      const owner = await server.owner(accessToken)
      if (owner === undefined) throw new Error('A token that was just issued is not known.')
      const id = identityOf(org, owner.person)
      const issuedAt = String(clock.now().getTime())
      const { refresh_token: refreshToken, id_token: idToken } = answer.body
      // No expires_in: how long it lives is the org's session policy.
      return salesforceAnswer(reply, {
        access_token: accessToken,
        ...(refreshToken === undefined ? undefined : { refresh_token: refreshToken }),
        signature: createHmac('sha256', sent['client_secret'] ?? '')
          .update(`${id}${issuedAt}`)
          .digest('base64'),
        scope: shownScopes(owner.scopes).join(' '),
        ...(idToken === undefined ? undefined : { id_token: idToken }),
        instance_url: org.instance,
        id,
        token_type: 'Bearer',
        issued_at: issuedAt,
      })
    })

    app.post(`${oauth}/introspect`, async (request, reply) => {
      const sent = fieldsWithClientOf(request)
      const clientId = sent['client_id'] ?? ''
      if (!apps.authenticates('salesforce', clientId, sent['client_secret'] ?? '')) {
        return salesforceAnswer(
          reply,
          { error: 'invalid_client', error_description: 'invalid client credentials' },
          401,
        )
      }
      const state = server.stateOf(sent['token'] ?? '')
      if (state === undefined) return salesforceAnswer(reply, { active: false })
      return salesforceAnswer(reply, {
        active: true,
        scope: shownScopes(state.scopes).join(' '),
        client_id: clientId,
        username: state.person.email,
        sub: identityOf(org, state.person),
        token_type: state.kind === 'access' ? 'access_token' : 'refresh_token',
        exp: state.expiresAt,
        iat: state.issuedAt,
        nbf: state.issuedAt,
      })
    })

    const revoke = (token: string, reply: FastifyReply) => {
      const state = server.stateOf(token)
      if (state === undefined) {
        return salesforceAnswer(reply, { error: 'invalid_token', error_description: 'invalid token' }, 400)
      }
      // An access token goes alone; a refresh token takes with it what was made of it.
      if (state.kind === 'access') server.revokeAccessToken(token)
      else if (state.grantId !== undefined) server.revokeGrant(state.grantId)
      return reply.status(200).send()
    }
    app.post(`${oauth}/revoke`, async (request, reply) => revoke(fieldsOf(request)['token'] ?? '', reply))
    app.get(`${oauth}/revoke`, async (request, reply) => revoke(queryOf(request)['token'] ?? '', reply))

    for (const method of ['GET', 'POST'] as const) {
      app.route({
        method,
        url: `${oauth}/userinfo`,
        handler: async (request, reply) => {
          const owner = await server.owner(bearerOf(request) ?? '')
          if (owner === undefined) return reply.status(403).type('text/html').send('Bad_OAuth_Token')
          return salesforceAnswer(reply, userinfo(org, owner.person, owner.scopes, url()))
        },
      })
    }

    // The identity URL of the token answer.
    app.get(`${host}/id/:org/:user`, async (request, reply) => {
      const owner = await server.owner(bearerOf(request) ?? '')
      if (owner === undefined) return reply.status(403).type('text/html').send('Bad_OAuth_Token')
      const { person } = owner
      if (paramOf(request, 'org') !== org.id || paramOf(request, 'user') !== userIdOf(person)) {
        return reply.status(403).type('text/html').send('Wrong_Org')
      }
      return salesforceAnswer(reply, {
        id: identityOf(org, person),
        asserted_user: true,
        user_id: userIdOf(person),
        organization_id: org.id,
        username: person.email,
        nick_name: person.key,
        display_name: person.name,
        email: person.email,
        email_verified: true,
        first_name: person.givenName,
        last_name: person.familyName,
        timezone: 'Europe/London',
        active: true,
        user_type: 'STANDARD',
        language: 'en_US',
        locale: 'en_GB',
        photos: {
          picture: `${url()}/avatars/${person.key}.png`,
          thumbnail: `${url()}/avatars/${person.key}.png`,
        },
        urls: urlsOf(org),
      })
    })
  }

  app.get(paths.jwks, async (_request, reply) => salesforceAnswer(reply, await server.jwks()))
  app.get(`${org.paths.login}/.well-known/openid-configuration`, async (_request, reply) =>
    salesforceAnswer(reply, discovery(org)),
  )
}

/** What an administrator has allowed the app for everybody, without asking them. */
const preauthorized = ['api', 'id', 'openid', 'web']

/**
 * A token for the user whom the app's own signature names (help.salesforce.com, "OAuth 2.0 JWT Bearer Flow"). No refresh
 * token, no lifetime; the assertion may live five minutes at most.
 */
async function assertedToken(
  org: SalesforceOrg,
  server: AuthorizationServer,
  apps: AppRegistry,
  keys: ServiceKeys,
  assertion: string,
): Promise<{ status: number; body: object }> {
  const refused = (error: string, description: string) => ({
    status: 400,
    body: { error, error_description: description },
  })
  const clientId = apps.clientIdOf('salesforce') ?? ''
  const read = keys.read('salesforce', assertion, {
    issuer: clientId,
    audiences: [org.login, org.instance],
    longestSeconds: 300,
  })
  if ('problem' in read) {
    if (read.problem === 'issuer') return refused('invalid_client_id', 'client identifier invalid')
    if (read.problem === 'audience') return refused('invalid_grant', 'audience is invalid')
    return refused('invalid_grant', 'invalid assertion')
  }
  const person = people.find(({ email }) => email === read.claims['sub'])
  if (person === undefined || !keys.mayActFor('salesforce', person.key)) {
    return refused('invalid_grant', "user hasn't approved this consumer")
  }
  return {
    status: 200,
    body: {
      access_token: await server.assume(person, clientId, preauthorized, 2 * 3600),
      scope: preauthorized.join(' '),
      instance_url: org.instance,
      id: identityOf(org, person),
      token_type: 'Bearer',
    },
  }
}

function salesforceScopes(text: string): string[] {
  const named = scopeList(text).map((scope) =>
    scope === 'refresh_token' || scope === 'offline_access' ? keepAccess : scope,
  )
  return [...new Set(named)]
}

function shownScopes(scopes: readonly string[]): string[] {
  return scopes.map((scope) => (scope === keepAccess ? 'refresh_token' : scope))
}

function urlsOf(org: SalesforceOrg) {
  return {
    rest: `${org.instance}/services/data/v{version}/`,
    sobjects: `${org.instance}/services/data/v{version}/sobjects/`,
    query: `${org.instance}/services/data/v{version}/query/`,
    custom_domain: org.instance,
  }
}

function userinfo(org: SalesforceOrg, person: Person, scopes: readonly string[], url: string) {
  const picture = `${url}/avatars/${person.key}.png`
  return {
    sub: identityOf(org, person),
    user_id: userIdOf(person),
    organization_id: org.id,
    preferred_username: person.email,
    nickname: person.key,
    name: person.name,
    ...(['email', 'full', 'api', 'id'].some((scope) => scopes.includes(scope))
      ? { email: person.email, email_verified: true }
      : undefined),
    given_name: person.givenName,
    family_name: person.familyName,
    zoneinfo: 'Europe/London',
    photos: { picture, thumbnail: picture },
    picture,
    profile: `${org.instance}/${userIdOf(person)}`,
    urls: urlsOf(org),
    active: true,
    user_type: 'STANDARD',
    language: 'en_US',
    locale: 'en_GB',
    utcOffset: 0,
  }
}

function goOn(reply: FastifyReply, outcome: Outcome) {
  if (outcome.kind === 'refused') return refuse(reply, outcome.error, outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  const { searchParams } = outcome.url
  searchParams.delete('iss')
  if (searchParams.get('error') === 'access_denied') {
    searchParams.set('error_description', 'end-user denied authorization')
  }
  return reply.redirect(outcome.url.href, 302)
}

function refuse(reply: FastifyReply, error: string, description: string) {
  return sendPage(reply, {
    title: 'OAuth error · Salesforce sandbox',
    note: 'Sandbox: a stand-in for Salesforce on this machine',
    status: 400,
    body: html`<h1>We can’t authorize you because of an OAuth error</h1><p>${description}</p><p><code>${error}</code></p>
<p>Go back to the app and connect again.</p>`,
  })
}

function tokenRefusal(reply: FastifyReply, answer: TokenAnswer, refreshing: boolean) {
  const error = String(answer.body['error'])
  const { detail } = answer
  if (error === 'invalid_client') {
    return salesforceAnswer(reply, { error, error_description: 'invalid client credentials' }, 400)
  }
  if (error !== 'invalid_grant') {
    return salesforceAnswer(
      reply,
      { error, error_description: String(answer.body['error_description'] ?? '') },
      400,
    )
  }
  if (detail.includes('redirect_uri')) {
    const body = {
      error: 'redirect_uri_mismatch',
      error_description: 'redirect_uri must match configuration',
    }
    return salesforceAnswer(reply, body, 400)
  }
  const description = refreshing
    ? 'expired access/refresh token'
    : detail.includes('code_verifier') || detail.includes('code_challenge')
      ? 'invalid code verifier'
      : detail.includes('expired')
        ? 'expired authorization code'
        : 'invalid authorization code'
  return salesforceAnswer(reply, { error, error_description: description }, 400)
}

function discovery(org: SalesforceOrg) {
  const oauth = `${org.login}/services/oauth2`
  return {
    issuer: org.login,
    authorization_endpoint: `${oauth}/authorize`,
    token_endpoint: `${oauth}/token`,
    revocation_endpoint: `${oauth}/revoke`,
    userinfo_endpoint: `${oauth}/userinfo`,
    introspection_endpoint: `${oauth}/introspect`,
    jwks_uri: `${org.login}/id/keys`,
    scopes_supported: [
      ...Object.keys(meanings).filter((scope) => scope !== keepAccess),
      'refresh_token',
      'offline_access',
    ],
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    display_values_supported: ['page', 'popup', 'touch'],
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    code_challenge_methods_supported: ['S256'],
  }
}
