import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten } from '../token-answer.ts'

const Me = Type.Object({
  data: Type.Object({
    gid: Type.String(),
    name: Type.Optional(Type.String()),
    email: Type.Optional(Type.String()),
    photo: Type.Optional(
      Type.Union([Type.Object({ image_128x128: Type.Optional(Type.String()) }), Type.Null()]),
    ),
  }),
})

/**
 * Sources: developers.asana.com "OAuth", "OAuth scopes", "Rate limits", REST "Get a user". The refresh token comes with the
 * code exchange only and lasts; revoking takes that token and no other. Scopes have to be switched on in the app first, else
 * `forbidden_scopes`.
 */
export const asana: Provider = {
  id: 'asana',
  name: 'Asana',
  appConsoleUrl: 'https://app.asana.com/0/my-apps',
  guide: {
    category: 'projects',
    steps: [
      'Open My apps in the developer console of Asana and create a new app.',
      'Under “OAuth”, add {redirectUri} to the redirect URLs.',
      'Under “OAuth”, “Permission scopes”, switch on exactly what is asked for: {scopes}. What is not switched on there is refused as forbidden_scopes.',
      'Under “Manage distribution”, choose the workspaces that may use it, or any.',
      'Copy client ID and client secret from “OAuth”.',
    ],
  },
  issuer: 'https://app.asana.com',
  endpoints: {
    authorization: 'https://app.asana.com/-/oauth_authorize',
    token: 'https://app.asana.com/-/oauth_token',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: {},
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Personal access token',
          meaning: 'A token of yours, from https://app.asana.com/0/my-apps',
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
          'Atom has destroyed its copy of the key. Asana goes on accepting it until you revoke it at https://app.asana.com/0/my-apps.',
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'users:read', meaning: 'Read your profile and see your colleagues' },
      { scope: 'workspaces:read', meaning: 'See your workspaces' },
      { scope: 'projects:read', meaning: 'Read your projects' },
      { scope: 'tasks:read', meaning: 'Read your tasks' },
      { scope: 'tasks:write', meaning: 'Create and change tasks' },
    ],
    further: [
      { scope: 'projects:write', meaning: 'Create and change projects' },
      { scope: 'stories:read', meaning: 'Read comments and activity' },
      { scope: 'stories:write', meaning: 'Write comments' },
      { scope: 'attachments:read', meaning: 'Read attachments' },
    ],
    always: ['users:read'],
    contains: {
      default: ['users:read', 'workspaces:read', 'projects:read', 'tasks:read', 'tasks:write'],
    },
  },
  refreshTokens: 'lasting',
  errors: { forbidden_scopes: 'operator', redirect_uri_mismatch: 'operator' },
  api: {
    base: 'https://app.asana.com/api/1.0',
    hosts: ['app.asana.com'],
    headers: { accept: 'application/json' },
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation: 'Asana has ended the refresh token and every access token made from it.',

  /** An id_token is not asked for, and one that comes is not read. */
  tokenAnswer: (response) =>
    rewritten(response, ({ id_token: _unread, ...answer }, status) => ({ status, answer })),

  async identify(reader) {
    const { data } = await reader.get(
      'https://app.asana.com/api/1.0/users/me?opt_fields=gid,name,email,photo',
      Me,
    )
    return {
      id: data.gid,
      name: data.name || data.email || 'Asana account',
      ...(data.email && { email: data.email }),
      ...(data.photo?.image_128x128 && { picture: data.photo.image_128x128 }),
    }
  },

  revocation: ({ clientId, clientSecret, refreshToken }) =>
    refreshToken && {
      method: 'POST',
      url: 'https://app.asana.com/-/oauth_revoke',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        client_id: clientId,
        client_secret: clientSecret.reveal(),
        token: refreshToken.reveal(),
      }).toString(),
    },
  /** Also for a token that Asana does not know. */
  revoked: (status) => status === 200,
}
