import { Check, Copy } from 'lucide-react'
import { useEffect, useState } from 'react'

/** Copies `text`; says so for two seconds. `what` names it: "Copy request id". */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [state, setState] = useState<'idle' | 'copied' | 'refused'>('idle')
  useEffect(() => {
    if (state === 'idle') return undefined
    const timer = setTimeout(() => setState('idle'), 2000)
    return () => clearTimeout(timer)
  }, [state])
  return (
    <button
      type="button"
      onClick={() => {
        navigator.clipboard.writeText(text).then(
          () => setState('copied'),
          // Only over plain http from another machine: the text stays selectable beside the button.
          () => setState('refused'),
        )
      }}
      className="inline-flex h-6 items-center gap-1.5 rounded-control px-1.5 text-xs text-quiet hover:bg-hover hover:text-text pointer-coarse:h-11"
    >
      {state === 'copied' ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
      <span aria-live="polite">
        {state === 'copied' ? (
          'Copied'
        ) : state === 'refused' ? (
          'Select and copy'
        ) : (
          <>
            <span>Copy</span>
            <span className="sr-only"> {what}</span>
          </>
        )}
      </span>
    </button>
  )
}
