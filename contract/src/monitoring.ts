import { type Static, Type } from 'typebox'
import { Id, Nothing, Page, PageQuery, route, Time } from './route.ts'

const closed = { additionalProperties: false }
const Milliseconds = Type.Union([Type.Number(), Type.Null()])
const Share = Type.Number({ minimum: 0, maximum: 1 })

/** What is kept over time, by name: what its values are, in which unit, and what its labels name. */
export const historyMetrics = {
  'http.duration': { kind: 'duration', unit: 'ms', label: 'route' },
  'http.failed': { kind: 'count', unit: 'requests', label: 'route' },
  'http.upstream': { kind: 'count', unit: 'requests', label: 'route' },
  'http.refused': { kind: 'count', unit: 'requests', label: 'route' },
  'http.received': { kind: 'count', unit: 'bytes', label: 'route' },
  'http.sent': { kind: 'count', unit: 'bytes', label: 'route' },
  'http.in_flight': { kind: 'level', unit: 'requests', label: null },
  'class.duration': { kind: 'duration', unit: 'ms', label: 'class' },
  'class.failed': { kind: 'count', unit: 'requests', label: 'class' },
  'database.duration': { kind: 'duration', unit: 'ms', label: null },
  'database.failed': { kind: 'count', unit: 'statements', label: null },
  'database.in_use': { kind: 'level', unit: 'sessions', label: null },
  'database.waiting': { kind: 'level', unit: 'callers', label: null },
  'provider.duration': { kind: 'duration', unit: 'ms', label: 'provider' },
  'provider.failed': { kind: 'count', unit: 'requests', label: 'provider' },
  'process.cpu': { kind: 'level', unit: 'processors', label: null },
  'process.memory': { kind: 'level', unit: 'bytes', label: null },
  'process.heap': { kind: 'level', unit: 'bytes', label: null },
  'process.loop_delay': { kind: 'level', unit: 'ms', label: null },
  'process.loop_utilization': { kind: 'level', unit: 'share', label: null },
  'process.collecting': { kind: 'level', unit: 'share', label: null },
  'process.descriptors': { kind: 'level', unit: 'descriptors', label: null },
  'sockets.open': { kind: 'level', unit: 'sockets', label: null },
  'rooms.events': { kind: 'count', unit: 'events', label: null },
  'turns.waiting': { kind: 'level', unit: 'turns', label: null },
  'turns.running': { kind: 'level', unit: 'turns', label: null },
  'turns.lateness': { kind: 'level', unit: 'ms', label: null },
} as const

export type HistoryMetric = keyof typeof historyMetrics
const metricNames = Object.keys(historyMetrics) as HistoryMetric[]
const HistoryMetricName = Type.Unsafe<HistoryMetric>({ type: 'string', enum: metricNames })

/** Seconds that one row of the history stands for, and how long rows of that step are kept. */
export const historySteps = [
  { step: 10, keptSeconds: 2 * 3_600 },
  { step: 60, keptSeconds: 2 * 86_400 },
  { step: 600, keptSeconds: 30 * 86_400 },
  { step: 3_600, keptSeconds: 366 * 86_400 },
] as const

/** One metric over time, by column, oldest first; a step in which nothing was written has no place. */
export const History = Type.Object({
  metric: HistoryMetricName,
  label: Type.Union([Type.String(), Type.Null()]),
  kind: Type.Union([Type.Literal('duration'), Type.Literal('count'), Type.Literal('level')]),
  unit: Type.String(),
  step: Type.Integer({ description: 'Seconds that each place stands for.' }),
  at: Type.Array(Type.Integer({ description: 'Its beginning: milliseconds since 1970, UTC.' })),
  /** Durations and counts: how many in the step. Levels: 0. */
  count: Type.Array(Type.Number()),
  /** Durations and levels: the mean (of one process). Counts: per second. */
  value: Type.Array(Type.Number()),
  peak: Type.Array(Type.Number({ description: 'The highest of any process; of counts the value again.' })),
  p50: Type.Optional(Type.Array(Milliseconds)),
  p95: Type.Optional(Type.Array(Milliseconds)),
  p99: Type.Optional(Type.Array(Milliseconds)),
})
export type History = Static<typeof History>

export const RouteTraffic = Type.Object({
  method: Type.String(),
  route: Type.String({ description: '`/v1/rooms/{id}`; `unmatched`: no route; `pages`: the dashboard.' }),
  requests: Type.Integer(),
  perSecond: Type.Number(),
  failed: Type.Integer({ description: '500 and above for a reason of this server.' }),
  upstream: Type.Integer({ description: '500 and above because somebody else failed, such as a provider.' }),
  refused: Type.Integer({ description: '400 to 499; 499: the caller left.' }),
  failedShare: Share,
  p50Ms: Milliseconds,
  p95Ms: Milliseconds,
  p99Ms: Milliseconds,
  slowestMs: Milliseconds,
  inFlight: Type.Integer({ description: 'Now, at the process that answers.' }),
  receivedBytes: Type.Number(),
  sentBytes: Type.Number(),
})
export type RouteTraffic = Static<typeof RouteTraffic>

const ObjectiveClass = Type.Union(
  [Type.Literal('api'), Type.Literal('sign_in'), Type.Literal('messages'), Type.Literal('proxy')],
  { description: '`messages`: said in rooms, by whatever door, until the commit is acknowledged.' },
)

const Burn = Type.Object({
  severity: Type.Union([Type.Literal('page'), Type.Literal('ticket')]),
  longMinutes: Type.Integer(),
  shortMinutes: Type.Integer(),
  /** Times the rate at which the budget would last exactly thirty days. */
  factor: Type.Number(),
  long: Type.Number(),
  short: Type.Number(),
})

export const Objective = Type.Object({
  id: Id,
  class: ObjectiveClass,
  kind: Type.Union([Type.Literal('availability'), Type.Literal('latency')]),
  target: Type.Number({ description: 'The part of requests that has to be good.' }),
  thresholdMs: Type.Union([Type.Integer(), Type.Null()]),
  leastBad: Type.Integer({ description: 'Fewer bad ones in the long window raise no alert.' }),
  enabled: Type.Boolean(),
  /** Of the last three days; null where this process has nothing to say yet. */
  requests: Type.Union([Type.Integer(), Type.Null()]),
  goodShare: Type.Union([Share, Type.Null()]),
  burns: Type.Array(Burn),
  firing: Type.Union([Type.Literal('page'), Type.Literal('ticket'), Type.Null()]),
})
export type Objective = Static<typeof Objective>

/** How one objective was kept over time, by column, oldest first; a step in which nothing was asked has no place. */
export const ObjectiveHistory = Type.Object({
  step: Type.Integer({ description: 'Seconds that each place stands for.' }),
  at: Type.Array(Type.Integer({ description: 'Its beginning: milliseconds since 1970, UTC.' })),
  total: Type.Array(Type.Number({ description: 'Requests.' })),
  bad: Type.Array(Type.Number({ description: 'Those that did not hold to it, as it is now.' })),
})
export type ObjectiveHistory = Static<typeof ObjectiveHistory>

const Severity = Type.Union([Type.Literal('page'), Type.Literal('ticket')], {
  description: '`page`: now. `ticket`: in working hours.',
})

export const Alert = Type.Object({
  id: Id,
  kind: Type.String({ description: 'What raised it, such as `objective`.' }),
  subject: Type.String({ description: 'What it is about; one alert of a kind and subject fires at a time.' }),
  severity: Severity,
  state: Type.Union([Type.Literal('firing'), Type.Literal('resolved')]),
  title: Type.String(),
  why: Type.String(),
  lookAt: Type.String({ description: 'What to look at first.' }),
  since: Time,
  resolvedAt: Type.Union([Time, Type.Null()]),
  resolution: Type.Union([Type.String(), Type.Null()]),
})
export type Alert = Static<typeof Alert>

export const AlertTargets = Type.Object({
  roomId: Type.Union([Id, Type.Null()]),
  webhookUrl: Type.Union([Type.String(), Type.Null()]),
  /** News that have not been delivered so far, and why the last of them could not. */
  waiting: Type.Integer(),
  lastFailure: Type.Union([Type.String(), Type.Null()]),
})
export type AlertTargets = Static<typeof AlertTargets>

export const monitoringRoutes = {
  traffic: route({
    method: 'GET',
    path: '/v1/operations/traffic',
    summary: 'Every route with its rate, failures and latencies over the last minutes, on all processes',
    audience: 'operator',
    query: Type.Object(
      {
        minutes: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 43_200, description: '60 where absent.' }),
        ),
      },
      closed,
    ),
    answers: {
      200: Type.Object({
        node: Type.String(),
        from: Time,
        to: Time,
        total: RouteTraffic,
        items: Type.Array(RouteTraffic, { description: 'The busiest first.' }),
      }),
    },
    errors: [],
  }),
  history: route({
    method: 'GET',
    path: '/v1/operations/history',
    summary: 'One metric over time, on all processes',
    audience: 'operator',
    query: Type.Object(
      {
        metric: HistoryMetricName,
        label: Type.Optional(
          Type.String({
            maxLength: 300,
            description: 'One part, such as `GET /v1/rooms`; all together where absent.',
          }),
        ),
        from: Type.Optional(Time),
        to: Type.Optional(Time),
        step: Type.Optional(
          Type.Integer({
            minimum: 10,
            maximum: 86_400,
            description: 'Seconds, of whole tens; about 200 places where absent.',
          }),
        ),
      },
      closed,
    ),
    answers: { 200: History },
    errors: ['validation_failed'],
  }),
  objectives: route({
    method: 'GET',
    path: '/v1/operations/objectives',
    summary: 'What the server is meant to be, and how fast it uses up what may go wrong',
    audience: 'operator',
    answers: { 200: Type.Object({ items: Type.Array(Objective) }) },
    errors: [],
  }),
  objectiveHistory: route({
    method: 'GET',
    path: '/v1/operations/objectives/{id}/history',
    summary: 'How an objective was kept over time, on all processes',
    audience: 'operator',
    params: Type.Object({ id: Id }),
    query: Type.Object(
      { hours: Type.Optional(Type.Integer({ minimum: 1, maximum: 720, description: '72 where absent.' })) },
      closed,
    ),
    answers: { 200: ObjectiveHistory },
    errors: ['not_found'],
  }),
  changeObjective: route({
    method: 'PATCH',
    path: '/v1/operations/objectives/{id}',
    summary: 'Change an objective',
    audience: 'operator',
    params: Type.Object({ id: Id }),
    body: Type.Object(
      {
        target: Type.Optional(Type.Number({ minimum: 0.501, maximum: 0.99999 })),
        thresholdMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
        leastBad: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000 })),
        enabled: Type.Optional(Type.Boolean()),
      },
      closed,
    ),
    answers: { 200: Objective },
    errors: ['not_found', 'validation_failed'],
  }),
  alerts: route({
    method: 'GET',
    path: '/v1/operations/alerts',
    summary: 'Alerts, the newest first',
    audience: 'operator',
    query: Type.Object(
      {
        ...PageQuery.properties,
        state: Type.Optional(Type.Union([Type.Literal('firing'), Type.Literal('resolved')])),
      },
      closed,
    ),
    answers: { 200: Page(Alert) },
    errors: ['validation_failed'],
  }),
  alertTargets: route({
    method: 'GET',
    path: '/v1/operations/alert-targets',
    summary: 'Where alerts go besides the dashboard',
    audience: 'operator',
    answers: { 200: AlertTargets },
    errors: [],
  }),
  changeAlertTargets: route({
    method: 'PUT',
    path: '/v1/operations/alert-targets',
    summary:
      'Say where alerts go: a room that the caller is in, a webhook (Standard Webhooks), both, neither',
    audience: 'operator',
    body: Type.Object(
      {
        roomId: Type.Union([Id, Type.Null()]),
        webhookUrl: Type.Union([Type.String({ maxLength: 2_000 }), Type.Null()]),
      },
      closed,
    ),
    answers: {
      200: Type.Object({
        targets: AlertTargets,
        webhookSecret: Type.Union([Type.String(), Type.Null()], {
          description:
            'Shown this once, when the address is new: `whsec_…`, what each message is signed with.',
        }),
      }),
    },
    errors: ['not_found', 'not_a_member', 'validation_failed'],
  }),
  testAlertTargets: route({
    method: 'POST',
    path: '/v1/operations/alert-targets/test',
    summary: 'Raise an alert that is none and resolve it, to see it arrive',
    audience: 'operator',
    answers: { 202: Nothing },
    errors: [],
  }),
} as const
