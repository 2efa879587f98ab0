import type { ReactNode } from 'react'

/** One sentence on what this will hold, one button that fills it. */
export function Empty({
  icon,
  children,
  action,
}: {
  icon?: ReactNode
  children: ReactNode
  action?: ReactNode
}) {
  return (
    <div className="mx-auto grid max-w-sm justify-items-center gap-4 px-6 py-16 text-center">
      {icon !== undefined && <div className="text-faint">{icon}</div>}
      <p className="text-quiet">{children}</p>
      {action}
    </div>
  )
}
