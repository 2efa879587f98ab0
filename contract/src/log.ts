import { type Static, Type } from 'typebox'
import { AskedNode } from './operations.ts'
import { Page, PageQuery, route, Time } from './route.ts'

const LogLevel = Type.Union([
  Type.Literal('trace'),
  Type.Literal('debug'),
  Type.Literal('info'),
  Type.Literal('warn'),
  Type.Literal('error'),
  Type.Literal('fatal'),
])

export const LogLine = Type.Object({
  number: Type.Integer({ description: 'Counts up from 1 in its process.' }),
  level: Type.String(),
  time: Type.String(),
  module: Type.Optional(Type.String()),
  requestId: Type.Optional(Type.String()),
  message: Type.String(),
  fields: Type.Record(Type.String(), Type.Unknown()),
})
export type LogLine = Static<typeof LogLine>

const wanted = {
  level: Type.Optional(LogLevel),
  module: Type.Optional(Type.String({ maxLength: 40 })),
  requestId: Type.Optional(Type.String({ maxLength: 64 })),
  q: Type.Optional(Type.String({ maxLength: 200, description: 'A part of the line.' })),
}
const closed = { additionalProperties: false }

const ModuleLevel = Type.Object({
  module: Type.String(),
  level: Type.String(),
  until: Type.Union([Time, Type.Null()], { description: 'Null: the level of the configuration.' }),
})
export type ModuleLevel = Static<typeof ModuleLevel>

export const logRoutes = {
  log: route({
    method: 'GET',
    path: '/v1/operations/log',
    summary: 'The last lines of one process, newest first',
    audience: 'operator',
    query: Type.Object({ ...PageQuery.properties, ...wanted, node: AskedNode }, closed),
    answers: { 200: Type.Object({ node: Type.String(), ...Page(LogLine).properties }) },
    errors: ['not_found', 'validation_failed'],
  }),
  logStream: route({
    method: 'GET',
    path: '/v1/operations/log/stream',
    summary: 'Its lines from now on, as server-sent events',
    audience: 'operator',
    query: Type.Object(wanted, closed),
    answers: {},
    events: { message: LogLine, closing: Type.Object({ reason: Type.String() }) },
    errors: ['draining'],
  }),
  logLevels: route({
    method: 'GET',
    path: '/v1/operations/log/levels',
    summary: 'How much each part of the server says',
    audience: 'operator',
    answers: { 200: Type.Object({ items: Type.Array(ModuleLevel) }) },
    errors: [],
  }),
  setLogLevel: route({
    method: 'PUT',
    path: '/v1/operations/log/levels/{module}',
    summary: 'Let one part say more, or less, on every node for a while',
    audience: 'operator',
    params: Type.Object({ module: Type.String({ minLength: 1, maxLength: 40 }) }),
    body: Type.Object({ level: LogLevel, minutes: Type.Integer({ minimum: 1, maximum: 1_440 }) }, closed),
    answers: { 200: ModuleLevel },
    errors: ['not_found'],
  }),
} as const
