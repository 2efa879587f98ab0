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
  /** Rooms that one handshake may resume. */
  cursors: 200,
  typingEveryMs: 3_000,
  typingTtlMs: 6_000,
  /** Rooms whose presence one socket may watch. */
  watchedRooms: 50,
  /** A person without any socket counts as present for this long. */
  presenceGraceMs: 8_000,
} as const

/** Of one member: `active` at a device, `away` from all of theirs, `working` on a turn (agents); who is absent is not there. */
export const Presence = Type.Object({
  id: Id,
  state: Type.Union([Type.Literal('active'), Type.Literal('away'), Type.Literal('working')]),
})
export type Presence = Static<typeof Presence>

const DeviceId = Type.String({ minLength: 8, maxLength: 64, pattern: '^[A-Za-z0-9_-]+$' })
const Cursor = Type.Object({ epoch: Id, seq: parts.Seq })

/** `auth` of the Socket.IO handshake. Rooms named in `cursors` are joined and resumed at once. */
export const Handshake = Type.Object({
  token: Type.String({ minLength: 1, maxLength: 8_192 }),
  deviceId: Type.Optional(DeviceId),
  v: Type.Optional(Type.Integer()),
  cursors: Type.Optional(Type.Record(Id, Cursor, { maxProperties: socketLimits.cursors })),
})
export type Handshake = Static<typeof Handshake>

const closed = { additionalProperties: false }
const Item = Type.Object({ clientId: parts.ClientId, text: parts.Text, ...parts.toMembers }, closed)
const Sent = Type.Object({ id: Id, seq: parts.Seq })

/**
 * What a frame may have beside its body, as the argument behind it and before the function that acknowledges, as a request has
 * header fields. A server that knows nothing of it passes it over, and so does every server with what is malformed in it.
 */
export const FrameContext = Type.Object({
  /**
   * In which trace the frame is sent (W3C Trace Context, version 00, at most 512 characters). For `message.send` with `items`
   * one for each of these in their order, null for none.
   */
  traceparent: Type.Optional(
    Type.Union([
      Type.String({ maxLength: 512 }),
      Type.Array(Type.Union([Type.String({ maxLength: 512 }), Type.Null()]), {
        maxItems: socketLimits.batchItems,
      }),
    ]),
  ),
})
export type FrameContext = Static<typeof FrameContext>

/** Client to server, as `name, body` or `name, body, FrameContext`. Each is acknowledged with `{ok: true, …answer}` or `{ok: false, error}`. */
export const clientFrames = {
  'room.join': {
    /** `after` is the last `seq` held, of the timeline `epoch`; without it the newest page is answered. */
    body: Type.Object({ roomId: Id, after: Type.Optional(parts.Seq), epoch: Type.Optional(Id) }, closed),
    /** `more`: the rest follows by itself as `room.events` frames, in order, before anything newer. */
    answer: EventPage,
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
      {
        roomId: Id,
        after: parts.Seq,
        epoch: Type.Optional(Id),
        limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
      },
      closed,
    ),
    answer: EventPage,
  },
  'message.edit': {
    body: Type.Object(
      {
        roomId: Id,
        seq: parts.Seq,
        clientId: parts.ClientId,
        text: parts.Text,
        mentions: parts.toMembers.mentions,
      },
      closed,
    ),
    answer: Type.Object({ seq: parts.Seq }),
  },
  'message.delete': {
    body: Type.Object({ roomId: Id, seq: parts.Seq }, closed),
    answer: Type.Object({}),
  },
  'message.react': {
    body: Type.Object({ roomId: Id, seq: parts.Seq, emoji: parts.Emoji, on: Type.Boolean() }, closed),
    answer: Type.Object({}),
  },
  'room.read': { body: Type.Object({ roomId: Id, seq: parts.Seq }, closed), answer: Type.Object({}) },
  signal: {
    body: Type.Object({ roomId: Id, kind: Type.Literal('typing') }, closed),
    answer: Type.Object({}),
  },
  /**
   * Whose presence to tell: that of the members of these rooms, the ones on the screen. Replaces what was watched before. The
   * answer is how it stands; changes follow as signals.
   */
  'presence.watch': {
    body: Type.Object({ roomIds: Type.Array(Id, { maxItems: socketLimits.watchedRooms }) }, closed),
    answer: Type.Object({ rooms: Type.Record(Id, Type.Array(Presence)) }),
  },
  /** The person looks elsewhere (the tab is hidden), or is back. */
  'presence.set': {
    body: Type.Object({ state: Type.Union([Type.Literal('active'), Type.Literal('away')]) }, closed),
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
    /**
     * One entry for each room of the handshake's `cursors`. What was missed follows as `room.events` frames. `reset`: as in
     * a page of events. Where `error` is present the room was not joined.
     */
    rooms: Type.Record(
      Id,
      Type.Union([
        Type.Object({
          ok: Type.Literal(true),
          epoch: Id,
          head: parts.Seq,
          reset: Type.Optional(Type.Boolean()),
        }),
        Type.Object({ ok: Type.Literal(false), error: FrameError }),
      ]),
    ),
  }),
  /** `reset`: what followed is no longer kept, or the timeline is another one. Forget what you hold and begin with these. */
  'room.events': Type.Object({
    roomId: Id,
    epoch: Id,
    events: Type.Array(RoomEvent),
    reset: Type.Optional(Type.Boolean()),
  }),
  'room.signal': Type.Union([
    Type.Object({ roomId: Id, kind: Type.Literal('typing'), actor: Actor }),
    /** What changed among the members of a room that is watched; `offline` for who left. At most one a second. */
    Type.Object({
      roomId: Id,
      kind: Type.Literal('presence'),
      changes: Type.Array(
        Type.Object({ id: Id, state: Type.Union([Presence.properties.state, Type.Literal('offline')]) }),
      ),
    }),
    /** How far members have read, batched; in rooms of up to 100 members. */
    Type.Object({
      roomId: Id,
      kind: Type.Literal('read'),
      readers: Type.Array(Type.Object({ id: Id, seq: parts.Seq })),
    }),
    /** How far a device of each has the room's messages, batched; in rooms of up to 100 members. `read` implies it. */
    Type.Object({
      roomId: Id,
      kind: Type.Literal('delivered'),
      to: Type.Array(Type.Object({ id: Id, seq: parts.Seq })),
    }),
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
  /** From now on the span that `hello` named is this one: many more clients have come since. */
  spread: Type.Object({ spreadMs: Type.Integer() }),
  /**
   * The server is about to stop: open another socket after `afterMs`, then close this one, which goes on serving until then.
   * `closing` with the reason `draining` ends who does not.
   */
  drain: Type.Object({ afterMs: Type.Integer() }),
  /** The last frame of a socket. */
  closing: Type.Object({
    reason: Type.Union([
      Type.Literal('draining'),
      Type.Literal('token_expired'),
      Type.Literal('session_revoked'),
      Type.Literal('replaced'),
      Type.Literal('too_slow'),
      Type.Literal('too_many_frames'),
      Type.Literal('moved'),
      Type.Literal('disconnected'),
    ]),
  }),
  /**
   * I was taken out of a room, or left it on another device, or it was ended: its events end here. It may come twice. Of this
   * and `room.added` about one room the last one on a socket is true, however quickly I was taken out and added again.
   */
  'room.left': Type.Object({ roomId: Id }),
  /** I am in a room from now on: added to it, or it was made with me in it, on whatever device. Join it to hear it. */
  'room.added': Type.Object({ roomId: Id }),
} as const

export type ServerFrameName = keyof typeof serverFrames
export type ServerFrame<N extends ServerFrameName> = Static<(typeof serverFrames)[N]>
export type RoomSignal = ServerFrame<'room.signal'>

/**
 * Why the server closed a socket, sent as the frame `closing` right before; decides whether a client comes back. A handshake
 * that is refused gets Socket.IO's `connect_error` instead, with a `FrameError` as `data`. Where a server is full or about to
 * stop it refuses the request before that: with HTTP 503 and `Retry-After`; but in the form of a `connect_error`, too, where
 * the request is a browser's or has `refusal=frame` in its query.
 */
export const closeReasons = {
  draining: { comeBack: true },
  token_expired: { comeBack: true },
  session_revoked: { comeBack: false },
  /** The same device opened a newer socket. */
  replaced: { comeBack: false },
  /** Nothing was read for half a minute. */
  too_slow: { comeBack: true },
  /** Frames kept coming although they were answered `busy`. */
  too_many_frames: { comeBack: true },
  /** An operator moved this socket to another node. */
  moved: { comeBack: true },
  /** An operator ended it. */
  disconnected: { comeBack: false },
} as const satisfies Record<ServerFrame<'closing'>['reason'], { comeBack: boolean }>
export type CloseReason = keyof typeof closeReasons
