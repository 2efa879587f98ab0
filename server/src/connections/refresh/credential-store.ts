import type { Remedy } from '@atom/contract/connections.ts'
import sql, { empty, type Sql } from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'
import type { Particulars } from '#providers/provider.ts'
import { jsonOf, type Standing } from '../connection-store.ts'
import type { SealedTokens } from '../credential-vault.ts'

/** One credential: the first of its connection, or another. */
interface CredentialKey {
  readonly connectionId: string
  /** Which of the others; undefined for the first. */
  readonly further?: string | undefined
}

export interface Renewal extends CredentialKey {
  /** The generation that was refreshed; the new pair is the next one. */
  readonly generation: number
  /** Under the data key that the connection has already. */
  readonly sealed: Pick<SealedTokens, 'accessToken' | 'refreshToken'>
  readonly issuedAt: Date
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  readonly keepAliveAt: Date | null
  /** Of the connection; another than its first credential does not change them. */
  readonly particulars: Particulars
  /** How the connection stands where nothing but the app was wrong. */
  readonly standing: Standing
}

export interface Claim extends CredentialKey {
  readonly generation: number
  readonly holder: string
  readonly leaseSeconds: number
}

/** All SQL about renewing credentials: who may, what came of it, and whose turn it is. */
export class CredentialStore {
  readonly #database: Database
  readonly #changed: (connectionId: string) => void

  /** @param changed hears of each connection that was changed, also where it is in doubt whether it was */
  constructor(dependencies: { database: Database; changed: (connectionId: string) => void }) {
    this.#database = dependencies.database
    this.#changed = dependencies.changed
  }

  /**
   * Takes the right to refresh this generation; one holder in the whole cluster. It counts as sent from here on, so that a
   * crash after sending is known as one: `unanswered` says that an earlier holder sent the refresh token and no answer to it
   * was stored. Undefined where another holds it, the generation has moved on, or it was given up: whoever looked before that must not
   * send a token that is known to be spent.
   */
  async claim(claim: Claim): Promise<{ unanswered: boolean } | undefined> {
    const { table, itself, alive } = placeOf(claim)
    const [row] = await this.#database.query<{ unanswered: boolean }>(sql`
      update ${table} k
      set lease_holder = ${claim.holder}, lease_until = now() + make_interval(secs => ${claim.leaseSeconds}),
        unanswered = true
      from (
        select connection_id, unanswered from ${table} k
        where ${itself} and ${alive} and generation = ${claim.generation}
          and (lease_until is null or lease_until < now())
        for update
      ) free
      where ${itself} and k.connection_id = free.connection_id
      returning free.unanswered`)
    return row
  }

  /** Longer, because the request is still under way. False where another has it now. */
  async hold(claim: Claim): Promise<boolean> {
    const { table, itself } = placeOf(claim)
    const rows = await this.#database.query(sql`
      update ${table} k set lease_until = now() + make_interval(secs => ${claim.leaseSeconds})
      where ${itself} and generation = ${claim.generation} and lease_holder = ${claim.holder}
      returning connection_id`)
    return rows.length > 0
  }

  async release(claim: Claim, unanswered: boolean): Promise<void> {
    const { table, itself } = placeOf(claim)
    await this.#database.query(sql`
      update ${table} k set lease_holder = null, lease_until = null, unanswered = ${unanswered}
      where ${itself} and generation = ${claim.generation} and lease_holder = ${claim.holder}`)
  }

  /**
   * The next pair in place of the one it came from, and whatever was wrong with the app is over. False where that one is not
   * current any more: consent was given anew in the meantime, and the newer pair stays.
   */
  async renew(renewal: Renewal): Promise<boolean> {
    const { table, itself } = placeOf(renewal)
    const { sealed, standing } = renewal
    const renewed = this.#database.query(sql`
      with renewed as (
        update ${table} k set access_token = ${sealed.accessToken}, refresh_token = ${sealed.refreshToken},
          generation = generation + 1, issued_at = ${renewal.issuedAt}, expires_at = ${renewal.expiresAt},
          refresh_expires_at = ${renewal.refreshExpiresAt}, keep_alive_at = ${renewal.keepAliveAt},
          ${renewal.further === undefined ? sql`particulars = ${JSON.stringify(renewal.particulars)},` : sql`lost = null,`}
          lease_holder = null, lease_until = null, unanswered = false
        where ${itself} and generation = ${renewal.generation}
        returning connection_id
      ), mended as (
        -- A pair that came after all, however the connection was given up meanwhile, is worth more than the opinion.
        update connections set status = ${standing.status}, reason = ${standing.reason}, remedy = ${jsonOf(standing.remedy)}
        where id in (select connection_id from renewed)
          and ${renewal.further === undefined ? sql`(status = 'needs_reconnect' or remedy ->> 'action' in ('configure_app', 'ask_admin', 'wait'))` : sql`status = 'degraded' and remedy ->> 'action' in ('reconnect', 'configure_app', 'ask_admin', 'wait')`}
      )
      select connection_id from renewed`)
    const rows = await this.#changing(renewal.connectionId, renewed)
    return rows.length > 0
  }

  /**
   * The grant is gone; only while `generation` is still the one that was refused. Where it is another credential than the
   * first, the connection lives on from that one, and is degraded.
   */
  async needsReconnect(claim: Claim, loss: { reason: string; remedy: Remedy }): Promise<boolean> {
    const lost = this.#database.transaction(async (tx) => {
      const { table, itself } = placeOf(claim)
      const { further } = claim
      // The connection first, as `connect` does: the other order could lock both out.
      await tx.query(sql`select id from connections where id = ${claim.connectionId} for update`)
      const refused = await tx.query(sql`
        update ${table} k set lease_holder = null, lease_until = null, unanswered = false, keep_alive_at = null
          ${further === undefined ? empty : sql`, lost = ${loss.reason}`}
        where ${itself} and generation = ${claim.generation}
        returning connection_id`)
      if (refused.length === 0) return false
      await tx.query(sql`
        update connections set status = ${further === undefined ? 'needs_reconnect' : 'degraded'},
          reason = ${loss.reason}, remedy = ${jsonOf(loss.remedy)}
        where id = ${claim.connectionId} ${further === undefined ? empty : sql`and status <> 'needs_reconnect'`}`)
      return true
    })
    return await this.#changing(claim.connectionId, lost)
  }

  /**
   * Something keeps it from being renewed that is neither its end nor its person's matter: its app is refused, or its provider
   * is not well. False where that was known, or there is worse.
   */
  async degrade(connectionId: string, trouble: { reason: string; remedy: Remedy }): Promise<boolean> {
    const lesser = trouble.remedy.action === 'wait' ? ['allow_more'] : ['allow_more', 'wait']
    const degraded = this.#database.query(sql`
      update connections set status = 'degraded', reason = ${trouble.reason}, remedy = ${jsonOf(trouble.remedy)}
      where id = ${connectionId}
        and (status = 'active' or (status = 'degraded' and remedy ->> 'action' = any (${lesser}::text[])))
      returning id`)
    const rows = await this.#changing(connectionId, degraded)
    return rows.length > 0
  }

  /** Its turn among those that are refreshed by themselves comes at this time, if not before. */
  async askAgainAt(credential: CredentialKey, at: Date): Promise<void> {
    const { table, itself } = placeOf(credential)
    await this.#database.query(sql`
      update ${table} k set keep_alive_at = least(keep_alive_at, ${at}) where ${itself}`)
  }

  /**
   * Credentials that would die of not being used, or wait for their provider, soonest first. Taking them puts their turn off,
   * so that no other process takes them as well, and none is tried without a pause: until `again`, or `soon` for those that wait.
   */
  async takeUnused(
    at: Date,
    { again, soon }: { readonly again: Date; readonly soon: Date },
    limit: number,
  ): Promise<(CredentialKey & { workspaceId: string })[]> {
    const firsts = await this.#database.query<CredentialKey & { workspaceId: string }>(sql`
      with due as (
        select k.connection_id, c.remedy ->> 'action' = 'wait' as waits from credentials k join connections c on c.id = k.connection_id
        where k.keep_alive_at <= ${at} and c.status <> 'needs_reconnect'
        order by k.keep_alive_at limit ${limit} for update of k skip locked
      )
      update credentials k set keep_alive_at = case when due.waits then ${soon}::timestamptz else ${again} end
      from due where k.connection_id = due.connection_id
      returning k.connection_id as "connectionId", k.workspace_id as "workspaceId"`)
    const others = await this.#database.query<CredentialKey & { workspaceId: string }>(sql`
      with due as (
        select f.connection_id, f.slot, c.workspace_id, c.remedy ->> 'action' = 'wait' as waits
        from further_credentials f join connections c on c.id = f.connection_id
        where f.keep_alive_at <= ${at} and f.lost is null and c.status <> 'needs_reconnect'
        order by f.keep_alive_at limit ${limit} for update of f skip locked
      )
      update further_credentials f
      set keep_alive_at = case when due.waits then ${soon}::timestamptz else ${again} end from due
      where f.connection_id = due.connection_id and f.slot = due.slot
      returning f.connection_id as "connectionId", f.slot as further, due.workspace_id as "workspaceId"`)
    return [...firsts, ...others]
  }

  async #changing<T>(connectionId: string, change: Promise<T>): Promise<T> {
    try {
      return await change
    } finally {
      this.#changed(connectionId)
    }
  }
}

function placeOf({ connectionId, further }: CredentialKey): { table: Sql; itself: Sql; alive: Sql } {
  return further === undefined
    ? {
        table: sql`credentials`,
        itself: sql`k.connection_id = ${connectionId}`,
        alive: sql`not exists (select from connections where id = ${connectionId} and status = 'needs_reconnect')`,
      }
    : {
        table: sql`further_credentials`,
        itself: sql`k.connection_id = ${connectionId} and k.slot = ${further}`,
        alive: sql`k.lost is null`,
      }
}
