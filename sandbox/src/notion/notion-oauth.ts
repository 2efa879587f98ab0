import { randomBytes, randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import type { AuthorizationDialect, AuthorizationServer, Outcome } from '../authorization-server.ts'
import { consentPages } from '../consent-pages.ts'
import { html, sendPage } from '../page.ts'
import type { Person } from '../people.ts'
import { basicOf, fieldsOf, objectOf, paramOf, queryOf } from '../request-parts.ts'
import { notionAnswer } from './notion-answers.ts'
import { botId, notionUserId, workspace } from './notion-ids.ts'
import { seedRoots } from './notion-seed.ts'

// Notion has no scopes: an app has capabilities, and the person chooses pages. Inside, both are scopes; none leaves.
const capabilities: Readonly<Record<string, string>> = {
  read_content: 'See the pages you choose',
  update_content: 'Change the pages you choose',
  insert_content: 'Add to the pages you choose',
  read_users: 'See names and e-mail addresses of the workspace’s people',
}
const pageScopes: Readonly<Record<string, string>> = Object.fromEntries(
  seedRoots.map(({ key, shared }) => [`page.${key}`, shared]),
)
const everything = [...Object.keys(capabilities), ...Object.keys(pageScopes)]

const note = 'Sandbox: a stand-in for Notion on this machine'
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

export const notionDialect: AuthorizationDialect = {
  provider: 'notion',
  issuer: 'https://api.notion.com',
  paths: {
    authorize: '/notion/v1/oauth/authorize',
    consent: '/notion/v1/oauth/sandbox',
    token: '/notion/v1/oauth/token',
    jwks: '/notion/v1/oauth/jwks',
    cookies: '/notion/v1/oauth',
  },
  scopes: everything,
  claims: {},
  subjectOf: notionUserId,
  claimsOf: () => ({}),
  // Notion says nothing about an end.
  accessTokenSeconds: 10 * 365 * 24 * 3600,
  refreshTokens: true,
  rotation: 'single_use',
  mint: (kind) =>
    kind === 'code'
      ? randomUUID()
      : `${kind === 'access' ? 'ntn_' : 'nrt_'}${Array.from(randomBytes(46), (byte) => alphabet[byte % 62]).join('')}`,
  widen: (requested) => requested,
  extraParameters: ['owner'],
  offline: () => true,
}

/** The seeded page at the top that a token's scope lets in, by its key. */
export function sharedRoots(scopes: readonly string[]): string[] {
  return scopes.filter((scope) => scope in pageScopes).map((scope) => scope.slice('page.'.length))
}

/**
 * https://developers.notion.com/docs/authorization: HTTP Basic and a JSON body; no scopes, no PKCE, no expiry. Each
 * authorization gives a pair of its own (since 2026-06-08); a refresh gives the next pair and ends the one before.
 */
export function notionOauth(
  app: FastifyInstance,
  dependencies: { server: AuthorizationServer; apps: AppRegistry; url: () => string },
): void {
  const { server, apps, url } = dependencies

  consentPages(app, {
    server,
    name: 'Notion',
    agree: 'Allow access',
    words: (scope) => ({
      scope,
      shown: scope in pageScopes ? 'page' : scope.replace('_', ' '),
      meaning: pageScopes[scope] ?? capabilities[scope] ?? scope,
      optional: scope in pageScopes,
      implied: false,
    }),
    handle: (person) => `${person.email}, ${workspace.name}`,
    hint: 'login_hint',
  })

  app.get(notionDialect.paths.authorize, async (request, reply) => {
    const asked = queryOf(request)
    if (!apps.knows('notion', asked['client_id'] ?? '')) {
      return refuse(reply, 'Missing or invalid client_id', 'No app has the client id of this request.')
    }
    if (!apps.redirectUris.includes(asked['redirect_uri'] ?? '')) {
      return refuse(
        reply,
        'Missing or invalid redirect_uri',
        `The app sent ${asked['redirect_uri'] ?? 'none'}, which is not registered for it.`,
      )
    }
    if (asked['owner'] !== 'user') {
      return refuse(reply, 'Missing or invalid owner', 'An app asks with owner=user.')
    }
    const { client_id, redirect_uri, state, response_type } = asked
    const outcome = await server.begin(
      // What Notion does not know it takes no notice of: scopes and PKCE among it. Pages are chosen each time.
      {
        client_id,
        redirect_uri,
        state,
        response_type,
        owner: 'user',
        scope: everything.join(' '),
        prompt: 'consent',
      },
      request.headers.cookie,
      { forgetPerson: true },
    )
    return goOn(reply, outcome)
  })

  app.get(`${notionDialect.paths.authorize}/:uid`, async (request, reply) =>
    goOn(reply, await server.resume(paramOf(request, 'uid'), request.headers.cookie)),
  )

  /** The fields of an authenticated client's JSON; the refusal is sent where it is none. */
  const fields = (request: FastifyRequest, reply: FastifyReply) => {
    const basic = basicOf(request)
    if (basic === undefined || !apps.authenticates('notion', basic.id, basic.secret)) {
      oauthProblem(
        reply,
        401,
        'invalid_client',
        'Client authentication failed: HTTP Basic with client id and secret.',
      )
      return undefined
    }
    if (!(request.headers['content-type'] ?? '').includes('json') || objectOf(request) === undefined) {
      oauthProblem(reply, 400, 'invalid_request', 'The body is to be a JSON object.')
      return undefined
    }
    return { ...fieldsOf(request), client_id: basic.id, client_secret: basic.secret }
  }

  app.post(notionDialect.paths.token, async (request, reply) => {
    const sent = fields(request, reply)
    if (sent === undefined) return reply
    const refreshToken = 'refresh_token' in sent ? String(sent.refresh_token) : undefined
    const known = refreshToken === undefined ? undefined : server.stateOf(refreshToken)
    // A refresh ends the whole pair, so the old access token goes first; the library takes care of the refresh token.
    if (refreshToken !== undefined && known?.kind === 'refresh') server.revokeAccessTokensOf(refreshToken)
    const answer = await server.token(sent, undefined)
    if (answer.status !== 200) {
      const error = String(answer.body['error'])
      const description =
        error === 'invalid_grant'
          ? refreshToken === undefined
            ? answer.detail.includes('redirect_uri')
              ? 'Invalid redirect URI.'
              : 'Invalid code.'
            : 'Invalid refresh token.'
          : String(answer.body['error_description'] ?? 'The request is not valid.')
      return oauthProblem(reply, 400, error, description)
    }
    const accessToken = String(answer.body['access_token'])
    const owner = await server.owner(accessToken)
    if (owner === undefined) throw new Error('A token that was just issued has no owner.')
    return notionAnswer(reply, {
      access_token: accessToken,
      token_type: 'bearer',
      refresh_token: answer.body['refresh_token'] ?? null,
      bot_id: botId(owner.person),
      workspace_id: workspace.id,
      workspace_name: workspace.name,
      workspace_icon: `${url()}/avatars/atom-labs.png`,
      owner: { type: 'user', user: personView(owner.person, url()) },
      duplicated_template_id: null,
    })
  })

  // Ends the authorization the token came from, with both its tokens. An unknown token is no error (RFC 7009).
  app.post('/notion/v1/oauth/revoke', async (request, reply) => {
    const sent = fields(request, reply)
    if (sent === undefined) return reply
    server.revokeAuthorization('token' in sent ? String(sent.token) : '')
    return notionAnswer(reply, {})
  })

  app.post('/notion/v1/oauth/introspect', async (request, reply) => {
    const sent = fields(request, reply)
    if (sent === undefined) return reply
    const state = server.stateOf('token' in sent ? String(sent.token) : '')
    if (state === undefined) return notionAnswer(reply, { active: false })
    const scope = state.scopes.filter((each) => each in capabilities).join(' ')
    return notionAnswer(reply, { active: true, scope, iat: state.issuedAt })
  })
}

export function personView(person: Person, url: string) {
  return {
    object: 'user',
    id: notionUserId(person),
    name: person.name,
    avatar_url: `${url}/avatars/${person.key}.png`,
    type: 'person',
    person: { email: person.email },
  }
}

function oauthProblem(reply: FastifyReply, status: number, error: string, description: string) {
  if (status === 401) reply.header('www-authenticate', 'Basic realm="notion"')
  return notionAnswer(reply, { error, error_description: description }, status)
}

function goOn(reply: FastifyReply, outcome: Outcome) {
  if (outcome.kind === 'refused') return refuse(reply, 'This request is not valid', outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  outcome.url.searchParams.delete('iss')
  outcome.url.searchParams.delete('error_description')
  return reply.redirect(outcome.url.href, 302)
}

function refuse(reply: FastifyReply, title: string, text: string) {
  return sendPage(reply, {
    title: `${title} · Notion sandbox`,
    note,
    status: 400,
    body: html`<h1>${title}</h1><p>${text}</p><p>Go back to the app and connect again.</p>`,
  })
}
