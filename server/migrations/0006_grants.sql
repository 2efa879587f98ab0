-- Connections that come about without an authorization code: by a device code, by the app's own name, by an assertion, by an
-- installation, by another token, or by a key.

-- How the connection came about, which decides how its access is renewed.
alter table connections add column flow text not null default 'authorization_code';
-- A key needs no app, and yet may be one of the real provider's.
alter table connections drop constraint connections_check;
alter table connections add constraint connections_sandbox_check check (not sandbox or app_id is null);

alter table connection_flows add column flow text not null default 'authorization_code';
-- What became of it, for whoever began it; both null while it runs. No reference: a connection may go before its flow is
-- forgotten.
alter table connection_flows add column connection_id uuid;
-- An error code of the contract.
alter table connection_flows add column problem text;

-- Device codes that are still being asked for (RFC 8628 3.4). A row is there until the provider has given its last word, so
-- a server that comes back goes on asking.
create table device_polls (
  flow_id uuid primary key references connection_flows (id) on delete cascade,
  next_poll_at timestamptz not null,
  -- Grows by five with each `slow_down`.
  interval_seconds integer not null,
  -- Who asks now. The database's clock rules, being the only one that all processes share.
  lease_holder uuid,
  lease_until timestamptz
);
create index device_polls_due on device_polls (next_poll_at);
