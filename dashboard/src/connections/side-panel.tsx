import { Link, useNavigate } from '@tanstack/react-router'
import { ArrowLeft, X } from 'lucide-react'
import { type ReactNode, useCallback, useEffect, useRef } from 'react'
import { isWriting } from '../shell/keys.ts'
import { Button } from '../ui/button.tsx'
import { focusRow } from './list-page.tsx'

/**
 * Beside the list that it was opened from; a page of its own on narrow screens. Esc closes it, and the focus goes back to
 * the row.
 */
export function SidePanel({
  label,
  title,
  list,
  row,
  children,
}: {
  /** What it is, for those who cannot see where it stands. */
  label: string
  title: string
  list: '/connections' | '/connections/catalogue'
  /** `data-row` of the row that it belongs to. */
  row: string
  children: ReactNode
}) {
  const navigate = useNavigate()
  const heading = useRef<HTMLHeadingElement>(null)
  const close = useCallback(() => {
    void navigate({ to: list, search: (kept) => kept }).then(() => focusRow(row))
  }, [navigate, list, row])

  useEffect(() => {
    heading.current?.focus({ preventScroll: true })
  }, [])
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if (event.key === 'Escape' && !isWriting(event)) close()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [close])

  return (
    <section
      aria-label={label}
      className="flex min-h-0 w-full flex-col overflow-y-auto border-line lg:w-[26rem] lg:shrink-0 lg:border-l"
    >
      <div className="flex h-12 shrink-0 items-center gap-2 px-4 lg:justify-between">
        <Link
          to={list}
          search={(kept) => kept}
          aria-label="Back to the list"
          className="-ml-2 grid size-8 place-items-center rounded-control text-quiet hover:bg-hover lg:hidden pointer-coarse:size-11"
        >
          <ArrowLeft size={16} aria-hidden />
        </Link>
        <h1 ref={heading} tabIndex={-1} className="truncate font-semibold outline-none">
          {title}
        </h1>
        <Button look="quiet" square aria-label="Close" className="max-lg:hidden" onClick={close}>
          <X size={16} aria-hidden />
        </Button>
      </div>
      <div className="grid gap-6 px-4 pt-2 pb-12">{children}</div>
    </section>
  )
}
