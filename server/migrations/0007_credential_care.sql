-- What it takes to keep credentials alive, and to say whose job it is where they are not.

-- {whose, action, label}: what mends a connection that is degraded or lost.
alter table connections add column remedy jsonb;
update connections set remedy = case status
    when 'degraded' then '{"whose": "person", "action": "allow_more", "label": "Allow the access"}'::jsonb
    else '{"whose": "person", "action": "reconnect", "label": "Reconnect"}'::jsonb
  end
where status <> 'active';

alter table credentials
  -- The name of this credential among those of its connection; Slack's is `bot`.
  add column slot text not null default 'main',
  -- Until when it can be refreshed, where the provider says so.
  add column refresh_expires_at timestamptz,
  -- When to refresh it even if nobody uses it, before it dies of that; null: it does not.
  add column keep_alive_at timestamptz;
-- All that Slack gave before were those of bots; connections of one team must go on knowing that they share one.
update credentials k set slot = 'bot' from connections c where c.id = k.connection_id and c.provider = 'slack';
-- Credentials from before this column: nobody noted their limits, and one refresh tells. Spread, so that it is no storm.
update credentials set keep_alive_at = now() + random() * interval '14 days' where refresh_token is not null;
create index credentials_keep_alive on credentials (keep_alive_at) where keep_alive_at is not null;

-- What one consent gives besides the credential that is used when nothing is said: Slack's token of the person. Each is
-- refreshed by itself, with a generation and a lease of its own, and is sealed under the data key of its connection.
create table further_credentials (
  connection_id uuid not null references credentials (connection_id) on delete cascade,
  slot text not null,
  access_token bytea not null,
  refresh_token bytea,
  generation bigint not null,
  issued_at timestamptz not null,
  expires_at timestamptz,
  refresh_expires_at timestamptz,
  keep_alive_at timestamptz,
  lease_holder uuid,
  lease_until timestamptz,
  unanswered boolean not null default false,
  -- Plain words: why it is gone, while the connection lives on from its other credentials.
  lost text,
  primary key (connection_id, slot)
);
create index further_credentials_keep_alive on further_credentials (keep_alive_at) where keep_alive_at is not null;
