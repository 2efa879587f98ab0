import { X } from 'lucide-react'
import { type ReactNode, useEffect, useRef } from 'react'
import { isWriting } from '../shell/keys.ts'
import { Button } from '../ui/button.tsx'

/** Beside the messages; over them where there is no space for both. Esc closes it. */
export function RoomPanel({
  title,
  onClose,
  children,
}: {
  title: string
  onClose: () => void
  children: ReactNode
}) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    const field = heading.current?.closest('section')?.querySelector('input')
    ;(field ?? heading.current)?.focus({ preventScroll: true })
  }, [])
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if (event.key !== 'Escape' || event.defaultPrevented) return
      // Its own field, and nothing that was opened over it: that closes first.
      const { target } = event
      const isOwn =
        target instanceof HTMLInputElement && heading.current?.closest('section')?.contains(target)
      if (isWriting(event) && isOwn !== true) return
      event.preventDefault()
      onClose()
    }
    // Before the page's own Esc, which stops an answer.
    addEventListener('keydown', onKey, { capture: true })
    return () => removeEventListener('keydown', onKey, { capture: true })
  }, [onClose])
  return (
    <section
      aria-label={title}
      className="flex min-h-0 flex-col border-line bg-page max-lg:absolute max-lg:inset-0 max-lg:z-20 lg:w-[22rem] lg:shrink-0 lg:border-l"
    >
      <div className="flex h-12 shrink-0 items-center justify-between border-b border-line pr-2 pl-4">
        <h2 ref={heading} tabIndex={-1} className="font-semibold outline-none">
          {title}
        </h2>
        <Button look="quiet" square aria-label={`Close ${title}`} onClick={onClose}>
          <X size={16} aria-hidden />
        </Button>
      </div>
      {children}
    </section>
  )
}
