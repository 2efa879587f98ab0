import { Check, Dot, Minus } from 'lucide-react'

const icons = {
  granted: <Check size={16} aria-hidden className="mt-[3px] shrink-0 text-good" />,
  missing: <Minus size={16} aria-hidden className="mt-[3px] shrink-0 text-warn" />,
  asked: <Dot size={16} aria-hidden className="mt-[3px] shrink-0 text-quiet" />,
} as const

/** One thing that an account allows, in the person's words and in the provider's. */
export function ScopeLine({
  scope,
  meaning,
  state,
  note,
}: {
  scope: string
  meaning: string | undefined
  state: keyof typeof icons
  note?: string | undefined
}) {
  return (
    <li className="flex items-start gap-2">
      {icons[state]}
      <span className="min-w-0">
        {meaning ?? scope}
        {state === 'missing' && <span className="text-warn"> (not granted)</span>}
        {note !== undefined && <span className="text-sm text-quiet"> ({note})</span>}
        {meaning !== undefined && meaning !== scope && (
          <code className="block font-mono text-xs break-all text-quiet">{scope}</code>
        )}
      </span>
    </li>
  )
}
