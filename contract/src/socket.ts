import { type Static, Type } from 'typebox'
import { FrameError } from './errors.ts'
import { Actor, EventPage, parts, RoomEvent } from './rooms.ts'
import { Id } from './route.ts'

/** Version of everything in this file. A server refuses a handshake of another version with `protocol_unsupported`. */
export const protocolVersion = 1

export const socketLimits = {
  /** Largest frame from a client, in bytes. */
  frameBytes: 256 * 1024,
  /** Messages in one `message.send` with `items`. */
  batchItems: 32,
  typingEveryMs: 3_000,
  typingTtlMs: 6_000,
} as const

const DeviceId = Type.String({ minLength: 8, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' })
const Cursor = Type.Object({ epoch: Id, seq: parts.Seq })

/** `auth` of the Socket.IO handshake. Rooms named in `cursors` are joined and resumed at once. */
export const Handshake = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 8_192 }),
  deviceId: Type.Optional(DeviceId),
  v: Type.Optional(Type.Integer()),
  cursors: Type.Optional(Type.Record(Id, Cursor)),
})
export type Handshake = Static<typeof Handshake>

const closed = { additionalProperties: false }
const Item = Type.Object({ clientId: parts.ClientId, text: parts.Text }, closed)
const Sent = Type.Object({ id: Id, seq: parts.Seq })

/** Client to server. Each is acknowledged with `{ok: true, …answer}` or `{ok: false, error}`. */
export const clientFrames = {
  'room.join': {
    body: Type.Object({ roomId: Id, after: Type.Optional(parts.Seq), epoch: Type.Optional(Id) }, closed),
    /** `reset`: the cursor was of another epoch; these events are from the beginning of what is kept. */
    answer: Type.Object({ ...EventPage.properties, reset: Type.Optional(Type.Boolean()) }),
  },
  'room.leave': { body: Type.Object({ roomId: Id }, closed), answer: Type.Object({}) },
  'message.send': {
    body: Type.Union([
      Type.Object({ roomId: Id, ...Item.properties }, closed),
      Type.Object(
        { roomId: Id, items: Type.Array(Item, { minItems: 1, maxItems: socketLimits.batchItems }) },
        closed,
      ),
    ]),
    answer: Type.Union([
      Sent,
      Type.Object({
        results: Type.Array(
          Type.Union([
            Type.Object({ ok: Type.Literal(true), ...Sent.properties }),
            Type.Object({ ok: Type.Literal(false), error: FrameError }),
          ]),
        ),
      }),
    ]),
  },
  'room.fetch': {
    body: Type.Object(
      { roomId: Id, after: parts.Seq, limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })) },
      closed,
    ),
    answer: EventPage,
  },
  'room.read': { body: Type.Object({ roomId: Id, seq: parts.Seq }, closed), answer: Type.Object({}) },
  signal: {
    body: Type.Object({ roomId: Id, kind: Type.Literal('typing') }, closed),
    answer: Type.Object({}),
  },
  'turn.cancel': { body: Type.Object({ turnId: Id }, closed), answer: Type.Object({}) },
  'auth.refresh': {
    body: Type.Object({ token: Type.String({ minLength: 1, maxLength: 8_192 }) }, closed),
    answer: Type.Object({ expiresInMs: Type.Integer() }),
  },
} as const

export type ClientFrameName = keyof typeof clientFrames
export type ClientFrame<N extends ClientFrameName> = Static<(typeof clientFrames)[N]['body']>
export type ClientAnswer<N extends ClientFrameName> = Static<(typeof clientFrames)[N]['answer']>
export type Acknowledgement<N extends ClientFrameName> =
  | ({ ok: true } & ClientAnswer<N>)
  | { ok: false; error: FrameError }

/** Server to client. */
export const serverFrames = {
  hello: Type.Object({
    deviceId: DeviceId,
    /** A client that lost its socket waits a random time up to this before it comes back. */
    spreadMs: Type.Integer(),
    expiresInMs: Type.Integer({ description: 'Until the token of this socket expires.' }),
    v: Type.Integer(),
  }),
  'room.events': Type.Object({ roomId: Id, epoch: Id, events: Type.Array(RoomEvent) }),
  'room.signal': Type.Union([
    Type.Object({ roomId: Id, kind: Type.Literal('typing'), actor: Actor }),
    /**
     * A piece of an answer. `offset` counts UTF-16 code units already in the message. At `offset` equal to what a client
     * holds: append. Below: the overlap is known already. Above: ask for a snapshot by joining the room again.
     * A higher `attempt` starts the text anew.
     */
    Type.Object({
      roomId: Id,
      kind: Type.Literal('delta'),
      actor: Actor,
      turnId: Id,
      messageId: Id,
      attempt: Type.Integer(),
      offset: Type.Integer(),
      text: Type.String(),
    }),
  ]),
  'auth.expiring': Type.Object({ inMs: Type.Integer() }),
  drain: Type.Object({ afterMs: Type.Integer() }),
} as const

export type ServerFrameName = keyof typeof serverFrames
export type ServerFrame<N extends ServerFrameName> = Static<(typeof serverFrames)[N]>
export type RoomSignal = ServerFrame<'room.signal'>

/** Why the server closed a socket, sent as the frame `closing` right before; decides whether a client comes back. */
export const closeReasons = {
  draining: { comeBack: true },
  token_expired: { comeBack: true },
  session_revoked: { comeBack: false },
  replaced: { comeBack: false },
  protocol_unsupported: { comeBack: false },
} as const
export type CloseReason = keyof typeof closeReasons
