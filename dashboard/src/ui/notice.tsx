import { CircleAlert, CircleCheck, Info, TriangleAlert, X } from 'lucide-react'
import type { ReactNode } from 'react'
import { classNames } from './class-names.ts'

const tones = {
  plain: { icon: Info, colour: 'text-quiet', frame: 'border-line bg-panel' },
  good: { icon: CircleCheck, colour: 'text-good', frame: 'border-line bg-panel' },
  warn: { icon: TriangleAlert, colour: 'text-warn', frame: 'border-warn-line bg-warn-wash' },
  bad: { icon: CircleAlert, colour: 'text-bad', frame: 'border-bad-line bg-bad-wash' },
} as const

interface NoticeProps {
  tone: keyof typeof tones
  title: string
  children?: ReactNode
  /** Buttons, after the text. */
  actions?: ReactNode
  onDismiss?: () => void
}

export function Notice({ tone, title, children, actions, onDismiss }: NoticeProps) {
  const { icon: Icon, colour, frame } = tones[tone]
  return (
    <div
      role={tone === 'bad' ? 'alert' : 'status'}
      className={classNames('flex items-start gap-3 rounded-card border p-3', frame)}
    >
      <Icon size={16} aria-hidden className={classNames('mt-[3px] shrink-0', colour)} />
      <div className="grid min-w-0 flex-1 gap-1 [overflow-wrap:anywhere]">
        <p className="font-medium">{title}</p>
        {children !== undefined && <div className="text-text/90">{children}</div>}
        {actions !== undefined && <div className="mt-2 flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {onDismiss !== undefined && (
        <button
          type="button"
          aria-label="Dismiss"
          onClick={onDismiss}
          className="-m-1 grid size-7 shrink-0 place-items-center rounded-control text-quiet hover:bg-hover hover:text-text pointer-coarse:size-11"
        >
          <X size={16} aria-hidden />
        </button>
      )}
    </div>
  )
}
