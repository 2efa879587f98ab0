import { classNames } from './class-names.ts'

const sizes = { small: 'size-6 text-xs', normal: 'size-8 text-sm' } as const

/** A person's picture, or the initials. Decoration: the name always stands beside it. */
export function Avatar({
  name,
  src,
  size = 'normal',
}: {
  name: string
  src?: string | undefined
  size?: keyof typeof sizes
}) {
  return (
    <span
      aria-hidden
      className={classNames(
        'grid shrink-0 place-items-center overflow-hidden rounded-full bg-chosen font-medium text-quiet select-none',
        sizes[size],
      )}
    >
      {src === undefined ? initials(name) : <img src={src} alt="" className="size-full object-cover" />}
    </span>
  )
}

/** "Ada Lovelace" → "AL"; one word gives one letter. Counts characters as a person does. */
function initials(name: string): string {
  const words = name.trim().split(/\s+/)
  const first = [...(words[0] ?? '')][0] ?? '?'
  const last = words.length > 1 ? ([...(words.at(-1) ?? '')][0] ?? '') : ''
  return (first + last).toUpperCase()
}
