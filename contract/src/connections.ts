import { type Static, Type } from 'typebox'
import { ById, Id, Nothing, Page, PageQuery, route, Time } from './route.ts'

const ProviderId = Type.String({ pattern: '^[a-z][a-z0-9-]{1,40}$' })
const ByProvider = Type.Object({ provider: ProviderId })

export const ProviderView = Type.Object({
  id: ProviderId,
  name: Type.String(),
  /**
   * Where the app comes from: none yet, entered by an operator (or registered by Atom itself, where a server lets it), or the
   * sandbox on this machine.
   */
  app: Type.Union([Type.Literal('none'), Type.Literal('configured'), Type.Literal('sandbox')]),
  /** The sandbox can stand in for this provider. */
  sandboxAvailable: Type.Boolean(),
  /** What a connection asks for when nothing else is said. */
  scopes: Type.Array(Type.Object({ scope: Type.String(), meaning: Type.String() })),
  redirectUri: Type.String({ description: 'To be entered in the app at the provider.' }),
  /** Where an operator creates the app at the provider. */
  appConsoleUrl: Type.String(),
  /**
   * What an operator enters with the app beside client id and secret. `privateKey` goes into the field of that name, every
   * other into `settings`.
   */
  appFields: Type.Array(
    Type.Object({
      name: Type.String(),
      label: Type.String(),
      meaning: Type.String(),
      secret: Type.Boolean(),
      required: Type.Boolean(),
      multiline: Type.Optional(Type.Boolean()),
      /** What was entered, where it is no secret. */
      value: Type.Optional(Type.String()),
      /** What holds where nothing is entered. */
      standard: Type.Optional(Type.String()),
    }),
  ),
})
export type ProviderView = Static<typeof ProviderView>

export const ConnectionStatus = Type.Union([
  Type.Literal('active'),
  Type.Literal('degraded'),
  Type.Literal('needs_reconnect'),
  Type.Literal('revoked'),
])
export type ConnectionStatus = Static<typeof ConnectionStatus>

export const Connection = Type.Object({
  id: Id,
  provider: ProviderId,
  status: ConnectionStatus,
  /** Plain words: why it is not active. */
  reason: Type.Optional(Type.String()),
  identity: Type.Object({
    id: Type.String({ description: 'The provider’s own id of the person.' }),
    name: Type.String(),
    handle: Type.Optional(Type.String()),
    email: Type.Optional(Type.String()),
    avatarUrl: Type.Optional(Type.String()),
  }),
  scopes: Type.Array(Type.String()),
  missingScopes: Type.Array(Type.String()),
  sandbox: Type.Boolean(),
  ownerId: Id,
  /** When the access token expires; null where the provider does not say. Atom refreshes by itself. */
  expiresAt: Type.Union([Time, Type.Null()]),
  connectedAt: Time,
  lastUsedAt: Type.Union([Time, Type.Null()]),
})
export type Connection = Static<typeof Connection>

/** What is gone, and what is not, after a disconnect. */
export const DisconnectReceipt = Type.Object({
  id: Id,
  provider: ProviderId,
  /** What became of the grant at the provider. `kept`: another connection lives from the same grant. */
  revocation: Type.Union([
    Type.Literal('revoked'),
    Type.Literal('failed'),
    Type.Literal('unsupported'),
    Type.Literal('kept'),
  ]),
  detail: Type.String(),
  at: Time,
})
export type DisconnectReceipt = Static<typeof DisconnectReceipt>

export const connectionRoutes = {
  providers: route({
    method: 'GET',
    path: '/v1/providers',
    summary: 'The providers Atom can connect to',
    audience: 'member',
    answers: { 200: Page(ProviderView) },
    errors: [],
  }),
  configureApp: route({
    method: 'PUT',
    path: '/v1/providers/{provider}/app',
    summary: 'Enter the operator’s own OAuth app; the secret is never shown again',
    audience: 'operator',
    params: ByProvider,
    body: Type.Object(
      {
        clientId: Type.String({ minLength: 1, maxLength: 500 }),
        /** Absent for an app that proves itself by a private key, or not at all. */
        clientSecret: Type.Optional(Type.String({ minLength: 1, maxLength: 2000 })),
        /** PEM (PKCS #8, PKCS #1, SEC 1) or JWK; never shown again. */
        privateKey: Type.Optional(Type.String({ minLength: 1, maxLength: 20_000 })),
        /** What the provider asks an operator for (`appFields`). */
        settings: Type.Optional(
          Type.Record(
            Type.String({ pattern: '^[a-z]{1,40}$' }),
            Type.String({ minLength: 1, maxLength: 500 }),
            { maxProperties: 20 },
          ),
        ),
        scopes: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 50 })),
      },
      { additionalProperties: false },
    ),
    answers: { 200: ProviderView },
    errors: ['provider_unknown'],
  }),
  removeApp: route({
    method: 'DELETE',
    path: '/v1/providers/{provider}/app',
    summary: 'Forget the app of a provider; connections made with it stay until they are disconnected',
    audience: 'operator',
    params: ByProvider,
    answers: { 204: Nothing },
    errors: ['provider_unknown'],
  }),
  connect: route({
    method: 'POST',
    path: '/v1/connections',
    summary: 'Begin to connect an account; open `authorizeUrl` in the same browser',
    audience: 'member',
    body: Type.Object(
      {
        provider: ProviderId,
        scopes: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 50 })),
        flow: Type.Optional(Type.Literal('authorization_code')),
        /** What some providers have to be told first: Salesforce's `login` host, Microsoft's `tenant`. */
        particulars: Type.Optional(
          Type.Record(
            Type.String({ pattern: '^[a-z]{1,40}$' }),
            Type.String({ minLength: 1, maxLength: 255 }),
            {
              maxProperties: 5,
            },
          ),
        ),
        /** A path of this server to return to; `/connections` where absent. */
        returnTo: Type.Optional(Type.String({ maxLength: 500 })),
      },
      { additionalProperties: false },
    ),
    answers: { 201: Type.Object({ flowId: Id, authorizeUrl: Type.String() }) },
    errors: [
      'provider_unknown',
      'provider_not_configured',
      'return_to_refused',
      'provider_refused',
      'provider_misconfigured',
      'provider_unavailable',
    ],
  }),
  callback: route({
    method: 'GET',
    path: '/v1/oauth/callback/{provider}',
    summary: 'The redirect URI: where the provider sends the browser back to',
    audience: 'anyone',
    params: ByProvider,
    /** Whatever a provider appends must not break the page, so the query is open; the flow reads what it knows. */
    query: Type.Object({
      state: Type.Optional(Type.String({ maxLength: 500 })),
      code: Type.Optional(Type.String({ maxLength: 4000 })),
      error: Type.Optional(Type.String({ maxLength: 500 })),
      error_description: Type.Optional(Type.String({ maxLength: 4000 })),
      iss: Type.Optional(Type.String({ maxLength: 500 })),
    }),
    answers: { 303: Nothing },
    errors: [
      'provider_unknown',
      'provider_not_configured',
      'flow_invalid',
      'flow_expired',
      'flow_used',
      'flow_other_browser',
      'flow_signed_out',
      'consent_denied',
      'provider_refused',
      'provider_misconfigured',
      'provider_unavailable',
    ],
  }),
  connections: route({
    method: 'GET',
    path: '/v1/connections',
    summary: 'My connected accounts',
    audience: 'member',
    query: PageQuery,
    answers: { 200: Page(Connection) },
    errors: [],
  }),
  connection: route({
    method: 'GET',
    path: '/v1/connections/{id}',
    summary: 'One connected account',
    audience: 'member',
    params: ById,
    answers: { 200: Connection },
    errors: ['not_found'],
  }),
  refreshConnection: route({
    method: 'POST',
    path: '/v1/connections/{id}/refresh',
    summary: 'Refresh the access token now',
    audience: 'member',
    params: ById,
    answers: { 200: Connection },
    errors: [
      'not_found',
      'connection_needs_reconnect',
      'provider_unavailable',
      'provider_misconfigured',
      'provider_refused',
    ],
  }),
  disconnect: route({
    method: 'DELETE',
    path: '/v1/connections/{id}',
    summary: 'Disconnect: revoke at the provider, destroy the credential',
    audience: 'member',
    params: ById,
    answers: { 200: DisconnectReceipt },
    errors: ['not_found'],
  }),
} as const

/** `ANY /v1/connections/{id}/proxy/{path}`: not a `Route`, because body and answer are the provider's. */
export const proxyPath = '/v1/connections/{id}/proxy/{path}'
export const proxyLimits = { bodyBytes: 10 * 1024 * 1024 } as const
