-- What the proxy keeps: capabilities that connections were lent out with, and writes that must not happen twice.

create table connection_capabilities (
  id uuid primary key,
  workspace_id uuid not null,
  connection_id uuid not null references connections (id) on delete cascade,
  created_by uuid not null,
  -- SHA-256 of the token; only its bearer has the token itself.
  token_hash text not null unique,
  methods text[] not null,
  paths text[] not null,
  -- null: as many as the provider takes.
  rate_per_minute integer,
  -- Until when the calls made so far use up the rate; in the past: all of it is free.
  used_up_until timestamptz not null default '-infinity',
  created_at timestamptz not null,
  expires_at timestamptz not null,
  last_used_at timestamptz
);
create index connection_capabilities_of on connection_capabilities (connection_id, id);
create index connection_capabilities_old on connection_capabilities (expires_at);

-- A write with an Idempotency-Key: the row is there before the request leaves.
create table proxied_writes (
  id uuid primary key,
  workspace_id uuid not null,
  connection_id uuid not null references connections (id) on delete cascade,
  -- Account, agent or capability: a key of one says nothing to another.
  caller_id uuid not null,
  key_hash text not null,
  request_hash text not null,
  -- answered: status is there, and the answer is in kept_answers unless it was too long.
  state text not null check (state in ('sent', 'answered', 'unknown')),
  status integer,
  -- Whoever sends has settled it by then, or is dead. The database's clock rules.
  sender_until timestamptz not null,
  expires_at timestamptz not null,
  unique (connection_id, caller_id, key_hash)
);
create index proxied_writes_old on proxied_writes (expires_at);

create table kept_answers (
  write_id uuid primary key references proxied_writes (id) on delete cascade,
  workspace_id uuid not null,
  data_key bytea not null,
  sealed bytea not null
);
