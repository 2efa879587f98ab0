import { randomBytes, randomInt } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { AppRegistry } from '../app-registry.ts'
import {
  type AuthorizationDialect,
  type AuthorizationServer,
  type Outcome,
  type Parameters,
  scopeList,
  type TokenAnswer,
  type TokenPair,
} from '../authorization-server.ts'
import { consentPages } from '../consent-pages.ts'
import type { GrantStore } from '../grant-store.ts'
import { html, sendPage } from '../page.ts'
import { basicOf, fieldsOf, paramOf, queryOf } from '../request-parts.ts'
import type { SandboxStore } from '../sandbox-store.ts'
import { slackAnswer, slackProblem } from './slack-answers.ts'
import { administersOrganisation, bot, organisation, slackUserId, team } from './slack-team.ts'

/** https://docs.slack.dev/reference/scopes: what the app may do by itself. */
const botMeanings: Readonly<Record<string, string>> = {
  'channels:read': 'See public channels',
  'channels:history': 'Read public channels it was added to',
  'channels:join': 'Join public channels',
  'groups:read': 'See private channels it was added to',
  'groups:history': 'Read private channels it was added to',
  'chat:write': 'Send messages as Atom',
  'chat:write.public': 'Send messages to public channels it was not added to',
  'users:read': 'See the people of the workspace',
  'users:read.email': 'See their e-mail addresses',
  'team:read': 'See the name of the workspace',
  'reactions:write': 'React to messages',
  'app_mentions:read': 'Read messages that mention Atom',
}
/** And in the name of the person who connects it. */
const userMeanings: Readonly<Record<string, string>> = {
  'channels:read': 'See public channels, as you',
  'channels:history': 'Read public channels, as you',
  'groups:read': 'See your private channels',
  'groups:history': 'Read your private channels',
  'chat:write': 'Send messages as you',
  'users:read': 'See the people of the workspace, as you',
  'users:read.email': 'See their e-mail addresses, as you',
  'team:read': 'See the name of the workspace, as you',
}

// Both kinds go through one authorization; inside, those of the person carry a mark.
const mark = 'person.'
const marked = (scope: string): string => `${mark}${scope}`

// Nor does this leave: a token that was given for the whole organisation carries it.
const ofOrganisation = 'organisation'
const codeSeconds = 600

const halfDay = 12 * 3600
const tenYears = 10 * 365 * 24 * 3600
const note = 'Sandbox: a stand-in for Slack on this machine'

const paths = {
  authorize: '/slack/oauth/v2/authorize',
  consent: '/slack/oauth/v2/sandbox',
  token: '/slack/api/oauth.v2.access',
  jwks: '/slack/oauth/v2/jwks',
  cookies: '/slack/oauth/v2',
} as const

export const slackDialect = (rotating: TokenRotation): AuthorizationDialect => ({
  provider: 'slack',
  issuer: 'https://slack.com',
  paths,
  scopes: [...Object.keys(botMeanings), ...Object.keys(userMeanings).map(marked)],
  claims: {},
  subjectOf: slackUserId,
  claimsOf: () => ({}),
  // Of a token that was refreshed; those of an app without rotation are given their long life when they are split.
  accessTokenSeconds: halfDay,
  refreshTokens: true,
  rotation: 'single_use',
  mint: (kind, scope) => {
    const digits = () => String(randomInt(10 ** 11, 10 ** 12))
    if (kind === 'code') return `${digits()}.${digits()}.${randomBytes(32).toString('hex')}`
    if (kind === 'refresh') return `xoxe-1-${randomBytes(72).toString('base64url')}`
    const looks = scope.startsWith(mark) ? 'xoxp' : 'xoxb'
    return rotating.on
      ? `xoxe.${looks}-1-${randomBytes(84).toString('base64url')}`
      : `${looks}-${digits()}-${digits()}-${randomBytes(16).toString('hex')}`
  },
  // What was granted once stays granted.
  widen: (requested, granted) => [...requested, ...granted],
  extraParameters: ['team'],
  // Refresh tokens are given with the split, where the app opted in.
  offline: () => false,
})

/** Scopes as Slack says them, without the mark. */
export function visibleScopes(scopes: readonly string[]): string[] {
  const said = scopes.filter((scope) => scope !== ofOrganisation)
  return said.map((scope) => (scope.startsWith(mark) ? scope.slice(mark.length) : scope))
}

/** A token speaks for the bot, or for the person who connected it. */
export function isPersons(scopes: readonly string[]): boolean {
  return scopes.some((scope) => scope.startsWith(mark))
}

/** It was installed for the organisation: which workspace is meant, each call has to say. */
export function isOrganisations(scopes: readonly string[]): boolean {
  return scopes.includes(ofOrganisation)
}

/** Whether the app opted in to token rotation: https://docs.slack.dev/authentication/using-token-rotation */
export class TokenRotation {
  readonly #store: SandboxStore

  constructor(store: SandboxStore) {
    this.#store = store
  }

  get on(): boolean {
    return this.#store.setting('slack.rotation') === 'on'
  }

  turnOn(): void {
    this.#store.keepSetting('slack.rotation', 'on')
  }

  reset(): void {
    this.#store.keepSetting('slack.rotation', 'off')
  }
}

/**
 * https://docs.slack.dev/authentication/installing-with-oauth: comma-separated scopes of two kinds, refusals with HTTP 200, and
 * two tokens in one answer. PKCE parameters are taken no notice of: this is an app that has not opted in to PKCE.
 */
export function slackOauth(
  app: FastifyInstance,
  dependencies: {
    server: AuthorizationServer
    apps: AppRegistry
    rotation: TokenRotation
    grants: GrantStore
  },
): void {
  const { server, apps, rotation, grants } = dependencies
  const soon = () => Math.floor(Date.now() / 1000) + codeSeconds

  consentPages(app, {
    server,
    name: 'Slack',
    agree: 'Allow',
    words: (scope) => {
      const [shown = scope] = visibleScopes([scope])
      const meaning = (scope.startsWith(mark) ? userMeanings : botMeanings)[shown]
      return { scope, shown, meaning: meaning ?? shown, optional: false, implied: false }
    },
    handle: (person) => `${person.email}, ${team.name}`,
    hint: 'login_hint',
    choice: {
      legend: 'Where to install',
      options: (person) =>
        administersOrganisation(person)
          ? [
              { value: team.id, shown: `${team.name} (workspace)` },
              { value: organisation.id, shown: `${organisation.name} (all of the organisation)` },
            ]
          : [],
      chosen(uid, value) {
        if (value === organisation.id) grants.save('OrganisationPage', uid, { exp: soon() })
      },
    },
  })

  app.get(paths.authorize, async (request, reply) => {
    const asked = queryOf(request)
    if (!apps.knows('slack', asked['client_id'] ?? '')) {
      return refuse(reply, 'Invalid client_id parameter', 'No app has the client id of this request.')
    }
    const redirectUri = asked['redirect_uri'] ?? apps.redirectUris[0]
    if (redirectUri === undefined || !apps.redirectUris.includes(redirectUri)) {
      return refuse(
        reply,
        'redirect_uri did not match any configured URIs',
        `The app passed in ${redirectUri ?? 'none'}.`,
      )
    }
    const wanted = scopeList(asked['scope'])
    const personal = scopeList(asked['user_scope'])
    const unknown = [
      ...wanted.filter((scope) => !(scope in botMeanings)),
      ...personal.filter((scope) => !(scope in userMeanings)),
    ]
    if (unknown.length > 0 || wanted.length + personal.length === 0) {
      return refuse(
        reply,
        'Invalid permissions requested',
        unknown.length === 0
          ? 'No scopes requested.'
          : `Requested scopes were invalid: ${unknown.join(', ')}`,
      )
    }
    const outcome = await server.begin(
      {
        client_id: asked['client_id'],
        redirect_uri: redirectUri,
        state: asked['state'],
        response_type: 'code',
        scope: [...wanted, ...personal.map(marked)].join(' '),
        // Slack asks again each time.
        prompt: 'consent',
      },
      request.headers.cookie,
      { forgetPerson: true },
    )
    return goOn(reply, outcome)
  })

  app.get(`${paths.authorize}/:uid`, async (request, reply) => {
    const uid = paramOf(request, 'uid')
    const outcome = await server.resume(uid, request.headers.cookie)
    const code = outcome.kind === 'callback' ? outcome.url.searchParams.get('code') : null
    if (code !== null && grants.find('OrganisationPage', uid) !== undefined) {
      grants.save('OrganisationCode', code, { exp: soon() })
    }
    return goOn(reply, outcome)
  })

  /** The fields of an authenticated client, its id and secret among them; the refusal is sent where it is none. */
  const clientFields = (request: FastifyRequest, reply: FastifyReply): Parameters | undefined => {
    const fields = fieldsOf(request)
    const basic = basicOf(request)
    const clientId = basic?.id ?? fields['client_id'] ?? ''
    const secret = basic?.secret ?? fields['client_secret'] ?? ''
    if (apps.authenticates('slack', clientId, secret)) {
      return { ...fields, client_id: clientId, client_secret: secret }
    }
    slackProblem(reply, apps.knows('slack', clientId) ? 'bad_client_secret' : 'invalid_client_id')
    return undefined
  }

  const remark = (model: 'AccessToken' | 'RefreshToken', token: string) => {
    const payload = grants.find(model, token)
    if (payload === undefined) return
    grants.save(model, token, { ...payload, scope: `${payload.scope} ${ofOrganisation}` })
  }

  // A token from before the app opted in, for a pair: https://docs.slack.dev/reference/methods/oauth.v2.exchange
  app.post('/slack/api/oauth.v2.exchange', async (request, reply) => {
    const fields = clientFields(request, reply)
    if (fields === undefined) return reply
    if (!rotation.on) return slackProblem(reply, 'token_rotation_not_enabled')
    const token = fields['token'] ?? ''
    const owner = await server.owner(token)
    if (owner === undefined) return slackProblem(reply, 'invalid_token')
    if (token.startsWith('xoxe.')) return slackProblem(reply, 'token_already_exchanged')
    const life = { seconds: halfDay, refresh: true }
    const [pair] = await server.split(token, [owner.scopes.join(' ')], life)
    return slackAnswer(reply, { ...installation(owner.scopes), ...(pair && tokenView(pair, owner.scopes)) })
  })

  app.post(paths.token, async (request, reply) => {
    const fields = clientFields(request, reply)
    if (fields === undefined) return reply
    const sent: Parameters = {
      grant_type: 'authorization_code',
      redirect_uri: server.redirectUriOf(fields['code'] ?? ''),
      ...fields,
      code_verifier: undefined,
    }
    const spent = grants.find('RefreshToken', sent['refresh_token'] ?? '')?.scope ?? ''
    const answer = await server.token(sent, undefined)
    if (answer.status !== 200) return slackProblem(reply, refusal(answer, sent))
    const accessToken = String(answer.body['access_token'])
    // No scope that anybody consented to, so the library does not hand it on.
    if (isOrganisations(scopeList(spent))) {
      remark('AccessToken', accessToken)
      remark('RefreshToken', String(answer.body['refresh_token']))
    }
    const owner = await server.owner(accessToken)
    if (owner === undefined) throw new Error('A token that was just issued has no owner.')
    if (sent['grant_type'] === 'refresh_token') {
      const refreshToken = String(answer.body['refresh_token'])
      const personal = isPersons(owner.scopes)
      return slackAnswer(reply, {
        ...installation(owner.scopes),
        ...tokenView({ accessToken, refreshToken }, owner.scopes),
        ...(personal ? { user_id: slackUserId(owner.person) } : { bot_user_id: bot.userId }),
      })
    }

    const personal = owner.scopes.filter((scope) => scope.startsWith(mark))
    const own = owner.scopes.filter((scope) => !scope.startsWith(mark))
    const parts = [own, personal].filter((scopes) => scopes.length > 0)
    const place = grants.find('OrganisationCode', fields['code'] ?? '') === undefined ? [] : [ofOrganisation]
    const pairs = await server.split(
      accessToken,
      parts.map((scopes) => [...scopes, ...place].join(' ')),
      { seconds: rotation.on ? halfDay : tenYears, refresh: rotation.on },
    )
    const pairOf = (scopes: string[]) => {
      const pair = pairs[parts.indexOf(scopes)]
      return pair === undefined ? undefined : tokenView(pair, scopes)
    }
    return slackAnswer(reply, {
      ...installation(place),
      authed_user: { id: slackUserId(owner.person), ...pairOf(personal) },
      ...(own.length === 0 ? undefined : { ...pairOf(own), bot_user_id: bot.userId }),
    })
  })
}

function installation(scopes: readonly string[]) {
  const whole = isOrganisations(scopes)
  return {
    app_id: bot.appId,
    team: whole ? null : { id: team.id, name: team.name },
    enterprise: whole ? organisation : null,
    is_enterprise_install: whole,
  }
}

function tokenView({ accessToken, refreshToken }: TokenPair, scopes: readonly string[]) {
  return {
    access_token: accessToken,
    token_type: isPersons(scopes) ? 'user' : 'bot',
    scope: visibleScopes(scopes).join(','),
    ...(refreshToken === undefined ? undefined : { refresh_token: refreshToken, expires_in: halfDay }),
  }
}

function refusal({ body, detail }: TokenAnswer, sent: Parameters): string {
  if (body['error'] === 'unsupported_grant_type') return 'invalid_grant_type'
  if (sent['grant_type'] === 'refresh_token') return 'invalid_refresh_token'
  if (detail.includes('redirect_uri')) return 'bad_redirect_uri'
  return detail.includes('consumed') ? 'code_already_used' : 'invalid_code'
}

function goOn(reply: FastifyReply, outcome: Outcome) {
  if (outcome.kind === 'refused') return refuse(reply, 'Something went wrong', outcome.description)
  reply.header('set-cookie', outcome.cookies)
  if (outcome.kind === 'page') return reply.redirect(outcome.location, 303)
  outcome.url.searchParams.delete('iss')
  outcome.url.searchParams.delete('error_description')
  return reply.redirect(outcome.url.href, 302)
}

function refuse(reply: FastifyReply, title: string, text: string) {
  return sendPage(reply, {
    title: `${title} · Slack sandbox`,
    note,
    status: 400,
    body: html`<h1>${title}</h1><p>${text}</p><p>Go back to the app and connect again.</p>`,
  })
}
