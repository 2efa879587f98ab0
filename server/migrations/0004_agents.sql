-- Agents, what they were asked (turns), what they did (steps, tool calls) and what they were allowed to do (approvals).

create table agents (
  id uuid primary key,
  workspace_id uuid not null,
  name text not null,
  created_at timestamptz not null default now()
);
create index agents_by_workspace on agents (workspace_id, id);

-- How far an agent has read a room's timeline.
create table agent_cursors (
  agent_id uuid not null references agents (id) on delete cascade,
  room_id uuid not null,
  workspace_id uuid not null,
  seq bigint not null,
  primary key (agent_id, room_id)
);

create table turns (
  id uuid primary key,
  workspace_id uuid not null,
  room_id uuid not null,
  agent_id uuid not null references agents (id) on delete cascade,
  message_id uuid not null,
  trigger_seq bigint not null,
  on_behalf_of uuid not null,
  status text not null check (status in
    ('queued', 'running', 'waiting_approval', 'succeeded', 'failed', 'cancelled', 'interrupted', 'needs_attention')),
  reason text,
  model text not null,
  -- The fencing token: raised by every claim, named by every write, so that a paused process cannot finish a turn taken over.
  attempt integer not null default 0,
  -- How often a claim was lost while the turn ran.
  interruptions integer not null default 0,
  -- running: until when the claim holds. waiting_approval: when to look again (the decision, or the expiry).
  due_at timestamptz not null default now(),
  -- seq of its turn.started; what was said before it is what the model reads.
  started_seq bigint,
  -- What its answer asked for.
  question jsonb,
  cancel_requested_by uuid,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  unique (room_id, trigger_seq, agent_id)
);
-- One turn at a time speaks for an agent in a room, whatever the processes believe.
create unique index turns_one_running on turns (room_id, agent_id) where status = 'running';
create index turns_open on turns (due_at) where status in ('queued', 'running', 'waiting_approval');
create index turns_by_person on turns (room_id, agent_id, on_behalf_of, trigger_seq desc);

create table turn_steps (
  turn_id uuid not null references turns (id) on delete cascade,
  workspace_id uuid not null,
  n integer not null,
  model text not null,
  state text not null check (state in ('started', 'done', 'failed')),
  -- Text, choices and question, as the loop reads them again; tool calls are rows of their own.
  said jsonb not null default '{"text": ""}',
  error text,
  input_tokens integer,
  output_tokens integer,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  primary key (turn_id, n)
);

create table tool_calls (
  -- Derived from turn, step and place; also the idempotency key at the provider.
  id uuid primary key,
  turn_id uuid not null references turns (id) on delete cascade,
  workspace_id uuid not null,
  step_n integer not null,
  place integer not null,
  -- The id that the model gave it.
  model_call_id text not null,
  tool text not null,
  args jsonb not null,
  -- What the model wrote was not a valid call: said back to it instead of called.
  invalid text,
  connection_id uuid,
  effect text not null,
  state text not null check (state in
    ('proposed', 'waiting_approval', 'ready', 'dispatched', 'done', 'failed', 'denied', 'unknown')),
  dispatches integer not null default 0,
  dispatched_at timestamptz,
  outcome jsonb,
  ended_at timestamptz,
  unique (turn_id, step_n, place)
);

create table approvals (
  id uuid primary key,
  call_id uuid not null unique references tool_calls (id) on delete cascade,
  turn_id uuid not null references turns (id) on delete cascade,
  workspace_id uuid not null,
  -- sha256 of turn, tool, canonical arguments and connection: exactly what was shown is what may be done.
  binding text not null,
  decider uuid not null,
  view jsonb not null,
  expires_at timestamptz not null,
  decision text check (decision in ('approved', 'denied', 'expired', 'withdrawn')),
  decided_by uuid,
  reason text,
  decided_at timestamptz,
  created_at timestamptz not null default now()
);
create index approvals_open on approvals (turn_id) where decision is null;
