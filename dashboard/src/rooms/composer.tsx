import type { Edit, Room, RoomMessage, Saying } from '@atom/client'
import type { Member } from '@atom/contract/rooms.ts'
import { ArrowUp, Check, Pencil, Reply, Smile, Square, X } from 'lucide-react'
import {
  type KeyboardEvent,
  type ReactNode,
  type Ref,
  useEffect,
  useId,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from 'react'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { Key } from '../ui/key.tsx'
import { byteBudget } from './byte-budget.ts'
import { EmojiButton } from './emoji-button.tsx'
import { MentionList } from './mention-list.tsx'
import { type MentionQuery, matching, mentionQuery, mentionsIn } from './mentions.ts'
import { MessageLine } from './message-line.tsx'
import { keepDraft, readDraft } from './unsent-text.ts'

const typingEveryMs = 3000
const tallestPx = 220
const mostSuggested = 6

export interface ComposerHandle {
  focus(): void
}

interface ComposerProps {
  ref: Ref<ComposerHandle>
  room: Room
  name: string
  placeholder: string
  /** Those who can be named: everybody else in the room. */
  others: readonly Member[]
  /** "Ada is typing"; empty where there is nothing to say. */
  hint: string
  /** The message that is answered. */
  answering: RoomMessage | undefined
  /** The message of mine that is changed. */
  editing: RoomMessage | undefined
  onSend: (text: string, to: Saying) => void
  onEdit: (seq: number, edit: Edit) => void
  /** Neither answering nor editing any more. */
  onSettle: () => void
  /** Changes the newest message of mine. */
  onEditLast: () => void
  /** Given while an agent is at work. */
  onStop: (() => void) | undefined
  stopping: boolean
  /** Esc stops it too. */
  escStops: boolean
}

/** Where one writes. Enter sends, Shift+Enter begins a line; what is not sent yet is kept for each room. */
export function Composer(props: ComposerProps) {
  const { ref, room, name, placeholder, others, hint, answering, editing, onStop } = props
  const field = useRef<HTMLTextAreaElement>(null)
  const listId = useId()
  const [text, setText] = useState(() => readDraft(room.id))
  const [asked, setAsked] = useState<MentionQuery>()
  const [chosen, setChosen] = useState(0)
  const lastTyping = useRef(0)
  const budget = byteBudget(text)
  const empty = text.trim() === ''
  const suggested = asked === undefined ? [] : matching(others, asked.words).slice(0, mostSuggested)
  const suggesting = suggested.length > 0
  const active = Math.min(chosen, suggested.length - 1)

  useImperativeHandle(ref, () => ({ focus: () => field.current?.focus() }), [])

  // Writing is what one comes for; on touch the keyboard would cover what one wants to read first.
  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) field.current?.focus({ preventScroll: true })
  }, [])

  // What was being written stays as the draft while an older message is changed.
  const edited = editing?.seq
  // biome-ignore lint/correctness/useExhaustiveDependencies: the text is taken over once, when the editing begins.
  useEffect(() => {
    setText(editing === undefined ? readDraft(room.id) : editing.text)
    setAsked(undefined)
    if (editing !== undefined) field.current?.focus()
  }, [edited, room.id])
  useEffect(() => {
    if (answering !== undefined) field.current?.focus()
  }, [answering])

  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows the text.
  useLayoutEffect(() => {
    const element = field.current
    if (element === null) return
    element.style.height = 'auto'
    element.style.height = `${Math.min(element.scrollHeight, tallestPx)}px`
  }, [text])

  function write(next: string, caret: number): void {
    setText(next)
    setAsked(mentionQuery(next, caret))
    setChosen(0)
    if (editing !== undefined) return
    keepDraft(room.id, next)
    if (next !== '' && Date.now() - lastTyping.current > typingEveryMs) {
      lastTyping.current = Date.now()
      room.typing()
    }
  }

  /** Puts something where the caret is, or over what was typed after an "@". */
  function put(what: string, from = field.current?.selectionStart ?? text.length): void {
    const to = field.current?.selectionEnd ?? text.length
    const caret = from + what.length
    write(text.slice(0, from) + what + text.slice(to), caret)
    setAsked(undefined)
    requestAnimationFrame(() => {
      field.current?.focus()
      field.current?.setSelectionRange(caret, caret)
    })
  }

  function complete(member: Member | undefined): void {
    if (asked !== undefined && member !== undefined) put(`@${member.name} `, asked.from)
  }

  function submit(): void {
    if (empty || budget.over) return
    const mentions = mentionsIn(text, others)
    if (editing !== undefined) {
      if (text.trim() !== editing.text) props.onEdit(editing.seq, { text: text.trim(), mentions })
    } else {
      props.onSend(text.trim(), { replyTo: answering?.seq, mentions })
      setText('')
      keepDraft(room.id, '')
    }
    props.onSettle()
    setAsked(undefined)
    lastTyping.current = 0
    field.current?.focus()
  }

  function onKeyDown(event: KeyboardEvent): void {
    // While an input method composes a character, its keys belong to it.
    if (event.nativeEvent.isComposing) return
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (suggesting && step !== undefined) {
      event.preventDefault()
      setChosen((active + step + suggested.length) % suggested.length)
    } else if (suggesting && (event.key === 'Enter' || event.key === 'Tab')) {
      event.preventDefault()
      complete(suggested[active])
    } else if (event.key === 'Escape' && (suggesting || answering !== undefined || editing !== undefined)) {
      event.preventDefault()
      event.stopPropagation()
      if (suggesting) setAsked(undefined)
      else props.onSettle()
    } else if (event.key === 'ArrowUp' && text === '' && editing === undefined) {
      event.preventDefault()
      props.onEditLast()
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault()
      submit()
    }
  }

  return (
    <div className="relative mx-auto w-full max-w-[45rem] px-4 pb-3">
      <div className="flex h-7 items-center justify-between gap-3 text-xs text-quiet pointer-coarse:h-auto pointer-coarse:min-h-7">
        <span className="truncate">{hint}</span>
        {onStop !== undefined && (
          <button
            type="button"
            onClick={onStop}
            disabled={props.stopping}
            className="flex h-6 shrink-0 items-center gap-1.5 rounded-control px-1.5 font-medium text-text hover:bg-hover disabled:text-quiet pointer-coarse:h-11 pointer-coarse:px-3"
          >
            <Square size={12} aria-hidden fill="currentColor" />
            {props.stopping ? 'Stopping…' : 'Stop'} {props.escStops && <Key>Esc</Key>}
          </button>
        )}
      </div>
      {suggesting && (
        <MentionList
          id={listId}
          members={suggested}
          active={active}
          onChoose={(member) => complete(member)}
        />
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
        className="rounded-card border border-edge bg-page p-1.5 focus-within:border-accent focus-within:outline focus-within:outline-accent"
      >
        {editing !== undefined ? (
          <Purpose icon={<Pencil size={14} aria-hidden />} stop="Stop editing" onStop={props.onSettle}>
            You are editing your message.
          </Purpose>
        ) : (
          answering !== undefined && (
            <Purpose icon={<Reply size={14} aria-hidden />} stop="Do not reply" onStop={props.onSettle}>
              <span className="inline-block max-w-1/2 truncate align-bottom font-medium">
                {answering.actor.name}
              </span>{' '}
              <MessageLine message={answering} />
            </Purpose>
          )
        )}
        <div className="flex items-end gap-2">
          <div className="relative min-w-0 flex-1">
            {/* A field of several lines cuts its own placeholder off without a sign that there is more. */}
            {text === '' && (
              <span
                aria-hidden
                className="pointer-events-none absolute inset-x-2 top-[5px] truncate text-quiet pointer-coarse:top-[11px] pointer-coarse:text-lg"
              >
                {placeholder}
              </span>
            )}
            <textarea
              ref={field}
              rows={1}
              // An empty field has the direction of the page, so that what stands in it does.
              dir={text === '' ? undefined : 'auto'}
              value={text}
              aria-label={`Message ${name}`}
              aria-placeholder={placeholder}
              aria-describedby="message-budget"
              aria-invalid={budget.over || undefined}
              aria-autocomplete="list"
              aria-controls={suggesting ? listId : undefined}
              aria-activedescendant={suggesting ? `${listId}-${active}` : undefined}
              onChange={(event) => write(event.target.value, event.target.selectionStart)}
              onKeyDown={onKeyDown}
              onBlur={() => setAsked(undefined)}
              className="block max-h-[220px] w-full resize-none bg-transparent px-2 py-[5px] outline-none pointer-coarse:py-[11px] pointer-coarse:text-lg"
            />
          </div>
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
          <EmojiButton
            label="Add an emoji"
            onPick={(emoji) => put(emoji)}
            className="grid size-8 shrink-0 place-items-center rounded-control text-quiet hover:bg-hover hover:text-text pointer-coarse:size-11"
          >
            <Smile size={16} aria-hidden />
          </EmojiButton>
          <Button
            type="submit"
            look="primary"
            square
            aria-label={editing === undefined ? 'Send' : 'Save'}
            disabled={empty || budget.over}
            // The field keeps the focus: on a phone its loss brings the bar below back, and the button moves from under the finger.
            onMouseDown={(event) => event.preventDefault()}
          >
            {editing === undefined ? <ArrowUp size={16} aria-hidden /> : <Check size={16} aria-hidden />}
          </Button>
        </div>
      </form>
    </div>
  )
}

/** Over the field: that what is written is an answer, or a change. */
function Purpose({
  icon,
  stop,
  onStop,
  children,
}: {
  icon: ReactNode
  stop: string
  onStop: () => void
  children: ReactNode
}) {
  return (
    <div className="mb-1 flex items-center gap-2 rounded-control bg-panel py-1 pr-1 pl-2 text-sm text-quiet">
      {icon}
      <span className="min-w-0 flex-1 truncate">{children}</span>
      <button
        type="button"
        aria-label={stop}
        onClick={onStop}
        className="grid size-6 shrink-0 place-items-center rounded-control hover:bg-hover hover:text-text pointer-coarse:size-11"
      >
        <X size={14} aria-hidden />
      </button>
    </div>
  )
}
