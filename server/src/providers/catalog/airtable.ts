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
  issuer: 'https://airtable.com',
  endpoints: {
    authorization: 'https://airtable.com/oauth2/v1/authorize',
    token: 'https://airtable.com/oauth2/v1/token',
  },
  clientAuthentication: 'client_secret_basic',
  pkce: 'S256',
  authorizationExtras: {},
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Personal access token',
          meaning: 'A token of yours, from https://airtable.com/create/tokens',
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
          'Atom has destroyed its copy of the key. Airtable goes on accepting it until you delete it at https://airtable.com/create/tokens.',
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'user.email:read', meaning: 'Read your e-mail address' },
      { scope: 'schema.bases:read', meaning: 'See your bases and their tables' },
      { scope: 'data.records:read', meaning: 'Read the records of your bases' },
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
