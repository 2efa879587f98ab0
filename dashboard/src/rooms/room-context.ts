import type { Room } from '@atom/client'
import { createContext, use } from 'react'

export interface RoomView {
  readonly room: Room
  readonly me: string
  /** The line to the server stands: what is sent leaves at once. */
  readonly live: boolean
  /** The name of somebody in this room. */
  readonly nameOf: (id: string) => string | undefined
  /** The one open approval that A, E and D act on. */
  readonly keyedApproval: string | undefined
  /** When a person spoke last (RFC 3339): choices offered before have been answered. */
  readonly lastPersonAt: string
  /** Where focus goes when what held it is gone. */
  readonly focusComposer: () => void
  readonly say: (text: string) => void
}

/** What the rows of a room know besides themselves. */
export const RoomContext = createContext<RoomView | undefined>(undefined)

export function useRoomView(): RoomView {
  const view = use(RoomContext)
  if (view === undefined) throw new Error('a row stands outside of its room')
  return view
}
