import { Type } from 'typebox'
import { type Provider, ProviderAnswer } from '../provider.ts'

const UserInfo = Type.Object({
  sub: Type.String(),
  name: Type.Optional(Type.String()),
  nickname: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  email_verified: Type.Optional(Type.Boolean()),
  picture: Type.Optional(Type.String()),
})
/** Of the API itself, which a personal access token reads without OpenID Connect. */
const ApiUser = Type.Object({
  id: Type.Integer(),
  username: Type.String(),
  name: Type.Optional(Type.String()),
  email: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  avatar_url: Type.Optional(Type.Union([Type.String(), Type.Null()])),
})

/**
 * Sources: docs.gitlab.com "OAuth 2.0 identity provider API", "GitLab as OpenID Connect identity provider", "Rate limits";
 * gitlab.com/.well-known/openid-configuration. Access tokens live two hours; a refresh ends the pair before.
 */
export const gitlab: Provider = {
  id: 'gitlab',
  name: 'GitLab',
  appConsoleUrl: 'https://gitlab.com/-/user_settings/applications',
  guide: {
    category: 'development',
    steps: [
      'Open “Applications” in your user settings at GitLab, or in those of a group, and add a new application.',
      'Enter a name and {redirectUri} as the redirect URI.',
      'Leave “Confidential” on and choose the scopes: {scopes}.',
      'Save, and copy application ID and secret at once: GitLab shows the secret only once.',
    ],
  },
  issuer: 'https://gitlab.com',
  endpoints: {
    authorization: 'https://gitlab.com/oauth/authorize',
    token: 'https://gitlab.com/oauth/token',
    jwks: 'https://gitlab.com/oauth/discovery/keys',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: {},
  flows: {
    device_code: { endpoint: 'https://gitlab.com/oauth/authorize_device' },
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Personal access token',
          meaning:
            'A token of yours with the scope api, from https://gitlab.com/-/user_settings/personal_access_tokens',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'header', header: 'private-token', key: '{key}' },
    },
  },
  byFlow: {
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. GitLab goes on accepting it until you revoke it at https://gitlab.com/-/user_settings/personal_access_tokens.',
      },
      async identify(reader) {
        const user = await reader.get('https://gitlab.com/api/v4/user', ApiUser)
        return {
          id: String(user.id),
          name: user.name || user.username,
          handle: user.username,
          ...(user.email && { email: user.email }),
          ...(user.avatar_url && { picture: user.avatar_url }),
        }
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'openid', meaning: 'Know who you are at GitLab' },
      { scope: 'profile', meaning: 'Read your name and picture' },
      { scope: 'email', meaning: 'Read your e-mail address' },
      { scope: 'api', meaning: 'Read and write your projects, issues and merge requests' },
    ],
    further: [
      { scope: 'read_api', meaning: 'Read your projects, issues and merge requests' },
      { scope: 'read_repository', meaning: 'Read the files of your repositories' },
      { scope: 'write_repository', meaning: 'Write to your repositories' },
      { scope: 'read_registry', meaning: 'Read container images' },
    ],
    always: ['openid', 'profile', 'email'],
    contains: { api: ['read_api', 'read_user'] },
  },
  refreshTokens: 'single_use',
  errors: {},
  api: {
    base: 'https://gitlab.com/api/v4',
    hosts: ['gitlab.com'],
    headers: {},
    rateLimit: { remaining: 'ratelimit-remaining', reset: 'ratelimit-reset', retryAfter: 'retry-after' },
  },
  afterRevocation:
    'GitLab has ended the access token and its refresh token. The app leaves the list of authorised applications there with its last token.',

  async identify(reader) {
    const user = await reader.get('https://gitlab.com/oauth/userinfo', UserInfo)
    if (reader.subject !== undefined && user.sub !== reader.subject) {
      // OpenID Connect Core 5.3.2: userinfo of another subject must not be used.
      throw new ProviderAnswer(200, 'userinfo speaks of another subject than the id_token')
    }
    const email = user.email_verified === false ? undefined : user.email
    return {
      id: user.sub,
      name: user.name || user.nickname || 'GitLab account',
      ...(user.nickname && { handle: user.nickname }),
      ...(email && { email }),
      ...(user.picture && { picture: user.picture }),
    }
  },

  revocation: ({ clientId, clientSecret, accessToken, refreshToken }) => ({
    method: 'POST',
    url: 'https://gitlab.com/oauth/revoke',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      client_id: clientId,
      client_secret: clientSecret.reveal(),
      token: (refreshToken ?? accessToken).reveal(),
    }).toString(),
  }),
  revoked: (status) => status === 200,
}
