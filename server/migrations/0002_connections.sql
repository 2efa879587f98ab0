-- The operator's apps at providers, attempts to connect (flows), connections and their sealed credentials.
-- Everything secret here is sealed by the envelope before it comes near the database; nothing has a plaintext column.

create table provider_apps (
  id uuid primary key,
  workspace_id uuid not null,
  provider text not null,
  client_id text not null,
  data_key bytea not null,
  client_secret bytea not null,
  -- Raised with every new secret; part of what the ciphertext is bound to.
  version bigint not null,
  -- null: the provider's standard scopes.
  scopes text[],
  configured_by uuid not null,
  configured_at timestamptz not null,
  -- Replaced or removed, but connections still live from it; goes with the last of them.
  retired_at timestamptz
);
create unique index provider_apps_current on provider_apps (workspace_id, provider) where retired_at is null;

create table connection_flows (
  id uuid primary key,
  workspace_id uuid not null,
  account_id uuid not null,
  provider text not null,
  -- null: the sandbox's app.
  app_id uuid references provider_apps (id) on delete cascade,
  client_id text not null,
  state_hash text not null unique,
  browser_hash text not null,
  redirect_uri text not null,
  return_to text not null,
  scopes text[] not null,
  data_key bytea not null,
  -- PKCE verifier and nonce.
  secrets bytea not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz
);
create index connection_flows_old on connection_flows (expires_at);

create table connections (
  id uuid primary key,
  workspace_id uuid not null,
  owner_id uuid not null,
  provider text not null,
  -- null: the sandbox's app.
  app_id uuid references provider_apps (id),
  client_id text not null,
  sandbox boolean not null,
  status text not null check (status in ('active', 'degraded', 'needs_reconnect')),
  reason text,
  identity_id text not null,
  -- name, handle, email, avatarUrl (data:)
  identity jsonb not null,
  scopes text[] not null,
  missing_scopes text[] not null,
  connected_at timestamptz not null,
  last_used_at timestamptz,
  check (sandbox = (app_id is null)),
  -- The same person at the provider, connected again by the same account, is the same connection.
  unique (workspace_id, owner_id, provider, sandbox, identity_id)
);
create index connections_by_owner on connections (workspace_id, owner_id, id);
create index connections_by_app on connections (app_id);
create index connections_by_grant on connections (provider, client_id, identity_id);

-- Apart from `connections`, so that nothing that writes the facts of a connection can write an old token back.
create table credentials (
  connection_id uuid primary key references connections (id) on delete cascade,
  workspace_id uuid not null,
  -- Deleting it makes every copy of the ciphertexts unreadable.
  data_key bytea not null,
  access_token bytea not null,
  refresh_token bytea,
  -- The fencing token: raised by every new pair, named by every write, part of what the ciphertexts are bound to.
  generation bigint not null,
  issued_at timestamptz not null,
  -- null: the provider does not say.
  expires_at timestamptz,
  -- Who may refresh now. The database's clock rules, being the only one that all processes share.
  lease_holder uuid,
  lease_until timestamptz,
  -- A refresh token was sent and no answer to it is stored: the provider may have replaced it.
  unanswered boolean not null default false
);
