import sql, { empty, join, type Sql } from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'
import type { FailureGroup } from '#foundation/failure-groups.ts'

export interface ErrorRow {
  readonly id: string
  readonly code: string
  readonly door: string
  readonly place: string
  readonly title: string
  readonly stack: string | null
  readonly count: string
  readonly lastHour: string
  readonly firstSeenAt: Date
  readonly lastSeenAt: Date
  readonly resolvedAt: Date | null
  readonly exampleRequestId: string | null
  readonly exampleTraceId: string | null
}

/** What a kind of failure was before these were added to it. */
export interface Added {
  readonly id: string
  /** Never seen, or not since somebody said that it is mended. */
  readonly isNew: boolean
}

export interface ErrorFilter {
  readonly since: Date
  readonly door?: string | undefined
  readonly codes?: readonly string[] | undefined
  readonly state?: 'open' | 'resolved' | undefined
  readonly text?: string | undefined
}

const columns = sql`g.id, g.code, g.door, g.place, g.title, g.count, g.first_seen_at as "firstSeenAt",
  g.last_seen_at as "lastSeenAt", g.resolved_at as "resolvedAt", g.example_request_id as "exampleRequestId",
  g.example_trace_id as "exampleTraceId",
  (select coalesce(sum(c.count), 0) from error_counts c
    where c.group_id = g.id and c.at > now() - interval '1 hour') as "lastHour"`

/** Adds what one process gathered; nodes that do so at once add up. */
export async function addErrors(tx: Queryable, groups: readonly FailureGroup[]): Promise<Added[]> {
  if (groups.length === 0) return []
  // One order for everybody, so that two nodes never wait for each other.
  const sorted = [...groups].sort((one, other) => (one.id < other.id ? -1 : 1))
  const rows = join(
    sorted.map(
      ({ id, code, door, place, title, stack, count, lastAt, requestId, traceId }) =>
        sql`(${id}, ${code}, ${door}, ${place}, ${title}, ${stack ?? null}::text, ${count}::bigint,
             ${lastAt}::timestamptz, ${requestId ?? null}::text, ${traceId ?? null}::text)`,
    ),
  )
  return await tx.query<Added>(sql`
    with seen (id, code, door, place, title, stack, count, at, request_id, trace_id) as (values ${rows}),
    before as (select g.id, g.resolved_at from error_groups g join seen using (id)),
    kept as (
      insert into error_groups as g (id, code, door, place, title, stack, count, first_seen_at, last_seen_at,
                                     example_request_id, example_trace_id)
      select id, code, door, place, title, stack, count, at, at, request_id, trace_id from seen
      on conflict (id) do update set
        count = g.count + excluded.count,
        last_seen_at = greatest(g.last_seen_at, excluded.last_seen_at),
        title = excluded.title,
        stack = coalesce(excluded.stack, g.stack),
        example_request_id = coalesce(excluded.example_request_id, g.example_request_id),
        example_trace_id = coalesce(excluded.example_trace_id, g.example_trace_id),
        resolved_at = null
      returning g.id
    ),
    counted as (
      insert into error_counts as c (group_id, at, count)
      select seen.id, date_trunc('minute', seen.at), seen.count from seen join kept using (id)
      on conflict (group_id, at) do update set count = c.count + excluded.count
    )
    select kept.id, (before.id is null or before.resolved_at is not null) as "isNew"
    from kept left join before using (id)`)
}

/** The latest first. `after` is the last one of the page before. */
export async function listErrors(
  database: Queryable,
  filter: ErrorFilter,
  page: { readonly limit: number; readonly after?: { readonly at: Date; readonly id: string } | undefined },
): Promise<ErrorRow[]> {
  const wanted: Sql[] = [sql`g.last_seen_at >= ${filter.since}`]
  if (filter.door !== undefined) wanted.push(sql`g.door = ${filter.door}`)
  if (filter.codes !== undefined) wanted.push(sql`g.code = any(${filter.codes}::text[])`)
  if (filter.state !== undefined) {
    wanted.push(filter.state === 'open' ? sql`g.resolved_at is null` : sql`g.resolved_at is not null`)
  }
  if (filter.text !== undefined) {
    wanted.push(sql`position(lower(${filter.text}) in lower(g.code || ' ' || g.place || ' ' || g.title)) > 0`)
  }
  const { after } = page
  if (after !== undefined) wanted.push(sql`(g.last_seen_at, g.id) < (${after.at}, ${after.id})`)
  return await database.query<ErrorRow>(sql`
    select ${columns}, null as stack from error_groups g
    where ${join(wanted, ' and ')}
    order by g.last_seen_at desc, g.id desc limit ${page.limit}`)
}

export async function findError(database: Queryable, id: string): Promise<ErrorRow | undefined> {
  const [row] = await database.query<ErrorRow>(
    sql`select ${columns}, g.stack from error_groups g where g.id = ${id}`,
  )
  return row
}

/** By code and step; steps without any are absent. `groupId` undefined: of all kinds. */
export async function countErrors(
  database: Queryable,
  range: { readonly since: Date; readonly stepMs: number; readonly groupId?: string },
): Promise<{ readonly code: string; readonly at: string; readonly count: string }[]> {
  const step = range.stepMs / 1_000
  return await database.query(sql`
    select g.code, (floor(extract(epoch from c.at) / ${step}::int) * ${step}::int * 1000)::bigint as at, sum(c.count) as count
    from error_counts c join error_groups g on g.id = c.group_id
    where c.at >= ${range.since} ${range.groupId === undefined ? empty : sql`and g.id = ${range.groupId}`}
    group by 1, 2 order by 2`)
}

/** How much of each open kind came in the last five minutes, and how much in five minutes of the hour before, on average. */
export async function compareErrors(
  database: Queryable,
  now: Date,
): Promise<
  {
    readonly id: string
    readonly code: string
    readonly title: string
    readonly latest: number
    readonly usual: number
  }[]
> {
  return await database.query(sql`
    select g.id, g.code, g.title,
      coalesce(sum(c.count) filter (where c.at > ${now}::timestamptz - interval '5 minutes'), 0)::float8 as latest,
      coalesce(sum(c.count) filter (where c.at <= ${now}::timestamptz - interval '5 minutes'), 0)::float8 / 12 as usual
    from error_counts c join error_groups g on g.id = c.group_id
    where c.at > ${now}::timestamptz - interval '65 minutes' and c.at <= ${now}::timestamptz
    group by 1, 2, 3`)
}

export async function resolveError(database: Queryable, id: string, at: Date): Promise<boolean> {
  const rows = await database.query(
    sql`update error_groups set resolved_at = ${at} where id = ${id} returning id`,
  )
  return rows.length > 0
}

/** @returns the ids of those kinds that are kept no more */
export async function forgetErrors(
  database: Queryable,
  before: { readonly counts: Date; readonly groups: Date },
): Promise<string[]> {
  await database.query(sql`delete from error_counts where at < ${before.counts}`)
  const gone = await database.query<{ id: string }>(
    sql`delete from error_groups where last_seen_at < ${before.groups} returning id`,
  )
  return gone.map(({ id }) => id)
}
