import { CheckCheck } from 'lucide-react'
import { useRoomView } from './room-context.ts'

/** Who of the people has read up to here; nothing where nobody has. */
export function ReadBy({ seq }: { seq: number }) {
  const { members, me } = useRoomView()
  const others = members.filter(({ kind, id }) => kind === 'account' && id !== me)
  const readers = others.filter(({ readSeq }) => readSeq >= seq).map(({ name }) => name)
  if (readers.length === 0) return null
  const words =
    others.length === 1
      ? 'Read'
      : readers.length === others.length
        ? 'Read by everybody'
        : readers.length <= 2
          ? `Read by ${readers.join(' and ')}`
          : `Read by ${readers[0]} and ${readers.length - 1} others`
  return (
    <p title={readers.join(', ')} className="flex items-center gap-1 pt-0.5 text-xs text-quiet">
      <CheckCheck size={12} aria-hidden /> {words}
    </p>
  )
}
