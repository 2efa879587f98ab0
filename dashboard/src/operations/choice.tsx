import { classNames } from '../ui/class-names.ts'

/** One of a few values, with its name before it; in a row of others that narrow a list down. */
export function Choice<V extends string>({
  label,
  value,
  options,
  onChoose,
  className,
}: {
  label: string
  value: V
  options: readonly (readonly [value: V, words: string])[]
  onChoose: (value: V) => void
  className?: string
}) {
  return (
    <label className={classNames('flex items-center gap-2 text-sm text-quiet', className)}>
      {label}
      <select
        value={value}
        onChange={({ target }) => {
          const chosen = options.find(([each]) => each === target.value)
          if (chosen !== undefined) onChoose(chosen[0])
        }}
        className="h-9 min-w-0 rounded-control border border-edge bg-page px-1.5 text-base text-text pointer-coarse:h-11"
      >
        {options.map(([each, words]) => (
          <option key={each} value={each}>
            {words}
          </option>
        ))}
      </select>
    </label>
  )
}
