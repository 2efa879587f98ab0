import type { ApprovalView } from '@atom/contract/agents.ts'
import { Bot, Globe, ShieldQuestion, User } from 'lucide-react'
import { type FormEvent, useEffect, useId, useRef, useState } from 'react'
import { ProviderMark } from '../connections/provider-mark.tsx'
import { atom } from '../shell/atom.ts'
import { isWriting } from '../shell/keys.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { Key } from '../ui/key.tsx'
import { inputClass } from '../ui/text-field.tsx'
import { RelativeTime, useNow } from '../ui/time.tsx'
import { useRoomView } from './room-context.ts'

type Field = ApprovalView['fields'][number]

/** What an agent wants to do and may not without a person: what will change, on whose account, where each value came from. */
export function ApprovalCard({ approval }: { approval: ApprovalView }) {
  const { me, nameOf, keyedApproval, focusComposer } = useRoomView()
  const card = useRef<HTMLElement>(null)
  const form = useRef<HTMLFormElement>(null)
  const heading = useId()
  const [editing, setEditing] = useState(false)
  const [deciding, setDeciding] = useState<'approve' | 'deny'>()
  const expired = Date.parse(approval.expiresAt) <= useNow().getTime()
  const mine = approval.decider === me
  const editable = approval.fields.some((field) => field.editable)

  const decide = useAction(async (decision: 'approve' | 'deny') => {
    setDeciding(decision)
    // Asked before the buttons are disabled, which takes the focus from them.
    const focused = card.current?.contains(document.activeElement) === true
    const edits = decision === 'approve' && editing ? editsOf(form.current, approval) : undefined
    try {
      await atom.agents.decide(approval.id, { decision, ...(edits === undefined ? {} : { edits }) })
      // The card folds with the event; whoever decided by keyboard goes on where they write.
      if (focused) focusComposer()
    } finally {
      setDeciding(undefined)
    }
  })

  const keyed = mine && !expired && keyedApproval === approval.id
  const { run } = decide
  useEffect(() => {
    if (!keyed) return undefined
    function onKey(event: KeyboardEvent) {
      if (event.repeat || isWriting(event)) return
      const key = event.key.toLowerCase()
      if (key !== 'a' && key !== 'd' && !(key === 'e' && editable)) return
      event.preventDefault()
      if (key === 'a') run('approve')
      else if (key === 'd') run('deny')
      else setEditing(true)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [keyed, editable, run])

  useEffect(() => {
    if (editing) form.current?.querySelector<HTMLElement>('input, textarea')?.focus()
  }, [editing])

  function submit(event: FormEvent) {
    event.preventDefault()
    decide.run('approve')
  }

  return (
    <section
      ref={card}
      aria-labelledby={heading}
      className="overflow-hidden rounded-card border border-edge bg-panel"
    >
      <div className="flex items-start gap-2.5 border-b border-line px-3 py-2.5">
        <span className="mt-[3px] shrink-0">
          <ProviderMark provider={approval.provider} size={16} />
        </span>
        <div className="min-w-0 flex-1">
          <h2 id={heading} className="font-semibold">
            <span className="sr-only">Approval needed: </span>
            {approval.title}
          </h2>
          <p className="text-sm text-quiet">
            on the account of {approval.account} · expires <RelativeTime at={approval.expiresAt} />
          </p>
        </div>
        <ShieldQuestion size={16} aria-hidden className="mt-[3px] shrink-0 text-warn" />
      </div>
      <form ref={form} onSubmit={submit}>
        <dl className="grid gap-3 px-3 py-3">
          {approval.fields.map((field) => (
            <FieldView key={field.name} field={field} editing={editing && field.editable} />
          ))}
        </dl>
        <div className="grid gap-2 border-t border-line px-3 py-2.5">
          {decide.error !== undefined && <ProblemNotice error={decide.error} onDismiss={decide.clear} />}
          {expired ? (
            <p className="text-sm text-quiet">This request has expired. Ask the agent again.</p>
          ) : mine ? (
            <div className="flex flex-wrap items-center gap-2">
              <Button type="submit" look="primary" busy={deciding === 'approve'} disabled={decide.busy}>
                {editing ? 'Approve with changes' : 'Approve'}{' '}
                {keyed && !editing && <KeyOnAccent>A</KeyOnAccent>}
              </Button>
              {editable && !editing && (
                <Button disabled={decide.busy} onClick={() => setEditing(true)}>
                  Edit {keyed && <Key>E</Key>}
                </Button>
              )}
              {editing && (
                <Button disabled={decide.busy} onClick={() => setEditing(false)}>
                  Keep as it was
                </Button>
              )}
              <Button disabled={decide.busy} busy={deciding === 'deny'} onClick={() => decide.run('deny')}>
                Deny {keyed && !editing && <Key>D</Key>}
              </Button>
            </div>
          ) : (
            <p className="text-sm text-quiet">
              {nameOf(approval.decider) ?? 'The owner of this account'} decides, because it is their account.
            </p>
          )}
        </div>
      </form>
    </section>
  )
}

function KeyOnAccent({ children }: { children: string }) {
  return (
    <kbd className="inline-grid h-5 min-w-5 place-items-center rounded-[4px] border border-on-accent/40 px-1 font-sans text-xs pointer-coarse:hidden">
      {children}
    </kbd>
  )
}

const origins = {
  person: { icon: User, words: 'as asked for', colour: 'text-quiet' },
  agent: { icon: Bot, words: 'chosen by the agent', colour: 'text-quiet' },
  outside: { icon: Globe, words: 'from outside text: check it', colour: 'text-warn font-medium' },
} as const

function FieldView({ field, editing }: { field: Field; editing: boolean }) {
  const id = useId()
  const { icon: Icon, words, colour } = origins[field.origin]
  const box = classNames(inputClass, field.multiline ? 'min-h-24 py-2' : 'h-9 pointer-coarse:h-11')
  return (
    <div className="grid gap-0.5">
      <dt className="flex flex-wrap items-baseline gap-x-2 text-sm">
        {editing ? (
          <label htmlFor={id} className="text-quiet">
            {field.label}
          </label>
        ) : (
          <span className="text-quiet">{field.label}</span>
        )}
        <span className={classNames('inline-flex items-center gap-1 text-xs', colour)}>
          <Icon size={12} aria-hidden /> {words}
        </span>
      </dt>
      <dd className="min-w-0">
        {editing ? (
          field.multiline ? (
            <textarea id={id} name={field.name} defaultValue={field.value} className={box} />
          ) : (
            <input id={id} name={field.name} defaultValue={field.value} className={box} />
          )
        ) : (
          <span
            className={classNames(
              '[overflow-wrap:anywhere] whitespace-pre-wrap',
              field.value === '' && 'text-quiet',
            )}
          >
            {field.value === '' ? 'empty' : field.value}
          </span>
        )}
      </dd>
    </div>
  )
}

/** What was changed, by name; undefined where nothing was. */
function editsOf(form: HTMLFormElement | null, approval: ApprovalView): Record<string, string> | undefined {
  if (form === null) return undefined
  const values = new FormData(form)
  const edits: Record<string, string> = {}
  for (const field of approval.fields) {
    const value = values.get(field.name)
    if (field.editable && typeof value === 'string' && value !== field.value) edits[field.name] = value
  }
  return Object.keys(edits).length === 0 ? undefined : edits
}
