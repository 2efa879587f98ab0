import type { ConnectionStatus } from '@atom/contract/connections.ts'
import sql, { empty, type Sql } from 'sql-template-tag'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import type { Particulars } from '#providers/provider.ts'
import type { SealedTokens } from './credential-vault.ts'

export interface AppRow {
  readonly id: string
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly dataKey: Buffer
  readonly clientSecret: Buffer
  readonly version: number
  readonly scopes: readonly string[] | null
}

interface AppEntry {
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly scopes: readonly string[] | null
  readonly configuredBy: string
  readonly configuredAt: Date
  readonly newId: string
  /** Called inside the transaction, once the id and the version are known. */
  seal(id: string, version: number): { dataKey: Buffer; clientSecret: Buffer }
}

export interface FlowRow {
  readonly id: string
  readonly workspaceId: string
  readonly accountId: string
  readonly provider: string
  readonly appId: string | null
  readonly clientId: string
  readonly stateHash: string
  readonly browserHash: string
  readonly redirectUri: string
  readonly returnTo: string
  readonly scopes: readonly string[]
  readonly particulars: Particulars
  readonly dataKey: Buffer
  readonly secrets: Buffer
  readonly createdAt: Date
  readonly expiresAt: Date
}

export interface StoredIdentity {
  readonly name: string
  readonly handle?: string
  readonly email?: string
  readonly avatarUrl?: string
}

export interface ConnectionRow {
  readonly id: string
  readonly workspaceId: string
  readonly ownerId: string
  readonly provider: string
  readonly appId: string | null
  readonly clientId: string
  readonly sandbox: boolean
  readonly status: Exclude<ConnectionStatus, 'revoked'>
  readonly reason: string | null
  readonly identityId: string
  readonly identity: StoredIdentity
  readonly scopes: readonly string[]
  readonly missingScopes: readonly string[]
  readonly connectedAt: Date
  readonly lastUsedAt: Date | null
  readonly generation: number
  readonly issuedAt: Date
  readonly expiresAt: Date | null
  readonly particulars: Particulars
}

/** The little of a connection that every request has to know anew. */
export type Standing = Pick<
  ConnectionRow,
  'id' | 'workspaceId' | 'ownerId' | 'status' | 'lastUsedAt' | 'generation' | 'expiresAt'
>

/** A connection with its sealed credential: what the proxy and the refresh work on. */
export interface LiveConnection extends ConnectionRow {
  readonly sealed: SealedTokens
}

export interface ConsentedConnection {
  readonly newId: string
  readonly workspaceId: string
  readonly ownerId: string
  readonly provider: string
  readonly appId: string | null
  readonly clientId: string
  readonly status: ConnectionRow['status']
  readonly reason: string | null
  readonly identityId: string
  readonly identity: StoredIdentity
  readonly scopes: readonly string[]
  readonly missingScopes: readonly string[]
  readonly at: Date
  readonly expiresAt: Date | null
  readonly particulars: Particulars
  /** Called inside the transaction, once id and generation are known. */
  seal(connectionId: string, generation: number): SealedTokens
}

export interface Renewal {
  readonly connectionId: string
  /** The generation that was refreshed; the new pair is the next one. */
  readonly generation: number
  readonly sealed: SealedTokens
  readonly issuedAt: Date
  readonly expiresAt: Date | null
  readonly particulars: Particulars
}

export interface Claim {
  readonly connectionId: string
  readonly generation: number
  readonly holder: string
  readonly leaseSeconds: number
}

const appColumns = sql`
  id, workspace_id as "workspaceId", provider, client_id as "clientId", data_key as "dataKey",
  client_secret as "clientSecret", version, scopes`

const flowColumns = sql`
  id, workspace_id as "workspaceId", account_id as "accountId", provider, app_id as "appId", client_id as "clientId",
  state_hash as "stateHash", browser_hash as "browserHash", redirect_uri as "redirectUri", return_to as "returnTo", scopes,
  particulars, data_key as "dataKey", secrets, created_at as "createdAt", expires_at as "expiresAt"`

const connectionColumns = sql`
  c.id, c.workspace_id as "workspaceId", c.owner_id as "ownerId", c.provider, c.app_id as "appId",
  c.client_id as "clientId", c.sandbox, c.status, c.reason, c.identity_id as "identityId", c.identity, c.scopes,
  c.missing_scopes as "missingScopes", c.connected_at as "connectedAt", c.last_used_at as "lastUsedAt",
  k.generation, k.issued_at as "issuedAt", k.expires_at as "expiresAt", k.particulars`

const sealedColumns = sql`
  k.data_key as "dataKey", k.access_token as "accessToken", k.refresh_token as "refreshToken"`

/** Where the wrapped data keys are, for the rotation of master keys, which has the one statement for all of them. */
export const dataKeyColumns = {
  connection: {
    table: 'credentials',
    id: 'connection_id',
    idType: 'uuid',
    key: 'data_key',
    workspace: 'workspace_id',
  },
  app: { table: 'provider_apps', id: 'id', idType: 'uuid', key: 'data_key', workspace: 'workspace_id' },
  flow: { table: 'connection_flows', id: 'id', idType: 'uuid', key: 'data_key', workspace: 'workspace_id' },
} as const

/** All SQL of this room. */
export class ConnectionStore {
  readonly #database: Database

  constructor(dependencies: { database: Database }) {
    this.#database = dependencies.database
  }

  // Apps

  async apps(workspaceId: string): Promise<AppRow[]> {
    return await this.#database.query<AppRow>(
      sql`select ${appColumns} from provider_apps where workspace_id = ${workspaceId} and retired_at is null`,
    )
  }

  async currentApp(workspaceId: string, provider: string): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(sql`
      select ${appColumns} from provider_apps
      where workspace_id = ${workspaceId} and provider = ${provider} and retired_at is null`)
    return row
  }

  async app(id: string): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(
      sql`select ${appColumns} from provider_apps where id = ${id}`,
    )
    return row
  }

  async putApp(entry: AppEntry): Promise<AppRow> {
    return await this.#database.transaction(async (tx) => {
      // Two operators at once: the second waits here and then sees what the first wrote.
      await tx.query(
        sql`select pg_advisory_xact_lock(hashtext(${`provider_apps ${entry.workspaceId} ${entry.provider}`}))`,
      )
      const [same] = await tx.query<{ id: string; version: number }>(sql`
        select id, version from provider_apps
        where workspace_id = ${entry.workspaceId} and provider = ${entry.provider} and client_id = ${entry.clientId}
        order by retired_at desc nulls first limit 1`)
      await this.#retire(tx, entry.workspaceId, entry.provider, entry.configuredAt, same?.id)
      const id = same?.id ?? entry.newId
      const version = (same?.version ?? 0) + 1
      const sealed = entry.seal(id, version)
      const [row] = await tx.query<AppRow>(sql`
        insert into provider_apps (id, workspace_id, provider, client_id, data_key, client_secret, version, scopes,
          configured_by, configured_at)
        values (${id}, ${entry.workspaceId}, ${entry.provider}, ${entry.clientId}, ${sealed.dataKey},
          ${sealed.clientSecret}, ${version}, ${entry.scopes}, ${entry.configuredBy}, ${entry.configuredAt})
        on conflict (id) do update set data_key = excluded.data_key, client_secret = excluded.client_secret,
          version = excluded.version, scopes = excluded.scopes, configured_by = excluded.configured_by,
          configured_at = excluded.configured_at, retired_at = null
        returning ${appColumns}`)
      return present(row)
    })
  }

  async retireApp(workspaceId: string, provider: string, at: Date): Promise<void> {
    await this.#database.transaction((tx) => this.#retire(tx, workspaceId, provider, at))
  }

  async #retire(
    tx: Transaction,
    workspaceId: string,
    provider: string,
    at: Date,
    except?: string,
  ): Promise<void> {
    await tx.query(sql`
      update provider_apps set retired_at = ${at}
      where workspace_id = ${workspaceId} and provider = ${provider} and retired_at is null
        ${except === undefined ? empty : sql`and id <> ${except}`}`)
    await dropUnusedApps(tx, workspaceId, provider, except)
  }

  // Flows

  /** Stores a flow and forgets those that nobody can finish any more. */
  async beginFlow(row: FlowRow): Promise<void> {
    await this.#database.query(sql`
      with forgotten as (
        delete from connection_flows where expires_at < ${new Date(row.createdAt.getTime() - keepFlowsMs)}
      )
      insert into connection_flows (id, workspace_id, account_id, provider, app_id, client_id, state_hash, browser_hash,
        redirect_uri, return_to, scopes, particulars, data_key, secrets, created_at, expires_at)
      values (${row.id}, ${row.workspaceId}, ${row.accountId}, ${row.provider}, ${row.appId}, ${row.clientId},
        ${row.stateHash}, ${row.browserHash}, ${row.redirectUri}, ${row.returnTo}, ${row.scopes},
        ${JSON.stringify(row.particulars)}, ${row.dataKey}, ${row.secrets}, ${row.createdAt}, ${row.expiresAt})`)
  }

  /** Takes the flow, if all that binds it is as it should be. Of two at once, one gets it. */
  async takeFlow(binding: {
    stateHash: string
    browserHash: string
    provider: string
    redirectUri: string
    at: Date
  }): Promise<FlowRow | undefined> {
    const [row] = await this.#database.query<FlowRow>(sql`
      update connection_flows set used_at = ${binding.at}
      where state_hash = ${binding.stateHash} and browser_hash = ${binding.browserHash}
        and provider = ${binding.provider} and redirect_uri = ${binding.redirectUri}
        and used_at is null and expires_at > ${binding.at}
      returning ${flowColumns}`)
    return row
  }

  /** Why a flow could not be taken. */
  async flowWithState(
    stateHash: string,
  ): Promise<
    (Pick<FlowRow, 'provider' | 'browserHash' | 'returnTo' | 'expiresAt'> & { used: boolean }) | undefined
  > {
    const [row] = await this.#database.query<
      Pick<FlowRow, 'provider' | 'browserHash' | 'returnTo' | 'expiresAt'> & { used: boolean }
    >(sql`
      select provider, browser_hash as "browserHash", return_to as "returnTo", expires_at as "expiresAt",
        used_at is not null as used
      from connection_flows where state_hash = ${stateHash}`)
    return row
  }

  // Connections

  async list(
    workspaceId: string,
    ownerId: string,
    page: { before?: string | undefined; limit: number; provider?: string | undefined },
  ): Promise<ConnectionRow[]> {
    return await this.#database.query<ConnectionRow>(sql`
      select ${connectionColumns} from connections c join credentials k on k.connection_id = c.id
      where c.workspace_id = ${workspaceId} and c.owner_id = ${ownerId}
        ${page.before === undefined ? empty : sql`and c.id < ${page.before}`}
        ${page.provider === undefined ? empty : sql`and c.provider = ${page.provider}`}
      order by c.id desc limit ${page.limit}`)
  }

  async live(workspaceId: string, id: string): Promise<LiveConnection | undefined> {
    return await this.#live(this.#database, sql`c.id = ${id} and c.workspace_id = ${workspaceId}`)
  }

  /** What of connections may change from one request to the next. Of any workspace: whoever asks compares it. */
  async standings(ids: readonly string[]): Promise<ReadonlyMap<string, Standing>> {
    const rows = await this.#database.query<Standing>(sql`
      select c.id, c.workspace_id as "workspaceId", c.owner_id as "ownerId", c.status, c.last_used_at as "lastUsedAt",
        k.generation, k.expires_at as "expiresAt"
      from connections c join credentials k on k.connection_id = c.id where c.id = any (${ids}::uuid[])`)
    return new Map(rows.map((row) => [row.id, row]))
  }

  async #live(on: Queryable, condition: Sql): Promise<LiveConnection | undefined> {
    const [row] = await on.query<ConnectionRow & SealedTokens>(sql`
      select ${connectionColumns}, ${sealedColumns}
      from connections c join credentials k on k.connection_id = c.id where ${condition}`)
    if (row === undefined) return undefined
    const { dataKey, accessToken, refreshToken, ...connection } = row
    return { ...connection, sealed: { dataKey, accessToken, refreshToken } }
  }

  /** Writes what consent gave: a new connection, or the next credential of the one that this person had already. */
  async connect(consented: ConsentedConnection): Promise<ConnectionRow> {
    return await this.#database.transaction(async (tx) => {
      const identity = JSON.stringify(consented.identity)
      const [connection] = await tx.query<{ id: string }>(sql`
        insert into connections as c (id, workspace_id, owner_id, provider, app_id, client_id, sandbox, status, reason,
          identity_id, identity, scopes, missing_scopes, connected_at)
        values (${consented.newId}, ${consented.workspaceId}, ${consented.ownerId}, ${consented.provider},
          ${consented.appId}, ${consented.clientId}, ${consented.appId === null}, ${consented.status},
          ${consented.reason}, ${consented.identityId}, ${identity}, ${consented.scopes}, ${consented.missingScopes},
          ${consented.at})
        on conflict (workspace_id, owner_id, provider, sandbox, identity_id) do update set app_id = excluded.app_id,
          client_id = excluded.client_id, status = excluded.status, reason = excluded.reason,
          identity = excluded.identity, scopes = excluded.scopes, missing_scopes = excluded.missing_scopes,
          connected_at = excluded.connected_at
        returning c.id`)
      const { id } = present(connection)
      // The row of the connection is locked by the statement above, so nobody else raises the generation now but a
      // refresh, whose compare-and-swap then fails.
      const [before] = await tx.query<{ generation: number }>(
        sql`select generation from credentials where connection_id = ${id} for update`,
      )
      const generation = (before?.generation ?? 0) + 1
      const sealed = consented.seal(id, generation)
      await tx.query(sql`
        insert into credentials (connection_id, workspace_id, data_key, access_token, refresh_token, generation, issued_at,
          expires_at, particulars)
        values (${id}, ${consented.workspaceId}, ${sealed.dataKey}, ${sealed.accessToken}, ${sealed.refreshToken},
          ${generation}, ${consented.at}, ${consented.expiresAt}, ${JSON.stringify(consented.particulars)})
        on conflict (connection_id) do update set data_key = excluded.data_key, access_token = excluded.access_token,
          refresh_token = excluded.refresh_token, generation = excluded.generation, issued_at = excluded.issued_at,
          expires_at = excluded.expires_at, particulars = excluded.particulars, lease_holder = null, lease_until = null, unanswered = false`)
      await dropUnusedApps(tx, consented.workspaceId, consented.provider)
      return present(await this.#live(tx, sql`c.id = ${id}`))
    })
  }

  /** Notes a use at most once a minute: the proxy must not cost a write per call. */
  async used(id: string, at: Date): Promise<void> {
    await this.#database.query(sql`
      update connections set last_used_at = ${at}
      where id = ${id} and (last_used_at is null or last_used_at < ${new Date(at.getTime() - 60_000)})`)
  }

  /** Takes the connection and everything secret of it away; undefined where it was gone already. */
  async remove(connection: ConnectionRow): Promise<boolean> {
    return await this.#database.transaction(async (tx) => {
      const removed = await tx.query<{ id: string }>(
        sql`delete from connections where id = ${connection.id} returning id`,
      )
      await dropUnusedApps(tx, connection.workspaceId, connection.provider)
      return removed.length > 0
    })
  }

  /**
   * How many other connections live from the same grant at the provider.
   * @param sharedGrant the particular that decides it, where not the person does
   */
  async sharers(connection: ConnectionRow, sharedGrant?: string): Promise<number> {
    const common = sharedGrant === undefined ? undefined : connection.particulars[sharedGrant]
    const same =
      sharedGrant === undefined || common === undefined
        ? sql`c.identity_id = ${connection.identityId}`
        : sql`k.particulars ->> ${sharedGrant}::text = ${common}`
    const [row] = await this.#database.query<{ n: number }>(sql`
      select count(*)::int as n from connections c join credentials k on k.connection_id = c.id
      where c.provider = ${connection.provider} and c.client_id = ${connection.clientId}
        and c.sandbox = ${connection.sandbox} and ${same} and c.id <> ${connection.id}`)
    return row?.n ?? 0
  }

  // Refresh

  /**
   * Takes the right to refresh this generation; one holder in the whole cluster. It counts as sent from here on, so that a
   * crash after sending is known as one: `unanswered` says that an earlier holder sent the refresh token and no answer to it
   * was stored. Undefined where another holds it or the generation has moved on.
   */
  async claim(claim: Claim): Promise<{ unanswered: boolean } | undefined> {
    const [row] = await this.#database.query<{ unanswered: boolean }>(sql`
      update credentials k
      set lease_holder = ${claim.holder}, lease_until = now() + make_interval(secs => ${claim.leaseSeconds}),
        unanswered = true
      from (
        select connection_id, unanswered from credentials
        where connection_id = ${claim.connectionId} and generation = ${claim.generation}
          and (lease_until is null or lease_until < now())
        for update
      ) free
      where k.connection_id = free.connection_id
      returning free.unanswered`)
    return row
  }

  async release(claim: Claim, unanswered: boolean): Promise<void> {
    await this.#database.query(sql`
      update credentials set lease_holder = null, lease_until = null, unanswered = ${unanswered}
      where connection_id = ${claim.connectionId} and generation = ${claim.generation}
        and lease_holder = ${claim.holder}`)
  }

  /**
   * The next pair in place of the one it came from. False where that one is not current any more: consent was given anew in
   * the meantime, and the newer pair stays.
   */
  async renew(renewal: Renewal): Promise<boolean> {
    const rows = await this.#database.query(sql`
      update credentials set access_token = ${renewal.sealed.accessToken}, refresh_token = ${renewal.sealed.refreshToken},
        generation = generation + 1, issued_at = ${renewal.issuedAt}, expires_at = ${renewal.expiresAt},
        particulars = ${JSON.stringify(renewal.particulars)},
        lease_holder = null, lease_until = null, unanswered = false
      where connection_id = ${renewal.connectionId} and generation = ${renewal.generation}
      returning connection_id`)
    return rows.length > 0
  }

  /** The grant is gone; only while `generation` is still the one that was refused. */
  async needsReconnect(claim: Claim, reason: string): Promise<boolean> {
    return await this.#database.transaction(async (tx) => {
      // The connection first, as `connect` does: the other order could lock both out.
      await tx.query(sql`select id from connections where id = ${claim.connectionId} for update`)
      const refused = await tx.query(sql`
        update credentials set lease_holder = null, lease_until = null, unanswered = false
        where connection_id = ${claim.connectionId} and generation = ${claim.generation}
        returning connection_id`)
      if (refused.length === 0) return false
      await tx.query(sql`
        update connections set status = 'needs_reconnect', reason = ${reason} where id = ${claim.connectionId}`)
      return true
    })
  }
}

/** A finished flow is kept this long after its end, so that a late replay is called by its name. */
const keepFlowsMs = 24 * 60 * 60 * 1000

/** Retired apps whose last connection is gone; their secrets go with them. */
async function dropUnusedApps(
  tx: Transaction,
  workspaceId: string,
  provider: string,
  except?: string,
): Promise<void> {
  await tx.query(sql`
    delete from provider_apps a
    where a.workspace_id = ${workspaceId} and a.provider = ${provider} and a.retired_at is not null
      ${except === undefined ? empty : sql`and a.id <> ${except}`}
      and not exists (select from connections c where c.app_id = a.id)`)
}

function present<T>(row: T | undefined): T {
  if (row === undefined) throw new Error('a statement that always answers a row answered none')
  return row
}
