import { groups } from 'virtual:emoji'
import { type KeyboardEvent, useMemo, useRef, useState } from 'react'
import { readRecent, rememberEmoji } from './recent-emoji.ts'

const perRow = 8
const mostFound = 64

/** All emoji by group, or those that a word finds. Arrow keys go from one to the next. */
export function EmojiPicker({ onPick }: { onPick: (emoji: string) => void }) {
  const [query, setQuery] = useState('')
  const list = useRef<HTMLDivElement>(null)
  const recent = useMemo(() => readRecent(), [])
  const wanted = query.trim().toLowerCase()
  const shown = useMemo(() => (wanted === '' ? groups : found(wanted)), [wanted])

  function pick(emoji: string): void {
    rememberEmoji(emoji)
    onPick(emoji)
  }

  function onKeyDown(event: KeyboardEvent): void {
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])]
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement)
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow }[event.key]
    if (event.key === 'Enter' && at < 0) {
      event.preventDefault()
      buttons[0]?.click()
      return
    }
    // In the field, left and right move the caret.
    if (step === undefined || (at < 0 && Math.abs(step) === 1)) return
    event.preventDefault()
    buttons[at < 0 ? 0 : Math.max(0, Math.min(buttons.length - 1, at + step))]?.focus()
  }

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are of the field and the buttons inside.
    <div onKeyDown={onKeyDown} className="grid">
      <input
        type="search"
        // It may come after what opened has looked for something to focus.
        // biome-ignore lint/a11y/noAutofocus: the person asked for it, and types.
        autoFocus
        aria-label="Search emoji"
        placeholder="Search emoji"
        value={query}
        onChange={(event) => setQuery(event.target.value)}
        className="h-10 border-b border-line bg-transparent px-3 outline-none placeholder:text-quiet pointer-coarse:h-11"
      />
      <div ref={list} className="h-64 overflow-y-auto p-2">
        {wanted === '' && recent.length > 0 && (
          <Group name="Used lately" emojis={recent.map((emoji) => [emoji, emoji])} onPick={pick} />
        )}
        {shown.map(({ name, emojis }) => (
          <Group key={name} name={name} emojis={emojis} onPick={pick} />
        ))}
        {shown.every(({ emojis }) => emojis.length === 0) && (
          <p role="status" className="p-4 text-center text-quiet">
            No emoji goes by that name.
          </p>
        )}
      </div>
    </div>
  )
}

function Group({
  name,
  emojis,
  onPick,
}: {
  name: string
  emojis: readonly (readonly [emoji: string, label: string, words?: string])[]
  onPick: (emoji: string) => void
}) {
  return (
    // What is not in sight is not drawn: two thousand buttons open as fast as forty.
    <section aria-label={name} className="[contain-intrinsic-size:auto_20rem] [content-visibility:auto]">
      <h3 className="px-1 pt-2 pb-1 text-xs text-quiet capitalize">{name}</h3>
      <div className="grid grid-cols-8">
        {emojis.map(([emoji, label]) => (
          <button
            key={emoji}
            type="button"
            aria-label={label}
            title={label}
            onClick={() => onPick(emoji)}
            className="grid aspect-square place-items-center rounded-control text-xl hover:bg-hover focus-visible:bg-hover"
          >
            {emoji}
          </button>
        ))}
      </div>
    </section>
  )
}

function found(wanted: string): typeof groups {
  const named: (typeof groups)[number]['emojis'][number][] = []
  const tagged: typeof named = []
  for (const { emojis } of groups) {
    for (const each of emojis) {
      if (each[0] === wanted || startsWord(each[1], wanted)) named.push(each)
      else if (startsWord(each[2], wanted)) tagged.push(each)
    }
  }
  return [{ name: 'Found', emojis: [...named, ...tagged].slice(0, mostFound) }]
}

function startsWord(text: string, wanted: string): boolean {
  return ` ${text.toLowerCase()}`.includes(` ${wanted}`)
}
