import { type Static, Type } from 'typebox'
import { Id, Nothing, Page, PageQuery, type Priority, route, Time } from './route.ts'

interface PolicyRow {
  /** What it counts, in one sentence for an operator. */
  readonly title: string
  /** Whose requests are counted together. */
  readonly counts: 'address' | 'account' | 'capability' | 'account at an address' | 'IPv6 network of 48 bits'
  /** Points that may be used at once after a quiet time. */
  readonly burst: number
  /** Points that come back each second. */
  readonly perSecond: number
}

/**
 * Every limit there is. A request costs 1 point, one that writes 2, an address where nothing is 5, and who is not let in 20 more.
 * An address counts by itself, one of IPv6 with its network of 64 bits.
 */
export const limitPolicies = {
  address: {
    title: 'Requests from one address, whoever sends them',
    counts: 'address',
    burst: 12_000,
    perSecond: 200,
  },
  account: {
    title: 'Requests of one person, wherever they come from',
    counts: 'account',
    burst: 6_000,
    perSecond: 100,
  },
  capability: {
    title: 'Requests with one capability',
    counts: 'capability',
    burst: 6_000,
    perSecond: 100,
  },
  bulk: {
    title: 'Searches and other costly requests of one person',
    counts: 'account',
    burst: 600,
    perSecond: 10,
  },
  'sign-in': {
    title: 'Wrong passwords for one account from one address',
    counts: 'account at an address',
    burst: 5,
    perSecond: 1 / 30,
  },
  'sign-in-address': {
    title: 'Wrong passwords, setup links and invitations from one address',
    counts: 'address',
    burst: 50,
    perSecond: 0.5,
  },
  'sign-in-network': {
    title:
      'Wrong passwords, setup links and invitations from one IPv6 network of 48 bits, which has 65,536 addresses',
    counts: 'IPv6 network of 48 bits',
    burst: 500,
    perSecond: 2,
  },
} as const satisfies Record<string, PolicyRow>

export type LimitPolicy = keyof typeof limitPolicies
export const limitPolicyNames = Object.keys(limitPolicies) as LimitPolicy[]

const closed = { additionalProperties: false }
const PolicyName = Type.Unsafe<LimitPolicy>({ type: 'string', enum: limitPolicyNames })

const Burst = Type.Integer({
  minimum: 1,
  maximum: 1_000_000,
  description: 'Points at once after a quiet time.',
})
const PerSecond = Type.Number({
  minimum: 0.001,
  maximum: 1_000_000,
  description: 'Points that come back each second.',
})

/** Numbers are of the process that answers, since its start. */
export const LimitState = Type.Object({
  policy: PolicyName,
  title: Type.String(),
  counts: Type.String(),
  burst: Burst,
  perSecond: PerSecond,
  usual: Type.Object({ burst: Burst, perSecond: PerSecond }),
  /** Null where it is as it came. */
  changed: Type.Union([Type.Object({ at: Time, by: Id }), Type.Null()]),
  admitted: Type.Integer({ description: 'Points given.' }),
  refused: Type.Integer({ description: 'Requests refused.' }),
})
export type LimitState = Static<typeof LimitState>

const Amount = Type.Integer({ minimum: 0 })
const ByPriority = Type.Object({
  probe: Amount,
  entry: Amount,
  people: Amount,
  agents: Amount,
  bulk: Amount,
} satisfies Record<Priority, typeof Amount>)

/** How hard the process works, and what it turns away for it. */
export const LoadState = Type.Object({
  utilisation: Type.Number({ description: 'Of the event loop in the last tenth of a second, 0 to 1.' }),
  admitting: Type.Number({ description: 'The part of what comes that is let in, 0 to 1.' }),
  waitMs: Type.Integer({
    description: 'How long a newcomer waited when the process last knocked at its own door.',
  }),
  shed: ByPriority,
})
export type LoadState = Static<typeof LoadState>

export const ConnectionState = Type.Object({
  open: Amount,
  refused: Type.Integer({
    description: 'Closed at once: as many were open as may be, from there or in all.',
  }),
  tooSlow: Type.Integer({ description: 'Closed because they did not read what was sent.' }),
})

/** Subjects are kept in the memory of the process alone, and no longer than a quarter of an hour after their last request. */
const Subject = {
  policy: PolicyName,
  subject: Type.String({ description: 'An address or network, an account id, a capability id.' }),
}

export const LimitedCallers = Type.Object({
  node: Type.String(),
  busiest: Type.Array(
    Type.Object({
      ...Subject,
      used: Type.Number({ description: '0: nothing of the burst, 1: all of it.' }),
      heldBack: Type.Boolean(),
    }),
    { description: 'Who has used most, most first.' },
  ),
  refusals: Type.Array(Type.Object({ ...Subject, refused: Type.Integer(), lastAt: Time }), {
    description: 'Who was refused in the last quarter of an hour, the latest first.',
  }),
})
export type LimitedCallers = Static<typeof LimitedCallers>

const Verdict = Type.Union([Type.Literal('allow'), Type.Literal('block')], {
  description:
    '`allow`: of an address, no limit and no turning away under load; of an account, no limit of its own. Sign-in keeps its limits. `block`: 403, whatever is asked. Where both are said of somebody, `allow` holds.',
})

export const CallerRule = Type.Object({
  id: Id,
  verdict: Verdict,
  /** An address, or a network such as 192.0.2.0/24; null where it is about an account. */
  network: Type.Union([Type.String(), Type.Null()]),
  accountId: Type.Union([Id, Type.Null()]),
  reason: Type.String(),
  createdBy: Id,
  createdAt: Time,
  expiresAt: Time,
})
export type CallerRule = Static<typeof CallerRule>

const ByPolicy = Type.Object({ policy: PolicyName })
const aYear = 366 * 86_400

export const limitRoutes = {
  limits: route({
    method: 'GET',
    path: '/v1/operations/limits',
    summary: 'Every limit, how hard this process works, and its connections',
    audience: 'operator',
    answers: {
      200: Type.Object({
        node: Type.String(),
        together: Type.Boolean({
          description:
            'Processes count together, in Redis or as workers of one machine; false: each for itself.',
        }),
        policies: Type.Array(LimitState),
        load: LoadState,
        connections: ConnectionState,
      }),
    },
    errors: [],
  }),
  limitedCallers: route({
    method: 'GET',
    path: '/v1/operations/limits/callers',
    summary: 'Who is near or over a limit in this process, and who was refused lately',
    audience: 'operator',
    query: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })) }, closed),
    answers: { 200: LimitedCallers },
    errors: [],
  }),
  changeLimit: route({
    method: 'PUT',
    path: '/v1/operations/limits/{policy}',
    summary: 'Change a limit, on all nodes and from now on',
    audience: 'operator',
    params: ByPolicy,
    body: Type.Object({ burst: Burst, perSecond: PerSecond }, closed),
    answers: { 200: LimitState },
    errors: [],
  }),
  resetLimit: route({
    method: 'DELETE',
    path: '/v1/operations/limits/{policy}',
    summary: 'Put a limit back to what it came as',
    audience: 'operator',
    params: ByPolicy,
    answers: { 200: LimitState },
    errors: [],
  }),
  callerRules: route({
    method: 'GET',
    path: '/v1/operations/caller-rules',
    summary: 'Who is let through or kept out, the newest first',
    audience: 'operator',
    query: PageQuery,
    answers: { 200: Page(CallerRule) },
    errors: [],
  }),
  addCallerRule: route({
    method: 'POST',
    path: '/v1/operations/caller-rules',
    summary: 'Let an address, a network or an account through without limits, or keep it out, for a time',
    audience: 'operator',
    body: Type.Object(
      {
        verdict: Verdict,
        network: Type.Optional(
          Type.String({ minLength: 2, maxLength: 60, description: 'Or `accountId`; one of them.' }),
        ),
        accountId: Type.Optional(Id),
        reason: Type.String({ minLength: 1, maxLength: 200 }),
        forSeconds: Type.Integer({ minimum: 1, maximum: aYear }),
      },
      closed,
    ),
    answers: { 201: CallerRule },
    errors: ['not_found'],
  }),
  removeCallerRule: route({
    method: 'DELETE',
    path: '/v1/operations/caller-rules/{id}',
    summary: 'End such a rule before its time',
    audience: 'operator',
    params: Type.Object({ id: Id }),
    answers: { 204: Nothing },
    errors: ['not_found'],
  }),
} as const
