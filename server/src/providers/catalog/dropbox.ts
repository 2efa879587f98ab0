import { Type } from 'typebox'
import type { Provider } from '../provider.ts'

const Account = Type.Object({
  account_id: Type.String(),
  name: Type.Object({ display_name: Type.String() }),
  email: Type.Optional(Type.String()),
  email_verified: Type.Optional(Type.Boolean()),
  profile_photo_url: Type.Optional(Type.String()),
})

/**
 * Sources: dropbox.com/developers "OAuth Guide", "Using OAuth 2.0 with offline access", HTTP API `get_current_account`,
 * `token/revoke`, "Error handling" (429 with Retry-After). Access tokens live four hours; the refresh token comes once, only
 * with `token_access_type=offline`, and lasts.
 */
export const dropbox: Provider = {
  id: 'dropbox',
  name: 'Dropbox',
  appConsoleUrl: 'https://www.dropbox.com/developers/apps',
  guide: {
    category: 'documents',
    steps: [
      'Open the App Console of Dropbox and create an app with scoped access, to the full Dropbox or to a folder of its own.',
      'Under “Permissions”, tick what is asked for, and submit: {scopes}.',
      'Under “Settings”, add {redirectUri} to the redirect URIs, and copy app key and app secret.',
      'While the app is in development only you can connect: choose “Enable additional users”, and apply for production later.',
    ],
  },
  issuer: 'https://www.dropbox.com',
  endpoints: {
    authorization: 'https://www.dropbox.com/oauth2/authorize',
    token: 'https://api.dropboxapi.com/oauth2/token',
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: { token_access_type: 'offline' },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'account_info.read', meaning: 'Read your name and e-mail address' },
      { scope: 'files.metadata.read', meaning: 'See your files and folders' },
      { scope: 'files.content.read', meaning: 'Read your files' },
    ],
    further: [
      { scope: 'files.content.write', meaning: 'Create and change files' },
      { scope: 'files.metadata.write', meaning: 'Change file properties' },
      { scope: 'sharing.read', meaning: 'See what is shared' },
      { scope: 'sharing.write', meaning: 'Share files and folders' },
    ],
    always: ['account_info.read'],
    contains: {},
  },
  refreshTokens: 'lasting',
  errors: {},
  api: {
    base: 'https://api.dropboxapi.com',
    hosts: ['api.dropboxapi.com', 'content.dropboxapi.com', 'notify.dropboxapi.com'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation: 'Dropbox has ended the access token and the refresh token it came from.',

  async identify(reader) {
    const account = await reader.post(
      'https://api.dropboxapi.com/2/users/get_current_account',
      undefined,
      Account,
    )
    return {
      id: account.account_id,
      name: account.name.display_name,
      ...(account.email && account.email_verified !== false && { email: account.email }),
      ...(account.profile_photo_url && { picture: account.profile_photo_url }),
    }
  },

  revocation: ({ accessToken }) => ({
    method: 'POST',
    url: 'https://api.dropboxapi.com/2/auth/token/revoke',
    headers: { authorization: `Bearer ${accessToken.reveal()}` },
    body: '',
  }),
  revoked: (status) => status === 200,
}
