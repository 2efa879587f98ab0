import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '#foundation/clock.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { Secret } from '#foundation/secret.ts'
import type { KeyAttachment } from '#providers/provider-flows.ts'
import type { App, Apps } from '../apps.ts'
import { type Grant, GrantOutage, GrantRefused } from '../authorization-server/token-endpoint.ts'
import type { ConnectionRow, ConnectionStore, LiveConnection } from '../connection-store.ts'
import { keyAttachment } from '../credential-attachment.ts'
import { nameOf, placeOf } from '../credential-place.ts'
import type { CredentialVault } from '../credential-vault.ts'
import type { CredentialFlow } from '../flows/credential-flow.ts'
import type { IdentityReader } from '../identity-reader.ts'
import type { Claim, CredentialStore, Renewal } from './credential-store.ts'
import type { RefreshJournal } from './refresh-journal.ts'
import { earlyRefreshAt, keepAliveAt } from './refresh-times.ts'
import { awaited, endsGrant, lost, standingWithout, type Trouble, troubleOf } from './remedy.ts'

/** A token as it was handed out. Whoever had it rejected gives it back, so that nobody refreshes what is fresh already. */
export interface AccessToken {
  readonly value: Secret
  /** The key that it is bound to; undefined: whoever has it may use it. */
  readonly dpopKey?: Secret | undefined
  /** How it is sent, where it is a key and no token. */
  readonly attachment?: KeyAttachment | undefined
  readonly generation: number
}

/** What became of a credential, for the timeline of its connection. */
export interface RefreshEvent {
  readonly workspaceId: string
  readonly connectionId: string
  /** Which of several credentials; undefined where the connection has one. */
  readonly slot: string | undefined
  readonly at: Date
  readonly kind: 'refreshed' | 'refresh_failed' | 'kept_alive' | 'lost'
  /** In plain words. */
  readonly detail: string
  /** The generation that it has now. */
  readonly generation: number
  /** Of the request to the provider, with waiting for it. */
  readonly durationMs: number
}

/** Why a refresh is made: a call needs the token, a person wants it, or it must not die of not being used. */
type Occasion = 'needed' | 'asked' | 'unused'

/** Moments of a refresh at which a test may let the power go. */
export type RefreshCheckpoint = 'claimed' | 'answered' | 'journalled' | 'stored'

/** A provider that does not renew what it is asked to. */
export interface RestingProvider {
  readonly provider: string
  readonly connections: number
  /** What it said last, in plain words. */
  readonly detail: string
}

interface Flight {
  readonly token: Promise<AccessToken>
  callers: number
}

/**
 * How long a holder that says nothing more is believed to be alive. A living one renews its lease for as long as its request
 * is under way, however long that is.
 */
const standardLeaseSeconds = 30
const pollMs = 100
/** After an outage a token that is still valid is used without asking again for so long. */
const calmMs = 30_000
/** Where nothing valid is left, a provider that failed twice is left alone for a second, then two, then four, at most so long. */
const longestRestMs = 30_000
/** What waits for its provider is asked for by itself after so long, if nobody needs it before. */
const askAgainMs = 5 * 60_000

/**
 * The one place where access tokens are renewed (RFC 6749 6). One flight in this process and one holder in the cluster per
 * connection; the request is never cancelled once it left, because a spent refresh token must not be abandoned; a new pair
 * is stored before anybody uses it; the provider being down is never taken for a revocation.
 */
export class TokenRefresh implements AsyncDisposable {
  readonly #store: ConnectionStore
  readonly #credentials: CredentialStore
  readonly #vault: CredentialVault
  readonly #apps: Apps
  readonly #source: Pick<CredentialFlow, 'refresh'>
  readonly #identityReader: IdentityReader
  readonly #journal: RefreshJournal
  readonly #clock: Clock
  readonly #log: Log
  readonly #changed: (connection: ConnectionRow) => void
  readonly #noted: (event: RefreshEvent) => void
  readonly #leaseSeconds: number
  readonly #checkpoint: (name: RefreshCheckpoint) => void
  readonly #flights = new Map<string, Flight>()
  readonly #calmUntil = new Map<string, number>()
  readonly #rests = new Map<string, Rest>()

  constructor(dependencies: {
    store: ConnectionStore
    credentials: CredentialStore
    vault: CredentialVault
    apps: Apps
    /** Where the next access token comes from. */
    source: Pick<CredentialFlow, 'refresh'>
    identityReader: IdentityReader
    journal: RefreshJournal
    clock: Clock
    log: Log
    changed: (connection: ConnectionRow) => void
    noted: (event: RefreshEvent) => void
    leaseSeconds?: number | undefined
    checkpoint?: ((name: RefreshCheckpoint) => void) | undefined
  }) {
    this.#store = dependencies.store
    this.#credentials = dependencies.credentials
    this.#vault = dependencies.vault
    this.#apps = dependencies.apps
    this.#source = dependencies.source
    this.#identityReader = dependencies.identityReader
    this.#journal = dependencies.journal
    this.#clock = dependencies.clock
    this.#log = dependencies.log
    this.#changed = dependencies.changed
    this.#noted = dependencies.noted
    this.#leaseSeconds = dependencies.leaseSeconds ?? standardLeaseSeconds
    this.#checkpoint = dependencies.checkpoint ?? (() => undefined)
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
    const due = earlyRefreshAt(connection)
    if (newer && (due === null || now < due.getTime())) return this.#opened(connection)
    const stillValid = connection.expiresAt === null || connection.expiresAt.getTime() > now
    if (newer && stillValid && isAhead(this.#calmUntil.get(nameOf(connection)), now, calmMs))
      return this.#opened(connection)
    this.#requireNoRest(connection, now)
    try {
      return await this.#flight(connection, 'needed')
    } catch (error) {
      // An early refresh that failed costs nobody a token that still works.
      if (
        newer &&
        stillValid &&
        error instanceof AtomError &&
        (error.row.category === 'provider' || error.code === 'unavailable' || error.code === 'busy') &&
        !isLost(error)
      ) {
        this.#calmUntil.set(nameOf(connection), now + calmMs)
        return this.#opened(connection)
      }
      throw error
    }
  }

  /** Renews now, whether or not it is time. @throws as `access` */
  async renew(connection: LiveConnection, occasion: Occasion = 'asked'): Promise<ConnectionRow> {
    if (connection.status === 'needs_reconnect') throw needsReconnect(connection)
    await this.#flight(connection, occasion)
    const now = await this.#store.live(connection.workspaceId, connection.id)
    if (now === undefined) throw new AtomError('not_found', 'The account was disconnected.')
    return now
  }

  /** @throws AtomError as the last attempt, where it is too soon for another */
  #requireNoRest(connection: LiveConnection, now: number): void {
    const rest = this.#rests.get(nameOf(connection))
    if (rest === undefined || !isAhead(rest.until, now, longestRestMs)) return
    throw new AtomError(rest.error.code, rest.error.detail, {
      cause: rest.error,
      retryAfterMs: rest.until - now,
    })
  }

  /** Providers that are left alone now because they failed again and again, with what came last. */
  resting(): RestingProvider[] {
    const now = this.#clock.now().getTime()
    const byProvider = new Map<string, { connections: number; error: AtomError }>()
    for (const { failures, until, provider, error } of this.#rests.values()) {
      // Whoever needs it asks again after the rest; who is not asked for longer than the longest one has told nothing new.
      if (failures < 2 || !isAhead(until + longestRestMs, now, 2 * longestRestMs)) continue
      byProvider.set(provider, { connections: (byProvider.get(provider)?.connections ?? 0) + 1, error })
    }
    return [...byProvider].map(([provider, { connections, error }]) => ({
      provider,
      connections,
      detail: error.detail,
    }))
  }

  /** After a failure that the next caller would only repeat. */
  #rest(connection: LiveConnection, error: AtomError): void {
    const failures = (this.#rests.get(nameOf(connection))?.failures ?? 0) + 1
    const pauseMs = failures < 2 ? 0 : Math.min(1000 * 2 ** (failures - 2), longestRestMs)
    this.#rests.set(nameOf(connection), {
      provider: connection.provider,
      failures,
      until: this.#clock.now().getTime() + pauseMs,
      error,
    })
  }

  /** Waits for requests under way: what they bring must still be stored. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#flights.size > 0)
      await Promise.allSettled([...this.#flights.values()].map(({ token }) => token))
  }

  #flight(connection: LiveConnection, occasion: Occasion): Promise<AccessToken> {
    const key = `${nameOf(connection)} ${connection.generation}`
    const underWay = this.#flights.get(key)
    if (underWay !== undefined) {
      underWay.callers += 1
      return underWay.token
    }
    const attempt: Attempt = { connection, occasion, began: performance.now(), callers: () => flight.callers }
    const flight: Flight = {
      token: this.#refresh(attempt).finally(() => this.#flights.delete(key)),
      callers: 1,
    }
    this.#flights.set(key, flight)
    return flight.token
  }

  async #refresh(attempt: Attempt): Promise<AccessToken> {
    const { connection } = attempt
    await this.recover()
    const claim: Claim = {
      connectionId: connection.id,
      further: connection.further,
      generation: connection.generation,
      holder: newId(),
      leaseSeconds: this.#leaseSeconds,
    }
    for (;;) {
      const held = await this.#credentials.claim(claim)
      if (held !== undefined) {
        this.#checkpoint('claimed')
        using _lease = this.#held(claim)
        return await this.#settle(attempt, claim, held.unanswered)
      }
      const moved = await this.#moved(connection)
      if (moved !== undefined) return moved
      await pause(pollMs / 2 + Math.random() * pollMs)
    }
  }

  /**
   * Stores what was answered before and could not be stored then. Happens by itself before anything is asked for anew.
   * @throws AtomError `unavailable`
   */
  async recover(): Promise<void> {
    for (const { workspaceId, renewal } of await this.#journal.leftBehind()) {
      const stored = await this.#credentials.renew(renewal)
      await this.#journal.forget(renewal)
      const { connectionId, generation } = renewal
      this.#log.warn({ connectionId, generation, stored }, 'a journalled renewal was found')
      if (stored) await this.#tell({ workspaceId, id: connectionId })
    }
  }

  /**
   * Keeps the lease for as long as the request is under way. Whoever loses it all the same, because the database was away,
   * goes on: the generation decides whose pair counts.
   */
  #held(claim: Claim): Disposable {
    const timer = setInterval(
      () => {
        this.#credentials.hold(claim).then(
          (still) => {
            if (!still) this.#log.debug({ connectionId: claim.connectionId }, 'a refresh claim is over')
          },
          (error: unknown) => {
            this.#log.warn(
              { connectionId: claim.connectionId, err: error },
              'a refresh claim could not be prolonged',
            )
          },
        )
      },
      (claim.leaseSeconds * 1000) / 3,
    )
    return { [Symbol.dispose]: () => clearInterval(timer) }
  }

  /** What another has made of it meanwhile; undefined while the generation is the same. */
  async #moved(connection: LiveConnection): Promise<AccessToken | undefined> {
    const now = await this.#store.live(connection.workspaceId, connection.id, connection.further)
    if (now === undefined) throw new AtomError('not_found', 'The account was disconnected.')
    if (now.generation !== connection.generation) return this.#opened(now)
    if (now.status === 'needs_reconnect') throw needsReconnect(now)
    return undefined
  }

  /** The claim is ours: whatever happens in here gives it back. */
  async #settle(attempt: Attempt, claim: Claim, unanswered: boolean): Promise<AccessToken> {
    const { connection } = attempt
    let unsure = unanswered
    try {
      const app = await this.#apps.of(connection)
      const place = placeOf(connection, connection.generation)
      const refreshToken = await this.#vault.openRenewal(place, connection.sealed)
      if (refreshToken === undefined) return await this.#probe(attempt, claim, app)
      try {
        const grant = await this.#ask(app, refreshToken, connection, () => {
          unsure = true
        })
        // Until the answer is stored, the token that was sent may be one that is spent.
        unsure = true
        return await this.#keep(attempt, claim, app, grant)
      } catch (error) {
        if (!(error instanceof GrantRefused)) throw error
        const trouble = troubleOf(app.provider, error.error, unsure)
        if (endsGrant(error.verdict)) return await this.#giveUp(attempt, claim, trouble)
        if (error.verdict === 'operator') await this.#blameApp(connection, trouble)
        throw error
      }
    } catch (error) {
      await this.#credentials.release(claim, unsure).catch((failure: unknown) => {
        this.#log.warn(
          { connectionId: claim.connectionId, err: failure },
          'a refresh claim runs out by itself',
        )
      })
      const told = outward(error)
      if (told instanceof AtomError && isLost(told)) this.#rests.delete(nameOf(connection))
      else {
        this.#note(attempt, 'refresh_failed', told instanceof Error ? told.message : String(told))
        const needed = attempt.occasion === 'needed'
        if (needed && told instanceof AtomError && told.row.category === 'provider') {
          this.#rest(connection, told)
          if (told.code === 'provider_unavailable') await this.#await(connection)
        }
      }
      throw told
    }
  }

  /** Sends the refresh token; once more where the first answer never came. */
  async #ask(app: App, refreshToken: Secret, connection: LiveConnection, unsure: () => void): Promise<Grant> {
    const dpopKey = await this.#dpopKey(connection)
    try {
      return await this.#source.refresh(app, refreshToken, connection.scopes, dpopKey)
    } catch (error) {
      if (!(error instanceof GrantOutage && error.sent)) throw error
      unsure()
      return await this.#source.refresh(app, refreshToken, connection.scopes, dpopKey)
    }
  }

  async #keep(attempt: Attempt, claim: Claim, app: App, grant: Grant): Promise<AccessToken> {
    const { connection } = attempt
    if (grant.subject !== undefined && grant.subject !== connection.identityId) {
      const reason = 'The provider answered for another person than the one who connected.'
      return await this.#giveUp(attempt, claim, lost(app.provider, reason))
    }
    const place = placeOf(connection, connection.generation + 1)
    const earlier = placeOf(connection, connection.generation)
    const refreshToken = grant.refreshToken ?? (await this.#vault.openRenewal(earlier, connection.sealed))
    const sealed = await this.#vault.sealTokens(
      place,
      { accessToken: grant.accessToken, refreshToken },
      connection.sealed.dataKey,
    )
    const issuedAt = this.#clock.now()
    // A refresh token that stays keeps its end; one that is replaced has the new one's, or none that is said.
    const refreshExpiresAt =
      grant.refreshExpiresAt ?? (grant.refreshToken === undefined ? connection.refreshExpiresAt : null)
    const renewal: Renewal = {
      connectionId: connection.id,
      further: connection.further,
      generation: connection.generation,
      sealed,
      issuedAt,
      expiresAt: grant.expiresAt,
      refreshExpiresAt,
      keepAliveAt: keepAliveAt(app.provider, {
        refreshable: refreshToken !== undefined,
        at: issuedAt,
        refreshExpiresAt,
      }),
      particulars: { ...connection.particulars, ...grant.particulars },
      standing: standingWithout(app.provider, connection.missingScopes),
    }
    this.#checkpoint('answered')
    await this.#journal.write(connection.workspaceId, renewal)
    this.#checkpoint('journalled')
    const stored = await this.#persist(renewal)
    this.#checkpoint('stored')
    await this.#journal.forget(renewal)
    this.#calmUntil.delete(nameOf(connection))
    this.#rests.delete(nameOf(connection))
    if (stored) {
      this.#log.info(
        { connectionId: connection.id, provider: connection.provider, generation: place.generation },
        'access token refreshed',
      )
      const callers = attempt.callers()
      this.#note(
        attempt,
        attempt.occasion === 'unused' ? 'kept_alive' : 'refreshed',
        callers === 1 ? 'Renewed with one request.' : `Renewed with one request for ${callers} callers.`,
        place.generation,
      )
      await this.#tell(connection)
      return {
        value: grant.accessToken,
        generation: place.generation,
        dpopKey: await this.#dpopKey(connection),
      }
    }
    // Consent was given anew while the request was under way: that pair is the current one.
    const moved = await this.#moved(connection)
    if (moved === undefined) throw new AtomError('provider_unavailable')
    return moved
  }

  /** A pair that the provider will not give again is worth waiting for a database that is away for a moment. */
  async #persist(renewal: Renewal): Promise<boolean> {
    const { connectionId } = renewal
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#credentials.renew(renewal)
      } catch (error) {
        const passes = error instanceof AtomError && (error.code === 'unavailable' || error.code === 'busy')
        if (attempt === 9 || !passes) {
          this.#journal.leave(renewal)
          this.#log.error({ connectionId, err: error }, 'a refreshed token could not be stored')
          throw error
        }
        this.#log.warn({ connectionId, attempt }, 'a refreshed token is not stored yet')
        await pause(Math.min(100 * 2 ** attempt, 5_000))
      }
    }
  }

  /** Without a refresh token all that can be done is to ask whether the provider still knows the token. */
  async #probe(attempt: Attempt, claim: Claim, app: App): Promise<AccessToken> {
    const { connection } = attempt
    const token = await this.#opened(connection)
    const expired = connection.expiresAt !== null && connection.expiresAt <= this.#clock.now()
    const context = { ...connection, dpopKey: token.dpopKey }
    if (!expired && (await this.#identityReader.accepts(app, token.value, context))) {
      await this.#credentials.release(claim, false)
      return token
    }
    const reason = expired
      ? `The access to ${app.provider.name} has expired and cannot be renewed.`
      : `${app.provider.name} does not accept the access any more: it was revoked there.`
    return await this.#giveUp(attempt, claim, lost(app.provider, reason))
  }

  /** The grant seems gone. Whoever reconnected meanwhile has made a newer one, which is then the answer. */
  async #giveUp(attempt: Attempt, claim: Claim, trouble: Trouble): Promise<AccessToken> {
    const { connection } = attempt
    if (!(await this.#credentials.needsReconnect(claim, trouble))) {
      const moved = await this.#moved(connection)
      if (moved !== undefined) return moved
    }
    const { reason } = trouble
    this.#log.warn({ connectionId: connection.id, provider: connection.provider, reason }, 'connection lost')
    this.#note(attempt, 'lost', reason)
    await this.#tell(connection)
    throw needsReconnect({ reason })
  }

  /** Once its token has ended as well, and that was no single failure, its person sees why nothing works. */
  async #await(connection: LiveConnection): Promise<void> {
    const now = this.#clock.now()
    const works = connection.expiresAt !== null && connection.expiresAt > now
    if (works || connection.sealed.refreshToken === null) return
    if ((this.#rests.get(nameOf(connection))?.failures ?? 0) < 2) return
    const { id: connectionId, further } = connection
    try {
      const trouble = awaited(this.#apps.provider(connection.provider))
      if (!(await this.#credentials.degrade(connectionId, trouble))) return
      await this.#credentials.askAgainAt({ connectionId, further }, new Date(now.getTime() + askAgainMs))
      await this.#tell(connection)
    } catch (error) {
      // The caller hears of the provider; what the person sees follows with the next attempt.
      this.#log.warn({ connectionId, err: error }, 'a connection that waits was not marked')
    }
  }

  async #blameApp(connection: LiveConnection, trouble: Trouble): Promise<void> {
    if (await this.#credentials.degrade(connection.id, trouble)) await this.#tell(connection)
  }

  /** As the whole connection is now, whichever of its credentials it was about. */
  async #tell({ workspaceId, id }: Pick<LiveConnection, 'workspaceId' | 'id'>): Promise<void> {
    try {
      const now = await this.#store.live(workspaceId, id)
      if (now !== undefined) this.#changed(now)
    } catch (error) {
      // What happened is stored; only those who listen hear of it later, when they look.
      this.#log.warn({ connectionId: id, err: error }, 'a change of a connection was not told')
    }
  }

  #note(
    { connection, began }: Attempt,
    kind: RefreshEvent['kind'],
    detail: string,
    generation = connection.generation,
  ): void {
    this.#noted({
      workspaceId: connection.workspaceId,
      connectionId: connection.id,
      slot: connection.others.length === 0 ? undefined : (connection.further ?? connection.slot),
      at: this.#clock.now(),
      kind,
      detail,
      generation,
      durationMs: Math.round(performance.now() - began),
    })
  }

  async #opened(connection: LiveConnection): Promise<AccessToken> {
    const place = placeOf(connection, connection.generation)
    return {
      value: await this.#vault.openAccessToken(place, connection.sealed),
      generation: connection.generation,
      dpopKey: await this.#dpopKey(connection),
      attachment: keyAttachment(this.#apps.settled(connection), connection.flow),
    }
  }

  async #dpopKey(connection: LiveConnection): Promise<Secret | undefined> {
    const place = { workspaceId: connection.workspaceId, connectionId: connection.id }
    return await this.#vault.openDpopKey(place, connection.sealed.dataKey, connection.sealedDpopKey)
  }
}

/** A provider that fails is not asked by every caller. */
interface Rest {
  readonly provider: string
  readonly failures: number
  readonly until: number
  readonly error: AtomError
}

interface Attempt {
  readonly connection: LiveConnection
  readonly occasion: Occasion
  /** Of `performance.now()`. */
  readonly began: number
  callers(): number
}

/** Also false for what lies further ahead than it was ever put: then the clock of this machine was set back. */
function isAhead(until: number | undefined, now: number, mostMs: number): boolean {
  return until !== undefined && until > now && until <= now + mostMs
}

function isLost(error: AtomError): boolean {
  return error.code === 'connection_needs_reconnect'
}

function needsReconnect(connection: Pick<ConnectionRow, 'reason'>): AtomError {
  return new AtomError('connection_needs_reconnect', connection.reason ?? undefined)
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
