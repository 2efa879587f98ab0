-- What went wrong, by kind, over all nodes and restarts; and how much each part of the house says.

create table error_groups (
  id                 text        primary key,
  code               text        not null,
  door               text        not null,
  place              text        not null,
  title              text        not null,
  stack              text,
  count              bigint      not null,
  first_seen_at      timestamptz not null,
  last_seen_at       timestamptz not null,
  example_request_id text,
  example_trace_id   text,
  resolved_at        timestamptz
);
create index error_groups_by_last_seen on error_groups (last_seen_at desc, id);

-- By minute; the older ones are thrown away.
create table error_counts (
  group_id text        not null references error_groups (id) on delete cascade,
  at       timestamptz not null,
  count    bigint      not null,
  primary key (group_id, at)
);
create index error_counts_by_time on error_counts (at);

create table log_levels (
  module text        primary key,
  level  text        not null,
  until  timestamptz not null,
  set_by uuid        not null
);
