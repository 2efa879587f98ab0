import type { FlowName, ProviderView } from '@atom/contract/connections.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { ClientCertificate } from '#foundation/outbound.ts'
import { Secret } from '#foundation/secret.ts'
import {
  forFlow,
  type Particulars,
  type Provider,
  settled,
  standardParticulars,
  standardScopes,
} from '#providers/provider.ts'
import { noStandIns, type StandIns } from '#providers/stand-in.ts'
import { type AppEntry, requireProof, requireSettings, withAlways } from './app-entry.ts'
import type { AppRow, AppStore } from './app-store.ts'
import { certificateEnd, clientCertificate } from './authorization-server/client-key.ts'
import type { ClientRegistration } from './authorization-server/client-registration.ts'
import type { ServerMetadata } from './authorization-server/server-metadata.ts'
import type { CredentialVault } from './credential-vault.ts'
import { providerView } from './provider-view.ts'

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
  /** What it shows of itself in handshakes (RFC 8705). */
  readonly certificate: ClientCertificate | undefined
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
  readonly #store: AppStore
  readonly #vault: CredentialVault
  readonly #sandbox: SandboxOffer | undefined
  readonly #clock: Clock
  readonly #publicUrl: () => string
  readonly #metadata: ServerMetadata
  readonly #registration: ClientRegistration

  constructor(dependencies: {
    catalog: ReadonlyMap<string, Provider>
    store: AppStore
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
        entry.clientSecretExpiresAt !== undefined
          ? new Date(entry.clientSecretExpiresAt)
          : ((entry.privateKey && certificateEnd(entry.privateKey)) ?? null),
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

  /** What a connection's app shows of itself to the API, whose tokens may be bound to it (RFC 8705 3). */
  async certificate(source: Pick<AppSource, 'provider' | 'appId'>): Promise<ClientCertificate | undefined> {
    const provider = this.provider(source.provider)
    if (source.appId === null || provider.appKey?.presented !== true) return undefined
    const row = await this.#store.app(source.appId)
    return row && shown(provider, await this.#vault.openAppKey(row))
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
      certificate: undefined,
      particulars: known,
      scopes: standardScopes(provider),
      standIns: sandbox.origins,
    }
  }

  async #opened(provider: Provider, row: AppRow, said: Particulars, flow: FlowName): Promise<App> {
    // What a connection was made with comes before what the app says now: its token belongs there.
    const particulars = { ...standardParticulars(provider), ...row.settings, ...said }
    const privateKey = await this.#vault.openAppKey(row)
    const certificate = shown(provider, privateKey)
    return {
      id: row.id,
      sandbox: false,
      flow,
      provider: await this.#metadata.described(
        settled(provider, particulars),
        noStandIns,
        certificate !== undefined,
      ),
      clientId: row.clientId,
      clientSecret: await this.#vault.openAppSecret(row),
      privateKey,
      certificate,
      particulars,
      scopes: row.scopes ?? standardScopes(provider),
      standIns: noStandIns,
    }
  }

  #view(provider: Provider, configured: AppRow | undefined): ProviderView {
    const running = this.#sandbox?.running()
    return providerView(provider, configured, {
      redirectUri: this.redirectUri(provider),
      sandbox: {
        offered: this.#sandbox?.providers.includes(provider.id) === true,
        running: running !== undefined,
        settings: running?.apps[provider.id]?.installable?.settings,
      },
    })
  }
}

function shown({ appKey }: Provider, privateKey: Secret | undefined): ClientCertificate | undefined {
  return appKey?.presented === true && privateKey !== undefined ? clientCertificate(privateKey) : undefined
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
    certificate: undefined,
    particulars,
    scopes: standardScopes(provider),
    standIns: noStandIns,
  }
}
