import { Type } from 'typebox'
import type { Provider } from '../provider.ts'

const WhoAmI = Type.Object({ id: Type.String(), email: Type.Optional(Type.String()) })

/**
 * Sources: airtable.com/developers "OAuth reference", "Scopes", "Get user ID & scopes", "Rate limits". PKCE is required beside
 * the secret. Access tokens live an hour, refresh tokens 60 days and for one use: a second use ends the whole grant. Airtable
 * tells no name.
 */
export const airtable: Provider = {
  id: 'airtable',
  name: 'Airtable',
  appConsoleUrl: 'https://airtable.com/create/oauth',
  guide: {
    category: 'documents',
    steps: [
      'Open “OAuth integrations” in the developer hub of Airtable and register a new one.',
      'Enter a name and {redirectUri} as the redirect URL.',
      'Choose the scopes: {scopes}.',
      'Copy the client ID, generate a client secret, and copy it at once: Airtable shows it only once.',
    ],
  },
  issuer: 'https://airtable.com',
  endpoints: {
    authorization: 'https://airtable.com/oauth2/v1/authorize',
    token: 'https://airtable.com/oauth2/v1/token',
  },
  clientAuthentication: 'client_secret_basic',
  pkce: 'S256',
  authorizationExtras: {},
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'user.email:read', meaning: 'Read your e-mail address' },
      { scope: 'schema.bases:read', meaning: 'See your bases and their tables' },
      { scope: 'data.records:read', meaning: 'Read the records of your bases' },
    ],
    further: [
      { scope: 'data.records:write', meaning: 'Create and change records' },
      { scope: 'data.recordComments:read', meaning: 'Read comments' },
      { scope: 'data.recordComments:write', meaning: 'Write comments' },
      { scope: 'webhook:manage', meaning: 'Register webhooks' },
    ],
    always: ['user.email:read'],
    contains: {},
  },
  refreshTokens: 'single_use',
  idleLimitDays: 60,
  errors: {},
  api: {
    base: 'https://api.airtable.com',
    hosts: ['api.airtable.com'],
    headers: {},
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation:
    'Airtable lets no app end its own access. Atom has destroyed its copy; remove Atom at https://airtable.com/account. An access token that was given out works for up to an hour.',

  async identify(reader) {
    const { id, email } = await reader.get('https://api.airtable.com/v0/meta/whoami', WhoAmI)
    return { id, name: email || 'Airtable account', ...(email && { email }) }
  },
}
