import { Type } from 'typebox'
import { type Provider, ProviderAnswer } from '../provider.ts'
import { rewritten, textAt } from '../token-answer.ts'

const Introspection = Type.Object({
  active: Type.Optional(Type.Boolean()),
  user: Type.Optional(Type.String()),
  user_id: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
  hub_id: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
  hub_domain: Type.Optional(Type.String()),
})
const Account = Type.Object({ portalId: Type.Integer(), uiDomain: Type.Optional(Type.String()) })

/**
 * Sources: developers.hubspot.com "OAuth tokens" 2026-03 and its migration guide (the endpoints under /oauth/v1 end on
 * 2027-02-16), "Usage guidelines". Everything goes in the form body. HubSpot tells a person's address and their hub, no name
 * and no picture. People of one hub may share one refresh token, so the last connection of a hub revokes it.
 */
export const hubspot: Provider = {
  id: 'hubspot',
  name: 'HubSpot',
  appConsoleUrl: 'https://app.hubspot.com/developer-overview',
  guide: {
    category: 'customers',
    steps: [
      'Create an app in your developer account at HubSpot, of the kind that is authorised by OAuth.',
      'In its “Auth” settings enter {redirectUri} as a redirect URL.',
      'In the same place add the scopes: {scopes}. What is required there has to be asked for by every connection.',
      'Copy client ID and client secret from “Auth”.',
    ],
    sunsets: [
      {
        at: '2027-02-16',
        title: 'HubSpot switches off the addresses below /oauth/v1',
        detail:
          'Atom calls those of 2026-03 and is not concerned. A caller of the proxy who asks for /oauth/v1/access-tokens or /oauth/v1/refresh-tokens, as HubSpot’s own SDK does, uses /oauth/2026-03/token/introspect instead.',
      },
    ],
  },
  issuer: 'https://app.hubspot.com',
  endpoints: {
    authorization: 'https://app.hubspot.com/oauth/authorize',
    token: 'https://api.hubapi.com/oauth/2026-03/token',
  },
  particulars: { hub: { meaning: 'The account (portal) of HubSpot.', pattern: /^\d{1,20}$/ } },
  sharedGrant: 'hub',
  clientAuthentication: 'client_secret_post',
  pkce: 'S256',
  authorizationExtras: {},
  flows: {
    api_key: {
      fields: [
        {
          name: 'key',
          label: 'Access token of a private app',
          meaning:
            'From the private app’s page in the settings of your HubSpot account, under Integrations, Private Apps',
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
          'Atom has destroyed its copy of the key. HubSpot goes on accepting it until the private app is deleted or its token rotated: https://app.hubspot.com/l/private-apps.',
      },
      /** A key of a private app is nobody’s but the account’s; introspection is for OAuth’s tokens. */
      async identify(reader) {
        const account = await reader.get('https://api.hubapi.com/account-info/v3/details', Account)
        return {
          id: `${account.portalId}.app`,
          name: `HubSpot account ${account.portalId}`,
          ...(account.uiDomain && { handle: account.uiDomain }),
          particulars: { hub: String(account.portalId) },
        }
      },
    },
  },
  scopes: {
    separator: ' ',
    answerSeparator: /\s+/,
    standard: [
      { scope: 'oauth', meaning: 'Know who you are at HubSpot' },
      { scope: 'crm.objects.contacts.read', meaning: 'Read contacts' },
    ],
    further: [
      { scope: 'crm.objects.contacts.write', meaning: 'Create and change contacts' },
      { scope: 'crm.objects.companies.read', meaning: 'Read companies' },
      { scope: 'crm.objects.companies.write', meaning: 'Create and change companies' },
      { scope: 'crm.objects.deals.read', meaning: 'Read deals' },
      { scope: 'crm.objects.deals.write', meaning: 'Create and change deals' },
      { scope: 'crm.schemas.contacts.read', meaning: 'Read the properties that contacts have' },
    ],
    always: ['oauth'],
    contains: {},
  },
  refreshTokens: 'lasting',
  errors: {
    BAD_REFRESH_TOKEN: 'reconnect',
    BAD_AUTH_CODE: 'refused',
    BAD_CLIENT_ID: 'operator',
    BAD_CLIENT_SECRET: 'operator',
    BAD_REDIRECT_URI: 'operator',
    MISSING_SCOPES: 'reconsent',
    EXPIRED_AUTHENTICATION: 'refresh',
    RATE_LIMITS: 'retry',
  },
  api: {
    base: 'https://api.hubapi.com',
    hosts: ['api.hubapi.com'],
    headers: {},
    rateLimit: { remaining: 'x-hubspot-ratelimit-remaining', retryAfter: 'retry-after' },
  },
  afterRevocation:
    'HubSpot has ended the refresh token. An access token that was given out before may work for up to 30 minutes more, and the app stays installed until somebody uninstalls it in HubSpot.',
  remains: [
    { what: 'An access token that was given out before may work until it expires.', until: 'access_token' },
    {
      what: 'The app stays installed in the HubSpot account until somebody uninstalls it there.',
      until: 'person',
    },
  ],

  /** Older errors say `status` instead of `error`; granted scopes come as a list. */
  tokenAnswer: (response) =>
    rewritten(response, (answer, status) => {
      if (status !== 200) {
        return { status, answer: { ...answer, error: answer['error'] ?? textAt(answer, 'status') } }
      }
      const scopes = answer['scopes']
      return {
        status,
        answer:
          Array.isArray(scopes) && answer['scope'] === undefined
            ? { ...answer, scope: scopes.join(' ') }
            : answer,
      }
    }),

  async identify(reader) {
    const token = await reader.introspect(
      'https://api.hubapi.com/oauth/2026-03/token/introspect',
      Introspection,
    )
    if (token.active === false) throw new ProviderAnswer(401, 'HubSpot does not know the token')
    if (token.hub_id === undefined || token.user_id === undefined) {
      throw new ProviderAnswer(200, 'HubSpot names no hub or no person')
    }
    return {
      id: `${token.hub_id}.${token.user_id}`,
      name: token.user || token.hub_domain || 'HubSpot account',
      particulars: { hub: String(token.hub_id) },
      ...(token.hub_domain && { handle: token.hub_domain }),
      ...(token.user && { email: token.user }),
    }
  },

  revocation: ({ clientId, clientSecret, accessToken, refreshToken }) => ({
    method: 'POST',
    url: 'https://api.hubapi.com/oauth/2026-03/token/revoke',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      client_id: clientId,
      client_secret: clientSecret.reveal(),
      token: (refreshToken ?? accessToken).reveal(),
      token_type_hint: refreshToken === undefined ? 'access_token' : 'refresh_token',
    }).toString(),
  }),
  revoked: (status) => status === 200 || status === 204,
}
