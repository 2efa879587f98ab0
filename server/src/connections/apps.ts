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
import { credentialFields, flowNames } from '#providers/provider-flows.ts'
import { providerPagePath, setupSteps } from '#providers/provider-guide.ts'
import { noStandIns, type StandIns } from '#providers/stand-in.ts'
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
  readonly clientSecret: Secret
  /** What it asks for when nothing else is said. */
  readonly scopes: readonly string[]
  readonly standIns: StandIns
}

/** A running sandbox, as far as apps and addresses are concerned. */
export interface SandboxView {
  readonly origins: StandIns
  readonly apps: Readonly<Record<string, { readonly clientId: string; readonly clientSecret: string }>>
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
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #sandbox: SandboxOffer | undefined
  readonly #clock: Clock
  readonly #publicUrl: () => string

  constructor(dependencies: {
    catalog: ReadonlyMap<string, Provider>
    store: ConnectionStore
    vault: CredentialVault
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

  /** Enters an app. A new secret for the same client id keeps what lives from it; another client id begins a new app. */
  async configure(
    principal: AccountPrincipal,
    providerId: string,
    entry: {
      clientId: string
      clientSecret: Secret
      scopes?: readonly string[] | undefined
      clientSecretExpiresAt?: string | undefined
      testing?: boolean | undefined
    },
  ): Promise<ProviderView> {
    const provider = this.provider(providerId)
    const row = await this.#store.putApp({
      secretExpiresAt:
        entry.clientSecretExpiresAt === undefined ? null : new Date(entry.clientSecretExpiresAt),
      testing: entry.testing ?? false,
      workspaceId: principal.workspaceId,
      provider: providerId,
      clientId: entry.clientId,
      scopes: entry.scopes === undefined ? null : withAlways(provider, entry.scopes),
      configuredBy: principal.id,
      configuredAt: this.#clock.now(),
      newId: newId(),
      seal: (id, version) =>
        this.#vault.sealAppSecret(
          { workspaceId: principal.workspaceId, appId: id, version },
          entry.clientSecret,
        ),
    })
    return this.#view(provider, row)
  }

  async remove(workspaceId: string, providerId: string): Promise<void> {
    this.provider(providerId)
    await this.#store.retireApp(workspaceId, providerId, this.#clock.now())
  }

  /**
   * The app that a new connection is made with.
   * @throws AtomError `provider_unknown` | `provider_not_configured`
   */
  async current(
    workspaceId: string,
    providerId: string,
    particulars: Particulars,
    flow: FlowName = 'authorization_code',
  ): Promise<App> {
    const provider = settled(forFlow(this.provider(providerId), flow), particulars)
    const row = await this.#store.currentApp(workspaceId, providerId)
    if (row !== undefined) return this.#opened(provider, row, flow)
    const sandbox = this.#sandboxApp(provider, this.#sandbox?.running(), flow)
    if (sandbox === undefined) throw new AtomError('provider_not_configured')
    return sandbox
  }

  /**
   * The app that a connection is consented to anew with: the workspace's own of today, else the one it was made with. A
   * connection of the sandbox stays one.
   * @throws as `of`
   */
  async again(connection: AppSource & { readonly workspaceId: string }): Promise<App> {
    const { workspaceId, appId, provider, particulars } = connection
    const replaced = appId !== null && (await this.#store.currentApp(workspaceId, provider)) !== undefined
    return replaced ? await this.current(workspaceId, provider, particulars) : await this.of(connection)
  }

  /**
   * For a credential that needs no app. It is the sandbox's where an app would be, and else the real provider's.
   * @throws AtomError `provider_unknown`
   */
  async withoutApp(
    workspaceId: string,
    providerId: string,
    particulars: Particulars,
    flow: FlowName,
  ): Promise<App> {
    const provider = settled(forFlow(this.provider(providerId), flow), particulars)
    const own = await this.#store.currentApp(workspaceId, providerId)
    const sandbox = own === undefined ? this.#sandboxApp(provider, this.#sandbox?.running(), flow) : undefined
    return sandbox ?? noApp(provider, flow)
  }

  /**
   * The app that a flow or a connection was made with, which is the only one that can speak for it.
   * @throws AtomError `provider_unknown` | `provider_not_configured` | `provider_unavailable`
   */
  async of(source: AppSource): Promise<App> {
    const provider = this.settled(source)
    if (source.appId === null) {
      if (source.sandbox === false) return noApp(provider, source.flow)
      const app = this.#sandboxApp(provider, await this.#openSandbox(), source.flow)
      if (app?.clientId !== source.clientId) throw new AtomError('provider_not_configured')
      return app
    }
    const row = await this.#store.app(source.appId)
    if (row === undefined) throw new AtomError('provider_not_configured')
    return this.#opened(provider, row, source.flow)
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

  #sandboxApp(provider: Provider, sandbox: SandboxView | undefined, flow: FlowName): App | undefined {
    const app = sandbox?.apps[provider.id]
    if (sandbox === undefined || app === undefined) return undefined
    return {
      id: null,
      sandbox: true,
      flow,
      provider,
      clientId: app.clientId,
      clientSecret: new Secret(app.clientSecret),
      scopes: standardScopes(provider),
      standIns: sandbox.origins,
    }
  }

  async #opened(provider: Provider, row: AppRow, flow: FlowName): Promise<App> {
    return {
      id: row.id,
      sandbox: false,
      flow,
      provider,
      clientId: row.clientId,
      clientSecret: await this.#vault.openAppSecret(row),
      scopes: row.scopes ?? standardScopes(provider),
      standIns: noStandIns,
    }
  }

  #view(provider: Provider, configured: AppRow | undefined): ProviderView {
    const running = this.#sandbox?.running()
    const offered = this.#sandbox?.providers.includes(provider.id) === true
    const scopes = configured?.scopes ?? standardScopes(provider)
    const { guide } = provider
    const redirectUri = this.redirectUri(provider)
    return {
      id: provider.id,
      name: provider.name,
      category: guide.category,
      app: configured ? 'configured' : offered && running !== undefined ? 'sandbox' : 'none',
      sandboxAvailable: offered,
      scopes: explained(provider, scopes),
      furtherScopes: explained(
        provider,
        knownScopes(provider).filter((scope) => !scopes.includes(scope)),
      ),
      particulars: Object.entries(provider.particulars ?? {}).map(
        ([name, { meaning, standard, askable }]) => ({
          name,
          meaning,
          ...(standard !== undefined && { standard }),
          saidBy: askable === true ? 'person' : 'provider',
          required: askable === true && standard === undefined,
        }),
      ),
      redirectUri,
      appConsoleUrl: provider.appConsoleUrl,
      appFields: [],
      flows: [...flowNames(provider.flows)],
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

/** Where the credential is all that is needed: no client is named, and none proves itself. */
function noApp(provider: Provider, flow: FlowName): App {
  return {
    id: null,
    sandbox: false,
    flow,
    provider,
    clientId: 'none',
    clientSecret: new Secret(''),
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
  return { ...standardParticulars(provider), ...values }
}
