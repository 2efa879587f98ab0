import { Type } from 'typebox'
import type { Provider } from '../provider.ts'
import { rewritten, textAt, withoutNulls } from '../token-answer.ts'

const version = '2026-03-11'

const Bot = Type.Object({
  id: Type.String(),
  name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  bot: Type.Object({
    workspace_name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    owner: Type.Object({
      user: Type.Optional(
        Type.Object({
          id: Type.String(),
          name: Type.Optional(Type.Union([Type.String(), Type.Null()])),
          avatar_url: Type.Optional(Type.Union([Type.String(), Type.Null()])),
          person: Type.Optional(Type.Object({ email: Type.Optional(Type.String()) })),
        }),
      ),
    }),
  }),
})

/**
 * Sources: developers.notion.com "Authorization", "Create a token", "Refresh a token", "Revoke a token", "Versioning",
 * "Retrieve your token's bot user"; changelog of 2026-06-08 (every consent mints a new pair, every refresh ends the old one).
 * What Atom may see is chosen by the person page by page, so there are no scopes; the answer says no lifetime.
 */
export const notion: Provider = {
  id: 'notion',
  name: 'Notion',
  appConsoleUrl: 'https://www.notion.so/profile/integrations',
  guide: {
    category: 'documents',
    steps: [
      'Open Integrations in the profile of Notion, choose “New integration”, and the type “Public”.',
      'Enter the company’s name, website and addresses that Notion asks for.',
      'Enter {redirectUri} among the redirect URIs.',
      'Under “Capabilities”, choose what Atom may do with the pages that people share: read, insert, update, and user information with e-mail addresses.',
      'Copy the OAuth client ID and client secret from “Configuration”.',
    ],
  },
  issuer: 'https://api.notion.com',
  endpoints: {
    authorization: 'https://api.notion.com/v1/oauth/authorize',
    token: 'https://api.notion.com/v1/oauth/token',
  },
  particulars: {
    workspace: { meaning: 'The workspace that was chosen.', pattern: /^[0-9a-f-]{32,36}$/ },
  },
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Internal integration secret',
          meaning: 'The secret of an internal integration, from https://www.notion.so/profile/integrations',
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
          'Atom has destroyed its copy of the key. Notion goes on accepting it until it is refreshed at https://www.notion.so/profile/integrations.',
      },
    },
  },
  clientAuthentication: 'client_secret_basic',
  tokenRequest: 'json',
  pkce: { off: 'the REST flow of Notion does not know it; state and secret protect the code' },
  authorizationExtras: { owner: 'user' },
  scopes: { separator: ' ', answerSeparator: /\s+/, standard: [], always: [], contains: {} },
  refreshTokens: 'single_use',
  errors: {
    unauthorized: 'reconnect',
    restricted_resource: 'refused',
    object_not_found: 'refused',
    conflict_error: 'retry',
    internal_server_error: 'retry',
    rate_limited: 'retry',
    service_overload: 'retry',
    service_unavailable: 'retry',
  },
  api: {
    base: 'https://api.notion.com',
    hosts: ['api.notion.com'],
    headers: { 'notion-version': version },
    rateLimit: { retryAfter: 'retry-after' },
  },
  afterRevocation: 'Notion has ended the access. The pages stay shared with the app until they are unshared.',
  remains: [
    { what: 'The pages stay shared with the app in Notion until they are unshared.', until: 'person' },
  ],

  /** Old grants have no refresh token, which comes as null. */
  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => ({
      status,
      answer: withoutNulls(
        status === 200 ? answer : { ...answer, error: answer['error'] ?? textAt(answer, 'code') },
      ),
    })),

  particularsOf: ({ answer }) => ({ workspace: textAt(answer, 'workspace_id') }),

  async identify(reader) {
    const { id, name, bot } = await reader.get('https://api.notion.com/v1/users/me', Bot)
    const { user } = bot.owner
    const person = user?.id ?? id
    const { workspace } = reader.particulars
    return {
      id: workspace === undefined ? person : `${workspace}.${person}`,
      name: user?.name || name || 'Notion account',
      ...(bot.workspace_name && { handle: bot.workspace_name }),
      ...(user?.person?.email && { email: user.person.email }),
      ...(user?.avatar_url && { picture: user.avatar_url }),
    }
  },

  revocation({ clientId, clientSecret, accessToken }) {
    const basic = Buffer.from(`${clientId}:${clientSecret.reveal()}`).toString('base64')
    return {
      method: 'POST',
      url: 'https://api.notion.com/v1/oauth/revoke',
      headers: {
        authorization: `Basic ${basic}`,
        'content-type': 'application/json',
        'notion-version': version,
      },
      body: JSON.stringify({ token: accessToken.reveal() }),
    }
  },
  revoked: (status) => status === 200,
}
