import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Secret } from '#foundation/secret.ts'
import type { Verdict } from '#providers/provider.ts'
import type { App, Apps } from './apps.ts'
import type { Claim, ConnectionRow, ConnectionStore, LiveConnection } from './connection-store.ts'
import type { CredentialVault } from './credential-vault.ts'
import type { IdentityReader } from './identity-reader.ts'
import { type Grant, GrantOutage, GrantRefused, type TokenEndpoint } from './token-endpoint.ts'

/** A token as it was handed out. Whoever had it rejected gives it back, so that nobody refreshes what is fresh already. */
export interface AccessToken {
  readonly value: Secret
  readonly generation: number
}

/** Longer than two requests to the token endpoint with their timeouts, so that the holder is done before it ends. */
const leaseSeconds = 90
const pollMs = 100
/** After an outage a token that is still valid is used without asking again for so long. */
const calmMs = 30_000

/**
 * The one place where access tokens are renewed (RFC 6749 6). One flight in this process and one holder in the cluster per
 * connection; the request is never cancelled once it left, because a spent refresh token must not be abandoned; a new pair
 * is stored before anybody uses it; the provider being down is never taken for a revocation.
 */
export class TokenRefresh implements AsyncDisposable {
  readonly #store: ConnectionStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #tokenEndpoint: TokenEndpoint
  readonly #identityReader: IdentityReader
  readonly #clock: Clock
  readonly #log: Log
  readonly #changed: (connection: ConnectionRow) => void
  readonly #flights = new Map<string, Promise<AccessToken>>()
  readonly #calmUntil = new Map<string, number>()

  constructor(dependencies: {
    store: ConnectionStore
    vault: CredentialVault
    apps: Apps
    tokenEndpoint: TokenEndpoint
    identityReader: IdentityReader
    clock: Clock
    log: Log
    changed: (connection: ConnectionRow) => void
  }) {
    this.#store = dependencies.store
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#tokenEndpoint = dependencies.tokenEndpoint
    this.#identityReader = dependencies.identityReader
    this.#clock = dependencies.clock
    this.#log = dependencies.log
    this.#changed = dependencies.changed
  }

  /**
   * A token that may be used now. With `rejected`, a newer one than that; where the connection has none to give and the
   * provider still knows the token, the same one comes back.
   *
   * @throws AtomError `connection_needs_reconnect` | `provider_unavailable` | `provider_misconfigured` | `provider_refused` |
   * `not_found` when it was disconnected meanwhile
   */
  async access(connection: LiveConnection, rejected?: AccessToken): Promise<AccessToken> {
    if (connection.status === 'needs_reconnect') throw needsReconnect(connection)
    const now = this.#clock.now().getTime()
    const newer = rejected === undefined || connection.generation > rejected.generation
    if (newer && !staleAt(connection, now)) return this.#opened(connection)
    const stillValid = connection.expiresAt === null || connection.expiresAt.getTime() > now
    if (newer && stillValid && (this.#calmUntil.get(connection.id) ?? 0) > now)
      return this.#opened(connection)
    try {
      return await this.#flight(connection)
    } catch (error) {
      // An early refresh that failed costs nobody a token that still works.
      if (
        newer &&
        stillValid &&
        error instanceof AtomError &&
        (error.row.category === 'provider' || error.code === 'unavailable') &&
        !isLost(error)
      ) {
        this.#calmUntil.set(connection.id, now + calmMs)
        return this.#opened(connection)
      }
      throw error
    }
  }

  /** Renews now, whether or not it is time. @throws as `access` */
  async renew(connection: LiveConnection): Promise<ConnectionRow> {
    if (connection.status === 'needs_reconnect') throw needsReconnect(connection)
    await this.#flight(connection)
    const now = await this.#store.live(connection.workspaceId, connection.id)
    if (now === undefined) throw new AtomError('not_found', 'The account was disconnected.')
    return now
  }

  /** Waits for requests under way: what they bring must still be stored. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#flights.size > 0) await Promise.allSettled(this.#flights.values())
  }

  #flight(connection: LiveConnection): Promise<AccessToken> {
    const key = `${connection.id} ${connection.generation}`
    const underWay = this.#flights.get(key)
    if (underWay !== undefined) return underWay
    const flight = this.#refresh(connection).finally(() => this.#flights.delete(key))
    this.#flights.set(key, flight)
    return flight
  }

  async #refresh(connection: LiveConnection): Promise<AccessToken> {
    const claim: Claim = {
      connectionId: connection.id,
      generation: connection.generation,
      holder: newId(),
      leaseSeconds,
    }
    for (;;) {
      const held = await this.#store.claim(claim)
      if (held !== undefined) return await this.#settle(connection, claim, held.unanswered)
      const moved = await this.#moved(connection)
      if (moved !== undefined) return moved
      await pause(pollMs / 2 + Math.random() * pollMs)
    }
  }

  /** What another has made of it meanwhile; undefined while the generation is the same. */
  async #moved(connection: LiveConnection): Promise<AccessToken | undefined> {
    const now = await this.#store.live(connection.workspaceId, connection.id)
    if (now === undefined) throw new AtomError('not_found', 'The account was disconnected.')
    if (now.generation !== connection.generation) return this.#opened(now)
    if (now.status === 'needs_reconnect') throw needsReconnect(now)
    return undefined
  }

  /** The claim is ours: whatever happens in here gives it back. */
  async #settle(connection: LiveConnection, claim: Claim, unanswered: boolean): Promise<AccessToken> {
    let unsure = unanswered
    try {
      const app = await this.#apps.of(connection)
      const place = placeOf(connection, connection.generation)
      const refreshToken = await this.#vault.openRefreshToken(place, connection.sealed)
      if (refreshToken === undefined) return await this.#probe(connection, claim, app)
      try {
        const grant = await this.#ask(app, refreshToken, connection.scopes, () => {
          unsure = true
        })
        return await this.#keep(connection, claim, grant)
      } catch (error) {
        if (
          error instanceof GrantRefused &&
          (error.verdict === 'reconnect' || error.verdict === 'reconsent')
        ) {
          return await this.#giveUp(connection, claim, refusedReason(app, error.verdict, unsure))
        }
        throw outward(error)
      }
    } catch (error) {
      await this.#store.release(claim, unsure).catch((failure: unknown) => {
        this.#log.warn(
          { connectionId: claim.connectionId, err: failure },
          'a refresh claim runs out by itself',
        )
      })
      throw error
    }
  }

  /** Sends the refresh token; once more where the first answer never came. */
  async #ask(app: App, refreshToken: Secret, granted: readonly string[], unsure: () => void): Promise<Grant> {
    try {
      return await this.#tokenEndpoint.refresh(app, refreshToken, granted)
    } catch (error) {
      if (!(error instanceof GrantOutage && error.sent)) throw error
      unsure()
      return await this.#tokenEndpoint.refresh(app, refreshToken, granted)
    }
  }

  async #keep(connection: LiveConnection, claim: Claim, grant: Grant): Promise<AccessToken> {
    if (grant.subject !== undefined && grant.subject !== connection.identityId) {
      return await this.#giveUp(
        connection,
        claim,
        'The provider answered for another person than the one who connected.',
      )
    }
    const place = placeOf(connection, connection.generation + 1)
    const earlier = placeOf(connection, connection.generation)
    const refreshToken =
      grant.refreshToken ?? (await this.#vault.openRefreshToken(earlier, connection.sealed))
    const sealed = await this.#vault.sealTokens(
      place,
      { accessToken: grant.accessToken, refreshToken },
      connection.sealed.dataKey,
    )
    const issuedAt = this.#clock.now()
    const stored = await this.#persist(connection, () =>
      this.#store.renew({
        connectionId: connection.id,
        generation: connection.generation,
        sealed,
        issuedAt,
        expiresAt: grant.expiresAt,
        particulars: { ...connection.particulars, ...grant.particulars },
      }),
    )
    this.#calmUntil.delete(connection.id)
    if (stored) {
      this.#log.info(
        { connectionId: connection.id, provider: connection.provider, generation: place.generation },
        'access token refreshed',
      )
      this.#changed({ ...connection, generation: place.generation, issuedAt, expiresAt: grant.expiresAt })
      return { value: grant.accessToken, generation: place.generation }
    }
    // Consent was given anew while the request was under way: that pair is the current one.
    const moved = await this.#moved(connection)
    if (moved === undefined) throw new AtomError('provider_unavailable')
    return moved
  }

  /** A pair that only exists in this process is worth waiting for a database that is away for a moment. */
  async #persist(connection: LiveConnection, store: () => Promise<boolean>): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await store()
      } catch (error) {
        if (attempt === 9 || !(error instanceof AtomError) || error.code !== 'unavailable') {
          this.#log.error(
            { connectionId: connection.id, err: error },
            'a refreshed token could not be stored',
          )
          throw error
        }
        this.#log.warn({ connectionId: connection.id, attempt }, 'a refreshed token is not stored yet')
        await pause(Math.min(100 * 2 ** attempt, 5_000))
      }
    }
  }

  /** Without a refresh token all that can be done is to ask whether the provider still knows the token. */
  async #probe(connection: LiveConnection, claim: Claim, app: App): Promise<AccessToken> {
    const token = await this.#opened(connection)
    const expired = connection.expiresAt !== null && connection.expiresAt <= this.#clock.now()
    if (!expired && (await this.#identityReader.accepts(app, token.value, connection))) {
      await this.#store.release(claim, false)
      return token
    }
    return await this.#giveUp(
      connection,
      claim,
      expired
        ? `The access to ${app.provider.name} has expired and cannot be renewed. Reconnect the account.`
        : `${app.provider.name} does not accept the access any more: it was revoked there. Reconnect the account.`,
    )
  }

  /** The grant seems gone. Whoever reconnected meanwhile has made a newer one, which is then the answer. */
  async #giveUp(connection: LiveConnection, claim: Claim, reason: string): Promise<AccessToken> {
    if (!(await this.#store.needsReconnect(claim, reason))) {
      const moved = await this.#moved(connection)
      if (moved !== undefined) return moved
    }
    const lost = { ...connection, status: 'needs_reconnect', reason } as const
    this.#log.warn({ connectionId: connection.id, provider: connection.provider, reason }, 'connection lost')
    this.#changed(lost)
    throw needsReconnect(lost)
  }

  async #opened(connection: LiveConnection): Promise<AccessToken> {
    const place = placeOf(connection, connection.generation)
    return {
      value: await this.#vault.openAccessToken(place, connection.sealed),
      generation: connection.generation,
    }
  }
}

function placeOf(connection: LiveConnection, generation: number) {
  return { workspaceId: connection.workspaceId, connectionId: connection.id, generation }
}

/**
 * Refreshed before it expires: in the last tenth of its life, at most five minutes before its end, earlier by up to half as
 * much again for some connections than for others, so that those connected together do not all refresh together.
 */
function staleAt(connection: ConnectionRow, now: number): boolean {
  if (connection.expiresAt === null) return false
  const end = connection.expiresAt.getTime()
  const life = end - connection.issuedAt.getTime()
  const spread = Number.parseInt(connection.id.slice(-4), 16) / 0xffff
  return now >= end - Math.min(life / 10, 300_000) * (1 + spread / 2)
}

function isLost(error: AtomError): boolean {
  return error.code === 'connection_needs_reconnect'
}

function needsReconnect(connection: ConnectionRow): AtomError {
  return new AtomError('connection_needs_reconnect', connection.reason ?? undefined)
}

function refusedReason(app: App, verdict: Verdict, unsure: boolean): string {
  const name = app.provider.name
  if (verdict === 'reconsent') return `${name} wants you to allow the access anew. Reconnect the account.`
  return unsure
    ? `${name} does not accept the stored access. An earlier renewal was cut off before its answer arrived, so ${name} may have replaced it. Reconnect the account.`
    : `${name} has ended the access: it was revoked, or not used for too long. Reconnect the account.`
}

function outward(error: unknown): unknown {
  if (error instanceof GrantOutage) return new AtomError('provider_unavailable', undefined, { cause: error })
  if (error instanceof GrantRefused) {
    if (error.verdict === 'operator')
      return new AtomError('provider_misconfigured', undefined, { cause: error })
    if (error.verdict === 'retry') return new AtomError('provider_unavailable', undefined, { cause: error })
    return new AtomError('provider_refused', `The provider answered “${error.error}”.`, { cause: error })
  }
  return error
}
