import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import {
  type AuthorizationDialect,
  type AuthorizationServer,
  type Outcome,
  type Parameters,
  scopeList,
  type TokenAnswer,
} from '../authorization-server.ts'
import { consentPages } from '../consent-pages.ts'
import { html, sendPage } from '../page.ts'
import { type Person, people, workspaceDomain } from '../people.ts'
import { basicOf, bearerOf, fieldsOf, paramOf, queryOf } from '../request-parts.ts'
import { type ServiceKeys, serviceAccountEmail } from '../service-keys.ts'
import { googleAnswer } from './google-answers.ts'

const issuer = 'https://accounts.google.com'
const auth = 'https://www.googleapis.com/auth/'

/** https://developers.google.com/identity/protocols/oauth2/scopes */
const meanings: Readonly<Record<string, string>> = {
  openid: 'Know that it is you',
  email: 'See your e-mail address',
  profile: 'See your name and picture',
  [`${auth}calendar`]: 'See, change and share all your calendars',
  [`${auth}calendar.readonly`]: 'See your calendars and their events',
  [`${auth}calendar.events`]: 'See and change events on all your calendars',
  [`${auth}calendar.events.readonly`]: 'See events on all your calendars',
  [`${auth}calendar.calendarlist.readonly`]: 'See the list of your calendars',
  [`${auth}gmail.readonly`]: 'Read your mail',
  [`${auth}gmail.send`]: 'Send mail as you',
  [`${auth}drive.readonly`]: 'See and download your files',
  [`${auth}drive.file`]: 'See and change the files you use with this app',
  [`${auth}contacts.readonly`]: 'See your contacts',
}

// Google takes the short names of OpenID Connect and answers with its own long ones.
const longNames: Readonly<Record<string, string>> = {
  email: `${auth}userinfo.email`,
  profile: `${auth}userinfo.profile`,
}
const shortNames: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(longNames).map(([short, long]) => [long, short]),
)
const identityScopes = ['openid', 'email', 'profile']

const paths = {
  authorize: '/google/o/oauth2/v2/auth',
  consent: '/google/o/oauth2/sandbox',
  token: '/google/token',
  jwks: '/google/oauth2/v3/certs',
  cookies: '/google/o/oauth2',
} as const

/** `url`: the sandbox's own, known once it listens; pictures are served from there. */
export const googleDialect = (url: () => string): AuthorizationDialect => ({
  provider: 'google',
  issuer,
  paths,
  scopes: Object.keys(meanings),
  claims: {
    openid: ['sub', 'azp', 'hd'],
    email: ['email', 'email_verified'],
    profile: ['name', 'given_name', 'family_name', 'picture'],
  },
  subjectOf: (person) => person.googleSub,
  claimsOf: (person, clientId) => ({
    azp: clientId,
    hd: workspaceDomain,
    email: person.email,
    email_verified: true,
    name: person.name,
    given_name: person.givenName,
    family_name: person.familyName,
    picture: `${url()}/avatars/${person.key}.png`,
  }),
  accessTokenSeconds: 3600,
  refreshTokens: true,
  mint: (kind) =>
    kind === 'code'
      ? `4/0A${randomBytes(54).toString('base64url')}`
      : kind === 'access'
        ? `ya29.a0${randomBytes(120).toString('base64url')}`
        : `1//0${randomBytes(75).toString('base64url')}`,
  widen: (requested, granted, parameters) =>
    parameters['include_granted_scopes'] === 'true' ? [...requested, ...granted] : requested,
  extraParameters: ['access_type', 'include_granted_scopes', 'hd'],
  // Only where a consent page was shown: the first time, or because `prompt=consent` asked for it.
  offline: (parameters, consentShown) => parameters['access_type'] === 'offline' && consentShown,
})

/** https://developers.google.com/identity/protocols/oauth2/web-server and …/openid-connect */
export function googleOauth(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; apps: AppRegistry; keys: ServiceKeys; url: () => string },
): void {
  const { server, apps, keys, url } = dependencies
  const note = 'Sandbox: a stand-in for Google on this machine'

  consentPages(app, {
    server,
    name: 'Google',
    agree: 'Continue',
    words: (scope) => ({
      scope,
      shown: scope.replace(auth, ''),
      meaning: meanings[scope] ?? scope,
      optional: !identityScopes.includes(scope),
      implied: scope === 'openid',
    }),
    handle: (person) => person.email,
    hint: 'login_hint',
  })

  app.get(paths.authorize, async (request, reply) => {
    const asked = queryOf(request)
    if (!apps.knows('google', asked['client_id'] ?? '')) {
      return refuse(reply, note, 401, 'invalid_client', 'The OAuth client was not found.')
    }
    if (!apps.redirectUris.includes(asked['redirect_uri'] ?? '')) {
      const description = `The app sent ${asked['redirect_uri'] ?? 'no redirect URI'}, which is not registered for it.`
      return refuse(reply, note, 400, 'redirect_uri_mismatch', description)
    }
    const scopes = scopeList(asked['scope']).map((scope) => shortNames[scope] ?? scope)
    if (scopes.length === 0)
      return refuse(reply, note, 400, 'invalid_request', 'Missing required parameter: scope')
    const unknown = scopes.filter((scope) => !(scope in meanings))
    if (unknown.length > 0) {
      return refuse(
        reply,
        note,
        400,
        'invalid_scope',
        `Some requested scopes were invalid: ${unknown.join(', ')}`,
      )
    }
    const prompt = scopeList(asked['prompt'])
    const outcome = await server.begin(
      {
        ...asked,
        scope: scopes.join(' '),
        // Outside OpenID Connect Google takes no notice of a nonce; the library would refuse it.
        nonce: scopes.includes('openid') ? asked['nonce'] : undefined,
        prompt: prompt.filter((each) => each !== 'select_account').join(' ') || undefined,
      },
      request.headers.cookie,
      // Everybody of the sandbox is signed in at once, so Google asks who it shall be.
      { forgetPerson: !prompt.includes('none') },
    )
    return goOn(reply, outcome, note)
  })

  app.get(`${paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie), note),
  )

  app.post(paths.token, async (request, reply) => {
    const sent = fieldsOf(request)
    const clientId = sent['client_id'] ?? basicOf(request)?.id ?? ''
    reply.header('cache-control', 'no-cache, no-store, max-age=0, must-revalidate')
    if (sent['grant_type'] === 'urn:ietf:params:oauth:grant-type:jwt-bearer') {
      const { status, body } = await serviceAccountToken(server, apps, keys, sent['assertion'] ?? '')
      return googleAnswer(reply, body, status)
    }
    if (!apps.knows('google', clientId)) {
      return googleAnswer(
        reply,
        { error: 'invalid_client', error_description: 'The OAuth client was not found.' },
        401,
      )
    }
    if (sent['grant_type'] === 'refresh_token' && server.challenged(sent['refresh_token'] ?? '')) {
      return googleAnswer(
        reply,
        {
          error: 'invalid_grant',
          error_description: 'reauth related error (invalid_rapt)',
          error_uri: 'https://support.google.com/a/answer/9368756',
          error_subtype: 'invalid_rapt',
        },
        400,
      )
    }
    const answer = await server.token(sent, request.headers.authorization)
    if (answer.status !== 200) return tokenRefusal(reply, answer, sent)
    const { refresh_token: refreshToken, scope, ...body } = answer.body
    return googleAnswer(reply, {
      ...body,
      ...(sent['grant_type'] === 'authorization_code' && refreshToken !== undefined
        ? { refresh_token: refreshToken }
        : undefined),
      scope: longScopes(String(scope ?? '')),
      token_type: 'Bearer',
    })
  })

  // Needs no client authentication, takes either token, and ends the whole grant. Unlike RFC 7009 it refuses unknown tokens.
  app.post('/google/revoke', async (request, reply) => {
    const token = fieldsOf(request)['token'] ?? queryOf(request)['token'] ?? ''
    const grantId = server.grantOf(token)
    if (grantId === undefined) {
      return googleAnswer(
        reply,
        { error: 'invalid_token', error_description: 'Token expired or revoked' },
        400,
      )
    }
    server.revokeGrant(grantId)
    return googleAnswer(reply, {})
  })

  app.get(paths.jwks, async (_request, reply) =>
    googleAnswer(reply.header('cache-control', 'public, max-age=3600'), await server.jwks()),
  )

  app.get('/google/.well-known/openid-configuration', async (_request, reply) =>
    googleAnswer(reply.header('cache-control', 'public, max-age=3600'), discovery),
  )

  for (const path of ['/google/v1/userinfo', '/google/oauth2/v3/userinfo', '/google/oauth2/v2/userinfo']) {
    app.get(path, async (request, reply) => {
      const owner = await server.owner(bearerOf(request) ?? '')
      if (owner === undefined || !identityScopes.some((scope) => owner.scopes.includes(scope))) {
        reply.header('www-authenticate', 'Bearer realm="https://accounts.google.com/", error="invalid_token"')
        return googleAnswer(
          reply,
          { error: 'invalid_request', error_description: 'Invalid Credentials' },
          401,
        )
      }
      return googleAnswer(reply, userinfo(owner.person, owner.scopes, url()))
    })
  }
}

/**
 * A token of the service account, acting for a person of its domain
 * (https://developers.google.com/identity/protocols/oauth2/service-account). Here it has nothing of its own, so an assertion
 * without `sub` is refused.
 */
async function serviceAccountToken(
  server: AuthorizationServer,
  apps: AppRegistry,
  keys: ServiceKeys,
  assertion: string,
): Promise<{ status: number; body: object }> {
  const refused = (error: string, description: string, status = 400) => ({
    status,
    body: { error, error_description: description },
  })
  const read = keys.read('google', assertion, {
    issuer: serviceAccountEmail,
    audiences: ['https://oauth2.googleapis.com/token', 'https://www.googleapis.com/oauth2/v4/token'],
    longestSeconds: 3600,
  })
  if ('problem' in read) {
    if (read.problem === 'malformed') return refused('invalid_request', 'Bad Request')
    if (read.problem === 'signature') return refused('invalid_grant', 'Invalid JWT Signature.')
    if (read.problem === 'issuer') return refused('invalid_grant', 'Invalid grant: account not found')
    if (read.problem === 'audience') {
      return refused('invalid_grant', 'Invalid JWT: Failed audience check.')
    }
    return refused(
      'invalid_grant',
      'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
    )
  }
  const scopes = scopeList(String(read.claims['scope'] ?? '')).map((scope) => shortNames[scope] ?? scope)
  if (scopes.length === 0 || scopes.some((scope) => !(scope in meanings))) {
    return refused('invalid_scope', 'Invalid OAuth scope or ID token audience provided.')
  }
  const { sub } = read.claims
  const person = people.find(({ email }) => email === sub)
  const clientId = apps.clientIdOf('google')
  if (person === undefined || clientId === undefined || !keys.mayActFor('google', person.key)) {
    return refused(
      'unauthorized_client',
      'Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.',
      401,
    )
  }
  const token = await server.assume(person, clientId, scopes, 3599)
  return { status: 200, body: { access_token: token, expires_in: 3599, token_type: 'Bearer' } }
}

function userinfo(person: Person, scopes: readonly string[], url: string) {
  const { email, name, givenName, familyName } = person
  return {
    sub: person.googleSub,
    ...(scopes.includes('profile')
      ? { name, given_name: givenName, family_name: familyName, picture: `${url}/avatars/${person.key}.png` }
      : undefined),
    ...(scopes.includes('email') ? { email, email_verified: true } : undefined),
    hd: workspaceDomain,
  }
}

function longScopes(scope: string): string {
  return scopeList(scope)
    .map((each) => longNames[each] ?? each)
    .join(' ')
}

function goOn(reply: FastifyReply, outcome: Outcome, note: string) {
  if (outcome.kind === 'refused') return refuse(reply, note, 400, outcome.error, outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  const { searchParams } = outcome.url
  if (searchParams.has('code')) {
    searchParams.set('scope', longScopes(outcome.scope))
    searchParams.set('authuser', '0')
    searchParams.set('prompt', outcome.consentShown ? 'consent' : 'none')
  } else {
    searchParams.delete('error_description')
  }
  return reply.redirect(outcome.url.href, 302)
}

function refuse(reply: FastifyReply, note: string, status: number, error: string, description: string) {
  return sendPage(reply, {
    title: 'Access blocked · Google sandbox',
    note,
    status,
    body: html`<h1>Access blocked: this request is invalid</h1><p>${description}</p><p><code>Error ${status}: ${error}</code></p>
<p>Go back to the app and connect again.</p>`,
  })
}

function tokenRefusal(reply: FastifyReply, answer: TokenAnswer, sent: Parameters) {
  const { detail } = answer
  const error = String(answer.body['error'])
  if (error === 'invalid_client') {
    return googleAnswer(reply, { error, error_description: 'Unauthorized' }, 401)
  }
  if (detail.includes('redirect_uri mismatch')) {
    return googleAnswer(reply, { error: 'redirect_uri_mismatch', error_description: 'Bad Request' }, 400)
  }
  if (error === 'invalid_grant') {
    const description =
      sent['grant_type'] === 'refresh_token'
        ? 'Token has been expired or revoked.'
        : detail.includes('code_verifier') || detail.includes('code_challenge')
          ? sent['code_verifier'] === undefined
            ? 'Missing code verifier.'
            : 'Invalid code verifier.'
          : 'Malformed auth code.'
    return googleAnswer(reply, { error, error_description: description }, 400)
  }
  return googleAnswer(
    reply,
    { error, error_description: String(answer.body['error_description'] ?? 'Bad Request') },
    400,
  )
}

/** Google's own document, as far as it concerns what is here. The callback carries `iss`; Google does not declare it. */
const discovery = {
  issuer,
  authorization_endpoint: `${issuer}/o/oauth2/v2/auth`,
  token_endpoint: 'https://oauth2.googleapis.com/token',
  userinfo_endpoint: 'https://openidconnect.googleapis.com/v1/userinfo',
  revocation_endpoint: 'https://oauth2.googleapis.com/revoke',
  jwks_uri: 'https://www.googleapis.com/oauth2/v3/certs',
  response_types_supported: ['code'],
  response_modes_supported: ['query'],
  subject_types_supported: ['public'],
  id_token_signing_alg_values_supported: ['RS256'],
  scopes_supported: ['openid', 'email', 'profile'],
  token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
  claims_supported: [
    ...['aud', 'email', 'email_verified', 'exp', 'family_name', 'given_name'],
    ...['iat', 'iss', 'name', 'picture', 'sub'],
  ],
  code_challenge_methods_supported: ['S256'],
  grant_types_supported: ['authorization_code', 'refresh_token'],
}
