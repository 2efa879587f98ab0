import type { Actor, Member, Room, RoomEvent, RoomEventType } from '@atom/contract/rooms.ts'
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

export interface RoomRow {
  readonly id: string
  readonly workspaceId: string
  readonly name: string
  readonly epoch: string
  readonly head: number
  readonly createdAt: Date
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
    EventRow & { epoch: string; head: number; floor: number; body: string | null }
  >(sql`
    select r.epoch, r.seq as head, r.floor, e.seq, e.id, e.type, e.actor_kind, e.actor_id, e.client_id, e.at,
      e.body::text as body, m.name as actor_name
    from rooms r
    left join lateral (select * from room_events e where e.room_id = r.id and ${part} limit ${limit}) e on true
    left join room_members m on m.room_id = r.id and m.kind = e.actor_kind and m.member_id = e.actor_id
    where r.id = ${roomId}
    order by e.seq`)
  const [first] = rows
  if (first === undefined) return undefined
  const events: RoomEvent[] = []
  const sizes: number[] = []
  for (const row of rows) {
    if (row.body === null) continue
    events.push(toEvent(row, JSON.parse(row.body) as Record<string, unknown>))
    sizes.push(row.body.length)
  }
  return { epoch: first.epoch, head: first.head, floor: first.floor, events, sizes }
}

export async function heads(db: Queryable, roomIds: readonly string[]): Promise<Map<string, Heads>> {
  const rows = await db.query<{ id: string; epoch: string; head: number }>(sql`
    select id, epoch, seq as head from rooms where id = any (${roomIds}::uuid[])`)
  return new Map(rows.map(({ id, epoch, head }) => [id, { epoch, head }]))
}

export async function insertRoom(
  db: Queryable,
  room: {
    readonly id: string
    readonly workspaceId: string
    readonly name: string
    readonly createdBy: string
  },
): Promise<RoomRow> {
  const [row] = await db.query<{ epoch: string; created_at: Date }>(sql`
    insert into rooms (id, workspace_id, name, epoch, created_by)
    values (${room.id}, ${room.workspaceId}, ${room.name}, ${newId()}, ${room.createdBy})
    returning epoch, created_at`)
  if (row === undefined) throw new Error('an insert returned no row')
  return {
    id: room.id,
    workspaceId: room.workspaceId,
    name: room.name,
    epoch: row.epoch,
    head: 0,
    createdAt: row.created_at,
  }
}

/** Puts somebody into a room, or back into it. Undefined: they are in it already. */
export async function insertMember(
  db: Queryable,
  roomId: string,
  member: { readonly kind: 'account' | 'agent'; readonly id: string; readonly name: string },
): Promise<{ readonly joinedAt: Date; readonly joinedSeq: number } | undefined> {
  const [row] = await db.query<{ joined_at: Date; joined_seq: number }>(sql`
    insert into room_members (room_id, kind, member_id, workspace_id, name, joined_seq, read_seq)
    select r.id, ${member.kind}, ${member.id}, r.workspace_id, ${member.name}, r.seq, r.seq
    from rooms r where r.id = ${roomId}
    on conflict (room_id, kind, member_id) do update
      set name = excluded.name, joined_at = now(), joined_seq = excluded.joined_seq, left_at = null
      where room_members.left_at is not null
    returning joined_at, joined_seq`)
  return row === undefined ? undefined : { joinedAt: row.joined_at, joinedSeq: row.joined_seq }
}

export async function findMember(
  db: Queryable,
  roomId: string,
  kind: 'account' | 'agent',
  memberId: string,
): Promise<Member | undefined> {
  const [row] = await db.query<{ name: string; joined_at: Date }>(sql`
    select name, joined_at from room_members
    where room_id = ${roomId} and kind = ${kind} and member_id = ${memberId} and left_at is null`)
  return row === undefined
    ? undefined
    : { kind, id: memberId, name: row.name, joinedAt: row.joined_at.toISOString() }
}

/** How a person or agent stands to rooms of their workspace: rooms that are absent are unknown or another workspace's. */
export async function standings(
  db: Queryable,
  workspaceId: string,
  member: { readonly kind: string; readonly id: string },
  roomIds: readonly string[],
): Promise<Map<string, Heads & { readonly member: boolean }>> {
  const rows = await db.query<{ id: string; epoch: string; head: number; member: boolean }>(sql`
    select r.id, r.epoch, r.seq as head, m.member_id is not null as member
    from rooms r
    left join room_members m
      on m.room_id = r.id and m.kind = ${member.kind} and m.member_id = ${member.id} and m.left_at is null
    where r.id = any (${roomIds}::uuid[]) and r.workspace_id = ${workspaceId}`)
  return new Map(rows.map(({ id, ...standing }) => [id, standing]))
}

/** Rooms as one of their members sees them, the most recently active first. `after` is the last room of the page before. */
export async function roomsOf(
  db: Queryable,
  workspaceId: string,
  member: { readonly kind: string; readonly id: string },
  filter: {
    readonly roomId?: string
    readonly after?: { readonly at: string; readonly id: string }
    readonly limit: number
  },
): Promise<{ readonly room: Room; readonly activeAt: string }[]> {
  const rows = await db.query<{
    id: string
    name: string
    epoch: string
    head: number
    read_seq: number
    created_at: Date
    active_at: string
    members: { kind: 'account' | 'agent'; id: string; name: string; joinedAt: string }[]
  }>(sql`
    select r.id, r.name, r.epoch, r.seq as head, me.read_seq, r.created_at, r.active_at::text as active_at,
      (
        select jsonb_agg(
          jsonb_build_object('kind', m.kind, 'id', m.member_id, 'name', m.name, 'joinedAt', m.joined_at)
          order by m.joined_at, m.kind, m.member_id
        )
        from room_members m where m.room_id = r.id and m.left_at is null
      ) as members
    from room_members me
    join rooms r on r.id = me.room_id
    where me.kind = ${member.kind} and me.member_id = ${member.id} and me.left_at is null
      and r.workspace_id = ${workspaceId}
      and ${filter.roomId === undefined ? sql`true` : sql`r.id = ${filter.roomId}`}
      and ${
        filter.after === undefined
          ? sql`true`
          : sql`(r.active_at, r.id) < (${filter.after.at}::timestamptz, ${filter.after.id}::uuid)`
      }
    order by r.active_at desc, r.id desc
    limit ${filter.limit}`)
  return rows.map((row) => ({
    activeAt: row.active_at,
    room: {
      id: row.id,
      name: row.name,
      epoch: row.epoch,
      head: row.head,
      readSeq: row.read_seq,
      createdAt: row.created_at.toISOString(),
      members: row.members.map((member) => ({
        ...member,
        joinedAt: new Date(member.joinedAt).toISOString(),
      })),
    },
  }))
}

/** Moves the read mark forward, never back and never past the head. False: not a member. */
export async function markRead(
  db: Queryable,
  workspaceId: string,
  member: { readonly kind: string; readonly id: string },
  roomId: string,
  seq: number,
): Promise<boolean> {
  const rows = await db.query<{ read_seq: number }>(sql`
    update room_members m set read_seq = greatest(m.read_seq, least(${seq}, r.seq))
    from rooms r
    where r.id = m.room_id and m.room_id = ${roomId} and m.kind = ${member.kind} and m.member_id = ${member.id}
      and m.workspace_id = ${workspaceId} and m.left_at is null
    returning m.read_seq`)
  return rows.length > 0
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
