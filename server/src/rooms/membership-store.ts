import type { Actor, Member, Room, RoomRole } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'
import { newId } from '#foundation/ids.ts'
import type { Heads } from './room-store.ts'

/** Unread messages are counted up to here, and looked for in as many events after the read mark as the second bound says. */
const counted = { messages: 1_000, events: 5_000 }
/** Of the newest message, as a list of rooms shows it. */
const previewLength = 200

export interface RoomRow {
  readonly id: string
  readonly workspaceId: string
  readonly kind: Room['kind']
  readonly name: string
  readonly epoch: string
  readonly head: number
  readonly createdAt: Date
}

export type MemberKind = 'account' | 'agent'

/** Somebody, as the rows of a room name them. */
export interface MemberRef {
  readonly kind: string
  readonly id: string
}

export interface NewRoom {
  readonly id: string
  readonly workspaceId: string
  readonly name: string
  readonly createdBy: string
  /** Of a direct room: the same for the same two members. */
  readonly directKey?: string
}

export interface Standing extends Heads {
  readonly kind: Room['kind']
  readonly floor: number
  /** When something was said last. */
  readonly activeAt: Date
  /** Undefined: not in the room. */
  readonly role: RoomRole | undefined
}

/** Undefined: the direct room of this key exists. */
export async function insertRoom(db: Queryable, room: NewRoom): Promise<RoomRow | undefined> {
  const kind = room.directKey === undefined ? 'group' : 'direct'
  const [row] = await db.query<{ epoch: string; created_at: Date }>(sql`
    insert into rooms (id, workspace_id, name, epoch, created_by, kind, direct_key)
    values (
      ${room.id}, ${room.workspaceId}, ${room.name}, ${newId()}, ${room.createdBy}, ${kind},
      ${room.directKey ?? null}
    )
    on conflict (workspace_id, direct_key) where direct_key is not null do nothing
    returning epoch, created_at`)
  if (row === undefined) return undefined
  const { id, workspaceId, name } = room
  return { id, workspaceId, kind, name, epoch: row.epoch, head: 0, createdAt: row.created_at }
}

export async function directRoom(
  db: Queryable,
  workspaceId: string,
  directKey: string,
): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>(sql`
    select id from rooms where workspace_id = ${workspaceId} and direct_key = ${directKey}`)
  return row?.id
}

/** Its members go with it; what was said in it is deleted in pieces, see `EndedRooms`. */
export async function deleteRoom(db: Queryable, roomId: string): Promise<void> {
  await db.query(sql`delete from rooms where id = ${roomId}`)
}

export async function renameRoom(db: Queryable, roomId: string, name: string): Promise<void> {
  await db.query(sql`update rooms set name = ${name} where id = ${roomId}`)
}

/** Puts somebody into a room, or back into it: everything before lies behind them. Undefined: they are in it already. */
export async function insertMember(
  db: Queryable,
  roomId: string,
  member: {
    readonly kind: MemberKind
    readonly id: string
    readonly name: string
    readonly role?: RoomRole
  },
): Promise<{ readonly joinedAt: Date; readonly joinedSeq: number } | undefined> {
  const [row] = await db.query<{ joined_at: Date; joined_seq: number }>(sql`
    insert into room_members (room_id, kind, member_id, workspace_id, name, role, joined_seq, read_seq)
    select r.id, ${member.kind}, ${member.id}, r.workspace_id, ${member.name}, ${member.role ?? 'member'}, r.seq, r.seq
    from rooms r where r.id = ${roomId}
    on conflict (room_id, kind, member_id) do update
      set name = excluded.name, role = excluded.role, joined_at = now(), joined_seq = excluded.joined_seq,
        read_seq = greatest(room_members.read_seq, excluded.read_seq), left_at = null
      where room_members.left_at is not null
    returning joined_at, joined_seq`)
  return row === undefined ? undefined : { joinedAt: row.joined_at, joinedSeq: row.joined_seq }
}

/** A member's row is kept when they leave: it is where the name of the author of old events is read from. */
export async function removeMember(db: Queryable, roomId: string, member: MemberRef): Promise<void> {
  await db.query(sql`
    update room_members set left_at = now(), muted = false, pinned = false
    where room_id = ${roomId} and kind = ${member.kind} and member_id = ${member.id}`)
}

export async function setRole(
  db: Queryable,
  roomId: string,
  memberId: string,
  role: RoomRole,
): Promise<void> {
  await db.query(sql`
    update room_members set role = ${role}
    where room_id = ${roomId} and kind = 'account' and member_id = ${memberId} and left_at is null`)
}

/** Who is in the room; an id is never both an account's and an agent's. */
export async function members(
  db: Queryable,
  roomId: string,
  memberIds?: readonly string[],
): Promise<Member[]> {
  const rows = await db.query<{
    kind: MemberKind
    member_id: string
    name: string
    role: RoomRole
    joined_at: Date
    read_seq: number
    delivered_seq: number
  }>(sql`
    select kind, member_id, name, role, joined_at, read_seq, greatest(delivered_seq, read_seq) as delivered_seq
    from room_members
    where room_id = ${roomId} and left_at is null
      and ${memberIds === undefined ? sql`true` : sql`member_id = any (${memberIds}::uuid[])`}
    order by joined_at, kind, member_id`)
  return rows.map((row) => ({
    kind: row.kind,
    id: row.member_id,
    name: row.name,
    role: row.role,
    joinedAt: row.joined_at.toISOString(),
    readSeq: row.read_seq,
    deliveredSeq: row.delivered_seq,
  }))
}

/** Members of both kinds who are in the room now. Counts up to the room's lock only. */
export async function memberCount(db: Queryable, roomId: string): Promise<number> {
  const [row] = await db.query<{ members: number }>(sql`
    select count(*) as members from room_members where room_id = ${roomId} and left_at is null`)
  return row?.members ?? 0
}

/** Holds the room still until the end of the transaction: nothing is said in it, nobody joins or leaves. */
export async function lockRoom(db: Queryable, roomId: string): Promise<void> {
  await db.query(sql`select 1 from rooms where id = ${roomId} for no key update`)
}

export interface StandingAsked {
  readonly workspaceId: string
  readonly member: MemberRef
  readonly roomIds: readonly string[]
}

/** The same as `standings` for many at once, in one question; in the order of the asked. */
export async function standingsOfMany(
  db: Queryable,
  asked: readonly StandingAsked[],
): Promise<Map<string, Standing>[]> {
  const flat = asked.flatMap(({ workspaceId, member, roomIds }, index) =>
    roomIds.map((roomId) => ({ index, roomId, workspaceId, ...member })),
  )
  const rows = await db.query<
    Omit<Standing, 'role'> & { asked: number; id: string; role: RoomRole | null }
  >(sql`
    select a.asked, r.id, r.kind, r.epoch, r.seq as head, r.floor, r.active_at as "activeAt", m.role
    from unnest(
      ${flat.map(({ index }) => index)}::int[], ${flat.map(({ roomId }) => roomId)}::uuid[],
      ${flat.map(({ workspaceId }) => workspaceId)}::uuid[], ${flat.map(({ kind }) => kind)}::text[],
      ${flat.map(({ id }) => id)}::uuid[]
    ) as a (asked, room_id, workspace_id, kind, member_id)
    join rooms r on r.id = a.room_id and r.workspace_id = a.workspace_id
    left join room_members m
      on m.room_id = r.id and m.kind = a.kind and m.member_id = a.member_id and m.left_at is null`)
  const found = asked.map(() => new Map<string, Standing>())
  for (const { asked: index, id, role, ...standing } of rows) {
    found[index]?.set(id, { ...standing, role: role ?? undefined })
  }
  return found
}

/** How a person or agent stands to rooms of their workspace: rooms that are absent are unknown or another workspace's. */
export async function standings(
  db: Queryable,
  workspaceId: string,
  member: MemberRef,
  roomIds: readonly string[],
): Promise<Map<string, Standing>> {
  const rows = await db.query<{
    id: string
    kind: Room['kind']
    epoch: string
    head: number
    floor: number
    activeAt: Date
    role: RoomRole | null
  }>(sql`
    select r.id, r.kind, r.epoch, r.seq as head, r.floor, r.active_at as "activeAt", m.role
    from rooms r
    left join room_members m
      on m.room_id = r.id and m.kind = ${member.kind} and m.member_id = ${member.id} and m.left_at is null
    where r.id = any (${roomIds}::uuid[]) and r.workspace_id = ${workspaceId}`)
  return new Map(rows.map(({ id, role, ...standing }) => [id, { ...standing, role: role ?? undefined }]))
}

/** Null: the member is not in that room. A direct room goes by who else is in it. */
export async function names(
  db: Queryable,
  workspaceId: string,
  member: MemberRef,
  roomIds: readonly string[],
): Promise<Map<string, string | null>> {
  const rows = await db.query<{ id: string; name: string | null }>(sql`
    select r.id, case
      when m.room_id is null then null
      when r.kind = 'group' then r.name
      else (
        select string_agg(o.name, ', ') from room_members o
        where o.room_id = r.id and o.member_id <> m.member_id)
      end as name
    from rooms r
    left join room_members m
      on m.room_id = r.id and m.kind = ${member.kind} and m.member_id = ${member.id} and m.left_at is null
    where r.id = any (${roomIds}::uuid[]) and r.workspace_id = ${workspaceId}`)
  return new Map(rows.map(({ id, name }) => [id, name]))
}

/** Rooms as one of their members sees them, the most recently active first. `after` is the last room of the page before. */
export async function roomsOf(
  db: Queryable,
  workspaceId: string,
  member: MemberRef,
  filter: {
    readonly roomId?: string
    readonly after?: { readonly at: string; readonly id: string }
    readonly limit: number
  },
): Promise<{ readonly room: Room; readonly activeAt: string }[]> {
  const rows = await db.query<{
    id: string
    kind: Room['kind']
    name: string
    epoch: string
    head: number
    floor: number
    read_seq: number
    role: RoomRole
    muted: boolean
    pinned: boolean
    unread: number | null
    mentions: number | null
    last_seq: number | null
    last_at: Date
    last_kind: Actor['kind']
    last_actor: string
    last_name: string | null
    last_text: string
    created_at: Date
    active_at: string
    members: (Omit<Member, 'joinedAt'> & { joinedAt: string })[]
  }>(sql`
    select r.id, r.kind, r.epoch, r.seq as head, r.floor, me.read_seq, me.role, me.muted, me.pinned, r.created_at,
      r.active_at::text as active_at, everybody.members, news.unread, news.mentions,
      case when r.kind = 'direct' then coalesce(everybody.other, r.name) else r.name end as name,
      latest.seq as last_seq, latest.at as last_at, latest.actor_kind as last_kind, latest.actor_id as last_actor,
      latest.name as last_name, latest.text as last_text
    from room_members me
    join rooms r on r.id = me.room_id
    cross join lateral (
      select max(m.name) filter (where m.member_id <> me.member_id) as other,
        jsonb_agg(
          jsonb_build_object('kind', m.kind, 'id', m.member_id, 'name', m.name, 'joinedAt', m.joined_at,
            'role', m.role, 'readSeq', m.read_seq, 'deliveredSeq', greatest(m.delivered_seq, m.read_seq))
          order by m.joined_at, m.kind, m.member_id
        ) as members
      from room_members m where m.room_id = r.id and m.left_at is null
    ) everybody
    left join lateral (
      select count(*) as unread,
        count(*) filter (where r.kind = 'direct' or said.mentions ? me.member_id::text) as mentions
      from (
        select e.body::jsonb -> 'mentions' as mentions
        from room_events e
        where e.room_id = r.id and e.seq > me.read_seq and e.seq <= me.read_seq + ${counted.events}
          and e.type in ('message.created', 'message.final') and e.actor_id <> me.member_id
          and e.body ->> 'deletedAt' is null
        limit ${counted.messages}
      ) said
    ) news on r.seq > me.read_seq
    left join lateral (
      select e.seq, e.at, e.actor_kind, e.actor_id, left(e.body ->> 'text', ${previewLength}) as text, by.name
      from room_events e
      left join room_members by
        on by.room_id = e.room_id and by.kind = e.actor_kind and by.member_id = e.actor_id
      where e.room_id = r.id and e.seq > r.seq - ${counted.events}
        and e.type in ('message.created', 'message.final') and e.body ->> 'deletedAt' is null
      order by e.seq desc
      limit 1
    ) latest on true
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
      kind: row.kind,
      name: row.name,
      epoch: row.epoch,
      head: row.head,
      floor: row.floor,
      readSeq: row.read_seq,
      role: row.role,
      unread: row.unread ?? 0,
      unreadMentions: row.mentions ?? 0,
      muted: row.muted,
      pinned: row.pinned,
      ...(row.last_seq !== null && {
        lastMessage: {
          seq: row.last_seq,
          at: row.last_at.toISOString(),
          actor: { kind: row.last_kind, id: row.last_actor, name: row.last_name ?? nameless(row.last_kind) },
          text: row.last_text,
        },
      }),
      createdAt: row.created_at.toISOString(),
      members: row.members.map((each) => ({ ...each, joinedAt: new Date(each.joinedAt).toISOString() })),
    },
  }))
}

/** Moves the read mark forward, never back and never past the head. False: not a member. */
export async function markRead(
  db: Queryable,
  workspaceId: string,
  member: MemberRef,
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

/**
 * How a member has the room for themselves. `unreadFrom` moves the read mark to right before it, also back; what was delivered
 * stays delivered.
 */
export async function setPlace(
  db: Queryable,
  roomId: string,
  member: MemberRef,
  place: {
    readonly muted?: boolean | undefined
    readonly pinned?: boolean | undefined
    readonly unreadFrom?: number | undefined
  },
): Promise<void> {
  await db.query(sql`
    update room_members m set
      muted = coalesce(${place.muted ?? null}, m.muted),
      pinned = coalesce(${place.pinned ?? null}, m.pinned),
      delivered_seq = greatest(m.delivered_seq, m.read_seq),
      read_seq = coalesce(least(${place.unreadFrom ?? null}::bigint - 1, r.seq), m.read_seq)
    from rooms r
    where r.id = m.room_id and m.room_id = ${roomId} and m.kind = ${member.kind} and m.member_id = ${member.id}
      and m.left_at is null`)
}

function nameless(kind: Actor['kind']): string {
  return kind === 'system' ? 'Atom' : 'Somebody who was here'
}

export async function agentsIn(
  db: Queryable,
  roomIds: readonly string[],
): Promise<{ readonly agentId: string; readonly roomId: string }[]> {
  return await db.query(sql`
    select m.member_id as "agentId", m.room_id as "roomId" from room_members m
    where m.room_id = any (${roomIds}::uuid[]) and m.kind = 'agent' and m.left_at is null`)
}

/** How far somebody has a room, and has read it; 0: nothing new is known of that. */
export interface Mark {
  readonly accountId: string
  readonly roomId: string
  readonly read: number
  readonly delivered: number
}

/** A mark that moved: where it stands now. */
export interface MovedMark extends Mark {
  readonly readMoved: boolean
  readonly deliveredMoved: boolean
  readonly members: number
}

/**
 * Moves many marks at once, none back and none past the head; answers with those that moved. Rows are locked in one order,
 * because a person may read the same rooms at two processes.
 */
export async function moveMarks(db: Queryable, marks: readonly Mark[]): Promise<MovedMark[]> {
  return await db.query(sql`
    with moving as (
      select m.room_id, m.member_id, m.read_seq, greatest(m.delivered_seq, m.read_seq) as delivered_seq,
        greatest(m.read_seq, least(x.read, r.seq)) as read,
        greatest(m.delivered_seq, m.read_seq, least(greatest(x.read, x.delivered), r.seq)) as delivered
      from unnest(
        ${marks.map(({ roomId }) => roomId)}::uuid[], ${marks.map(({ accountId }) => accountId)}::uuid[],
        ${marks.map(({ read }) => read)}::bigint[], ${marks.map(({ delivered }) => delivered)}::bigint[]
      ) as x (room_id, member_id, read, delivered)
      join room_members m on m.room_id = x.room_id and m.kind = 'account' and m.member_id = x.member_id
      join rooms r on r.id = m.room_id
      where m.left_at is null
        and (m.read_seq < least(x.read, r.seq)
          or greatest(m.delivered_seq, m.read_seq) < least(greatest(x.read, x.delivered), r.seq))
      order by m.room_id, m.member_id
      for update of m
    )
    update room_members m
    set read_seq = greatest(m.read_seq, moving.read), delivered_seq = greatest(m.delivered_seq, moving.delivered)
    from moving
    where m.room_id = moving.room_id and m.kind = 'account' and m.member_id = moving.member_id
    returning m.room_id as "roomId", m.member_id as "accountId", m.read_seq as read, m.delivered_seq as delivered,
      m.read_seq > moving.read_seq as "readMoved", m.delivered_seq > moving.delivered_seq as "deliveredMoved", (
        select count(*) from room_members c where c.room_id = m.room_id and c.left_at is null
      ) as members`)
}

/** How many are in these rooms, and how many of them are people. Rooms that are gone are absent. */
export async function sizes(
  db: Queryable,
  roomIds: readonly string[],
): Promise<{ readonly roomId: string; readonly members: number; readonly people: number }[]> {
  return await db.query(sql`
    select room_id as "roomId", count(*) as members, count(*) filter (where kind = 'account') as people
    from room_members
    where room_id = any (${roomIds}::uuid[]) and left_at is null
    group by room_id`)
}

/** Ids of everybody who is in these rooms. */
export async function memberIds(
  db: Queryable,
  roomIds: readonly string[],
): Promise<{ readonly roomId: string; readonly id: string }[]> {
  return await db.query(sql`
    select room_id as "roomId", member_id as id from room_members
    where room_id = any (${roomIds}::uuid[]) and left_at is null`)
}
