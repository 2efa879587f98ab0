import type {
  Connection,
  ConnectionEvent,
  ConnectionFlow,
  DisconnectReceipt,
  FlowName,
} from '@atom/contract/connections.ts'
import { type AccountPrincipal, type Principal, personOf } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import { type CredentialValues, credentialFields, flowNames } from '#providers/provider-flows.ts'
import type { Apps } from './apps.ts'
import type { Arrivals } from './arrivals.ts'
import type { ConnectionHistory } from './connection-history.ts'
import type { ConnectionChange, ConnectionNews } from './connection-news.ts'
import type { ConnectionStore, LiveConnection } from './connection-store.ts'
import { viewOf } from './connection-view.ts'
import { endsAndRemains } from './disconnect-receipt.ts'
import type { AppInstallation } from './flows/app-installation.ts'
import type {
  AuthorizationCodeFlow,
  BegunFlow,
  Callback,
  FlowWish,
  TakenFlow,
} from './flows/authorization-code.ts'
import type { CredentialFlow } from './flows/credential-flow.ts'
import type { BegunDeviceFlow, DeviceCodeFlow } from './flows/device-code.ts'
import { isOperators, requireOperator } from './flows/flow-needs.ts'
import type { FlowStore } from './flows/flow-store.ts'
import type { GrantRevocation } from './grant-revocation.ts'
import { idIn } from './list-cursor.ts'
import type { TokenRefresh } from './refresh/token-refresh.ts'

/** How a browser's return from a provider ended, and where its person wanted to go. */
export interface FinishedFlow {
  readonly returnTo: string
  readonly outcome: { readonly connection: Connection } | { readonly problem: AtomError }
}

/** What somebody wants to connect, and by which flow. */
export interface ConnectWish extends FlowWish {
  /** Consent for this connection. */
  readonly connectionId?: string | undefined
  readonly flow?: FlowName | undefined
  readonly credential?: CredentialValues | undefined
}

/** What `connect` began, or has done already. */
export type Begun = BegunFlow | BegunDeviceFlow | { readonly connection: Connection }

export interface ConnectionPage {
  readonly items: Connection[]
  readonly next: string | null
}

const largestPage = 200

/** Accounts that people have connected: beginning, finishing, looking at, refreshing and ending a connection. */
export class Connections {
  readonly #store: ConnectionStore
  readonly #flows: FlowStore
  readonly #arrivals: Arrivals
  readonly #grantRevocation: GrantRevocation
  readonly #apps: Apps
  readonly #flow: AuthorizationCodeFlow
  readonly #deviceCode: DeviceCodeFlow
  readonly #deviceCodeGiven: () => void
  readonly #appInstallation: AppInstallation
  readonly #credentialFlow: CredentialFlow
  readonly #tokenRefresh: TokenRefresh
  readonly #news: ConnectionNews
  readonly #history: ConnectionHistory
  readonly #clock: Clock
  readonly #log: Log

  constructor(dependencies: {
    store: ConnectionStore
    flowStore: FlowStore
    arrivals: Arrivals
    grantRevocation: GrantRevocation
    apps: Apps
    flow: AuthorizationCodeFlow
    deviceCode: DeviceCodeFlow
    /** Somebody has to ask for it from now on. */
    deviceCodeGiven: () => void
    appInstallation: AppInstallation
    credentialFlow: CredentialFlow
    tokenRefresh: TokenRefresh
    news: ConnectionNews
    history: ConnectionHistory
    clock: Clock
    log: Log
  }) {
    this.#store = dependencies.store
    this.#flows = dependencies.flowStore
    this.#arrivals = dependencies.arrivals
    this.#grantRevocation = dependencies.grantRevocation
    this.#apps = dependencies.apps
    this.#flow = dependencies.flow
    this.#deviceCode = dependencies.deviceCode
    this.#deviceCodeGiven = dependencies.deviceCodeGiven
    this.#appInstallation = dependencies.appInstallation
    this.#credentialFlow = dependencies.credentialFlow
    this.#tokenRefresh = dependencies.tokenRefresh
    this.#news = dependencies.news
    this.#history = dependencies.history
    this.#clock = dependencies.clock
    this.#log = dependencies.log
  }

  /** Hears every change after it is committed. */
  subscribe(heard: (change: ConnectionChange) => void): Disposable {
    return this.#news.subscribe(heard)
  }

  /** A person's connections, newest first. */
  async list(
    principal: Principal,
    page: { cursor?: string | undefined; limit?: number | undefined } = {},
  ): Promise<ConnectionPage> {
    const limit = page.limit ?? 50
    const rows = await this.#store.list(principal.workspaceId, personOf(principal), {
      before: page.cursor === undefined ? undefined : idIn(page.cursor),
      limit: limit + 1,
    })
    const items = rows.slice(0, limit)
    return { items: items.map(viewOf), next: rows.length > limit ? (items.at(-1)?.id ?? null) : null }
  }

  /** @throws AtomError `not_found` unless the person owns it */
  async get(principal: Principal, id: string): Promise<Connection> {
    return viewOf(await this.#owned(principal, id))
  }

  /** All that a person has connected, or all at one provider; newest first. */
  async ownedBy(workspaceId: string, accountId: string, provider?: string): Promise<Connection[]> {
    const rows = await this.#store.list(workspaceId, accountId, { limit: largestPage, provider })
    return rows.map(viewOf)
  }

  /**
   * What has happened to a connection, newest first.
   * @throws AtomError `not_found` unless the person owns it
   */
  async events(
    principal: Principal,
    id: string,
    page: { cursor?: string | undefined; limit?: number | undefined } = {},
  ): Promise<{ items: ConnectionEvent[]; next: string | null }> {
    const before = page.cursor === undefined ? undefined : idIn(page.cursor)
    const connection = await this.#owned(principal, id)
    return await this.#history.page(connection.id, { before, limit: page.limit })
  }

  /**
   * @throws AtomError `provider_unknown` | `provider_not_configured` | `return_to_refused` | `validation_failed` |
   * `forbidden`; and where there is no browser to come back, `provider_refused` | `provider_misconfigured` |
   * `provider_unavailable`; `not_found` where `connectionId` is none of the person's
   */
  async connect(principal: AccountPrincipal, wish: ConnectWish): Promise<Begun> {
    const { workspaceId, id: accountId, sessionId } = principal
    const person = { workspaceId, accountId, sessionId }
    const provider = this.#apps.provider(wish.provider)
    const offered = flowNames(provider.flows)
    const target =
      wish.connectionId === undefined ? undefined : await this.#owned(principal, wish.connectionId)
    if (target !== undefined && target.provider !== provider.id) {
      throw unfit('/connectionId', 'Is a connection of another provider.')
    }
    const flow = wish.flow ?? target?.flow ?? offered[0] ?? 'authorization_code'
    if (!offered.includes(flow)) throw unfit('/flow', `${provider.name} offers ${offered.join(', ')}.`)
    const takesCredential = credentialFields(provider.flows).some((one) => one.flow === flow)
    if (wish.credential !== undefined && !takesCredential) {
      throw unfit('/credential', 'This way to connect takes none.')
    }
    switch (flow) {
      case 'authorization_code':
        return await this.#flow.begin(person, wish, 'authorization_code', target)
      case 'device_code': {
        const begun = await this.#deviceCode.begin(person, wish, target)
        this.#deviceCodeGiven()
        return begun
      }
      case 'app_installation':
        if (isOperators(provider, flow)) requireOperator(principal)
        return await this.#flow.begin(person, wish, flow, target)
      default: {
        const arrival = await this.#credentialFlow.begin(principal, { ...wish, flow }, target)
        return { connection: await this.#arrivals.arrive(arrival, arrival.grant) }
      }
    }
  }

  /** Ends what `connect` began. Problems of the flow are an outcome, because the browser has to be sent somewhere. */
  async finish(callback: Callback): Promise<FinishedFlow> {
    let returnTo = '/connections'
    let flowId: string | undefined
    try {
      returnTo = (await this.#flow.returnTo(callback)) ?? returnTo
      const taken = await this.#flow.take(callback)
      flowId = taken.flow.id
      return { returnTo, outcome: { connection: await this.#finished(taken, callback) } }
    } catch (error) {
      if (!(error instanceof AtomError) || !belongsToFlow(error)) throw error
      this.#log.info({ provider: callback.provider, code: error.code, err: error.cause }, 'not connected')
      if (flowId !== undefined) await this.#flows.failFlow(flowId, error.code)
      return { returnTo, outcome: { problem: error } }
    }
  }

  async #finished(taken: TakenFlow, callback: Callback): Promise<Connection> {
    const { provider, flow } = taken.app
    const installation = flow === 'app_installation' ? provider.flows?.app_installation : undefined
    if (installation === undefined)
      return await this.#arrivals.arrive(taken, await this.#flow.exchange(taken, callback))
    if (installation.by === 'consent') {
      const grant = await this.#flow.exchange(taken, callback)
      for (const [name, pattern] of Object.entries(installation.granted)) {
        if (pattern.test(grant.particulars[name] ?? '')) continue
        throw new AtomError(
          'provider_refused',
          `${provider.name} did not install the app for an organisation.`,
        )
      }
      return await this.#arrivals.arrive(taken, grant)
    }
    const installed = await this.#appInstallation.installed(taken, callback)
    return await this.#arrivals.arrive(installed, await this.#credentialFlow.installed(installed))
  }

  /**
   * What has become of an attempt to connect.
   * @throws AtomError `not_found` for anybody but whoever began it
   */
  async flowOutcome(principal: Principal, id: string): Promise<ConnectionFlow> {
    const flow = await this.#flows.flowOutcome(principal.workspaceId, personOf(principal), id)
    if (flow === undefined) throw new AtomError('not_found')
    if (flow.connectionId !== null) return { status: 'connected', connectionId: flow.connectionId }
    if (flow.problem !== null) return { status: 'failed', problem: flow.problem }
    return flow.expiresAt > this.#clock.now()
      ? { status: 'pending' }
      : { status: 'failed', problem: 'flow_expired' }
  }

  /** Name of the cookie that can go once this callback is dealt with. */
  cookieOf(callback: Callback): string | undefined {
    return this.#flow.cookieOf(callback)
  }

  /**
   * Renews the access token now; where there is nothing to renew it with, asks the provider whether it still holds.
   * @throws AtomError `not_found` | `connection_needs_reconnect` | `provider_unavailable` | `provider_misconfigured` |
   * `provider_refused`
   */
  async refresh(principal: Principal, id: string): Promise<Connection> {
    const before = await this.#owned(principal, id)
    const now = await this.#tokenRefresh.renew(before)
    return viewOf(now)
  }

  /**
   * Ends the grant at the provider and destroys the credential here; the second happens whatever becomes of the first.
   * @throws AtomError `not_found` unless the person owns it
   */
  async disconnect(principal: Principal, id: string): Promise<DisconnectReceipt> {
    const connection = await this.#owned(principal, id)
    const { name } = this.#apps.provider(connection.provider)
    const ended = await this.#grantRevocation.revoke(connection)
    if (!(await this.#store.remove(connection))) throw new AtomError('not_found')
    const at = this.#clock.now().toISOString()
    this.#log.info(
      { connectionId: id, provider: connection.provider, revocation: ended.revocation },
      'disconnected',
    )
    this.#news.tell({
      workspaceId: connection.workspaceId,
      ownerId: connection.ownerId,
      connection: { ...viewOf(connection), status: 'revoked', reason: `Disconnected from ${name}.` },
    })
    return {
      id,
      provider: connection.provider,
      ...ended,
      ...endsAndRemains(this.#apps.settled(connection), connection, ended.revocation, this.#clock.now()),
      at,
    }
  }

  async #owned(principal: Principal, id: string): Promise<LiveConnection> {
    const connection = await this.#store.live(principal.workspaceId, id)
    if (connection === undefined || connection.ownerId !== personOf(principal))
      throw new AtomError('not_found')
    return connection
  }
}

function unfit(pointer: string, detail: string): AtomError {
  return new AtomError('validation_failed', undefined, { problems: [{ pointer, detail }] })
}

function belongsToFlow(error: AtomError): boolean {
  return error.row.category === 'provider'
}
