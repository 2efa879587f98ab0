import type { RoomSnapshot } from '@atom/client'
import { useCallback, useState } from 'react'

export interface UnreadLine {
  /** Everything after it was unread when the person came; undefined while that is not known, and where nothing was. */
  readonly after: number | undefined
  /** It is known what was unread: the room can be shown. */
  readonly known: boolean
  /** The person wants it unread: looking at it does not count as reading, until they come back. */
  readonly held: boolean
  readonly holdFrom: (seq: number) => void
  /** The person has answered: nothing is new any more. */
  readonly forget: () => void
}

/** Where the "New" line stands during one visit of a room: decided once, on entering, before anything counts as read. */
export function useUnreadLine(snapshot: RoomSnapshot, connected: boolean): UnreadLine {
  const [line, setLine] = useState<{ after: number | undefined; held: boolean }>()
  const { description, events, state, readSeq } = snapshot
  const newest = events.at(-1)?.seq
  const caughtUp = state === 'live' || (newest !== undefined && newest >= (description?.head ?? Infinity))
  if (line === undefined && description !== undefined && (caughtUp || !connected)) {
    setLine({ after: description.unread > 0 ? readSeq : undefined, held: false })
  }
  return {
    after: line?.after,
    known: line !== undefined,
    held: line?.held ?? false,
    holdFrom: useCallback((seq) => setLine({ after: seq - 1, held: true }), []),
    forget: useCallback(() => setLine((now) => now && { after: undefined, held: false }), []),
  }
}
