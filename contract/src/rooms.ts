import { type Static, Type } from 'typebox'
import { ApprovalView, ToolOutcome } from './agents.ts'
import { ById, Id, Nothing, Page, PageQuery, route, Time } from './route.ts'

export const limits = {
  /** Largest text of one message, in UTF-8 bytes. */
  messageBytes: 16 * 1024,
  roomNameLength: 80,
  pageEvents: 200,
  /** People and agents in one room. */
  roomMembers: 500,
  /** Mentions in one message. */
  mentions: 50,
  /** Different reactions to one message. */
  reactions: 20,
  /** Pinned messages of one room. */
  pins: 50,
  /** Of a search, in characters. */
  searchLength: 200,
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

/** Beyond it a number is not whole in every language, and no database counts so far. */
const furthest = Number.MAX_SAFE_INTEGER
const Seq = Type.Integer({
  minimum: 0,
  maximum: furthest,
  description: 'Place in the room: 1, 2, 3, … without gaps.',
})
const base = { seq: Seq, at: Time, actor: Actor }

/** One emoji, as the keyboard writes it: a grapheme of up to 32 UTF-16 code units without letters, digits alone, or spaces. */
const Emoji = Type.String({ minLength: 1, maxLength: 32 })

/** Everybody who reacted to a message in one way, the first one first. */
export const Reaction = Type.Object({ emoji: Type.String(), by: Type.Array(Id) })
export type Reaction = Static<typeof Reaction>

/**
 * What became of a message since it was said. A page shows each message as it is when it is read, so whoever pages back needs
 * none of the later events; whoever has the message already is told by them.
 */
const sinceThen = {
  editedAt: Type.Optional(Time),
  /** Deleted: `text` is empty, and so is everything that was in it. */
  deletedAt: Type.Optional(Time),
  reactions: Type.Optional(Type.Array(Reaction)),
}

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
  /** `seq` of the message in this room that it answers. */
  replyTo: Type.Optional(Seq),
  /** Ids of the members it names, people and agents. */
  mentions: Type.Optional(Type.Array(Id)),
  ...sinceThen,
})

/** The text of a message was changed by its author. `targetSeq`: which message. */
export const MessageEdited = Type.Object({
  ...base,
  type: Type.Literal('message.edited'),
  targetSeq: Seq,
  messageId: Id,
  text: Type.String(),
  mentions: Type.Optional(Type.Array(Id)),
})

/** A message is gone, its text erased from the timeline and from the events that edited it. */
export const MessageDeleted = Type.Object({
  ...base,
  type: Type.Literal('message.deleted'),
  targetSeq: Seq,
  messageId: Id,
})

export const ReactionAdded = Type.Object({
  ...base,
  type: Type.Literal('reaction.added'),
  targetSeq: Seq,
  messageId: Id,
  emoji: Type.String(),
})
export const ReactionRemoved = Type.Object({
  ...base,
  type: Type.Literal('reaction.removed'),
  targetSeq: Seq,
  messageId: Id,
  emoji: Type.String(),
})
export const MessagePinned = Type.Object({
  ...base,
  type: Type.Literal('message.pinned'),
  targetSeq: Seq,
  messageId: Id,
})
export const MessageUnpinned = Type.Object({
  ...base,
  type: Type.Literal('message.unpinned'),
  targetSeq: Seq,
  messageId: Id,
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

/** As many UTF-16 units of the answer (as `offset` of a delta counts) had been said before the call: it stands behind them. */
const SaidBefore = Type.Optional(Type.Integer({ minimum: 0 }))

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
  said: SaidBefore,
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
  said: SaidBefore,
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
  deletedAt: sinceThen.deletedAt,
  reactions: sinceThen.reactions,
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
/** `actor` is who took them out; themselves where they left. */
export const MemberLeft = Type.Object({ ...base, type: Type.Literal('member.left'), member: Actor })

/** `owner`: everything, the room's end included. `admin`: name, members, pins, others' messages. `member`: takes part. */
export const RoomRole = Type.Union([Type.Literal('owner'), Type.Literal('admin'), Type.Literal('member')])
export type RoomRole = Static<typeof RoomRole>

export const MemberChanged = Type.Object({
  ...base,
  type: Type.Literal('member.changed'),
  member: Actor,
  role: RoomRole,
})
/** The room itself: its name. */
export const RoomChanged = Type.Object({ ...base, type: Type.Literal('room.changed'), name: Type.String() })
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
  MemberChanged,
  RoomChanged,
  MessageEdited,
  MessageDeleted,
  ReactionAdded,
  ReactionRemoved,
  MessagePinned,
  MessageUnpinned,
  ConnectionChanged,
])
export type RoomEvent = Static<typeof RoomEvent>
export type RoomEventType = RoomEvent['type']

export const Member = Type.Object({
  ...Actor.properties,
  joinedAt: Time,
  role: RoomRole,
  /** How far they have read; of agents how far they have got. */
  readSeq: Seq,
  /** How far a device of theirs has it; never less than `readSeq`. Not kept up in rooms of more than 100 members. */
  deliveredSeq: Seq,
})
export type Member = Static<typeof Member>

export const Room = Type.Object({
  id: Id,
  name: Type.String(),
  /** Changes only when the timeline was restored from a backup: cursors of another epoch are void. */
  epoch: Id,
  /** `seq` of the newest event. */
  head: Seq,
  /** `direct`: two members for ever, found by whom it is with. `group`: whoever is added. */
  kind: Type.Union([Type.Literal('direct'), Type.Literal('group')]),
  /** Oldest event still kept. */
  floor: Seq,
  /** How far I have read. */
  readSeq: Seq,
  /** What I may do. */
  role: RoomRole,
  /** Messages of others after `readSeq`, deleted ones not counted; 1,000 stands for more. */
  unread: Type.Integer(),
  /** Those among them that name me, or are in a direct room. */
  unreadMentions: Type.Integer(),
  /** I want no notice of it, unless it names me. */
  muted: Type.Boolean(),
  /** It stands above the others in my list. */
  pinned: Type.Boolean(),
  /** The newest message, as a list shows it: the first 200 characters. Absent in an empty room. */
  lastMessage: Type.Optional(Type.Object({ seq: Seq, at: Time, actor: Actor, text: Type.String() })),
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
  /** Oldest event still kept. */
  floor: Seq,
  /**
   * The cursor is void: of another timeline, beyond its head, or of events that are no longer kept. Forget what you hold; the
   * events are the newest page.
   */
  reset: Type.Optional(Type.Boolean()),
})
export type EventPage = Static<typeof EventPage>

const RoomName = Type.String({ minLength: 1, maxLength: limits.roomNameLength, pattern: '\\S' })
const MemberRef = Type.Object(
  { kind: Type.Union([Type.Literal('account'), Type.Literal('agent')]), id: Id },
  { additionalProperties: false },
)
const MemberRefs = Type.Array(MemberRef, { maxItems: limits.roomMembers })
const MemberPath = Type.Object({ id: Id, memberId: Id })
const MessageSeq = Type.Integer({
  minimum: 1,
  maximum: furthest,
  description: '`seq` of the message in its room',
})
const MessagePath = Type.Object({ id: Id, seq: MessageSeq })
const ReactionPath = Type.Object({ id: Id, seq: MessageSeq, emoji: Emoji })
/** What a message says besides its text. Who is not in the room cannot be mentioned; what is not a message, not answered. */
const toMembers = {
  replyTo: Type.Optional(Type.Integer({ minimum: 1, maximum: furthest })),
  mentions: Type.Optional(Type.Array(Id, { maxItems: limits.mentions, uniqueItems: true })),
}
const AnyMessage = Type.Union([MessageCreated, MessageFinal])

export const FoundMessage = Type.Object({
  roomId: Id,
  message: AnyMessage,
  /** Around the first match, plain text; `matches` are the places in it, in UTF-16 code units, that were found. */
  excerpt: Type.String(),
  matches: Type.Array(Type.Object({ start: Type.Integer(), end: Type.Integer() })),
})
export type FoundMessage = Static<typeof FoundMessage>

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
    summary:
      'Create a room with me in it, and those named in `members` (the default agent where that is absent); or find the direct room with somebody',
    audience: 'member',
    body: Type.Union([
      Type.Object({ name: RoomName, members: Type.Optional(MemberRefs) }, { additionalProperties: false }),
      Type.Object({ direct: MemberRef }, { additionalProperties: false }),
    ]),
    answers: { 201: Room, 200: Room },
    errors: ['not_found', 'room_full'],
  }),
  changeRoom: route({
    method: 'PATCH',
    path: '/v1/rooms/{id}',
    summary: 'Rename a room; for its owner and admins',
    audience: 'member',
    params: ById,
    body: Type.Object({ name: RoomName }, { additionalProperties: false }),
    answers: { 200: Room },
    errors: ['not_found', 'not_a_member', 'forbidden'],
  }),
  deleteRoom: route({
    method: 'DELETE',
    path: '/v1/rooms/{id}',
    summary: 'End a room and erase everything in it, for everybody; for its owner',
    audience: 'member',
    params: ById,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'forbidden'],
  }),
  myPlace: route({
    method: 'PATCH',
    path: '/v1/rooms/{id}/me',
    summary:
      'How I have the room: muted, pinned, read up to. `readSeq` moves forward only; `unreadFrom` moves it back',
    audience: 'member',
    params: ById,
    body: Type.Object(
      {
        muted: Type.Optional(Type.Boolean()),
        pinned: Type.Optional(Type.Boolean()),
        readSeq: Type.Optional(Seq),
        /** "Mark as unread": the first message that shall count as unread. */
        unreadFrom: Type.Optional(Type.Integer({ minimum: 1, maximum: furthest })),
      },
      { additionalProperties: false, minProperties: 1 },
    ),
    answers: { 200: Room },
    errors: ['not_found', 'not_a_member'],
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
    body: MemberRef,
    answers: { 201: Member, 200: Member },
    errors: ['not_found', 'not_a_member', 'forbidden', 'room_full'],
  }),
  changeMember: route({
    method: 'PATCH',
    path: '/v1/rooms/{id}/members/{memberId}',
    summary: 'Give a person of the room another role; for its owner, and admins up to their own role',
    audience: 'member',
    params: MemberPath,
    body: Type.Object({ role: RoomRole }, { additionalProperties: false }),
    answers: { 200: Member },
    errors: ['not_found', 'not_a_member', 'forbidden'],
  }),
  removeMember: route({
    method: 'DELETE',
    path: '/v1/rooms/{id}/members/{memberId}',
    summary: 'Leave the room, or take somebody out of it (owner and admins)',
    audience: 'member',
    params: MemberPath,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'forbidden'],
  }),
  sendMessage: route({
    method: 'POST',
    path: '/v1/rooms/{id}/messages',
    summary: 'Say something; answered after the commit. The same clientId again: 200 and the same message',
    audience: 'member',
    params: ById,
    body: Type.Object({ clientId: ClientId, text: Text, ...toMembers }, { additionalProperties: false }),
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
  editMessage: route({
    method: 'PATCH',
    path: '/v1/rooms/{id}/messages/{seq}',
    summary: 'Change the text of a message of mine; the same clientId again changes nothing more',
    audience: 'member',
    params: MessagePath,
    body: Type.Object(
      { clientId: Type.Optional(ClientId), text: Text, mentions: toMembers.mentions },
      { additionalProperties: false },
    ),
    answers: { 200: MessageEdited },
    errors: ['not_found', 'not_a_member', 'forbidden', 'message_too_large', 'unavailable'],
  }),
  deleteMessage: route({
    method: 'DELETE',
    path: '/v1/rooms/{id}/messages/{seq}',
    summary: 'Erase a message: mine, or as owner or admin of the room anybody’s',
    audience: 'member',
    params: MessagePath,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'forbidden', 'unavailable'],
  }),
  react: route({
    method: 'PUT',
    path: '/v1/rooms/{id}/messages/{seq}/reactions/{emoji}',
    summary: 'React to a message; doing it twice is doing it once',
    audience: 'member',
    params: ReactionPath,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'too_many_reactions', 'unavailable'],
  }),
  unreact: route({
    method: 'DELETE',
    path: '/v1/rooms/{id}/messages/{seq}/reactions/{emoji}',
    summary: 'Take a reaction of mine back',
    audience: 'member',
    params: ReactionPath,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'unavailable'],
  }),
  pins: route({
    method: 'GET',
    path: '/v1/rooms/{id}/pins',
    summary: 'Pinned messages of a room, the latest pin first',
    audience: 'member',
    params: ById,
    answers: {
      200: Type.Object({
        items: Type.Array(Type.Object({ message: AnyMessage, pinnedAt: Time, pinnedBy: Actor })),
      }),
    },
    errors: ['not_found', 'not_a_member'],
  }),
  pin: route({
    method: 'PUT',
    path: '/v1/rooms/{id}/pins/{seq}',
    summary: 'Pin a message for everybody in the room',
    audience: 'member',
    params: MessagePath,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'too_many_pins', 'unavailable'],
  }),
  unpin: route({
    method: 'DELETE',
    path: '/v1/rooms/{id}/pins/{seq}',
    summary: 'Take a pin off',
    audience: 'member',
    params: MessagePath,
    answers: { 204: Nothing },
    errors: ['not_found', 'not_a_member', 'unavailable'],
  }),
  search: route({
    method: 'GET',
    path: '/v1/messages/search',
    summary:
      'Find messages in my rooms, the best match first or the newest. Words as in a search engine: "a phrase", -without, or',
    audience: 'member',
    priority: 'bulk',
    query: Type.Object(
      {
        q: Type.String({ minLength: 1, maxLength: limits.searchLength, pattern: '\\S' }),
        roomId: Type.Optional(Id),
        /** Id of the author. */
        from: Type.Optional(Id),
        order: Type.Optional(Type.Union([Type.Literal('newest'), Type.Literal('best')])),
        ...PageQuery.properties,
      },
      { additionalProperties: false },
    ),
    answers: { 200: Page(FoundMessage) },
    errors: ['not_found', 'not_a_member'],
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
        after: Type.Optional(Seq),
        epoch: Type.Optional(
          Type.String({ format: 'uuid', description: 'Of the timeline that `after` is a place in.' }),
        ),
        before: Type.Optional(Type.Integer({ minimum: 1, maximum: furthest })),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.pageEvents })),
      },
      { additionalProperties: false },
    ),
    answers: { 200: EventPage },
    errors: ['not_found', 'not_a_member'],
  }),
} as const

export const parts = { ClientId, Text, Seq, Emoji, toMembers }
