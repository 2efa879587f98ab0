import { type Static, Type } from 'typebox'
import { Health, StatusWord } from './health.ts'
import { Id, Page, PageQuery, route, Time } from './route.ts'

/** A socket that is `crowded` gets no signals for now, one that is `behind` no live events: it reads too slowly. */
const SocketState = Type.Union([Type.Literal('live'), Type.Literal('crowded'), Type.Literal('behind')])

export const OpenSocket = Type.Object({
  id: Type.String(),
  account: Type.Object({ id: Id, name: Type.String() }),
  deviceId: Type.String(),
  address: Type.String({ description: 'Where its connection comes from, as this process sees it.' }),
  since: Time,
  lastFrameAt: Time,
  rooms: Type.Integer(),
  unsentBytes: Type.Integer({ description: 'What it has not read yet.' }),
  state: SocketState,
})
export type OpenSocket = Static<typeof OpenSocket>

const Milliseconds = Type.Union([Type.Number(), Type.Null()])

/** How the live side of one process is. Rates are of the last ten seconds, percentiles of the last minute. */
export const LiveSummary = Type.Object({
  node: Type.String({ description: 'The process that this is about: its host and process id.' }),
  sockets: Type.Integer(),
  people: Type.Integer(),
  rooms: Type.Integer({ description: 'Rooms that its sockets follow.' }),
  crowded: Type.Integer(),
  behind: Type.Integer(),
  unsentBytes: Type.Integer(),
  published: Type.Number({ description: 'Events committed per second.' }),
  acknowledgedP50Ms: Milliseconds,
  acknowledgedP99Ms: Milliseconds,
  lanes: Type.Array(Type.Object({ rows: Type.Integer(), bytes: Type.Integer() })),
  handshakes: Type.Number({ description: 'Handshakes accepted per second.' }),
  returned: Type.Number({ description: 'Of these, by clients that come back.' }),
  spreadMs: Type.Integer({ description: 'Who loses a socket now comes back within this time.' }),
  moving: Type.Integer({ description: 'Sockets that a drain moves and that are still here.' }),
})
export type LiveSummary = Static<typeof LiveSummary>

/** Which process is asked: its `id`, or its `node` where that is one process's alone; whichever answers where absent. */
export const AskedNode = Type.Optional(
  Type.String({
    minLength: 1,
    maxLength: 200,
    description: 'Another process’s `id` or `node`, which is asked in its place.',
  }),
)

/** One process of the installation, as it says of itself. */
export const LiveNode = Type.Object({
  id: Type.String({ description: 'New with each start.' }),
  version: Type.String(),
  since: Time,
  draining: Type.Boolean({ description: 'It takes no new traffic, and ends soon.' }),
  answers: Type.Boolean({ description: 'It is the one that answers this request.' }),
  summary: LiveSummary,
})
export type LiveNode = Static<typeof LiveNode>

/** A process that counts as alive, and said nothing in time: killed a moment ago, standing still, or of another version. */
export const SilentNode = Type.Object({
  id: Type.String(),
  /** Null where it has never answered this process. */
  node: Type.Union([Type.String(), Type.Null()]),
  heardAt: Type.Union([Time, Type.Null()]),
})
export type SilentNode = Static<typeof SilentNode>

const Amounts = Type.Array(Type.Number())
const Durations = Type.Array(Milliseconds)

/** One sample a second, by column, oldest first. Each counts what happened in the second before `at`. */
export const LiveHistory = Type.Object({
  node: Type.String(),
  at: Type.Array(Type.Integer({ description: 'Milliseconds since 1970, UTC.' })),
  sockets: Amounts,
  published: Amounts,
  acknowledgedP50Ms: Durations,
  acknowledgedP99Ms: Durations,
  handshakes: Amounts,
  returned: Amounts,
  resumes: Type.Array(Type.Number(), { description: 'Rooms resumed with news, or started over.' }),
  behind: Amounts,
})
export type LiveHistory = Static<typeof LiveHistory>

export const LiveRoom = Type.Object({
  roomId: Id,
  /** Null where the caller is not in the room. */
  name: Type.Union([Type.String(), Type.Null()]),
  followers: Type.Integer({ description: 'Sockets of this process that follow it.' }),
  perSecond: Type.Number({ description: 'Events delivered per second.' }),
})
export type LiveRoom = Static<typeof LiveRoom>

const closed = { additionalProperties: false }

export const operationRoutes = {
  live: route({
    method: 'GET',
    path: '/live',
    summary: 'The process is alive; depends on nothing',
    audience: 'anyone',
    priority: 'probe',
    answers: { 200: Type.Object({ status: Type.Literal('up') }) },
    errors: [],
  }),
  ready: route({
    method: 'GET',
    path: '/ready',
    summary: 'May take traffic: 503 while starting, draining or without its database',
    audience: 'anyone',
    priority: 'probe',
    answers: {
      200: Type.Object({ status: Type.Union([Type.Literal('up'), Type.Literal('degraded')]) }),
    },
    errors: ['starting', 'draining', 'unavailable'],
  }),
  status: route({
    method: 'GET',
    path: '/status',
    summary: 'One word',
    audience: 'anyone',
    priority: 'probe',
    answers: { 200: Type.Object({ status: StatusWord }) },
    errors: [],
  }),
  health: route({
    method: 'GET',
    path: '/health',
    summary: 'Every component; details for operators only',
    audience: 'anyone',
    priority: 'probe',
    answers: { 200: Health, 503: Health },
    errors: [],
  }),
  keySet: route({
    method: 'GET',
    path: '/.well-known/jwks.json',
    summary: 'The public keys that access tokens are signed with (RFC 7517)',
    audience: 'anyone',
    answers: {
      200: Type.Object({
        keys: Type.Array(
          Type.Object({
            kty: Type.Literal('OKP'),
            crv: Type.Literal('Ed25519'),
            x: Type.String(),
            kid: Type.String(),
            use: Type.Literal('sig'),
            alg: Type.Literal('EdDSA'),
          }),
        ),
      }),
    },
    errors: [],
  }),
  openSandbox: route({
    method: 'POST',
    path: '/v1/operations/sandbox',
    summary: 'Start the provider sandbox on this machine; it stands in for providers without an app',
    audience: 'operator',
    answers: { 200: Type.Object({ running: Type.Literal(true) }) },
    errors: [],
  }),
  metrics: route({
    method: 'GET',
    path: '/metrics',
    summary:
      'Everything that is counted, in Prometheus’ text format; also with the token of ATOM_METRICS_TOKEN',
    audience: 'operator',
    priority: 'probe',
    answers: { 200: Type.String({ contentMediaType: 'text/plain' }) },
    errors: [],
  }),
  sockets: route({
    method: 'GET',
    path: '/v1/operations/sockets',
    summary: 'How the live side of one process is, and its sockets: slowest readers first, then the newest',
    audience: 'operator',
    query: Type.Object(
      {
        ...PageQuery.properties,
        node: AskedNode,
        q: Type.Optional(
          Type.String({
            maxLength: 200,
            description: 'A part of a person’s name, a socket id or a device id.',
          }),
        ),
        state: Type.Optional(
          Type.Union([SocketState, Type.Literal('slow')], { description: '`slow`: crowded or behind.' }),
        ),
      },
      closed,
    ),
    answers: { 200: Type.Object({ summary: LiveSummary, ...Page(OpenSocket).properties }) },
    errors: ['not_found'],
  }),
  liveRooms: route({
    method: 'GET',
    path: '/v1/operations/rooms/live',
    summary: 'The busiest rooms among those that sockets of one process follow',
    audience: 'operator',
    query: Type.Object(
      { limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })), node: AskedNode },
      closed,
    ),
    answers: { 200: Type.Object({ node: Type.String(), items: Type.Array(LiveRoom) }) },
    errors: ['not_found'],
  }),
  liveHistory: route({
    method: 'GET',
    path: '/v1/operations/live/history',
    summary: 'The last minutes of one process, second by second',
    audience: 'operator',
    query: Type.Object(
      {
        node: AskedNode,
        minutes: Type.Optional(Type.Integer({ minimum: 1, maximum: 15 })),
        after: Type.Optional(Type.Integer({ minimum: 0, description: 'Only samples after this `at`.' })),
      },
      closed,
    ),
    answers: { 200: LiveHistory },
    errors: ['not_found'],
  }),
  nodes: route({
    method: 'GET',
    path: '/v1/operations/nodes',
    summary: 'Every process of the installation, as each says of itself now',
    audience: 'operator',
    answers: { 200: Type.Object({ items: Type.Array(LiveNode), silent: Type.Array(SilentNode) }) },
    errors: [],
  }),
  disconnectSocket: route({
    method: 'POST',
    path: '/v1/operations/sockets/{id}/disconnect',
    summary:
      'Close one socket; its client stays away until its person reloads, or comes back, maybe to another process',
    audience: 'operator',
    params: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
    body: Type.Object({ comeBack: Type.Boolean(), node: AskedNode }, closed),
    answers: { 200: Type.Object({ closed: Type.Literal(true) }) },
    errors: ['not_found'],
  }),
  drain: route({
    method: 'POST',
    path: '/v1/operations/drain',
    summary:
      'Move all sockets of one process, in waves: each client opens another one, where the balancer sends it, before the old one ends',
    audience: 'operator',
    body: Type.Object(
      { confirm: Type.String({ maxLength: 200, description: 'The `node` that is meant.' }), node: AskedNode },
      closed,
    ),
    answers: {
      202: Type.Object({
        moving: Type.Integer(),
        withinMs: Type.Integer({ description: 'When the last one has been closed, at the latest.' }),
      }),
    },
    errors: ['validation_failed', 'not_found'],
  }),
} as const
