import { X } from 'lucide-react'
import { type ReactNode, useEffect, useId, useRef } from 'react'
import { classNames } from './class-names.ts'

/** What had the focus last on the page itself: a menu that opens a dialog is gone before the dialog is there. */
let lastOnPage: Element | undefined
addEventListener(
  'focusin',
  ({ target }) => {
    if (target instanceof Element && target.closest('dialog, [role="menu"]') === null) lastOnPage = target
  },
  { capture: true },
)

interface DialogProps {
  title: string
  /** Called when the person leaves by Esc, the backdrop or the close button. */
  onClose: () => void
  children: ReactNode
  wide?: boolean
  /** The title is there for screen readers only. */
  titleHidden?: boolean
}

/**
 * Over the browser's own modal `<dialog>`: focus trap, inert page and Esc come from the platform, and no style element is
 * injected, which the server's policy would refuse. Mounted is open. Focus returns to where it was.
 */
export function Dialog({ title, onClose, children, wide = false, titleHidden = false }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const element = dialog.current
    const focused = document.activeElement
    const isOnPage = focused !== document.body && focused?.closest('[role="menu"]') === null
    const before = isOnPage ? focused : lastOnPage
    element?.showModal()
    // The platform focuses the first thing that can hold focus, which is the close button.
    element?.querySelector<HTMLElement>('input, textarea, select, button[type="submit"]')?.focus()
    return () => {
      element?.close()
      if (before instanceof HTMLElement) before.focus({ preventScroll: true })
    }
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Esc closes a modal dialog by itself; the click is for the backdrop.
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => {
        if (event.target === dialog.current) onClose()
      }}
      className={classNames(
        'mx-auto mt-[min(14vh,8rem)] mb-4 max-h-[80dvh] overflow-auto rounded-card border border-line bg-page p-0 text-text shadow-float',
        wide ? 'w-[min(36rem,calc(100vw-2rem))]' : 'w-[min(27rem,calc(100vw-2rem))]',
      )}
    >
      <div className={titleHidden ? '' : 'grid gap-4 p-5'}>
        <div className={titleHidden ? 'sr-only' : 'flex items-start justify-between gap-4'}>
          <h2 id={id} className="text-lg font-semibold">
            {title}
          </h2>
          {!titleHidden && (
            <button
              type="button"
              aria-label="Close"
              onClick={onClose}
              className="-m-1 grid size-8 shrink-0 place-items-center rounded-control text-quiet hover:bg-hover hover:text-text pointer-coarse:size-11"
            >
              <X size={16} aria-hidden />
            </button>
          )}
        </div>
        {children}
      </div>
    </dialog>
  )
}
