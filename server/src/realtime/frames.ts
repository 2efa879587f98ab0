import type { FrameError } from '@atom/contract/errors.ts'
import type { Priority } from '@atom/contract/route.ts'
import {
  type Acknowledgement,
  type ClientAnswer,
  type ClientFrame,
  type ClientFrameName,
  clientFrames,
  socketLimits,
} from '@atom/contract/socket.ts'
import { Compile, type Validator } from 'typebox/compile'
import type { AccountPrincipal } from '#access/principal.ts'
import type { AccessTokens } from '#access/tokens.ts'
import { AtomError, asAtomError } from '#foundation/errors.ts'
import type { Failures } from '#foundation/failure-groups.ts'
import type { Log } from '#foundation/log.ts'
import type { Tracing } from '#foundation/telemetry/tracing.ts'
import type { Amendments } from '#rooms/amendments.ts'
import type { Messages } from '#rooms/messages.ts'
import type { Receipts } from '#rooms/receipts.ts'
import type { Rooms } from '#rooms/rooms.ts'
import type { Signals } from '#rooms/signals.ts'
import type { Timeline } from '#rooms/timeline.ts'
import { type Entry, frameError } from './admission.ts'
import { FrameTrace, traceparentAt, traceparentOf } from './frame-traces.ts'
import { takenOut } from './hub.ts'
import type { LiveSocket } from './live-socket.ts'
import type { Presence } from './presence.ts'
import type { Resume } from './resume.ts'
import type { SocketTraffic } from './socket-traffic.ts'

/** Runs of agents, as far as a socket may touch them. */
export interface Turns {
  /** Stops a turn in a room of the caller's. Throws `not_found`, `not_a_member`, `turn_not_active`. */
  cancel(principal: AccountPrincipal, turnId: string): Promise<unknown>
}

export interface FramesOptions {
  readonly rooms: Rooms
  readonly messages: Messages
  readonly amendments: Amendments
  readonly timeline: Timeline
  readonly signals: Signals
  readonly turns: Turns
  readonly receipts: Pick<Receipts, 'mark'>
  readonly presence: Pick<Presence, 'watch' | 'set'>
  readonly tokens: Pick<AccessTokens, 'verify'>
  readonly resume: Resume<LiveSocket>
  readonly entry?: Entry
  readonly traffic: SocketTraffic
  readonly failures?: Pick<Failures, 'note'> | undefined
  readonly log: Log
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined
}

interface Reply<N extends ClientFrameName> {
  readonly answer: ClientAnswer<N>
  /** Done right after the acknowledgement was written; `acknowledged` is false where the client asked for none. */
  readonly afterwards?: (acknowledged: boolean) => void
}

type Handlers = {
  readonly [N in ClientFrameName]: (
    socket: LiveSocket,
    body: ClientFrame<N>,
    /** Of the frame's context, as it came. */
    traceparent: unknown,
  ) => Promise<Reply<N>>
}

type Acknowledge = (answer: Acknowledgement<ClientFrameName>) => void

/** A frame but for its name, as it came: anything at all. */
interface Came {
  readonly body: unknown
  readonly context: unknown
  readonly acknowledge: Acknowledge | undefined
}

const names = Object.keys(clientFrames) as ClientFrameName[]
const validators = Object.fromEntries(
  names.map((name) => [name, Compile(clientFrames[name].body)]),
) as Readonly<Record<ClientFrameName, Validator>>

/** What a client is told of a frame, or of one item of it, that was refused or failed; counted, and logged where nobody foresaw it. */
function refusalOf(
  thrown: unknown,
  { log, traffic, failures }: Pick<FramesOptions, 'log' | 'traffic' | 'failures'>,
  {
    socket,
    place,
    traceId,
  }: { readonly socket: LiveSocket; readonly place: string; readonly traceId: string | undefined },
): FrameError {
  const error = asAtomError(thrown)
  traffic.framesRefused.add(error.code)
  failures?.note({ door: 'socket', place, error, traceId })
  if (error.code === 'internal') {
    const whose = { frame: place, accountId: socket.principal.id, ...(traceId !== undefined && { traceId }) }
    log.error({ err: thrown, ...whose }, 'a frame could not be handled')
  }
  return frameError(error)
}

/** What a client may ask for over its socket: each frame is checked by the contract, bounded, done, and acknowledged. */
export class Frames {
  readonly #hears: Pick<FramesOptions, 'log' | 'traffic' | 'failures'>
  readonly #handlers: Handlers
  readonly #entry: Entry | undefined
  readonly #tracing: Tracing | undefined
  readonly #underWay = new Set<Promise<void>>()
  #draining = false

  constructor(options: FramesOptions) {
    this.#hears = options
    this.#handlers = handlersOf(options)
    this.#entry = options.entry
    this.#tracing = options.tracing
  }

  /** One frame as it came in: anything at all. Never throws. */
  receive(socket: LiveSocket, name: unknown, args: readonly unknown[]): void {
    const last = args.at(-1)
    const acknowledge = typeof last === 'function' ? (last as Acknowledge) : undefined
    const [body, context] = acknowledge === undefined ? args : args.slice(0, -1)
    const work: Promise<void> = this.#answer(socket, name, { body, context, acknowledge }).finally(() => {
      this.#underWay.delete(work)
    })
    this.#underWay.add(work)
  }

  /** Refuses new frames with `draining`; resolves when those under way have their answers. */
  async drain(): Promise<void> {
    this.#draining = true
    await Promise.all(this.#underWay)
  }

  async #answer(socket: LiveSocket, name: unknown, { body, context, acknowledge }: Came): Promise<void> {
    if (socket.closing) return
    let entered = false
    let trace: FrameTrace | undefined
    try {
      if (this.#draining || socket.retiring) throw new AtomError('draining')
      socket.limits.enter(costOf(body))
      entered = true
      if (!isFrame(name)) {
        throw new AtomError('frame_malformed', `There is no such frame. Known are: ${names.join(', ')}.`)
      }
      if (socket.expiresInMs <= 0 && name !== 'auth.refresh') throw new AtomError('token_expired')
      this.#entry?.requireTime(priorityOf(name), socket.principal.workspaceId)
      if (large.has(name)) requireRoom(socket)
      const traceparent = traceparentOf(context)
      trace = this.#trace(name, body, traceparent)
      const work = () => this.#handle(socket, name, body, traceparent)
      const reply = await (trace === undefined ? work() : trace.run(work))
      // Many may have been asked for at once. Whoever joins is in the room by now, and is answered.
      if (large.has(name) && name !== 'room.join') requireRoom(socket)
      trace?.end()
      acknowledge?.({ ok: true, ...reply.answer })
      reply.afterwards?.(acknowledge !== undefined)
    } catch (thrown) {
      const error = refusalOf(thrown, this.#hears, {
        socket,
        place: isFrame(name) ? name : 'unknown frame',
        traceId: trace?.end(asAtomError(thrown)),
      })
      acknowledge?.({ ok: false, error })
      if (socket.limits.exhausted) socket.close('too_many_frames')
    } finally {
      if (entered) {
        socket.limits.leave()
        socket.answered()
      }
    }
  }

  /** What comes every moment and begins nothing is not traced; of several messages each has a trace of its own. */
  #trace(name: ClientFrameName, body: unknown, traceparent: unknown): FrameTrace | undefined {
    if (this.#tracing === undefined || priorityOf(name) === 'bulk' || itemsOf(body) !== undefined)
      return undefined
    return new FrameTrace(this.#tracing, name, traceparent)
  }

  /** Nothing is awaited before the handler has begun: frames of a socket begin in the order they came in. */
  #handle<N extends ClientFrameName>(
    socket: LiveSocket,
    name: N,
    body: unknown,
    traceparent: unknown,
  ): Promise<Reply<N>> {
    const validator = validators[name]
    if (!validator.Check(body)) {
      const [problem] = validator.Errors(body)
      const where =
        problem?.instancePath === undefined || problem.instancePath === '' ? 'its body' : problem.instancePath
      throw new AtomError(
        'frame_malformed',
        `${name}: ${where} ${problem?.message ?? 'is not as described'}.`,
      )
    }
    return this.#handlers[name](socket, body as ClientFrame<N>, traceparent)
  }
}

function handlersOf(options: FramesOptions): Handlers {
  const { rooms, messages, amendments, timeline, signals, turns, receipts, presence, tokens, resume } =
    options
  const { tracing } = options
  return {
    'room.join': async (socket, { roomId: asked, after, epoch }) => {
      const roomId = asked.toLowerCase()
      // First follow, then read: what is committed in between is held, not missed.
      const follower = socket.follow(roomId)
      try {
        await rooms.requireMember(socket.principal, roomId)
        const cursor = after === undefined ? undefined : { epoch, seq: after }
        const page = await resume.open(follower, cursor)
        // Taken out while the page was read, or long ago: what came after is for members only.
        if (takenOut(socket.accountId, page.events) > 0) await rooms.requireMember(socket.principal, roomId)
        return {
          answer: page,
          afterwards: (acknowledged) => {
            if (acknowledged) resume.begin(follower, page)
            else resume.resume(follower, page.epoch, (page.events[0]?.seq ?? page.head + 1) - 1, page.head)
          },
        }
      } catch (error) {
        if (socket.followers.get(roomId) === follower) socket.leave(roomId)
        throw error
      }
    },
    'room.leave': async (socket, { roomId }) => {
      socket.leave(roomId.toLowerCase())
      return { answer: {} }
    },
    'message.send': async (socket, body, traceparent) => {
      if (!('items' in body)) {
        const { id, seq } = await messages.send(socket.principal, body.roomId, body)
        return { answer: { id, seq } }
      }
      const traces =
        tracing &&
        body.items.map((_, at) => new FrameTrace(tracing, 'message.send', traceparentAt(traceparent, at)))
      const outcomes = await messages.sendInOrder(
        socket.principal,
        body.roomId,
        traces === undefined
          ? body.items
          : body.items.map((item, at) => ({ ...item, span: traces[at]?.span })),
      )
      const results = outcomes.map((outcome, at) => {
        const trace = traces?.[at]
        if (outcome.status === 'fulfilled') {
          trace?.end()
          return { ok: true as const, id: outcome.value.id, seq: outcome.value.seq }
        }
        const traceId = trace?.end(asAtomError(outcome.reason))
        return {
          ok: false as const,
          error: refusalOf(outcome.reason, options, { socket, place: 'message.send', traceId }),
        }
      })
      return { answer: { results } }
    },
    'message.edit': async (socket, { roomId, seq, ...edit }) => {
      const event = await amendments.edit(socket.principal, roomId, seq, edit)
      return { answer: { seq: event.seq } }
    },
    'message.delete': async (socket, { roomId, seq }) => {
      await amendments.delete(socket.principal, roomId, seq)
      return { answer: {} }
    },
    'message.react': async (socket, { roomId, seq, emoji, on }) => {
      await amendments.react(socket.principal, roomId, seq, emoji, on)
      return { answer: {} }
    },
    'room.fetch': async (socket, { roomId, after, epoch, limit }) => {
      const page = await timeline.since(roomId, after, limit, epoch)
      // Asked when it was read: who was taken out meanwhile does not see what came after.
      await rooms.requireMember(socket.principal, roomId)
      return { answer: page }
    },
    'room.read': async (socket, { roomId: asked, seq }) => {
      const roomId = asked.toLowerCase()
      // Who gets the room's events is in it.
      if (socket.followers.get(roomId)?.isIn !== true) await rooms.requireMember(socket.principal, roomId)
      receipts.mark(socket.principal, roomId, seq)
      return { answer: {} }
    },
    'presence.watch': async (socket, { roomIds }) => ({
      answer: { rooms: await presence.watch(socket, roomIds) },
    }),
    'presence.set': async (socket, { state }) => {
      presence.set(socket, state)
      return { answer: {} }
    },
    signal: async (socket, { roomId: asked, kind }) => {
      const roomId = asked.toLowerCase()
      const follower = socket.followers.get(roomId)
      if (follower === undefined || follower.room.position === undefined) {
        throw new AtomError('not_a_member', 'Join the room with `room.join` first.')
      }
      // Whoever joins follows the room before it is known whether they may.
      if (!follower.isIn) await rooms.requireMember(socket.principal, roomId)
      const now = performance.now()
      // More often it tells nobody anything new.
      if (now - follower.typedAt >= socketLimits.typingEveryMs) {
        follower.typedAt = now
        const { id, name } = socket.principal
        signals.tell({ roomId, kind, actor: { kind: 'account', id, name } })
      }
      return { answer: {} }
    },
    'turn.cancel': async (socket, { turnId }) => {
      await turns.cancel(socket.principal, turnId)
      return { answer: {} }
    },
    'auth.refresh': async (socket, { token }) => {
      const renewed = await tokens.verify(token)
      const { id, workspaceId } = socket.principal
      if (renewed.principal.id !== id || renewed.principal.workspaceId !== workspaceId) {
        throw new AtomError(
          'forbidden',
          'A live connection keeps its person. Open a new one for somebody else.',
        )
      }
      socket.renew(renewed)
      return { answer: { expiresInMs: Math.max(0, Math.round(socket.expiresInMs)) } }
    },
  }
}

/** What asks for long answers. */
const large: ReadonlySet<ClientFrameName> = new Set(['room.join', 'room.fetch', 'presence.watch'])

/** Answers to somebody who does not read them would wait in memory. Throws `busy`. */
function requireRoom({ behind }: LiveSocket): void {
  if (behind)
    throw new AtomError('busy', 'Read what was sent before asking for more.', { retryAfterMs: 1_000 })
}

/** What is told and never stored, and what says where somebody is, can be missed without harm. */
function priorityOf(name: ClientFrameName): Priority {
  if (name === 'auth.refresh') return 'entry'
  return name === 'signal' || name === 'room.read' || name.startsWith('presence.') ? 'bulk' : 'people'
}

function isFrame(name: unknown): name is ClientFrameName {
  return typeof name === 'string' && Object.hasOwn(clientFrames, name)
}

/** A batch of messages is worth more than one frame, and much less than as many. */
function costOf(body: unknown): number {
  const items = itemsOf(body)
  return items === undefined ? 1 : 1 + Math.ceil(items.length / 8)
}

function itemsOf(body: unknown): readonly unknown[] | undefined {
  const items = typeof body === 'object' && body !== null && 'items' in body ? body.items : undefined
  return Array.isArray(items) ? items : undefined
}
