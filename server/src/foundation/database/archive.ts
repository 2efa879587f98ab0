import sql from 'sql-template-tag'
import type { Queryable } from './pool.ts'

/** PostgreSQL's own archive of what was written (continuous archiving), as it tells it itself. */
export interface Archive {
  /** `archive_mode`. */
  readonly on: boolean
  /** Something was archived since its statistics began. */
  readonly any: boolean
  /** Since what was archived last, in ms by the database's clock; of nothing, since it could have been. */
  readonly ageMs: number
  /** The last try failed. */
  readonly failing: boolean
  /** Tries that failed since its statistics began. */
  readonly failures: number
  /** `archive_timeout`: after so long a segment is archived before it is full; 0: never. */
  readonly timeoutMs: number
}

/** Needs no rights beyond a session. */
export async function readArchive(database: Queryable): Promise<Archive> {
  const [row] = await database.query<Archive>(sql`
    select current_setting('archive_mode') <> 'off' as "on",
      last_archived_time is not null as "any",
      extract(epoch from now() - coalesce(last_archived_time, greatest(stats_reset, pg_postmaster_start_time())))::float8
        * 1000 as "ageMs",
      coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) as failing,
      failed_count::float8 as failures,
      (select setting::float8 * 1000 from pg_settings where name = 'archive_timeout') as "timeoutMs"
    from pg_stat_archiver`)
  if (row === undefined) throw new Error('PostgreSQL says nothing of its archive')
  return row
}
