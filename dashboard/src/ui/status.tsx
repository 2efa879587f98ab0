import { classNames } from './class-names.ts'

const dots = {
  good: 'bg-good-dot',
  // Not by colour alone: what needs a person is a ring, what is gone is hollow; the words stand beside it.
  warn: 'bg-warn-dot ring-2 ring-warn-line',
  bad: 'bg-bad-dot ring-2 ring-bad-line',
  off: 'border-2 border-faint',
} as const

export type StatusTone = keyof typeof dots

export function Status({ tone, words }: { tone: StatusTone; words: string }) {
  return (
    <span className="inline-flex min-w-0 items-start gap-2 text-left text-sm">
      <span aria-hidden className={classNames('mt-1.5 size-2 shrink-0 rounded-full', dots[tone])} />
      <span className={tone === 'bad' ? 'text-bad' : tone === 'warn' ? 'text-warn' : 'text-quiet'}>
        {words}
      </span>
    </span>
  )
}
