import { LoaderCircle } from 'lucide-react'
import type { ComponentProps } from 'react'
import { classNames } from './class-names.ts'

const looks = {
  /** The one thing to do next; at most one in a view. */
  primary: 'bg-accent text-on-accent hover:bg-accent-hover disabled:bg-chosen disabled:text-quiet',
  plain: 'border border-edge bg-page text-text hover:bg-hover disabled:text-quiet disabled:hover:bg-page',
  quiet: 'text-quiet hover:bg-hover hover:text-text disabled:hover:bg-transparent',
  danger: 'border border-bad-line bg-page text-bad hover:bg-bad-wash disabled:text-quiet',
} as const

export type ButtonLook = keyof typeof looks

interface ButtonProps extends ComponentProps<'button'> {
  look?: ButtonLook
  /** Work is under way: the button says so, and cannot be pressed again. */
  busy?: boolean
  /** Square, for an icon alone; needs `aria-label`. */
  square?: boolean
}

export function Button({ look = 'plain', busy = false, square = false, ...props }: ButtonProps) {
  const { className, children, disabled, ...rest } = props
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled === true || busy}
      aria-busy={busy || undefined}
      className={classNames(buttonClass(look, square), className)}
    >
      {busy && <LoaderCircle size={16} aria-hidden className="animate-spin" />}
      {children}
    </button>
  )
}

/** The look of a button for a link that goes somewhere. */
export function buttonClass(look: ButtonLook, square = false): string {
  return classNames(
    'inline-flex h-8 shrink-0 items-center justify-center gap-2 rounded-control font-medium whitespace-nowrap',
    square ? 'w-8 pointer-coarse:w-11' : 'px-3',
    'transition-colors select-none pointer-coarse:h-11',
    looks[look],
  )
}
