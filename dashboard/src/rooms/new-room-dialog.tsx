import { limits, type Room } from '@atom/contract/rooms.ts'
import { type FormEvent, useState } from 'react'
import { atom, useMe } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { inputClass, TextField } from '../ui/text-field.tsx'
import { MemberMark } from './member-mark.tsx'
import { askEverybody, named, type Somebody } from './people.ts'

/** More than this many need a search. */
const manyPeople = 7

/** A room of mine, with whoever I choose; the agents are chosen already. */
export function NewRoomDialog({
  onClose,
  onCreated,
}: {
  onClose: () => void
  onCreated: (room: Room) => void
}) {
  const me = useMe().account.id
  const everybody = useAnswer(askEverybody)
  const [words, setWords] = useState('')
  /** Undefined until something is chosen otherwise than it stands. */
  const [changed, setChanged] = useState<ReadonlySet<string>>()
  const ready = everybody.state === 'ready'
  const others = ready ? everybody.value.filter(({ id }) => id !== me) : []
  const chosen = changed ?? new Set(others.filter(({ kind }) => kind === 'agent').map(({ id }) => id))

  const create = useAction(async (name: string) => {
    // Where nobody could be asked for, the server puts the default agent in.
    const members = others.filter(({ id }) => chosen.has(id)).map(({ kind, id }) => ({ kind, id }))
    onCreated(await atom.rooms.create({ name, ...(ready ? { members } : {}) }))
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const name = String(new FormData(event.currentTarget).get('name')).trim()
    if (name !== '') create.run(name)
  }

  function toggle({ id }: Somebody): void {
    const next = new Set(chosen)
    if (!next.delete(id)) next.add(id)
    setChanged(next)
  }

  return (
    <Dialog title="New room" onClose={onClose}>
      <form onSubmit={submit} className="grid gap-4">
        {create.error !== undefined && <ProblemNotice error={create.error} />}
        <TextField label="Name" name="name" maxLength={limits.roomNameLength} required autoComplete="off" />
        <fieldset className="grid gap-1.5">
          <legend className="pb-1.5 font-medium">With</legend>
          {others.length > manyPeople && (
            <input
              type="search"
              aria-label="Search people and agents"
              placeholder="Search people and agents"
              value={words}
              onChange={(event) => setWords(event.target.value)}
              className={`${inputClass} h-9 pointer-coarse:h-11`}
            />
          )}
          {everybody.state === 'loading' && (
            <Loading of="the people">
              <Bar className="h-5 w-2/3" />
            </Loading>
          )}
          {everybody.state === 'failed' && (
            <ProblemNotice error={everybody.error} onRetry={everybody.reload} />
          )}
          <div className="grid max-h-60 auto-rows-max grid-cols-[minmax(0,1fr)] overflow-y-auto">
            {named(others, words).map((each) => (
              <label
                key={each.id}
                className="flex min-h-9 cursor-pointer items-center gap-2.5 rounded-control px-1.5 hover:bg-hover pointer-coarse:min-h-11"
              >
                <input type="checkbox" checked={chosen.has(each.id)} onChange={() => toggle(each)} />
                <MemberMark kind={each.kind} name={each.name} size="small" />
                <span className="min-w-0 flex-1 truncate">{each.name}</span>
                {each.kind === 'agent' && <span className="text-sm text-quiet">agent</span>}
              </label>
            ))}
          </div>
        </fieldset>
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.busy}>
            Create room
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
