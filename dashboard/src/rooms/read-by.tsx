import { Check, CheckCheck } from 'lucide-react'
import { useRoomView } from './room-context.ts'

/** How far a message of mine has come among the other people here; nothing where there are none. */
export function ReadBy({ seq, at }: { seq: number; at: string }) {
  // The view is another one whenever a mark has moved.
  const { room } = useRoomView()
  const { state, deliveredTo, readBy, of } = room.getSnapshot().progress.of({ seq, at })
  if (of === 0) return null
  const readers = readBy.map(({ name }) => name)
  const title = [
    readers.length > 0 && `Read by ${readers.join(', ')}`,
    deliveredTo.length > readers.length &&
      `Delivered to ${deliveredTo
        .filter((member) => !readBy.includes(member))
        .map(({ name }) => name)
        .join(', ')}`,
    `Sent to ${of} ${of === 1 ? 'person' : 'people'}`,
  ].filter((line) => line !== false)
  const Tick = state === 'committed' && readers.length === 0 ? Check : CheckCheck
  return (
    <p title={title.join('\n')} className="flex items-center gap-1 pt-0.5 text-xs text-quiet">
      <Tick size={12} aria-hidden /> {words(state, readers, of)}
    </p>
  )
}

function words(state: string, readers: readonly string[], of: number): string {
  if (state === 'read') return of === 1 ? 'Read' : 'Read by everybody'
  if (readers.length > 2) return `Read by ${readers[0]} and ${readers.length - 1} others`
  if (readers.length > 0) return `Read by ${readers.join(' and ')}`
  return state === 'delivered' ? 'Delivered' : 'Sent'
}
