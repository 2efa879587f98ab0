import sql from 'sql-template-tag'
import type { Database } from '#foundation/database/pool.ts'

/** What a process that had run alone would have left of its history: so many steps, the last of them before `until`. */
export async function ranAlone(
  database: Database,
  { step, places, until }: { step: number; places: number; until: Date },
): Promise<void> {
  const last = Math.floor(until.getTime() / 1_000 / step) * step
  await database.query(sql`
    insert into metric_history (step, metric, at, node, count, sum, peak)
    select ${step}, 'process.cpu', to_timestamp(${last}::float8 - n * ${step}::int), 'alone', 1, 0, 0
    from generate_series(1, ${places}::int) n
    on conflict do nothing`)
}
