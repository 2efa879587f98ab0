import type { ConnectionStatus, FlowName, Remedy } from '@atom/contract/connections.ts'
import type { ErrorCode } from '@atom/contract/errors.ts'
import sql, { empty, type Sql } from 'sql-template-tag'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import type { Particulars } from '#providers/provider.ts'
import {
  type ConnectionEventEntry,
  type ConnectionEventRow,
  readConnectionEvents,
  writeConnectionEvent,
} from './connection-event-store.ts'
import type { SealedTokens } from './credential-vault.ts'

export interface AppRow {
  readonly id: string
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly dataKey: Buffer
  readonly clientSecret: Buffer
  readonly privateKey: Buffer | null
  readonly version: number
  readonly scopes: readonly string[] | null
  readonly configuredAt: Date
  readonly secretExpiresAt: Date | null
  readonly testing: boolean
  readonly settings: Particulars
  /** Where Atom registered it by itself; null: an operator's. */
  readonly registeredWith: string | null
}

interface SealedApp {
  readonly dataKey: Buffer
  readonly clientSecret: Buffer
  readonly privateKey?: Buffer
}

interface AppEntry {
  readonly secretExpiresAt: Date | null
  readonly testing: boolean
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly scopes: readonly string[] | null
  readonly configuredBy: string
  readonly configuredAt: Date
  readonly settings: Particulars
  readonly newId: string
  /** Called inside the transaction, once the id and the version are known. */
  seal(id: string, version: number): Promise<SealedApp>
}

interface AppRegistration {
  readonly id: string
  readonly workspaceId: string
  readonly provider: string
  readonly clientId: string
  readonly registeredWith: string
  readonly registeredBy: string
  readonly settings: Particulars
  readonly at: Date
  /** null: never. */
  readonly endsAt: Date | null
  readonly sealed: SealedApp
}

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

export interface StoredIdentity {
  readonly name: string
  readonly handle?: string
  readonly email?: string
  readonly avatarUrl?: string
}

/** A credential of a connection besides its first. */
export interface FurtherCredential {
  readonly slot: string
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
}

export interface ConnectionRow {
  readonly id: string
  readonly workspaceId: string
  readonly ownerId: string
  readonly provider: string
  /** How it came about, which decides how its access is renewed. */
  readonly flow: FlowName
  /** null: the sandbox's app, or none where a key needs none. */
  readonly appId: string | null
  readonly clientId: string
  readonly sandbox: boolean
  readonly status: Exclude<ConnectionStatus, 'revoked'>
  readonly reason: string | null
  readonly remedy: Remedy | null
  readonly identityId: string
  readonly identity: StoredIdentity
  readonly askedScopes: readonly string[]
  readonly scopes: readonly string[]
  readonly missingScopes: readonly string[]
  readonly connectedAt: Date
  readonly lastUsedAt: Date | null
  /** Of the credential that is used when nothing is said, as are the fields below. */
  readonly slot: string
  readonly generation: number
  readonly issuedAt: Date
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  readonly particulars: Particulars
  readonly others: readonly FurtherCredential[]
}

/** The little of a connection that every request has to know anew. */
export type ConnectionState = Pick<
  ConnectionRow,
  'id' | 'workspaceId' | 'ownerId' | 'status' | 'lastUsedAt' | 'generation' | 'expiresAt'
>

/**
 * A connection with its sealed credential: what the proxy and the refresh work on. With one of its other credentials, that
 * one's fields stand in the place of the first one's.
 */
export interface LiveConnection extends ConnectionRow {
  readonly sealed: SealedTokens
  /** The key that its tokens are bound to (RFC 9449); null: bearer tokens. */
  readonly sealedDpopKey: Buffer | null
  /** Which of the others it is; undefined for the first. */
  readonly further?: string | undefined
}

/** A credential that consent gave besides the first. */
export interface ConsentedFurther {
  readonly slot: string
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  readonly keepAliveAt: Date | null
  /** Called once the generation is known, with the data key of the connection. */
  seal(connectionId: string, generation: number, dataKey: Buffer): Promise<SealedTokens>
}

export interface ConsentedConnection {
  readonly newId: string
  readonly askedScopes: readonly string[]
  /** What to write down of it, once it is known whether and what was there before. */
  happened(
    before: { askedScopes: readonly string[] } | undefined,
  ): Omit<ConnectionEventEntry, 'connectionId' | 'workspaceId' | 'generation' | 'at'>
  /** The flow that ends with it, where it was one that was stored. */
  readonly flowId?: string | undefined
  readonly workspaceId: string
  readonly ownerId: string
  readonly provider: string
  readonly flow: FlowName
  readonly appId: string | null
  readonly clientId: string
  readonly sandbox: boolean
  readonly status: ConnectionRow['status']
  readonly reason: string | null
  readonly remedy: Remedy | null
  readonly identityId: string
  readonly identity: StoredIdentity
  readonly scopes: readonly string[]
  readonly missingScopes: readonly string[]
  readonly at: Date
  readonly slot: string
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  readonly keepAliveAt: Date | null
  readonly particulars: Particulars
  readonly others: readonly ConsentedFurther[]
  /** Called inside the transaction, once id and generation are known. `dpopKey`: what the tokens are bound to. */
  seal(connectionId: string, generation: number): Promise<SealedTokens & { readonly dpopKey?: Buffer }>
}

/** One credential: the first of its connection, or another. */
interface CredentialKey {
  readonly connectionId: string
  /** Which of the others; undefined for the first. */
  readonly further?: string | undefined
}

/** A connection as the forecast looks at it. */
export interface EndingConnection {
  readonly id: string
  readonly provider: string
  readonly name: string
  readonly connectedAt: Date
  readonly issuedAt: Date
  readonly expiresAt: Date | null
  readonly refreshExpiresAt: Date | null
  /** There is a refresh token. */
  readonly renewable: boolean
  /** Its app is not published. */
  readonly testing: boolean
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

/** How a connection stands, and why. */
export interface Standing {
  readonly status: ConnectionRow['status']
  readonly reason: string | null
  readonly remedy: Remedy | null
}

export interface Claim extends CredentialKey {
  readonly generation: number
  readonly holder: string
  readonly leaseSeconds: number
}

const appColumns = sql`
  id, configured_at as "configuredAt", secret_expires_at as "secretExpiresAt", testing, workspace_id as "workspaceId",
  provider, client_id as "clientId", data_key as "dataKey", client_secret as "clientSecret", private_key as "privateKey",
  version, scopes, settings, registered_with as "registeredWith"`

const flowColumns = sql`
  id, target_id as "connectionId", workspace_id as "workspaceId", account_id as "accountId", session_id as "sessionId",
  provider, flow, app_id as "appId", client_id as "clientId",
  state_hash as "stateHash", browser_hash as "browserHash", redirect_uri as "redirectUri", return_to as "returnTo", scopes,
  particulars, data_key as "dataKey", secrets, created_at as "createdAt", expires_at as "expiresAt"`

const connectionColumns = sql`
  c.id, c.asked_scopes as "askedScopes", c.workspace_id as "workspaceId", c.owner_id as "ownerId", c.provider, c.flow, c.app_id as "appId",
  c.client_id as "clientId", c.sandbox, c.status, c.reason, c.remedy, c.identity_id as "identityId", c.identity, c.scopes,
  c.missing_scopes as "missingScopes", c.connected_at as "connectedAt", c.last_used_at as "lastUsedAt",
  k.slot, k.generation, k.issued_at as "issuedAt", k.expires_at as "expiresAt",
  k.refresh_expires_at as "refreshExpiresAt", k.particulars,
  (select json_agg(json_build_array(o.slot, extract(epoch from o.expires_at), extract(epoch from o.refresh_expires_at))
    order by o.slot) from further_credentials o where o.connection_id = c.id) as others`

const sealedColumns = sql`
  k.data_key as "dataKey", k.access_token as "accessToken", k.refresh_token as "refreshToken",
  k.dpop_key as "sealedDpopKey"`

/** Of another credential, in the place of the first one's. */
const furtherColumns = sql`
  f.slot as further, f.generation, f.issued_at as "issuedAt", f.expires_at as "expiresAt",
  f.refresh_expires_at as "refreshExpiresAt", f.lost, k.data_key as "dataKey", f.access_token as "accessToken",
  f.refresh_token as "refreshToken"`

type RawFurther = readonly [slot: string, expires: number | null, refreshExpires: number | null]

/** A row as it comes: the others as lists of slot and ends in Unix seconds. */
type RawConnection = Omit<ConnectionRow, 'others'> & { readonly others: readonly RawFurther[] | null }

type RawLive = RawConnection & SealedTokens & Pick<LiveConnection, 'sealedDpopKey'>

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
  readonly #listeners = new Set<(connectionId: string) => void>()

  constructor(dependencies: { database: Database }) {
    this.#database = dependencies.database
  }

  /** Hears of each connection that this process has changed, once that is in force, also where it is in doubt whether it is. */
  subscribe(heard: (connectionId: string) => void): Disposable {
    this.#listeners.add(heard)
    return { [Symbol.dispose]: () => void this.#listeners.delete(heard) }
  }

  async #changing<T>(connectionId: string, change: Promise<T>): Promise<T> {
    try {
      return await change
    } finally {
      this.#tell(connectionId)
    }
  }

  #tell(connectionId: string): void {
    for (const heard of this.#listeners) heard(connectionId)
  }

  // Apps

  async apps(workspaceId: string): Promise<AppRow[]> {
    return await this.#database.query<AppRow>(
      sql`select ${appColumns} from provider_apps
        where workspace_id = ${workspaceId} and registered_with is null and retired_at is null`,
    )
  }

  async currentApp(workspaceId: string, provider: string): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(sql`
      select ${appColumns} from provider_apps
      where workspace_id = ${workspaceId} and provider = ${provider} and registered_with is null
        and retired_at is null`)
    return row
  }

  /** The app that Atom registered by itself, while its registration holds. */
  async registeredApp(
    workspaceId: string,
    provider: string,
    registeredWith: string,
    at: Date,
  ): Promise<AppRow | undefined> {
    const [row] = await this.#database.query<AppRow>(sql`
      select ${appColumns} from provider_apps
      where workspace_id = ${workspaceId} and provider = ${provider} and registered_with = ${registeredWith}
        and retired_at is null and (registration_ends_at is null or registration_ends_at > ${at})`)
    return row
  }

  /** Stores a registration in place of one that has ended; of two at once the first stays. */
  async registerApp(registration: AppRegistration): Promise<AppRow> {
    const { workspaceId, provider, registeredWith, at, sealed } = registration
    return await this.#database.transaction(async (tx) => {
      await tx.query(sql`
        update provider_apps set retired_at = ${at}
        where workspace_id = ${workspaceId} and provider = ${provider} and registered_with = ${registeredWith}
          and retired_at is null and registration_ends_at <= ${at}`)
      await tx.query(sql`
        insert into provider_apps (id, workspace_id, provider, client_id, data_key, client_secret, settings, version,
          configured_by, configured_at, registered_with, registration_ends_at)
        values (${registration.id}, ${workspaceId}, ${provider}, ${registration.clientId}, ${sealed.dataKey},
          ${sealed.clientSecret}, ${JSON.stringify(registration.settings)}, 1, ${registration.registeredBy}, ${at},
          ${registeredWith}, ${registration.endsAt})
        on conflict (workspace_id, provider, coalesce(registered_with, '')) where retired_at is null do nothing`)
      await dropUnusedApps(tx, workspaceId, provider)
      const [row] = await tx.query<AppRow>(sql`
        select ${appColumns} from provider_apps
        where workspace_id = ${workspaceId} and provider = ${provider} and registered_with = ${registeredWith}
          and retired_at is null`)
      return present(row)
    })
  }

  /** The server does not know this registration any more: the next flow registers anew. */
  async retireRegistration(id: string, at: Date): Promise<void> {
    await this.#database.query(sql`
      update provider_apps set retired_at = ${at}
      where id = ${id} and registered_with is not null and retired_at is null`)
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
      const settings = JSON.stringify(entry.settings)
      // Another server under the same client id is another app: what was connected at one must not be refreshed at the other.
      const [same] = await tx.query<{ id: string; version: number }>(sql`
        select id, version from provider_apps
        where workspace_id = ${entry.workspaceId} and provider = ${entry.provider} and client_id = ${entry.clientId}
          and settings = ${settings}::jsonb and registered_with is null
        order by retired_at desc nulls first limit 1`)
      await this.#retire(tx, entry.workspaceId, entry.provider, entry.configuredAt, {
        except: same?.id,
        registered: false,
      })
      const id = same?.id ?? entry.newId
      const version = (same?.version ?? 0) + 1
      const sealed = await entry.seal(id, version)
      const [row] = await tx.query<AppRow>(sql`
        insert into provider_apps (id, workspace_id, provider, client_id, data_key, client_secret, private_key, settings,
          version, scopes, configured_by, configured_at, secret_expires_at, testing)
        values (${id}, ${entry.workspaceId}, ${entry.provider}, ${entry.clientId}, ${sealed.dataKey},
          ${sealed.clientSecret}, ${sealed.privateKey ?? null}, ${settings}, ${version}, ${entry.scopes}, ${entry.configuredBy},
          ${entry.configuredAt}, ${entry.secretExpiresAt}, ${entry.testing})
        on conflict (id) do update set data_key = excluded.data_key, client_secret = excluded.client_secret,
          private_key = excluded.private_key, version = excluded.version, scopes = excluded.scopes,
          configured_by = excluded.configured_by, configured_at = excluded.configured_at, retired_at = null,
          secret_expires_at = excluded.secret_expires_at, testing = excluded.testing
        returning ${appColumns}`)
      return present(row)
    })
  }

  async retireApp(workspaceId: string, provider: string, at: Date): Promise<void> {
    await this.#database.transaction((tx) =>
      this.#retire(tx, workspaceId, provider, at, { except: undefined, registered: true }),
    )
  }

  async #retire(
    tx: Transaction,
    workspaceId: string,
    provider: string,
    at: Date,
    which: { except: string | undefined; registered: boolean },
  ): Promise<void> {
    await tx.query(sql`
      update provider_apps set retired_at = ${at}
      where workspace_id = ${workspaceId} and provider = ${provider} and retired_at is null
        ${which.registered ? empty : sql`and registered_with is null`}
        ${which.except === undefined ? empty : sql`and id <> ${which.except}`}`)
    await dropUnusedApps(tx, workspaceId, provider, which.except)
  }

  // Flows

  /** Stores a flow and forgets those that nobody can finish any more. */
  async beginFlow(row: FlowRow): Promise<void> {
    await this.#insertFlow(this.#database, row)
  }

  async #insertFlow(on: Queryable, row: FlowRow): Promise<void> {
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
    await this.#database.transaction((tx) => this.#endFlow(tx, id, { problem }))
  }

  async #endFlow(
    tx: Transaction,
    id: string,
    outcome: { readonly connectionId?: string; readonly problem?: ErrorCode },
  ): Promise<void> {
    await tx.query(sql`
      update connection_flows set connection_id = ${outcome.connectionId ?? null}, problem = ${outcome.problem ?? null}
      where id = ${id} and connection_id is null and problem is null`)
    await tx.query(sql`delete from device_polls where flow_id = ${id}`)
  }

  /** What became of a flow; undefined for anybody but whoever began it. */
  async flowOutcome(workspaceId: string, accountId: string, id: string): Promise<FlowOutcome | undefined> {
    const [row] = await this.#database.query<FlowOutcome>(sql`
      select connection_id as "connectionId", problem, expires_at as "expiresAt" from connection_flows
      where id = ${id} and workspace_id = ${workspaceId} and account_id = ${accountId}`)
    return row
  }

  // Device codes

  /** Stores a flow that the server itself asks after. */
  async beginDeviceFlow(row: FlowRow, intervalSeconds: number): Promise<void> {
    await this.#database.transaction(async (tx) => {
      await this.#insertFlow(tx, row)
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

  // Connections

  async list(
    workspaceId: string,
    ownerId: string,
    page: { before?: string | undefined; limit: number; provider?: string | undefined },
  ): Promise<ConnectionRow[]> {
    const rows = await this.#database.query<RawConnection>(sql`
      select ${connectionColumns} from connections c join credentials k on k.connection_id = c.id
      where c.workspace_id = ${workspaceId} and c.owner_id = ${ownerId}
        ${page.before === undefined ? empty : sql`and c.id < ${page.before}`}
        ${page.provider === undefined ? empty : sql`and c.provider = ${page.provider}`}
      order by c.id desc limit ${page.limit}`)
    return rows.map(withOthers)
  }

  /** @param further which of its other credentials; the first where absent */
  async live(workspaceId: string, id: string, further?: string): Promise<LiveConnection | undefined> {
    const condition = sql`c.id = ${id} and c.workspace_id = ${workspaceId}`
    return further === undefined
      ? await this.#live(this.#database, condition)
      : await this.#liveFurther(condition, further)
  }

  /** What of connections may change from one request to the next. Of any workspace: whoever asks compares it. */
  async standings(ids: readonly string[]): Promise<ReadonlyMap<string, ConnectionState>> {
    const rows = await this.#database.query<ConnectionState>(sql`
      select c.id, c.workspace_id as "workspaceId", c.owner_id as "ownerId", c.status, c.last_used_at as "lastUsedAt",
        k.generation, k.expires_at as "expiresAt"
      from connections c join credentials k on k.connection_id = c.id where c.id = any (${ids}::uuid[])`)
    return new Map(rows.map((row) => [row.id, row]))
  }

  async #live(on: Queryable, condition: Sql): Promise<LiveConnection | undefined> {
    const [row] = await on.query<RawLive>(sql`
      select ${connectionColumns}, ${sealedColumns}
      from connections c join credentials k on k.connection_id = c.id where ${condition}`)
    return row && liveOf(row)
  }

  async #liveFurther(condition: Sql, further: string): Promise<LiveConnection | undefined> {
    // Of two columns with one name the later one counts, so these replace the first credential's.
    const [row] = await this.#database.query<
      RawConnection & SealedTokens & { further: string; lost: string | null }
    >(sql`
      select ${connectionColumns}, ${furtherColumns}
      from connections c join credentials k on k.connection_id = c.id
        join further_credentials f on f.connection_id = c.id and f.slot = ${further}
      where ${condition}`)
    if (row === undefined) return undefined
    const { dataKey, accessToken, refreshToken, lost, ...connection } = row
    return {
      ...withOthers(connection),
      ...(lost !== null && { status: 'needs_reconnect', reason: lost }),
      further,
      // Providers that give several credentials with one consent bind none of them.
      sealedDpopKey: null,
      sealed: { dataKey, accessToken, refreshToken },
    }
  }

  /** Writes what consent gave: a new connection, or the next credential of the one that this person had already. */
  async connect(consented: ConsentedConnection): Promise<ConnectionRow> {
    return await this.#database.transaction(async (tx) => {
      const identity = JSON.stringify(consented.identity)
      const [connection] = await tx.query<{ id: string; askedBefore: string[] | null }>(sql`
        with earlier as (
          select asked_scopes from connections
          where workspace_id = ${consented.workspaceId} and owner_id = ${consented.ownerId}
            and provider = ${consented.provider} and sandbox = ${consented.sandbox}
            and identity_id = ${consented.identityId}
        )
        insert into connections as c (id, asked_scopes, workspace_id, owner_id, provider, flow, app_id, client_id, sandbox,
          status, reason, remedy, identity_id, identity, scopes, missing_scopes, connected_at)
        values (${consented.newId}, ${consented.askedScopes}, ${consented.workspaceId}, ${consented.ownerId},
          ${consented.provider}, ${consented.flow}, ${consented.appId}, ${consented.clientId}, ${consented.sandbox},
          ${consented.status}, ${consented.reason}, ${json(consented.remedy)}, ${consented.identityId}, ${identity},
          ${consented.scopes}, ${consented.missingScopes}, ${consented.at})
        on conflict (workspace_id, owner_id, provider, sandbox, identity_id) do update set
          asked_scopes = excluded.asked_scopes, flow = excluded.flow, app_id = excluded.app_id,
          client_id = excluded.client_id, status = excluded.status, reason = excluded.reason,
          remedy = excluded.remedy, identity = excluded.identity, scopes = excluded.scopes, missing_scopes = excluded.missing_scopes,
          connected_at = excluded.connected_at
        returning c.id, (select asked_scopes from earlier) as "askedBefore"`)
      const { id, askedBefore } = present(connection)
      tx.afterCommit(() => this.#tell(id))
      // The row of the connection is locked by the statement above, so nobody else raises the generation now but a
      // refresh, whose compare-and-swap then fails.
      const [before] = await tx.query<{ generation: number }>(
        sql`select generation from credentials where connection_id = ${id} for update`,
      )
      const generation = (before?.generation ?? 0) + 1
      const sealed = await consented.seal(id, generation)
      await tx.query(sql`
        insert into credentials (connection_id, workspace_id, data_key, access_token, refresh_token, generation, issued_at,
          expires_at, refresh_expires_at, keep_alive_at, slot, particulars, dpop_key)
        values (${id}, ${consented.workspaceId}, ${sealed.dataKey}, ${sealed.accessToken}, ${sealed.refreshToken},
          ${generation}, ${consented.at}, ${consented.expiresAt}, ${consented.refreshExpiresAt}, ${consented.keepAliveAt},
          ${consented.slot}, ${JSON.stringify(consented.particulars)}, ${sealed.dpopKey ?? null})
        on conflict (connection_id) do update set data_key = excluded.data_key, access_token = excluded.access_token,
          refresh_token = excluded.refresh_token, generation = excluded.generation, issued_at = excluded.issued_at,
          expires_at = excluded.expires_at, refresh_expires_at = excluded.refresh_expires_at,
          keep_alive_at = excluded.keep_alive_at, slot = excluded.slot, particulars = excluded.particulars,
          dpop_key = excluded.dpop_key, lease_holder = null, lease_until = null, unanswered = false`)
      await this.#connectOthers(tx, id, consented, sealed.dataKey)
      await writeConnectionEvent(tx, {
        ...consented.happened(askedBefore === null ? undefined : { askedScopes: askedBefore }),
        connectionId: id,
        workspaceId: consented.workspaceId,
        generation,
        at: consented.at,
      })
      if (consented.flowId !== undefined) await this.#endFlow(tx, consented.flowId, { connectionId: id })
      await dropUnusedApps(tx, consented.workspaceId, consented.provider)
      return present(await this.#live(tx, sql`c.id = ${id}`))
    })
  }

  /** The data key is a new one, so what it does not seal could not be opened any more and goes. */
  async #connectOthers(
    tx: Transaction,
    id: string,
    { at, others }: ConsentedConnection,
    dataKey: Buffer,
  ): Promise<void> {
    const before = await tx.query<{ slot: string; generation: number }>(
      sql`delete from further_credentials where connection_id = ${id} returning slot, generation`,
    )
    for (const other of others) {
      // Never a generation again: a refresh of the older one may still be under way.
      const generation = (before.find(({ slot }) => slot === other.slot)?.generation ?? 0) + 1
      const sealed = await other.seal(id, generation, dataKey)
      await tx.query(sql`
        insert into further_credentials (connection_id, slot, access_token, refresh_token, generation, issued_at,
          expires_at, refresh_expires_at, keep_alive_at)
        values (${id}, ${other.slot}, ${sealed.accessToken}, ${sealed.refreshToken}, ${generation}, ${at},
          ${other.expiresAt}, ${other.refreshExpiresAt}, ${other.keepAliveAt})`)
    }
  }

  /** Notes a use at most once a minute: the proxy must not cost a write per call. */
  async used(id: string, at: Date): Promise<void> {
    const [row] = await this.#database.query<{ workspaceId: string; generation: number; first: boolean }>(sql`
      with before as (
        select id, last_used_at is null or last_used_at < connected_at as first from connections
        where id = ${id} and (last_used_at is null or last_used_at < ${new Date(at.getTime() - 60_000)})
        for update
      )
      update connections c set last_used_at = ${at} from before, credentials k
      where c.id = before.id and k.connection_id = before.id
      returning c.workspace_id as "workspaceId", k.generation, before.first`)
    if (row?.first !== true) return
    const { workspaceId, generation } = row
    await writeConnectionEvent(this.#database, {
      id: newId(),
      connectionId: id,
      workspaceId,
      at,
      kind: 'called_first',
      detail: 'Used for the first time since consent.',
      generation,
      durationMs: null,
    })
  }

  /** Takes the connection and everything secret of it away; undefined where it was gone already. */
  async remove(connection: ConnectionRow): Promise<boolean> {
    const removal = this.#database.transaction(async (tx) => {
      const removed = await tx.query<{ id: string }>(
        sql`delete from connections where id = ${connection.id} returning id`,
      )
      await dropUnusedApps(tx, connection.workspaceId, connection.provider)
      return removed.length > 0
    })
    return await this.#changing(connection.id, removal)
  }

  /**
   * How many other connections live from the same grant at the provider.
   * @param slot the credential that is looked at; others have grants of their own
   * @param sharedGrant the particular that decides it, where not the person does
   */
  async sharers(
    connection: Pick<
      ConnectionRow,
      'id' | 'provider' | 'clientId' | 'sandbox' | 'identityId' | 'particulars'
    >,
    slot: string,
    sharedGrant?: string,
  ): Promise<number> {
    const common = sharedGrant === undefined ? undefined : connection.particulars[sharedGrant]
    const same =
      sharedGrant === undefined || common === undefined
        ? sql`c.identity_id = ${connection.identityId}`
        : sql`k.particulars ->> ${sharedGrant}::text = ${common}`
    const [row] = await this.#database.query<{ n: number }>(sql`
      select count(*)::int as n from connections c join credentials k on k.connection_id = c.id
      where c.provider = ${connection.provider} and c.client_id = ${connection.clientId}
        and c.sandbox = ${connection.sandbox} and ${same} and c.id <> ${connection.id}
        and (k.slot = ${slot} or exists (
          select from further_credentials f where f.connection_id = c.id and f.slot = ${slot}))`)
    return row?.n ?? 0
  }

  // Refresh

  /**
   * Takes the right to refresh this generation; one holder in the whole cluster. It counts as sent from here on, so that a
   * crash after sending is known as one: `unanswered` says that an earlier holder sent the refresh token and no answer to it
   * was stored. Undefined where another holds it or the generation has moved on.
   */
  async claim(claim: Claim): Promise<{ unanswered: boolean } | undefined> {
    const { table, itself } = placeOf(claim)
    const [row] = await this.#database.query<{ unanswered: boolean }>(sql`
      update ${table} k
      set lease_holder = ${claim.holder}, lease_until = now() + make_interval(secs => ${claim.leaseSeconds}),
        unanswered = true
      from (
        select connection_id, unanswered from ${table} k
        where ${itself} and generation = ${claim.generation} and (lease_until is null or lease_until < now())
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
        update connections set status = ${standing.status}, reason = ${standing.reason}, remedy = ${json(standing.remedy)}
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
          reason = ${loss.reason}, remedy = ${json(loss.remedy)}
        where id = ${claim.connectionId} ${further === undefined ? empty : sql`and status <> 'needs_reconnect'`}`)
      return true
    })
    return await this.#changing(claim.connectionId, lost)
  }

  /** It works for as long as its token does, but cannot be renewed until the operator has mended the app. */
  async appRefused(connectionId: string, loss: { reason: string; remedy: Remedy }): Promise<boolean> {
    const refused = this.#database.query(sql`
      update connections set status = 'degraded', reason = ${loss.reason}, remedy = ${json(loss.remedy)}
      where id = ${connectionId}
        and (status = 'active' or (status = 'degraded' and remedy ->> 'action' = 'allow_more'))
      returning id`)
    const rows = await this.#changing(connectionId, refused)
    return rows.length > 0
  }

  /**
   * Credentials that would die of not being used, soonest first. Taking them puts their turn off, so that no other process
   * takes them as well, and none is tried without a pause.
   */
  async takeUnused(
    at: Date,
    again: Date,
    limit: number,
  ): Promise<(CredentialKey & { workspaceId: string })[]> {
    const firsts = await this.#database.query<CredentialKey & { workspaceId: string }>(sql`
      with due as (
        select k.connection_id from credentials k join connections c on c.id = k.connection_id
        where k.keep_alive_at <= ${at} and c.status <> 'needs_reconnect'
        order by k.keep_alive_at limit ${limit} for update of k skip locked
      )
      update credentials k set keep_alive_at = ${again} from due where k.connection_id = due.connection_id
      returning k.connection_id as "connectionId", k.workspace_id as "workspaceId"`)
    const others = await this.#database.query<CredentialKey & { workspaceId: string }>(sql`
      with due as (
        select f.connection_id, f.slot, c.workspace_id
        from further_credentials f join connections c on c.id = f.connection_id
        where f.keep_alive_at <= ${at} and f.lost is null and c.status <> 'needs_reconnect'
        order by f.keep_alive_at limit ${limit} for update of f skip locked
      )
      update further_credentials f set keep_alive_at = ${again} from due
      where f.connection_id = due.connection_id and f.slot = due.slot
      returning f.connection_id as "connectionId", f.slot as further, due.workspace_id as "workspaceId"`)
    return [...firsts, ...others]
  }

  // History and forecast

  async writeEvent(entry: ConnectionEventEntry): Promise<void> {
    await writeConnectionEvent(this.#database, entry)
  }

  async events(
    connectionId: string,
    page: { before?: string | undefined; limit: number },
  ): Promise<ConnectionEventRow[]> {
    return await readConnectionEvents(this.#database, connectionId, page)
  }

  /** A person's connections that still work. */
  async ending(workspaceId: string, ownerId: string): Promise<EndingConnection[]> {
    return await this.#database.query<EndingConnection>(sql`
      select c.id, c.provider, c.identity ->> 'name' as name, c.connected_at as "connectedAt", k.issued_at as "issuedAt",
        k.expires_at as "expiresAt", k.refresh_expires_at as "refreshExpiresAt", k.refresh_token is not null as renewable, coalesce(a.testing, false) as testing
      from connections c
        join credentials k on k.connection_id = c.id
        left join provider_apps a on a.id = c.app_id
      where c.workspace_id = ${workspaceId} and c.owner_id = ${ownerId} and c.status <> 'needs_reconnect'
      order by c.id`)
  }
}

function placeOf({ connectionId, further }: CredentialKey): { table: Sql; itself: Sql } {
  return further === undefined
    ? { table: sql`credentials`, itself: sql`k.connection_id = ${connectionId}` }
    : {
        table: sql`further_credentials`,
        itself: sql`k.connection_id = ${connectionId} and k.slot = ${further}`,
      }
}

function liveOf({ dataKey, accessToken, refreshToken, ...connection }: RawLive): LiveConnection {
  return { ...withOthers(connection), sealed: { dataKey, accessToken, refreshToken } }
}

function withOthers<Row extends { readonly others: readonly RawFurther[] | null }>(row: Row) {
  const others = (row.others ?? []).map(
    ([slot, expires, refreshExpires]): FurtherCredential => ({
      slot,
      expiresAt: expires === null ? null : new Date(expires * 1000),
      refreshExpiresAt: refreshExpires === null ? null : new Date(refreshExpires * 1000),
    }),
  )
  return { ...row, others }
}

function json(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
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
