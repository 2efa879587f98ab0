import type { Alert } from '@atom/contract/monitoring.ts'
import sql from 'sql-template-tag'
import type { Queryable, Transaction } from '#foundation/database/pool.ts'

export interface AlertRow extends Omit<Alert, 'since' | 'resolvedAt' | 'state'> {
  readonly since: Date
  readonly resolvedAt: Date | null
}

/** `worse`: what was for working hours cannot wait any more. */
export type News = 'firing' | 'worse' | 'resolved'
export type Channel = 'room' | 'webhook'

const columns = sql`a.id, a.kind, a.subject, a.severity, a.title, a.why, a.look_at as "lookAt", a.since,
  a.resolved_at as "resolvedAt", a.resolution`

/** Whether it is the one that fires now; otherwise one of this kind and subject fires already, and its words are renewed. */
export async function insert(
  db: Queryable,
  alert: Omit<AlertRow, 'resolvedAt' | 'resolution'> & {
    readonly now: Date
    readonly forMs: number | undefined
  },
): Promise<{ id: string; fresh: boolean }> {
  const { id, kind, subject, severity, title, why, lookAt, since, now, forMs } = alert
  const believedUntil = forMs === undefined ? null : new Date(now.getTime() + forMs)
  const [row] = await db.query<{ id: string }>(sql`
    insert into alerts as a (id, kind, subject, severity, title, why, look_at, since, updated_at, believed_until)
    values (${id}, ${kind}, ${subject}, ${severity}, ${title}, ${why}, ${lookAt}, ${since}, ${now}, ${believedUntil})
    on conflict (kind, subject) where resolved_at is null do update
      set severity = excluded.severity, title = excluded.title, why = excluded.why, look_at = excluded.look_at,
        updated_at = excluded.updated_at, believed_until = excluded.believed_until
    returning a.id`)
  return { id: row?.id ?? id, fresh: row?.id === id }
}

export async function renew(
  db: Queryable,
  { kind, subject, until }: { kind: string; subject: string; until: Date },
): Promise<void> {
  await db.query(sql`
    update alerts set believed_until = ${until}
    where kind = ${kind} and subject = ${subject} and resolved_at is null`)
}

export async function isKept(db: Queryable, id: string): Promise<boolean> {
  return (await db.query(sql`select 1 from alerts where id = ${id}`)).length > 0
}

/** Keeps others from changing it meanwhile. */
export async function lockedSeverity(
  tx: Transaction,
  kind: string,
  subject: string,
): Promise<AlertRow['severity'] | undefined> {
  const [row] = await tx.query<Pick<AlertRow, 'severity'>>(sql`
    select severity from alerts where kind = ${kind} and subject = ${subject} and resolved_at is null for update`)
  return row?.severity
}

/** Ends those that nobody has told of in time. */
export async function resolveUntold(
  tx: Transaction,
  { at, why }: { at: Date; why: string },
): Promise<Pick<AlertRow, 'id' | 'kind' | 'subject'>[]> {
  return await tx.query(sql`
    update alerts set resolved_at = ${at}, updated_at = ${at}, resolution = ${why}
    where resolved_at is null and believed_until < ${at} returning id, kind, subject`)
}

export async function firing(db: Queryable, kind: string, subject: string): Promise<AlertRow | undefined> {
  const [row] = await db.query<AlertRow>(sql`
    select ${columns} from alerts a where kind = ${kind} and subject = ${subject} and resolved_at is null`)
  return row
}

export async function resolve(
  db: Queryable,
  { kind, subject, at, why }: { kind: string; subject: string; at: Date; why: string },
): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>(sql`
    update alerts set resolved_at = ${at}, updated_at = ${at}, resolution = ${why}
    where kind = ${kind} and subject = ${subject} and resolved_at is null returning id`)
  return row?.id
}

export async function list(
  db: Queryable,
  { state, before, limit }: { state: News | undefined; before: string | undefined; limit: number },
): Promise<AlertRow[]> {
  return await db.query<AlertRow>(sql`
    select ${columns} from alerts a
    where (${state ?? null}::text is null or (resolved_at is null) = (${state ?? null} = 'firing'))
      and (${before ?? null}::uuid is null or (since, id) < (select since, id from alerts where id = ${before ?? null}))
    order by since desc, id desc limit ${limit}`)
}

export async function prune(db: Queryable, before: Date): Promise<void> {
  await db.query(sql`delete from alerts where resolved_at < ${before}`)
}

export interface Targets {
  readonly workspaceId: string | null
  readonly roomId: string | null
  readonly webhookUrl: string | null
  readonly webhookKey: Buffer | null
  readonly webhookSecret: Buffer | null
}

export async function targets(db: Queryable): Promise<Targets> {
  const [row] = await db.query<Targets>(sql`
    select workspace_id as "workspaceId", room_id as "roomId", webhook_url as "webhookUrl", webhook_key as "webhookKey",
      webhook_secret as "webhookSecret"
    from alert_targets`)
  return row ?? { workspaceId: null, roomId: null, webhookUrl: null, webhookKey: null, webhookSecret: null }
}

export async function setTargets(db: Queryable, to: Targets & { by: string }): Promise<void> {
  await db.query(sql`
    insert into alert_targets (workspace_id, room_id, webhook_url, webhook_key, webhook_secret, updated_by)
    values (${to.workspaceId}, ${to.roomId}, ${to.webhookUrl}, ${to.webhookKey}, ${to.webhookSecret}, ${to.by})
    on conflict (only_one) do update set workspace_id = excluded.workspace_id, room_id = excluded.room_id,
      webhook_url = excluded.webhook_url, webhook_key = excluded.webhook_key, webhook_secret = excluded.webhook_secret,
      updated_by = excluded.updated_by, updated_at = now()`)
}

export async function deliverLater(
  db: Queryable,
  delivery: { id: string; alertId: string; news: News; channel: Channel },
): Promise<void> {
  await db.query(sql`
    insert into alert_deliveries (id, alert_id, news, channel)
    values (${delivery.id}, ${delivery.alertId}, ${delivery.news}, ${delivery.channel}) on conflict do nothing`)
}

export interface Delivery {
  readonly deliveryId: string
  readonly news: News
  readonly channel: Channel
  readonly attempts: number
  readonly alert: AlertRow
}

/** One that is due, for so long nobody else's. News of one alert come in their order. */
export async function claim(db: Queryable, leaseMs: number): Promise<Delivery | undefined> {
  const [row] = await db.query<AlertRow & Omit<Delivery, 'alert'>>(sql`
    with next as (
      select d.id from alert_deliveries d
      where d.ended_at is null and d.due_at <= now()
        and not exists (
          select 1 from alert_deliveries e
          where e.alert_id = d.alert_id and e.channel = d.channel and e.ended_at is null
            and array_position(array['firing', 'worse', 'resolved'], e.news)
              < array_position(array['firing', 'worse', 'resolved'], d.news)
        )
      order by d.due_at limit 1 for update of d skip locked
    )
    update alert_deliveries d set attempts = d.attempts + 1, due_at = now() + ${leaseMs}::int * interval '1 millisecond'
    from next, alerts a where d.id = next.id and a.id = d.alert_id
    returning d.id as "deliveryId", d.news, d.channel, d.attempts, ${columns}`)
  if (row === undefined) return undefined
  const { deliveryId, news, channel, attempts, ...alert } = row
  return { deliveryId, news, channel, attempts, alert }
}

export async function delivered(db: Queryable, id: string): Promise<void> {
  await db.query(sql`update alert_deliveries set ended_at = now(), failure = null where id = ${id}`)
}

/** @param againMs undefined: it is given up */
export async function notDelivered(
  db: Queryable,
  id: string,
  { failure, againMs }: { failure: string; againMs: number | undefined },
): Promise<void> {
  await db.query(sql`
    update alert_deliveries set failure = ${failure},
      due_at = now() + ${againMs ?? 0}::int * interval '1 millisecond',
      ended_at = case when ${againMs === undefined} then now() end
    where id = ${id}`)
}

export async function undelivered(db: Queryable): Promise<{ waiting: number; lastFailure: string | null }> {
  const [row] = await db.query<{ waiting: number; lastFailure: string | null }>(sql`
    select (select count(*)::int from alert_deliveries where ended_at is null) as waiting,
      (select failure from alert_deliveries where failure is not null and ended_at is null order by due_at desc limit 1) as "lastFailure"`)
  return row ?? { waiting: 0, lastFailure: null }
}
