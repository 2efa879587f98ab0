import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

export interface LogLevelRow {
  readonly module: string
  readonly level: string
  readonly until: Date
}

export async function logLevels(database: Queryable, now: Date): Promise<LogLevelRow[]> {
  return await database.query<LogLevelRow>(
    sql`select module, level, until from log_levels where until > ${now} order by module`,
  )
}

export async function setLogLevel(
  database: Queryable,
  row: LogLevelRow & { readonly setBy: string },
): Promise<void> {
  await database.query(sql`
    insert into log_levels (module, level, until, set_by) values (${row.module}, ${row.level}, ${row.until}, ${row.setBy})
    on conflict (module) do update set level = excluded.level, until = excluded.until, set_by = excluded.set_by`)
}
