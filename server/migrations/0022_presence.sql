-- Who is connected where. A row counts as long as its node says that it lives, so the crash of a node takes its people with it.
-- Unlogged: it costs no write-ahead log, and after a crash of the database every node writes its own rows anew.

create unlogged table nodes (
  id      uuid        primary key,
  beat_at timestamptz not null
);

create unlogged table node_people (
  node_id    uuid not null references nodes (id) on delete cascade,
  account_id uuid not null,
  state      text not null check (state in ('active', 'away')),
  primary key (node_id, account_id)
);
create index node_people_by_account on node_people (account_id);
