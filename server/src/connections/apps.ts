import type { FlowName, ProviderView } from '@atom/contract/connections.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import { Secret } from '#foundation/secret.ts'
import {
  forFlow,
  type Particulars,
  type Provider,
  settled,
  standardParticulars,
  unfitParticulars,
} from '#providers/provider.ts'
import { credentialFields, flowNames, needsOf } from '#providers/provider-flows.ts'
import { providerPagePath, setupSteps } from '#providers/provider-guide.ts'
import { noStandIns, type StandIns } from '#providers/stand-in.ts'
import type { ClientRegistration } from './authorization-server/client-registration.ts'
import type { ServerMetadata } from './authorization-server/server-metadata.ts'
import type { AppRow, ConnectionStore } from './connection-store.ts'
import type { CredentialVault } from './credential-vault.ts'

/** An OAuth client at a provider: an operator's own, or the sandbox's. */
export interface App {
  /** null: the sandbox's, or none of anybody's where a key needs no app. */
  readonly id: string | null
  readonly sandbox: boolean
  /** What it is used for. */
  readonly flow: FlowName
  /** As that flow knows it, with the particulars of the flow or connection it is for in its addresses. */
  readonly provider: Provider
  readonly clientId: string
  /** Empty for an app that proves itself by its key, or not at all. */
  readonly clientSecret: Secret
  /** A JWK; what the provider file says it is for. */
  readonly privateKey: Secret | undefined
  /** All that settled `provider`: for a flow to keep. */
  readonly particulars: Particulars
  /** What it asks for when nothing else is said. */
  readonly scopes: readonly string[]
  readonly standIns: StandIns
}

/** A running sandbox, as far as apps and addresses are concerned. */
export interface SandboxView {
  readonly origins: StandIns
  readonly apps: Readonly<Record<string, SandboxClient & { readonly installable?: InstallableClient }>>
}

interface SandboxClient {
  readonly clientId: string
  readonly clientSecret: string
}

/** What is installed rather than allowed, where that is an app of its own (GitHub App). */
interface InstallableClient extends SandboxClient {
  readonly privateKey: string
  /** What an operator would enter beside it. */
  readonly settings: Particulars
}

/** Absent where the server is configured without one. */
export interface SandboxOffer {
  /** Ids of the providers it stands in for, running or not. */
  readonly providers: readonly string[]
  running(): SandboxView | undefined
  open(): Promise<SandboxView>
}

/** What an operator enters. */
interface AppEntry {
  readonly clientId: string
  readonly clientSecret?: Secret | undefined
  /** As `readClientKey` gives it. */
  readonly privateKey?: Secret | undefined
  readonly settings?: Particulars | undefined
  readonly scopes?: readonly string[] | undefined
  readonly clientSecretExpiresAt?: string | undefined
  readonly testing?: boolean | undefined
}

interface AppSource {
  readonly provider: string
  readonly flow: FlowName
  readonly appId: string | null
  /** Where absent, what has no app is the sandbox's. */
  readonly sandbox?: boolean
  readonly clientId: string
  readonly particulars: Particulars
}

/** Which app stands between Atom and each provider. A workspace's own always comes before the sandbox's. */
export class Apps {
  readonly #catalog: ReadonlyMap<string, Provider>
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #sandbox: SandboxOffer | undefined
  readonly #clock: Clock
  readonly #publicUrl: () => string
  readonly #metadata: ServerMetadata
  readonly #registration: ClientRegistration

  constructor(dependencies: {
    catalog: ReadonlyMap<string, Provider>
    store: ConnectionStore
    vault: CredentialVault
    metadata: ServerMetadata
    registration: ClientRegistration
    sandbox: SandboxOffer | undefined
    clock: Clock
    publicUrl: () => string
  }) {
    this.#catalog = dependencies.catalog
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#sandbox = dependencies.sandbox
    this.#clock = dependencies.clock
    this.#publicUrl = dependencies.publicUrl
    this.#metadata = dependencies.metadata
    this.#registration = dependencies.registration
  }

  /** @throws AtomError `provider_unknown` */
  provider(id: string): Provider {
    const provider = this.#catalog.get(id)
    if (provider === undefined) throw new AtomError('provider_unknown')
    return provider
  }

  redirectUri(provider: Provider): string {
    return `${this.#publicUrl()}/v1/oauth/callback/${provider.id}`
  }

  async list(workspaceId: string): Promise<ProviderView[]> {
    const configured = new Map((await this.#store.apps(workspaceId)).map((row) => [row.provider, row]))
    return [...this.#catalog.values()].map((provider) => this.#view(provider, configured.get(provider.id)))
  }

  /**
   * Enters an app. A new secret for the same client id keeps what lives from it; another client id, or other settings, begin a
   * new app.
   * @throws AtomError `provider_unknown` | `validation_failed`
   */
  async configure(principal: AccountPrincipal, providerId: string, entry: AppEntry): Promise<ProviderView> {
    const provider = this.provider(providerId)
    const settings = requireSettings(provider, entry.settings ?? {})
    requireProof(settled(provider, settings), entry)
    const row = await this.#store.putApp({
      secretExpiresAt:
        entry.clientSecretExpiresAt === undefined ? null : new Date(entry.clientSecretExpiresAt),
      testing: entry.testing ?? false,
      workspaceId: principal.workspaceId,
      provider: providerId,
      clientId: entry.clientId,
      scopes: entry.scopes === undefined ? null : withAlways(provider, entry.scopes),
      settings,
      configuredBy: principal.id,
      configuredAt: this.#clock.now(),
      newId: newId(),
      seal: async (id, version) => {
        const place = { workspaceId: principal.workspaceId, appId: id, version }
        const sealed = await this.#vault.sealAppSecret(place, entry.clientSecret ?? new Secret(''))
        const { privateKey } = entry
        if (privateKey === undefined) return sealed
        return { ...sealed, privateKey: await this.#vault.sealAppKey(place, sealed.dataKey, privateKey) }
      },
    })
    return this.#view(provider, row)
  }

  async remove(workspaceId: string, providerId: string): Promise<void> {
    this.provider(providerId)
    await this.#store.retireApp(workspaceId, providerId, this.#clock.now())
  }

  /**
   * The app that a new connection is made with.
   * @param particulars what the person said (`askedParticulars`)
   * @throws AtomError `provider_unknown` | `provider_not_configured` | `provider_unavailable` | `provider_misconfigured` |
   * `provider_refused`
   */
  async current(
    person: { workspaceId: string; accountId: string },
    providerId: string,
    particulars: Particulars,
    flow: FlowName = 'authorization_code',
  ): Promise<App> {
    const provider = forFlow(this.provider(providerId), flow)
    if (provider.discovery === 'resource') return await this.#registered(person, provider, particulars)
    const row = await this.#store.currentApp(person.workspaceId, providerId)
    if (row !== undefined) return await this.#opened(provider, row, particulars, flow)
    const sandbox = this.#sandboxApp(provider, this.#sandbox?.running(), particulars, flow)
    if (sandbox === undefined) throw new AtomError('provider_not_configured')
    return sandbox
  }

  /**
   * The app that a connection is consented to anew with: the workspace's own of today, else the one it was made with. A
   * connection of the sandbox stays one, and one of the real provider is none of it.
   * @throws as `of`
   */
  async again(
    person: { workspaceId: string; accountId: string },
    connection: AppSource & { readonly sandbox: boolean },
  ): Promise<App> {
    const { flow, appId, provider, particulars, sandbox } = connection
    // What an API says of how to get access to it is asked anew: the person said no more than its address.
    const replaced =
      !sandbox &&
      (appId === null ||
        this.provider(provider).discovery === 'resource' ||
        (await this.#store.currentApp(person.workspaceId, provider)) !== undefined)
    if (!replaced) return await this.of(connection)
    const app = await this.current(person, provider, particulars, flow)
    if (app.sandbox) throw new AtomError('provider_not_configured')
    return app
  }

  /**
   * For a credential that needs no app. It is the sandbox's where an app would be, and else the real provider's.
   * @param sandbox which of the two, where it is for a connection that there is already
   * @throws AtomError `provider_unknown` | `provider_unavailable`
   */
  async withoutApp(
    workspaceId: string,
    providerId: string,
    particulars: Particulars,
    flow: FlowName,
    sandbox?: boolean,
  ): Promise<App> {
    const provider = forFlow(this.provider(providerId), flow)
    const isSandbox = sandbox ?? (await this.#store.currentApp(workspaceId, providerId)) === undefined
    if (!isSandbox) return noApp(provider, particulars, flow)
    const running = sandbox === true ? await this.#openSandbox() : this.#sandbox?.running()
    return this.#sandboxApp(provider, running, particulars, flow) ?? noApp(provider, particulars, flow)
  }

  /**
   * The app that a flow or a connection was made with, which is the only one that can speak for it.
   * @throws AtomError `provider_unknown` | `provider_not_configured` | `provider_unavailable` | `provider_misconfigured`
   */
  async of(source: AppSource): Promise<App> {
    const provider = forFlow(this.provider(source.provider), source.flow)
    if (source.appId === null) {
      if (source.sandbox === false) return noApp(provider, source.particulars, source.flow)
      const app = this.#sandboxApp(provider, await this.#openSandbox(), source.particulars, source.flow)
      if (app?.clientId !== source.clientId) throw new AtomError('provider_not_configured')
      return app
    }
    const row = await this.#store.app(source.appId)
    if (row === undefined) throw new AtomError('provider_not_configured')
    return await this.#opened(provider, row, source.particulars, source.flow)
  }

  /** Whoever says that it does not know this app: one that Atom registered by itself is registered anew the next time. */
  async disowned(app: App): Promise<void> {
    if (app.id !== null) await this.#store.retireRegistration(app.id, this.#clock.now())
  }

  /** The provider as a connection has it. */
  settled(source: Pick<AppSource, 'provider' | 'flow' | 'particulars'>): Provider {
    return settled(forFlow(this.provider(source.provider), source.flow), source.particulars)
  }

  /** Where the API of a connection is: at the provider, or in the sandbox it was made with. */
  async standIns(source: Pick<AppSource, 'appId' | 'sandbox'>): Promise<StandIns> {
    return source.appId === null && source.sandbox !== false
      ? (await this.#openSandbox()).origins
      : noStandIns
  }

  /** Starts the sandbox where the server may; afterwards it stands in for every provider without an app. */
  async openSandbox(): Promise<void> {
    if (this.#sandbox === undefined) {
      throw new AtomError(
        'forbidden',
        'The sandbox is switched off here. Start the server with ATOM_SANDBOX=1.',
      )
    }
    await this.#sandbox.open()
  }

  /** A sandbox that has once been opened comes back with the first use of a connection that was made with it. */
  async #openSandbox(): Promise<SandboxView> {
    const running = this.#sandbox?.running()
    if (running !== undefined) return running
    if (this.#sandbox === undefined) {
      throw new AtomError(
        'provider_unavailable',
        'This account is one of the sandbox, which is switched off here.',
      )
    }
    return await this.#sandbox.open()
  }

  /** At a server that the API names: the operator's app where there is one for it, else Atom's own registration. */
  async #registered(
    person: { workspaceId: string; accountId: string },
    described: Provider,
    said: Particulars,
  ): Promise<App> {
    if (said['server'] === undefined) {
      throw new AtomError('provider_not_configured', 'Which server it is, each connection says for itself.')
    }
    const found = await this.#registration.find(described, said)
    const particulars = { ...said, ...found.particulars }
    const provider = await this.#metadata.described(settled(described, particulars), noStandIns)
    // Whoever offers to keep the access is asked to: without, the person would have to come back every hour.
    const keeps = provider.metadata?.scopes_supported?.includes('offline_access') === true
    const scopes = keeps ? [...new Set([...found.scopes, 'offline_access'])] : found.scopes
    const entered = await this.#store.currentApp(person.workspaceId, described.id)
    if (entered !== undefined && entered.settings['issuer'] === particulars['issuer']) {
      const app = await this.#opened(described, entered, particulars, 'authorization_code')
      return entered.scopes === null ? { ...app, scopes } : app
    }
    const redirectUri = this.redirectUri(provider)
    const registeredWith = `${provider.issuer} ${redirectUri}`
    const { workspaceId } = person
    const row =
      (await this.#store.registeredApp(workspaceId, provider.id, registeredWith, this.#clock.now())) ??
      (await this.#register(person, provider, redirectUri, registeredWith))
    return { ...(await this.#opened(described, row, particulars, 'authorization_code')), scopes }
  }

  async #register(
    { workspaceId, accountId }: { workspaceId: string; accountId: string },
    provider: Provider,
    redirectUri: string,
    registeredWith: string,
  ): Promise<AppRow> {
    const client = await this.#registration.register(provider, redirectUri)
    const id = newId()
    return await this.#store.registerApp({
      id,
      workspaceId,
      provider: provider.id,
      clientId: client.clientId,
      registeredWith,
      registeredBy: accountId,
      at: this.#clock.now(),
      endsAt: client.endsAt,
      settings: { issuer: provider.issuer, authentication: client.authentication },
      sealed: await this.#vault.sealAppSecret(
        { workspaceId, appId: id, version: 1 },
        client.clientSecret ?? new Secret(''),
      ),
    })
  }

  #sandboxApp(
    provider: Provider,
    sandbox: SandboxView | undefined,
    particulars: Particulars,
    flow: FlowName,
  ): App | undefined {
    const offered = sandbox?.apps[provider.id]
    if (sandbox === undefined || offered === undefined) return undefined
    const installed = flow === 'app_installation' ? offered.installable : undefined
    const app = installed ?? offered
    const known = { ...installed?.settings, ...particulars }
    return {
      id: null,
      sandbox: true,
      flow,
      provider: settled(provider, known),
      clientId: app.clientId,
      clientSecret: new Secret(app.clientSecret),
      privateKey: installed && new Secret(installed.privateKey),
      particulars: known,
      scopes: standardScopes(provider),
      standIns: sandbox.origins,
    }
  }

  async #opened(provider: Provider, row: AppRow, said: Particulars, flow: FlowName): Promise<App> {
    // What a connection was made with comes before what the app says now: its token belongs there.
    const particulars = { ...standardParticulars(provider), ...row.settings, ...said }
    return {
      id: row.id,
      sandbox: false,
      flow,
      provider: await this.#metadata.described(settled(provider, particulars), noStandIns),
      clientId: row.clientId,
      clientSecret: await this.#vault.openAppSecret(row),
      privateKey: await this.#vault.openAppKey(row),
      particulars,
      scopes: row.scopes ?? standardScopes(provider),
      standIns: noStandIns,
    }
  }

  #view(provider: Provider, configured: AppRow | undefined): ProviderView {
    const running = this.#sandbox?.running()
    // Where Atom registers itself, nobody has to enter anything first.
    const hasApp = configured !== undefined || provider.discovery === 'resource'
    const offered = this.#sandbox?.providers.includes(provider.id) === true
    // Where the sandbox stands in, what an operator would have entered is its own.
    const settings = configured?.settings ?? running?.apps[provider.id]?.installable?.settings ?? {}
    const scopes = configured?.scopes ?? standardScopes(provider)
    const { guide } = provider
    const redirectUri = this.redirectUri(provider)
    return {
      id: provider.id,
      name: provider.name,
      category: guide.category,
      app: hasApp ? 'configured' : offered && running !== undefined ? 'sandbox' : 'none',
      sandboxAvailable: offered,
      scopes: explained(provider, scopes),
      furtherScopes: explained(
        provider,
        knownScopes(provider).filter((scope) => !scopes.includes(scope)),
      ),
      particulars: Object.entries(provider.particulars ?? {}).map(
        ([name, { label, meaning, standard, askable, configurable, optional }]) => ({
          name,
          label: label ?? name,
          meaning,
          ...(standard !== undefined && { standard }),
          saidBy: askable === true ? 'person' : configurable === true ? 'operator' : 'provider',
          required: (askable ?? configurable) === true && optional !== true && standard === undefined,
        }),
      ),
      redirectUri,
      appConsoleUrl: provider.appConsoleUrl,
      flows: flowNames(provider.flows).filter((flow) => hasSettings(provider, flow, settings)),
      credentialFields: credentialFields(provider.flows).map(({ flow, fields }) => ({
        flow,
        fields: fields.map((field) => ({
          name: field.name,
          label: field.label,
          meaning: field.meaning,
          secret: field.secret === true,
          required: field.optional !== true,
          multiline: field.multiline === true,
        })),
      })),
      appFields: appFields(provider, configured?.settings ?? {}),
      setup: { steps: setupSteps(guide, { redirectUri, scopes }) },
      docsPath: providerPagePath(provider.id),
      appLife: {
        ...(guide.secretExpiry !== undefined && { secretExpiry: guide.secretExpiry }),
        ...(guide.testing !== undefined && { testing: guide.testing.meaning }),
      },
      ...(configured !== undefined && {
        appFacts: {
          clientId: configured.clientId,
          configuredAt: configured.configuredAt.toISOString(),
          clientSecretExpiresAt: configured.secretExpiresAt?.toISOString() ?? null,
          testing: configured.testing,
          scopes: configured.scopes === null ? null : [...configured.scopes],
        },
      }),
    }
  }
}

function knownScopes({ scopes }: Provider): string[] {
  return [...scopes.standard, ...(scopes.further ?? [])].map(({ scope }) => scope)
}

/** What people read beside each scope; one that there are no words for speaks for itself. */
function explained(provider: Provider, wanted: readonly string[]): ProviderView['scopes'] {
  const { standard, further = [], always } = provider.scopes
  const meanings = new Map([...standard, ...further].map(({ scope, meaning }) => [scope, meaning]))
  return wanted.map((scope) => ({
    scope,
    meaning: meanings.get(scope) ?? scope,
    required: always.includes(scope),
  }))
}

/** Whether the operator has said what this way to connect cannot do without. */
function hasSettings(provider: Provider, flow: FlowName, settings: Particulars): boolean {
  const said = { ...standardParticulars(provider), ...settings }
  return Object.entries(needsOf(provider.flows, flow)).every(
    ([name, pattern]) =>
      provider.particulars?.[name]?.configurable !== true || pattern.test(said[name] ?? ''),
  )
}

/** What an operator enters beside client id and secret. */
function appFields(provider: Provider, entered: Particulars): ProviderView['appFields'] {
  const fields = Object.entries(provider.particulars ?? {}).flatMap(([name, particular]) => {
    if (particular.configurable !== true) return []
    const value = entered[name]
    return [
      {
        name,
        label: particular.label ?? name,
        meaning: particular.meaning,
        secret: false,
        required: particular.optional !== true && particular.standard === undefined,
        ...(value !== undefined && { value }),
        ...(particular.standard !== undefined && { standard: particular.standard }),
      },
    ]
  })
  const { appKey } = provider
  if (appKey === undefined) return fields
  const key = {
    name: 'privateKey',
    label: 'Private key',
    meaning: appKey.meaning,
    secret: true,
    required: appKey.required === true,
    multiline: true,
  }
  return [...fields, key]
}

/**
 * What the operator says of the server, complete and well formed.
 * @throws AtomError `validation_failed`
 */
function requireSettings(provider: Provider, values: Particulars): Particulars {
  const declared = provider.particulars ?? {}
  const unfit = new Set(unfitParticulars(provider, values))
  const wrong = Object.keys(values).filter((name) => unfit.has(name) || declared[name]?.configurable !== true)
  const missing = Object.entries(declared)
    .filter(([name, { configurable, optional, standard }]) => {
      const needed = configurable === true && optional !== true && standard === undefined
      return needed && values[name] === undefined
    })
    .map(([name]) => name)
  const problems = [...wrong, ...missing].map((name) => ({
    pointer: `/settings/${name}`,
    detail: declared[name]?.meaning ?? `${provider.name} does not ask for it.`,
  }))
  if (problems.length > 0) throw new AtomError('validation_failed', undefined, { problems })
  return values
}

/**
 * That an app can prove itself in the way its server wants.
 * @throws AtomError `validation_failed`
 */
function requireProof(
  provider: Provider,
  { clientSecret, privateKey }: Pick<AppEntry, 'clientSecret' | 'privateKey'>,
): void {
  const { clientAuthentication, appKey } = provider
  const missing = (pointer: string, detail: string) =>
    new AtomError('validation_failed', undefined, { problems: [{ pointer, detail }] })
  if (privateKey !== undefined && appKey === undefined)
    throw missing('/privateKey', `${provider.name} takes none.`)
  if (privateKey === undefined && (clientAuthentication === 'private_key_jwt' || appKey?.required === true))
    throw missing('/privateKey', appKey?.meaning ?? 'The app proves itself by it.')
  if (clientAuthentication.startsWith('client_secret') && (clientSecret ?? privateKey) === undefined)
    throw missing('/clientSecret', 'The app proves itself by it.')
}

/** Where the credential is all that is needed: no client is named, and none proves itself. */
function noApp(provider: Provider, said: Particulars, flow: FlowName): App {
  const particulars = { ...standardParticulars(provider), ...said }
  return {
    id: null,
    sandbox: false,
    flow,
    provider: settled(provider, particulars),
    clientId: 'none',
    clientSecret: new Secret(''),
    privateKey: undefined,
    particulars,
    scopes: standardScopes(provider),
    standIns: noStandIns,
  }
}

function standardScopes(provider: Provider): readonly string[] {
  return provider.scopes.standard.map(({ scope }) => scope)
}

/**
 * The scopes with those that recognise the person in front, each once.
 * @throws AtomError `validation_failed` where one is no scope-token (RFC 6749 3.3)
 */
export function withAlways(provider: Provider, scopes: readonly string[]): string[] {
  for (const [at, scope] of scopes.entries()) {
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope) || scope.includes(provider.scopes.separator)) {
      throw new AtomError('validation_failed', undefined, {
        problems: [{ pointer: `/scopes/${at}`, detail: 'Must be one scope, as the provider writes it.' }],
      })
    }
  }
  return [...new Set([...provider.scopes.always, ...scopes])]
}

/**
 * What the person says of particulars, for a provider that asks for them.
 * @throws AtomError `validation_failed` where one cannot be said, or not so
 */
export function askedParticulars(provider: Provider, values: Particulars): Particulars {
  const unfit = new Set(unfitParticulars(provider, values))
  for (const name of Object.keys(values)) {
    if (unfit.has(name) || provider.particulars?.[name]?.askable !== true) {
      throw new AtomError('validation_failed', undefined, {
        problems: [
          {
            pointer: `/particulars/${name}`,
            detail: provider.particulars?.[name]?.meaning ?? `${provider.name} does not ask for it.`,
          },
        ],
      })
    }
  }
  const missing = Object.entries(provider.particulars ?? {}).find(
    ([name, { askable, optional, standard }]) =>
      askable === true && optional !== true && standard === undefined && values[name] === undefined,
  )
  if (missing !== undefined) {
    const [name, { meaning }] = missing
    throw new AtomError('validation_failed', undefined, {
      problems: [{ pointer: `/particulars/${name}`, detail: meaning }],
    })
  }
  return { ...askedStandards(provider), ...values }
}

/** Standards of what the operator says come with the app and not with the person. */
function askedStandards(provider: Provider): Particulars {
  return Object.fromEntries(
    Object.entries(standardParticulars(provider)).filter(
      ([name]) => provider.particulars?.[name]?.configurable !== true,
    ),
  )
}
