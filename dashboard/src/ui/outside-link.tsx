import type { ReactNode } from 'react'
import { hostOf } from './link-host.ts'

interface OutsideLinkProps {
  href: string | undefined
  children: ReactNode
  className?: string
  /** The host is shown unless the text shows it already. */
  showHost?: boolean
}

/** A link out of Atom: opens beside it, tells the other side nothing, and shows where it leads. */
export function OutsideLink({ href, children, className, showHost = true }: OutsideLinkProps) {
  const host = hostOf(href)
  // No usable address (`javascript:`, a relative path in a stranger's text): the words stay, the link does not.
  if (host === undefined) return <span className={className}>{children}</span>
  const said = typeof children === 'string' && children.includes(host)
  return (
    <a href={href} target="_blank" rel="noreferrer noopener" title={href} className={className}>
      {children}
      {showHost && !said && <span className="ml-1 inline-block text-sm text-quiet">({host})</span>}
      <span className="sr-only"> (opens in a new tab)</span>
    </a>
  )
}
