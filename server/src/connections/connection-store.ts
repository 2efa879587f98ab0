import type { ConnectionStatus, FlowName, Remedy } from '@atom/contract/connections.ts'
import sql, { empty, type Sql } from 'sql-template-tag'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import type { Particulars } from '#providers/provider.ts'
import { dropUnusedApps } from './app-store.ts'
import {
  type ConnectionEventEntry,
  type ConnectionEventRow,
  readConnectionEvents,
  writeConnectionEvent,
} from './connection-event-store.ts'
import type { SealedTokens } from './credential-vault.ts'
import { endFlow } from './flows/flow-store.ts'

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

/** How a connection stands, and why. */
export interface Standing {
  readonly status: ConnectionRow['status']
  readonly reason: string | null
  readonly remedy: Remedy | null
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
}

/** Where consent will be written, as far as it can be told before: what is sealed belongs there and nowhere else. */
export interface ConsentPlace {
  readonly connectionId: string
  readonly generation: number
  /** Of the further credentials, by slot. */
  readonly further: ReadonlyMap<string, number>
}

/** What consent gave, sealed under the new data key of the connection. */
export interface SealedConsent extends SealedTokens {
  /** What the tokens are bound to. */
  readonly dpopKey?: Buffer
  /** By slot. */
  readonly further: ReadonlyMap<string, Pick<SealedTokens, 'accessToken' | 'refreshToken'>>
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
  /** Called before anything is locked: the master key may be far away. Again, where somebody was faster. */
  seal(place: ConsentPlace): Promise<SealedConsent>
}

/** Somebody else has written there since it was looked at. */
class Overtaken extends Error {}

const mostOvertakings = 5

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

/** All SQL about connections and what consent gave them. */
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

  /** For whoever else writes to connections. */
  changed(connectionId: string): void {
    for (const heard of this.#listeners) heard(connectionId)
  }

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
    for (let times = 1; ; times++) {
      const place = await this.#placeOf(consented)
      const sealed = await consented.seal(place)
      try {
        return await this.#write(consented, place, sealed)
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error
        if (times === mostOvertakings) throw new AtomError('busy', undefined, { cause: error })
      }
    }
  }

  /** Which row it will be, and which generation comes next there. */
  async #placeOf(consented: ConsentedConnection): Promise<ConsentPlace> {
    const [row] = await this.#database.query<{
      id: string
      generation: number
      further: Record<string, number> | null
    }>(sql`
      select c.id, k.generation,
        (select json_object_agg(f.slot, f.generation) from further_credentials f where f.connection_id = c.id) as further
      from connections c join credentials k on k.connection_id = c.id
      where c.workspace_id = ${consented.workspaceId} and c.owner_id = ${consented.ownerId}
        and c.provider = ${consented.provider} and c.sandbox = ${consented.sandbox}
        and c.identity_id = ${consented.identityId}`)
    return {
      connectionId: row?.id ?? consented.newId,
      generation: (row?.generation ?? 0) + 1,
      // Never a generation again: a refresh of the older one may still be under way.
      further: new Map(consented.others.map(({ slot }) => [slot, (row?.further?.[slot] ?? 0) + 1])),
    }
  }

  async #write(
    consented: ConsentedConnection,
    place: ConsentPlace,
    sealed: SealedConsent,
  ): Promise<ConnectionRow> {
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
          ${consented.status}, ${consented.reason}, ${jsonOf(consented.remedy)}, ${consented.identityId}, ${identity},
          ${consented.scopes}, ${consented.missingScopes}, ${consented.at})
        on conflict (workspace_id, owner_id, provider, sandbox, identity_id) do update set
          asked_scopes = excluded.asked_scopes, flow = excluded.flow, app_id = excluded.app_id,
          client_id = excluded.client_id, status = excluded.status, reason = excluded.reason,
          remedy = excluded.remedy, identity = excluded.identity, scopes = excluded.scopes, missing_scopes = excluded.missing_scopes,
          connected_at = excluded.connected_at
        returning c.id, (select asked_scopes from earlier) as "askedBefore"`)
      const { id, askedBefore } = present(connection)
      tx.afterCommit(() => this.changed(id))
      // The row of the connection is locked by the statement above, so nobody else raises the generation now but a
      // refresh, whose compare-and-swap then fails.
      const [before] = await tx.query<{ generation: number }>(
        sql`select generation from credentials where connection_id = ${id} for update`,
      )
      const { generation } = place
      if (id !== place.connectionId || generation !== (before?.generation ?? 0) + 1) throw new Overtaken()
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
      await this.#connectOthers(tx, consented, place, sealed)
      await writeConnectionEvent(tx, {
        ...consented.happened(askedBefore === null ? undefined : { askedScopes: askedBefore }),
        connectionId: id,
        workspaceId: consented.workspaceId,
        generation,
        at: consented.at,
      })
      if (consented.flowId !== undefined) await endFlow(tx, consented.flowId, { connectionId: id })
      await dropUnusedApps(tx, consented.workspaceId, consented.provider)
      return present(await this.#live(tx, sql`c.id = ${id}`))
    })
  }

  /** The data key is a new one, so what it does not seal could not be opened any more and goes. */
  async #connectOthers(
    tx: Transaction,
    { at, others }: ConsentedConnection,
    { connectionId, further }: ConsentPlace,
    sealed: SealedConsent,
  ): Promise<void> {
    const before = await tx.query<{ slot: string; generation: number }>(
      sql`delete from further_credentials where connection_id = ${connectionId} returning slot, generation`,
    )
    for (const other of others) {
      const generation = present(further.get(other.slot))
      const earlier = before.find(({ slot }) => slot === other.slot)
      if (generation !== (earlier?.generation ?? 0) + 1) throw new Overtaken()
      const { accessToken, refreshToken } = present(sealed.further.get(other.slot))
      await tx.query(sql`
        insert into further_credentials (connection_id, slot, access_token, refresh_token, generation, issued_at,
          expires_at, refresh_expires_at, keep_alive_at)
        values (${connectionId}, ${other.slot}, ${accessToken}, ${refreshToken}, ${generation}, ${at},
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
      slot: null,
    })
  }

  /** Takes the connection and everything secret of it away; undefined where it was gone already. */
  async remove(connection: ConnectionRow): Promise<boolean> {
    try {
      return await this.#database.transaction(async (tx) => {
        const removed = await tx.query<{ id: string }>(
          sql`delete from connections where id = ${connection.id} returning id`,
        )
        await dropUnusedApps(tx, connection.workspaceId, connection.provider)
        return removed.length > 0
      })
    } finally {
      this.changed(connection.id)
    }
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

/** For a column of type jsonb, where null is the absence of a value. */
export function jsonOf(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

function present<T>(row: T | undefined): T {
  if (row === undefined) throw new Error('a statement that always answers a row answered none')
  return row
}
