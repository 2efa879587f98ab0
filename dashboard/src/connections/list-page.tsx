import { Link, Outlet } from '@tanstack/react-router'
import { createContext, type ReactNode, useEffect, useRef, useState } from 'react'
import { isWriting } from '../shell/keys.ts'
import { classNames } from '../ui/class-names.ts'
import { Arrival } from './arrival.tsx'

/** What scrolls; null until it is on the page. */
export const ScrollParent = createContext<HTMLElement | null>(null)

/**
 * One of the two lists of this room, with what was opened from it beside it; on narrow screens the opened panel is a page of
 * its own. Arrow keys go from row to row, which are the links that carry `data-row`.
 */
export function ListPage({
  here,
  open,
  children,
}: {
  here: 'accounts' | 'catalogue'
  /** Something of the list is opened. */
  open: boolean
  children: ReactNode
}) {
  const list = useRef<HTMLDivElement>(null)
  const [scroller, setScroller] = useState<HTMLElement | null>(null)
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
      if (step === 0 || isWriting(event)) return
      const rows = [...(list.current?.querySelectorAll<HTMLElement>('[data-row]') ?? [])]
      const at = rows.findIndex((row) => row.matches(':focus'))
      if (at === -1) return
      event.preventDefault()
      rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  return (
    <div className="flex min-h-0 flex-1">
      <div
        ref={setScroller}
        className={classNames('min-h-0 min-w-0 flex-1 overflow-y-auto', open && 'max-lg:hidden')}
      >
        <div
          ref={list}
          className="@container mx-auto grid w-full max-w-[56rem] gap-5 px-4 pt-6 pb-12 md:px-8 md:pt-8"
        >
          <div className="grid gap-1">
            <h1 className="text-xl font-semibold">Connections</h1>
            <p className="text-quiet">
              Your accounts elsewhere. An agent acts on one only for you, and asks before it changes anything.
            </p>
          </div>
          <nav aria-label="Connections" className="flex gap-1 border-b border-line">
            <Tab to="/connections" here={here === 'accounts'}>
              Accounts
            </Tab>
            <Tab to="/connections/catalogue" here={here === 'catalogue'}>
              Catalogue
            </Tab>
          </nav>
          <Arrival />
          <ScrollParent value={scroller}>{children}</ScrollParent>
        </div>
      </div>
      <Outlet />
    </div>
  )
}

function Tab({
  to,
  here,
  children,
}: {
  to: '/connections' | '/connections/catalogue'
  here: boolean
  children: ReactNode
}) {
  return (
    <Link
      to={to}
      search={{}}
      aria-current={here ? 'page' : undefined}
      className={classNames(
        '-mb-px flex h-9 items-center border-b-2 px-2 pointer-coarse:h-11',
        here ? 'border-accent font-medium' : 'border-transparent text-quiet hover:text-text',
      )}
    >
      {children}
    </Link>
  )
}

/** Gives the focus back to the row that a panel was opened from. */
export function focusRow(id: string): void {
  const row = document.querySelector<HTMLElement>(`[data-row="${CSS.escape(id)}"]`)
  row?.focus({ preventScroll: false })
}
