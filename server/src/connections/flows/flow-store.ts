import type { FlowName } from '@atom/contract/connections.ts'
import type { ErrorCode } from '@atom/contract/errors.ts'
import sql from 'sql-template-tag'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import type { Particulars } from '#providers/provider.ts'

export interface FlowRow {
  readonly id: string
  /** The connection that consent is for; null: for whichever account is chosen. */
  readonly connectionId: string | null
  readonly workspaceId: string
  readonly accountId: string
  /** null: begun before this was asked. */
  readonly sessionId: string | null
  readonly provider: string
  readonly flow: FlowName
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

/** A device code that is to be asked for now. */
export interface DevicePoll extends FlowRow {
  readonly intervalSeconds: number
}

/** An attempt to connect, as far as the connection that it leads to is concerned. */
export type Attempt = Pick<
  FlowRow,
  | 'connectionId'
  | 'workspaceId'
  | 'accountId'
  | 'provider'
  | 'flow'
  | 'appId'
  | 'clientId'
  | 'scopes'
  | 'particulars'
> & { readonly id?: string }

export interface FlowOutcome {
  readonly connectionId: string | null
  readonly problem: ErrorCode | null
  readonly expiresAt: Date
}

const flowColumns = sql`
  id, target_id as "connectionId", workspace_id as "workspaceId", account_id as "accountId", session_id as "sessionId",
  provider, flow, app_id as "appId", client_id as "clientId",
  state_hash as "stateHash", browser_hash as "browserHash", redirect_uri as "redirectUri", return_to as "returnTo", scopes,
  particulars, data_key as "dataKey", secrets, created_at as "createdAt", expires_at as "expiresAt"`

/** A finished flow is kept this long after its end, so that a late replay is called by its name. */
const keepFlowsMs = 24 * 60 * 60 * 1000

/** All SQL about attempts to connect that are under way. */
export class FlowStore {
  readonly #database: Database

  constructor(dependencies: { database: Database }) {
    this.#database = dependencies.database
  }

  /** Stores a flow and forgets those that nobody can finish any more. */
  async beginFlow(row: FlowRow): Promise<void> {
    await insertFlow(this.#database, row)
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

  /** Notes what became of a flow; the first word stays, and nobody asks for it any more. */
  async failFlow(id: string, problem: ErrorCode): Promise<void> {
    await this.#database.transaction((tx) => endFlow(tx, id, { problem }))
  }

  /** What became of a flow; undefined for anybody but whoever began it. */
  async flowOutcome(workspaceId: string, accountId: string, id: string): Promise<FlowOutcome | undefined> {
    const [row] = await this.#database.query<FlowOutcome>(sql`
      select connection_id as "connectionId", problem, expires_at as "expiresAt" from connection_flows
      where id = ${id} and workspace_id = ${workspaceId} and account_id = ${accountId}`)
    return row
  }

  /** Stores a flow that the server itself asks after. */
  async beginDeviceFlow(row: FlowRow, intervalSeconds: number): Promise<void> {
    await this.#database.transaction(async (tx) => {
      await insertFlow(tx, row)
      await tx.query(sql`
        insert into device_polls (flow_id, next_poll_at, interval_seconds)
        values (${row.id}, now() + make_interval(secs => ${intervalSeconds}), ${intervalSeconds})`)
    })
  }

  /** Takes the right to ask for those that are due; each goes to one process in the cluster. */
  async claimDevicePolls(claim: {
    holder: string
    leaseSeconds: number
    limit: number
  }): Promise<DevicePoll[]> {
    return await this.#database.query<DevicePoll>(sql`
      with due as (
        select flow_id from device_polls
        where next_poll_at <= now() and (lease_until is null or lease_until < now())
        order by next_poll_at limit ${claim.limit} for update skip locked
      ), claimed as (
        update device_polls p
        set lease_holder = ${claim.holder}, lease_until = now() + make_interval(secs => ${claim.leaseSeconds})
        from due where p.flow_id = due.flow_id
        returning p.flow_id, p.interval_seconds
      )
      select ${flowColumns}, interval_seconds as "intervalSeconds"
      from claimed join connection_flows on id = flow_id`)
  }

  /** Gives the right to ask back until the next time. */
  async postponeDevicePoll(
    flowId: string,
    holder: string,
    next: { intervalSeconds: number; inSeconds: number },
  ): Promise<void> {
    await this.#database.query(sql`
      update device_polls set lease_holder = null, lease_until = null, interval_seconds = ${next.intervalSeconds},
        next_poll_at = now() + make_interval(secs => ${next.inSeconds})
      where flow_id = ${flowId} and lease_holder = ${holder}`)
  }

  /** Milliseconds until the next one is due; undefined where none is waited for. */
  async nextDevicePollInMs(): Promise<number | undefined> {
    const [row] = await this.#database.query<{ ms: number | null }>(sql`
      select (extract(epoch from min(greatest(next_poll_at, coalesce(lease_until, next_poll_at))) - now()) * 1000)::float8 as ms
      from device_polls`)
    return row?.ms ?? undefined
  }
}

async function insertFlow(on: Queryable, row: FlowRow): Promise<void> {
  await on.query(sql`
    with forgotten as (
      delete from connection_flows where expires_at < ${new Date(row.createdAt.getTime() - keepFlowsMs)}
    )
    insert into connection_flows (id, target_id, workspace_id, account_id, session_id, provider, flow, app_id, client_id,
      state_hash, browser_hash, redirect_uri, return_to, scopes, particulars, data_key, secrets, created_at, expires_at)
    values (${row.id}, ${row.connectionId}, ${row.workspaceId}, ${row.accountId}, ${row.sessionId}, ${row.provider},
      ${row.flow}, ${row.appId}, ${row.clientId}, ${row.stateHash}, ${row.browserHash}, ${row.redirectUri}, ${row.returnTo}, ${row.scopes},
      ${JSON.stringify(row.particulars)}, ${row.dataKey}, ${row.secrets}, ${row.createdAt}, ${row.expiresAt})`)
}

/** The first word stays, and nobody asks for it any more. */
export async function endFlow(
  tx: Transaction,
  id: string,
  outcome: { readonly connectionId?: string; readonly problem?: ErrorCode },
): Promise<void> {
  await tx.query(sql`
    update connection_flows set connection_id = ${outcome.connectionId ?? null}, problem = ${outcome.problem ?? null}
    where id = ${id} and connection_id is null and problem is null`)
  await tx.query(sql`delete from device_polls where flow_id = ${id}`)
}
