import { type Static, Type } from 'typebox'
import { ApprovalView, ToolOutcome } from './agents.ts'
import { ById, Id, Page, PageQuery, route, Time } from './route.ts'

export const limits = {
  /** Largest text of one message, in UTF-8 bytes. */
  messageBytes: 16 * 1024,
  roomNameLength: 80,
  pageEvents: 200,
} as const

const ClientId = Type.String({ minLength: 8, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' })
const Text = Type.String({ minLength: 1, pattern: '\\S' })

/** Who did it. `name` is as it was when the event was read. */
export const Actor = Type.Object({
  kind: Type.Union([Type.Literal('account'), Type.Literal('agent'), Type.Literal('system')]),
  id: Id,
  name: Type.String(),
})
export type Actor = Static<typeof Actor>

const Seq = Type.Integer({ minimum: 0, description: 'Place in the room: 1, 2, 3, … without gaps.' })
const base = { seq: Seq, at: Time, actor: Actor }

/** A button under an agent's message: sends a text, or opens the consent of a provider. */
export const Choice = Type.Object({
  label: Type.String(),
  send: Type.Optional(Type.String()),
  connect: Type.Optional(Type.String()),
})
export type Choice = Static<typeof Choice>

export const MessageCreated = Type.Object({
  ...base,
  type: Type.Literal('message.created'),
  id: Id,
  clientId: Type.String(),
  text: Type.String(),
})

/** A turn has begun; its answer will be the message `messageId`, streamed as `delta` signals until `message.final`. */
export const TurnStarted = Type.Object({
  ...base,
  type: Type.Literal('turn.started'),
  turnId: Id,
  messageId: Id,
  /** The message that asked. */
  triggerSeq: Seq,
  /** Whose connections the agent may use. */
  onBehalfOf: Id,
  /** What answers: `rules`, or the model's name. */
  model: Type.String(),
})

/** The agent calls a tool on somebody's account. */
export const ToolStarted = Type.Object({
  ...base,
  type: Type.Literal('tool.started'),
  turnId: Id,
  callId: Id,
  tool: Type.String(),
  /** A sentence: "Search issues in atom-labs/app". */
  title: Type.String(),
  connectionId: Type.Optional(Id),
  provider: Type.Optional(Type.String()),
  account: Type.Optional(Type.String({ description: 'Name of the person at the provider.' })),
})

export const ToolEnded = Type.Object({
  ...base,
  type: Type.Literal('tool.ended'),
  turnId: Id,
  callId: Id,
  outcome: ToolOutcome,
})

export const ApprovalRequested = Type.Object({
  ...base,
  type: Type.Literal('approval.requested'),
  turnId: Id,
  approval: ApprovalView,
})

export const ApprovalDecided = Type.Object({
  ...base,
  type: Type.Literal('approval.decided'),
  turnId: Id,
  approvalId: Id,
  decision: Type.Union([
    Type.Literal('approved'),
    Type.Literal('denied'),
    Type.Literal('expired'),
    Type.Literal('withdrawn'),
  ]),
  reason: Type.Optional(Type.String()),
})

/** The whole answer. `sha256` (hex, of the UTF-8 text) lets a client check what it streamed. */
export const MessageFinal = Type.Object({
  ...base,
  type: Type.Literal('message.final'),
  id: Id,
  turnId: Id,
  text: Type.String(),
  sha256: Type.String(),
  choices: Type.Optional(Type.Array(Choice)),
})

export const TurnEnded = Type.Object({
  ...base,
  type: Type.Literal('turn.ended'),
  turnId: Id,
  status: Type.Union([
    Type.Literal('succeeded'),
    Type.Literal('failed'),
    Type.Literal('cancelled'),
    Type.Literal('interrupted'),
    Type.Literal('needs_attention'),
  ]),
  /** Plain words, where it did not succeed. */
  reason: Type.Optional(Type.String()),
})

export const MemberJoined = Type.Object({ ...base, type: Type.Literal('member.joined'), member: Actor })
export const MemberLeft = Type.Object({ ...base, type: Type.Literal('member.left'), member: Actor })
export const ConnectionChanged = Type.Object({
  ...base,
  type: Type.Literal('connection.changed'),
  connectionId: Id,
  provider: Type.String(),
  status: Type.String(),
})

/** A committed fact in a room. A client ignores types that it does not know. */
export const RoomEvent = Type.Union([
  MessageCreated,
  MessageFinal,
  TurnStarted,
  TurnEnded,
  ToolStarted,
  ToolEnded,
  ApprovalRequested,
  ApprovalDecided,
  MemberJoined,
  MemberLeft,
  ConnectionChanged,
])
export type RoomEvent = Static<typeof RoomEvent>
export type RoomEventType = RoomEvent['type']

export const Member = Type.Object({ ...Actor.properties, joinedAt: Time })
export type Member = Static<typeof Member>

export const Room = Type.Object({
  id: Id,
  name: Type.String(),
  /** Changes only when the timeline was restored from a backup: cursors of another epoch are void. */
  epoch: Id,
  /** `seq` of the newest event. */
  head: Seq,
  /** How far I have read. */
  readSeq: Seq,
  createdAt: Time,
  members: Type.Array(Member),
})
export type Room = Static<typeof Room>

export const EventPage = Type.Object({
  epoch: Id,
  head: Seq,
  events: Type.Array(RoomEvent),
  /** More events follow the last one of this page. */
  more: Type.Boolean(),
  /**
   * The cursor is void: of another timeline, beyond its head, or of events that are no longer kept. Forget what you hold; the
   * events are the newest page.
   */
  reset: Type.Optional(Type.Boolean()),
  /** With `reset`: number of the oldest event that is kept. */
  floor: Type.Optional(Seq),
})
export type EventPage = Static<typeof EventPage>

export const roomRoutes = {
  rooms: route({
    method: 'GET',
    path: '/v1/rooms',
    summary: 'My rooms, the most recently active first',
    audience: 'member',
    query: PageQuery,
    answers: { 200: Page(Room) },
    errors: [],
  }),
  createRoom: route({
    method: 'POST',
    path: '/v1/rooms',
    summary: 'Create a room with me, and the default agent, in it',
    audience: 'member',
    body: Type.Object(
      { name: Type.String({ minLength: 1, maxLength: limits.roomNameLength, pattern: '\\S' }) },
      { additionalProperties: false },
    ),
    answers: { 201: Room },
    errors: [],
  }),
  room: route({
    method: 'GET',
    path: '/v1/rooms/{id}',
    summary: 'One room with its members',
    audience: 'member',
    params: ById,
    answers: { 200: Room },
    errors: ['not_found', 'not_a_member'],
  }),
  addMember: route({
    method: 'POST',
    path: '/v1/rooms/{id}/members',
    summary: 'Add a person or an agent of this workspace to the room',
    audience: 'member',
    params: ById,
    body: Type.Object(
      { kind: Type.Union([Type.Literal('account'), Type.Literal('agent')]), id: Id },
      { additionalProperties: false },
    ),
    answers: { 201: Member, 200: Member },
    errors: ['not_found', 'not_a_member'],
  }),
  sendMessage: route({
    method: 'POST',
    path: '/v1/rooms/{id}/messages',
    summary: 'Say something; answered after the commit. The same clientId again: 200 and the same message',
    audience: 'member',
    params: ById,
    body: Type.Object({ clientId: ClientId, text: Text }, { additionalProperties: false }),
    answers: {
      201: Type.Object({
        id: Id,
        roomId: Id,
        seq: Seq,
        clientId: Type.String(),
        text: Type.String(),
        at: Time,
      }),
      200: Type.Object({
        id: Id,
        roomId: Id,
        seq: Seq,
        clientId: Type.String(),
        text: Type.String(),
        at: Time,
      }),
    },
    errors: ['not_found', 'not_a_member', 'message_too_large', 'busy', 'unavailable'],
  }),
  events: route({
    method: 'GET',
    path: '/v1/rooms/{id}/events',
    summary:
      'The timeline: after a cursor (0 is the beginning; where it is void the answer says `reset`), before one, or the newest page. With `before`, `more` means older events',
    audience: 'member',
    params: ById,
    query: Type.Object(
      {
        after: Type.Optional(Type.Integer({ minimum: 0 })),
        epoch: Type.Optional(
          Type.String({ format: 'uuid', description: 'Of the timeline that `after` is a place in.' }),
        ),
        before: Type.Optional(Type.Integer({ minimum: 1 })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.pageEvents })),
      },
      { additionalProperties: false },
    ),
    answers: { 200: EventPage },
    errors: ['not_found', 'not_a_member'],
  }),
} as const

export const parts = { ClientId, Text, Seq }
