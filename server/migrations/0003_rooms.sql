-- Rooms: durable timelines. A room's events are numbered 1, 2, 3, … without gaps, and commit order is number order: both
-- follow from taking the number from the locked row of the room inside the writing transaction. A sequence would not do: it
-- skips numbers on rollback and lets a reader see 2 before 1 is committed, so that 1 is never delivered.

create table rooms (
  id           uuid primary key,
  workspace_id uuid        not null,
  name         text        not null,
  -- Changes only when the timeline was restored from a backup or purged: cursors of another epoch are void.
  epoch        uuid        not null,
  seq          bigint      not null default 0,
  -- Oldest event still kept.
  floor        bigint      not null default 1,
  created_by   uuid        not null,
  created_at   timestamptz not null default now(),
  active_at    timestamptz not null default now()
) with (fillfactor = 50); -- seq changes with every event: free space on the page keeps those updates off the index (HOT)

create index rooms_workspace on rooms (workspace_id);

create table room_members (
  room_id      uuid        not null references rooms (id) on delete cascade,
  kind         text        not null check (kind in ('account', 'agent')),
  member_id    uuid        not null,
  workspace_id uuid        not null,
  name         text        not null,
  joined_at    timestamptz not null default now(),
  joined_seq   bigint      not null default 0,
  read_seq     bigint      not null default 0,
  -- The row of somebody who left stays: it is where the name of the author of old events is read from.
  left_at      timestamptz,
  primary key (room_id, kind, member_id)
);

create index room_members_member on room_members (member_id, kind) where left_at is null;

create table room_events (
  room_id      uuid        not null references rooms (id) on delete cascade,
  seq          bigint      not null,
  workspace_id uuid        not null,
  id           uuid        not null,
  type         text        not null,
  actor_kind   text        not null check (actor_kind in ('account', 'agent', 'system')),
  actor_id     uuid        not null,
  client_id    text        not null,
  at           timestamptz not null,
  body         jsonb       not null,
  primary key (room_id, seq),
  -- Permanent: a message sent again a month later is still the same message.
  unique (room_id, actor_id, client_id)
);

-- Publishes a batch of events, in input order, and says for each what became of it.
--
--   workspaces[i]  the caller's workspace, or null for the server's own events: another workspace's room is 'not_found'
--   members_only   true: an actor that is not in the room is refused with 'not_a_member'
--
-- verdict is 'new', 'duplicate' (then the event_* columns are those of the first time; event_body is told only then), 'not_found'
-- or 'not_a_member'. The batch itself must not hold the same (room, actor, client id) twice; the caller folds those.
--
-- Why a function: in READ COMMITTED a single statement keeps the snapshot it took before it waited for the lock, so its
-- search for duplicates would miss one that another process has just committed. Inside a volatile function every statement
-- sees what the lock waited for. Locks are taken in id order, so that two processes never wait for each other.
create function publish_room_events(
  rooms_in uuid[], workspaces uuid[], members_only boolean[], ids uuid[], types text[],
  actor_kinds text[], actors uuid[], client_ids text[], bodies text[]
) returns table (
  place integer, verdict text, event_seq bigint, event_id uuid, event_at timestamptz, event_type text, event_body jsonb,
  actor_name text
) language plpgsql as $$
declare
  moment timestamptz;
  news text;
begin
  perform 1 from rooms where id = any (rooms_in) order by id for no key update;
  -- After the lock, so that time never runs backwards within a room.
  moment := clock_timestamp();

  return query
  with input as materialized (
    select t.*, r.seq as base, r.workspace_id as owner, m.name as member_name, stored.seq as stored_seq,
      stored.id as stored_id, stored.at as stored_at, stored.type as stored_type, stored.body as stored_body,
      case
        when r.id is null or r.workspace_id <> coalesce(t.workspace, r.workspace_id) then 'not_found'
        when t.member_only and (m.member_id is null or m.left_at is not null) then 'not_a_member'
        when stored.seq is not null then 'duplicate'
        else 'new'
      end as outcome
    from unnest(rooms_in, workspaces, members_only, ids, types, actor_kinds, actors, client_ids, bodies) with ordinality
      as t (room, workspace, member_only, id, type, actor_kind, actor, client, body, ord)
    left join rooms r on r.id = t.room
    left join room_members m on m.room_id = t.room and m.kind = t.actor_kind and m.member_id = t.actor
    -- An index probe per row: as an anti join over the batch this was measured five times slower.
    left join lateral (
      select e.seq, e.id, e.at, e.type, e.body from room_events e
      where e.room_id = t.room and e.actor_id = t.actor and e.client_id = t.client
    ) stored on true
  ), fresh as materialized (
    select i.*, i.base + row_number() over (partition by i.room order by i.ord) as new_seq
    from input i where i.outcome = 'new'
  ), inserted as (
    insert into room_events (room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body)
    select f.room, f.new_seq, f.owner, f.id, f.type, f.actor_kind, f.actor, f.client, moment, f.body::jsonb from fresh f
  ), numbered as (
    update rooms r set seq = top.seq, active_at = moment
    from (select f.room, max(f.new_seq) as seq from fresh f group by f.room) top
    where r.id = top.room
  )
  select i.ord::integer, i.outcome,
    case i.outcome when 'new' then f.new_seq when 'duplicate' then i.stored_seq end,
    case i.outcome when 'new' then i.id when 'duplicate' then i.stored_id end,
    case i.outcome when 'new' then moment when 'duplicate' then i.stored_at end,
    case i.outcome when 'new' then i.type when 'duplicate' then i.stored_type end,
    case i.outcome when 'duplicate' then i.stored_body end,
    i.member_name
  from input i left join fresh f on f.ord = i.ord
  order by i.ord;

  -- NOTIFY takes a lock over the whole database until the commit ends, so one per batch and never one per event. The payload
  -- may hold 8,000 bytes; a room takes up to 57, so a batch over more than 120 rooms needs a second one, in the same commit.
  for news in
    select string_agg(touched.id || ':' || touched.seq, ' ')
    from (
      select r.id, r.seq, (row_number() over (order by r.id) - 1) / 120 as part
      from rooms r where r.id = any (rooms_in) and r.active_at = moment
    ) touched
    group by touched.part
  loop
    perform pg_notify('atom_rooms', news);
  end loop;
end $$;
