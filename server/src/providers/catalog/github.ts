import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten } from '../token-answer.ts'

const User = Type.Object({
  id: Type.Integer(),
  login: Type.String(),
  name: Type.Union([Type.String(), Type.Null()]),
  email: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  avatar_url: Type.Optional(Type.String()),
})
const Installation = Type.Object({
  account: Type.Object({
    id: Type.Integer(),
    login: Type.String(),
    avatar_url: Type.Optional(Type.String()),
  }),
})
const Emails = Type.Array(
  Type.Object({ email: Type.String(), primary: Type.Boolean(), verified: Type.Boolean() }),
)

/**
 * Sources: docs.github.com "Authorizing OAuth apps", "Scopes for OAuth apps", "Troubleshooting OAuth app access token request
 * errors", REST "OAuth authorizations", "Authentication discovery endpoints". PKCE S256 since 2025-07-14 (github.blog), `iss`
 * in the authorization answer since 2026-04; "Authorizing OAuth apps", device flow (an app has to switch it on); "Managing
 * your personal access tokens". A GitHub App's user tokens live eight hours and its refresh tokens are single
 * use; it has permissions instead of scopes, so its app is entered with an empty list of scopes.
 */
export const github: Provider = {
  id: 'github',
  name: 'GitHub',
  appConsoleUrl: 'https://github.com/settings/developers',
  guide: {
    category: 'development',
    steps: [
      'Open Settings, Developer settings, OAuth Apps at GitHub, for yourself or for your organisation, and choose “New OAuth app”.',
      'Enter a name that people will recognise and the address of this server as the homepage.',
      'Enter {redirectUri} as the authorization callback URL, and register the application.',
      'Copy the client ID. Choose “Generate a new client secret” and copy it at once: GitHub shows it only once.',
      'Scopes need not be entered at GitHub: each connection asks for its own ({scopes}).',
    ],
  },
  issuer: 'https://github.com/login/oauth',
  endpoints: {
    authorization: 'https://github.com/login/oauth/authorize',
    token: 'https://github.com/login/oauth/access_token',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: {},
  accountHint: { login: '{handle}' },
  particulars: {
    slug: {
      label: 'Name in addresses',
      meaning: 'For a GitHub App: the last part of its public page, https://github.com/apps/….',
      pattern: /^[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?$/,
      configurable: true,
      optional: true,
    },
    installation: { meaning: 'Where the GitHub App is installed.', pattern: /^[1-9]\d{0,19}$/ },
  },
  appKey: { meaning: 'For a GitHub App: a private key from its settings, with which it is installed.' },
  flows: {
    app_installation: {
      by: 'key',
      needs: { slug: /./ },
      address: 'https://github.com/apps/{slug}/installations/new',
      parameters: {},
      particular: 'installation',
      answer: { name: 'installation_id', pending: { name: 'setup_action', value: 'request' } },
      token: 'https://api.github.com/app/installations/{installation}/access_tokens',
    },
    device_code: { endpoint: 'https://github.com/login/device/code' },
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Personal access token',
          meaning:
            'A fine-grained or classic token of yours, from https://github.com/settings/personal-access-tokens',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'bearer', key: '{key}' },
    },
  },
  byFlow: {
    app_installation: {
      async identify(reader) {
        const { installation } = reader.particulars
        const { account } = await reader.getAsApp(
          `https://api.github.com/app/installations/${installation}`,
          Installation,
        )
        return {
          id: `${account.id}.installation`,
          name: account.login,
          handle: account.login,
          ...(account.avatar_url && { picture: account.avatar_url }),
        }
      },
      ending: {
        afterRevocation:
          'GitHub has ended the token. The app stays installed until somebody uninstalls it at https://github.com/settings/installations.',
        revocation: ({ accessToken }) => ({
          method: 'DELETE',
          url: 'https://api.github.com/installation/token',
          headers: {
            authorization: `Bearer ${accessToken.reveal()}`,
            accept: 'application/vnd.github+json',
            'user-agent': 'Atom',
          },
          body: '',
        }),
        /** 401: it had ended before. */
        revoked: (status) => status === 204 || status === 401,
        remains: [
          { what: 'The app stays installed at GitHub until somebody uninstalls it.', until: 'person' },
        ],
      },
    },
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. GitHub goes on accepting it until you delete it at https://github.com/settings/personal-access-tokens.',
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /[,\s]+/,
    standard: [
      { scope: 'read:user', meaning: 'Read your profile' },
      { scope: 'user:email', meaning: 'Read your e-mail addresses' },
      { scope: 'repo', meaning: 'Read and write your repositories, issues and pull requests' },
    ],
    further: [
      { scope: 'read:org', meaning: 'See the organisations and teams you are in' },
      { scope: 'gist', meaning: 'Create and change gists' },
      { scope: 'notifications', meaning: 'Read and mark your notifications' },
      { scope: 'workflow', meaning: 'Change the workflow files of GitHub Actions' },
    ],
    always: [],
    contains: {
      user: ['read:user', 'user:email', 'user:follow'],
      repo: ['repo:status', 'repo_deployment', 'public_repo', 'repo:invite', 'security_events'],
      'admin:org': ['write:org'],
      'write:org': ['read:org'],
      'admin:public_key': ['write:public_key'],
      'write:public_key': ['read:public_key'],
      'admin:repo_hook': ['write:repo_hook'],
      'write:repo_hook': ['read:repo_hook'],
    },
  },
  refreshTokens: 'single_use',
  errors: {
    bad_verification_code: 'reconnect',
    bad_refresh_token: 'reconnect',
    unverified_user_email: 'refused',
    incorrect_client_credentials: 'operator',
    redirect_uri_mismatch: 'operator',
    application_suspended: 'operator',
    device_flow_disabled: 'operator',
    incorrect_device_code: 'refused',
  },
  troubles: {
    application_suspended: {
      whose: 'operator',
      action: 'configure_app',
      reason: 'GitHub has suspended Atom’s app. The owner of the app has to ask GitHub why.',
    },
  },
  api: {
    base: 'https://api.github.com',
    hosts: ['api.github.com', 'uploads.github.com'],
    headers: {
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      'user-agent': 'Atom',
    },
    rateLimit: {
      remaining: 'x-ratelimit-remaining',
      reset: 'x-ratelimit-reset',
      retryAfter: 'retry-after',
      said: ['rate limit'],
    },
  },
  afterRevocation:
    'GitHub has ended the grant and every token of it. Connecting again asks for consent again.',

  /** Errors come with status 200. */
  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => ({
      status: status === 200 && 'error' in answer ? 400 : status,
      answer,
    })),

  async identify(reader) {
    const user = await reader.get('https://api.github.com/user', User)
    const mayReadEmails = reader.granted.includes('user:email') || reader.granted.includes('user')
    const emails =
      user.email || !mayReadEmails ? [] : await reader.get('https://api.github.com/user/emails', Emails)
    const email = user.email ?? emails.find((entry) => entry.primary && entry.verified)?.email
    return {
      id: String(user.id),
      name: user.name || user.login,
      handle: user.login,
      ...(email && { email }),
      ...(user.avatar_url && { picture: user.avatar_url }),
    }
  },

  /** The whole grant: with `/token` GitHub would connect the next time without asking. */
  revocation({ clientId, clientSecret, accessToken }) {
    const basic = Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64')
    return {
      method: 'DELETE',
      url: `https://api.github.com/applications/${encodeURIComponent(clientId)}/grant`,
      headers: {
        authorization: `Basic ${basic}`,
        accept: 'application/vnd.github+json',
        'content-type': 'application/json',
        'user-agent': 'Atom',
      },
      body: JSON.stringify({ access_token: accessToken.reveal() }),
    }
  },
  /** 404: the token is not one of a living grant. */
  revoked: (status) => status === 204 || status === 404,
}
