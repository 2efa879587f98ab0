import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten } from '../token-answer.ts'

const User = Type.Object({
  id: Type.String(),
  name: Type.Optional(Type.String()),
  login: Type.Optional(Type.String()),
})

/**
 * Sources: developer.box.com "OAuth 2.0", "Refresh a Token" (60 days, one use), "Revoke a Token", "Scopes", "Get current
 * user", "Rate Limits". What an app may is set in its console, and the answer names no scopes.
 */
export const box: Provider = {
  id: 'box',
  name: 'Box',
  appConsoleUrl: 'https://app.box.com/developers/console',
  issuer: 'https://account.box.com',
  endpoints: {
    authorization: 'https://account.box.com/api/oauth2/authorize',
    token: 'https://api.box.com/oauth2/token',
  },
  clientAuthentication: 'client_secret_post',
  pkce: { off: 'Box documents none for apps with a secret; state and secret protect the code' },
  authorizationExtras: {},
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [{ scope: 'root_readwrite', meaning: 'Read and write your files and folders' }],
    always: [],
    contains: { root_readwrite: ['root_readonly'] },
  },
  refreshTokens: 'single_use',
  idleLimitDays: 60,
  errors: {},
  api: {
    base: 'https://api.box.com/2.0',
    hosts: ['api.box.com', 'upload.box.com'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation: 'Box has ended the access token and its refresh token.',

  /** `restricted_to` and `issued_token_type` say nothing that is needed, and the second is no type of token here. */
  tokenAnswer: (response) =>
    rewritten(response, ({ restricted_to: _scopes, issued_token_type: _type, ...answer }, status) => ({
      status,
      answer,
    })),

  async identify(reader) {
    const user = await reader.get('https://api.box.com/2.0/users/me', User)
    return {
      id: user.id,
      name: user.name || user.login || 'Box account',
      ...(user.login && { handle: user.login, email: user.login }),
    }
  },

  revocation: ({ clientId, clientSecret, accessToken, refreshToken }) => ({
    method: 'POST',
    url: 'https://api.box.com/oauth2/revoke',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      client_id: clientId,
      client_secret: clientSecret.reveal(),
      token: (refreshToken ?? accessToken).reveal(),
    }).toString(),
  }),
  revoked: (status) => status === 200,
}
