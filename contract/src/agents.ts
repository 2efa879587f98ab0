import { type Static, Type } from 'typebox'
import { ById, Id, Page, PageQuery, route, Time } from './route.ts'

/** What a tool does to the world; decides what may be repeated after a crash. */
export const Effect = Type.Union([
  Type.Literal('read'),
  Type.Literal('idempotent'),
  Type.Literal('reconcilable'),
  Type.Literal('blind'),
])
export type Effect = Static<typeof Effect>

export const ToolRow = Type.Object({
  title: Type.String(),
  detail: Type.Optional(Type.String()),
  url: Type.Optional(Type.String()),
  state: Type.Optional(Type.String()),
})
export type ToolRow = Static<typeof ToolRow>

/** How a tool call ended, as a person reads it. The provider's raw answer stays on the server. */
export const ToolOutcome = Type.Object({
  status: Type.Union([
    Type.Literal('done'),
    Type.Literal('failed'),
    Type.Literal('denied'),
    Type.Literal('unknown'),
    Type.Literal('cancelled'),
  ]),
  summary: Type.String(),
  rows: Type.Optional(Type.Array(ToolRow)),
  /** How many there were in all, where `rows` shows fewer. */
  total: Type.Optional(Type.Integer()),
  /** The thing that was made or changed. */
  link: Type.Optional(Type.Object({ title: Type.String(), url: Type.String() })),
  durationMs: Type.Integer(),
})
export type ToolOutcome = Static<typeof ToolOutcome>

export const ApprovalView = Type.Object({
  id: Id,
  callId: Id,
  tool: Type.String(),
  /** What will happen, in one sentence: "Create an issue in atom-labs/app". */
  title: Type.String(),
  provider: Type.String(),
  connectionId: Id,
  account: Type.String({ description: 'On whose account, as the provider names the person.' }),
  /** Only this person may approve: the owner of the connection. */
  decider: Id,
  fields: Type.Array(
    Type.Object({
      name: Type.String(),
      label: Type.String(),
      value: Type.String(),
      /** Where the value came from. */
      origin: Type.Union([Type.Literal('person'), Type.Literal('agent'), Type.Literal('outside')]),
      editable: Type.Boolean(),
      multiline: Type.Boolean(),
    }),
  ),
  expiresAt: Time,
})
export type ApprovalView = Static<typeof ApprovalView>

export const Agent = Type.Object({ id: Id, name: Type.String(), model: Type.String() })
export type Agent = Static<typeof Agent>

export const TurnStatus = Type.Union([
  Type.Literal('queued'),
  Type.Literal('running'),
  Type.Literal('waiting_approval'),
  Type.Literal('succeeded'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
  Type.Literal('interrupted'),
  Type.Literal('needs_attention'),
])
export type TurnStatus = Static<typeof TurnStatus>

export const Turn = Type.Object({
  id: Id,
  roomId: Id,
  agentId: Id,
  onBehalfOf: Id,
  status: TurnStatus,
  reason: Type.Optional(Type.String()),
  model: Type.String(),
  attempt: Type.Integer(),
  createdAt: Time,
  endedAt: Type.Union([Time, Type.Null()]),
})
export type Turn = Static<typeof Turn>

export const agentRoutes = {
  agents: route({
    method: 'GET',
    path: '/v1/agents',
    summary: 'The agents of this workspace',
    audience: 'member',
    query: PageQuery,
    answers: { 200: Page(Agent) },
    errors: [],
  }),
  turn: route({
    method: 'GET',
    path: '/v1/agents/turns/{id}',
    summary: 'One run of an agent',
    audience: 'member',
    params: ById,
    answers: { 200: Turn },
    errors: ['not_found', 'not_a_member'],
  }),
  cancelTurn: route({
    method: 'POST',
    path: '/v1/agents/turns/{id}/cancel',
    summary: 'Stop a turn; what was done stays done',
    audience: 'member',
    params: ById,
    answers: { 200: Turn },
    errors: ['not_found', 'not_a_member', 'turn_not_active'],
  }),
  decideApproval: route({
    method: 'POST',
    path: '/v1/approvals/{id}',
    summary: 'Approve or deny what an agent wants to do; the first decision counts',
    audience: 'member',
    params: ById,
    body: Type.Object(
      {
        decision: Type.Union([Type.Literal('approve'), Type.Literal('deny')]),
        /** Corrected values of editable fields, by name. */
        edits: Type.Optional(
          Type.Record(Type.String({ maxLength: 100 }), Type.String({ maxLength: 20_000 })),
        ),
        reason: Type.Optional(Type.String({ maxLength: 500 })),
      },
      { additionalProperties: false },
    ),
    answers: {
      200: Type.Object({ id: Id, decision: Type.Union([Type.Literal('approved'), Type.Literal('denied')]) }),
    },
    errors: ['not_found', 'forbidden', 'approval_not_open', 'approval_expired', 'validation_failed'],
  }),
} as const
