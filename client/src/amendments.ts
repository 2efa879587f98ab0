import type { Reaction, RoomEvent } from '@atom/contract/rooms.ts'

/** An event about a message that was said before. */
export type Amendment = Extract<RoomEvent, { targetSeq: number }>
export type RoomMessage = Extract<RoomEvent, { type: 'message.created' | 'message.final' }>

export function isAmendment(event: RoomEvent): event is Amendment {
  return 'targetSeq' in event
}

export function isMessage(event: RoomEvent): event is RoomMessage {
  return event.type === 'message.created' || event.type === 'message.final'
}

/**
 * What a held event is after a later one about it: the same object where nothing changes. A page of the server shows messages
 * as they are when it is read, so the same amendment may meet a message twice: it says what is so afterwards, not what to add,
 * and the last one that is known of decides.
 */
export function amended(held: RoomEvent, by: Amendment): RoomEvent {
  if (!isMessage(held) || held.seq !== by.targetSeq) return held
  switch (by.type) {
    case 'message.edited': {
      if (held.type !== 'message.created' || held.deletedAt !== undefined) return held
      const { mentions: _, ...rest } = held
      return {
        ...rest,
        text: by.text,
        editedAt: by.at,
        ...(by.mentions === undefined ? {} : { mentions: by.mentions }),
      }
    }
    case 'message.deleted': {
      if (held.deletedAt !== undefined) return held
      const { reactions: _, ...rest } = held
      return rest.type === 'message.final'
        ? { ...rest, text: '', choices: [], deletedAt: by.at }
        : { ...rest, text: '', deletedAt: by.at }
    }
    case 'reaction.added':
      return reacted(held, by.emoji, by.actor.id, true)
    case 'reaction.removed':
      return reacted(held, by.emoji, by.actor.id, false)
    case 'message.pinned':
    case 'message.unpinned':
      return held
  }
}

/** A message with, or without, somebody's reaction; the same object where it is so already. */
export function reacted<M extends RoomMessage>(message: M, emoji: string, who: string, on: boolean): M {
  const before: readonly Reaction[] = message.reactions ?? []
  const own = before.find((reaction) => reaction.emoji === emoji)
  if ((own?.by.includes(who) ?? false) === on || message.deletedAt !== undefined) return message
  const reactions =
    own === undefined
      ? [...before, { emoji, by: [who] }]
      : before
          .map((reaction) =>
            reaction === own
              ? { emoji, by: on ? [...own.by, who] : own.by.filter((id) => id !== who) }
              : reaction,
          )
          .filter(({ by }) => by.length > 0)
  const { reactions: _, ...rest } = message
  return (reactions.length === 0 ? rest : { ...rest, reactions }) as M
}
