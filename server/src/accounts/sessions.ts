import { createHmac, randomBytes } from 'node:crypto'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Revocations } from '#access/revocations.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { fingerprint, newId, randomToken } from '#foundation/ids.ts'
import type { Log } from '#foundation/log.ts'
import type { PageRequest } from './account-store.ts'
import type { RefreshTokenRow, SessionRow, SessionStore } from './session-store.ts'

const day = 86_400_000

/** A session that is not used for this long is over. */
export const refreshTokenLifetimeMs = 30 * day
/** Whoever signed in this long ago signs in again. */
const sessionLifetimeMs = 180 * day
/**
 * How long a used refresh token still leads to the newest one: two tabs that wake together send the same token. After it, a
 * used token whose successor has been presented is a stolen one; where nobody has presented it, its answer may have been lost.
 */
export const refreshGraceMs = 30_000
/** For as many lost answers in a row another successor is given. */
export const mostReissues = 5
const userAgentLength = 400

export interface StartedSession {
  readonly sessionId: string
  readonly refreshToken: string
}

export interface RefreshedSession extends StartedSession {
  readonly workspaceId: string
  readonly accountId: string
}

export interface SessionsDependencies {
  readonly database: Database
  readonly store: SessionStore
  readonly revocations: Pick<Revocations, 'announce'>
  readonly clock: Clock
  readonly log: Log
}

/** Where people are signed in. A session is a family of refresh tokens, each of which is used once and names its successor. */
export class Sessions {
  readonly #database: Database
  readonly #store: SessionStore
  readonly #revocations: Pick<Revocations, 'announce'>
  readonly #clock: Clock
  readonly #log: Log

  constructor(dependencies: SessionsDependencies) {
    this.#database = dependencies.database
    this.#store = dependencies.store
    this.#revocations = dependencies.revocations
    this.#clock = dependencies.clock
    this.#log = dependencies.log
  }

  async start(
    tx: Transaction,
    owner: { workspaceId: string; accountId: string; userAgent: string },
  ): Promise<StartedSession> {
    const now = this.#clock.now()
    const session = {
      id: newId(),
      workspaceId: owner.workspaceId,
      accountId: owner.accountId,
      userAgent: named(owner.userAgent),
      createdAt: now,
      expiresAt: after(now, sessionLifetimeMs),
    }
    const refreshToken = randomToken()
    await this.#store.add(tx, session)
    await this.#addToken(tx, session, refreshToken)
    return { sessionId: session.id, refreshToken }
  }

  /**
   * Spends a refresh token for its successor. However many callers bring the same token within `refreshGraceMs`, there is one
   * successor and each of them gets it. Whoever brings it later, before its successor was presented, gets another one, and the
   * one before counts as stolen from then on: of two who hold the same token, one is found out (RFC 9700 4.14.2).
   *
   * @throws AtomError `unauthenticated` for an unknown or expired token, `session_revoked` where the session has ended, or
   * ends now because a token was used again
   */
  async refresh(presented: string, userAgent: string): Promise<RefreshedSession> {
    const outcome = await this.#database.transaction(
      async (tx) => await this.#spend(tx, presented, userAgent),
    )
    if (outcome instanceof AtomError) throw outcome
    return outcome
  }

  async list(principal: AccountPrincipal, page: PageRequest): Promise<SessionRow[]> {
    const owner = { workspaceId: principal.workspaceId, accountId: principal.id }
    return await this.#store.open(this.#database, owner, this.#clock.now(), page)
  }

  /** Ends a session of this person; its access tokens stop working everywhere at once. False where it was not open. */
  async end(principal: AccountPrincipal, id: string): Promise<boolean> {
    return await this.#database.transaction(async (tx) => {
      const session = { id, workspaceId: principal.workspaceId, accountId: principal.id }
      const reason = id === principal.sessionId ? 'logout' : 'ended'
      const ended = await this.#store.end(tx, session, { at: this.#clock.now(), reason })
      if (ended) await this.#revocations.announce(tx, id)
      return ended
    })
  }

  /** A refusal is returned, not thrown, so that what it did to the session is committed. */
  async #spend(tx: Transaction, presented: string, userAgent: string): Promise<RefreshedSession | AtomError> {
    const now = this.#clock.now()
    const tokenHash = fingerprint(presented)
    const sessionId = await this.#store.sessionOfToken(tx, tokenHash)
    const session = sessionId === undefined ? undefined : await this.#store.lock(tx, sessionId)
    // Read after the lock: somebody may have spent it while we waited.
    const token = session && (await this.#store.token(tx, tokenHash))
    if (session === undefined || token === undefined)
      return new AtomError('unauthenticated', 'Sign in again.')
    if (session.endedAt !== null) return new AtomError('session_revoked')
    if (token.expiresAt <= now || session.expiresAt <= now)
      return new AtomError('unauthenticated', 'The session was not used for too long. Sign in again.')
    const refreshToken =
      token.usedAt === null
        ? await this.#rotate(tx, session, presented, now)
        : token.usedAt < after(now, -refreshGraceMs)
          ? await this.#reissue(tx, session, presented, token, now)
          : await this.#newest(tx, presented, token)
    if (refreshToken === undefined) return await this.#endForReuse(tx, session, now)
    await this.#store.touch(tx, session.id, { at: now, userAgent: named(userAgent) })
    return {
      sessionId: session.id,
      workspaceId: session.workspaceId,
      accountId: session.accountId,
      refreshToken,
    }
  }

  async #rotate(tx: Transaction, session: SessionRow, presented: string, now: Date): Promise<string> {
    const successorSalt = randomBytes(32)
    const successor = successorOf(presented, successorSalt)
    await this.#store.markUsed(tx, fingerprint(presented), { at: now, successorSalt })
    await this.#addToken(tx, session, successor)
    await this.#store.tidy(tx, session.id, { usedBefore: after(now, -refreshGraceMs), expiredBefore: now })
    return successor
  }

  /** From a token used a moment ago along its successors to the unused one; undefined where that is reuse. */
  async #newest(tx: Transaction, presented: string, token: RefreshTokenRow): Promise<string | undefined> {
    let current = presented
    let row: RefreshTokenRow | undefined = token
    while (row !== undefined && row.usedAt !== null) {
      if (row.successorSalt === null) return undefined
      current = successorOf(current, row.successorSalt)
      row = await this.#store.token(tx, fingerprint(current))
    }
    return row === undefined ? undefined : current
  }

  /**
   * The answer that held the successor may have been lost: another one in its place, while nobody has presented it. Undefined
   * where somebody has, or where it has been lost too often.
   */
  async #reissue(
    tx: Transaction,
    session: SessionRow,
    presented: string,
    token: RefreshTokenRow,
    now: Date,
  ): Promise<string | undefined> {
    if (token.successorSalt === null || token.reissued >= mostReissues) return undefined
    const lost = fingerprint(successorOf(presented, token.successorSalt))
    // One statement judges and takes it: it is over for whoever may hold it.
    if (!(await this.#store.supersede(tx, lost, now))) return undefined
    const successorSalt = randomBytes(32)
    const successor = successorOf(presented, successorSalt)
    await this.#store.markReissued(tx, fingerprint(presented), { at: now, successorSalt })
    await this.#addToken(tx, session, successor)
    return successor
  }

  async #endForReuse(tx: Transaction, session: SessionRow, now: Date): Promise<AtomError> {
    await this.#store.end(tx, session, { at: now, reason: 'reuse' })
    await this.#revocations.announce(tx, session.id)
    tx.afterCommit(() =>
      this.#log.warn(
        { sessionId: session.id, accountId: session.accountId, workspaceId: session.workspaceId },
        'a spent refresh token was used again; the session was ended',
      ),
    )
    return new AtomError(
      'session_revoked',
      'An old refresh token was used again, so the session was ended. Sign in again.',
    )
  }

  async #addToken(
    tx: Transaction,
    session: { id: string; workspaceId: string; expiresAt: Date },
    refreshToken: string,
  ): Promise<void> {
    const now = this.#clock.now()
    const latest = Math.min(now.getTime() + refreshTokenLifetimeMs, session.expiresAt.getTime())
    await this.#store.addToken(tx, {
      tokenHash: fingerprint(refreshToken),
      session,
      createdAt: now,
      expiresAt: new Date(latest),
    })
  }
}

/**
 * Computed, not stored: the database alone does not hold a usable token, and yet every holder of the same predecessor comes
 * to the same successor. 256 bits from an HMAC keyed with 256 random bits.
 */
function successorOf(token: string, salt: Buffer): string {
  return createHmac('sha256', token).update('atom refresh successor').update(salt).digest('base64url')
}

function after(time: Date, ms: number): Date {
  return new Date(time.getTime() + ms)
}

/** What a browser says about itself, as far as a list of sessions needs it. PostgreSQL's text holds no NUL. */
function named(userAgent: string): string {
  return userAgent.toWellFormed().replaceAll('\0', '').slice(0, userAgentLength)
}
