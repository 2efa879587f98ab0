import type { LimitPolicy } from '@atom/contract/limits.ts'
import sql from 'sql-template-tag'
import { unsetTime } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'

export interface LimitChangeRow {
  readonly policy: LimitPolicy
  readonly burst: number
  readonly perSecond: number
  readonly changedBy: string
  readonly changedAt: Date
}

export interface CallerRuleRow {
  readonly id: string
  readonly verdict: 'allow' | 'block'
  readonly network: string | null
  readonly accountId: string | null
  readonly reason: string
  readonly createdBy: string
  readonly createdAt: Date
  readonly expiresAt: Date
}

const ruleColumns = sql`id, verdict, network, account_id as "accountId", reason, created_by as "createdBy",
  created_at as "createdAt", expires_at as "expiresAt"`

export class LimitStore {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async changes(): Promise<LimitChangeRow[]> {
    return await this.#database.query<LimitChangeRow>(sql`
      select policy, burst, per_second as "perSecond", changed_by as "changedBy", changed_at as "changedAt"
      from limit_changes`)
  }

  async change({ policy, burst, perSecond, changedBy, changedAt }: LimitChangeRow): Promise<void> {
    await this.#database.query(sql`
      insert into limit_changes (policy, burst, per_second, changed_by, changed_at)
      values (${policy}, ${burst}, ${perSecond}, ${changedBy}, ${changedAt})
      on conflict (policy) do update set burst = excluded.burst, per_second = excluded.per_second,
        changed_by = excluded.changed_by, changed_at = excluded.changed_at`)
  }

  async reset(policy: LimitPolicy): Promise<void> {
    await this.#database.query(sql`delete from limit_changes where policy = ${policy}`)
  }

  /** Those in force, the newest first. */
  async rules(now: Date): Promise<CallerRuleRow[]> {
    return await this.#database.query<CallerRuleRow>(sql`
      select ${ruleColumns} from caller_rules where expires_at > ${now} order by id desc`)
  }

  /** Rules whose time is over go with the next one: addresses are not kept without need. */
  async addRule(rule: CallerRuleRow): Promise<void> {
    const { id, verdict, network, accountId, reason, createdBy, createdAt, expiresAt } = rule
    await this.#database.query(sql`
      with spent as (
        delete from caller_rules where expires_at <= least(${createdAt}::timestamptz, ${unsetTime()}::timestamptz)
      )
      insert into caller_rules (id, verdict, network, account_id, reason, created_by, created_at, expires_at)
      values (${id}, ${verdict}, ${network}, ${accountId}, ${reason}, ${createdBy}, ${createdAt}, ${expiresAt})`)
  }

  /** @returns what it said; undefined where there is none */
  async removeRule(id: string): Promise<CallerRuleRow | undefined> {
    const [removed] = await this.#database.query<CallerRuleRow>(
      sql`delete from caller_rules where id = ${id} returning ${ruleColumns}`,
    )
    return removed
  }
}
