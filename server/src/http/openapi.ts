import { accountRoutes } from '@atom/contract/accounts.ts'
import { agentRoutes } from '@atom/contract/agents.ts'
import { capabilityRoutes, connectionRoutes } from '@atom/contract/connections.ts'
import { type ErrorCode, errorTable, Problem } from '@atom/contract/errors.ts'
import { failureRoutes } from '@atom/contract/failures.ts'
import { limitRoutes } from '@atom/contract/limits.ts'
import { logRoutes } from '@atom/contract/log.ts'
import { monitoringRoutes } from '@atom/contract/monitoring.ts'
import { operationRoutes } from '@atom/contract/operations.ts'
import { roomRoutes } from '@atom/contract/rooms.ts'
import type { Audience, Route } from '@atom/contract/route.ts'
import { streamRoutes } from '@atom/contract/streams.ts'
import type { TSchema } from 'typebox'
import type { HttpServer } from './server.ts'

export interface RouteGroup {
  readonly name: string
  readonly summary: string
  readonly routes: Readonly<Record<string, Route>>
}

/** Every route of the contract, in the order in which a newcomer meets them. */
export const routeGroups: readonly RouteGroup[] = [
  { name: 'accounts', summary: 'People, sign-in, invitations', routes: accountRoutes },
  {
    name: 'connections',
    summary: 'Accounts at other services',
    routes: { ...connectionRoutes, ...capabilityRoutes },
  },
  { name: 'rooms', summary: 'Rooms, messages, timelines', routes: roomRoutes },
  { name: 'agents', summary: 'Agents, their turns, approvals', routes: agentRoutes },
  { name: 'streams', summary: 'Rooms and turns as server-sent events', routes: streamRoutes },
  {
    name: 'operations',
    summary: 'How the server is',
    routes: { ...operationRoutes, ...failureRoutes, ...logRoutes },
  },
  { name: 'limits', summary: 'Who may do how much, and who is kept out', routes: limitRoutes },
  {
    name: 'monitoring',
    summary: 'How the server was, is meant to be, and what is wrong',
    routes: monitoringRoutes,
  },
]

/** What a route can answer besides its own errors, because every door of its kind can. */
export function errorsOf(route: Route): ErrorCode[] {
  const codes = new Set<ErrorCode>(route.errors)
  if (route.body !== undefined)
    for (const code of ['malformed_request', 'payload_too_large', 'unsupported_media_type'] as const)
      codes.add(code)
  if (route.body !== undefined || route.query !== undefined || route.params !== undefined)
    codes.add('validation_failed')
  for (const code of byAudience[route.audience]) codes.add(code)
  if (route.path.startsWith('/v1/'))
    for (const code of ['busy', 'unavailable', 'rate_limited', 'blocked'] as const) codes.add(code)
  codes.add('internal')
  return [...codes].sort((one, other) => errorTable[one].status - errorTable[other].status)
}

const signedIn = ['unauthenticated', 'token_expired', 'session_revoked'] as const
const byAudience: Record<Audience, readonly ErrorCode[]> = {
  anyone: [],
  member: signedIn,
  operator: [...signedIn, 'forbidden'],
}

/** OpenAPI 3.1, whose schemas are JSON Schema 2020-12: the contract's own objects, unchanged. */
function openApiDocument(server: { publicUrl: string; version: string }): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const group of routeGroups)
    for (const [name, route] of Object.entries(group.routes)) {
      const operations = paths[route.path] ?? {}
      operations[route.method.toLowerCase()] = operation(name, group.name, route)
      paths[route.path] = operations
    }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Atom',
      version: server.version,
      description: `Errors are RFC 9457 problem details with a \`code\` of a closed list: ${server.publicUrl}/docs/errors`,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: server.publicUrl }],
    tags: routeGroups.map(({ name, summary }) => ({ name, description: summary })),
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: { Problem: plain(Problem) },
    },
  }
}

function operation(operationId: string, tag: string, route: Route): Record<string, unknown> {
  const responses: Record<string, unknown> = {}
  for (const [status, schema] of Object.entries(route.answers))
    responses[status] = isNothing(schema)
      ? { description: 'Done; no body.' }
      : { description: 'Done.', content: { [mediaType(schema)]: { schema: plain(schema) } } }
  if (route.events !== undefined) {
    const names = Object.keys(route.events).map((name) => `\`${name}\``)
    responses['200'] = {
      description: `Server-sent events: ${names.join(', ')}. \`x-events\` has what \`data\` of each holds.`,
      content: { 'text/event-stream': { schema: { type: 'string' }, 'x-events': plain(route.events) } },
    }
  }
  for (const [status, codes] of Map.groupBy(errorsOf(route), (code) => errorTable[code].status)) {
    // `/health` answers 503 with a body of its own.
    if (responses[status] !== undefined) continue
    responses[status] = {
      description: codes.map((code) => `\`${code}\`: ${errorTable[code].title}.`).join('\n\n'),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
    }
  }
  return {
    operationId,
    tags: [tag],
    summary: route.summary,
    ...(route.audience === 'operator' && { description: 'For owners and admins of the workspace.' }),
    security: route.audience === 'anyone' ? [] : [{ bearer: [] }],
    parameters: [...parameters('path', route.params), ...parameters('query', route.query)],
    ...(route.body !== undefined && {
      requestBody: {
        required: requiredOf(route.body).size > 0,
        content: { 'application/json': { schema: plain(route.body) } },
      },
    }),
    responses,
  }
}

function parameters(place: 'path' | 'query', schema: TSchema | undefined): Record<string, unknown>[] {
  if (schema === undefined) return []
  const required = requiredOf(schema)
  return Object.entries(propertiesOf(schema)).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || required.has(name),
    schema: plain(property),
  }))
}

function propertiesOf(schema: TSchema): Record<string, TSchema> {
  return 'properties' in schema ? (schema.properties as Record<string, TSchema>) : {}
}

/** JSON, but for what says otherwise of itself. */
function mediaType(schema: TSchema): string {
  return 'contentMediaType' in schema ? String(schema.contentMediaType) : 'application/json'
}

export function requiredOf(schema: TSchema): ReadonlySet<string> {
  return new Set('required' in schema ? (schema.required as readonly string[]) : [])
}

export function isNothing(schema: TSchema): boolean {
  return 'type' in schema && schema.type === 'null'
}

/** The schema as JSON holds it; `$id` belongs to the registry of one process. */
function plain(schema: TSchema | NonNullable<Route['events']>): unknown {
  return JSON.parse(JSON.stringify(schema, (key, value: unknown) => (key === '$id' ? undefined : value)))
}

export function openApiDoor(http: HttpServer, options: { version: string }): void {
  http.get('/openapi.json', async (_request, reply) =>
    reply
      .header('access-control-allow-origin', '*')
      .header('cross-origin-resource-policy', 'cross-origin')
      .send(openApiDocument({ publicUrl: http.publicUrl, version: options.version })),
  )
}
