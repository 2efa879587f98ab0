import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
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
import { basicOf, fieldsOf, paramOf, queryOf } from '../request-parts.ts'
import { apiProblem } from './github-answers.ts'
import { type DeviceAnswer, type GithubDevice, githubDevicePages } from './github-device.ts'

/** docs.github.com: "Scopes for OAuth apps". */
const meanings: Readonly<Record<string, string>> = {
  'read:user': 'Read your profile',
  'user:email': 'Read your e-mail addresses',
  user: 'Read and change your profile',
  repo: 'Read and write code, issues and pull requests in all your repositories, private ones too',
  public_repo: 'Read and write code, issues and pull requests in public repositories',
  'repo:status': 'Read and write commit statuses',
  'read:org': 'Read your organisations and teams',
  notifications: 'Read your notifications',
  gist: 'Write gists',
  workflow: 'Change GitHub Actions workflow files',
  'admin:repo_hook': 'Manage webhooks of your repositories',
  'write:repo_hook': 'Create and change webhooks of your repositories',
  'read:repo_hook': 'Read webhooks of your repositories',
}

/** A scope that brings others with it: asking for both is answered with the one. */
const includes: Readonly<Record<string, readonly string[]>> = {
  repo: ['public_repo', 'repo:status'],
  user: ['read:user', 'user:email'],
  'admin:repo_hook': ['write:repo_hook', 'read:repo_hook'],
  'write:repo_hook': ['read:repo_hook'],
}

// GitHub grants an app without scopes the public data; the library wants at least one scope. This one never leaves.
const publicData = 'public_data'

const tokenAlphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

const refreshSeconds = 15_897_600

/** Sent along with each authorization response since April 2026 (RFC 9207); it is not the origin of the endpoints. */
const issuer = 'https://github.com/login/oauth'

function minted(prefix: string): string {
  return prefix + Array.from(randomBytes(36), (byte) => tokenAlphabet[byte % 62]).join('')
}

export const githubDialect: AuthorizationDialect = {
  provider: 'github',
  issuer,
  paths: {
    authorize: '/github/login/oauth/authorize',
    consent: '/github/login/oauth/sandbox',
    token: '/github/login/oauth/access_token',
    jwks: '/github/login/oauth/jwks',
    cookies: '/github/login/oauth',
  },
  scopes: [...Object.keys(meanings), publicData],
  claims: {},
  subjectOf: (person) => person.key,
  claimsOf: () => ({}),
  // A token of an OAuth app does not expire.
  accessTokenSeconds: 10 * 365 * 24 * 3600,
  refreshTokens: false,
  mint: (kind) => (kind === 'code' ? randomBytes(10).toString('hex') : minted('gho_')),
  widen: (requested, granted) =>
    requested.every((scope) => scope === publicData) ? [...granted, publicData] : requested,
  extraParameters: ['login', 'allow_signup'],
  offline: () => false,
}

/**
 * What a GitHub App gets of a person (docs.github.com, "Generating a user access token for a GitHub App"): no scopes but the
 * app's permissions, eight hours, and a refresh token that works once and lasts six months.
 */
export const githubAppDialect: AuthorizationDialect = {
  ...githubDialect,
  provider: 'github-app',
  paths: {
    authorize: '/github/login/oauth/app/authorize',
    consent: '/github/login/oauth/app/sandbox',
    token: '/github/login/oauth/app/access_token',
    jwks: '/github/login/oauth/app/jwks',
    cookies: '/github/login/oauth',
  },
  scopes: [publicData],
  accessTokenSeconds: 8 * 3600,
  refreshTokens: true,
  refreshTokenSeconds: refreshSeconds,
  rotation: 'single_use',
  mint: (kind) =>
    kind === 'code' ? githubDialect.mint(kind, '') : minted(kind === 'access' ? 'ghu_' : 'ghr_'),
  widen: () => [publicData],
  offline: () => true,
}

/** True when a token with `scopes` may do what needs one of `needed`. */
export function allows(scopes: readonly string[], ...needed: readonly string[]): boolean {
  const reach = scopes.flatMap((scope) => [scope, ...(includes[scope] ?? [])])
  return needed.some((scope) => reach.includes(scope))
}

/** As GitHub says them: normalised, without what is implied. */
export function visibleScopes(scopes: readonly string[]): string[] {
  const implied = new Set(scopes.flatMap((scope) => includes[scope] ?? []))
  return scopes.filter((scope) => scope !== publicData && !implied.has(scope))
}

/** https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps */
export function githubOauth(
  app: FastifyInstance,
  dependencies: {
    server: AuthorizationServer
    /** For the GitHub App, which has a client id of its own at the same addresses. */
    appServer: AuthorizationServer
    apps: AppRegistry
    device: GithubDevice
    url: () => string
  },
): void {
  const { server, appServer, apps, device } = dependencies
  const serverOf = (clientId: string) =>
    apps.knows('github-app', clientId) ? appServer : apps.knows('github', clientId) ? server : undefined
  const note = 'Sandbox: a stand-in for GitHub on this machine'

  for (const each of [server, appServer]) {
    consentPages(app, {
      server: each,
      name: 'GitHub',
      agree: 'Authorize',
      words: (scope) => ({
        scope,
        shown: scope,
        meaning:
          meanings[scope] ??
          (each === appServer ? 'Act for you where it is installed' : 'Read what is public'),
        optional: false,
        implied: scope === publicData,
      }),
      handle: (person) => person.key,
      hint: 'login',
    })
  }

  githubDevicePages(app, {
    device,
    apps,
    words: (scope) => meanings[scope] ?? 'Read what is public',
    known: (scopes) => scopes.filter((scope) => scope in meanings),
    say,
    url: dependencies.url,
  })

  const authorize = async (request: FastifyRequest, reply: FastifyReply) => {
    const asked = queryOf(request)
    const clientId = asked['client_id'] ?? ''
    const chosen = serverOf(clientId)
    if (chosen === undefined) {
      return sendPage(reply, {
        title: 'Not found · GitHub sandbox',
        note,
        status: 404,
        body: html`<h1>There is no such app</h1><p>No app of this sandbox has the client id <code>${clientId}</code>.</p>`,
      })
    }
    const redirectUri = asked['redirect_uri'] ?? apps.redirectUris[0]
    if (redirectUri === undefined || !apps.redirectUris.includes(redirectUri)) {
      return mismatch(reply, apps, asked['state'], note)
    }
    const prompt = scopeList(asked['prompt'])
    const parameters: Parameters = {
      ...asked,
      response_type: 'code',
      redirect_uri: redirectUri,
      // Scopes GitHub does not know are ignored; commas are taken for spaces.
      scope: [...scopeList(asked['scope']).filter((scope) => scope in meanings), publicData].join(' '),
      // The only value GitHub knows; the choice of person is a new sign-in.
      prompt: undefined,
    }
    const outcome = await chosen.begin(parameters, request.headers.cookie, {
      forgetPerson: prompt.includes('select_account'),
    })
    return goOn(reply, outcome, note)
  }
  for (const each of [server, appServer]) {
    app.get(each.dialect.paths.authorize, authorize)
    app.get(`${each.dialect.paths.authorize}/:uid`, async (request, reply) =>
      goOn(reply, await each.resume(paramOf(request, 'uid'), request.headers.cookie), note),
    )
  }

  app.post(githubDialect.paths.token, async (request, reply) => {
    const sent = fieldsOf(request)
    const clientId = sent['client_id'] ?? basicOf(request)?.id
    const wanted = request.headers.accept ?? ''
    const chosen = serverOf(clientId ?? '')
    if (clientId === undefined || chosen === undefined) {
      return say(reply.status(404), wanted, { error: 'Not Found' })
    }
    if (sent['grant_type'] === 'urn:ietf:params:oauth:grant-type:device_code') {
      return say(reply, wanted, deviceFields(await device.token(sent['device_code'] ?? '', clientId)))
    }
    const refreshing = sent['grant_type'] === 'refresh_token'
    const [spent = ''] = refreshing ? [sent['refresh_token']] : []
    const before = chosen.tokensBeside(spent)
    const answer = await chosen.token(
      { grant_type: 'authorization_code', redirect_uri: chosen.redirectUriOf(sent['code'] ?? ''), ...sent },
      request.headers.authorization,
    )
    const { access_token: token, scope, refresh_token: next } = answer.body
    // "Once you use a refresh token, that refresh token and the old user access token will no longer work."
    if (answer.status === 200) for (const each of before) chosen.revokeAccessToken(each)
    const body: Record<string, string> =
      answer.status === 200
        ? {
            access_token: String(token),
            ...(next !== undefined && {
              expires_in: String(answer.body['expires_in']),
              refresh_token: String(next),
              refresh_token_expires_in: String(refreshSeconds),
            }),
            scope: visibleScopes(scopeList(String(scope ?? ''))).join(','),
            token_type: 'bearer',
          }
        : refusal(answer, refreshing)
    // Refusals too come with 200.
    return say(reply.status(200), wanted, body)
  })

  const applications = '/github/api/applications/:clientId'
  /** The server whose client asks; undefined for one that does not prove to be the client of the path. */
  const authenticated = (request: FastifyRequest): AuthorizationServer | undefined => {
    const { id = '', secret = '' } = basicOf(request) ?? {}
    const chosen = id === paramOf(request, 'clientId') ? serverOf(id) : undefined
    return chosen !== undefined && apps.authenticates(chosen.dialect.provider, id, secret)
      ? chosen
      : undefined
  }

  app.delete(`${applications}/token`, async (request, reply) => {
    const chosen = authenticated(request)
    const token = fieldsOf(request)['access_token'] ?? ''
    if (chosen === undefined || (await chosen.owner(token)) === undefined) {
      return apiProblem(reply, 404, 'Not Found')
    }
    chosen.revokeAccessToken(token)
    return reply.status(204).send()
  })

  app.delete(`${applications}/grant`, async (request, reply) => {
    const chosen = authenticated(request)
    const grantId = chosen?.grantOf(fieldsOf(request)['access_token'] ?? '')
    if (chosen === undefined || grantId === undefined) return apiProblem(reply, 404, 'Not Found')
    chosen.revokeGrant(grantId)
    return reply.status(204).send()
  })
}

function goOn(reply: FastifyReply, outcome: Outcome, note: string) {
  if (outcome.kind === 'refused') {
    return sendPage(reply, {
      title: 'Something is wrong with this request · GitHub sandbox',
      note,
      status: 400,
      body: html`<h1>Something is wrong with this request</h1><p>${outcome.description}</p><p><code>${outcome.error}</code></p>
<p>Go back to the app and connect again.</p>`,
    })
  }
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  const { searchParams } = outcome.url
  for (const [name, value] of Object.entries(carriedIn(searchParams.get('state')))) {
    if (value === '') searchParams.delete(name)
    else searchParams.set(name, value)
  }
  if (searchParams.get('error') === 'access_denied') {
    searchParams.set('error_description', 'The user has denied your application access.')
    searchParams.set('error_uri', `${troubleshooting}#access-denied`)
  }
  return reply.redirect(outcome.url.href, 302)
}

// The consent that is asked for during an installation tells the app, on the way back, of the installation too.
const carrying = 'sandbox-installation?'

/** The state of an authorization request that brings `said` along to the callback. */
export function carriedState(said: Readonly<Record<string, string>>, state: string | undefined): string {
  return carrying + new URLSearchParams({ ...said, state: state ?? '' })
}

function carriedIn(state: string | null): Record<string, string> {
  return state?.startsWith(carrying) === true
    ? Object.fromEntries(new URLSearchParams(state.slice(carrying.length)))
    : {}
}

const troubleshooting =
  'https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors/'
const tokenTroubleshooting =
  'https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/'

const deviceTroubleshooting = 'https://docs.github.com/developers/apps/authorizing-oauth-apps'

/** GitHub tells the app at its registered address, not at the one asked for. */
function mismatch(reply: FastifyReply, apps: AppRegistry, state: string | undefined, note: string) {
  const [registered] = apps.redirectUris
  if (registered === undefined) {
    return sendPage(reply, {
      title: 'No redirect URI · GitHub sandbox',
      note,
      status: 400,
      body: html`<h1>The app has no redirect URI yet</h1><p>Start the sandbox with one, or allow one: see <code>redirectUris</code>.</p>`,
    })
  }
  const url = new URL(registered)
  url.searchParams.set('error', 'redirect_uri_mismatch')
  url.searchParams.set(
    'error_description',
    'The redirect_uri MUST match the registered callback URL for this application.',
  )
  url.searchParams.set('error_uri', `${troubleshooting}#redirect-uri-mismatch`)
  if (state !== undefined) url.searchParams.set('state', state)
  return reply.redirect(url.href, 302)
}

function deviceFields(answer: DeviceAnswer): Record<string, string> {
  if ('token' in answer) {
    return {
      access_token: answer.token,
      scope: visibleScopes(answer.scopes).join(','),
      token_type: 'bearer',
    }
  }
  return {
    error: answer.error,
    error_description: answer.description,
    error_uri: `${deviceTroubleshooting}#error-codes-for-the-device-flow`,
    ...(answer.interval !== undefined && { interval: String(answer.interval) }),
  }
}

function refusal(answer: TokenAnswer, refreshing: boolean): Record<string, string> {
  if (answer.body['error'] === 'invalid_client') {
    return {
      error: 'incorrect_client_credentials',
      error_description: 'The client_id and/or client_secret passed are incorrect.',
      error_uri: `${tokenTroubleshooting}#incorrect-client-credentials`,
    }
  }
  if (answer.detail.includes('redirect_uri mismatch')) {
    return {
      error: 'redirect_uri_mismatch',
      error_description: 'The redirect_uri MUST match the registered callback URL for this application.',
      error_uri: `${tokenTroubleshooting}#redirect-uri-mismatch2`,
    }
  }
  if (answer.body['error'] === 'unsupported_grant_type') {
    return {
      error: 'unsupported_grant_type',
      error_description: 'The grant_type passed is not supported.',
      error_uri: tokenTroubleshooting,
    }
  }
  if (refreshing) {
    return {
      error: 'bad_refresh_token',
      error_description: 'The refresh token passed is incorrect or expired.',
      error_uri: tokenTroubleshooting,
    }
  }
  return {
    error: 'bad_verification_code',
    error_description: 'The code passed is incorrect or expired.',
    error_uri: `${tokenTroubleshooting}#bad-verification-code`,
  }
}

/** Whole numbers, which JSON writes as such. */
const numeric = new Set(['expires_in', 'interval', 'refresh_token_expires_in'])

/** A form unless JSON is asked for. */
function say(reply: FastifyReply, accept: string, body: Record<string, string>) {
  return accept.includes('json')
    ? reply
        .type('application/json; charset=utf-8')
        .send(JSON.stringify(body, (name, value: unknown) => (numeric.has(name) ? Number(value) : value)))
    : reply
        .type('application/x-www-form-urlencoded; charset=utf-8')
        .send(new URLSearchParams(body).toString())
}
