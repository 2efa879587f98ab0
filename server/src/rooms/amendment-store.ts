import type { Actor } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'
import type { MemberRef } from './membership-store.ts'

/** A message as those see it who want to change it. */
export interface MessageRow {
  readonly id: string
  readonly type: 'message.created' | 'message.final'
  readonly actor: { readonly kind: Actor['kind']; readonly id: string }
  readonly deleted: boolean
}

/** Undefined: there is no such event, or it is no message. */
export async function findMessage(
  db: Queryable,
  roomId: string,
  seq: number,
): Promise<MessageRow | undefined> {
  const [row] = await db.query<{
    id: string
    type: MessageRow['type']
    actor_kind: Actor['kind']
    actor_id: string
    deleted: boolean
  }>(sql`
    select id, type, actor_kind, actor_id, body ->> 'deletedAt' is not null as deleted
    from room_events
    where room_id = ${roomId} and seq = ${seq} and type in ('message.created', 'message.final')`)
  return row === undefined
    ? undefined
    : {
        id: row.id,
        type: row.type,
        actor: { kind: row.actor_kind, id: row.actor_id },
        deleted: row.deleted,
      }
}

/** Puts these fields into the stored message, in the place of what they were. */
export async function amendMessage(
  db: Queryable,
  roomId: string,
  seq: number,
  fields: Readonly<Record<string, unknown>>,
): Promise<void> {
  await db.query(sql`
    update room_events set body = body || ${JSON.stringify(fields)}::jsonb
    where room_id = ${roomId} and seq = ${seq}`)
}

/** Leaves of a message what says that it was there, and nothing of what it said, also in its edits, reactions and pin. */
export async function eraseMessage(
  db: Queryable,
  roomId: string,
  seq: number,
  remains: Readonly<Record<string, unknown>>,
): Promise<void> {
  await db.query(sql`
    update room_events set body =
      (select coalesce(jsonb_object_agg(kept.key, kept.value), '{}') from jsonb_each(body) kept
        where kept.key in ('turnId', 'replyTo')) || ${JSON.stringify(remains)}::jsonb
    where room_id = ${roomId} and seq = ${seq}`)
  await db.query(sql`
    update room_events set body = (body - 'mentions') || '{"text": ""}'
    where room_id = ${roomId} and type = 'message.edited' and (body ->> 'targetSeq')::bigint = ${seq}`)
  await db.query(sql`delete from room_reactions where room_id = ${roomId} and seq = ${seq}`)
  await db.query(sql`delete from room_pins where room_id = ${roomId} and seq = ${seq}`)
  await db.query(sql`delete from room_search where room_id = ${roomId} and seq = ${seq}`)
}

/** `new`: it was not there before. `ways`: how many different reactions the message has now. */
export async function insertReaction(
  db: Queryable,
  roomId: string,
  seq: number,
  emoji: string,
  member: MemberRef,
): Promise<{ readonly fresh: boolean; readonly ways: number }> {
  const inserted = await db.query(sql`
    insert into room_reactions (room_id, seq, emoji, kind, member_id)
    values (${roomId}, ${seq}, ${emoji}, ${member.kind}, ${member.id})
    on conflict do nothing
    returning 1`)
  const [row] = await db.query<{ ways: number }>(sql`
    select count(distinct emoji) as ways from room_reactions where room_id = ${roomId} and seq = ${seq}`)
  return { fresh: inserted.length > 0, ways: row?.ways ?? 0 }
}

/** False: it was not there. */
export async function deleteReaction(
  db: Queryable,
  roomId: string,
  seq: number,
  emoji: string,
  member: MemberRef,
): Promise<boolean> {
  const rows = await db.query(sql`
    delete from room_reactions
    where room_id = ${roomId} and seq = ${seq} and emoji = ${emoji} and member_id = ${member.id}
    returning 1`)
  return rows.length > 0
}

/** `fresh`: it was not pinned before. `pins`: how many the room has now. */
export async function insertPin(
  db: Queryable,
  roomId: string,
  seq: number,
  member: MemberRef,
): Promise<{ readonly fresh: boolean; readonly pins: number }> {
  const inserted = await db.query(sql`
    insert into room_pins (room_id, seq, pinned_kind, pinned_by)
    values (${roomId}, ${seq}, ${member.kind}, ${member.id})
    on conflict do nothing
    returning 1`)
  const [row] = await db.query<{ pins: number }>(sql`
    select count(*) as pins from room_pins where room_id = ${roomId}`)
  return { fresh: inserted.length > 0, pins: row?.pins ?? 0 }
}

/** False: it was not pinned. */
export async function deletePin(db: Queryable, roomId: string, seq: number): Promise<boolean> {
  const rows = await db.query(sql`
    delete from room_pins where room_id = ${roomId} and seq = ${seq} returning 1`)
  return rows.length > 0
}

export async function pins(
  db: Queryable,
  roomId: string,
): Promise<{ readonly seq: number; readonly at: Date; readonly by: Actor }[]> {
  const rows = await db.query<{
    seq: number
    pinned_at: Date
    pinned_kind: 'account' | 'agent'
    pinned_by: string
    name: string
  }>(sql`
    select p.seq, p.pinned_at, p.pinned_kind, p.pinned_by, m.name
    from room_pins p
    join room_members m on m.room_id = p.room_id and m.kind = p.pinned_kind and m.member_id = p.pinned_by
    where p.room_id = ${roomId}
    order by p.pinned_at desc, p.seq desc`)
  return rows.map((row) => ({
    seq: row.seq,
    at: row.pinned_at,
    by: { kind: row.pinned_kind, id: row.pinned_by, name: row.name },
  }))
}
