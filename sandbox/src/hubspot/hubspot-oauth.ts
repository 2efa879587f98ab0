import { randomBytes, randomInt, randomUUID } from 'node:crypto'
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
import { fieldsOf, paramOf, queryOf } from '../request-parts.ts'
import { crmAnswer, crmProblem, oauthProblem } from './hubspot-answers.ts'
import { hub, hubspotUserId } from './hubspot-hub.ts'

/** https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/scopes */
const meanings: Readonly<Record<string, string>> = {
  oauth: 'Know which HubSpot account it is',
  'crm.objects.contacts.read': 'See contacts',
  'crm.objects.contacts.write': 'Create, change and archive contacts',
  'crm.objects.deals.read': 'See deals',
  'crm.objects.deals.write': 'Create, change and archive deals',
  'crm.objects.owners.read': 'See who owns contacts and deals',
  automation: 'See and change workflows',
  content: 'See and change websites and blogs',
}

const issuer = 'https://app.hubspot.com'
const note = 'Sandbox: a stand-in for HubSpot on this machine'
const token = '/hubspot/api/oauth/2026-03/token'

export const hubspotDialect: AuthorizationDialect = {
  provider: 'hubspot',
  issuer,
  paths: {
    authorize: '/hubspot/oauth/authorize',
    consent: '/hubspot/oauth/sandbox',
    token,
    jwks: '/hubspot/oauth/jwks',
    cookies: '/hubspot/oauth',
  },
  scopes: Object.keys(meanings),
  claims: {},
  subjectOf: (person) => String(hubspotUserId(person)),
  claimsOf: () => ({}),
  accessTokenSeconds: 1800,
  refreshTokens: true,
  // Access tokens carry what they are worth: their length changes from one to the next.
  mint: (kind) =>
    kind === 'access'
      ? `C${randomBytes(randomInt(96, 210)).toString('base64url')}`
      : kind === 'refresh'
        ? `na1-${randomUUID()}`
        : randomUUID(),
  widen: (requested) => requested,
  extraParameters: ['optional_scope'],
  offline: () => true,
}

/**
 * The endpoints of 2026-03, everything in a form body. Those of `/oauth/v1`, which HubSpot switches off on 2027-02-16, answer
 * as if that day had come: https://developers.hubspot.com/docs/api-reference/latest/authentication/oauth-tokens
 */
export function hubspotOauth(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; apps: AppRegistry },
): void {
  const { server, apps } = dependencies

  consentPages(app, {
    server,
    name: 'HubSpot',
    agree: 'Connect app',
    words: (scope) => ({
      scope,
      shown: scope,
      meaning: meanings[scope] ?? scope,
      optional: false,
      implied: scope === 'oauth',
    }),
    handle: (person) => `${person.email}, ${hub.domain} (${hub.id})`,
    hint: 'login_hint',
  })

  app.get(hubspotDialect.paths.authorize, async (request, reply) => {
    const asked = queryOf(request)
    if (!apps.knows('hubspot', asked['client_id'] ?? '')) {
      return refuse(reply, 'There is no such app', 'No app has the client id of this request.')
    }
    if (!apps.redirectUris.includes(asked['redirect_uri'] ?? '')) {
      return refuse(
        reply,
        'The redirect URL does not match',
        `The app sent ${asked['redirect_uri'] ?? 'none'}, which is not among its redirect URLs.`,
      )
    }
    const required = scopeList(asked['scope'])
    const unknown = required.filter((scope) => !(scope in meanings))
    if (required.length === 0 || unknown.length > 0) {
      return refuse(
        reply,
        'The scopes do not match',
        `Not known: ${unknown.join(', ') || 'no scope was sent'}.`,
      )
    }
    const lacking = required.filter((scope) => hub.unavailable.some((each) => each === scope))
    if (lacking.length > 0) {
      return refuse(
        reply,
        'This account cannot connect the app',
        `It has no product for: ${lacking.join(', ')}. An app asks for such scopes as optional_scope.`,
      )
    }
    // An optional scope that the account has no product for is left out without a word.
    const optional = scopeList(asked['optional_scope']).filter(
      (scope) => scope in meanings && !hub.unavailable.some((each) => each === scope),
    )
    const outcome = await server.begin(
      {
        ...asked,
        response_type: 'code',
        scope: ['oauth', ...required, ...optional].join(' '),
        prompt: undefined,
      },
      request.headers.cookie,
      { forgetPerson: true },
    )
    return goOn(reply, outcome)
  })

  app.get(`${hubspotDialect.paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie)),
  )

  /** The form of an authenticated client; the refusal is sent where it is none. */
  const form = (request: FastifyRequest, reply: FastifyReply): Parameters | undefined => {
    if (!(request.headers['content-type'] ?? '').includes('application/x-www-form-urlencoded')) {
      crmProblem(reply, 415, 'VALIDATION_ERROR', 'HTTP 415 Unsupported Media Type')
      return undefined
    }
    const sent = fieldsOf(request)
    if (apps.authenticates('hubspot', sent['client_id'] ?? '', sent['client_secret'] ?? '')) return sent
    oauthProblem(reply, 400, 'invalid_client', 'BAD_CLIENT_ID', 'missing or invalid client id or secret')
    return undefined
  }

  app.post(token, async (request, reply) => {
    const sent = form(request, reply)
    if (sent === undefined) return reply
    const answer = await server.token(sent, undefined)
    if (answer.status !== 200) return tokenRefusal(reply, answer, sent)
    const accessToken = String(answer.body['access_token'])
    const state = server.stateOf(accessToken)
    return crmAnswer(reply.header('cache-control', 'no-store'), {
      token_use: 'access_token',
      access_token: accessToken,
      refresh_token: answer.body['refresh_token'],
      expires_in: answer.body['expires_in'],
      token_type: 'bearer',
      hub_id: hub.id,
      user_id: state === undefined ? undefined : hubspotUserId(state.person),
      scopes: scopeList(String(answer.body['scope'] ?? '')),
    })
  })

  app.post(`${token}/introspect`, async (request, reply) => {
    const sent = form(request, reply)
    if (sent === undefined) return reply
    const presented = sent['token'] ?? ''
    const state = server.stateOf(presented)
    if (state === undefined) return crmAnswer(reply, { active: false })
    return crmAnswer(reply, {
      token_use: `${state.kind}_token`,
      active: true,
      token: presented,
      hub_id: hub.id,
      hub_domain: hub.domain,
      user_id: hubspotUserId(state.person),
      user: state.person.email,
      client_id: state.clientId,
      app_id: hub.appId,
      scopes: state.scopes,
      expires_in: state.expiresAt - Math.floor(Date.now() / 1000),
      is_private_distribution: false,
      token_type: 'bearer',
    })
  })

  // Ends the refresh token. Access tokens that are out live to their end, which is half an hour at most: HubSpot does not
  // promise more, and a client that counts on more is surprised here too.
  app.post(`${token}/revoke`, async (request, reply) => {
    const sent = form(request, reply)
    if (sent === undefined) return reply
    server.revokeRefreshToken(sent['token'] ?? '')
    return reply.status(200).send()
  })

  for (const path of ['token', 'access-tokens/:token', 'refresh-tokens/:token']) {
    app.route({
      method: ['GET', 'POST', 'DELETE'],
      url: `/hubspot/api/oauth/v1/${path}`,
      handler: async (_request, reply) =>
        crmProblem(
          reply,
          410,
          'ENDPOINT_REMOVED',
          'The /oauth/v1 endpoints have been removed. Use /oauth/2026-03/token, …/introspect and …/revoke.',
        ),
    })
  }
}

function goOn(reply: FastifyReply, outcome: Outcome) {
  if (outcome.kind === 'refused') return refuse(reply, 'This request is not valid', outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  outcome.url.searchParams.delete('iss')
  return reply.redirect(outcome.url.href, 302)
}

function refuse(reply: FastifyReply, title: string, text: string) {
  return sendPage(reply, {
    title: `${title} · HubSpot sandbox`,
    note,
    status: 400,
    body: html`<h1>${title}</h1><p>${text}</p><p>Go back to the app and connect again.</p>`,
  })
}

function tokenRefusal(reply: FastifyReply, answer: TokenAnswer, sent: Parameters) {
  const error = String(answer.body['error'])
  if (answer.detail.includes('redirect_uri mismatch')) {
    return oauthProblem(reply, 400, 'invalid_grant', 'REDIRECT_URI_MISMATCH', 'redirect URI mismatch')
  }
  if (error === 'invalid_grant') {
    return sent['grant_type'] === 'refresh_token'
      ? oauthProblem(reply, 400, error, 'BAD_REFRESH_TOKEN', 'missing or invalid refresh token')
      : oauthProblem(reply, 400, error, 'BAD_AUTH_CODE', 'missing or unknown auth code')
  }
  const description = String(answer.body['error_description'] ?? 'the request is not valid')
  return oauthProblem(reply, 400, error, 'BAD_REQUEST', description)
}
