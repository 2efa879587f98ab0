-- What operators have changed about limits, and whom they let through or keep out for a time.

create table limit_changes (
  policy     text             primary key,
  burst      integer          not null check (burst > 0),
  per_second double precision not null check (per_second > 0),
  changed_by uuid             not null references accounts (id),
  changed_at timestamptz      not null
);

create table caller_rules (
  id         uuid        primary key,
  verdict    text        not null check (verdict in ('allow', 'block')),
  -- One of the two. Text, because only servers compare addresses, by the rules of `http/callers`.
  network    text,
  account_id uuid        references accounts (id),
  reason     text        not null,
  created_by uuid        not null references accounts (id),
  created_at timestamptz not null,
  expires_at timestamptz not null,
  check ((network is null) <> (account_id is null))
);
