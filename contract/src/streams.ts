import { type Static, Type } from 'typebox'
import { MessageFinal, parts, RoomEvent, TurnEnded } from './rooms.ts'
import { ById, Id, route } from './route.ts'
import { serverFrames } from './socket.ts'

/**
 * The last event of a stream that is ended by the server. `left`: I am not in the room any more, or it is gone; `over`: all
 * was told; `blocked`: an operator keeps me out. Come back after the others, with `Last-Event-ID` and, where the token has expired, with a new one.
 */
export const StreamClosing = Type.Object({
  reason: Type.Union([
    Type.Literal('draining'),
    Type.Literal('token_expired'),
    Type.Literal('session_revoked'),
    Type.Literal('left'),
    Type.Literal('over'),
    Type.Literal('blocked'),
  ]),
})
export type StreamClosing = Static<typeof StreamClosing>

/** A piece of an answer, as `room.signal` tells it. */
export const TurnDelta = Type.Object({
  messageId: Id,
  attempt: Type.Integer(),
  offset: Type.Integer(),
  text: Type.String(),
})
export type TurnDelta = Static<typeof TurnDelta>

/**
 * What sockets are told, for whoever has none: `curl`, a script, a function. Each answer goes on until its end; a comment every
 * 15 seconds keeps it alive. Send the access token in `Authorization`; a token never belongs into an address.
 */
export const streamRoutes = {
  roomStream: route({
    method: 'GET',
    path: '/v1/rooms/{id}/stream',
    summary:
      'The timeline as server-sent events: after `Last-Event-ID` or `after`, else from the newest page on, then live',
    audience: 'member',
    params: ById,
    query: Type.Object(
      {
        /** `seq` of the last event held; `Last-Event-ID` goes before it. */
        after: Type.Optional(parts.Seq),
        /** Of the timeline that `after` belongs to. */
        epoch: Type.Optional(Id),
        /** `1`: signals come too, without an `id`. */
        signals: Type.Optional(Type.Literal('1')),
      },
      { additionalProperties: false },
    ),
    answers: {},
    events: {
      /** A committed event; its `id` is `epoch:seq`. */
      message: RoomEvent,
      signal: serverFrames['room.signal'],
      /** What follows on the cursor is gone, or of another timeline: forget what you hold. The newest page follows. */
      reset: Type.Object({ epoch: Id, head: parts.Seq, floor: parts.Seq }),
      closing: StreamClosing,
    },
    errors: ['not_found', 'not_a_member', 'draining'],
  }),
  turnStream: route({
    method: 'GET',
    path: '/v1/agents/turns/{id}/stream',
    summary:
      'One answer of an agent as it is written: pieces by offset from `Last-Event-ID` on, then the whole, then the end',
    audience: 'member',
    params: ById,
    answers: {},
    events: {
      /**
       * A piece; its `id` is `attempt:offset`, the place after it in UTF-16 code units. Pieces of an attempt follow on each
       * other; a higher `attempt` starts the text anew.
       */
      delta: TurnDelta,
      /** The pieces of the last attempt, joined, are its `text`. */
      final: MessageFinal,
      ended: TurnEnded,
      closing: StreamClosing,
    },
    errors: ['not_found', 'not_a_member', 'draining'],
  }),
} as const
