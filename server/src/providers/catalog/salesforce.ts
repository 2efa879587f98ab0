import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten, textAt } from '../token-answer.ts'

const UserInfo = Type.Object({
  user_id: Type.String(),
  organization_id: Type.String(),
  name: Type.Optional(Type.String()),
  preferred_username: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  picture: Type.Optional(Type.String()),
})

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
/** These flows are answered at the organisation's own host only. */
const myDomain = /\.my\.(?:salesforce|site)\.com$/

/**
 * Sources: help.salesforce.com "OAuth 2.0 Web Server Flow", "OAuth 2.0 Refresh Token Flow", "OAuth 2.0 JWT
 * Bearer Flow", "OAuth 2.0 Client Credentials Flow", "OAuth 2.0 Token Exchange Flow", "OpenID Connect: UserInfo",
 * "Revoke OAuth Tokens", article 005316711 (with rotation, a refresh token used twice ends the whole family). The answer says
 * no lifetime: a token is renewed when the API refuses it. Every answer names the instance whose API is to be used. The login
 * host may be an organisation's own (My Domain); `*.lightning.force.com` has no OAuth.
 */
export const salesforce: Provider = {
  id: 'salesforce',
  name: 'Salesforce',
  appConsoleUrl: 'https://login.salesforce.com/lightning/setup/ManageExternalClientApplication/home',
  guide: {
    category: 'customers',
    steps: [
      'Open Setup in Salesforce, “External Client App Manager”, and choose “New External Client App”. A new Connected App cannot be made any more.',
      'Enable OAuth and enter {redirectUri} as the callback URL.',
      'Add the OAuth scopes: {scopes}.',
      'Leave “Require Proof Key for Code Exchange” and “Require secret for Web Server Flow” on. Refresh token rotation may be on.',
      'Copy consumer key and consumer secret from the app’s settings. A new app may take ten minutes to work.',
      'In an organisation other than the app’s own, an admin installs it before people can connect.',
    ],
  },
  issuer: 'https://{login}',
  endpoints: {
    authorization: 'https://{login}/services/oauth2/authorize',
    token: 'https://{login}/services/oauth2/token',
  },
  particulars: {
    login: {
      label: 'Login host',
      meaning: 'login.salesforce.com, test.salesforce.com, or the My Domain host of the organisation.',
      pattern: new RegExp(
        `^(?:(?:login|test)\\.salesforce\\.com|${label}(?:\\.${label}){0,2}\\.my\\.(?:salesforce|site)\\.com)$`,
      ),
      standard: 'login.salesforce.com',
      askable: true,
    },
    instance: {
      meaning: 'Where the API of the organisation is.',
      pattern: new RegExp(`^${label}(?:\\.${label}){0,3}\\.salesforce\\.com$`),
    },
  },
  clientAuthentication: 'client_secret_post',
  keyAssertion: { audience: 'token_endpoint' },
  appKey: {
    meaning:
      'In place of the secret, and to connect by assertion: the private key, RSA, whose certificate was uploaded with the app.',
  },
  pkce: 'S256',
  authorizationExtras: {},
  accountHint: { login_hint: '{handle}' },
  flows: {
    // The scopes are those of the app; a request that names any is refused.
    client_credentials: { scopes: [], needs: { login: myDomain } },
    jwt_bearer: {
      fields: [
        {
          name: 'username',
          label: 'User name',
          meaning: 'Of the Salesforce user to act for, whom an administrator has allowed the app.',
          pattern: /^[^\s@]{1,80}@[^\s@]{1,80}$/,
        },
        {
          name: 'privateKey',
          label: 'Private key',
          meaning:
            'The key of the certificate that was uploaded to the app, in PEM. Left out: the one that was entered with the app.',
          secret: true,
          optional: true,
          multiline: true,
        },
      ],
      app: 'needed',
      audience: 'https://{login}',
      algorithm: 'RS256',
      // Salesforce takes none that lives longer than five minutes.
      lifetimeSeconds: 180,
      scopes: 'none',
      assertion: ({ clientId, values }) => ({
        issuer: clientId,
        subject: values['username'] ?? '',
        ...(values['privateKey'] !== undefined && { privateKey: values['privateKey'] }),
      }),
    },
    token_exchange: {
      fields: [
        {
          name: 'token',
          label: 'Token of the identity provider',
          meaning: 'For which a token exchange handler of the organisation answers.',
          secret: true,
          multiline: true,
        },
        {
          name: 'tokenType',
          label: 'Type of the token',
          meaning:
            'urn:ietf:params:oauth:token-type:jwt, or of access_token, id_token, refresh_token, saml2.',
          pattern: /^urn:ietf:params:oauth:token-type:(?:jwt|access_token|id_token|refresh_token|saml2)$/,
        },
      ],
      needs: { login: myDomain },
      subjectToken: '{token}',
      subjectTokenType: '{tokenType}',
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'openid', meaning: 'Know who you are at Salesforce' },
      { scope: 'api', meaning: 'Read and write the records that you may' },
      { scope: 'refresh_token', meaning: 'Keep the access until you end it' },
    ],
    further: [
      { scope: 'chatter_api', meaning: 'Read and write Chatter' },
      { scope: 'wave_api', meaning: 'Use the analytics API' },
    ],
    always: ['openid', 'refresh_token'],
    contains: {
      full: ['api', 'openid', 'id', 'profile', 'email'],
      refresh_token: ['offline_access'],
      offline_access: ['refresh_token'],
    },
  },
  refreshTokens: 'single_use',
  errors: {
    inactive_user: 'reconnect',
    invalid_app_access: 'operator',
    inactive_org: 'operator',
    invalid_client_credentials: 'operator',
    invalid_client_id: 'operator',
    redirect_uri_mismatch: 'operator',
    redirect_uri_missing: 'operator',
    OAUTH_APP_BLOCKED: 'operator',
    OAUTH_APPROVAL_ERROR_GENERIC: 'operator',
    INVALID_SESSION_ID: 'refresh',
    INSUFFICIENT_ACCESS: 'refused',
    REQUEST_LIMIT_EXCEEDED: 'retry',
    rate_limit_exceeded: 'retry',
  },
  troubles: {
    inactive_user: {
      whose: 'admin',
      action: 'ask_admin',
      reason: 'Your user at Salesforce is not active any more. An admin can activate it again.',
    },
    inactive_org: {
      whose: 'admin',
      action: 'ask_admin',
      reason: 'Your organisation at Salesforce is locked or closed. An admin has to ask Salesforce why.',
    },
    invalid_app_access: {
      whose: 'admin',
      action: 'ask_admin',
      reason: 'Your user may not use the app at Salesforce. An admin admits it in the policies of the app.',
    },
    OAUTH_APP_BLOCKED: {
      whose: 'admin',
      action: 'ask_admin',
      reason: 'Salesforce blocks the app in your organisation. An admin has to install or unblock it.',
    },
  },
  api: {
    base: 'https://{instance}',
    hosts: ['{instance}'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after', said: ['REQUEST_LIMIT_EXCEEDED'] },
  },
  afterRevocation: 'Salesforce has ended the refresh token and every access token made from it.',

  /** Whether an id_token names the login host or the organisation's own differs by setting; `userinfo` tells the same. */
  tokenAnswer: (response) =>
    rewritten(response, ({ id_token: _unread, ...answer }, status) => ({ status, answer })),

  particularsOf({ answer }) {
    const url = textAt(answer, 'instance_url')
    if (url === undefined) return {}
    // What is no https address of a bare host does not fit the pattern, and so is refused.
    return {
      instance: url
        .toLowerCase()
        .replace(/^https:\/\//, '')
        .replace(/\/$/, ''),
    }
  },

  async identify(reader) {
    const { login } = reader.particulars
    const user = await reader.get(`https://${login}/services/oauth2/userinfo`, UserInfo)
    return {
      // Copies of an organisation (its sandboxes) have the same ids of people.
      id: `${user.organization_id}.${user.user_id}`,
      name: user.name || user.preferred_username || 'Salesforce account',
      ...(user.preferred_username && { handle: user.preferred_username }),
      ...(user.email && { email: user.email }),
      ...(user.picture && { picture: user.picture }),
    }
  },

  revocation: ({ particulars, accessToken, refreshToken }) => ({
    method: 'POST',
    url: `https://${particulars['login']}/services/oauth2/revoke`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ token: (refreshToken ?? accessToken).reveal() }).toString(),
  }),
  revoked: (status) => status === 200,
}
