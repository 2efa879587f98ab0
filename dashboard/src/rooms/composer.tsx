import type { Room } from '@atom/client'
import { ArrowUp, Square } from 'lucide-react'
import {
  type KeyboardEvent,
  type Ref,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from 'react'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { Key } from '../ui/key.tsx'
import { byteBudget } from './byte-budget.ts'
import { keepDraft, readDraft } from './unsent-text.ts'

const typingEveryMs = 3000
const tallestPx = 220

export interface ComposerHandle {
  focus(): void
}

interface ComposerProps {
  ref: Ref<ComposerHandle>
  room: Room
  name: string
  /** "Ada is typing"; empty where there is nothing to say. */
  hint: string
  onSend: (text: string) => void
  /** Given while an agent is at work. */
  onStop: (() => void) | undefined
  stopping: boolean
  /** Esc stops it too. */
  escStops: boolean
}

/** Where one writes. Enter sends, Shift+Enter begins a line; what is not sent yet is kept for each room. */
export function Composer({ ref, room, name, hint, onSend, onStop, stopping, escStops }: ComposerProps) {
  const field = useRef<HTMLTextAreaElement>(null)
  const [text, setText] = useState(() => readDraft(room.id))
  const lastTyping = useRef(0)
  const budget = byteBudget(text)
  const empty = text.trim() === ''

  useImperativeHandle(ref, () => ({ focus: () => field.current?.focus() }), [])

  // Writing is what one comes for; on touch the keyboard would cover what one wants to read first.
  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) field.current?.focus({ preventScroll: true })
  }, [])

  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text.
  useLayoutEffect(() => {
    const element = field.current
    if (element === null) return
    element.style.height = 'auto'
    element.style.height = `${Math.min(element.scrollHeight, tallestPx)}px`
  }, [text])

  function write(next: string): void {
    setText(next)
    keepDraft(room.id, next)
    if (next !== '' && Date.now() - lastTyping.current > typingEveryMs) {
      lastTyping.current = Date.now()
      room.typing()
    }
  }

  function send(): void {
    if (empty || budget.over) return
    onSend(text.trim())
    setText('')
    keepDraft(room.id, '')
    lastTyping.current = 0
    field.current?.focus()
  }

  function onKeyDown(event: KeyboardEvent): void {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    send()
  }

  return (
    <div className="mx-auto w-full max-w-[45rem] px-4 pb-3">
      <div className="flex h-7 items-center justify-between gap-3 text-xs text-quiet pointer-coarse:h-auto pointer-coarse:min-h-7">
        <span className="truncate">{hint}</span>
        {onStop !== undefined && (
          <button
            type="button"
            onClick={onStop}
            disabled={stopping}
            className="flex h-6 shrink-0 items-center gap-1.5 rounded-control px-1.5 font-medium text-text hover:bg-hover disabled:text-quiet pointer-coarse:h-11 pointer-coarse:px-3"
          >
            <Square size={12} aria-hidden fill="currentColor" />
            {stopping ? 'Stopping…' : 'Stop'} {escStops && <Key>Esc</Key>}
          </button>
        )}
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          send()
        }}
        className="flex items-end gap-2 rounded-card border border-edge bg-page p-1.5 focus-within:border-accent focus-within:outline focus-within:outline-accent"
      >
        <textarea
          ref={field}
          rows={1}
          value={text}
          aria-label={`Message ${name}`}
          aria-describedby="message-budget"
          aria-invalid={budget.over || undefined}
          placeholder={`Message ${name}`}
          onChange={(event) => write(event.target.value)}
          onKeyDown={onKeyDown}
          className="max-h-[220px] min-w-0 flex-1 resize-none bg-transparent px-2 py-[5px] outline-none placeholder:truncate pointer-coarse:py-[11px] pointer-coarse:text-lg"
        />
        <span
          id="message-budget"
          role="status"
          className={classNames(
            'self-center text-xs tabular-nums',
            budget.over ? 'font-medium text-bad' : 'text-quiet',
          )}
        >
          {budget.words}
          {budget.over && ': shorten it to send'}
        </span>
        <Button type="submit" look="primary" square aria-label="Send" disabled={empty || budget.over}>
          <ArrowUp size={16} aria-hidden />
        </Button>
      </form>
    </div>
  )
}
