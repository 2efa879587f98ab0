-- Rooms for people: direct rooms, roles, how each member has a room, reactions, pins, and an index of what was said.

alter table rooms
  add column kind text not null default 'group' check (kind in ('direct', 'group')),
  -- Of a direct room: its two members, in order. That makes it one room however often and from whichever side it is opened.
  add column direct_key text;
create unique index rooms_direct on rooms (workspace_id, direct_key) where direct_key is not null;

alter table room_members
  add column role text not null default 'member' check (role in ('owner', 'admin', 'member')),
  add column muted boolean not null default false,
  add column pinned boolean not null default false;
update room_members m set role = 'owner' from rooms r
where r.id = m.room_id and m.kind = 'account' and m.member_id = r.created_by;

create table room_reactions (
  room_id   uuid        not null,
  seq       bigint      not null,
  emoji     text        not null,
  kind      text        not null check (kind in ('account', 'agent')),
  member_id uuid        not null,
  at        timestamptz not null default clock_timestamp(),
  primary key (room_id, seq, emoji, member_id),
  foreign key (room_id, seq) references room_events (room_id, seq) on delete cascade
);

create table room_pins (
  room_id     uuid        not null,
  seq         bigint      not null,
  pinned_kind text        not null check (pinned_kind in ('account', 'agent')),
  pinned_by   uuid        not null,
  pinned_at   timestamptz not null default clock_timestamp(),
  primary key (room_id, seq),
  foreign key (room_id, seq) references room_events (room_id, seq) on delete cascade
);

-- Where a deleted message was quoted by its own edits. Partial: a message that is only sent pays nothing for it.
create index room_events_edits on room_events (room_id, ((body ->> 'targetSeq')::bigint))
  where type = 'message.edited';

-- What was said, to be found again. It is filled a moment after the commit, from the timeline and its own cursor, so that
-- sending does not wait for a search index, and so that it can be thrown away and made anew at any time.
create table room_search (
  room_id      uuid        not null references rooms (id) on delete cascade,
  seq          bigint      not null,
  workspace_id uuid        not null,
  actor_id     uuid        not null,
  at           timestamptz not null,
  words        tsvector    not null,
  primary key (room_id, seq)
);
create index room_search_words on room_search using gin (words);

create table room_search_cursors (
  room_id uuid   primary key references rooms (id) on delete cascade,
  seq     bigint not null
);

-- What agents did in a room goes with the room.
delete from turns t where not exists (select 1 from rooms r where r.id = t.room_id);
alter table turns add foreign key (room_id) references rooms (id) on delete cascade;
delete from agent_cursors c where not exists (select 1 from rooms r where r.id = c.room_id);
alter table agent_cursors add foreign key (room_id) references rooms (id) on delete cascade;
