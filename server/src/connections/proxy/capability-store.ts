import sql, { empty } from 'sql-template-tag'
import { unsetTime } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'

export interface CapabilityRow {
  readonly id: string
  readonly workspaceId: string
  readonly connectionId: string
  readonly createdBy: string
  readonly methods: readonly string[]
  readonly paths: readonly string[]
  readonly ratePerMinute: number | null
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly lastUsedAt: Date | null
}

const columns = sql`
  id, workspace_id as "workspaceId", connection_id as "connectionId", created_by as "createdBy", methods, paths,
  rate_per_minute as "ratePerMinute", created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt"`

/** An ended capability is kept this long, so that its token is called expired and not unknown. */
const keepEnded = '24 hours'

/** All SQL about capabilities. */
export class CapabilityStore {
  readonly #database: Database

  constructor(dependencies: { database: Database }) {
    this.#database = dependencies.database
  }

  /** Undefined where the connection is gone by now. Forgets those that ended a day ago. */
  async add(row: Omit<CapabilityRow, 'lastUsedAt'> & { tokenHash: string }): Promise<boolean> {
    const added = await this.#database.query(sql`
      with forgotten as (
        delete from connection_capabilities
        where expires_at < least(${row.createdAt}::timestamptz, ${unsetTime()}::timestamptz) - ${keepEnded}::interval
      )
      insert into connection_capabilities (id, workspace_id, connection_id, created_by, token_hash, methods, paths,
        rate_per_minute, created_at, expires_at)
      select ${row.id}::uuid, ${row.workspaceId}::uuid, c.id, ${row.createdBy}::uuid, ${row.tokenHash}, ${row.methods}::text[],
        ${row.paths}::text[], ${row.ratePerMinute}::integer, ${row.createdAt}::timestamptz, ${row.expiresAt}::timestamptz
      from connections c where c.id = ${row.connectionId}
      returning id`)
    return added.length > 0
  }

  /** Newest first. */
  async list(
    connectionId: string,
    page: { before?: string | undefined; limit: number },
  ): Promise<CapabilityRow[]> {
    return await this.#database.query<CapabilityRow>(sql`
      select ${columns} from connection_capabilities
      where connection_id = ${connectionId} ${page.before === undefined ? empty : sql`and id < ${page.before}`}
      order by id desc limit ${page.limit}`)
  }

  async remove(connectionId: string, id: string): Promise<boolean> {
    const removed = await this.#database.query(sql`
      delete from connection_capabilities where id = ${id} and connection_id = ${connectionId} returning id`)
    return removed.length > 0
  }

  /** Notes the use at most once a minute. */
  async withToken(tokenHash: string, at: Date): Promise<CapabilityRow | undefined> {
    const [row] = await this.#database.query<CapabilityRow>(sql`
      select ${columns} from connection_capabilities where token_hash = ${tokenHash}`)
    if (row === undefined || (row.lastUsedAt !== null && at.getTime() - row.lastUsedAt.getTime() < 60_000))
      return row
    await this.#database.query(sql`
      update connection_capabilities set last_used_at = ${at} where id = ${row.id} and expires_at > ${at}`)
    return row
  }

  /**
   * Takes one call out of the rate: a bucket of a minute's calls that fills up evenly (the generic cell rate algorithm, ITU-T
   * I.371). One statement, so that processes share one bucket.
   * @returns when the next call may go, where this one may not
   */
  async take(id: string, ratePerMinute: number, at: Date): Promise<Date | undefined> {
    const perCall = 60 / ratePerMinute
    const taken = await this.#database.query(sql`
      update connection_capabilities
      set used_up_until = greatest(used_up_until, ${at}::timestamptz) + make_interval(secs => ${perCall}::float8)
      where id = ${id}
        and greatest(used_up_until, ${at}::timestamptz) + make_interval(secs => ${perCall}::float8)
          <= ${at}::timestamptz + interval '60.001 seconds'
      returning id`)
    if (taken.length > 0) return undefined
    const [row] = await this.#database.query<{ freeAt: Date }>(sql`
      select used_up_until + make_interval(secs => ${perCall - 60}::float8) as "freeAt"
      from connection_capabilities where id = ${id}`)
    return row?.freeAt ?? at
  }
}
