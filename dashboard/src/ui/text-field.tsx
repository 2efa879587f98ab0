import { CircleAlert } from 'lucide-react'
import { type ComponentProps, type ReactNode, useId } from 'react'
import { classNames } from './class-names.ts'

interface TextFieldProps extends Omit<ComponentProps<'input'>, 'id'> {
  label: string
  hint?: ReactNode
  /** What is wrong with the value, in a sentence. */
  problem?: string | undefined
  /** Stands at the right end inside the frame. */
  end?: ReactNode
}

export const inputClass =
  'w-full rounded-control border border-edge bg-page px-2.5 text-text focus-visible:outline-offset-0 aria-invalid:border-bad'

export function TextField({ label, hint, problem, end, className, ...input }: TextFieldProps) {
  const id = useId()
  return (
    <div className={classNames('grid gap-1.5', className)}>
      <label htmlFor={id} className="font-medium">
        {label}
      </label>
      <div className="relative">
        <input
          {...input}
          id={id}
          aria-invalid={problem !== undefined || undefined}
          aria-describedby={`${id}-hint ${id}-problem`}
          className={classNames(inputClass, 'h-9 pointer-coarse:h-11', end !== undefined && 'pr-10')}
        />
        {end !== undefined && <div className="absolute inset-y-0 right-0.5 flex items-center">{end}</div>}
      </div>
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
