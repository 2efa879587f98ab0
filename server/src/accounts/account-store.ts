import type { Role } from '@atom/contract/accounts.ts'
import sql, { empty } from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

export interface AccountRow {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly createdAt: Date
}

export interface WorkspaceRow {
  readonly id: string
  readonly name: string
}

export interface MembershipRow {
  readonly account: AccountRow
  readonly workspace: WorkspaceRow
  readonly role: Role
}

export interface InvitationRow {
  readonly id: string
  readonly workspaceId: string
  readonly email: string
  readonly role: 'admin' | 'member'
  readonly expiresAt: Date
  readonly acceptedAt: Date | null
}

/** Whose rooms an invitation leads into. */
export interface InvitedInto {
  readonly invitedBy: string
  readonly roomIds: readonly string[]
}

/** Where a page begins and how long it is. */
export interface PageRequest {
  readonly after: string | undefined
  readonly limit: number
}

interface FlatMembership {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly createdAt: Date
  readonly role: Role
  readonly workspaceId: string
  readonly workspaceName: string
}

const membershipColumns = sql`
  a.id, a.email, a.name, a.created_at as "createdAt", m.role, w.id as "workspaceId", w.name as "workspaceName"`
const membershipTables = sql`
  memberships m join accounts a on a.id = m.account_id join workspaces w on w.id = m.workspace_id`
const invitationColumns = sql`
  id, workspace_id as "workspaceId", email, role, expires_at as "expiresAt", accepted_at as "acceptedAt"`

/** All SQL about people, workspaces, membership and invitations. */
export class AccountStore {
  async isSetUp(db: Queryable): Promise<boolean> {
    const rows = await db.query(sql`select from installation`)
    return rows.length > 0
  }

  /** False where somebody else has set this server up, or is doing so and commits first. */
  async claimInstallation(tx: Queryable, workspaceId: string, at: Date): Promise<boolean> {
    const rows = await tx.query(sql`
      insert into installation (workspace_id, at) values (${workspaceId}, ${at})
      on conflict do nothing returning only_one`)
    return rows.length > 0
  }

  async addWorkspace(tx: Queryable, workspace: WorkspaceRow, at: Date): Promise<void> {
    await tx.query(
      sql`insert into workspaces (id, name, created_at) values (${workspace.id}, ${workspace.name}, ${at})`,
    )
  }

  /** False where the e-mail belongs to an account already. */
  async addAccount(tx: Queryable, account: AccountRow, passwordHash: string): Promise<boolean> {
    const rows = await tx.query(sql`
      insert into accounts (id, email, email_key, name, password_hash, created_at)
      values (${account.id}, ${account.email}, ${emailKey(account.email)}, ${account.name}, ${passwordHash}, ${account.createdAt})
      on conflict (email_key) do nothing returning id`)
    return rows.length > 0
  }

  async addMembership(
    tx: Queryable,
    membership: { workspaceId: string; accountId: string; role: Role; at: Date },
  ): Promise<void> {
    await tx.query(sql`
      insert into memberships (workspace_id, account_id, role, joined_at)
      values (${membership.workspaceId}, ${membership.accountId}, ${membership.role}, ${membership.at})`)
  }

  async emailTaken(db: Queryable, email: string): Promise<boolean> {
    const rows = await db.query(sql`select from accounts where email_key = ${emailKey(email)}`)
    return rows.length > 0
  }

  async findByEmail(
    db: Queryable,
    email: string,
  ): Promise<(MembershipRow & { passwordHash: string }) | undefined> {
    const rows = await db.query<FlatMembership & { passwordHash: string }>(sql`
      select ${membershipColumns}, a.password_hash as "passwordHash" from ${membershipTables}
      where a.email_key = ${emailKey(email)} order by m.joined_at limit 1`)
    return rows[0] && { ...nested(rows[0]), passwordHash: rows[0].passwordHash }
  }

  async findMembership(
    db: Queryable,
    workspaceId: string,
    accountId: string,
  ): Promise<MembershipRow | undefined> {
    const rows = await db.query<FlatMembership>(sql`
      select ${membershipColumns} from ${membershipTables}
      where m.workspace_id = ${workspaceId} and m.account_id = ${accountId}`)
    return rows[0] && nested(rows[0])
  }

  /** In the order in which the accounts came to be. */
  async members(db: Queryable, workspaceId: string, page: PageRequest): Promise<MembershipRow[]> {
    const rows = await db.query<FlatMembership>(sql`
      select ${membershipColumns} from ${membershipTables}
      where m.workspace_id = ${workspaceId} ${page.after === undefined ? empty : sql`and m.account_id > ${page.after}`}
      order by m.account_id limit ${page.limit}`)
    return rows.map(nested)
  }

  async addInvitation(
    db: Queryable,
    invitation: InvitationRow & InvitedInto & { tokenHash: string; createdAt: Date },
  ): Promise<void> {
    await db.query(sql`
      insert into invitations (
        id, workspace_id, email, role, token_hash, invited_by, created_at, expires_at, room_ids
      )
      values (${invitation.id}, ${invitation.workspaceId}, ${invitation.email}, ${invitation.role},
        ${invitation.tokenHash}, ${invitation.invitedBy}, ${invitation.createdAt}, ${invitation.expiresAt},
        ${invitation.roomIds}::uuid[])`)
  }

  /** The newest first. */
  async invitations(db: Queryable, workspaceId: string, page: PageRequest): Promise<InvitationRow[]> {
    return await db.query<InvitationRow>(sql`
      select ${invitationColumns} from invitations
      where workspace_id = ${workspaceId} and withdrawn_at is null
        ${page.after === undefined ? empty : sql`and id < ${page.after}`}
      order by id desc limit ${page.limit}`)
  }

  async findOpenInvitation(
    db: Queryable,
    tokenHash: string,
    now: Date,
  ): Promise<(InvitationRow & InvitedInto & { workspaceName: string }) | undefined> {
    const rows = await db.query<InvitationRow & InvitedInto & { workspaceName: string }>(sql`
      select i.id, i.workspace_id as "workspaceId", i.email, i.role, i.expires_at as "expiresAt",
        i.accepted_at as "acceptedAt", i.invited_by as "invitedBy", i.room_ids as "roomIds", w.name as "workspaceName"
      from invitations i join workspaces w on w.id = i.workspace_id
      where i.token_hash = ${tokenHash} and i.accepted_at is null and i.withdrawn_at is null and i.expires_at > ${now}`)
    return rows[0]
  }

  /** False where it was accepted or withdrawn meanwhile. */
  async takeInvitation(tx: Queryable, id: string, accountId: string, now: Date): Promise<boolean> {
    const rows = await tx.query(sql`
      update invitations set accepted_at = ${now}, accepted_by = ${accountId}
      where id = ${id} and accepted_at is null and withdrawn_at is null and expires_at > ${now}
      returning id`)
    return rows.length > 0
  }

  /** False where there is no such invitation that is still open. */
  async withdrawInvitation(db: Queryable, workspaceId: string, id: string, now: Date): Promise<boolean> {
    const rows = await db.query(sql`
      update invitations set withdrawn_at = ${now}
      where workspace_id = ${workspaceId} and id = ${id} and accepted_at is null and withdrawn_at is null
      returning id`)
    return rows.length > 0
  }
}

/** One person however the address is spelled. The local part could differ by case in theory (RFC 5321 2.4), never in practice. */
export function emailKey(email: string): string {
  return email.toLowerCase()
}

function nested(row: FlatMembership): MembershipRow {
  return {
    account: { id: row.id, email: row.email, name: row.name, createdAt: row.createdAt },
    workspace: { id: row.workspaceId, name: row.workspaceName },
    role: row.role,
  }
}
