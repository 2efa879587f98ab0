import { CircleAlert } from 'lucide-react'
import { type ComponentProps, type ReactNode, useId } from 'react'
import { inputClass } from './text-field.tsx'

interface TextAreaFieldProps extends Omit<ComponentProps<'textarea'>, 'id' | 'className'> {
  label: string
  hint?: ReactNode
  /** What is wrong with the value, in a sentence. */
  problem?: string | undefined
}

/** For what comes in several lines, such as a key in PEM. */
export function TextAreaField({ label, hint, problem, ...input }: TextAreaFieldProps) {
  const id = useId()
  return (
    <div className="grid gap-1.5">
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <textarea
        rows={4}
        autoComplete="off"
        spellCheck={false}
        {...input}
        id={id}
        aria-invalid={problem !== undefined || undefined}
        aria-describedby={`${id}-hint ${id}-problem`}
        className={`${inputClass} py-1.5 font-mono text-xs`}
      />
      {hint !== undefined && (
        <p id={`${id}-hint`} className="text-sm text-quiet">
          {hint}
        </p>
      )}
      {problem !== undefined && (
        <p id={`${id}-problem`} className="flex items-start gap-1.5 text-sm text-bad">
          <CircleAlert size={14} aria-hidden className="mt-[3px] shrink-0" />
          {problem}
        </p>
      )}
    </div>
  )
}
