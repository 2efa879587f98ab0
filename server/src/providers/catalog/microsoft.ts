import { Type } from 'typebox'
import { type Provider, ProviderAnswer, type ProviderIdentity, type ProviderReader } from '../provider.ts'
import { textAt } from '../token-answer.ts'

const Me = Type.Object({
  id: Type.String(),
  displayName: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  mail: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  userPrincipalName: Type.Optional(Type.Union([Type.String(), Type.Null()])),
})
const Organizations = Type.Object({
  value: Type.Array(Type.Object({ id: Type.String(), displayName: Type.Optional(Type.String()) })),
})

/** One directory, by its id: an app is nobody in `common`. */
const directory = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const ofTheApp = {
  afterRevocation:
    'Microsoft lets no app end its own access. Atom has destroyed its copy; an access token that was given out works for up to an hour. An administrator removes the app at https://entra.microsoft.com/#view/Microsoft_AAD_IAM/StartboardApplicationsMenuBlade.',
}

/** A token of the app itself is nobody's: it stands for the directory. */
async function identifyDirectory(reader: ProviderReader): Promise<ProviderIdentity> {
  const tenant = reader.particulars['tenant'] ?? ''
  const named = await reader
    .get('https://graph.microsoft.com/v1.0/organization', Organizations)
    .catch((error: unknown) => {
      // Reading the name of the organisation is a permission of its own, which the app need not have.
      if (error instanceof ProviderAnswer && error.status === 403) return { value: [] }
      throw error
    })
  const organization = named.value.find(({ id }) => id === tenant) ?? named.value[0]
  return { id: `${tenant}.app`, name: organization?.displayName || 'Microsoft directory', handle: tenant }
}

/**
 * Sources: learn.microsoft.com "Microsoft identity platform and OAuth 2.0 authorization code flow", "OAuth 2.0
 * device authorization grant", "OAuth 2.0 client credentials flow", "Refresh tokens",
 * "Microsoft Entra authentication and authorization error codes" (act on `error`, never on AADSTS numbers), Graph "Get a
 * user". A refresh replaces the refresh token and does not end the old one. The person is tenant and object id; a mail
 * address there can be changed and is not proven.
 */
export const microsoft: Provider = {
  id: 'microsoft',
  name: 'Microsoft',
  appConsoleUrl: 'https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade',
  guide: {
    category: 'office',
    steps: [
      'Open “App registrations” in the Microsoft Entra admin center and choose “New registration”.',
      'Choose who may connect: accounts of your own directory, of any directory, or personal accounts too. Other than “any directory and personal” needs the tenant to be said when connecting.',
      'Choose the platform “Web” and enter {redirectUri} as its redirect URI. Register, and copy the application (client) ID.',
      'Under “Certificates & secrets”, make a new client secret. Copy its Value, not its Secret ID, at once, and note when it expires.',
      'Under “API permissions”, add the delegated permissions of Microsoft Graph: {scopes}.',
    ],
    secretExpiry:
      'A client secret at Microsoft lives for 24 months at most; its end is shown beside it under “Certificates & secrets”.',
  },
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
      label: 'Tenant',
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
  flows: {
    app_installation: {
      by: 'admin',
      // Of whichever directory the administrator signs in at; `common` is not taken here.
      address: 'https://login.microsoftonline.com/organizations/v2.0/adminconsent',
      parameters: {
        client_id: '{clientId}',
        redirect_uri: '{redirectUri}',
        scope: 'https://graph.microsoft.com/.default',
      },
      particular: 'tenant',
      answer: {
        name: 'tenant',
        pattern: directory,
        confirmed: { name: 'admin_consent', value: 'True' },
        // "Admin consent on the Microsoft identity platform" has the first, "client credentials flow" the second.
        denied: ['consent_required', 'permission_denied'],
      },
      scopes: ['https://graph.microsoft.com/.default'],
    },
    device_code: { endpoint: 'https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode' },
    client_credentials: {
      // What the directory's administrator has allowed the app, all of it; single permissions cannot be asked for.
      scopes: ['https://graph.microsoft.com/.default'],
      needs: { tenant: directory },
    },
  },
  byFlow: {
    app_installation: { ending: ofTheApp, identify: identifyDirectory },
    client_credentials: { ending: ofTheApp, identify: identifyDirectory },
  },
  authorizationExtras: { response_mode: 'query', prompt: 'select_account' },
  accountHint: { login_hint: '{handle}', prompt: '' },
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
    further: [
      { scope: 'Mail.Read', meaning: 'Read your mail' },
      { scope: 'Mail.Send', meaning: 'Send mail as you' },
      { scope: 'Calendars.ReadWrite', meaning: 'Read and write your calendars' },
      { scope: 'Files.Read', meaning: 'Read your files' },
      { scope: 'Files.ReadWrite', meaning: 'Read and write your files' },
      { scope: 'Contacts.Read', meaning: 'Read your contacts' },
      { scope: 'Tasks.ReadWrite', meaning: 'Read and write your tasks' },
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
  idleLimitDays: 90,
  errors: { invalid_resource: 'operator', interaction_required: 'reconsent' },
  troubles: {
    interaction_required: {
      whose: 'person',
      action: 'reconnect',
      reason: 'Microsoft wants you to sign in again: your organisation asks for it.',
    },
    consent_required: {
      whose: 'admin',
      action: 'ask_admin',
      reason:
        'Your organisation has to consent to the app at Microsoft. An admin does so in Entra, under Enterprise applications.',
    },
    invalid_client: {
      whose: 'operator',
      action: 'configure_app',
      reason:
        'Microsoft does not accept the client secret of Atom’s app. Secrets end after two years at most; Entra makes a new one under Certificates & secrets.',
    },
  },
  api: {
    base: 'https://graph.microsoft.com',
    hosts: ['graph.microsoft.com'],
    headers: {},
    links: ['@odata.nextLink', '@odata.deltaLink'],
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
