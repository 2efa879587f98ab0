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
        aria-describedby={`${id}-hint`}
        className={`${inputClass} py-1.5 font-mono text-xs`}
      />
      <p id={`${id}-hint`} className={problem === undefined ? 'text-sm text-quiet' : 'text-sm text-bad'}>
        {problem ?? hint}
      </p>
    </div>
  )
}
