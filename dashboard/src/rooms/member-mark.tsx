import type { PresenceState } from '@atom/client'
import { AtomMark } from '../shell/atom-mark.tsx'
import { Avatar } from '../ui/avatar.tsx'
import { classNames } from '../ui/class-names.ts'

/** The picture of a person, with a dot where they are there, or the mark of an agent. */
export function MemberMark({
  kind,
  name,
  size = 'normal',
  state,
}: {
  kind: string
  name: string
  size?: 'small' | 'normal'
  /** Absent: not there, or not known. */
  state?: PresenceState | undefined
}) {
  if (kind !== 'agent') {
    return (
      <span className="relative shrink-0">
        <Avatar name={name} size={size} />
        {state !== undefined && (
          <>
            <span
              aria-hidden
              title={state === 'away' ? 'Away' : 'Here now'}
              className={classNames(
                'absolute -right-0.5 -bottom-0.5 size-2.5 rounded-full border-2',
                state === 'away' ? 'border-quiet bg-page' : 'border-page bg-good-dot',
              )}
            />
            <span className="sr-only">{state === 'away' ? 'Away: ' : 'Here now: '}</span>
          </>
        )}
      </span>
    )
  }
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
