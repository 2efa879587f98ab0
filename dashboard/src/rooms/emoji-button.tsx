import { Popover } from 'radix-ui'
import { type ReactNode, useState } from 'react'
import { latePart } from '../ui/late-part.tsx'

/** Apart from the first load: two thousand names are needed only by who looks for one. */
const EmojiPicker = latePart<{ onPick: (emoji: string) => void }>(
  async () => (await import('./emoji-picker.tsx')).EmojiPicker,
  () => <p className="p-4 text-quiet">Emoji are on their way…</p>,
)

/** Opens the choice of an emoji and closes it with one. Until it is pressed it is a button and nothing else: there may be one in every row. */
export function EmojiButton({
  label,
  className,
  children,
  onPick,
  tabIndex,
}: {
  label: string
  className: string
  children: ReactNode
  onPick: (emoji: string) => void
  tabIndex?: number
}) {
  const [open, setOpen] = useState(false)
  const [used, setUsed] = useState(false)
  if (!used) {
    return (
      <button
        type="button"
        aria-haspopup="dialog"
        aria-expanded={false}
        aria-label={label}
        title={label}
        tabIndex={tabIndex}
        className={className}
        onClick={() => {
          setUsed(true)
          setOpen(true)
        }}
      >
        {children}
      </button>
    )
  }
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger aria-label={label} title={label} tabIndex={tabIndex} className={className}>
        {children}
      </Popover.Trigger>
      {open && (
        <Popover.Portal>
          <Popover.Content
            aria-label="Choose an emoji"
            side="top"
            align="end"
            sideOffset={6}
            collisionPadding={8}
            className="z-20 w-[min(21rem,calc(100vw-1rem))] rounded-card border border-line bg-page shadow-float"
          >
            <EmojiPicker
              onPick={(emoji) => {
                setOpen(false)
                onPick(emoji)
              }}
            />
          </Popover.Content>
        </Popover.Portal>
      )}
    </Popover.Root>
  )
}
