import { createHash } from 'node:crypto'
import {
  type Actor,
  limits,
  type MessageCreated,
  type MessageEdited,
  type MessageFinal,
  type RoomEvent,
  type RoomEventType,
} from '@atom/contract/rooms.ts'
import type { Static } from 'typebox'
import type { Principal } from '#access/principal.ts'
import type { Database, Transaction } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import { newId } from '#foundation/ids.ts'
import * as store from './amendment-store.ts'
import { lockRoom, members } from './membership-store.ts'
import { checkText } from './message-text.ts'
import { notPresent } from './messages.ts'
import * as events from './room-store.ts'
import type { Rooms, Standing } from './rooms.ts'
import type { Timeline } from './timeline.ts'

type AnyMessage = Static<typeof MessageCreated> | Static<typeof MessageFinal>

export interface PinnedMessage {
  readonly message: AnyMessage
  readonly pinnedAt: string
  readonly pinnedBy: Actor
}

/**
 * What becomes of a message after it was said. Each change is an event of its own in the timeline, and the message's own row
 * shows the outcome: whoever holds the message is told, and whoever reads it later reads it as it is.
 *
 * Every method throws `not_found` (no such room or message, or the message is deleted) and `not_a_member`.
 */
export class Amendments {
  readonly #database: Database
  readonly #rooms: Rooms
  readonly #timeline: Timeline

  constructor(options: {
    readonly database: Database
    readonly rooms: Rooms
    readonly timeline: Timeline
  }) {
    this.#database = options.database
    this.#rooms = options.rooms
    this.#timeline = options.timeline
  }

  /**
   * Changes the text of a message of the caller's own. The same `clientId` again answers with the first edit and changes
   * nothing: an edit that is repeated does not undo a later one.
   *
   * @throws AtomError also `forbidden` for somebody else's, `message_too_large`, `validation_failed`
   */
  async edit(
    principal: Principal,
    roomId: string,
    seq: number,
    edit: {
      readonly clientId?: string | undefined
      readonly text: string
      readonly mentions?: readonly string[] | undefined
    },
  ): Promise<Static<typeof MessageEdited>> {
    checkText(edit.text)
    return await this.#amend(principal, roomId, seq, async (tx, message) => {
      const isMine = message.actor.kind === principal.kind && message.actor.id === principal.id
      if (!isMine || message.type !== 'message.created') {
        throw new AtomError('forbidden', 'Only its author can change what a message says.')
      }
      const mentions = (edit.mentions ?? []).map((id) => id.toLowerCase())
      const present = new Set((await members(tx, roomId, mentions)).map(({ id }) => id))
      const absent = mentions.find((id) => !present.has(id))
      if (absent !== undefined) throw notPresent(absent)
      const { event, duplicate } = await this.#tell(tx, principal, roomId, {
        type: 'message.edited',
        clientId: edit.clientId ?? newId(),
        body: {
          targetSeq: seq,
          messageId: message.id,
          text: edit.text,
          ...(mentions.length > 0 && { mentions }),
        },
      })
      if (event.type !== 'message.edited' || event.targetSeq !== seq) {
        throw new AtomError('validation_failed', 'This clientId was used for something else; use a new one.')
      }
      if (!duplicate) {
        await store.amendMessage(tx, roomId, seq, { text: edit.text, mentions, editedAt: event.at })
      }
      return event
    })
  }

  /**
   * Erases a message: the caller's own, or, for the room's owner and admins, anybody's. Deleting it twice is deleting it once.
   *
   * @throws AtomError also `forbidden`
   */
  async delete(principal: Principal, roomId: string, seq: number): Promise<void> {
    await this.#rooms.requireMember(principal, roomId)
    await this.#database.transaction(async (tx) => {
      const { role } = await this.#enter(tx, principal, roomId)
      const message = await store.findMessage(tx, roomId, seq)
      if (message === undefined) throw noMessage()
      const isMine = message.actor.kind === principal.kind && message.actor.id === principal.id
      if (!isMine && role === 'member') {
        throw new AtomError('forbidden', 'Ask its author, or an owner or admin of the room.')
      }
      if (message.deleted) return
      const { event } = await this.#tell(tx, principal, roomId, {
        type: 'message.deleted',
        clientId: newId(),
        body: { targetSeq: seq, messageId: message.id },
      })
      await store.eraseMessage(tx, roomId, seq, {
        text: '',
        deletedAt: event.at,
        ...(message.type === 'message.final' && { sha256: emptySha256 }),
      })
    })
  }

  /** Adds a reaction of the caller's, or takes it back. @throws AtomError also `too_many_reactions`, `validation_failed` */
  async react(principal: Principal, roomId: string, seq: number, emoji: string, on: boolean): Promise<void> {
    checkEmoji(emoji)
    await this.#amend(principal, roomId, seq, async (tx, message) => {
      if (on) {
        const { fresh, ways } = await store.insertReaction(tx, roomId, seq, emoji, principal)
        if (!fresh) return
        if (ways > limits.reactions) throw new AtomError('too_many_reactions')
      } else if (!(await store.deleteReaction(tx, roomId, seq, emoji, principal))) return
      await this.#tell(tx, principal, roomId, {
        type: on ? 'reaction.added' : 'reaction.removed',
        clientId: newId(),
        body: { targetSeq: seq, messageId: message.id, emoji },
      })
    })
  }

  /** Pins a message for everybody, or takes the pin off. @throws AtomError also `too_many_pins` */
  async pin(principal: Principal, roomId: string, seq: number, on: boolean): Promise<void> {
    await this.#amend(principal, roomId, seq, async (tx, message) => {
      if (on) {
        const { fresh, pins } = await store.insertPin(tx, roomId, seq, principal)
        if (!fresh) return
        if (pins > limits.pins) throw new AtomError('too_many_pins')
      } else if (!(await store.deletePin(tx, roomId, seq))) return
      await this.#tell(tx, principal, roomId, {
        type: on ? 'message.pinned' : 'message.unpinned',
        clientId: newId(),
        body: { targetSeq: seq, messageId: message.id },
      })
    })
  }

  /** The pinned messages of a room, the latest pin first. */
  async pins(principal: Principal, roomId: string): Promise<PinnedMessage[]> {
    await this.#rooms.requireMember(principal, roomId)
    const pinned = await store.pins(this.#database, roomId)
    const found = await events.eventsAt(
      this.#database,
      pinned.map(({ seq }) => ({ roomId, seq })),
    )
    const bySeq = new Map(found.map(({ event }) => [event.seq, event]))
    return pinned.flatMap(({ seq, at, by }) => {
      const message = bySeq.get(seq)
      return message !== undefined && isMessage(message)
        ? [{ message, pinnedAt: at.toISOString(), pinnedBy: by }]
        : []
    })
  }

  /** One change of one message that is there, while the room holds still. */
  async #amend<T>(
    principal: Principal,
    roomId: string,
    seq: number,
    change: (tx: Transaction, message: store.MessageRow) => Promise<T>,
  ): Promise<T> {
    await this.#rooms.requireMember(principal, roomId)
    return await this.#database.transaction(async (tx) => {
      await this.#enter(tx, principal, roomId)
      const message = await store.findMessage(tx, roomId, seq)
      if (message === undefined || message.deleted) throw noMessage()
      return await change(tx, message)
    })
  }

  /** From here on the room holds still. Whoever was taken out while they waited for it is not in it any more. */
  async #enter(tx: Transaction, principal: Principal, roomId: string): Promise<Standing> {
    await lockRoom(tx, roomId)
    return await this.#rooms.requireMember(principal, roomId, tx)
  }

  async #tell(
    tx: Transaction,
    principal: Principal,
    roomId: string,
    draft: { readonly type: RoomEventType; readonly clientId: string; readonly body: object },
  ): Promise<events.Appended> {
    const [appended] = await this.#timeline.append(tx, [
      {
        ...draft,
        body: { ...draft.body },
        roomId: roomId.toLowerCase(),
        workspaceId: principal.workspaceId,
        actor: { kind: principal.kind, id: principal.id },
      },
    ])
    if (appended === undefined) throw new Error('an appended event is missing')
    return appended
  }
}

export function isMessage(event: RoomEvent): event is AnyMessage {
  return event.type === 'message.created' || event.type === 'message.final'
}

const emptySha256 = createHash('sha256').update('').digest('hex')
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

function checkEmoji(emoji: string): void {
  const [first, ...more] = graphemes.segment(emoji)
  // Keycaps and flags hold no pictograph; letters and bare digits are no emoji.
  const isEmoji = /\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\uFE0F?\u20E3/u.test(emoji)
  if (first === undefined || more.length > 0 || !isEmoji) {
    throw new AtomError('validation_failed', 'React with exactly one emoji.')
  }
}

function noMessage(): AtomError {
  return new AtomError('not_found', 'There is no such message.')
}
