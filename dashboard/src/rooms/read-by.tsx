import type { MessageProgress } from '@atom/client'
import { Check, CheckCheck } from 'lucide-react'
import { nameList } from './name-list.ts'
import { useRoomView } from './room-context.ts'

interface Said {
  readonly seq: number
  readonly at: string
}

/** How far a message of mine has come among the other people here, in words; nothing where there are none. */
export function ReadBy({ seq, at }: Said) {
  const told = useProgress({ seq, at })
  if (told === undefined) return null
  const { Tick, words, title } = told
  return (
    <p title={title} className="flex items-center gap-1 pt-0.5 text-xs text-quiet">
      <Tick size={12} aria-hidden /> {words}
    </p>
  )
}

/** The same after the last word, for whoever points at the message or has no pointer: the rest of the page stays quiet. */
export function ReadMark({ seq, at }: Said) {
  const told = useProgress({ seq, at })
  if (told === undefined) return null
  const { Tick, words, title } = told
  return (
    <span
      role="img"
      aria-label={words}
      title={title}
      className="ml-1.5 inline-block align-[-1px] text-quiet opacity-0 transition-opacity group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100"
    >
      <Tick size={12} aria-hidden />
    </span>
  )
}

function useProgress(said: Said) {
  // The view is another one whenever a mark has moved.
  const { room } = useRoomView()
  const progress = room.getSnapshot().progress.of(said)
  if (progress.of === 0) return undefined
  const { state, readBy } = progress
  return {
    Tick: state === 'committed' && readBy.length === 0 ? Check : CheckCheck,
    words: progressWords(progress),
    title: progressTitle(progress),
  }
}

function progressTitle({ deliveredTo, readBy, of }: MessageProgress): string {
  const names = (some: readonly { readonly name: string }[]) => nameList(some.map(({ name }) => name))
  const unread = deliveredTo.filter((member) => !readBy.includes(member))
  return [
    readBy.length > 0 && `Read by ${names(readBy)}`,
    unread.length > 0 && `Delivered to ${names(unread)}`,
    `Sent to ${of} ${of === 1 ? 'person' : 'people'}`,
  ]
    .filter((line) => line !== false)
    .join('\n')
}

function progressWords({ state, readBy, of }: MessageProgress): string {
  const readers = readBy.map(({ name }) => name)
  if (state === 'read') return of === 1 ? 'Read' : 'Read by everybody'
  if (readers.length > 2) return `Read by ${readers[0]} and ${readers.length - 1} others`
  if (readers.length > 0) return `Read by ${readers.join(' and ')}`
  return state === 'delivered' ? 'Delivered' : 'Sent'
}
