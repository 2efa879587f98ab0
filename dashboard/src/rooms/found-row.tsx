import type { ReactNode } from 'react'
import { RelativeTime } from '../ui/time.tsx'
import { MemberMark } from './member-mark.tsx'

/** A message in a panel, that leads to its place in the room. */
export function FoundRow({
  author,
  at,
  where,
  onOpen,
  children,
}: {
  author: { readonly kind: string; readonly name: string }
  at: string
  /** The room, where that is not clear. */
  where?: string | undefined
  onOpen: () => void
  children: ReactNode
}) {
  return (
    <button
      type="button"
      onClick={onOpen}
      className="flex w-full gap-2.5 rounded-control p-2 text-left hover:bg-hover"
    >
      <MemberMark kind={author.kind} name={author.name} size="small" />
      <span className="grid min-w-0 flex-1 gap-0.5">
        <span className="flex items-baseline gap-2 text-sm">
          <span dir="auto" className="truncate font-medium">
            {author.name}
          </span>
          <span className="shrink-0 text-xs text-quiet">
            <RelativeTime at={at} />
          </span>
        </span>
        {where !== undefined && <span className="truncate text-xs text-quiet">in {where}</span>}
        <span dir="auto" className="line-clamp-3 text-sm [overflow-wrap:anywhere]">
          {children}
        </span>
      </span>
    </button>
  )
}
