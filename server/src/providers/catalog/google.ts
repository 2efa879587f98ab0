import { type Static, Type } from 'typebox'
import { Check } from 'typebox/value'
import { type Provider, ProviderAnswer } from '../provider.ts'
import { CredentialUnfit } from '../provider-flows.ts'
import { rewritten, textAt } from '../token-answer.ts'

const UserInfo = Type.Object({
  sub: Type.String(),
  name: Type.Optional(Type.String()),
  email: Type.Optional(Type.String()),
  email_verified: Type.Optional(Type.Boolean()),
  picture: Type.Optional(Type.String()),
})
const ServiceAccount = Type.Object({
  type: Type.Literal('service_account'),
  client_email: Type.String({ minLength: 3 }),
  private_key: Type.String({ minLength: 1 }),
  private_key_id: Type.Optional(Type.String()),
})

/** @throws CredentialUnfit */
function serviceAccount(text: string): Static<typeof ServiceAccount> {
  let file: unknown
  try {
    file = JSON.parse(text)
  } catch {
    // Not told on: the parser quotes what it was given, which is a key.
    throw new CredentialUnfit('keyFile', 'Is not JSON.')
  }
  if (!Check(ServiceAccount, file))
    throw new CredentialUnfit('keyFile', 'Is no key file of a service account.')
  return file
}

/**
 * Sources: developers.google.com "Using OAuth 2.0 for Web Server Applications", "Using OAuth 2.0 for
 * Server to Server Applications" (service accounts), "OpenID Connect", "OAuth 2.0 Scopes for
 * Google APIs"; accounts.google.com/.well-known/openid-configuration. A refresh token is given only with
 * `access_type=offline`, and after the first consent only with `prompt=consent`; it is not replaced by refreshing.
 */
export const google: Provider = {
  id: 'google',
  name: 'Google',
  appConsoleUrl: 'https://console.cloud.google.com/apis/credentials',
  guide: {
    category: 'office',
    steps: [
      'Choose or create a project in the Google Cloud console, and enable the APIs that are to be used, such as the Google Calendar API.',
      'Under “Google Auth Platform”, “Audience”, choose Internal if everybody is of your own Workspace organisation, else External.',
      'Under “Data access”, add the scopes: {scopes}.',
      'Under “Clients”, create a client of the type “Web application” and enter {redirectUri} among its authorised redirect URIs.',
      'Copy the client ID and the client secret at once: the console shows the secret only once.',
      'Under “Audience”, publish the app. While it is in testing only the listed test users can connect, and their access ends after seven days.',
    ],
    testing: {
      meaning:
        'While the app is “in testing” in the Google Cloud console, only its listed test users can connect, and their access ends seven days after consent.',
      days: 7,
    },
  },
  issuer: 'https://accounts.google.com',
  endpoints: {
    authorization: 'https://accounts.google.com/o/oauth2/v2/auth',
    token: 'https://oauth2.googleapis.com/token',
    jwks: 'https://www.googleapis.com/oauth2/v3/certs',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  flows: {
    jwt_bearer: {
      fields: [
        {
          name: 'keyFile',
          label: 'Key file of a service account',
          meaning:
            'The JSON file that https://console.cloud.google.com/iam-admin/serviceaccounts gives with a new key.',
          secret: true,
          multiline: true,
        },
        {
          name: 'person',
          label: 'Person to act for',
          meaning:
            'Their e-mail address, where an administrator of the domain has delegated to the service account; else it acts for itself.',
          optional: true,
          pattern: /^[^\s@]{1,100}@[^\s@]{1,150}$/,
        },
      ],
      app: 'none',
      audience: 'https://oauth2.googleapis.com/token',
      algorithm: 'RS256',
      lifetimeSeconds: 3600,
      scopes: 'claim',
      assertion({ values }) {
        const file = serviceAccount(values['keyFile'] ?? '')
        return {
          issuer: file.client_email,
          privateKey: file.private_key,
          ...(file.private_key_id !== undefined && { keyId: file.private_key_id }),
          ...(values['person'] !== undefined && { subject: values['person'] }),
        }
      },
    },
  },
  byFlow: {
    jwt_bearer: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Google goes on accepting it until it is deleted at https://console.cloud.google.com/iam-admin/serviceaccounts; an access token that was given out works for up to an hour.',
      },
    },
  },
  authorizationExtras: { access_type: 'offline', prompt: 'consent', include_granted_scopes: 'true' },
  accountHint: { login_hint: '{email}' },
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
    further: [
      { scope: 'https://www.googleapis.com/auth/gmail.readonly', meaning: 'Read your mail' },
      { scope: 'https://www.googleapis.com/auth/gmail.send', meaning: 'Send mail as you' },
      { scope: 'https://www.googleapis.com/auth/drive.readonly', meaning: 'Read the files of your Drive' },
      {
        scope: 'https://www.googleapis.com/auth/drive.file',
        meaning: 'Create files in your Drive and change those it created',
      },
      { scope: 'https://www.googleapis.com/auth/contacts.readonly', meaning: 'Read your contacts' },
      { scope: 'https://www.googleapis.com/auth/tasks', meaning: 'Read and write your tasks' },
      { scope: 'https://www.googleapis.com/auth/spreadsheets', meaning: 'Read and write your sheets' },
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
  idleLimitDays: 180,
  errors: {
    admin_policy_enforced: 'operator',
    deleted_client: 'operator',
    disabled_client: 'operator',
    org_internal: 'operator',
    redirect_uri_mismatch: 'operator',
    invalid_rapt: 'reconnect',
    rate_limit_exceeded: 'retry',
  },
  troubles: {
    invalid_rapt: {
      whose: 'admin',
      action: 'ask_admin',
      reason:
        'Your Google Workspace ends the sessions of apps after some hours. An admin can exempt Atom under Security, Access and data control, Google Cloud session control; until then, reconnecting helps for as long as a session lasts.',
    },
    admin_policy_enforced: {
      whose: 'admin',
      action: 'ask_admin',
      reason:
        'Your Google Workspace does not let Atom in. An admin has to trust the app under Security, API controls.',
    },
    org_internal: {
      whose: 'operator',
      action: 'configure_app',
      reason:
        'The Google app is for people of its own organisation only. Its user type has to be External for this account.',
    },
    deleted_client: {
      whose: 'operator',
      action: 'configure_app',
      reason: 'Google no longer knows Atom’s app: its OAuth client was deleted (deleted_client).',
    },
    disabled_client: {
      whose: 'operator',
      action: 'configure_app',
      reason: 'Google has disabled Atom’s app. The Cloud console says why (disabled_client).',
    },
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

  /** `error` is invalid_grant whatever ended it; that session control did stands beside it. */
  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => {
      const ended = ['invalid_rapt', 'rapt_required'].includes(textAt(answer, 'error_subtype') ?? '')
      return { status, answer: status !== 200 && ended ? { ...answer, error: 'invalid_rapt' } : answer }
    }),

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
