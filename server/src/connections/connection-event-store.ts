import type { ConnectionEventKind } from '@atom/contract/connections.ts'
import sql, { empty } from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

export interface ConnectionEventEntry {
  readonly id: string
  readonly connectionId: string
  readonly workspaceId: string
  readonly at: Date
  readonly kind: ConnectionEventKind
  readonly detail: string
  readonly generation: number | null
  readonly durationMs: number | null
  /** null: the whole connection, or all that it has. */
  readonly slot: string | null
}

export interface ConnectionEventRow extends Omit<ConnectionEventEntry, 'connectionId' | 'workspaceId'> {
  readonly times: number
  readonly lastAt: Date
}

/** Of what happens by itself, and of what people do, so many rows each: an hourly refresh must not push consent out of sight. */
const keptOfASort = 200

/**
 * Writes an event, or counts it where it is the last one's failure again, and forgets the oldest beyond the limit. Nothing
 * where the connection is gone.
 */
export async function writeConnectionEvent(on: Queryable, entry: ConnectionEventEntry): Promise<void> {
  await on.query(sql`
    with latest as (
      select id, kind, detail, slot from connection_events where connection_id = ${entry.connectionId} order by id desc limit 1
    ), counted as (
      update connection_events e set times = e.times + 1, last_at = ${entry.at}, duration_ms = ${entry.durationMs}
      from latest
      where e.id = latest.id and latest.kind = 'refresh_failed' and ${entry.kind} = 'refresh_failed'
        and latest.detail = ${entry.detail} and latest.slot is not distinct from ${entry.slot}::text
      returning e.id
    ), written as (
      insert into connection_events (id, connection_id, workspace_id, at, kind, detail, generation, duration_ms, last_at, slot)
      select ${entry.id}, c.id, ${entry.workspaceId}, ${entry.at}, ${entry.kind}, ${entry.detail}, ${entry.generation},
        ${entry.durationMs}, ${entry.at}, ${entry.slot}
      from connections c where c.id = ${entry.connectionId} and not exists (select from counted)
    )
    delete from connection_events where id in (
      select id from (
        select id, row_number() over (
          partition by kind in ('refreshed', 'refresh_failed', 'kept_alive') order by id desc
        ) as age
        from connection_events where connection_id = ${entry.connectionId}
      ) aged where age > ${keptOfASort - 1}
    )`)
}

/** Newest first. */
export async function readConnectionEvents(
  from: Queryable,
  connectionId: string,
  page: { before?: string | undefined; limit: number },
): Promise<ConnectionEventRow[]> {
  return await from.query<ConnectionEventRow>(sql`
    select id, at, kind, detail, generation, duration_ms as "durationMs", times, last_at as "lastAt", slot
    from connection_events
    where connection_id = ${connectionId} ${page.before === undefined ? empty : sql`and id < ${page.before}`}
    order by id desc limit ${page.limit}`)
}
