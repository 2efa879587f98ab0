import { type Static, Type } from 'typebox'
import { ById, Id, Nothing, Page, PageQuery, route, Time } from './route.ts'

const ProviderId = Type.String({ pattern: '^[a-z][a-z0-9-]{1,40}$' })
const ByProvider = Type.Object({ provider: ProviderId })

/** What people look for a provider by; the dashboard has the words for it. */
export const ProviderCategory = Type.Union([
  Type.Literal('office'),
  Type.Literal('communication'),
  Type.Literal('development'),
  Type.Literal('projects'),
  Type.Literal('documents'),
  Type.Literal('customers'),
  Type.Literal('support'),
  Type.Literal('design'),
  /** Not one provider but any that follows a standard. */
  Type.Literal('standard'),
])
export type ProviderCategory = Static<typeof ProviderCategory>

/** One thing that a person is asked to allow. */
export const ProviderScope = Type.Object({
  scope: Type.String(),
  meaning: Type.String(),
  /** Asked for whatever else is said, because the person could not be recognised or kept connected without. */
  required: Type.Boolean(),
})
export type ProviderScope = Static<typeof ProviderScope>

/** The operator's app, as far as it is no secret. */
export const AppFacts = Type.Object({
  clientId: Type.String(),
  configuredAt: Time,
  /** As the operator said; null: unknown, or never. */
  clientSecretExpiresAt: Type.Union([Time, Type.Null()]),
  /** The app is not published at the provider yet. */
  testing: Type.Boolean(),
  /** What a connection asks for, as the operator said; null: the provider's usual. */
  scopes: Type.Union([Type.Array(Type.String()), Type.Null()]),
})
export type AppFacts = Static<typeof AppFacts>
/** How a connection comes about. The first five grants are OAuth's own, two install an app, one is no OAuth at all. */
export const FlowName = Type.Union([
  /** RFC 6749 4.1: the person allows it in the browser. */
  Type.Literal('authorization_code'),
  /** RFC 8628: the person enters a code on another device. */
  Type.Literal('device_code'),
  /** RFC 6749 4.4: the app acts in its own name. */
  Type.Literal('client_credentials'),
  /** RFC 7523 2.1: a signed assertion in place of consent. */
  Type.Literal('jwt_bearer'),
  /** The app is installed for an organisation. */
  Type.Literal('app_installation'),
  /** RFC 8693: one token for another. */
  Type.Literal('token_exchange'),
  /** A key that the person was given by the provider, or their name and password there. */
  Type.Literal('api_key'),
])
export type FlowName = Static<typeof FlowName>

export const ProviderView = Type.Object({
  id: ProviderId,
  name: Type.String(),
  category: ProviderCategory,
  /**
   * Where the app comes from: none yet, entered by an operator (or registered by Atom itself, where a server lets it), or the
   * sandbox on this machine.
   */
  app: Type.Union([Type.Literal('none'), Type.Literal('configured'), Type.Literal('sandbox')]),
  /** The sandbox can stand in for this provider. */
  sandboxAvailable: Type.Boolean(),
  /** What a connection asks for when nothing else is said. */
  scopes: Type.Array(ProviderScope),
  /** What it may be widened by; not all that the provider knows, but all that Atom has words for. */
  furtherScopes: Type.Array(ProviderScope),
  /** What differs from connection to connection and is no secret. */
  particulars: Type.Array(
    Type.Object({
      name: Type.String(),
      /** What a form calls it. */
      label: Type.String(),
      meaning: Type.String(),
      /** Holds until another is said. */
      standard: Type.Optional(Type.String()),
      /** The person before connecting, the operator with the app, or the provider with its answers. */
      saidBy: Type.Union([Type.Literal('person'), Type.Literal('operator'), Type.Literal('provider')]),
      /** Nobody can connect before it is said. */
      required: Type.Boolean(),
    }),
  ),
  redirectUri: Type.String({ description: 'To be entered in the app at the provider.' }),
  /** Where an operator creates the app at the provider. */
  appConsoleUrl: Type.String(),
  /** How an operator makes the app there, step by step; the redirect URI and the scopes are in the words already. */
  setup: Type.Object({ steps: Type.Array(Type.String()) }),
  /** A page of this server with all of this and what else is worth knowing. */
  docsPath: Type.String(),
  /** What to ask the operator about the app besides its fields. */
  appLife: Type.Object({
    /** Why the secret of an app ends there, and when; absent where it does not. */
    secretExpiry: Type.Optional(Type.String()),
    /** What an app that is not published loses; absent where nothing is lost. */
    testing: Type.Optional(Type.String()),
  }),
  /** Present where an operator has entered an app; `app` is `configured` without one where Atom registers itself. */
  appFacts: Type.Optional(AppFacts),
  /** The ways to connect with the app as it is; the first is taken when nothing else is said. */
  flows: Type.Array(FlowName),
  /** Those among them that are for owners and admins, because the app acts in its own name. */
  operatorFlows: Type.Array(FlowName),
  /** What `credential` has to hold for those flows that take one. */
  credentialFields: Type.Array(
    Type.Object({
      flow: FlowName,
      fields: Type.Array(
        Type.Object({
          name: Type.String(),
          label: Type.String(),
          meaning: Type.String(),
          /** To be entered unseen. */
          secret: Type.Boolean(),
          required: Type.Boolean(),
          /** More than one line, such as a key in PEM or a JSON file. */
          multiline: Type.Boolean(),
        }),
      ),
    }),
  ),
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

/** What mends a connection: whose job it is, and the one button for it. */
export const Remedy = Type.Object({
  whose: Type.Union([Type.Literal('person'), Type.Literal('admin'), Type.Literal('operator')], {
    description:
      'The person who connected it, an admin of their organisation at the provider, or Atom’s operator.',
  }),
  action: Type.Union([
    Type.Literal('reconnect'),
    Type.Literal('allow_more'),
    Type.Literal('ask_admin'),
    Type.Literal('configure_app'),
    /** Nobody has to do anything: the provider is not well, and Atom asks again by itself. */
    Type.Literal('wait'),
  ]),
  label: Type.String({ description: 'The words on the button.' }),
})
export type Remedy = Static<typeof Remedy>

/** One of the secrets a connection holds, without the secret. */
export const CredentialView = Type.Object({
  slot: Type.String({
    description:
      '`main`, or its name where one consent gives several (Slack: `bot`, `user`); the proxy takes it in `Atom-Credential`.',
  }),
  /** When its access token expires; null where the provider does not say. */
  expiresAt: Type.Union([Time, Type.Null()]),
  /** When it can no longer be refreshed, as far as the provider says; each refresh may move it. */
  refreshExpiresAt: Type.Union([Time, Type.Null()]),
})
export type CredentialView = Static<typeof CredentialView>

export const Connection = Type.Object({
  id: Id,
  provider: ProviderId,
  flow: FlowName,
  status: ConnectionStatus,
  /** Plain words: why it is not active. */
  reason: Type.Optional(Type.String()),
  /** There whenever the status is `degraded` or `needs_reconnect`. */
  remedy: Type.Optional(Remedy),
  identity: Type.Object({
    id: Type.String({ description: 'The provider’s own id of the person.' }),
    name: Type.String(),
    handle: Type.Optional(Type.String()),
    email: Type.Optional(Type.String()),
    avatarUrl: Type.Optional(Type.String()),
  }),
  /** What the person was asked to allow, over all times. */
  askedScopes: Type.Array(Type.String()),
  /** What was allowed, as the provider names it. */
  scopes: Type.Array(Type.String()),
  missingScopes: Type.Array(Type.String()),
  sandbox: Type.Boolean(),
  ownerId: Id,
  /** When the access token expires; null where the provider does not say. Atom refreshes by itself. */
  expiresAt: Type.Union([Time, Type.Null()]),
  /** The one that is used when nothing is said comes first. */
  credentials: Type.Array(CredentialView),
  connectedAt: Time,
  lastUsedAt: Type.Union([Time, Type.Null()]),
})
export type Connection = Static<typeof Connection>

/** RFC 8628 3.2: what the person is shown; Atom asks the provider meanwhile. */
export const DeviceCode = Type.Object({
  userCode: Type.String({ description: 'To be entered at `verificationUri`.' }),
  verificationUri: Type.String(),
  /** The same with the code in it. */
  verificationUriComplete: Type.Optional(Type.String()),
  expiresIn: Type.Integer({ description: 'Seconds from now.' }),
  interval: Type.Integer({ description: 'Seconds between two looks at the flow that make sense.' }),
})
export type DeviceCode = Static<typeof DeviceCode>

/** What `connect` begins: consent in the browser, a code for another device, or at once a connection. */
export const BegunConnection = Type.Union([
  Type.Object({ flowId: Id, authorizeUrl: Type.String() }),
  Type.Object({ flowId: Id, device: DeviceCode }),
  Type.Object({ connection: Connection }),
])
export type BegunConnection = Static<typeof BegunConnection>

/** What has become of an attempt to connect. */
export const ConnectionFlow = Type.Object({
  status: Type.Union([Type.Literal('pending'), Type.Literal('connected'), Type.Literal('failed')]),
  /** The connection that it led to. */
  connectionId: Type.Optional(Id),
  /** A code of the list at `/docs/errors`: why it failed. */
  problem: Type.Optional(Type.String()),
})
export type ConnectionFlow = Static<typeof ConnectionFlow>

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
  /** What does not exist or work any more, a sentence each. */
  gone: Type.Array(Type.String()),
  /** What still does. `until` null: until somebody ends it. */
  remains: Type.Array(Type.Object({ what: Type.String(), until: Type.Union([Time, Type.Null()]) })),
  at: Time,
})
export type DisconnectReceipt = Static<typeof DisconnectReceipt>

export const ConnectionEventKind = Type.Union([
  /** Consent was given for the first time. */
  Type.Literal('connected'),
  /** Consent was given anew. */
  Type.Literal('reconnected'),
  /** Consent was given anew, for more than before. */
  Type.Literal('widened'),
  Type.Literal('refreshed'),
  /** The provider could not be reached, or is not well: nothing is lost. */
  Type.Literal('refresh_failed'),
  /** The provider has ended the access. */
  Type.Literal('lost'),
  /** Refreshed because it would have ended unused. */
  Type.Literal('kept_alive'),
  /** The proxy used it for the first time since consent. */
  Type.Literal('called_first'),
])
export type ConnectionEventKind = Static<typeof ConnectionEventKind>

/** One line of what has happened to a connection; newest first in lists. */
export const ConnectionEvent = Type.Object({
  id: Id,
  at: Time,
  kind: ConnectionEventKind,
  /** Plain words. */
  detail: Type.String(),
  /** Which pair of tokens it led to, or was about; raised by every new pair. */
  generation: Type.Optional(Type.Integer()),
  /** Which of several credentials it is about (`CredentialView.slot`); absent where it is about the whole connection. */
  slot: Type.Optional(Type.String()),
  durationMs: Type.Optional(Type.Integer()),
  /** More than one: the same again and again, from `at` to `lastAt`. */
  times: Type.Integer(),
  lastAt: Time,
})
export type ConnectionEvent = Static<typeof ConnectionEvent>

/** Something that will end, with the time it is known for. */
export const ForecastItem = Type.Object({
  /** null: when is not known. */
  at: Type.Union([Time, Type.Null()]),
  kind: Type.Union([
    /** The secret of an operator's app. */
    Type.Literal('client_secret'),
    /** A connection that cannot be renewed beyond. */
    Type.Literal('refresh_token'),
    /** A connection that the provider ends because nobody uses it. */
    Type.Literal('inactivity'),
    /** A connection by an app that is not published. */
    Type.Literal('testing_app'),
    /** Something that the provider switches off. */
    Type.Literal('sunset'),
  ]),
  severity: Type.Union([
    Type.Literal('low'),
    Type.Literal('medium'),
    Type.Literal('high'),
    Type.Literal('critical'),
  ]),
  provider: ProviderId,
  connectionId: Type.Optional(Id),
  title: Type.String(),
  detail: Type.String(),
  remedy: Type.Optional(Remedy),
})
export type ForecastItem = Static<typeof ForecastItem>

/** What can be known of an app without a person. */
export const AppTest = Type.Object({
  ok: Type.Boolean(),
  checks: Type.Array(
    Type.Object({
      name: Type.Union([
        Type.Literal('redirect_uri'),
        Type.Literal('discovery'),
        Type.Literal('keys'),
        Type.Literal('consent_page'),
        Type.Literal('token_endpoint'),
        Type.Literal('credentials'),
      ]),
      ok: Type.Boolean(),
      /** Plain words: what was found, and what to do where it is not ok. */
      detail: Type.String(),
    }),
  ),
})
export type AppTest = Static<typeof AppTest>

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
        /** PEM (PKCS #8, PKCS #1, SEC 1), with certificates below, or JWK; never shown again. */
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
        /** As the provider's console says it. Absent: unknown, or never. */
        clientSecretExpiresAt: Type.Optional(Time),
        /** The app is not published at the provider yet. */
        testing: Type.Optional(Type.Boolean()),
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
  testApp: route({
    method: 'POST',
    path: '/v1/providers/{provider}/app/test',
    summary:
      'Try the app as far as that goes without a person: addresses, client id and secret, redirect URI',
    audience: 'operator',
    params: ByProvider,
    answers: { 200: AppTest },
    errors: ['provider_unknown', 'provider_not_configured', 'provider_unavailable'],
  }),
  connect: route({
    method: 'POST',
    path: '/v1/connections',
    summary:
      'Begin to connect an account: open `authorizeUrl` in the same browser, show `device`, or find it connected',
    audience: 'member',
    body: Type.Object(
      {
        provider: ProviderId,
        scopes: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 50 })),
        flow: Type.Optional(FlowName),
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
        /**
         * Reconnect this connection, or widen it by `scopes`: its account is asked for, and another account's consent ends
         * with `other_account`.
         */
        connectionId: Type.Optional(Id),
        /** For flows that take one: the fields that the provider names. Write-only. */
        credential: Type.Optional(
          Type.Record(
            Type.String({ pattern: '^[a-z][A-Za-z]{0,40}$' }),
            Type.String({ minLength: 1, maxLength: 20_000 }),
            { maxProperties: 8 },
          ),
        ),
      },
      { additionalProperties: false },
    ),
    answers: { 201: BegunConnection },
    errors: [
      'provider_unknown',
      'provider_not_configured',
      'return_to_refused',
      'forbidden',
      'flow_invalid',
      'other_account',
      'provider_refused',
      'provider_misconfigured',
      'provider_unavailable',
      'not_found',
    ],
  }),
  connectionFlow: route({
    method: 'GET',
    path: '/v1/connections/flows/{id}',
    summary: 'What has become of an attempt to connect, for whoever began it',
    audience: 'member',
    params: ById,
    answers: { 200: ConnectionFlow },
    errors: ['not_found'],
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
      /** GitHub: the installation of an app, and how it came about. */
      installation_id: Type.Optional(Type.String({ maxLength: 40 })),
      setup_action: Type.Optional(Type.String({ maxLength: 40 })),
      /** Microsoft: an administrator's consent, and for which directory. */
      admin_consent: Type.Optional(Type.String({ maxLength: 40 })),
      tenant: Type.Optional(Type.String({ maxLength: 100 })),
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
      'other_account',
      'consent_pending',
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
  forecast: route({
    method: 'GET',
    path: '/v1/connections/forecast',
    summary: 'What will end: of my connections, and for operators of the apps; soonest first',
    audience: 'member',
    answers: { 200: Type.Object({ items: Type.Array(ForecastItem) }) },
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
  connectionEvents: route({
    method: 'GET',
    path: '/v1/connections/{id}/events',
    summary: 'What has happened to a connection, newest first',
    audience: 'member',
    params: ById,
    query: PageQuery,
    answers: { 200: Page(ConnectionEvent) },
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
      'provider_not_configured',
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

const ProxiedMethod = Type.Union(
  (['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).map((method) => Type.Literal(method)),
)

/** A connection lent out: for some methods and paths of the proxy, at a rate, for a time. */
export const Capability = Type.Object({
  id: Id,
  /** `GET` includes HEAD. */
  methods: Type.Array(ProxiedMethod),
  /** Below the provider's API: `*` stands for one segment, `**` at the end for everything below. */
  paths: Type.Array(Type.String()),
  ratePerMinute: Type.Optional(Type.Integer()),
  createdAt: Time,
  expiresAt: Time,
  /** To the minute. */
  lastUsedAt: Type.Union([Time, Type.Null()]),
})
export type Capability = Static<typeof Capability>

export const CreatedCapability = Type.Object({
  id: Id,
  token: Type.String({ description: 'For `Authorization: Bearer`; shown once.' }),
  expiresAt: Time,
})
export type CreatedCapability = Static<typeof CreatedCapability>

export const capabilityRoutes = {
  lend: route({
    method: 'POST',
    path: '/v1/connections/{id}/capabilities',
    summary: 'Lend a connection out, within limits',
    audience: 'member',
    params: ById,
    body: Type.Object(
      {
        methods: Type.Array(ProxiedMethod, { minItems: 1, maxItems: 5 }),
        paths: Type.Array(Type.String({ minLength: 1, maxLength: 500 }), { minItems: 1, maxItems: 20 }),
        ratePerMinute: Type.Optional(Type.Integer({ minimum: 1, maximum: 6000 })),
        expiresIn: Type.Integer({ minimum: 1, maximum: 86_400, description: 'Seconds; at most a day.' }),
      },
      { additionalProperties: false },
    ),
    answers: { 201: CreatedCapability },
    errors: ['not_found'],
  }),
  capabilities: route({
    method: 'GET',
    path: '/v1/connections/{id}/capabilities',
    summary: 'What a connection is lent out for',
    audience: 'member',
    params: ById,
    query: PageQuery,
    answers: { 200: Page(Capability) },
    errors: ['not_found'],
  }),
  endCapability: route({
    method: 'DELETE',
    path: '/v1/connections/{id}/capabilities/{capabilityId}',
    summary: 'End a capability at once',
    audience: 'member',
    params: Type.Object({ id: Id, capabilityId: Id }),
    answers: { 204: Nothing },
    errors: ['not_found'],
  }),
} as const

/** `ANY /v1/connections/{id}/proxy/{path}`: not a `Route`, because body and answer are the provider's. */
export const proxyPath = '/v1/connections/{id}/proxy/{path}'
export const proxyLimits = { bodyBytes: 10 * 1024 * 1024 } as const
