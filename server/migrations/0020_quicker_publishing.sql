-- Publishing at less than half the work for each event (measured in docs/decisions/0120). `publish_room_events` of 0003 stays:
-- a server of the version before may still run beside this one. Both lock the same rows before they look or number, so both may
-- write into one room. It goes with a later migration.

-- Publishers lock rooms first and room_events second; in the other order this would wait for them while they wait for it. What is
-- changed here is the catalogue alone: the lock is held for as long as this migration takes, whatever the tables hold.
lock table rooms, room_events in access exclusive mode;

-- A foreign key is checked for each row, by a query for each row: a quarter of all the work. What it promised holds without it.
-- Events are only written by the functions that hold the lock of their room's row, which a delete of that row waits for; and
-- when the room goes, this takes its events along.
alter table room_events drop constraint room_events_room_id_fkey;

create function delete_events_of_room() returns trigger language plpgsql as $$
begin
  delete from room_events where room_id = old.id;
  return null;
end $$;

create trigger events_go_with_their_room after delete on rooms for each row execute function delete_events_of_room();

-- Publishes a batch of events, in input order, and says for each what became of it.
--
-- A voice is somebody speaking in a room, named once however much it says:
--   workspaces[v]    the caller's workspace, or null for the server's own events: another workspace's room is 'not_found'
--   members_only[v]  true: an actor that is not in the room is refused with 'not_a_member'
-- An event is what a voice says:
--   voices[i]        which, counted from 1
--   places[i]        1 for the first event of its room in this batch, 2 for the second, …
-- The batch must not hold the same (room, actor, client id) twice; the caller folds those.
--
-- Answers, beside the moment of all new events:
--   standings[v]     why nothing of this voice was stored ('not_found', 'not_a_member'), or null
--   names[v]         the actor's name in that room, where it was ever a member
--   seqs[i]          the event's number, or null where it is refused or was there already
--   repeats          those that were there already: [{place: i, seq, id, at, type, body}, …], or null
--
-- Why a function: in READ COMMITTED a single statement keeps the snapshot it took before it waited for the lock, so its
-- search for duplicates would miss one that another process has just committed. Inside a volatile function every statement
-- sees what the lock waited for. Locks are taken in id order, so that two processes never wait for each other.
--
-- Duplicates are rare, and looking for them costs a fifth of everything. So the events are stored as if there were none, and only
-- when the unique index objects are they looked for, and the rest numbered anew. That leaves dead rows behind: `look_first` says
-- that duplicates are about, and to look before writing.
--
-- The settings: a plan is kept by a session for hours, and one made while the tables were small must not read all of them when
-- they have grown.
create function append_room_events(
  rooms_in uuid[], workspaces uuid[], members_only boolean[], actor_kinds text[], actors uuid[],
  voices integer[], places integer[], ids uuid[], types text[], client_ids text[], bodies jsonb[], look_first boolean,
  out moment timestamptz, out standings text[], out names text[], out seqs bigint[], out repeats jsonb
) language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan set jit = off as $$
declare
  owners uuid[];
  heads bigint[];
  refused boolean;
  stored bigint[];
  news text;
begin
  perform 1 from rooms where id = any (rooms_in) order by id for no key update;
  -- After the lock, so that time never runs backwards within a room.
  moment := clock_timestamp();

  select array_agg(s.standing order by s.voice), array_agg(s.name order by s.voice), array_agg(s.owner order by s.voice),
    array_agg(s.head order by s.voice), bool_or(s.standing is not null)
  into standings, names, owners, heads, refused
  from (
    select t.voice, m.name, r.workspace_id as owner, r.seq as head,
      case
        when r.id is null or r.workspace_id <> coalesce(t.workspace, r.workspace_id) then 'not_found'
        when t.member_only and (m.name is null or m.left_at is not null) then 'not_a_member'
      end as standing
    from unnest(rooms_in, workspaces, members_only, actor_kinds, actors) with ordinality
      as t (room, workspace, member_only, actor_kind, actor, voice)
    left join rooms r on r.id = t.room and r.id = any (rooms_in)
    -- The limit keeps it an index probe for each voice.
    left join lateral (
      select m.name, m.left_at from room_members m
      where m.room_id = t.room and m.kind = t.actor_kind and m.member_id = t.actor limit 1
    ) m on true
  ) s;

  loop
    if look_first then
      select array_agg(t.place), jsonb_agg(jsonb_build_object(
        'place', t.place, 'seq', e.seq, 'id', e.id, 'at', e.at, 'type', e.type, 'body', e.body
      ))
      into stored, repeats
      from unnest(voices, client_ids) with ordinality as t (voice, client, place)
      cross join lateral (
        select e.seq, e.id, e.at, e.type, e.body from room_events e
        where e.room_id = rooms_in[t.voice] and e.actor_id = actors[t.voice] and e.client_id = t.client limit 1
      ) e
      where standings[t.voice] is null;
    end if;

    -- What is refused or there already takes no place: those behind it move up.
    if refused or stored is not null then
      select array_agg(n.place order by n.ord) into places
      from (
        select t.ord, case when t.fresh then row_number() over (partition by t.room, t.fresh order by t.ord) end as place
        from (
          select u.ord, rooms_in[u.voice] as room,
            standings[u.voice] is null and u.ord <> all (coalesce(stored, '{}')) as fresh
          from unnest(voices) with ordinality as u (voice, ord)
        ) t
      ) n;
    end if;

    begin
      insert into room_events (room_id, seq, workspace_id, id, type, actor_kind, actor_id, client_id, at, body)
      select v.room, v.head + t.place, v.owner, t.id, t.type, v.actor_kind, v.actor, t.client, moment, t.body
      from unnest(voices, places, ids, types, client_ids, bodies) as t (voice, place, id, type, client, body)
      join unnest(rooms_in, heads, owners, actor_kinds, actors) with ordinality
        as v (room, head, owner, actor_kind, actor, voice) on v.voice = t.voice
      where t.place is not null;
      exit;
    exception when unique_violation then
      -- The rooms are locked: what was not there when it was looked for cannot be there now.
      if look_first then raise; end if;
      look_first := true;
    end;
  end loop;

  select array_agg(heads[t.voice] + t.place order by t.ord) into seqs
  from unnest(voices, places) with ordinality as t (voice, place, ord);

  update rooms r set seq = r.seq + top.place, active_at = moment
  from (
    select rooms_in[t.voice] as room, max(t.place) as place
    from unnest(voices, places) as t (voice, place) where t.place is not null group by 1
  ) top
  where r.id = top.room and r.id = any (rooms_in);

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
