import type {
  Connection,
  ConnectionEvent,
  ConnectionFlow,
  DisconnectReceipt,
  FlowName,
} from '@atom/contract/connections.ts'
import { type AccountPrincipal, type Principal, personOf } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import { EnvelopeError } from '#foundation/crypto/sealed-bytes.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import { missingScopes, type Provider, ProviderAnswer } from '#providers/provider.ts'
import { type CredentialValues, credentialFields, flowNames } from '#providers/provider-flows.ts'
import { placed } from '#providers/stand-in.ts'
import type { App, Apps } from './apps.ts'
import {
  type Grant,
  GrantOutage,
  GrantRefused,
  type TokenEndpoint,
} from './authorization-server/token-endpoint.ts'
import type { ConnectionHistory } from './connection-history.ts'
import type { Attempt, ConnectionRow, ConnectionStore, LiveConnection } from './connection-store.ts'
import type { CredentialVault } from './credential-vault.ts'
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
import { requireOperator } from './flows/flow-needs.ts'
import type { StrayGrants } from './flows/stray-grant.ts'
import type { IdentityReader, RecognisedPerson } from './identity-reader.ts'
import { idIn } from './list-cursor.ts'
import { keepAliveAt } from './refresh/refresh-times.ts'
import { standingWithout } from './refresh/remedy.ts'
import type { TokenRefresh } from './refresh/token-refresh.ts'

/** A connection is new, or other than it was; `revoked` says that it is gone. */
export interface ConnectionChange {
  readonly workspaceId: string
  readonly ownerId: string
  readonly connection: Connection
}

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

/** An attempt to connect that has a grant. */
interface Arrival {
  readonly flow: Attempt
  readonly app: App
}

export interface ConnectionPage {
  readonly items: Connection[]
  readonly next: string | null
}

const largestPage = 200
const largestRevocationAnswer = 64 * 1024

/** Accounts that people have connected: beginning, finishing, looking at, refreshing and ending a connection. */
export class Connections {
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #flow: AuthorizationCodeFlow
  readonly #deviceCode: DeviceCodeFlow
  readonly #deviceCodeGiven: () => void
  readonly #appInstallation: AppInstallation
  readonly #credentialFlow: CredentialFlow
  readonly #tokenRefresh: TokenRefresh
  readonly #tokenEndpoint: TokenEndpoint
  readonly #identityReader: IdentityReader
  readonly #outbound: Outbound
  readonly #news: ConnectionNews
  readonly #history: ConnectionHistory
  readonly #strayGrants: StrayGrants
  readonly #clock: Clock
  readonly #log: Log

  constructor(dependencies: {
    store: ConnectionStore
    vault: CredentialVault
    apps: Apps
    flow: AuthorizationCodeFlow
    deviceCode: DeviceCodeFlow
    /** Somebody has to ask for it from now on. */
    deviceCodeGiven: () => void
    appInstallation: AppInstallation
    credentialFlow: CredentialFlow
    tokenRefresh: TokenRefresh
    tokenEndpoint: TokenEndpoint
    identityReader: IdentityReader
    outbound: Outbound
    news: ConnectionNews
    history: ConnectionHistory
    strayGrants: StrayGrants
    clock: Clock
    log: Log
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#flow = dependencies.flow
    this.#deviceCode = dependencies.deviceCode
    this.#deviceCodeGiven = dependencies.deviceCodeGiven
    this.#appInstallation = dependencies.appInstallation
    this.#credentialFlow = dependencies.credentialFlow
    this.#tokenRefresh = dependencies.tokenRefresh
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#identityReader = dependencies.identityReader
    this.#outbound = dependencies.outbound
    this.#news = dependencies.news
    this.#history = dependencies.history
    this.#strayGrants = dependencies.strayGrants
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
        if (provider.flows?.app_installation?.by !== 'consent') requireOperator(principal)
        return await this.#flow.begin(person, wish, flow, target)
      default: {
        const arrival = await this.#credentialFlow.begin(principal, { ...wish, flow }, target)
        return { connection: await this.arrive(arrival, arrival.grant) }
      }
    }
  }

  /**
   * Makes a connection of a grant.
   * @throws AtomError `provider_refused` | `provider_unavailable` where it cannot be told whose it is
   */
  async arrive(arrival: Arrival, grant: Grant): Promise<Connection> {
    const person = await this.#recognised(arrival, grant)
    await this.#requireSameAccount(arrival, grant, person)
    const connection = viewOf(await this.#keep(arrival, grant, person))
    const { workspaceId, accountId, flow } = arrival.flow
    this.#log.info(
      { connectionId: connection.id, provider: connection.provider, flow, sandbox: connection.sandbox },
      'connected',
    )
    this.#news.tell({ workspaceId, ownerId: accountId, connection })
    return connection
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
      if (flowId !== undefined) await this.#store.failFlow(flowId, error.code)
      return { returnTo, outcome: { problem: error } }
    }
  }

  async #finished(taken: TakenFlow, callback: Callback): Promise<Connection> {
    const { provider, flow } = taken.app
    const installation = flow === 'app_installation' ? provider.flows?.app_installation : undefined
    if (installation === undefined)
      return await this.arrive(taken, await this.#flow.exchange(taken, callback))
    if (installation.by === 'consent') {
      const grant = await this.#flow.exchange(taken, callback)
      for (const [name, pattern] of Object.entries(installation.granted)) {
        if (pattern.test(grant.particulars[name] ?? '')) continue
        throw new AtomError(
          'provider_refused',
          `${provider.name} did not install the app for an organisation.`,
        )
      }
      return await this.arrive(taken, grant)
    }
    const installed = await this.#appInstallation.installed(taken, callback)
    return await this.arrive(installed, await this.#credentialFlow.installed(installed))
  }

  /**
   * What has become of an attempt to connect.
   * @throws AtomError `not_found` for anybody but whoever began it
   */
  async flowOutcome(principal: Principal, id: string): Promise<ConnectionFlow> {
    const flow = await this.#store.flowOutcome(principal.workspaceId, personOf(principal), id)
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
    const ended = await this.#revoke(connection)
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

  async #recognised({ flow, app }: Arrival, grant: Grant): Promise<RecognisedPerson> {
    const particulars = { ...flow.particulars, ...grant.particulars }
    const settledApp = { ...app, provider: this.#apps.settled({ ...flow, particulars }) }
    if (/[{}]/.test(settledApp.provider.api.base)) {
      throw new AtomError('provider_refused', `${app.provider.name} did not say where its API is.`)
    }
    try {
      return await this.#identityReader.recognise(settledApp, grant.accessToken, {
        granted: grant.granted ?? flow.scopes,
        subject: grant.subject,
        particulars,
        dpopKey: grant.dpopKey,
      })
    } catch (error) {
      if (!(error instanceof ProviderAnswer)) throw error
      if (error.status >= 500 || error.status === 429) {
        throw new AtomError('provider_unavailable', undefined, { cause: error })
      }
      const { name } = app.provider
      const wrongKey = flow.flow === 'api_key' && (error.status === 401 || error.status === 403)
      throw new AtomError(
        'provider_refused',
        wrongKey
          ? `${name} does not accept this key. Copy it again, or make a new one there.`
          : `${name} did not say whose account this is.`,
        { cause: error },
      )
    }
  }

  /** @throws AtomError `other_account` | `flow_invalid` where the connection is gone meanwhile */
  async #requireSameAccount({ flow, app }: Arrival, grant: Grant, person: RecognisedPerson): Promise<void> {
    if (flow.connectionId === null) return
    const target = await this.#store.live(flow.workspaceId, flow.connectionId)
    if (target?.identityId === person.id) return
    const particulars = { ...flow.particulars, ...grant.particulars, ...person.particulars }
    await this.#strayGrants.end(app, grant, { identityId: person.id, particulars })
    if (target === undefined) throw new AtomError('flow_invalid', 'The connection was ended meanwhile.')
    throw new AtomError(
      'other_account',
      `At ${app.provider.name} the account of ${person.identity.name} was chosen; this connection is that of ${target.identity.name}.`,
    )
  }

  async #keep({ flow, app }: Arrival, grant: Grant, person: RecognisedPerson): Promise<ConnectionRow> {
    const granted = grant.granted ?? flow.scopes
    const missing = missingScopes(app.provider, flow.scopes, granted)
    const at = this.#clock.now()
    return await this.#store.connect({
      newId: newId(),
      flowId: flow.id,
      workspaceId: flow.workspaceId,
      ownerId: flow.accountId,
      provider: flow.provider,
      flow: flow.flow,
      appId: flow.appId,
      clientId: flow.clientId,
      ...standingWithout(app.provider, missing),
      sandbox: app.sandbox,
      identityId: person.id,
      identity: person.identity,
      askedScopes: flow.scopes,
      happened: (before) => consentEvent(app.provider, { asked: flow.scopes, missing }, before),
      scopes: granted,
      missingScopes: missing,
      at,
      slot: grant.slot,
      expiresAt: grant.expiresAt,
      refreshExpiresAt: grant.refreshExpiresAt,
      keepAliveAt: keepAliveAt(app.provider, {
        refreshable: grant.refreshToken !== undefined,
        at,
        refreshExpiresAt: grant.refreshExpiresAt,
      }),
      others: grant.others.map((other) => ({
        slot: other.slot,
        expiresAt: other.expiresAt,
        refreshExpiresAt: null,
        keepAliveAt: keepAliveAt(app.provider, {
          refreshable: other.refreshToken !== undefined,
          at,
          refreshExpiresAt: null,
        }),
        seal: (connectionId, generation, dataKey) =>
          this.#vault.sealTokens(
            { workspaceId: flow.workspaceId, connectionId, generation, further: other.slot },
            other,
            dataKey,
          ),
      })),
      particulars: { ...flow.particulars, ...grant.particulars, ...person.particulars },
      seal: async (connectionId, generation) => {
        const place = { workspaceId: flow.workspaceId, connectionId, generation }
        const sealed = await this.#vault.sealTokens(place, grant)
        const { dpopKey } = grant
        if (dpopKey === undefined) return sealed
        return { ...sealed, dpopKey: await this.#vault.sealDpopKey(place, sealed.dataKey, dpopKey) }
      },
    })
  }

  /** Every credential by itself: those of a team may have to stay while the person's own end. */
  async #revoke(connection: LiveConnection): Promise<Pick<DisconnectReceipt, 'revocation' | 'detail'>> {
    const provider = this.#apps.settled(connection)
    const { name } = provider
    const outcomes = [await this.#revokeOne(provider, connection)]
    for (const { slot } of connection.others) {
      const other = await this.#store.live(connection.workspaceId, connection.id, slot)
      if (other !== undefined) outcomes.push(await this.#revokeOne(provider, other))
    }
    if (outcomes.includes('failed')) {
      return {
        revocation: 'failed',
        detail: `${name} could not be told. Atom has destroyed its copy; remove Atom in your ${name} settings to end the access there too.`,
      }
    }
    if (outcomes.includes('kept')) {
      const ended = outcomes.includes('revoked') ? ` What ${name} gave for you alone has ended.` : ''
      return {
        revocation: 'kept',
        detail: `Another connection lives from the same consent at ${name}, so it stays. Atom has destroyed this copy.${ended}`,
      }
    }
    return {
      revocation: outcomes.includes('revoked') ? 'revoked' : 'unsupported',
      detail: provider.afterRevocation,
    }
  }

  async #revokeOne(provider: Provider, connection: LiveConnection): Promise<DisconnectReceipt['revocation']> {
    const slot = connection.further ?? connection.slot
    const shared = provider.slots?.others[slot]?.own === true ? undefined : provider.sharedGrant
    const mayShare = provider.ownGrants !== true
    if (mayShare && (await this.#store.sharers(connection, slot, shared)) > 0) return 'kept'
    try {
      const app = await this.#apps.of(connection)
      const answer = await this.#sendRevocation(app, connection)
      if (answer === undefined) return 'unsupported'
      const { status, body } = answer
      if (provider.revoked?.(status, body) === true) return 'revoked'
      if (status < 500 && (await this.#revokeRenewed(app, connection))) return 'revoked'
      this.#log.warn(
        { connectionId: connection.id, provider: provider.id, slot, status },
        'revocation refused',
      )
      return 'failed'
    } catch (error) {
      // A credential that was edited or moved, or whose master key is lost, opens tomorrow as little as now.
      const isOver = error instanceof EnvelopeError
      if (!isOver && !(error instanceof AtomError && error.row.category === 'provider')) throw error
      const code = isOver ? error.message : error.code
      this.#log.warn({ connectionId: connection.id, provider: provider.id, slot, code }, 'revocation failed')
      return 'failed'
    }
  }

  /** Where a provider revokes with a token that works only, an expired one is renewed for its end. */
  async #revokeRenewed(app: App, connection: LiveConnection): Promise<boolean> {
    if (connection.sealed.refreshToken === null || connection.status === 'needs_reconnect') return false
    try {
      await this.#tokenRefresh.renew(connection)
    } catch (error) {
      // The provider ended the grant before: nothing is left to revoke.
      if (error instanceof AtomError && error.code === 'connection_needs_reconnect') return true
      throw error
    }
    const renewed = await this.#store.live(connection.workspaceId, connection.id, connection.further)
    const answer = renewed && (await this.#sendRevocation(app, renewed))
    return answer !== undefined && app.provider.revoked?.(answer.status, answer.body) === true
  }

  /** Undefined where the provider offers no way. */
  async #sendRevocation(
    app: App,
    connection: LiveConnection,
  ): Promise<{ status: number; body: string } | undefined> {
    // A key is its owner's, who may use it elsewhere, and none of the server's tokens.
    if (connection.flow === 'api_key') return undefined
    const { workspaceId, id: connectionId, generation, further } = connection
    const place = { workspaceId, connectionId, generation, further }
    if (app.provider.endpoints.revocation !== undefined) return await this.#revokeByStandard(app, connection)
    const request = app.provider.revocation?.({
      particulars: connection.particulars,
      clientId: app.clientId,
      clientSecret: app.clientSecret,
      accessToken: await this.#vault.openAccessToken(place, connection.sealed),
      refreshToken: await this.#vault.openRefreshToken(place, connection.sealed),
    })
    if (request === undefined) return undefined
    const answer = await this.#outbound.fetch(placed(request.url, app.standIns), {
      method: request.method,
      headers: request.headers,
      body: request.body,
      timeoutMs: 15_000,
      maxBytes: largestRevocationAnswer,
    })
    return { status: answer.status, body: await answer.text() }
  }

  /** RFC 7009: the refresh token where there is one, because access tokens of its grant end with it. */
  async #revokeByStandard(
    app: App,
    connection: LiveConnection,
  ): Promise<{ status: number; body: string } | undefined> {
    const { workspaceId, id: connectionId, generation, further } = connection
    const place = { workspaceId, connectionId, generation, further }
    const refreshToken = await this.#vault.openRefreshToken(place, connection.sealed)
    try {
      if (refreshToken !== undefined) await this.#tokenEndpoint.revoke(app, refreshToken, 'refresh_token')
      else {
        const accessToken = await this.#vault.openAccessToken(place, connection.sealed)
        await this.#tokenEndpoint.revoke(app, accessToken, 'access_token')
      }
      return { status: 200, body: '' }
    } catch (error) {
      // RFC 7009 2.2.1: a token that carries its own validity cannot be ended.
      if (error instanceof GrantRefused && error.error === 'unsupported_token_type') return undefined
      if (error instanceof GrantRefused) return { status: 400, body: '' }
      if (error instanceof GrantOutage)
        throw new AtomError('provider_unavailable', undefined, { cause: error })
      throw error
    }
  }
}

/** Who hears of changes. Apart from `Connections`, because refreshing changes connections too. */
export class ConnectionNews {
  readonly #listeners = new Set<(change: ConnectionChange) => void>()
  readonly #log: Log

  constructor(dependencies: { log: Log }) {
    this.#log = dependencies.log
  }

  subscribe(heard: (change: ConnectionChange) => void): Disposable {
    this.#listeners.add(heard)
    return { [Symbol.dispose]: () => void this.#listeners.delete(heard) }
  }

  tell(change: ConnectionChange): void {
    for (const heard of this.#listeners) {
      try {
        heard(change)
      } catch (error) {
        this.#log.error({ err: error }, 'a listener to connections failed')
      }
    }
  }

  /** The same, of a row. */
  tellOf(row: ConnectionRow): void {
    this.tell({ workspaceId: row.workspaceId, ownerId: row.ownerId, connection: viewOf(row) })
  }
}

function viewOf(row: ConnectionRow): Connection {
  return {
    id: row.id,
    provider: row.provider,
    flow: row.flow,
    status: row.status,
    ...(row.reason !== null && { reason: row.reason }),
    ...(row.remedy !== null && { remedy: row.remedy }),
    identity: { id: row.identityId, ...row.identity },
    askedScopes: [...row.askedScopes],
    scopes: [...row.scopes],
    missingScopes: [...row.missingScopes],
    sandbox: row.sandbox,
    ownerId: row.ownerId,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    credentials: [row, ...row.others].map(({ slot, expiresAt, refreshExpiresAt }) => ({
      slot,
      expiresAt: expiresAt?.toISOString() ?? null,
      refreshExpiresAt: refreshExpiresAt?.toISOString() ?? null,
    })),
    connectedAt: row.connectedAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}

function consentEvent(
  { name }: Provider,
  { asked, missing }: { asked: readonly string[]; missing: readonly string[] },
  before: { askedScopes: readonly string[] } | undefined,
) {
  const further = asked.filter((scope) => before?.askedScopes.includes(scope) !== true)
  const [kind, what] =
    before === undefined
      ? (['connected', `Access was granted at ${name}`] as const)
      : further.length === 0
        ? (['reconnected', `Access was granted anew at ${name}`] as const)
        : (['widened', `Access was granted at ${name} for more: ${further.join(', ')}`] as const)
  const detail = missing.length === 0 ? `${what}.` : `${what}, but not for ${missing.join(', ')}.`
  return { id: newId(), kind, detail, durationMs: null }
}

function unfit(pointer: string, detail: string): AtomError {
  return new AtomError('validation_failed', undefined, { problems: [{ pointer, detail }] })
}

function belongsToFlow(error: AtomError): boolean {
  return error.row.category === 'provider'
}
