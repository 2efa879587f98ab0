import type { RoomEvent } from '@atom/contract/rooms.ts'
import { useEffect, useRef, useState } from 'react'
import { announcement } from './announcement.ts'

/** The one polite voice of a room: the log itself is silent, so that a streaming answer is not read out piece by piece. */
export function Announcer({ events, me }: { events: readonly RoomEvent[]; me: string }) {
  const [words, setWords] = useState('')
  const heard = useRef<number>(undefined)
  useEffect(() => {
    const newest = events.at(-1)
    if (newest === undefined) return
    const before = heard.current
    heard.current = newest.seq
    // What was there when the room opened is no news.
    if (before === undefined) return
    const first = events.findLastIndex((event) => event.seq <= before) + 1
    const news = events.slice(first).map((event) => announcement(event, me))
    const said = news.filter((sentence) => sentence !== undefined)
    if (said.length > 0) setWords(said.slice(-3).join('. '))
  }, [events, me])
  return (
    <p aria-live="polite" className="sr-only">
      {words}
    </p>
  )
}
