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

export const githubDialect: AuthorizationDialect = {
  provider: 'github',
  issuer: 'https://github.com',
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
  mint: (kind) =>
    kind === 'code'
      ? randomBytes(10).toString('hex')
      : `gho_${Array.from(randomBytes(36), (byte) => tokenAlphabet[byte % 62]).join('')}`,
  widen: (requested, granted) =>
    requested.every((scope) => scope === publicData) ? [...granted, publicData] : requested,
  extraParameters: ['login', 'allow_signup'],
  offline: () => false,
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
    apps: AppRegistry
    device: GithubDevice
    url: () => string
  },
): void {
  const { server, apps, device } = dependencies
  const note = 'Sandbox: a stand-in for GitHub on this machine'

  consentPages(app, {
    server,
    name: 'GitHub',
    agree: 'Authorize',
    words: (scope) => ({
      scope,
      shown: scope,
      meaning: meanings[scope] ?? 'Read what is public',
      optional: false,
      implied: scope === publicData,
    }),
    handle: (person) => person.key,
    hint: 'login',
  })

  githubDevicePages(app, {
    device,
    apps,
    words: (scope) => meanings[scope] ?? 'Read what is public',
    known: (scopes) => scopes.filter((scope) => scope in meanings),
    say,
    url: dependencies.url,
  })

  app.get(githubDialect.paths.authorize, async (request, reply) => {
    const asked = queryOf(request)
    const clientId = asked['client_id'] ?? ''
    if (!apps.knows('github', clientId)) {
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
    const outcome = await server.begin(parameters, request.headers.cookie, {
      forgetPerson: prompt.includes('select_account'),
    })
    return goOn(reply, outcome, note)
  })

  app.get(`${githubDialect.paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie), note),
  )

  app.post(githubDialect.paths.token, async (request, reply) => {
    const sent = fieldsOf(request)
    const clientId = sent['client_id'] ?? basicOf(request)?.id
    const wanted = request.headers.accept ?? ''
    if (clientId === undefined || !apps.knows('github', clientId)) {
      return say(reply.status(404), wanted, { error: 'Not Found' })
    }
    if (sent['grant_type'] === 'urn:ietf:params:oauth:grant-type:device_code') {
      return say(reply, wanted, deviceFields(await device.token(sent['device_code'] ?? '', clientId)))
    }
    const answer = await server.token(
      { grant_type: 'authorization_code', redirect_uri: server.redirectUriOf(sent['code'] ?? ''), ...sent },
      request.headers.authorization,
    )
    const { access_token: token, scope } = answer.body
    const body: Record<string, string> =
      answer.status === 200
        ? {
            access_token: String(token),
            scope: visibleScopes(scopeList(String(scope ?? ''))).join(','),
            token_type: 'bearer',
          }
        : refusal(answer)
    // Refusals too come with 200.
    return say(reply.status(200), wanted, body)
  })

  const applications = '/github/api/applications/:clientId'
  const authenticated = (request: FastifyRequest): boolean => {
    const basic = basicOf(request)
    return (
      basic !== undefined &&
      basic.id === paramOf(request, 'clientId') &&
      apps.authenticates('github', basic.id, basic.secret)
    )
  }

  app.delete(`${applications}/token`, async (request, reply) => {
    if (!authenticated(request)) return apiProblem(reply, 404, 'Not Found')
    const token = fieldsOf(request)['access_token'] ?? ''
    if ((await server.owner(token)) === undefined) return apiProblem(reply, 404, 'Not Found')
    server.revokeAccessToken(token)
    return reply.status(204).send()
  })

  app.delete(`${applications}/grant`, async (request, reply) => {
    if (!authenticated(request)) return apiProblem(reply, 404, 'Not Found')
    const grantId = server.grantOf(fieldsOf(request)['access_token'] ?? '')
    if (grantId === undefined) return apiProblem(reply, 404, 'Not Found')
    server.revokeGrant(grantId)
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
  searchParams.delete('iss')
  if (searchParams.get('error') === 'access_denied') {
    searchParams.set('error_description', 'The user has denied your application access.')
    searchParams.set('error_uri', `${troubleshooting}#access-denied`)
  }
  return reply.redirect(outcome.url.href, 302)
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

function refusal(answer: TokenAnswer): Record<string, string> {
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
  return {
    error: 'bad_verification_code',
    error_description: 'The code passed is incorrect or expired.',
    error_uri: `${tokenTroubleshooting}#bad-verification-code`,
  }
}

/** Whole numbers, which JSON writes as such. */
const numeric = new Set(['expires_in', 'interval'])

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
