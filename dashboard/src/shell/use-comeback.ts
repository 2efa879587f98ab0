import { useEffect, useRef } from 'react'
import { atom, useObserved } from './atom.ts'

/** Calls `again` when the socket is there, and whenever it has come back: what could not be had meanwhile is asked for then. */
export function useComeback(again: () => void): void {
  const isThere = useObserved(atom.realtime).state === 'connected'
  const newest = useRef(again)
  newest.current = again
  useEffect(() => {
    if (isThere) newest.current()
  }, [isThere])
}
