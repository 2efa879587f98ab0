import { randomBytes, randomInt, randomUUID } from 'node:crypto'
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
import type { Person } from '../people.ts'
import { fieldsWithClientOf, paramOf, queryOf } from '../request-parts.ts'
import { type AdminConsent, appTokenSeconds } from './admin-consent.ts'
import { entraAnswer, entraProblem, refuse, tokenLooks } from './microsoft-answers.ts'
import { type DirectoryPerson, directory, tenant } from './microsoft-seed.ts'

const login = 'https://login.microsoftonline.com'
const resource = 'https://graph.microsoft.com/'
const allOfTheApp = `${resource}.default`

// The library lets `offline_access` through on conditions of its own. This name never leaves.
const keepAccess = 'keep_access'

/** https://learn.microsoft.com/graph/permissions-reference */
const meanings: Readonly<Record<string, string>> = {
  openid: 'Sign you in',
  profile: 'View your basic profile',
  email: 'View your email address',
  [keepAccess]: 'Maintain access to data you have given it access to',
  'User.Read': 'Sign you in and read your profile',
  'User.ReadBasic.All': 'Read all users’ basic profiles',
  'Mail.Read': 'Read your mail',
  'Mail.ReadWrite': 'Read and write access to your mail',
  'Mail.Send': 'Send mail as you',
  'Calendars.Read': 'Read your calendars',
  'Calendars.ReadWrite': 'Have full access to your calendars',
  'Contacts.Read': 'Read your contacts',
  'Files.Read': 'Read your files',
  'Files.ReadWrite': 'Have full access to your files',
  'People.Read': 'Read the people relevant to you',
}
const byLowerCase = new Map(Object.keys(meanings).map((scope) => [scope.toLowerCase(), scope]))
const identityScopes = ['openid', 'profile', 'email', keepAccess]

/** Work accounts of the one directory sign in here; `consumers` is for personal accounts, of which there are none. */
const tenants = ['common', 'organizations', tenant.id, tenant.domain]

const paths = {
  authorize: '/microsoft/common/oauth2/v2.0/authorize',
  consent: '/microsoft/common/oauth2/sandbox',
  token: '/microsoft/common/oauth2/v2.0/token',
  jwks: '/microsoft/common/discovery/v2.0/keys',
  cookies: '/microsoft',
} as const

export const microsoftDialect: AuthorizationDialect = {
  provider: 'microsoft',
  issuer: `${login}/${tenant.id}/v2.0`,
  paths,
  scopes: Object.keys(meanings),
  claims: {
    openid: ['sub', 'oid', 'tid', 'ver'],
    profile: ['name', 'preferred_username'],
    email: ['email'],
  },
  subjectOf: (person) => inDirectory(person).sub,
  claimsOf: (person) => ({
    oid: inDirectory(person).oid,
    tid: tenant.id,
    ver: '2.0',
    name: person.name,
    preferred_username: person.email,
    email: person.email,
  }),
  // Entra draws between 60 and 90 minutes, so that renewals do not come all at once.
  accessTokenSeconds: () => randomInt(3600, 5400),
  refreshTokenSeconds: 90 * 24 * 3600,
  refreshTokens: true,
  mint: (kind) =>
    kind === 'access'
      ? tokenLooks({ tid: tenant.id, uti: randomUUID() })
      : `1.A${kind === 'code' ? 'c' : 'X'}0A${randomBytes(kind === 'code' ? 300 : 600).toString('base64url')}`,
  // Whatever was consented to before for the same API is in the token too, asked for or not.
  widen: (requested, granted) => [
    ...requested,
    ...granted.filter((scope) => !identityScopes.includes(scope)),
  ],
  extraParameters: ['domain_hint', 'claims'],
  offline: (parameters) => scopeList(parameters['scope']).includes(keepAccess),
}

export function inDirectory(person: Person): DirectoryPerson {
  const entry = directory[person.key]
  if (entry === undefined) throw new Error(`${person.key} is not in the directory.`)
  return entry
}

/**
 * Entra ID's v2.0 endpoints for one directory: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow.
 * The tenant stands in the path; there is no revocation endpoint.
 */
export function microsoftOauth(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; apps: AppRegistry; adminConsent: AdminConsent },
): void {
  const { server, apps, adminConsent } = dependencies

  consentPages(app, {
    server,
    name: 'Microsoft',
    agree: 'Accept',
    words: (scope) => ({
      scope,
      shown: scope === keepAccess ? 'offline_access' : scope,
      meaning: meanings[scope] ?? scope,
      optional: false,
      implied: scope === 'openid',
    }),
    handle: (person) => person.email,
    hint: 'login_hint',
  })

  app.get('/microsoft/:tenant/oauth2/v2.0/authorize', async (request, reply) => {
    const asked = queryOf(request)
    const directoryName = paramOf(request, 'tenant')
    if (directoryName === 'consumers') {
      return refuse(
        reply,
        50020,
        `The people here have work accounts of ${tenant.name}; consumers is for personal ones.`,
      )
    }
    if (!tenants.includes(directoryName)) {
      return refuse(reply, 90002, `Tenant '${directoryName}' not found.`)
    }
    if (!apps.knows('microsoft', asked['client_id'] ?? '')) {
      return refuse(
        reply,
        700016,
        `Application with identifier '${asked['client_id'] ?? ''}' was not found in the directory '${tenant.name}'.`,
      )
    }
    if (!apps.redirectUris.includes(asked['redirect_uri'] ?? '')) {
      return refuse(
        reply,
        50011,
        `The redirect URI '${asked['redirect_uri'] ?? ''}' specified in the request does not match the redirect URIs configured for the application.`,
      )
    }
    if ((asked['response_mode'] ?? 'query') !== 'query') {
      return refuse(reply, 900144, 'This sandbox answers with response_mode=query only.')
    }
    const scopes = entraScopes(asked['scope'])
    if (scopes.known.length === 0) {
      return refuse(reply, 900144, "The request body must contain the following parameter: 'scope'.")
    }
    const [unknown] = scopes.unknown
    if (unknown !== undefined) {
      return refuse(
        reply,
        650053,
        `The application asked for scope '${unknown}' that doesn't exist on the resource '00000003-0000-0000-c000-000000000000'.`,
      )
    }
    const prompt = scopeList(asked['prompt'])
    const outcome = await server.begin(
      {
        ...asked,
        response_mode: undefined,
        scope: scopes.known.join(' '),
        nonce: scopes.known.includes('openid') ? asked['nonce'] : undefined,
        prompt:
          prompt.filter((each) => each === 'none' || each === 'consent' || each === 'login').join(' ') ||
          undefined,
      },
      request.headers.cookie,
      // Everybody of the sandbox is signed in at once, so Microsoft asks who it shall be.
      { forgetPerson: !prompt.includes('none') },
    )
    return goOn(reply, outcome)
  })

  app.get(`${paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie)),
  )

  app.post('/microsoft/:tenant/oauth2/v2.0/token', async (request, reply) => {
    const sent = fieldsWithClientOf(request)
    reply.headers({ 'cache-control': 'no-store, no-cache', pragma: 'no-cache' })
    const directoryName = paramOf(request, 'tenant')
    if (!tenants.includes(directoryName)) {
      return entraProblem(reply, 400, 'invalid_request', 90002, `Tenant '${directoryName}' not found.`)
    }
    const clientId = sent['client_id'] ?? ''
    if (!apps.knows('microsoft', clientId)) {
      return entraProblem(
        reply,
        400,
        'unauthorized_client',
        700016,
        `Application with identifier '${clientId}' was not found in the directory '${tenant.name}'.`,
      )
    }
    if (sent['grant_type'] === 'client_credentials') return appToken(reply, directoryName, sent)
    const refreshing = sent['grant_type'] === 'refresh_token'
    const presented = sent['refresh_token'] ?? ''
    if (refreshing && server.challenged(presented)) {
      return entraProblem(
        reply,
        400,
        'invalid_grant',
        50173,
        'The provided grant has expired due to it being revoked, a fresh auth token is needed.',
      )
    }
    const scopes = entraScopes(sent['scope'])
    const wanted = [...scopes.known, ...scopes.unknown]
    const answer = await server.token(
      {
        ...sent,
        // Entra takes `scope` with a code too, and goes by what was granted.
        scope: refreshing && wanted.length > 0 ? wanted.join(' ') : undefined,
        claims: undefined,
      },
      undefined,
    )
    if (answer.status !== 200) return tokenRefusal(reply, answer, refreshing, clientId)
    const { refresh_token: kept, scope, ...body } = answer.body
    const shown = scopeList(String(scope ?? '')).filter((each) => each !== keepAccess)
    // Each use brings a new refresh token; the one that was used stays as good as before.
    const refreshToken = refreshing ? server.anotherRefreshToken(presented) : kept
    return entraAnswer(reply, {
      token_type: 'Bearer',
      scope: shown.join(' '),
      ...body,
      ext_expires_in: body['expires_in'],
      ...(refreshToken === undefined ? undefined : { refresh_token: refreshToken }),
    })
  })

  /** https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow */
  function appToken(reply: FastifyReply, directoryName: string, sent: Parameters) {
    const clientId = sent['client_id'] ?? ''
    if (!apps.authenticates('microsoft', clientId, sent['client_secret'] ?? ''))
      return badSecret(reply, clientId)
    // An app is of one directory, and `common` is none.
    if (directoryName === 'common' || directoryName === 'organizations') {
      return entraProblem(
        reply,
        400,
        'invalid_request',
        50059,
        'No tenant-identifying information found in either the request or implied by any provided credentials.',
      )
    }
    if (sent['scope'] === undefined) {
      return entraProblem(
        reply,
        400,
        'invalid_request',
        900144,
        "The request body must contain the following parameter: 'scope'.",
      )
    }
    if (sent['scope'] !== allOfTheApp) {
      return entraProblem(
        reply,
        400,
        'invalid_scope',
        1002012,
        `The provided value for scope ${sent['scope']} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).`,
      )
    }
    if (!adminConsent.given) {
      return entraProblem(
        reply,
        400,
        'invalid_grant',
        65001,
        `The user or administrator has not consented to use the application with ID '${clientId}' named 'Atom'. Send an interactive authorization request for this user and resource.`,
        { suberror: 'consent_required' },
      )
    }
    return entraAnswer(reply, {
      token_type: 'Bearer',
      expires_in: appTokenSeconds,
      ext_expires_in: appTokenSeconds,
      access_token: adminConsent.issue(clientId),
    })
  }

  app.get('/microsoft/:tenant/discovery/v2.0/keys', async (_request, reply) =>
    entraAnswer(reply, await server.jwks()),
  )

  app.get('/microsoft/:tenant/v2.0/.well-known/openid-configuration', async (request, reply) => {
    const directoryName = paramOf(request, 'tenant')
    return tenants.includes(directoryName)
      ? entraAnswer(reply, discovery(directoryName))
      : entraProblem(reply, 400, 'invalid_tenant', 90002, `Tenant '${directoryName}' not found.`)
  })
}

/** Names in any case, with or without Graph's address before them. */
function entraScopes(text: string | undefined): { known: string[]; unknown: string[] } {
  const asked = scopeList(text).map((scope) =>
    scope.startsWith(resource) ? scope.slice(resource.length) : scope,
  )
  const named = asked.map((scope) => (scope.toLowerCase() === 'offline_access' ? keepAccess : scope))
  return {
    known: named.flatMap((scope) => byLowerCase.get(scope.toLowerCase()) ?? []),
    unknown: named.filter((scope) => !byLowerCase.has(scope.toLowerCase())),
  }
}

function goOn(reply: FastifyReply, outcome: Outcome) {
  if (outcome.kind === 'refused') return refuse(reply, 900144, outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  const { searchParams } = outcome.url
  searchParams.delete('iss')
  const error = searchParams.get('error')
  if (error === null) {
    searchParams.set('session_state', randomUUID())
  } else if (error === 'access_denied') {
    searchParams.set('error_subcode', 'cancel')
    searchParams.set('error_description', 'AADSTS65004: User declined to consent to access the app.')
  } else {
    searchParams.set(
      'error_description',
      'AADSTS50058: A silent sign-in request was sent but no user is signed in.',
    )
  }
  return reply.redirect(outcome.url.href, 302)
}

function badSecret(reply: FastifyReply, clientId: string) {
  return entraProblem(
    reply,
    401,
    'invalid_client',
    7000215,
    `Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '${clientId}'.`,
  )
}

function tokenRefusal(reply: FastifyReply, answer: TokenAnswer, refreshing: boolean, clientId: string) {
  const { detail } = answer
  const error = String(answer.body['error'])
  if (error === 'invalid_client') return badSecret(reply, clientId)
  if (error === 'invalid_scope') {
    return entraProblem(
      reply,
      400,
      error,
      70011,
      'The provided request must include a scope input parameter that was granted.',
    )
  }
  if (error !== 'invalid_grant') {
    return entraProblem(reply, 400, error, 900144, 'The request body is malformed.')
  }
  if (refreshing) {
    return detail.includes('expired')
      ? entraProblem(reply, 400, error, 700082, 'The refresh token has expired due to inactivity.')
      : entraProblem(reply, 400, error, 70000, 'Provided grant is invalid or malformed.')
  }
  if (detail.includes('redirect_uri')) {
    return entraProblem(
      reply,
      400,
      error,
      500112,
      'The reply address does not match the reply address provided when requesting the authorization code.',
    )
  }
  if (detail.includes('code_verifier') || detail.includes('code_challenge')) {
    return entraProblem(
      reply,
      400,
      error,
      501481,
      'The Code_Verifier does not match the code_challenge supplied in the authorization request.',
    )
  }
  return detail.includes('consumed')
    ? entraProblem(
        reply,
        400,
        error,
        54005,
        'OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.',
      )
    : entraProblem(reply, 400, error, 70008, 'The provided authorization code is expired or invalid.')
}

/** `common` cannot know the directory, so its issuer has a hole: the literal `{tenantid}`. */
function discovery(directoryName: string) {
  const several = directoryName === 'common' || directoryName === 'organizations'
  return {
    token_endpoint: `${login}/${directoryName}/oauth2/v2.0/token`,
    token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    jwks_uri: `${login}/${directoryName}/discovery/v2.0/keys`,
    response_modes_supported: ['query'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: `${login}/${several ? '{tenantid}' : tenant.id}/v2.0`,
    request_uri_parameter_supported: false,
    userinfo_endpoint: 'https://graph.microsoft.com/oidc/userinfo',
    authorization_endpoint: `${login}/${directoryName}/oauth2/v2.0/authorize`,
    claims_supported: [
      'sub',
      'iss',
      'aud',
      'exp',
      'iat',
      'nonce',
      'preferred_username',
      'name',
      'tid',
      'ver',
      'email',
    ],
    tenant_region_scope: several ? null : 'EU',
    cloud_instance_name: 'microsoftonline.com',
    msgraph_host: 'graph.microsoft.com',
  }
}
