import { useNavigate, useSearch } from '@tanstack/react-router'
import { Search } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { isWriting } from '../shell/keys.ts'
import { inputClass } from '../ui/text-field.tsx'

/** What is looked for stands in the address, so that it survives a reload and an opened panel. */
export function SearchField({ label }: { label: string }) {
  const { q = '' } = useSearch({ from: '/inside/connections' })
  const navigate = useNavigate()
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    function onKey(event: KeyboardEvent) {
      if (event.key !== '/' || isWriting(event)) return
      event.preventDefault()
      field.current?.select()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  const look = (text: string) =>
    void navigate({
      to: '.',
      search: ({ q: _, ...kept }) => (text === '' ? kept : { ...kept, q: text }),
      replace: true,
    })
  return (
    <div className="relative min-w-52 flex-1 max-sm:min-w-full">
      <Search size={16} aria-hidden className="absolute top-1/2 left-2.5 -translate-y-1/2 text-quiet" />
      <input
        ref={field}
        type="search"
        aria-label={label}
        placeholder={label}
        value={q}
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => look(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return
          // The browser empties the field by itself, but only some do; and the panel must not close with it.
          event.stopPropagation()
          if (q === '') field.current?.blur()
          else look('')
        }}
        className={`${inputClass} h-9 pl-8 pointer-coarse:h-11 [&::-webkit-search-cancel-button]:hidden`}
      />
    </div>
  )
}

/** One of several ways to narrow a list down. */
export function Chip({
  chosen,
  onChoose,
  children,
}: {
  chosen: boolean
  onChoose: () => void
  children: React.ReactNode
}) {
  return (
    <button
      type="button"
      aria-pressed={chosen}
      onClick={onChoose}
      className="inline-flex h-7 items-center gap-1.5 rounded-full border border-line px-2.5 text-sm whitespace-nowrap text-quiet transition-colors hover:bg-hover hover:text-text aria-pressed:border-edge aria-pressed:bg-chosen aria-pressed:text-text pointer-coarse:h-11"
    >
      {children}
    </button>
  )
}
