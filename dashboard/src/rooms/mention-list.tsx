import type { Member } from '@atom/contract/rooms.ts'
import { classNames } from '../ui/class-names.ts'
import { MemberMark } from './member-mark.tsx'

/** Whom an "@" may mean. The field keeps the focus: arrow keys and Enter choose. */
export function MentionList({
  id,
  members,
  active,
  onChoose,
}: {
  id: string
  members: readonly Member[]
  active: number
  onChoose: (member: Member) => void
}) {
  return (
    <div
      id={id}
      role="listbox"
      aria-label="Members to mention"
      className="absolute inset-x-4 bottom-full z-10 rounded-card border border-line bg-page p-1 shadow-float"
    >
      {members.map((member, at) => (
        <div
          key={member.id}
          id={`${id}-${at}`}
          role="option"
          tabIndex={-1}
          aria-selected={at === active}
          // Before the click: the field must not lose the focus to it.
          onPointerDown={(event) => {
            event.preventDefault()
            onChoose(member)
          }}
          className={classNames(
            'flex h-9 cursor-pointer items-center gap-2.5 rounded-control px-2 select-none hover:bg-hover pointer-coarse:h-11',
            at === active && 'bg-chosen',
          )}
        >
          <MemberMark kind={member.kind} name={member.name} size="small" />
          <span className="min-w-0 flex-1 truncate">{member.name}</span>
          {member.kind === 'agent' && <span className="text-sm text-quiet">agent</span>}
        </div>
      ))}
    </div>
  )
}
