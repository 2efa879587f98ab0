import type { RoomEvent } from '@atom/contract/rooms.ts'
import { textDigest } from './history.ts'

/** What became of a message. Names stand for accounts. */
export interface MessageState {
  /** Digest. */
  readonly text: string
  readonly deleted: boolean
  /** `👍 A3`, sorted. */
  readonly reactions: readonly string[]
  readonly pinned: boolean
}

/** By place, as JSON has it: those that are not as they were said. */
export type ChangedMessages = Readonly<Record<string, MessageState>>

export const nothing = textDigest('')

interface Message {
  readonly author: string
  /** An answer of an agent, whose text nobody changes. */
  readonly answer: boolean
  text: string
  edited: boolean
  deleted: boolean
  readonly reactions: Set<string>
  pinned: boolean
}

/** The messages of one room as somebody holds them who has read its events in order, put together by the rules of the contract. */
export class MessageStates {
  readonly #messages = new Map<number, Message>()

  take(event: RoomEvent): void {
    if (event.type === 'message.created' || event.type === 'message.final') {
      // As it is when it is read: what follows in the log may be in it already.
      this.#messages.set(event.seq, {
        author: event.actor.id,
        answer: event.type === 'message.final',
        text: textDigest(event.text),
        edited: event.type === 'message.created' && event.editedAt !== undefined,
        deleted: event.deletedAt !== undefined,
        reactions: new Set(event.reactions?.flatMap(({ emoji, by }) => by.map((id) => `${emoji} ${id}`))),
        pinned: false,
      })
      return
    }
    const message = 'targetSeq' in event ? this.#messages.get(event.targetSeq) : undefined
    if (message === undefined) return
    if (event.type === 'message.deleted') {
      message.deleted = true
      message.text = nothing
      message.reactions.clear()
      message.pinned = false
    } else if (message.deleted) return
    else if (event.type === 'message.edited') {
      message.edited = true
      message.text = textDigest(event.text)
    } else if (event.type === 'reaction.added') message.reactions.add(`${event.emoji} ${event.actor.id}`)
    else if (event.type === 'reaction.removed') message.reactions.delete(`${event.emoji} ${event.actor.id}`)
    else if (event.type === 'message.pinned') message.pinned = true
    else if (event.type === 'message.unpinned') message.pinned = false
  }

  /** Places of the newest messages that may still be changed, the newest first. `author`: of theirs, and no answers. */
  newest(most: number, author?: string): number[] {
    return [...this.#messages]
      .filter(([, { deleted, answer, ...message }]) => {
        return !deleted && (author === undefined || (message.author === author && !answer))
      })
      .map(([seq]) => seq)
      .slice(-most)
      .reverse()
  }

  /** @param nameOf of an account's id */
  changed(nameOf: (id: string) => string): ChangedMessages {
    const changed: Record<string, MessageState> = {}
    for (const [seq, { text, edited, deleted, reactions, pinned }] of this.#messages) {
      if (!edited && !deleted && !pinned && reactions.size === 0) continue
      changed[seq] = { text, deleted, pinned, reactions: named(reactions, nameOf) }
    }
    return changed
  }
}

/** `👍 <id>` to `👍 A3`, sorted. */
export function named(reactions: Iterable<string>, nameOf: (id: string) => string): string[] {
  return [...reactions]
    .map((reaction) => {
      const at = reaction.lastIndexOf(' ')
      return `${reaction.slice(0, at)} ${nameOf(reaction.slice(at + 1))}`
    })
    .sort()
}
