-- What is counted, over time, and what is made of it: objectives, and alerts with their deliveries.

-- Where the request that caused a turn is traced, the turn goes on in that trace (W3C Trace Context).
alter table turns add column traceparent text;

-- One row says what one metric was in `step` seconds from `at` on. Written every ten seconds by each node; merged into coarser
-- steps, without the node, and deleted when a step has been kept long enough.
create table metric_history (
  step integer not null check (step in (10, 60, 600, 3600)),
  metric text not null,
  at timestamptz not null,
  -- A route, a provider, a class; '' where the metric has no parts.
  label text not null default '',
  node text not null default '',
  -- Durations: how many. Levels: how often it was looked. Counts: 0.
  count bigint not null,
  sum double precision not null,
  peak double precision not null,
  -- The sparse histogram of durations: place, count, place, count …
  counts integer[] not null default '{}',
  primary key (step, metric, at, label, node)
);
create index metric_history_by_age on metric_history (step, at);

-- What a class of requests is meant to be. `target` is the part that has to be good.
create table objectives (
  id uuid primary key,
  class text not null,
  kind text not null check (kind in ('availability', 'latency')),
  target double precision not null check (target > 0.5 and target < 1),
  threshold_ms integer check (threshold_ms > 0),
  -- Fewer bad ones in the long window never raise an alert: one failure of three requests is no trend.
  least_bad integer not null default 5 check (least_bad > 0),
  enabled boolean not null default true,
  updated_by uuid,
  updated_at timestamptz not null default now(),
  unique (class, kind),
  check ((kind = 'latency') = (threshold_ms is not null))
);
insert into objectives (id, class, kind, target, threshold_ms) values
  ('0199e000-0000-7000-8000-000000000001', 'api', 'availability', 0.999, null),
  ('0199e000-0000-7000-8000-000000000002', 'api', 'latency', 0.99, 500),
  ('0199e000-0000-7000-8000-000000000003', 'sign_in', 'availability', 0.999, null),
  ('0199e000-0000-7000-8000-000000000004', 'sign_in', 'latency', 0.99, 2000),
  ('0199e000-0000-7000-8000-000000000005', 'messages', 'availability', 0.999, null),
  ('0199e000-0000-7000-8000-000000000006', 'messages', 'latency', 0.99, 500),
  ('0199e000-0000-7000-8000-000000000007', 'proxy', 'availability', 0.995, null);

create table alerts (
  id uuid primary key,
  -- What raised it, and about what: one alert of a kind and subject fires at a time.
  kind text not null,
  subject text not null,
  severity text not null check (severity in ('page', 'ticket')),
  title text not null,
  why text not null,
  look_at text not null,
  since timestamptz not null,
  updated_at timestamptz not null,
  resolved_at timestamptz,
  resolution text
);
create unique index alerts_firing on alerts (kind, subject) where resolved_at is null;
create index alerts_by_time on alerts (since desc, id desc);

-- Where alerts go besides the dashboard. One row.
create table alert_targets (
  only_one boolean primary key default true check (only_one),
  workspace_id uuid,
  room_id uuid,
  webhook_url text,
  -- Sealed; the key it is signed with.
  webhook_key bytea,
  webhook_secret bytea,
  updated_by uuid,
  updated_at timestamptz not null default now()
);

create table alert_deliveries (
  id uuid primary key,
  alert_id uuid not null references alerts (id) on delete cascade,
  news text not null check (news in ('firing', 'resolved')),
  channel text not null check (channel in ('room', 'webhook')),
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  ended_at timestamptz,
  -- Null: delivered.
  failure text,
  unique (alert_id, news, channel)
);
create index alert_deliveries_due on alert_deliveries (due_at) where ended_at is null;
