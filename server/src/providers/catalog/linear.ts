import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten } from '../token-answer.ts'

const Viewer = Type.Object({
  data: Type.Object({
    viewer: Type.Object({
      id: Type.String(),
      name: Type.Optional(Type.String()),
      displayName: Type.Optional(Type.String()),
      email: Type.Optional(Type.String()),
      avatarUrl: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    }),
  }),
})

/**
 * Sources: linear.app/developers "OAuth 2.0 authentication", "Rate limiting", "GraphQL". Since April 2026 every access token
 * lives a day and comes with a refresh token. Scopes go with commas; the whole API is one address of GraphQL.
 */
export const linear: Provider = {
  id: 'linear',
  name: 'Linear',
  appConsoleUrl: 'https://linear.app/settings/api/applications/new',
  guide: {
    category: 'projects',
    steps: [
      'Open Settings, “API”, in Linear and choose “New OAuth application”.',
      'Enter a name and the address of this server, and {redirectUri} as a callback URL.',
      'Make it public if people of other Linear workspaces are to connect.',
      'Copy client ID and client secret.',
    ],
  },
  issuer: 'https://linear.app',
  endpoints: {
    authorization: 'https://linear.app/oauth/authorize',
    token: 'https://api.linear.app/oauth/token',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: { prompt: 'consent' },
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'API key',
          meaning: 'A personal API key, from https://linear.app/settings/account/security',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'header', header: 'authorization', key: '{key}' },
    },
  },
  byFlow: {
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Linear goes on accepting it until you revoke it at https://linear.app/settings/account/security.',
      },
    },
  },
  scopes: {
    separator: ',',
    answerSeparator: /[,\s]+/,
    standard: [
      { scope: 'read', meaning: 'Read your issues and projects' },
      { scope: 'write', meaning: 'Create and change issues' },
    ],
    further: [
      { scope: 'issues:create', meaning: 'Create issues' },
      { scope: 'comments:create', meaning: 'Write comments' },
      { scope: 'timeSchedule:write', meaning: 'Change time schedules' },
    ],
    always: ['read'],
    contains: { write: ['issues:create', 'comments:create'] },
  },
  refreshTokens: 'single_use',
  errors: {},
  api: {
    base: 'https://api.linear.app',
    hosts: ['api.linear.app', 'uploads.linear.app'],
    headers: {},
    rateLimit: { remaining: 'x-ratelimit-requests-remaining', retryAfter: 'retry-after' },
  },
  afterRevocation: 'Linear has ended the access. The app stays in the list of authorised apps there.',
  remains: [{ what: 'The app stays in the list of authorised applications at Linear.', until: 'person' }],

  /** The scopes are a list in some answers and a text in others. */
  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => {
      const { scope } = answer
      return { status, answer: Array.isArray(scope) ? { ...answer, scope: scope.join(' ') } : answer }
    }),

  async identify(reader) {
    const query = '{ viewer { id name displayName email avatarUrl } }'
    const { data } = await reader.post('https://api.linear.app/graphql', { query }, Viewer)
    const { viewer } = data
    return {
      id: viewer.id,
      name: viewer.name || viewer.displayName || 'Linear account',
      ...(viewer.displayName && { handle: viewer.displayName }),
      ...(viewer.email && { email: viewer.email }),
      ...(viewer.avatarUrl && { picture: viewer.avatarUrl }),
    }
  },

  revocation: ({ accessToken, refreshToken }) => ({
    method: 'POST',
    url: 'https://api.linear.app/oauth/revoke',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      token: (refreshToken ?? accessToken).reveal(),
      token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token',
    }).toString(),
  }),
  revoked: (status) => status === 200,
}
