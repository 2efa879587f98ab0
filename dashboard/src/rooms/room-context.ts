import type { Room, RoomMessage } from '@atom/client'
import type { Member, RoomRole } from '@atom/contract/rooms.ts'
import { createContext, use } from 'react'

export interface RoomView {
  readonly room: Room
  readonly me: string
  readonly myRole: RoomRole
  readonly members: readonly Member[]
  /** The line to the server stands: what is sent leaves at once. */
  readonly live: boolean
  /** The name of somebody in this room. */
  readonly nameOf: (id: string) => string | undefined
  /** The one open approval that A, E and D act on. */
  readonly keyedApproval: string | undefined
  readonly pinned: ReadonlySet<number>
  /** `seq` of those messages of mine under which stands in words how far they have come. */
  readonly toldUnder: readonly number[]
  /** The message that was gone to, marked for a moment. */
  readonly marked: number | undefined
  /** A message that is held now. */
  readonly messageAt: (seq: number) => RoomMessage | undefined
  /** Shows a message with its surroundings, however far back it is. */
  readonly goTo: (seq: number) => void
  readonly reply: (seq: number) => void
  readonly edit: (seq: number) => void
  readonly askDelete: (seq: number) => void
  readonly markUnread: (seq: number) => void
  /** Something done to a message; a refusal is shown above the composer. */
  readonly attempt: (work: Promise<unknown>) => void
  /** Where focus goes when what held it is gone. */
  readonly focusComposer: () => void
  readonly say: (text: string) => void
}

/**
 * What the rows of a room know besides themselves. Every row is drawn again when it changes, so nothing stands in it that
 * changes with each message.
 */
export const RoomContext = createContext<RoomView | undefined>(undefined)

export function useRoomView(): RoomView {
  const view = use(RoomContext)
  if (view === undefined) throw new Error('a row stands outside of its room')
  return view
}

/** When a person spoke last (RFC 3339): choices offered before have been answered. Apart, because it changes with each message. */
export const LastPersonContext = createContext('')
