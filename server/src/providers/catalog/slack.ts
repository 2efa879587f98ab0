import { type Static, Type } from 'typebox'
import { type Provider, ProviderAnswer, verdictOf } from '../provider.ts'
import { rewritten, textAt, withoutNulls } from '../token-answer.ts'

const Answer = Type.Object({ ok: Type.Boolean(), error: Type.Optional(Type.String()) })
const AuthTest = Type.Object({
  ...Answer.properties,
  team: Type.Optional(Type.String()),
  team_id: Type.Optional(Type.String()),
  user: Type.Optional(Type.String()),
  user_id: Type.Optional(Type.String()),
})
const UserInfo = Type.Object({
  ...Answer.properties,
  user: Type.Optional(
    Type.Object({
      name: Type.Optional(Type.String()),
      real_name: Type.Optional(Type.String()),
      profile: Type.Optional(
        Type.Object({
          email: Type.Optional(Type.String()),
          image_192: Type.Optional(Type.String()),
        }),
      ),
    }),
  ),
})

/**
 * Sources: docs.slack.dev "Installing with OAuth", "Using token rotation", "PKCE" (2026-03-30), methods oauth.v2.access,
 * auth.test, auth.revoke, users.info. Failures come with status 200 and `ok: false`. The connection holds the bot's
 * credential, which everyone of one workspace has in common; `authed_user` says who installed it. Where user scopes were asked
 * for (`user/search:read`), it holds the person's as well, with a life of its own; where only those were, it holds that alone.
 */
export const slack: Provider = {
  id: 'slack',
  name: 'Slack',
  appConsoleUrl: 'https://api.slack.com/apps',
  guide: {
    category: 'communication',
    steps: [
      'Create an app “From scratch” at api.slack.com/apps, in the workspace that it is to be developed in.',
      'Under “OAuth & Permissions”, add {redirectUri} to the redirect URLs. Slack takes https only.',
      'In the same place, add the bot token scopes: {scopes}.',
      'Leave PKCE off: switching it on makes the app a public client for good, whose refresh tokens end after 30 days.',
      'Copy client ID and client secret from “Basic Information”, “App Credentials”.',
      'For other workspaces than your own, activate the distribution under “Manage Distribution”.',
    ],
    redirectIsHttps: true,
  },
  issuer: 'https://slack.com',
  endpoints: {
    authorization: 'https://slack.com/oauth/v2/authorize',
    token: 'https://slack.com/api/oauth.v2.access',
  },
  particulars: {
    team: { meaning: 'The workspace, or the organisation.', pattern: /^[TE][A-Z0-9]{2,30}$/ },
    person: { meaning: 'Who installed the app.', pattern: /^[UW][A-Z0-9]{2,30}$/ },
  },
  sharedGrant: 'team',
  slots: {
    others: { user: { prefix: 'user/', parameter: 'user_scope', own: true } },
    of({ answer }) {
      const accessToken = textAt(answer, 'authed_user', 'access_token')
      if (accessToken === undefined) return { first: 'bot', others: {} }
      // The bot's is missing, so `tokenAnswer` has put the person's in its place.
      if (accessToken === answer['access_token']) return { first: 'user', others: {} }
      const expiresIn = textAt(answer, 'authed_user', 'expires_in')
      const user = {
        accessToken,
        refreshToken: textAt(answer, 'authed_user', 'refresh_token'),
        expiresIn: expiresIn === undefined ? undefined : Number(expiresIn),
        scope: textAt(answer, 'authed_user', 'scope'),
      }
      return { first: 'bot', others: { user } }
    },
  },
  clientAuthentication: 'client_secret_post',
  pkce: {
    off: 'switching it on makes the app a public client for good, whose refresh tokens end after 30 days; state and secret protect the code instead',
  },
  authorizationExtras: {},
  accountHint: { team: '{team}' },
  flows: {
    // An organisation's own id begins with E; only its administrators can agree.
    app_installation: { by: 'consent', granted: { team: /^E/ } },
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Bot token',
          meaning:
            'The bot token (xoxb-…) of an app of yours, from its OAuth page at https://api.slack.com/apps',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'bearer', key: '{key}' },
    },
  },
  byFlow: {
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Slack goes on accepting it until it is revoked at https://api.slack.com/apps.',
      },
      /** A key names neither team nor person beside it, as consent does. */
      async identify(reader) {
        const test = requireOk(await reader.get('https://slack.com/api/auth.test', AuthTest))
        return {
          id: `${test.team_id}.${test.user_id}`,
          name: test.user || test.team || 'Slack app',
          ...(test.team && { handle: test.team }),
          particulars: { team: test.team_id ?? '', person: test.user_id ?? '' },
        }
      },
    },
  },
  scopes: {
    separator: ',',
    answerSeparator: /,/,
    standard: [
      { scope: 'channels:read', meaning: 'See the public channels' },
      { scope: 'chat:write', meaning: 'Send messages as Atom' },
      { scope: 'users:read', meaning: 'See who is in the workspace' },
      { scope: 'team:read', meaning: 'Read the name of the workspace' },
    ],
    further: [
      { scope: 'channels:history', meaning: 'Read the messages of public channels it is in' },
      { scope: 'groups:read', meaning: 'See the private channels it is in' },
      { scope: 'groups:history', meaning: 'Read the messages of private channels it is in' },
      { scope: 'im:write', meaning: 'Begin direct messages' },
      { scope: 'reactions:write', meaning: 'Add reactions' },
      { scope: 'files:read', meaning: 'Read the files shared where it is' },
      { scope: 'users:read.email', meaning: 'Read e-mail addresses' },
    ],
    always: ['users:read'],
    contains: {},
  },
  refreshTokens: 'single_use',
  errors: {
    bad_client_secret: 'operator',
    bad_redirect_uri: 'operator',
    invalid_client_id: 'operator',
    invalid_scope_requested: 'operator',
    code_already_used: 'refused',
    invalid_code: 'refused',
    account_inactive: 'reconnect',
    invalid_auth: 'reconnect',
    invalid_refresh_token: 'reconnect',
    not_authed: 'reconnect',
    org_login_required: 'reconnect',
    token_revoked: 'reconnect',
    missing_scope: 'reconsent',
    token_expired: 'refresh',
    fatal_error: 'retry',
    internal_error: 'retry',
    ratelimited: 'retry',
    request_timeout: 'retry',
    service_unavailable: 'retry',
  },
  troubles: {
    account_inactive: {
      whose: 'admin',
      action: 'ask_admin',
      reason: 'The account or the workspace was deactivated in Slack. An admin can activate it again.',
    },
    org_login_required: {
      whose: 'person',
      action: 'reconnect',
      reason: 'Your workspace has moved to an organisation in Slack.',
    },
    bad_client_secret: {
      whose: 'operator',
      action: 'configure_app',
      reason: 'Slack does not accept the client secret of Atom’s app. Enter the current one.',
    },
  },
  api: {
    base: 'https://slack.com/api/',
    hosts: ['slack.com', 'files.slack.com'],
    dottedPaths: true,
    headers: {},
    failures: { status: 200, code: 'error' },
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Slack has ended the token, and a bot has left its channels with it. The app stays installed until somebody removes it in Slack.',
  remains: [
    {
      what: 'The app stays installed in the Slack workspace until somebody removes it there.',
      until: 'person',
    },
  ],

  /** `token_type` is `bot`, which RFC 6750 does not know; without bot scopes the token is that of `authed_user`. */
  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => {
      if (answer['ok'] === false) {
        return { status: 400, answer: { error: textAt(answer, 'error') ?? 'unknown_error' } }
      }
      const person = answer['authed_user']
      const own =
        answer['access_token'] === undefined && typeof person === 'object' && person !== null ? person : {}
      return { status, answer: withoutNulls({ ...answer, ...own, token_type: 'bearer' }) }
    }),

  particularsOf: ({ answer }) => ({
    team: textAt(answer, 'team', 'id') ?? textAt(answer, 'enterprise', 'id'),
    person: textAt(answer, 'authed_user', 'id'),
  }),

  async identify(reader) {
    requireOk(await reader.get('https://slack.com/api/auth.test', Answer))
    const { team, person } = reader.particulars
    if (team === undefined || person === undefined) {
      throw new ProviderAnswer(200, 'the token answer of Slack names no team or no person')
    }
    const { user } = requireOk(await reader.get(`https://slack.com/api/users.info?user=${person}`, UserInfo))
    return {
      id: `${team}.${person}`,
      name: user?.real_name || user?.name || person,
      ...(user?.name && { handle: user.name }),
      ...(user?.profile?.email && { email: user.profile.email }),
      ...(user?.profile?.image_192 && { picture: user.profile.image_192 }),
    }
  },

  /** `auth.revoke` ends the token that it is called with. */
  revocation: ({ accessToken }) => ({
    method: 'POST',
    url: 'https://slack.com/api/auth.revoke',
    headers: {
      authorization: `Bearer ${accessToken.reveal()}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: '',
  }),
  /** Errors that say that there is no such token any more. */
  revoked: (status, body) =>
    status === 200 &&
    (/"ok"\s*:\s*true/.test(body) || /"(?:token_revoked|invalid_auth|account_inactive)"/.test(body)),
}

function requireOk<T extends Static<typeof Answer>>(answer: T): T {
  if (answer.ok) return answer
  const error = answer.error ?? 'unknown_error'
  const verdict = verdictOf(slack, error)
  const status = verdict === 'reconnect' || verdict === 'refresh' ? 401 : verdict === 'retry' ? 503 : 400
  throw new ProviderAnswer(status, `Slack answered ${error}`)
}
