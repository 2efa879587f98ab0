import type { ApprovalView, Effect, ToolOutcome, TurnStatus } from '@atom/contract/agents.ts'
import type { Choice } from '@atom/contract/rooms.ts'
import sql, { raw, type Sql } from 'sql-template-tag'
import type { Queryable, Transaction } from '#foundation/database/pool.ts'
import type { OpenQuestion } from './models/model.ts'
import type { ToolArgs } from './tools/tool.ts'

/** Tells workers of this and other processes that a turn is due, or was asked to stop. Payload: the turn's id. */
export const turnChannel = 'atom_turns'

export interface AgentRow {
  readonly id: string
  readonly workspaceId: string
  readonly name: string
}

export type EndedStatus = Exclude<TurnStatus, 'queued' | 'running' | 'waiting_approval'>

export interface TurnRow {
  readonly id: string
  readonly workspaceId: string
  readonly roomId: string
  readonly agentId: string
  readonly agentName: string
  readonly messageId: string
  readonly triggerSeq: number
  readonly onBehalfOf: string
  readonly status: TurnStatus
  readonly reason: string | null
  readonly model: string
  /** The fencing token of its newest claim. */
  readonly attempt: number
  /** How often a claim was lost while it ran. */
  readonly interruptions: number
  readonly startedSeq: number | null
  readonly question: OpenQuestion | null
  readonly cancelRequestedBy: string | null
  readonly createdAt: Date
  readonly endedAt: Date | null
  /** Of the request that caused it, where that trace is kept (W3C Trace Context). */
  readonly traceparent: string | null
}

export type StepState = 'started' | 'done' | 'failed'

/** What one step of a model said, as far as it has to be known again; its tool calls are rows of their own. */
export interface StepSaid {
  readonly text: string
  readonly choices?: readonly Choice[]
  readonly question?: OpenQuestion
}

export interface StepRow {
  readonly n: number
  readonly model: string
  readonly state: StepState
  readonly said: StepSaid
}

export type CallState =
  | 'proposed'
  | 'waiting_approval'
  | 'ready'
  | 'dispatched'
  | 'done'
  | 'failed'
  | 'denied'
  | 'unknown'

export interface CallRow {
  readonly id: string
  readonly stepN: number
  readonly place: number
  readonly tool: string
  readonly args: ToolArgs
  readonly invalid: string | null
  readonly connectionId: string | null
  readonly effect: Effect
  readonly state: CallState
  readonly dispatches: number
  readonly dispatchedAt: Date | null
  readonly outcome: ToolOutcome | null
}

export type Decision = 'approved' | 'denied' | 'expired' | 'withdrawn'

export interface ApprovalRow {
  readonly id: string
  readonly callId: string
  readonly turnId: string
  readonly workspaceId: string
  readonly binding: string
  readonly decider: string
  readonly view: ApprovalView
  readonly expiresAt: Date
  readonly decision: Decision | null
  readonly expired: boolean
}

// Agents

export async function insertAgent(db: Queryable, agent: AgentRow): Promise<void> {
  await db.query(sql`
    insert into agents (id, workspace_id, name) values (${agent.id}, ${agent.workspaceId}, ${agent.name})`)
}

const agentColumns = sql`id, workspace_id as "workspaceId", name`

export async function findAgent(
  db: Queryable,
  workspaceId: string,
  agentId: string,
): Promise<AgentRow | undefined> {
  const [row] = await db.query<AgentRow>(sql`
    select ${agentColumns} from agents where id = ${agentId} and workspace_id = ${workspaceId}`)
  return row
}

export async function agentsOf(
  db: Queryable,
  workspaceId: string,
  page: { readonly after: string | undefined; readonly limit: number },
): Promise<AgentRow[]> {
  return await db.query<AgentRow>(sql`
    select ${agentColumns} from agents
    where workspace_id = ${workspaceId} and ${page.after === undefined ? sql`true` : sql`id > ${page.after}`}
    order by id limit ${page.limit}`)
}

export async function allAgents(db: Queryable): Promise<AgentRow[]> {
  return await db.query<AgentRow>(sql`select ${agentColumns} from agents order by id`)
}

// How far an agent has read

/** The cursor, locked until the end of the transaction; made at `initial` where the agent has not read this room yet. */
export async function lockCursor(
  tx: Transaction,
  agent: AgentRow,
  roomId: string,
  initial: number,
): Promise<number> {
  await tx.query(sql`
    insert into agent_cursors (agent_id, room_id, workspace_id, seq)
    values (${agent.id}, ${roomId}, ${agent.workspaceId}, ${initial})
    on conflict do nothing`)
  const [row] = await tx.query<{ seq: number }>(sql`
    select seq from agent_cursors where agent_id = ${agent.id} and room_id = ${roomId} for update`)
  if (row === undefined) throw new Error('a cursor that was just made is missing')
  return row.seq
}

export async function moveCursor(tx: Transaction, agentId: string, roomId: string, seq: number) {
  await tx.query(sql`
    update agent_cursors set seq = ${seq} where agent_id = ${agentId} and room_id = ${roomId} and seq < ${seq}`)
}

export async function cursorsOf(
  db: Queryable,
  agentId: string,
  roomIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await db.query<{ room_id: string; seq: number }>(sql`
    select room_id, seq from agent_cursors where agent_id = ${agentId} and room_id = any (${roomIds}::uuid[])`)
  return new Map(rows.map((row) => [row.room_id, row.seq]))
}

/** How far several agents have read, each in a room; those that never read there are absent. */
export async function standings(
  db: Queryable,
  readers: readonly { readonly agentId: string; readonly roomId: string }[],
): Promise<{ readonly agentId: string; readonly roomId: string; readonly seq: number }[]> {
  return await db.query(sql`
    select c.agent_id as "agentId", c.room_id as "roomId", c.seq
    from unnest(
      ${readers.map(({ agentId }) => agentId)}::uuid[], ${readers.map(({ roomId }) => roomId)}::uuid[]
    ) as reader (agent_id, room_id)
    join agent_cursors c on c.agent_id = reader.agent_id and c.room_id = reader.room_id`)
}

// Turns

const turnColumns = sql`t.id, t.workspace_id as "workspaceId", t.room_id as "roomId", t.agent_id as "agentId",
  a.name as "agentName", t.message_id as "messageId", t.trigger_seq as "triggerSeq", t.on_behalf_of as "onBehalfOf",
  t.status, t.reason, t.model, t.attempt, t.interruptions, t.started_seq as "startedSeq", t.question,
  t.cancel_requested_by as "cancelRequestedBy", t.created_at as "createdAt", t.ended_at as "endedAt", t.traceparent`

export interface NewTurn {
  readonly id: string
  readonly workspaceId: string
  readonly roomId: string
  readonly agentId: string
  readonly messageId: string
  readonly triggerSeq: number
  readonly onBehalfOf: string
  readonly model: string
  readonly traceparent?: string | undefined
}

/** Turns that are due and nobody runs, and for how long the first of them has been, in ms. */
export async function backlog(db: Queryable): Promise<{ waiting: number; latenessMs: number }> {
  const [row] = await db.query<{ waiting: number; latenessMs: number }>(sql`
    select count(*)::int as waiting,
      coalesce(extract(epoch from now() - min(due_at)) * 1000, 0)::float8 as "latenessMs"
    from turns where status in ('queued', 'running', 'waiting_approval') and due_at <= now()`)
  return row ?? { waiting: 0, latenessMs: 0 }
}

/** False: the turn was there already. */
export async function insertTurn(tx: Transaction, turn: NewTurn): Promise<boolean> {
  const rows = await tx.query(sql`
    insert into turns
      (id, workspace_id, room_id, agent_id, message_id, trigger_seq, on_behalf_of, status, model, traceparent)
    values (${turn.id}, ${turn.workspaceId}, ${turn.roomId}, ${turn.agentId}, ${turn.messageId}, ${turn.triggerSeq},
      ${turn.onBehalfOf}, 'queued', ${turn.model}, ${turn.traceparent ?? null})
    on conflict do nothing returning id`)
  return rows.length > 0
}

/** Turns that messages at these places of a room asked for, with everything that they did. */
export async function deleteTurns(
  db: Queryable,
  roomId: string,
  places: { readonly from: number; readonly to: number },
): Promise<void> {
  await db.query(sql`
    delete from turns where room_id = ${roomId} and trigger_seq >= ${places.from} and trigger_seq < ${places.to}`)
}

export async function notifyTurn(db: Queryable, turnId: string): Promise<void> {
  await db.query(sql`select pg_notify(${turnChannel}, ${turnId})`)
}

/**
 * Takes one turn that is due: queued, or waiting for an approval that was decided or has expired, or running under a lease
 * that is over. A room hears one turn of an agent at a time, in the order of the messages that asked; the unique index on
 * running turns refuses (23505) what two workers both believe to be next.
 */
export async function claimTurn(db: Queryable, leaseMs: number): Promise<TurnRow | undefined> {
  const [row] = await db.query<TurnRow>(sql`
    with next as (
      select t.id from turns t
      where t.status in ('queued', 'running', 'waiting_approval') and t.due_at <= now()
        and not exists (
          select 1 from turns o
          where o.room_id = t.room_id and o.agent_id = t.agent_id and o.id <> t.id
            and (o.status = 'running' or (o.status = 'queued' and t.status = 'queued' and o.trigger_seq < t.trigger_seq))
        )
      order by t.due_at
      limit 1
      for update of t skip locked
    )
    update turns t set status = 'running', attempt = t.attempt + 1,
      interruptions = t.interruptions + (t.status = 'running')::int, due_at = now() + ${interval(leaseMs)}
    from next, agents a
    where t.id = next.id and a.id = t.agent_id
    returning ${turnColumns}`)
  return row
}

/** Turns that anybody could take now, counted up to a thousand, and how long the first of them has waited. */
export async function dueTurns(
  db: Queryable,
): Promise<{ readonly waiting: number; readonly oldestMs: number }> {
  const [row] = await db.query<{ waiting: number; oldestMs: number }>(sql`
    select count(*)::int as waiting,
      coalesce(extract(epoch from now() - min(due.due_at)) * 1000, 0)::float8 as "oldestMs"
    from (
      select t.due_at from turns t
      where t.status in ('queued', 'running', 'waiting_approval') and t.due_at <= now()
        and not exists (
          select 1 from turns o
          where o.room_id = t.room_id and o.agent_id = t.agent_id and o.id <> t.id
            and (o.status = 'running' or (o.status = 'queued' and t.status = 'queued' and o.trigger_seq < t.trigger_seq))
        )
      order by t.due_at
      limit 1000
    ) due`)
  return row ?? { waiting: 0, oldestMs: 0 }
}

/** Locks the turn if the claim still holds. Every write of a turn begins with this. */
export async function stillMine(
  tx: Transaction,
  turn: { readonly id: string; readonly attempt: number },
): Promise<boolean> {
  const rows = await tx.query(sql`
    select 1 from turns where id = ${turn.id} and attempt = ${turn.attempt} and status = 'running' for update`)
  return rows.length > 0
}

/** Undefined: the claim does not hold any more. */
export async function extendLease(
  db: Queryable,
  turn: { readonly id: string; readonly attempt: number },
  leaseMs: number,
): Promise<{ readonly cancelRequestedBy: string | null } | undefined> {
  const [row] = await db.query<{ cancelRequestedBy: string | null }>(sql`
    update turns set due_at = now() + ${interval(leaseMs)}
    where id = ${turn.id} and attempt = ${turn.attempt} and status = 'running'
    returning cancel_requested_by as "cancelRequestedBy"`)
  return row
}

/** Gives the claim back, so that any worker may go on at once. */
export async function giveBack(
  db: Queryable,
  turn: { readonly id: string; readonly attempt: number },
): Promise<void> {
  await db.query(sql`
    update turns set due_at = now()
    where id = ${turn.id} and attempt = ${turn.attempt} and status = 'running'`)
}

export async function setStarted(tx: Transaction, turnId: string, seq: number): Promise<void> {
  await tx.query(sql`update turns set started_seq = ${seq} where id = ${turnId}`)
}

/** A new attempt of the same worker: what it streamed so far is void. */
export async function raiseAttempt(tx: Transaction, turnId: string): Promise<number> {
  const [row] = await tx.query<{ attempt: number }>(sql`
    update turns set attempt = attempt + 1 where id = ${turnId} returning attempt`)
  if (row === undefined) throw new Error('a locked turn is missing')
  return row.attempt
}

export async function parkTurn(tx: Transaction, turnId: string, until: Date): Promise<void> {
  await tx.query(sql`
    update turns set status = 'waiting_approval', due_at = ${until} where id = ${turnId}`)
}

export async function wakeTurn(tx: Transaction, turnId: string): Promise<void> {
  await tx.query(sql`
    update turns set due_at = now() where id = ${turnId} and status = 'waiting_approval'`)
}

export async function endTurn(
  tx: Transaction,
  turnId: string,
  end: {
    readonly status: EndedStatus
    readonly reason: string | undefined
    readonly question: OpenQuestion | undefined
  },
): Promise<void> {
  await tx.query(sql`
    update turns set status = ${end.status}, reason = ${end.reason ?? null},
      question = ${json(end.question)}, ended_at = now()
    where id = ${turnId}`)
}

export async function findTurn(
  db: Queryable,
  workspaceId: string,
  turnId: string,
): Promise<TurnRow | undefined> {
  return await oneTurn(db, sql`t.id = ${turnId} and t.workspace_id = ${workspaceId}`)
}

export async function working(
  db: Queryable,
  roomIds: readonly string[],
): Promise<{ readonly roomId: string; readonly agentId: string }[]> {
  return await db.query(sql`
    select room_id as "roomId", agent_id as "agentId" from turns
    where status = 'running' and room_id = any (${roomIds}::uuid[])`)
}

/** Turns in these rooms that a process runs now, or that wait for an approval. */
export async function underWay(db: Queryable, roomIds: readonly string[]): Promise<TurnRow[]> {
  return await db.query<TurnRow>(sql`
    select ${turnColumns} from turns t join agents a on a.id = t.agent_id
    where t.status in ('running', 'waiting_approval') and t.room_id = any (${roomIds}::uuid[])`)
}

export async function lockTurn(tx: Transaction, turnId: string): Promise<TurnRow | undefined> {
  const [row] = await tx.query<TurnRow>(sql`
    select ${turnColumns} from turns t join agents a on a.id = t.agent_id where t.id = ${turnId} for update of t`)
  return row
}

export async function requestCancel(tx: Transaction, turnId: string, by: string): Promise<void> {
  await tx.query(sql`
    update turns set cancel_requested_by = coalesce(cancel_requested_by, ${by}) where id = ${turnId}`)
}

/** The newest turn of this person with this agent in the room before `turn`, if it ended with a question. */
export async function openQuestion(
  db: Queryable,
  turn: TurnRow,
): Promise<{ readonly messageId: string; readonly question: OpenQuestion } | undefined> {
  const [row] = await db.query<{ messageId: string; question: OpenQuestion | null }>(sql`
    select message_id as "messageId", question from turns
    where room_id = ${turn.roomId} and agent_id = ${turn.agentId} and on_behalf_of = ${turn.onBehalfOf}
      and trigger_seq < ${turn.triggerSeq} and ended_at is not null
    order by trigger_seq desc limit 1`)
  return row?.question ? { messageId: row.messageId, question: row.question } : undefined
}

async function oneTurn(db: Queryable, condition: Sql): Promise<TurnRow | undefined> {
  const [row] = await db.query<TurnRow>(sql`
    select ${turnColumns} from turns t join agents a on a.id = t.agent_id where ${condition}`)
  return row
}

// Steps

export async function stepsOf(db: Queryable, turnId: string): Promise<StepRow[]> {
  return await db.query<StepRow>(sql`
    select n, model, state, said from turn_steps where turn_id = ${turnId} order by n`)
}

export async function startStep(
  tx: Transaction,
  turn: TurnRow,
  step: { readonly n: number; readonly model: string },
): Promise<void> {
  await tx.query(sql`
    insert into turn_steps (turn_id, workspace_id, n, model, state)
    values (${turn.id}, ${turn.workspaceId}, ${step.n}, ${step.model}, 'started')
    on conflict (turn_id, n) do update set model = excluded.model, started_at = now()`)
}

export async function endStep(
  tx: Transaction,
  turnId: string,
  n: number,
  end: {
    readonly state: StepState
    readonly said: StepSaid
    readonly error?: string
    readonly inputTokens?: number
    readonly outputTokens?: number
  },
): Promise<void> {
  await tx.query(sql`
    update turn_steps set state = ${end.state}, said = ${json(end.said)}, error = ${end.error ?? null},
      input_tokens = ${end.inputTokens ?? null}, output_tokens = ${end.outputTokens ?? null}, ended_at = now()
    where turn_id = ${turnId} and n = ${n}`)
}

// Tool calls

const callColumns = sql`id, step_n as "stepN", place, tool, args, invalid, connection_id as "connectionId", effect, state,
  dispatches, dispatched_at as "dispatchedAt", outcome`

export async function callsOf(db: Queryable, turnId: string): Promise<CallRow[]> {
  return await db.query<CallRow>(sql`
    select ${callColumns} from tool_calls where turn_id = ${turnId} order by step_n, place`)
}

export async function insertCall(
  tx: Transaction,
  turn: TurnRow,
  call: Pick<CallRow, 'id' | 'stepN' | 'place' | 'tool' | 'args' | 'invalid' | 'effect'> & {
    readonly modelCallId: string
  },
): Promise<void> {
  await tx.query(sql`
    insert into tool_calls (id, turn_id, workspace_id, step_n, place, model_call_id, tool, args, invalid, effect, state)
    values (${call.id}, ${turn.id}, ${turn.workspaceId}, ${call.stepN}, ${call.place}, ${call.modelCallId},
      ${call.tool}, ${json(call.args)}, ${call.invalid}, ${call.effect}, 'proposed')
    on conflict do nothing`)
}

export async function prepareCall(
  tx: Transaction,
  callId: string,
  prepared: { readonly state: CallState; readonly args: ToolArgs; readonly connectionId: string },
): Promise<void> {
  await tx.query(sql`
    update tool_calls set state = ${prepared.state}, args = ${json(prepared.args)},
      connection_id = ${prepared.connectionId}
    where id = ${callId}`)
}

/** Committed before the request leaves: whoever finds this state knows that it may have happened. */
export async function dispatchCall(
  tx: Transaction,
  callId: string,
): Promise<{ readonly dispatches: number; readonly dispatchedAt: Date }> {
  const [row] = await tx.query<{ dispatches: number; dispatchedAt: Date }>(sql`
    update tool_calls set state = 'dispatched', dispatches = dispatches + 1, dispatched_at = now()
    where id = ${callId} returning dispatches, dispatched_at as "dispatchedAt"`)
  if (row === undefined) throw new Error('a tool call is missing')
  return row
}

/** Milliseconds since the request of this call may have left, by the clock of the database. */
export async function dispatchAge(db: Queryable, callId: string): Promise<number> {
  const [row] = await db.query<{ age: number }>(sql`
    select (extract(epoch from now() - dispatched_at) * 1000)::float8 as age from tool_calls where id = ${callId}`)
  return row?.age ?? 0
}

export async function endCall(
  tx: Transaction,
  callId: string,
  end: { readonly state: CallState; readonly outcome: ToolOutcome },
): Promise<void> {
  await tx.query(sql`
    update tool_calls set state = ${end.state}, outcome = ${json(end.outcome)}, ended_at = now()
    where id = ${callId}`)
}

/** A person's decision reaches the call: what they corrected, and whether it may go out. */
export async function decideCall(
  tx: Transaction,
  callId: string,
  decided:
    | { readonly state: 'ready'; readonly args: ToolArgs }
    | { readonly state: 'denied'; readonly outcome: ToolOutcome },
): Promise<void> {
  await tx.query(
    decided.state === 'ready'
      ? sql`update tool_calls set state = 'ready', args = ${json(decided.args)}
          where id = ${callId} and state = 'waiting_approval'`
      : sql`update tool_calls set state = 'denied', outcome = ${json(decided.outcome)}, ended_at = now()
          where id = ${callId} and state = 'waiting_approval'`,
  )
}

// Approvals

const approvalColumns = sql`p.id, p.call_id as "callId", p.turn_id as "turnId", p.workspace_id as "workspaceId", p.binding,
  p.decider, p.view, p.expires_at as "expiresAt", p.decision, p.expires_at <= now() as expired`

export async function insertApproval(
  tx: Transaction,
  approval: Omit<ApprovalRow, 'decision' | 'expired'>,
): Promise<void> {
  await tx.query(sql`
    insert into approvals (id, call_id, turn_id, workspace_id, binding, decider, view, expires_at)
    values (${approval.id}, ${approval.callId}, ${approval.turnId}, ${approval.workspaceId}, ${approval.binding},
      ${approval.decider}, ${json(approval.view)}, ${approval.expiresAt})
    on conflict do nothing`)
}

export async function findApproval(
  db: Queryable,
  workspaceId: string,
  approvalId: string,
): Promise<ApprovalRow | undefined> {
  const [row] = await db.query<ApprovalRow>(sql`
    select ${approvalColumns} from approvals p where p.id = ${approvalId} and p.workspace_id = ${workspaceId}`)
  return row
}

export async function approvalOfCall(db: Queryable, callId: string): Promise<ApprovalRow | undefined> {
  const [row] = await db.query<ApprovalRow>(sql`
    select ${approvalColumns} from approvals p where p.call_id = ${callId}`)
  return row
}

/** What this person is asked in this room and has not answered yet. */
export async function waitingApproval(db: Queryable, turn: TurnRow): Promise<ApprovalRow | undefined> {
  const [row] = await db.query<ApprovalRow>(sql`
    select ${approvalColumns} from approvals p join turns t on t.id = p.turn_id
    where t.room_id = ${turn.roomId} and t.agent_id = ${turn.agentId} and t.status = 'waiting_approval'
      and p.decider = ${turn.onBehalfOf} and p.decision is null and p.expires_at > now()
    order by p.created_at desc limit 1`)
  return row
}

export async function openApprovals(tx: Transaction, turnId: string): Promise<ApprovalRow[]> {
  return await tx.query<ApprovalRow>(sql`
    select ${approvalColumns} from approvals p where p.turn_id = ${turnId} and p.decision is null`)
}

/** Compare and set: false where somebody decided before. */
export async function decideApproval(
  tx: Transaction,
  approvalId: string,
  decided: {
    readonly decision: Decision
    readonly by: string | null
    readonly reason: string | undefined
    readonly binding: string
  },
): Promise<boolean> {
  const rows = await tx.query(sql`
    update approvals set decision = ${decided.decision}, decided_by = ${decided.by}, reason = ${decided.reason ?? null},
      binding = ${decided.binding}, decided_at = now()
    where id = ${approvalId} and decision is null
      and ${decided.decision === 'approved' || decided.decision === 'denied' ? sql`expires_at > now()` : sql`true`}
    returning id`)
  return rows.length > 0
}

function interval(ms: number): Sql {
  return raw(`interval '${Math.trunc(ms)} milliseconds'`)
}

function json(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}
