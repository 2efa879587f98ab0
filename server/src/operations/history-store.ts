import sql, { type Sql } from 'sql-template-tag'
import type { Database, Queryable, Transaction } from '#foundation/database/pool.ts'
import { MergedCounts, type SparseCounts } from '#foundation/telemetry/fine-histogram.ts'

/** What one metric was in one step; of several nodes and parts, of all together. */
export interface HistoryRow {
  readonly metric: string
  readonly label: string
  readonly count: number
  readonly sum: number
  readonly peak: number
  readonly counts: SparseCounts
}

export interface MergedRow extends HistoryRow {
  readonly at: Date
}

export interface Span {
  readonly step: number
  readonly from: Date
  readonly to: Date
}

/** All rows of one interval of one node, in one statement. Written twice, they are there once. */
export async function write(
  db: Queryable,
  { step, at, node }: { step: number; at: Date; node: string },
  rows: readonly HistoryRow[],
): Promise<void> {
  await db.query(sql`
    insert into metric_history (step, metric, at, label, node, count, sum, peak, counts)
    select ${step}, metric, ${at}, label, ${node}, count, sum, peak, counts
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as r(metric text, label text, count bigint, sum float8, peak float8, counts integer[])
    on conflict (step, metric, at, label, node) do update
      set count = excluded.count, sum = excluded.sum, peak = excluded.peak, counts = excluded.counts`)
}

/**
 * Rows of these spans, added up into places of `places` seconds; by label, or all labels together. Histograms are added place by
 * place, so their percentiles are those of everything that was measured.
 */
export async function merged(
  db: Queryable,
  query: {
    readonly metrics?: readonly string[]
    readonly label?: string | undefined
    readonly spans: readonly Span[]
    readonly places: number
    readonly byLabel: boolean
  },
): Promise<MergedRow[]> {
  const label: Sql = query.byLabel ? sql`label` : sql`''`
  const spans = query.spans.filter(({ from, to }) => from < to)
  if (spans.length === 0) return []
  const rows = await db.query<{
    at: Date
    metric: string
    label: string
    count: number
    sum: number
    peak: number
    places: number[] | null
    amounts: number[] | null
  }>(sql`
    with spans as (
      select * from jsonb_to_recordset(${JSON.stringify(spans)}::jsonb) as s(step int, "from" timestamptz, "to" timestamptz)
    ), picked as (
      select metric, ${label} as label, count, sum, peak, counts,
        to_timestamp(floor(extract(epoch from at) / ${query.places}::int) * ${query.places}::int) as place_at
      from spans s join metric_history h on h.step = s.step and h.at >= s."from" and h.at < s."to"
      where (${query.metrics ?? null}::text[] is null or metric = any(${query.metrics ?? null}::text[]))
        and (${query.label ?? null}::text is null or h.label = ${query.label ?? null})
    ), histograms as (
      select place_at, metric, label, array_agg(place order by place) as places, array_agg(amount order by place) as amounts
      from (
        select place_at, metric, label, counts[i] as place, sum(counts[i + 1]) as amount
        from picked, generate_series(1, cardinality(counts), 2) as i
        group by 1, 2, 3, 4
      ) as flat
      group by 1, 2, 3
    ), sums as (
      select place_at, metric, label, sum(count)::bigint as count, sum(sum) as sum, max(peak) as peak
      from picked group by 1, 2, 3
    )
    select place_at as at, metric, label, count, sum, peak, places::int[] as places, amounts::float8[] as amounts
    from sums left join histograms using (place_at, metric, label)
    order by 1, 2, 3`)
  return rows.map(({ places, amounts, ...row }) => ({
    ...row,
    counts: (places ?? []).flatMap((place, at) => [place, amounts?.[at] ?? 0]),
  }))
}

/**
 * Where rows of this step end that began before `until`: everything before has been merged into them. Undefined: there is none.
 * Rows of a clock that was ahead for a while lie beyond, and say nothing of what lies between.
 */
export async function writtenUpTo(db: Queryable, step: number, until: Date): Promise<Date | undefined> {
  const [row] = await db.query<{ at: Date | null }>(
    sql`select max(at) + ${step} * interval '1 second' as at from metric_history where step = ${step} and at < ${until}`,
  )
  return row?.at ?? undefined
}

/** The first row of this step from then on. */
export async function firstFrom(db: Queryable, step: number, from: Date): Promise<Date | undefined> {
  const [row] = await db.query<{ at: Date | null }>(
    sql`select min(at) as at from metric_history where step = ${step} and at >= ${from}`,
  )
  return row?.at ?? undefined
}

/**
 * The oldest of the latest `places` times of this step: since then somebody has run for `places` steps, whatever any clock says.
 * Undefined: for less. One look into the index for each place; a year of hours takes 40 ms.
 */
export async function placeBack(db: Queryable, step: number, places: number): Promise<Date | undefined> {
  const [row] = await db.query<{ at: Date }>(sql`
    with recursive latest as (
      (select at, 1 as place from metric_history where step = ${step} order by at desc limit 1)
      union all
      select (
        select h.at from metric_history h where h.step = ${step} and h.at < l.at order by h.at desc limit 1
      ), l.place + 1
      from latest l where l.at is not null and l.place < ${places}
    )
    select at from latest where place = ${places} and at is not null`)
  return row?.at
}

/** Deletes what lies before, but of the latest `places` times nothing: a clock that is set forward makes no row old. */
export async function prune(
  db: Queryable,
  step: number,
  { before, places }: { before: Date; places: number },
): Promise<void> {
  const [old] = await db.query(
    sql`select from metric_history where step = ${step} and at < ${before} limit 1`,
  )
  const oldest = old && (await placeBack(db, step, places))
  if (oldest === undefined) return
  const upTo = new Date(Math.min(before.getTime(), oldest.getTime()))
  await db.query(sql`delete from metric_history where step = ${step} and at < ${upTo}`)
}

/** Runs `work` where no other process does the same at this moment; false where one does. */
export async function alone(
  database: Database,
  name: string,
  work: (tx: Transaction) => Promise<void>,
): Promise<boolean> {
  return await database.transaction(async (tx) => {
    const [lock] = await tx.query<{ held: boolean }>(
      sql`select pg_try_advisory_xact_lock(hashtext(${name})) as held`,
    )
    if (lock?.held !== true) return false
    await work(tx)
    return true
  })
}

export function percentiles(counts: SparseCounts): {
  p50: number | null
  p95: number | null
  p99: number | null
} {
  const all = new MergedCounts().add(counts)
  const at = (percent: number) => {
    const value = all.percentile(percent)
    return value === undefined ? null : Math.round(value * 1_000) / 1_000
  }
  return { p50: at(50), p95: at(95), p99: at(99) }
}
