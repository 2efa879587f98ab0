import { Type } from 'typebox'
import { type Provider, ProviderAnswer } from '../provider.ts'

const UserInfo = Type.Object({
  sub: Type.String(),
  name: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  email_verified: Type.Optional(Type.Boolean()),
  picture: Type.Optional(Type.String()),
})

/**
 * Sources: developers.google.com "Using OAuth 2.0 for Web Server Applications", "OpenID Connect", "OAuth 2.0 Scopes for
 * Google APIs"; accounts.google.com/.well-known/openid-configuration. A refresh token is given only with
 * `access_type=offline`, and after the first consent only with `prompt=consent`; it is not replaced by refreshing.
 */
export const google: Provider = {
  id: 'google',
  name: 'Google',
  appConsoleUrl: 'https://console.cloud.google.com/apis/credentials',
  issuer: 'https://accounts.google.com',
  endpoints: {
    authorization: 'https://accounts.google.com/o/oauth2/v2/auth',
    token: 'https://oauth2.googleapis.com/token',
    jwks: 'https://www.googleapis.com/oauth2/v3/certs',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: { access_type: 'offline', prompt: 'consent', include_granted_scopes: 'true' },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'openid', meaning: 'Know who you are at Google' },
      { scope: 'email', meaning: 'Read your e-mail address' },
      { scope: 'profile', meaning: 'Read your name and picture' },
      {
        scope: 'https://www.googleapis.com/auth/calendar.events',
        meaning: 'Read and write the events of your calendars',
      },
    ],
    always: ['openid', 'email', 'profile'],
    contains: {
      'https://www.googleapis.com/auth/userinfo.email': ['email'],
      'https://www.googleapis.com/auth/userinfo.profile': ['profile'],
      'https://www.googleapis.com/auth/calendar': [
        'https://www.googleapis.com/auth/calendar.readonly',
        'https://www.googleapis.com/auth/calendar.events',
      ],
      'https://www.googleapis.com/auth/calendar.events': [
        'https://www.googleapis.com/auth/calendar.events.readonly',
      ],
      'https://www.googleapis.com/auth/calendar.readonly': [
        'https://www.googleapis.com/auth/calendar.events.readonly',
      ],
    },
  },
  refreshTokens: 'lasting',
  errors: {
    admin_policy_enforced: 'operator',
    deleted_client: 'operator',
    disabled_client: 'operator',
    org_internal: 'operator',
    redirect_uri_mismatch: 'operator',
    invalid_rapt: 'reconnect',
    rate_limit_exceeded: 'retry',
  },
  api: {
    base: 'https://www.googleapis.com',
    hosts: [
      'www.googleapis.com',
      'gmail.googleapis.com',
      'people.googleapis.com',
      'sheets.googleapis.com',
      'docs.googleapis.com',
      'slides.googleapis.com',
      'tasks.googleapis.com',
    ],
    headers: {},
    rateLimit: {
      retryAfter: 'retry-after',
      said: ['rateLimitExceeded', 'userRateLimitExceeded', 'quotaExceeded', 'RATE_LIMIT_EXCEEDED'],
    },
  },
  afterRevocation:
    'Google has ended the grant and every token of it. Connecting again asks for consent again.',

  async identify(reader) {
    const user = await reader.get('https://openidconnect.googleapis.com/v1/userinfo', UserInfo)
    if (reader.subject !== undefined && user.sub !== reader.subject) {
      // OpenID Connect Core 5.3.2: userinfo of another subject must not be used.
      throw new ProviderAnswer(200, 'userinfo speaks of another subject than the id_token')
    }
    const email = user.email_verified === false ? undefined : user.email
    return {
      id: user.sub,
      name: user.name || email || 'Google account',
      ...(email && { email }),
      ...(user.picture && { picture: user.picture }),
    }
  },

  /** RFC 7009; either token ends the grant, the refresh token also when the access token has expired. */
  revocation({ accessToken, refreshToken }) {
    return {
      method: 'POST',
      url: 'https://oauth2.googleapis.com/revoke',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ token: (refreshToken ?? accessToken).reveal() }).toString(),
    }
  },
  /** 400 `invalid_token`: it was revoked or has expired before. */
  revoked: (status) => status === 200 || status === 400,
}
