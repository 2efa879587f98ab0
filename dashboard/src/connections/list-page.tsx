import { Link, Outlet } from '@tanstack/react-router'
import { type ReactNode, useEffect, useRef } from 'react'
import { isWriting } from '../shell/keys.ts'
import { classNames } from '../ui/class-names.ts'
import { Arrival } from './arrival.tsx'

/**
 * One of the two lists of this room, with what was opened from it beside it; on narrow screens the opened panel is a page of
 * its own. Arrow keys go from row to row, which are the links that carry `data-row`.
 */
export function ListPage({ open, children }: { open: boolean; children: ReactNode }) {
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
      if (step === 0 || isWriting(event)) return
      const rows = [...(list.current?.querySelectorAll<HTMLElement>('[data-row]') ?? [])]
      const at = rows.findIndex((row) => row === document.activeElement)
      if (at === -1) return
      event.preventDefault()
      rows[Math.min(Math.max(at + step, 0), rows.length - 1)]?.focus()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  return (
    <div className="flex min-h-0 flex-1">
      <div className={classNames('min-h-0 min-w-0 flex-1 overflow-y-auto', open && 'max-lg:hidden')}>
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
            <Tab to="/connections">Accounts</Tab>
            <Tab to="/connections/catalogue">Catalogue</Tab>
          </nav>
          <Arrival />
          {children}
        </div>
      </div>
      <Outlet />
    </div>
  )
}

function Tab({ to, children }: { to: '/connections' | '/connections/catalogue'; children: ReactNode }) {
  return (
    <Link
      to={to}
      search={{}}
      // An opened account is still among the accounts, but the catalogue is not.
      activeOptions={{ exact: to === '/connections', includeSearch: false }}
      className="-mb-px flex h-9 items-center border-b-2 border-transparent px-2 text-quiet hover:text-text pointer-coarse:h-11"
      activeProps={{ className: '!border-accent font-medium !text-text', 'aria-current': 'page' }}
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
