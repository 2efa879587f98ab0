import type { ReactNode } from 'react'
import { Avatar } from '../ui/avatar.tsx'
import { classNames } from '../ui/class-names.ts'
import { TimeOfDay } from '../ui/time.tsx'

/** Picture, name, time and words: the same for everybody, set apart by name only. */
export function Spoken({
  name,
  at,
  lead,
  dim = false,
  tools,
  children,
}: {
  name: string
  at: string
  lead: boolean
  dim?: boolean
  /** Stands over the right end of the message when one is at it. */
  tools?: ReactNode
  children: ReactNode
}) {
  return (
    <article
      aria-label={`${name} said`}
      className={classNames('group relative flex gap-3', lead ? 'pt-4' : 'pt-1')}
    >
      {lead ? <Avatar name={name} /> : <span className="w-8 shrink-0" />}
      <div className={classNames('min-w-0 flex-1', dim && 'text-quiet')}>
        {lead && (
          <div className="flex items-baseline gap-2">
            <span dir="auto" className="truncate font-semibold">
              {name}
            </span>
            <span className="shrink-0 text-xs text-quiet">
              <TimeOfDay at={at} />
            </span>
          </div>
        )}
        {children}
      </div>
      {tools}
    </article>
  )
}
