import type { Room } from '@atom/client'
import { accountRoutes } from '@atom/contract/accounts.ts'
import type { Member } from '@atom/contract/rooms.ts'
import { atom } from '../shell/atom.ts'
import { AtomMark } from '../shell/atom-mark.tsx'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Avatar } from '../ui/avatar.tsx'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'

const askPeople = () => atom.call(accountRoutes.members, { query: { limit: 200 } })

/** Who is here, and who of the workspace could be. */
export function MembersDialog({
  room,
  members,
  onClose,
}: {
  room: Room
  members: readonly Member[]
  onClose: () => void
}) {
  const people = useAnswer(askPeople)
  const add = useAction((id: string) => room.addMember({ kind: 'account', id }))
  const here = new Set(members.map((member) => member.id))
  const others =
    people.state === 'ready' ? people.value.items.filter(({ account }) => !here.has(account.id)) : []
  return (
    <Dialog title="Members" onClose={onClose}>
      <ul className="grid gap-2">
        {members.map((member) => (
          <li key={member.id} className="flex min-h-8 items-center gap-2.5">
            {member.kind === 'agent' ? (
              <span className="grid size-8 place-items-center rounded-full bg-accent-wash text-accent-text">
                <AtomMark size={18} />
              </span>
            ) : (
              <Avatar name={member.name} />
            )}
            <span className="min-w-0 flex-1 truncate">{member.name}</span>
            <span className="text-sm text-quiet">{member.kind === 'agent' ? 'agent' : ''}</span>
          </li>
        ))}
      </ul>
      {add.error !== undefined && <ProblemNotice error={add.error} onDismiss={add.clear} />}
      {people.state === 'failed' && <ProblemNotice error={people.error} onRetry={people.reload} />}
      {others.length > 0 && (
        <div className="grid gap-2 border-t border-line pt-4">
          <h3 className="text-sm text-quiet">In this workspace</h3>
          <ul className="grid gap-2">
            {others.map(({ account }) => (
              <li key={account.id} className="flex min-h-8 items-center gap-2.5">
                <Avatar name={account.name} />
                <span className="min-w-0 flex-1 truncate">{account.name}</span>
                <Button
                  disabled={add.busy}
                  aria-label={`Add ${account.name}`}
                  onClick={() => add.run(account.id)}
                >
                  Add
                </Button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </Dialog>
  )
}
