import type { Room } from '@atom/contract/rooms.ts'
import { useState } from 'react'
import { atom, useMe } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Dialog } from '../ui/dialog.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { inputClass } from '../ui/text-field.tsx'
import { MemberMark } from './member-mark.tsx'
import { askEverybody, named, type Somebody } from './people.ts'

/** Whom to write to. The one direct room with them opens. */
export function DirectDialog({ onClose, onOpened }: { onClose: () => void; onOpened: (room: Room) => void }) {
  const me = useMe().account.id
  const everybody = useAnswer(askEverybody)
  const [words, setWords] = useState('')
  const open = useAction(async (other: Somebody) => onOpened(await atom.rooms.direct(other)))
  const others = everybody.state === 'ready' ? everybody.value.filter(({ id }) => id !== me) : []
  const shown = named(others, words)
  return (
    <Dialog title="New direct message" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (shown[0] !== undefined) open.run(shown[0])
        }}
        className="grid gap-3"
      >
        {open.error !== undefined && <ProblemNotice error={open.error} onDismiss={open.clear} />}
        {everybody.state === 'failed' && <ProblemNotice error={everybody.error} onRetry={everybody.reload} />}
        <input
          type="search"
          aria-label="To"
          placeholder="Name of a person or an agent"
          value={words}
          onChange={(event) => setWords(event.target.value)}
          className={`${inputClass} h-9 pointer-coarse:h-11`}
        />
        {everybody.state === 'loading' && (
          <Loading of="the people">
            <Bar className="h-5 w-2/3" />
          </Loading>
        )}
        {everybody.state === 'ready' && shown.length === 0 && (
          <p role="status" className="py-4 text-center text-quiet">
            {words === '' ? 'There is nobody else in this workspace yet.' : 'Nobody goes by that name.'}
          </p>
        )}
        <ul className="grid max-h-72 auto-rows-max grid-cols-[minmax(0,1fr)] overflow-y-auto">
          {shown.map((each) => (
            <li key={each.id}>
              <button
                type="button"
                disabled={open.busy}
                onClick={() => open.run(each)}
                className="flex h-10 w-full items-center gap-2.5 rounded-control px-1.5 text-left hover:bg-hover pointer-coarse:h-11"
              >
                <MemberMark kind={each.kind} name={each.name} size="small" />
                <span className="min-w-0 flex-1 truncate">{each.name}</span>
                {each.kind === 'agent' && <span className="text-sm text-quiet">agent</span>}
              </button>
            </li>
          ))}
        </ul>
      </form>
    </Dialog>
  )
}
