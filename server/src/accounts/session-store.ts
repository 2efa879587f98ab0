import sql, { empty } from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'
import type { PageRequest } from './account-store.ts'

export interface SessionRow {
  readonly id: string
  readonly workspaceId: string
  readonly accountId: string
  readonly userAgent: string
  readonly createdAt: Date
  readonly lastUsedAt: Date
  readonly expiresAt: Date
  readonly endedAt: Date | null
}

export interface RefreshTokenRow {
  readonly tokenHash: string
  readonly expiresAt: Date
  readonly usedAt: Date | null
  readonly successorSalt: Buffer | null
  /** How often another successor was given in place of one that nobody presented. */
  readonly reissued: number
}

export type EndReason = 'logout' | 'ended' | 'reuse'

const columns = sql`
  id, workspace_id as "workspaceId", account_id as "accountId", user_agent as "userAgent", created_at as "createdAt",
  last_used_at as "lastUsedAt", expires_at as "expiresAt", ended_at as "endedAt"`

/** All SQL about sign-in sessions and their refresh tokens. */
export class SessionStore {
  async add(tx: Queryable, session: Omit<SessionRow, 'lastUsedAt' | 'endedAt'>): Promise<void> {
    await tx.query(sql`
      insert into sessions (id, workspace_id, account_id, user_agent, created_at, last_used_at, expires_at)
      values (${session.id}, ${session.workspaceId}, ${session.accountId}, ${session.userAgent},
        ${session.createdAt}, ${session.createdAt}, ${session.expiresAt})`)
  }

  async sessionOfToken(tx: Queryable, tokenHash: string): Promise<string | undefined> {
    const rows = await tx.query<{ id: string }>(
      sql`select session_id as id from refresh_tokens where token_hash = ${tokenHash}`,
    )
    return rows[0]?.id
  }

  /** Locks it: whoever refreshes or ends this session goes one after the other. */
  async lock(tx: Queryable, id: string): Promise<SessionRow | undefined> {
    const rows = await tx.query<SessionRow>(sql`select ${columns} from sessions where id = ${id} for update`)
    return rows[0]
  }

  async touch(tx: Queryable, id: string, use: { at: Date; userAgent: string }): Promise<void> {
    await tx.query(
      sql`update sessions set last_used_at = ${use.at}, user_agent = ${use.userAgent} where id = ${id}`,
    )
  }

  /** The sessions of one person that still can be used, the newest first. */
  async open(
    db: Queryable,
    owner: { workspaceId: string; accountId: string },
    now: Date,
    page: PageRequest,
  ): Promise<SessionRow[]> {
    return await db.query<SessionRow>(sql`
      select ${columns} from sessions
      where workspace_id = ${owner.workspaceId} and account_id = ${owner.accountId}
        and ended_at is null and expires_at > ${now}
        ${page.after === undefined ? empty : sql`and id < ${page.after}`}
      order by id desc limit ${page.limit}`)
  }

  /** False where this person has no such session that is still open. */
  async end(
    tx: Queryable,
    session: { id: string; workspaceId: string; accountId: string },
    ending: { at: Date; reason: EndReason },
  ): Promise<boolean> {
    const rows = await tx.query(sql`
      update sessions set ended_at = ${ending.at}, end_reason = ${ending.reason}
      where id = ${session.id} and workspace_id = ${session.workspaceId} and account_id = ${session.accountId}
        and ended_at is null
      returning id`)
    return rows.length > 0
  }

  async addToken(
    tx: Queryable,
    token: {
      tokenHash: string
      session: { id: string; workspaceId: string }
      createdAt: Date
      expiresAt: Date
    },
  ): Promise<void> {
    await tx.query(sql`
      insert into refresh_tokens (token_hash, session_id, workspace_id, created_at, expires_at)
      values (${token.tokenHash}, ${token.session.id}, ${token.session.workspaceId}, ${token.createdAt}, ${token.expiresAt})`)
  }

  async token(tx: Queryable, tokenHash: string): Promise<RefreshTokenRow | undefined> {
    const rows = await tx.query<RefreshTokenRow>(sql`
      select token_hash as "tokenHash", expires_at as "expiresAt", used_at as "usedAt", successor_salt as "successorSalt",
        reissued
      from refresh_tokens where token_hash = ${tokenHash}`)
    return rows[0]
  }

  async markUsed(tx: Queryable, tokenHash: string, use: { at: Date; successorSalt: Buffer }): Promise<void> {
    await tx.query(sql`
      update refresh_tokens set used_at = ${use.at}, successor_salt = ${use.successorSalt}
      where token_hash = ${tokenHash}`)
  }

  /** A token that nobody has presented counts as used, and leads to no other. False where somebody has. */
  async supersede(tx: Queryable, tokenHash: string, at: Date): Promise<boolean> {
    const rows = await tx.query(sql`
      update refresh_tokens set used_at = ${at} where token_hash = ${tokenHash} and used_at is null
      returning token_hash`)
    return rows.length > 0
  }

  /** A used token leads to another successor from now on. */
  async markReissued(
    tx: Queryable,
    tokenHash: string,
    use: { at: Date; successorSalt: Buffer },
  ): Promise<void> {
    await tx.query(sql`
      update refresh_tokens
      set used_at = ${use.at}, successor_salt = ${use.successorSalt}, reissued = reissued + 1
      where token_hash = ${tokenHash}`)
  }

  /** Forgets what leads from a long-used token to its successor, and tokens that are over anyway. */
  async tidy(
    tx: Queryable,
    sessionId: string,
    limits: { usedBefore: Date; expiredBefore: Date },
  ): Promise<void> {
    await tx.query(sql`
      update refresh_tokens set successor_salt = null
      where session_id = ${sessionId} and successor_salt is not null and used_at < ${limits.usedBefore}`)
    await tx.query(sql`
      delete from refresh_tokens where session_id = ${sessionId} and expires_at < ${limits.expiredBefore}`)
  }
}
