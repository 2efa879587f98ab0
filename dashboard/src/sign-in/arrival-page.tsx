import { type ReactNode, useEffect } from 'react'
import { AtomMark } from '../shell/atom-mark.tsx'

/** The page around setup, invitation and sign-in: one column, nothing else. */
export function ArrivalPage({
  title,
  lead,
  children,
}: {
  title: string
  lead: ReactNode
  children: ReactNode
}) {
  useEffect(() => {
    document.title = `${title} · Atom`
  }, [title])
  return (
    <main className="grid min-h-full content-start justify-items-center overflow-y-auto px-5 pt-[min(16vh,9rem)] pb-12">
      <div className="grid w-full max-w-[24rem] gap-6">
        <div className="grid gap-3">
          <span className="text-accent-text">
            <AtomMark size={28} />
          </span>
          <h1 className="text-xl font-semibold">{title}</h1>
          <p className="-mt-2 text-quiet">{lead}</p>
        </div>
        {children}
      </div>
    </main>
  )
}
