import { AtomMark } from '../shell/atom-mark.tsx'
import { Avatar } from '../ui/avatar.tsx'
import { classNames } from '../ui/class-names.ts'

/** The picture of a person, or the mark of an agent. */
export function MemberMark({
  kind,
  name,
  size = 'normal',
}: {
  kind: string
  name: string
  size?: 'small' | 'normal'
}) {
  if (kind !== 'agent') return <Avatar name={name} size={size} />
  return (
    <span
      aria-hidden
      className={classNames(
        'grid shrink-0 place-items-center rounded-full bg-accent-wash text-accent-text',
        size === 'small' ? 'size-6' : 'size-8',
      )}
    >
      <AtomMark size={size === 'small' ? 14 : 18} />
    </span>
  )
}
