import sql, { type Sql } from 'sql-template-tag'
import type { Queryable, Transaction } from '#foundation/database/pool.ts'
import type { MemberRef } from './membership-store.ts'

/** Events that one step takes up. */
const stepEvents = 1_000
/** Around what was found. They stand for nothing else: they are taken out of the text first. */
export const marks = { start: '\uE000', end: '\uE001' } as const
const headline = `StartSel=${marks.start}, StopSel=${marks.end}, MaxWords=40, MinWords=20, ShortWord=0`

/** Rooms whose newest events are not in the index. */
export async function roomsBehind(db: Queryable, limit: number): Promise<string[]> {
  const rows = await db.query<{ id: string }>(sql`
    select r.id from rooms r
    left join room_search_cursors c on c.room_id = r.id
    where r.seq > coalesce(c.seq, 0)
    limit ${limit}`)
  return rows.map(({ id }) => id)
}

/**
 * Takes the next events of a room into the index. `more`: there are further ones. Where another process is at it, or the
 * room is gone, nothing is done.
 */
export async function indexNext(tx: Transaction, roomId: string): Promise<{ readonly more: boolean }> {
  await tx.query(sql`
    insert into room_search_cursors (room_id, seq) select id, 0 from rooms where id = ${roomId}
    on conflict do nothing`)
  const [cursor] = await tx.query<{ seq: number }>(sql`
    select seq from room_search_cursors where room_id = ${roomId} for update skip locked`)
  if (cursor === undefined) return { more: false }
  const [room] = await tx.query<{ head: number }>(sql`select seq as head from rooms where id = ${roomId}`)
  if (room === undefined || room.head <= cursor.seq) return { more: false }
  const upTo = Math.min(room.head, cursor.seq + stepEvents)
  const inStep = sql`room_id = ${roomId} and seq > ${cursor.seq} and seq <= ${upTo}`
  // An edit brings its message again, as it reads now. A deletion takes it out, also where it came in by this very step.
  await tx.query(sql`
    insert into room_search (room_id, seq, workspace_id, actor_id, at, words)
    select e.room_id, e.seq, e.workspace_id, e.actor_id, e.at,
      to_tsvector('simple', e.body ->> 'text') || to_tsvector('english', e.body ->> 'text')
    from room_events e
    where e.room_id = ${roomId} and e.type in ('message.created', 'message.final')
      and e.seq in (
        select case type when 'message.edited' then (body ->> 'targetSeq')::bigint else seq end
        from room_events where ${inStep} and type in ('message.created', 'message.final', 'message.edited')
      )
      and e.body ->> 'deletedAt' is null
    on conflict (room_id, seq) do update set words = excluded.words`)
  await tx.query(sql`
    delete from room_search where room_id = ${roomId} and seq in (
      select (body ->> 'targetSeq')::bigint from room_events where ${inStep} and type = 'message.deleted'
    )`)
  await tx.query(sql`update room_search_cursors set seq = ${upTo} where room_id = ${roomId}`)
  return { more: upTo < room.head }
}

export interface Found {
  readonly roomId: string
  readonly seq: number
  /** As PostgreSQL writes it, with its microseconds. */
  readonly at: string
  /** With `marks` around what was found. */
  readonly excerpt: string
}

/** What to look for, in the words of a search engine's query. */
export interface Wanted {
  readonly query: string
  /** Where the last word may be unfinished: it, and what stands before it. */
  readonly typed?: { readonly rest: string; readonly last: string }
}

/** Messages in rooms that the member is in. */
export async function find(
  db: Queryable,
  member: MemberRef & { readonly workspaceId: string },
  wanted: Wanted,
  filter: {
    readonly roomId?: string | undefined
    readonly from?: string | undefined
    readonly limit: number
    readonly page:
      | { readonly order: 'newest'; readonly after?: { at: string; roomId: string; seq: number } | undefined }
      | { readonly order: 'best'; readonly skip: number }
  },
): Promise<Found[]> {
  const { page } = filter
  const after =
    page.order === 'newest' && page.after !== undefined
      ? sql`and (s.at, s.room_id, s.seq) < (${page.after.at}::timestamptz, ${page.after.roomId}::uuid, ${page.after.seq}::bigint)`
      : sql``
  const order =
    page.order === 'newest'
      ? sql`s.at desc, s.room_id desc, s.seq desc`
      : sql`ts_rank_cd(s.words, q.words, 1) desc, s.at desc, s.room_id, s.seq`
  const rows = await db.query<{ room_id: string; seq: number; at: string; excerpt: string }>(sql`
    with q as (select ${words(wanted)} as words), hits as (
      select s.room_id, s.seq, s.at, row_number() over (order by ${order}) as place
      from q, room_search s
      join room_members me on me.room_id = s.room_id and me.kind = ${member.kind} and me.member_id = ${member.id}
        and me.left_at is null
      where s.workspace_id = ${member.workspaceId} and s.words @@ q.words
        and ${filter.roomId === undefined ? sql`true` : sql`s.room_id = ${filter.roomId}`}
        and ${filter.from === undefined ? sql`true` : sql`s.actor_id = ${filter.from}`}
        ${after}
      order by ${order}
      limit ${filter.limit} offset ${page.order === 'best' ? page.skip : 0}
    )
    select h.room_id, h.seq, h.at::text as at,
      ts_headline('english', translate(e.body ->> 'text', ${marks.start + marks.end}, ''), q.words, ${headline}) as excerpt
    from q, hits h
    join room_events e on e.room_id = h.room_id and e.seq = h.seq
    where e.body ->> 'deletedAt' is null
    order by h.place`)
  return rows.map(({ room_id, ...row }) => ({ roomId: room_id, ...row }))
}

function words({ query, typed }: Wanted): Sql {
  const whole = said(query)
  if (typed === undefined) return whole
  const begun = sql`to_tsquery('simple', ${typed.last} || ':*')`
  return typed.rest === ''
    ? sql`(${whole} || ${begun})`
    : sql`(${whole} || (${said(typed.rest)} && ${begun}))`
}

/** Each word as it is written, or, in English, in another form; a phrase in quotes only as it is written. */
function said(query: string): Sql {
  if (query.includes('"')) return sql`websearch_to_tsquery('simple', ${query})`
  return sql`(websearch_to_tsquery('simple', ${query}) || websearch_to_tsquery('english', ${query}))`
}
