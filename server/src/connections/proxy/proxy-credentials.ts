import type { Clock } from '#foundation/clock.ts'
import type { ClientCertificate } from '#foundation/outbound.ts'
import { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import type { Apps } from '../apps.ts'
import type { ConnectionState, ConnectionStore, LiveConnection } from '../connection-store.ts'
import { bareKey } from '../credential-attachment.ts'
import { nameOf, placeOf } from '../credential-place.ts'
import type { CredentialVault } from '../credential-vault.ts'
import type { AccessToken, TokenRefresh } from '../refresh/token-refresh.ts'
import { AnswerRewriter } from './answer-rewriter.ts'
import { scrubbed } from './credential-scrubber.ts'

/** A credential in the clear, with what finds it in an answer. */
export interface OpenedCredential {
  readonly token: AccessToken
  readonly scrubber: AnswerRewriter
  /** What the app shows of itself to the API (RFC 8705 3). */
  readonly certificate: ClientCertificate | undefined
}

interface Kept extends OpenedCredential {
  readonly connection: LiveConnection
  readonly until: number
}

/** How long a credential stays open after it was opened, and how many do. */
const openMs = 10_000
const mostOpen = 1_000
/** Nearer to its end than this, a token is asked for each time, so that it is renewed when it is time. */
const marginMs = 60_000

/**
 * Credentials that are in use, opened once and not for every request. Each request names the generation that its row has now,
 * so what was replaced is not used again; and what was opened is used for ten seconds and forgotten within twenty.
 */
export class ProxyCredentials implements Disposable {
  readonly #store: ConnectionStore
  readonly #apps: Apps
  readonly #vault: CredentialVault
  readonly #tokenRefresh: TokenRefresh
  readonly #clock: Clock
  readonly #open = new Map<string, Kept>()
  readonly cache = new CacheCounts(() => this.#open.size)
  /** By what they share: requests that came together read a row once, and open what a refresh brought once. */
  readonly #reading = new WeakMap<ConnectionState, Promise<LiveConnection | undefined>>()
  readonly #opening = new WeakMap<AccessToken, Promise<OpenedCredential>>()
  #sweep: NodeJS.Timeout | undefined

  constructor(dependencies: {
    store: ConnectionStore
    apps: Apps
    vault: CredentialVault
    tokenRefresh: TokenRefresh
    clock: Clock
  }) {
    this.#store = dependencies.store
    this.#apps = dependencies.apps
    this.#vault = dependencies.vault
    this.#tokenRefresh = dependencies.tokenRefresh
    this.#clock = dependencies.clock
  }

  /** The connection as it stands now; read anew only where that is not how it stood. Undefined where it is gone. */
  async connection(standing: ConnectionState): Promise<LiveConnection | undefined> {
    const kept = this.#open.get(standing.id)
    if (kept !== undefined && kept.until > performance.now() && isAs(kept.connection, standing)) {
      return kept.connection
    }
    const underWay = this.#reading.get(standing)
    if (underWay !== undefined) return await underWay
    const reading = this.#store.live(standing.workspaceId, standing.id)
    this.#reading.set(standing, reading)
    try {
      return await reading
    } finally {
      this.#reading.delete(standing)
    }
  }

  /** @throws AtomError as `TokenRefresh.access` */
  async of(connection: LiveConnection): Promise<OpenedCredential> {
    const kept = this.#open.get(nameOf(connection))
    if (kept !== undefined && kept.until > performance.now() && this.#stillFits(kept, connection)) {
      this.cache.hits++
      return kept
    }
    this.cache.misses++
    return await this.#keep(connection, await this.#tokenRefresh.access(connection))
  }

  /** A newer one than `rejected`; the same one where there is none and the provider still knows it. @throws as `of` */
  async after(connection: LiveConnection, rejected: OpenedCredential): Promise<OpenedCredential> {
    const token = await this.#tokenRefresh.access(connection, rejected.token)
    return token.generation === rejected.token.generation ? rejected : await this.#keep(connection, token)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweep)
    this.#open.clear()
  }

  #stillFits(kept: Kept, connection: LiveConnection): boolean {
    if (kept.token.generation !== connection.generation || connection.status === 'needs_reconnect')
      return false
    const { expiresAt } = connection
    return expiresAt === null || expiresAt.getTime() - this.#clock.now().getTime() > marginMs
  }

  #keep(connection: LiveConnection, token: AccessToken): Promise<OpenedCredential> {
    const underWay = this.#opening.get(token)
    if (underWay !== undefined) return underWay
    const opening = this.#opened(connection, token)
    this.#opening.set(token, opening)
    return opening
  }

  async #opened(connection: LiveConnection, token: AccessToken): Promise<OpenedCredential> {
    // A refresh has just stored another pair than the one that came with the row.
    const current =
      token.generation === connection.generation
        ? connection
        : await this.#store.live(connection.workspaceId, connection.id, connection.further)
    const refreshToken =
      current === undefined ? undefined : await this.#vault.openRefreshToken(placeOf(current), current.sealed)
    const { value, attachment } = token
    const secrets = [
      value,
      ...(refreshToken === undefined ? [] : [refreshToken]),
      ...(attachment === undefined ? [] : [bareKey(attachment, value)]),
    ]
    const opened = {
      connection: current ?? connection,
      token,
      scrubber: new AnswerRewriter(scrubbed(secrets)),
      certificate: await this.#apps.certificate(connection),
      until: performance.now() + openMs,
    }
    const [oldest] = this.#open.keys()
    if (this.#open.size >= mostOpen && oldest !== undefined) this.#open.delete(oldest)
    const name = nameOf(connection)
    this.#open.delete(name)
    this.#open.set(name, opened)
    this.#sweep ??= setInterval(() => this.#close(), openMs).unref()
    return opened
  }

  #close(): void {
    const now = performance.now()
    for (const [id, { until }] of this.#open) if (until <= now) this.#open.delete(id)
    if (this.#open.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}

function isAs(connection: LiveConnection, standing: ConnectionState): boolean {
  return (
    connection.generation === standing.generation &&
    connection.status === standing.status &&
    connection.ownerId === standing.ownerId &&
    connection.expiresAt?.getTime() === standing.expiresAt?.getTime()
  )
}
