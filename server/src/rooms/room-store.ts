import type { Actor, Reaction, RoomEvent, RoomEventType } from '@atom/contract/rooms.ts'
import sql from 'sql-template-tag'
import { jsonArray, plainArray, textArray } from '#foundation/database/arrays.ts'
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
  /** Number of the oldest event that is kept; of the next one where none is. */
  readonly floor: number
}

export interface StoredPage extends Heads {
  readonly events: readonly RoomEvent[]
  /** Size of each event's stored body and of its reactions, in UTF-16 code units. */
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
  /** Written out already where many events have the same. */
  readonly at: Date | string
}

/** Somebody speaking in a room, however much they say in one batch. */
interface Voice {
  readonly draft: EventDraft
  readonly membersOnly: boolean
  /** Counted from 1, as SQL counts. */
  readonly number: number
  /** Shared by all voices of the room. */
  readonly room: { events: number }
  /** What the actor says in the room, by client id: where the first of that name stands in the batch. */
  readonly said: Map<string, number>
}

/** The voices of a batch. */
class Voices {
  readonly all: Voice[] = []
  readonly #byName = new Map<string, Voice>()
  readonly #rooms = new Map<string, Voice['room']>()
  readonly #said = new Map<string, Voice['said']>()
  #last: Voice | undefined

  of(draft: EventDraft, membersOnly: boolean): Voice {
    const { roomId, workspaceId, actor } = draft
    const last = this.#last
    // Whoever sends several messages in one frame has them one behind the other.
    if (
      last?.draft.roomId === roomId &&
      last.draft.actor.id === actor.id &&
      last.draft.actor.kind === actor.kind &&
      last.draft.workspaceId === workspaceId &&
      last.membersOnly === membersOnly
    ) {
      return last
    }
    const name = `${roomId} ${actor.id} ${actor.kind} ${workspaceId} ${membersOnly}`
    const voice = this.#byName.get(name) ?? this.#add(name, draft, membersOnly)
    this.#last = voice
    return voice
  }

  #add(name: string, draft: EventDraft, membersOnly: boolean): Voice {
    const voice: Voice = {
      draft,
      membersOnly,
      number: this.all.length + 1,
      room: entry(this.#rooms, draft.roomId, () => ({ events: 0 })),
      said: entry(this.#said, `${draft.roomId} ${draft.actor.id}`, () => new Map()),
    }
    this.all.push(voice)
    this.#byName.set(name, voice)
    return voice
  }
}

/** An event that `append_room_events` is asked to store. */
interface Asked {
  readonly draft: EventDraft
  readonly voice: Voice
  /** Among the events of its room in this batch, counted from 1. */
  readonly place: number
  readonly id: string
  /** It has been answered; whoever asks for the same again is told of a duplicate. */
  told: boolean
}

/** Where a batch stands among those that one session stores one behind the other. */
export interface Turn {
  /** Of this batch alone, for ever. */
  readonly name: string
  /** The name of the batch before, without which this one must not be stored; where absent, it follows none. */
  readonly behind?: string | undefined
}

/**
 * Stores drafts, in order, and answers for each what became of it. One statement, so outside a transaction it is one by
 * itself: when this resolves, everything is committed. `lookFirst`: duplicates are to be expected; without it they are found
 * just as well, but at the price of having stored the batch once in vain.
 */
export async function publish(
  db: Queryable,
  drafts: readonly EventDraft[],
  options: readonly PublishOptions[] = [],
  lookFirst = false,
): Promise<Verdict[]> {
  const verdicts = await publishInTurn(db, drafts, options, lookFirst, { name: newId() })
  if (verdicts === undefined) throw new Error('append_room_events answered nothing')
  return verdicts
}

/**
 * As `publish`, but on a session to which the batch before may only just have been sent. Undefined: nothing was stored, because
 * the last that this session has stored is not that batch.
 */
export async function publishInTurn(
  db: Queryable,
  drafts: readonly EventDraft[],
  options: readonly PublishOptions[],
  lookFirst: boolean,
  turn: Turn,
): Promise<Verdict[] | undefined> {
  if (drafts.length === 0) return []
  const voices = new Voices()
  const asked: Asked[] = []
  // The function stores each client id once; what was given twice in one batch is told the place of the first.
  const indexes = drafts.map((draft, index) => {
    const voice = voices.of(draft, options[index]?.membersOnly ?? false)
    const first = voice.said.get(draft.clientId)
    if (first !== undefined) return first
    voice.said.set(draft.clientId, asked.length)
    const place = ++voice.room.events
    return asked.push({ draft, voice, place, id: draft.id ?? newId(), told: false }) - 1
  })
  // `offset 0` keeps `turn` a step of its own, from which the function takes an argument: without its row it is not called. The
  // setting is the session's, and goes back to what it was where this is rolled back.
  const [row] = await db.query<{
    moment: Date
    standings: ('not_found' | 'not_a_member' | null)[]
    names: (string | null)[]
    seqs: (number | null)[]
    repeats:
      | {
          readonly place: number
          readonly seq: number
          readonly id: string
          readonly at: string
          readonly type: RoomEventType
          readonly body: Record<string, unknown>
        }[]
      | null
  }>(sql`
    select stored.*, set_config('atom.batch', ${turn.name}, false)
    from (
      select ${lookFirst}::boolean as look_first
      where ${turn.behind ?? null}::text is null or current_setting('atom.batch', true) = ${turn.behind ?? null}
      offset 0
    ) as turn,
    lateral append_room_events(
      ${textArray(voices.all.map(({ draft }) => draft.roomId))}::uuid[],
      ${textArray(voices.all.map(({ draft }) => draft.workspaceId ?? null))}::uuid[],
      ${plainArray(voices.all.map(({ membersOnly }) => membersOnly))}::boolean[],
      ${textArray(voices.all.map(({ draft }) => draft.actor.kind))}::text[],
      ${textArray(voices.all.map(({ draft }) => draft.actor.id))}::uuid[],
      ${plainArray(asked.map(({ voice }) => voice.number))}::integer[],
      ${plainArray(asked.map(({ place }) => place))}::integer[],
      ${textArray(asked.map(({ id }) => id))}::uuid[],
      ${textArray(asked.map(({ draft }) => draft.type))}::text[],
      ${textArray(asked.map(({ draft }) => draft.clientId))}::text[],
      ${jsonArray(asked.map(({ draft }) => draft.body))}::jsonb[],
      turn.look_first
    ) as stored`)
  if (row === undefined) return undefined
  const at = row.moment.toISOString()
  const repeats = new Map(row.repeats?.map((repeat) => [repeat.place - 1, repeat]))
  return indexes.map((index): Verdict => {
    const one = asked[index]
    if (one === undefined) throw new Error('a draft is not part of its own batch')
    const standing = row.standings[one.voice.number - 1]
    if (standing) return { verdict: standing }
    const { roomId, actor, clientId } = one.draft
    const repeat = repeats.get(index)
    const seq = repeat?.seq ?? row.seqs[index] ?? undefined
    if (seq === undefined) throw new Error('append_room_events left an event without a place')
    const id = repeat?.id ?? one.id
    const event = toEvent(
      {
        seq,
        id,
        type: repeat?.type ?? one.draft.type,
        actor_kind: actor.kind,
        actor_id: actor.id,
        actor_name: row.names[one.voice.number - 1] ?? null,
        client_id: clientId,
        at: repeat === undefined ? at : new Date(repeat.at),
      },
      repeat?.body ?? one.draft.body,
    )
    const duplicate = one.told || repeat !== undefined
    one.told = true
    return { verdict: 'stored', roomId, seq, id, clientId, at: event.at, duplicate, event }
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
    sizes.push(body.length + sizeOf(row.reactions ?? []))
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
  const rows = await db.query<Heads & { id: string }>(sql`
    select id, epoch, seq as head, floor from rooms where id = any (${roomIds}::uuid[])`)
  return new Map(rows.map(({ id, ...heads }) => [id, heads]))
}

function toReadEvent({ body, reactions, ...row }: ReadRow): RoomEvent {
  return toEvent(row, {
    ...(JSON.parse(body) as Record<string, unknown>),
    ...(reactions !== null && { reactions }),
  })
}

/** As JSON, near enough. */
function sizeOf(reactions: readonly Reaction[]): number {
  return reactions.reduce((size, { emoji, by }) => size + emoji.length + 20 + by.length * 39, 0)
}

/** The row as the contract shows it. Fields of the frame come last, so that no stored body can stand in for them. */
function toEvent(row: EventRow, body: Readonly<Record<string, unknown>>): RoomEvent {
  const event = {
    ...body,
    ...(row.type === 'message.created' && { id: row.id, clientId: row.client_id }),
    ...(row.type === 'message.final' && { id: row.id }),
    seq: row.seq,
    type: row.type,
    at: typeof row.at === 'string' ? row.at : row.at.toISOString(),
    actor: { kind: row.actor_kind, id: row.actor_id, name: row.actor_name ?? nameless(row.actor_kind) },
  }
  return event as RoomEvent
}

function nameless(kind: Actor['kind']): string {
  return kind === 'system' ? 'Atom' : 'Somebody who was here'
}

/** What a map holds under a key, made where it holds nothing yet. */
function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}
