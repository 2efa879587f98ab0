import { type Static, Type } from 'typebox'
import { errorCodes } from './errors.ts'
import { Page, PageQuery, route, Time } from './route.ts'

const Door = Type.Union(
  [Type.Literal('http'), Type.Literal('socket'), Type.Literal('job'), Type.Literal('process')],
  { description: 'Where it came to light.' },
)

/** Failures of one kind, over all nodes: by code, door and place, or, of what nobody foresaw, by what was thrown and where. */
export const ErrorGroup = Type.Object({
  id: Type.String(),
  code: Type.Unsafe<(typeof errorCodes)[number]>({ type: 'string', enum: errorCodes }),
  category: Type.String(),
  severity: Type.String(),
  door: Door,
  place: Type.String({ description: 'Route, frame or kind of job.' }),
  title: Type.String(),
  count: Type.Integer({ description: 'Since `firstSeenAt`.' }),
  lastHour: Type.Integer(),
  firstSeenAt: Time,
  lastSeenAt: Time,
  state: Type.Union([Type.Literal('open'), Type.Literal('resolved')], {
    description: 'A resolved one that comes again is open again.',
  }),
  exampleRequestId: Type.Union([Type.String(), Type.Null()]),
  exampleTraceId: Type.Union([Type.String(), Type.Null()]),
})
export type ErrorGroup = Static<typeof ErrorGroup>

const Minutes = Type.Optional(Type.Integer({ minimum: 1, maximum: 20_160 }))
const closed = { additionalProperties: false }
const ByGroup = Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{16}$' }) })

/** Counts by step, oldest first; steps without any are there with 0. */
const Counts = Type.Object({
  stepMs: Type.Integer(),
  at: Type.Array(Type.Integer({ description: 'Milliseconds since 1970, UTC: where the step begins.' })),
  counts: Type.Array(Type.Integer()),
})
export type ErrorCounts = Static<typeof Counts>

export const failureRoutes = {
  errors: route({
    method: 'GET',
    path: '/v1/operations/errors',
    summary: 'What went wrong, by kind, the latest first',
    audience: 'operator',
    query: Type.Object(
      {
        ...PageQuery.properties,
        minutes: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 20_160, description: 'Seen within; a day where absent.' }),
        ),
        category: Type.Optional(Type.String({ maxLength: 40 })),
        door: Type.Optional(Door),
        state: Type.Optional(Type.Union([Type.Literal('open'), Type.Literal('resolved')])),
        q: Type.Optional(Type.String({ maxLength: 200, description: 'A part of code, place or title.' })),
      },
      closed,
    ),
    answers: { 200: Page(ErrorGroup) },
    errors: [],
  }),
  errorHistory: route({
    method: 'GET',
    path: '/v1/operations/errors/history',
    summary: 'How many there were, over time, by code',
    audience: 'operator',
    query: Type.Object({ minutes: Minutes }, closed),
    answers: {
      200: Type.Object({
        ...Counts.properties,
        codes: Type.Array(Type.Object({ code: Type.String(), counts: Type.Array(Type.Integer()) })),
      }),
    },
    errors: [],
  }),
  errorGroup: route({
    method: 'GET',
    path: '/v1/operations/errors/{id}',
    summary: 'One kind, with an example and how often it happened over time',
    audience: 'operator',
    params: ByGroup,
    query: Type.Object({ minutes: Minutes }, closed),
    answers: {
      200: Type.Object({
        ...ErrorGroup.properties,
        stack: Type.Union([Type.String(), Type.Null()]),
        history: Counts,
      }),
    },
    errors: ['not_found'],
  }),
  resolveError: route({
    method: 'POST',
    path: '/v1/operations/errors/{id}/resolve',
    summary: 'Somebody has mended it; when it comes again it is open again, and told as new',
    audience: 'operator',
    params: ByGroup,
    answers: { 200: Type.Object({ state: Type.Literal('resolved') }) },
    errors: ['not_found'],
  }),
} as const
