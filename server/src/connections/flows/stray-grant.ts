import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Outbound } from '#foundation/outbound.ts'
import type { Particulars } from '#providers/provider.ts'
import { placed } from '#providers/stand-in.ts'
import type { App } from '../apps.ts'
import type { Grant, TokenEndpoint } from '../authorization-server/token-endpoint.ts'
import type { ConnectionStore } from '../connection-store.ts'
import { refreshTokenIn } from '../refresh/renewal-source.ts'

const largestAnswer = 64 * 1024

/** Whose grant it is. */
interface GrantOwner {
  readonly identityId: string
  readonly particulars: Particulars
}

/**
 * Ends a grant that no connection is made of, because its consent was for another account than was asked for. Left alone
 * where a connection lives from the same grant. What does not succeed is logged: nobody holds the tokens any more.
 */
export class StrayGrants {
  readonly #store: ConnectionStore
  readonly #outbound: Outbound
  readonly #tokenEndpoint: TokenEndpoint
  readonly #log: Log

  constructor(dependencies: {
    store: ConnectionStore
    outbound: Outbound
    tokenEndpoint: TokenEndpoint
    log: Log
  }) {
    this.#store = dependencies.store
    this.#outbound = dependencies.outbound
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#log = dependencies.log
  }

  async end(app: App, grant: Grant, owner: GrantOwner): Promise<void> {
    for (const credential of [grant, ...grant.others]) {
      try {
        await this.#endOne(app, credential, owner)
      } catch (error) {
        this.#log.warn(
          { provider: app.provider.id, err: error },
          'consent for another account could not be ended',
        )
      }
    }
  }

  async #endOne(
    app: App,
    { slot, accessToken, refreshToken: renewing }: Pick<Grant, 'slot' | 'accessToken' | 'refreshToken'>,
    owner: GrantOwner,
  ): Promise<void> {
    // A key is its owner's, who may use it elsewhere.
    if (app.flow === 'api_key') return
    const { provider, clientId, clientSecret } = app
    const { particulars } = owner
    const refreshToken = refreshTokenIn(renewing)
    const request = provider.revocation?.({ particulars, clientId, clientSecret, accessToken, refreshToken })
    const standard = provider.endpoints.revocation !== undefined
    if (request === undefined && !standard) return
    const shared =
      provider.ownGrants === true
        ? 0
        : await this.#store.sharers(
            { ...owner, id: newId(), provider: provider.id, clientId, sandbox: app.sandbox },
            slot,
            provider.slots?.others[slot]?.own === true ? undefined : provider.sharedGrant,
          )
    if (shared > 0) return
    if (standard) {
      const kind = refreshToken === undefined ? 'access_token' : 'refresh_token'
      return await this.#tokenEndpoint.revoke(app, refreshToken ?? accessToken, kind)
    }
    if (request === undefined) return
    const answer = await this.#outbound.fetch(placed(request.url, app.standIns), {
      method: request.method,
      headers: request.headers,
      body: request.body,
      timeoutMs: 15_000,
      maxBytes: largestAnswer,
    })
    const ended = provider.revoked?.(answer.status, await answer.text()) === true
    this.#log.info(
      { provider: provider.id, slot, ended, status: answer.status },
      'consent for another account',
    )
  }
}
