import { type ReactNode, useEffect } from 'react'

/** One page of the operators: its title, what it says, what can be done at once, and what is below. */
export function OperationsPage({
  title,
  about,
  actions,
  children,
}: {
  title: string
  about: ReactNode
  actions?: ReactNode
  children: ReactNode
}) {
  useEffect(() => {
    document.title = `${title} · Operations · Atom`
  }, [title])
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <div className="mx-auto grid w-full max-w-[75rem] grid-cols-1 gap-6 px-4 pt-6 pb-12 md:px-8">
        <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
          <div className="grid min-w-0 gap-1">
            <h1 className="text-xl font-semibold">{title}</h1>
            <p className="text-quiet">{about}</p>
          </div>
          {actions}
        </div>
        {children}
      </div>
    </div>
  )
}
