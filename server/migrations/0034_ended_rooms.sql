-- A room ends at once, however much was said in it: its row goes, with its members and cursors, and with them the way to everything
-- else. What that is, is named here and deleted in pieces, by whichever process comes to it. A server of the version before ends
-- rooms in the same way, since all of it follows from the row.

create table ended_rooms (
  id       uuid        primary key,
  ended_at timestamptz not null default now(),
  -- Places from here on still hold something; after `head` there is nothing.
  place    bigint      not null,
  head     bigint      not null
);

-- Workers lock their turn first and the room second; publishers begin with the room.
lock table turns, rooms, room_search in access exclusive mode;
alter table turns drop constraint turns_room_id_fkey;
alter table room_search drop constraint room_search_room_id_fkey;

-- Nobody comes after the row is gone: events, reactions and pins are written under its lock; the search and the turns of a room
-- under the lock of a cursor that goes with the row.
create or replace function delete_events_of_room() returns trigger language plpgsql as $$
begin
  insert into ended_rooms (id, place, head) values (old.id, old.floor, old.seq);
  -- No worker takes them any more.
  delete from turns where room_id = old.id and status in ('queued', 'running', 'waiting_approval');
  return null;
end $$;

create index turns_open_by_room on turns (room_id) where status in ('queued', 'running', 'waiting_approval');
-- Turns take their approvals along, each by a look at this.
create index approvals_by_turn on approvals (turn_id);
