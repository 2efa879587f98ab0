import { Type } from 'typebox'
import type { Provider } from '../provider.ts'

const User = Type.Object({
  id: Type.String(),
  account_id: Type.Optional(Type.String()),
  first_name: Type.Optional(Type.String()),
  last_name: Type.Optional(Type.String()),
  display_name: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  pic_url: Type.Optional(Type.String()),
})

/**
 * Sources: developers.zoom.us "OAuth 2.0", "Revoke an access token", "Rate limits", API "Get a user". The scopes are chosen in
 * the app at Zoom, so a request names none. Access tokens live an hour; a refresh ends the refresh token before.
 */
export const zoom: Provider = {
  id: 'zoom',
  name: 'Zoom',
  appConsoleUrl: 'https://marketplace.zoom.us/user/build',
  issuer: 'https://zoom.us',
  endpoints: {
    authorization: 'https://zoom.us/oauth/authorize',
    token: 'https://zoom.us/oauth/token',
  },
  clientAuthentication: 'client_secret_basic',
  pkce: 'S256',
  authorizationExtras: {},
  scopes: { separator: ' ', answerSeparator: /\s+/, standard: [], always: [], contains: {} },
  refreshTokens: 'single_use',
  idleLimitDays: 90,
  errors: {},
  api: {
    base: 'https://api.zoom.us/v2',
    hosts: ['api.zoom.us'],
    headers: {},
    rateLimit: { remaining: 'x-ratelimit-remaining', retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Zoom has ended the token. The app stays installed until it is removed at https://marketplace.zoom.us.',

  async identify(reader) {
    const user = await reader.get('https://api.zoom.us/v2/users/me', User)
    const name = user.display_name || [user.first_name, user.last_name].filter(Boolean).join(' ')
    return {
      id: user.id,
      name: name || user.email || 'Zoom account',
      ...(user.email && { email: user.email }),
      ...(user.pic_url && { picture: user.pic_url }),
    }
  },

  revocation({ clientId, clientSecret, accessToken }) {
    const basic = Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64')
    return {
      method: 'POST',
      url: 'https://zoom.us/oauth/revoke',
      headers: { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token: accessToken.reveal() }).toString(),
    }
  },
  revoked: (status) => status === 200,
}
