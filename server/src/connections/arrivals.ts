import type { Connection } from '@atom/contract/connections.ts'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import { missingScopes, type Provider, ProviderAnswer } from '#providers/provider.ts'
import type { App, Apps } from './apps.ts'
import type { Grant } from './authorization-server/token-endpoint.ts'
import type { ConnectionNews } from './connection-news.ts'
import type { ConnectionRow, ConnectionStore, ConsentPlace, SealedConsent } from './connection-store.ts'
import { viewOf } from './connection-view.ts'
import type { CredentialVault, SealedTokens } from './credential-vault.ts'
import type { Attempt } from './flows/flow-store.ts'
import type { StrayGrants } from './flows/stray-grant.ts'
import type { IdentityReader, RecognisedPerson } from './identity-reader.ts'
import { keepAliveAt } from './refresh/refresh-times.ts'
import { standingWithout } from './refresh/remedy.ts'

/** An attempt to connect that has a grant. */
interface Arrival {
  readonly flow: Attempt
  readonly app: App
}

/** Where every way to connect ends: a grant becomes a connection, once it is known whose it is. */
export class Arrivals {
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #identityReader: IdentityReader
  readonly #strayGrants: StrayGrants
  readonly #news: ConnectionNews
  readonly #clock: Clock
  readonly #log: Log

  constructor(dependencies: {
    store: ConnectionStore
    vault: CredentialVault
    apps: Apps
    identityReader: IdentityReader
    strayGrants: StrayGrants
    news: ConnectionNews
    clock: Clock
    log: Log
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#identityReader = dependencies.identityReader
    this.#strayGrants = dependencies.strayGrants
    this.#news = dependencies.news
    this.#clock = dependencies.clock
    this.#log = dependencies.log
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
      })),
      particulars: { ...flow.particulars, ...grant.particulars, ...person.particulars },
      seal: (place) => this.#sealed(flow.workspaceId, grant, place),
    })
  }

  /** One data key for all that this consent gave. */
  async #sealed(workspaceId: string, grant: Grant, to: ConsentPlace): Promise<SealedConsent> {
    const place = { workspaceId, connectionId: to.connectionId, generation: to.generation }
    const sealed = await this.#vault.sealTokens(place, grant)
    const further = new Map<string, SealedTokens>()
    for (const other of grant.others) {
      const generation = to.further.get(other.slot) ?? 1
      const otherPlace = { ...place, generation, further: other.slot }
      further.set(other.slot, await this.#vault.sealTokens(otherPlace, other, sealed.dataKey))
    }
    const { dpopKey } = grant
    return {
      ...sealed,
      further,
      ...(dpopKey !== undefined && {
        dpopKey: await this.#vault.sealDpopKey(place, sealed.dataKey, dpopKey),
      }),
    }
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
  return { id: newId(), kind, detail, durationMs: null, slot: null }
}
