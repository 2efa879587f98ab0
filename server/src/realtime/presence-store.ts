import type { Presence } from '@atom/contract/socket.ts'
import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

/** A person at their devices; the agents' `working` is not kept here. */
export type DeviceState = Exclude<Presence['state'], 'working'>

/** Says that a node lives. True: the database did not know it, so it knows none of its people either. */
export async function beat(db: Queryable, nodeId: string): Promise<boolean> {
  const [row] = await db.query<{ fresh: boolean }>(sql`
    insert into nodes (id, beat_at) values (${nodeId}, now())
    on conflict (id) do update set beat_at = now()
    returning xmax = 0 as fresh`)
  return row?.fresh === true
}

/** The node ends soon: its people count for another moment, in which they arrive elsewhere. */
export async function endBeat(
  db: Queryable,
  nodeId: string,
  lease: { leaseMs: number; leftMs: number },
): Promise<void> {
  await db.query(sql`
    update nodes set beat_at = now() - make_interval(secs => ${(lease.leaseMs - lease.leftMs) / 1_000}::float8)
    where id = ${nodeId}`)
}

/** Forgets nodes whose lease is over. The others, with how long theirs still holds, in ms. */
export async function living(
  db: Queryable,
  leaseMs: number,
): Promise<{ readonly id: string; readonly leftMs: number }[]> {
  return await db.query(sql`
    with dead as (delete from nodes where beat_at <= now() - make_interval(secs => ${leaseMs / 1_000}::float8))
    select id, (${leaseMs}::float8 - extract(epoch from now() - beat_at) * 1000)::int as "leftMs" from nodes
    where beat_at > now() - make_interval(secs => ${leaseMs / 1_000}::float8)`)
}

/** Where people of this node stand now; `undefined`: not here any more. */
export async function write(
  db: Queryable,
  nodeId: string,
  people: readonly { readonly id: string; readonly state: DeviceState | undefined }[],
): Promise<void> {
  const gone = people.filter(({ state }) => state === undefined).map(({ id }) => id)
  const here = people.filter(({ state }) => state !== undefined)
  await db.query(sql`
    with gone as (
      delete from node_people where node_id = ${nodeId} and account_id = any (${gone}::uuid[])
    )
    insert into node_people (node_id, account_id, state)
    select ${nodeId}, x.id, x.state
    from unnest(${here.map(({ id }) => id)}::uuid[], ${here.map(({ state }) => state)}::text[]) as x (id, state)
    on conflict (node_id, account_id) do update set state = excluded.state`)
}

/** Where these people are besides this node. */
export async function elsewhere(
  db: Queryable,
  nodeId: string,
  leaseMs: number,
  accountIds: readonly string[],
): Promise<{ readonly id: string; readonly nodeId: string; readonly state: DeviceState }[]> {
  return await db.query(sql`
    select p.account_id as id, p.node_id as "nodeId", p.state from node_people p
    join nodes n on n.id = p.node_id and n.beat_at > now() - make_interval(secs => ${leaseMs / 1_000}::float8)
    where p.account_id = any (${accountIds}::uuid[]) and p.node_id <> ${nodeId}`)
}
