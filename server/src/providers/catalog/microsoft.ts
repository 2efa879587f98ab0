import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { textAt } from '../token-answer.ts'

const Me = Type.Object({
  id: Type.String(),
  displayName: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  mail: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  userPrincipalName: Type.Optional(Type.Union([Type.String(), Type.Null()])),
})

/**
 * Sources: learn.microsoft.com "Microsoft identity platform and OAuth 2.0 authorization code flow", "Refresh tokens",
 * "Microsoft Entra authentication and authorization error codes" (act on `error`, never on AADSTS numbers), Graph "Get a
 * user". A refresh replaces the refresh token and does not end the old one. The person is tenant and object id; a mail
 * address there can be changed and is not proven.
 */
export const microsoft: Provider = {
  id: 'microsoft',
  name: 'Microsoft',
  appConsoleUrl: 'https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade',
  issuer: 'https://login.microsoftonline.com/{tenant}/v2.0',
  idTokenIssuer: 'https://login.microsoftonline.com/{tid}/v2.0',
  subjectClaims: ['tid', 'oid'],
  endpoints: {
    authorization: 'https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize',
    token: 'https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token',
    jwks: 'https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys',
  },
  particulars: {
    tenant: {
      meaning: 'common, organizations, consumers, or the id of a tenant.',
      pattern: /^(?:common|organizations|consumers|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/,
      standard: 'common',
      askable: true,
    },
  },
  clientAuthentication: 'client_secret_post',
  keyAssertion: { audience: 'token_endpoint' },
  appKey: {
    meaning:
      'In place of the secret: the private key of the app’s certificate, as a JWK with its `x5t#S256`, by which Entra finds it.',
  },
  pkce: 'S256',
  authorizationExtras: { response_mode: 'query', prompt: 'select_account' },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    answerPrefix: 'https://graph.microsoft.com/',
    onRefresh: true,
    standard: [
      { scope: 'openid', meaning: 'Know who you are at Microsoft' },
      { scope: 'profile', meaning: 'Read your name and your organisation' },
      { scope: 'email', meaning: 'Read your e-mail address' },
      { scope: 'offline_access', meaning: 'Keep the access until you end it' },
      { scope: 'User.Read', meaning: 'Read your profile' },
    ],
    always: ['openid', 'profile', 'email', 'offline_access', 'User.Read'],
    unsaid: ['openid', 'profile', 'email', 'offline_access'],
    contains: {
      'User.ReadWrite': ['User.Read'],
      'Mail.ReadWrite': ['Mail.Read'],
      'Calendars.ReadWrite': ['Calendars.Read'],
      'Files.ReadWrite': ['Files.Read'],
      'Files.ReadWrite.All': ['Files.ReadWrite', 'Files.Read.All', 'Files.Read'],
      'Contacts.ReadWrite': ['Contacts.Read'],
      'Tasks.ReadWrite': ['Tasks.Read'],
    },
  },
  refreshTokens: 'lasting',
  errors: { invalid_resource: 'operator', interaction_required: 'reconsent' },
  api: {
    base: 'https://graph.microsoft.com',
    hosts: ['graph.microsoft.com'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Microsoft lets no app end its own access. Atom has destroyed its copy; an access token that was given out works for up to 90 minutes. Remove Atom at https://myapps.microsoft.com or, for a personal account, at https://account.live.com/consent/Manage.',

  particularsOf: ({ claims }) => ({ tenant: claims && textAt(claims, 'tid') }),

  async identify(reader) {
    const me = await reader.get('https://graph.microsoft.com/v1.0/me', Me)
    const email = me.mail || me.userPrincipalName
    return {
      // `me.id` of a personal account is not the `oid` of its id_token, so the token names the person wherever there is one.
      id: reader.subject ?? me.id,
      name: me.displayName || email || 'Microsoft account',
      ...(me.userPrincipalName && { handle: me.userPrincipalName }),
      ...(email && { email }),
    }
  },
}
