import { Type } from 'typebox'
import { type Provider, ProviderAnswer } from '../provider.ts'

const Me = Type.Object({
  user: Type.Object({
    id: Type.Union([Type.Integer(), Type.Null()]),
    name: Type.String(),
    email: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    photo: Type.Optional(Type.Union([Type.Null(), Type.Object({ content_url: Type.String() })])),
  }),
})

/**
 * Sources: developer.zendesk.com "OAuth Tokens for Grant Types", "Working with OAuth refresh tokens", "Revoking an OAuth access
 * token", "Show Self", "Rate limits", "Security and authentication", "Migrating from API tokens to OAuth access tokens". Each organisation has a host of its own, which the person names. A refresh ends the pair
 * before.
 */
export const zendesk: Provider = {
  id: 'zendesk',
  name: 'Zendesk',
  appConsoleUrl: 'https://support.zendesk.com/hc/en-us/articles/4408845965210',
  guide: {
    category: 'support',
    steps: [
      'Open the Admin Center of your Zendesk, “Apps and integrations”, “OAuth clients”, and add a client. For other organisations than your own, Zendesk makes it a global client on request.',
      'Choose the client kind “Confidential”.',
      'Enter {redirectUri} among the redirect URLs.',
      'Save, and copy the identifier, which is the client ID, and the secret at once: Zendesk shows it only once.',
    ],
    sunsets: [
      {
        at: '2027-04-30',
        title: 'Zendesk takes no API tokens any more',
        detail: 'Accounts that were connected by an API token have to be connected by consent before.',
      },
    ],
  },
  issuer: 'https://{subdomain}.zendesk.com',
  endpoints: {
    authorization: 'https://{subdomain}.zendesk.com/oauth/authorizations/new',
    token: 'https://{subdomain}.zendesk.com/oauth/tokens',
  },
  particulars: {
    subdomain: {
      label: 'Subdomain',
      meaning: 'The part of your Zendesk address before .zendesk.com.',
      pattern: /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
      askable: true,
    },
  },
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: {},
  flows: {
    api_key: {
      fields: [
        {
          name: 'email',
          label: 'E-mail address',
          meaning: 'Of your Zendesk user, for whom the token speaks.',
          pattern: /^[^\s:@]{1,100}@[^\s:@]{1,150}$/,
        },
        {
          name: 'key',
          label: 'API token',
          meaning:
            'A token from the Admin Center, “Apps and integrations”, “API tokens”. Zendesk makes no new ones any more, and takes none from 30 April 2027 on.',
          secret: true,
          pattern: /^[\x21-\x7e]{8,2000}$/,
        },
      ],
      attach: { as: 'basic', user: '{email}/token', password: '{key}' },
    },
  },
  byFlow: {
    api_key: {
      ending: {
        afterRevocation:
          'Atom has destroyed its copy of the key. Zendesk goes on accepting it until an admin deletes it in the Admin Center, as https://support.zendesk.com/hc/en-us/articles/4408889192858 says.',
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'read', meaning: 'Read tickets, people and everything else that you may' },
      { scope: 'write', meaning: 'Create and change tickets, people and everything else that you may' },
    ],
    always: ['read'],
    contains: {},
  },
  refreshTokens: 'single_use',
  errors: { invalid_token: 'refresh' },
  api: {
    base: 'https://{subdomain}.zendesk.com/api/v2',
    hosts: ['{subdomain}.zendesk.com'],
    headers: {},
    rateLimit: {
      remaining: 'ratelimit-remaining',
      reset: 'ratelimit-reset',
      retryAfter: 'retry-after',
    },
  },
  afterRevocation: 'Zendesk has ended the access token. What was done with it stays.',

  async identify({ get, particulars: { subdomain } }) {
    const { user } = await get(`https://${subdomain}.zendesk.com/api/v2/users/me.json`, Me)
    // Whoever is not signed in is nobody, with status 200.
    if (user.id === null) throw new ProviderAnswer(401, 'the token is nobody’s')
    return {
      // Each organisation counts its people by itself.
      id: `${subdomain}.${user.id}`,
      name: user.name,
      ...(user.email && { email: user.email }),
      ...(user.photo?.content_url && { picture: user.photo.content_url }),
    }
  },

  revocation: ({ particulars: { subdomain }, accessToken }) => ({
    method: 'DELETE',
    url: `https://${subdomain}.zendesk.com/api/v2/oauth/tokens/current.json`,
    headers: { authorization: `Bearer ${accessToken.reveal()}` },
    body: '',
  }),
  /** 401: there is no such token any more. */
  revoked: (status) => status === 204 || status === 401,
}
