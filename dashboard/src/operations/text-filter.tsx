import { Search } from 'lucide-react'
import { inputClass } from '../ui/text-field.tsx'

/** Narrows a list down by a part of its words. */
export function TextFilter({
  label,
  value,
  onChange,
}: {
  label: string
  value: string
  onChange: (value: string) => void
}) {
  return (
    <div className="relative min-w-52 flex-1 max-sm:min-w-full">
      <Search size={16} aria-hidden className="absolute top-1/2 left-2.5 -translate-y-1/2 text-quiet" />
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        value={value}
        maxLength={200}
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => onChange(target.value)}
        className={`${inputClass} h-9 pl-8 pointer-coarse:h-11`}
      />
    </div>
  )
}
