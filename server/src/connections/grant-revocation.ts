import type { DisconnectReceipt } from '@atom/contract/connections.ts'
import { EnvelopeError } from '#foundation/crypto/sealed-bytes.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import type { Provider } from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App, Apps } from './apps.ts'
import { GrantOutage, GrantRefused, type TokenEndpoint } from './authorization-server/token-endpoint.ts'
import type { ConnectionStore, LiveConnection } from './connection-store.ts'
import type { CredentialVault } from './credential-vault.ts'
import type { TokenRefresh } from './refresh/token-refresh.ts'

const largestAnswer = 64 * 1024

/** Ends what a connection lives from at its provider, as far as the provider lets one. */
export class GrantRevocation {
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #tokenRefresh: TokenRefresh
  readonly #tokenEndpoint: TokenEndpoint
  readonly #outbound: Outbound
  readonly #log: Log

  constructor(dependencies: {
    store: ConnectionStore
    vault: CredentialVault
    apps: Apps
    tokenRefresh: TokenRefresh
    tokenEndpoint: TokenEndpoint
    outbound: Outbound
    log: Log
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#tokenRefresh = dependencies.tokenRefresh
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#outbound = dependencies.outbound
    this.#log = dependencies.log
  }

  /** Every credential by itself: those of a team may have to stay while the person's own end. */
  async revoke(connection: LiveConnection): Promise<Pick<DisconnectReceipt, 'revocation' | 'detail'>> {
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
      maxBytes: largestAnswer,
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
