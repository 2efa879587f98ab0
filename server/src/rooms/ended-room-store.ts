import sql from 'sql-template-tag'
import type { Queryable } from '#foundation/database/pool.ts'

/** Places of a room: the first, and the one behind the last. */
export interface Places {
  readonly from: number
  readonly to: number
}

/** The next so many places of an ended room, which nobody else takes until the end of the transaction. Undefined: nothing is left. */
export async function takeNext(
  db: Queryable,
  most: number,
): Promise<{ readonly roomId: string; readonly places: Places; readonly last: boolean } | undefined> {
  const [row] = await db.query<{ id: string; place: number; head: number }>(sql`
    select id, place, head from ended_rooms order by ended_at, id limit 1 for update skip locked`)
  if (row === undefined) return undefined
  const to = row.place + most
  return { roomId: row.id, places: { from: row.place, to }, last: to > row.head }
}

/** What was said there, and with it reactions and pins; and what finds it again. */
export async function deletePlaces(db: Queryable, roomId: string, { from, to }: Places): Promise<void> {
  await db.query(sql`delete from room_search where room_id = ${roomId} and seq >= ${from} and seq < ${to}`)
  await db.query(sql`delete from room_events where room_id = ${roomId} and seq >= ${from} and seq < ${to}`)
}

export async function goOnFrom(db: Queryable, roomId: string, place: number): Promise<void> {
  await db.query(sql`update ended_rooms set place = ${place} where id = ${roomId}`)
}

export async function forget(db: Queryable, roomId: string): Promise<void> {
  await db.query(sql`delete from ended_rooms where id = ${roomId}`)
}
