-- What has happened to each connection, for the person who owns it. Goes with the connection.
create table connection_events (
  -- UUIDv7: the order of happening.
  id uuid primary key,
  connection_id uuid not null references connections (id) on delete cascade,
  workspace_id uuid not null,
  at timestamptz not null,
  kind text not null,
  detail text not null,
  -- The pair of tokens that it led to, or was about.
  generation bigint,
  duration_ms integer,
  -- The same failure again and again is one row: how often, and when last.
  times integer not null default 1,
  last_at timestamptz not null
);
create index connection_events_newest on connection_events (connection_id, id desc);

-- What the person was asked to allow; `scopes` is what they did allow, in the provider's words.
alter table connections add column asked_scopes text[] not null default '{}';
update connections set asked_scopes = scopes || missing_scopes;

-- Consent for this connection and no other: whoever disconnects it meanwhile ends the attempt.
alter table connection_flows add column target_id uuid references connections (id) on delete cascade;
create index connection_flows_by_target on connection_flows (target_id) where target_id is not null;

-- What an operator says of an app, for the forecast of what will end.
alter table provider_apps add column secret_expires_at timestamptz;
alter table provider_apps add column testing boolean not null default false;
