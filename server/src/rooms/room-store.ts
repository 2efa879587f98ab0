import type { Actor, Reaction, RoomEvent, RoomEventType } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'

/** An event before it has its place. The same (room, actor, `clientId`) is one event for ever, however often it is written. */
export interface EventDraft {
  readonly roomId: string
  /** Where given, a room of another workspace is `not_found`. */
  readonly workspaceId?: string
  readonly type: RoomEventType
  readonly actor: { readonly kind: Actor['kind']; readonly id: string }
  readonly clientId: string
  /** The event's own fields, as the contract names them, without `seq`, `type`, `at`, `actor`, and a message's `id` and `clientId`. */
  readonly body: Readonly<Record<string, unknown>>
  /** Becomes the `id` of `message.created` and `message.final`; a new one where absent. */
  readonly id?: string
}

/** An event in its place. */
export interface Appended {
  readonly roomId: string
  readonly seq: number
  readonly id: string
  readonly clientId: string
  /** RFC 3339, UTC. */
  readonly at: string
  /** It was there already: place, id and content are those of the first time. */
  readonly duplicate: boolean
  readonly event: RoomEvent
}

export type Verdict =
  | ({ readonly verdict: 'stored' } & Appended)
  | { readonly verdict: 'not_found' | 'not_a_member' }

export interface PublishOptions {
  /** The actor must be in the room, or the draft is refused with `not_a_member`. */
  readonly membersOnly?: boolean
}

export interface Heads {
  readonly epoch: string
  readonly head: number
}

export interface StoredPage {
  readonly epoch: string
  readonly head: number
  readonly floor: number
  readonly events: readonly RoomEvent[]
  /** Size of each event's stored body, in UTF-16 code units. */
  readonly sizes: readonly number[]
}

interface EventRow {
  readonly seq: number
  readonly id: string
  readonly type: RoomEventType
  readonly actor_kind: Actor['kind']
  readonly actor_id: string
  readonly actor_name: string | null
  readonly client_id: string
  readonly at: Date
}

/**
 * Stores drafts, in order, and answers for each what became of it. One statement, so outside a transaction it is one by
 * itself: when this resolves, everything is committed.
 */
export async function publish(
  db: Queryable,
  drafts: readonly EventDraft[],
  options: readonly PublishOptions[] = [],
): Promise<Verdict[]> {
  // The function stores each key once; what was given twice in one batch is told the place of the first.
  const firsts = new Map<string, number>()
  const places: number[] = []
  const asked: number[] = []
  for (const [index, draft] of drafts.entries()) {
    const key = `${draft.roomId} ${draft.actor.id} ${draft.clientId}`
    let place = firsts.get(key)
    if (place === undefined) {
      place = asked.push(index) - 1
      firsts.set(key, place)
    }
    places.push(place)
  }
  const distinct = asked.map((index) => drafts[index]).filter((draft) => draft !== undefined)
  const rows = await db.query<{
    verdict: 'new' | 'duplicate' | 'not_found' | 'not_a_member'
    event_seq: number
    event_id: string
    event_at: Date
    event_type: RoomEventType
    event_body: Record<string, unknown> | null
    actor_name: string | null
  }>(sql`
    select verdict, event_seq, event_id, event_at, event_type, event_body, actor_name
    from publish_room_events(
      ${distinct.map((draft) => draft.roomId)}::uuid[],
      ${distinct.map((draft) => draft.workspaceId ?? null)}::uuid[],
      ${asked.map((index) => options[index]?.membersOnly ?? false)}::boolean[],
      ${distinct.map((draft) => draft.id ?? newId())}::uuid[],
      ${distinct.map((draft) => draft.type)}::text[],
      ${distinct.map((draft) => draft.actor.kind)}::text[],
      ${distinct.map((draft) => draft.actor.id)}::uuid[],
      ${distinct.map((draft) => draft.clientId)}::text[],
      ${distinct.map((draft) => JSON.stringify(draft.body))}::text[]
    )
    order by place`)
  const seen = new Set<number>()
  return drafts.map((draft, index): Verdict => {
    const place = places[index] ?? -1
    const row = rows[place]
    if (row === undefined) throw new Error('publish_room_events answered fewer rows than it was given')
    if (row.verdict === 'not_found' || row.verdict === 'not_a_member') return { verdict: row.verdict }
    const again = seen.has(place)
    seen.add(place)
    const event = toEvent(
      {
        seq: row.event_seq,
        id: row.event_id,
        type: row.event_type,
        actor_kind: draft.actor.kind,
        actor_id: draft.actor.id,
        actor_name: row.actor_name,
        client_id: draft.clientId,
        at: row.event_at,
      },
      row.event_body ?? drafts[asked[place] ?? -1]?.body ?? {},
    )
    return {
      verdict: 'stored',
      roomId: draft.roomId,
      seq: row.event_seq,
      id: row.event_id,
      clientId: draft.clientId,
      at: event.at,
      duplicate: again || row.verdict === 'duplicate',
      event,
    }
  })
}

/** Of the event `e` in the room `r`: who reacted and how, the first one first. */
const reactionsOfEvent = sql`
  select jsonb_agg(jsonb_build_object('emoji', way.emoji, 'by', way.by) order by way.first) as reactions
  from (
    select x.emoji, jsonb_agg(x.member_id order by x.at) as by, min(x.at) as first
    from room_reactions x where x.room_id = e.room_id and x.seq = e.seq
    group by x.emoji
  ) way`

interface ReadRow extends EventRow {
  readonly body: string
  readonly reactions: readonly Reaction[] | null
}

/** Up to `limit` events after `after`, or, with `before`, the last ones before it; oldest first. Undefined: no such room. */
export async function page(
  db: Queryable,
  roomId: string,
  range: { readonly after: number } | { readonly before: number },
  limit: number,
): Promise<StoredPage | undefined> {
  const part =
    'after' in range
      ? sql`e.seq > ${range.after} order by e.seq`
      : sql`e.seq < ${range.before} order by e.seq desc`
  // One statement, so head and events are of one moment. The body comes as text to know its size.
  const rows = await db.query<
    Omit<ReadRow, 'body'> & { epoch: string; head: number; floor: number; body: string | null }
  >(sql`
    select r.epoch, r.seq as head, r.floor, e.seq, e.id, e.type, e.actor_kind, e.actor_id, e.client_id, e.at,
      e.body::text as body, m.name as actor_name, how.reactions
    from rooms r
    left join lateral (select * from room_events e where e.room_id = r.id and ${part} limit ${limit}) e on true
    left join room_members m on m.room_id = r.id and m.kind = e.actor_kind and m.member_id = e.actor_id
    left join lateral (${reactionsOfEvent}) how on e.type in ('message.created', 'message.final')
    where r.id = ${roomId}
    order by e.seq`)
  const [first] = rows
  if (first === undefined) return undefined
  const events: RoomEvent[] = []
  const sizes: number[] = []
  for (const { body, ...row } of rows) {
    if (body === null) continue
    events.push(toReadEvent({ ...row, body }))
    sizes.push(body.length)
  }
  return { epoch: first.epoch, head: first.head, floor: first.floor, events, sizes }
}

/** Single events, in the order asked for; those that do not exist are absent. */
export async function eventsAt(
  db: Queryable,
  places: readonly { readonly roomId: string; readonly seq: number }[],
): Promise<{ readonly roomId: string; readonly event: RoomEvent }[]> {
  const rows = await db.query<ReadRow & { room_id: string }>(sql`
    select e.room_id, e.seq, e.id, e.type, e.actor_kind, e.actor_id, e.client_id, e.at, e.body::text as body,
      m.name as actor_name, how.reactions
    from unnest(
      ${places.map(({ roomId }) => roomId)}::uuid[], ${places.map(({ seq }) => seq)}::bigint[]
    ) with ordinality as place (room_id, seq, ord)
    join room_events e on e.room_id = place.room_id and e.seq = place.seq
    left join room_members m on m.room_id = e.room_id and m.kind = e.actor_kind and m.member_id = e.actor_id
    left join lateral (${reactionsOfEvent}) how on e.type in ('message.created', 'message.final')
    order by place.ord`)
  return rows.map(({ room_id, ...row }) => ({ roomId: room_id, event: toReadEvent(row) }))
}

/** What a message to be said names that is not there: the first such member, and whether it answers nothing. */
export async function lostReferences(
  db: Queryable,
  actor: { readonly kind: string; readonly id: string },
  roomId: string,
  message: {
    readonly clientId: string
    readonly replyTo?: number | undefined
    readonly mentions: readonly string[]
  },
): Promise<{ readonly absent: string | undefined; readonly replyTo: boolean }> {
  const [row] = await db.query<{ absent: string | null; reply_lost: boolean }>(sql`
    select
      (
        select named.id from unnest(${message.mentions}::uuid[]) as named (id)
        where not exists (
          select 1 from room_members m
          where m.room_id = ${roomId} and m.member_id = named.id and m.left_at is null
        )
        limit 1
      ) as absent,
      ${message.replyTo ?? null}::bigint is not null and not exists (
        select 1 from room_events e
        where e.room_id = ${roomId} and e.seq = ${message.replyTo ?? null}
          and e.type in ('message.created', 'message.final')
      ) as reply_lost
    where exists (
      select 1 from room_members m
      where m.room_id = ${roomId} and m.kind = ${actor.kind} and m.member_id = ${actor.id} and m.left_at is null
    ) and not exists (
      select 1 from room_events e
      where e.room_id = ${roomId} and e.actor_id = ${actor.id} and e.client_id = ${message.clientId}
    )`)
  return { absent: row?.absent ?? undefined, replyTo: row?.reply_lost ?? false }
}

/** As `publish_room_events` tells of a room's news. */
export async function notifyEnd(db: Queryable, channel: string, roomId: string): Promise<void> {
  await db.query(sql`select pg_notify(${channel}, ${`${roomId}:end`})`)
}

export async function heads(db: Queryable, roomIds: readonly string[]): Promise<Map<string, Heads>> {
  const rows = await db.query<{ id: string; epoch: string; head: number }>(sql`
    select id, epoch, seq as head from rooms where id = any (${roomIds}::uuid[])`)
  return new Map(rows.map(({ id, epoch, head }) => [id, { epoch, head }]))
}

function toReadEvent({ body, reactions, ...row }: ReadRow): RoomEvent {
  return toEvent(row, {
    ...(JSON.parse(body) as Record<string, unknown>),
    ...(reactions !== null && { reactions }),
  })
}

/** The row as the contract shows it. Fields of the frame come last, so that no stored body can stand in for them. */
function toEvent(row: EventRow, body: Readonly<Record<string, unknown>>): RoomEvent {
  const event = {
    ...body,
    ...(row.type === 'message.created' && { id: row.id, clientId: row.client_id }),
    ...(row.type === 'message.final' && { id: row.id }),
    seq: row.seq,
    type: row.type,
    at: row.at.toISOString(),
    actor: { kind: row.actor_kind, id: row.actor_id, name: row.actor_name ?? nameless(row.actor_kind) },
  }
  return event as RoomEvent
}

function nameless(kind: Actor['kind']): string {
  return kind === 'system' ? 'Atom' : 'Somebody who was here'
}
