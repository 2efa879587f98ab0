-- People, workspaces, membership, sign-in sessions, invitations, and the keys that sign access tokens.

create table workspaces (
  id         uuid primary key,
  name       text not null,
  created_at timestamptz not null
);

create table accounts (
  id            uuid primary key,
  email         text not null,
  -- The address in lower case: what makes two spellings one person.
  email_key     text not null unique,
  name          text not null,
  password_hash text not null,
  created_at    timestamptz not null
);

create table memberships (
  workspace_id uuid not null references workspaces (id),
  account_id   uuid not null references accounts (id),
  role         text not null check (role in ('owner', 'admin', 'member')),
  joined_at    timestamptz not null,
  primary key (workspace_id, account_id)
);
create index memberships_account on memberships (account_id);

-- At most one row, ever: whoever inserts it has set this server up, and nobody else can.
create table installation (
  only_one     boolean primary key default true check (only_one),
  workspace_id uuid not null references workspaces (id) deferrable initially deferred,
  at           timestamptz not null
);

create table sessions (
  id           uuid primary key,
  workspace_id uuid not null,
  account_id   uuid not null,
  user_agent   text not null,
  created_at   timestamptz not null,
  last_used_at timestamptz not null,
  -- Nothing renews a session beyond this.
  expires_at   timestamptz not null,
  ended_at     timestamptz,
  end_reason   text check (end_reason in ('logout', 'ended', 'reuse')),
  foreign key (workspace_id, account_id) references memberships (workspace_id, account_id)
);
create index sessions_account on sessions (workspace_id, account_id, id) where ended_at is null;
create index sessions_ended on sessions (ended_at) where ended_at is not null;

-- The refresh tokens of a session, newest unused, older ones kept to notice their reuse. A successor is not stored: it is
-- computed from its predecessor (which only its holder knows) and `successor_salt`.
create table refresh_tokens (
  token_hash     text primary key,
  session_id     uuid not null references sessions (id),
  workspace_id   uuid not null,
  created_at     timestamptz not null,
  expires_at     timestamptz not null,
  used_at        timestamptz,
  successor_salt bytea
);
create index refresh_tokens_session on refresh_tokens (session_id, expires_at);

create table invitations (
  id           uuid primary key,
  workspace_id uuid not null references workspaces (id),
  email        text not null,
  role         text not null check (role in ('admin', 'member')),
  token_hash   text not null unique,
  invited_by   uuid not null references accounts (id),
  created_at   timestamptz not null,
  expires_at   timestamptz not null,
  accepted_at  timestamptz,
  accepted_by  uuid references accounts (id),
  withdrawn_at timestamptz
);
create index invitations_workspace on invitations (workspace_id, id);

-- Keys that sign access tokens. The one without `retired_at` signs; a retired one still verifies until its last token is over.
create table signing_keys (
  kid         text primary key,
  public_key  jsonb not null,
  wrapped_key bytea not null,
  private_key bytea not null,
  created_at  timestamptz not null,
  retired_at  timestamptz
);
create unique index signing_keys_current on signing_keys ((true)) where retired_at is null;
