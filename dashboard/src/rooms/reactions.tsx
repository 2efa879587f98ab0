import type { Reaction } from '@atom/contract/rooms.ts'
import { SmilePlus } from 'lucide-react'
import { classNames } from '../ui/class-names.ts'
import { EmojiButton } from './emoji-button.tsx'
import { nameList } from './name-list.ts'
import { useRoomView } from './room-context.ts'

/** Under a message: who feels how about it. Pressing one joins in, or takes mine back. */
export function Reactions({ seq, reactions }: { seq: number; reactions: readonly Reaction[] }) {
  const { room, me, nameOf, attempt } = useRoomView()
  if (reactions.length === 0) return null
  return (
    <fieldset aria-label="Reactions" className="flex flex-wrap items-center gap-1 pt-1 pb-0.5">
      {reactions.map(({ emoji, by }) => {
        const mine = by.includes(me)
        const names = by.map((id) => (id === me ? 'you' : (nameOf(id) ?? 'somebody who was here')))
        const who = `${emoji} by ${nameList(names)}`
        return (
          <button
            key={emoji}
            type="button"
            aria-pressed={mine}
            aria-label={who}
            title={who}
            onClick={() => attempt(mine ? room.unreact(seq, emoji) : room.react(seq, emoji))}
            className={classNames(
              'flex h-6 items-center gap-1 rounded-full border px-2 text-sm tabular-nums pointer-coarse:h-11 pointer-coarse:px-3',
              mine
                ? 'border-accent bg-accent-wash text-accent-text'
                : 'border-line bg-panel text-quiet hover:bg-hover hover:text-text',
            )}
          >
            <span aria-hidden>{emoji}</span>
            <span aria-hidden>{by.length}</span>
          </button>
        )
      })}
      <EmojiButton
        label="Add a reaction"
        onPick={(emoji) => attempt(room.react(seq, emoji))}
        className="grid h-6 w-8 place-items-center rounded-full text-quiet hover:bg-hover hover:text-text pointer-coarse:size-11"
      >
        <SmilePlus size={14} aria-hidden />
      </EmojiButton>
    </fieldset>
  )
}
