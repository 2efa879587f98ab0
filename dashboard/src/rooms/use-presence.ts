import type { PresenceState } from '@atom/client'
import { useEffect } from 'react'
import { atom, useObserved } from '../shell/atom.ts'

/** Who is there in these rooms, as far as it is known: by room, then by member. */
export function usePresence(
  roomIds: readonly string[],
): ReadonlyMap<string, ReadonlyMap<string, PresenceState>> {
  const { rooms } = useObserved(atom.presence)
  const wanted = roomIds.toSorted().join(' ')
  useEffect(() => {
    const watching = atom.presence.watch(wanted === '' ? [] : wanted.split(' '))
    return () => watching[Symbol.dispose]()
  }, [wanted])
  return rooms
}
