import type { Objective } from '@atom/contract/monitoring.ts'
import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

export type ObjectiveRow = Pick<
  Objective,
  'id' | 'class' | 'kind' | 'target' | 'thresholdMs' | 'leastBad' | 'enabled'
>

export async function all(db: Queryable): Promise<ObjectiveRow[]> {
  return await db.query<ObjectiveRow>(sql`
    select id, class, kind, target, threshold_ms as "thresholdMs", least_bad as "leastBad", enabled
    from objectives order by id`)
}

export async function update(db: Queryable, row: ObjectiveRow, by: string): Promise<void> {
  await db.query(sql`
    update objectives set target = ${row.target}, threshold_ms = ${row.thresholdMs}, least_bad = ${row.leastBad},
      enabled = ${row.enabled}, updated_by = ${by}, updated_at = now()
    where id = ${row.id}`)
}
