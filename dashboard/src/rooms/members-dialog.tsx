import type { PresenceState, Room } from '@atom/client'
import { accountRoutes } from '@atom/contract/accounts.ts'
import type { Member, Room as RoomDescription, RoomRole } from '@atom/contract/rooms.ts'
import { useNavigate } from '@tanstack/react-router'
import { type FormEvent, useState } from 'react'
import { atom, isOperator, useMe } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { fieldProblem } from '../sign-in/form-problem.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Notice } from '../ui/notice.tsx'
import { TextField } from '../ui/text-field.tsx'
import { MemberMark } from './member-mark.tsx'
import { askEverybody, named } from './people.ts'
import { usePresence } from './use-presence.ts'

/** More than this many are shown only when they are searched for. */
const mostShown = 8
/** More than this many are searched. */
const manyMembers = 12

/** Who is here and as what, who of the workspace could be, and a link for who is not in the workspace yet. */
export function MembersDialog({
  room,
  description,
  onClose,
}: {
  room: Room
  description: RoomDescription
  onClose: () => void
}) {
  const me = useMe()
  const navigate = useNavigate()
  const everybody = useAnswer(askEverybody)
  const [words, setWords] = useState('')
  const [wanted, setWanted] = useState('')
  // One at a time, and the failure of the last one shown.
  const act = useAction((work: () => Promise<unknown>) => work())
  const { members, role, kind } = description
  const present = usePresence([room.id]).get(room.id)
  const here = new Set(members.map((member) => member.id))
  const others = everybody.state === 'ready' ? everybody.value.filter(({ id }) => !here.has(id)) : []
  const shown = named(others, words)
  return (
    <Dialog title="Members" wide onClose={onClose}>
      {act.error !== undefined && <ProblemNotice error={act.error} onDismiss={act.clear} />}
      {members.length > manyMembers && (
        <TextField
          label="Search the members"
          type="search"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
        />
      )}
      <ul
        aria-label="Members of this room"
        className="-mx-1 grid max-h-72 auto-rows-max grid-cols-[minmax(0,1fr)] gap-1 overflow-y-auto px-1 py-0.5"
      >
        {named(members, wanted).map((member) => (
          <MemberLine
            key={member.id}
            member={member}
            state={present?.get(member.id)}
            isMe={member.id === me.account.id}
            mine={role}
            isGroup={kind === 'group'}
            busy={act.busy}
            onRole={(next) => act.run(() => room.setRole(member.id, next))}
            onRemove={() => act.run(() => room.removeMember(member.id))}
            onMessage={() =>
              act.run(async () => {
                if (member.kind === 'system') return
                const { id } = await atom.rooms.direct({ kind: member.kind, id: member.id })
                onClose()
                await navigate({ to: '/rooms/$roomId', params: { roomId: id } })
              })
            }
          />
        ))}
      </ul>
      {everybody.state === 'failed' && <ProblemNotice error={everybody.error} onRetry={everybody.reload} />}
      {kind === 'group' && others.length > 0 && (
        <div className="grid gap-2 border-t border-line pt-4">
          <h3 className="text-sm text-quiet">In this workspace</h3>
          {others.length > mostShown && (
            <TextField
              label="Search the workspace"
              type="search"
              value={words}
              onChange={(event) => setWords(event.target.value)}
            />
          )}
          <ul className="grid max-h-56 auto-rows-max grid-cols-[minmax(0,1fr)] gap-1 overflow-y-auto">
            {shown.slice(0, words === '' ? mostShown : 50).map((each) => (
              <li key={each.id} className="flex min-h-9 items-center gap-2.5">
                <MemberMark kind={each.kind} name={each.name} />
                <span className="min-w-0 flex-1 truncate">{each.name}</span>
                <Button
                  disabled={act.busy}
                  aria-label={`Add ${each.name}`}
                  onClick={() => act.run(() => room.addMember({ kind: each.kind, id: each.id }))}
                >
                  Add
                </Button>
              </li>
            ))}
          </ul>
        </div>
      )}
      {kind === 'group' && isOperator(me) && <InviteHere roomId={room.id} />}
    </Dialog>
  )
}

const roleWords: Record<RoomRole, string> = { owner: 'owner', admin: 'admin', member: 'member' }

function MemberLine({
  member,
  state,
  isMe,
  mine,
  isGroup,
  busy,
  onRole,
  onRemove,
  onMessage,
}: {
  member: Member
  state: PresenceState | undefined
  isMe: boolean
  /** My own role here. */
  mine: RoomRole
  isGroup: boolean
  busy: boolean
  onRole: (role: RoomRole) => void
  onRemove: () => void
  onMessage: () => void
}) {
  // As the server decides: an admin governs everybody but owners, and makes nobody one.
  const governs = isGroup && (mine === 'owner' || (mine === 'admin' && member.role !== 'owner'))
  const isAgent = member.kind === 'agent'
  return (
    <li className="flex min-h-9 flex-wrap items-center gap-x-2 gap-y-1">
      <MemberMark kind={member.kind} name={member.name} state={state} />
      <span className="min-w-24 flex-1 truncate">
        <bdi>{member.name}</bdi>
        {isMe && <span className="text-quiet"> (you)</span>}
      </span>
      {!isMe && isGroup && (
        <Button look="quiet" disabled={busy} aria-label={`Message ${member.name}`} onClick={onMessage}>
          Message
        </Button>
      )}
      {governs && !isAgent ? (
        <select
          aria-label={`Role of ${member.name}`}
          value={member.role}
          // Not `disabled`, which would take the focus from who goes through the roles by key.
          aria-disabled={busy}
          onChange={(event) => onRole(event.target.value as RoomRole)}
          className="h-8 rounded-control border border-edge bg-page px-1.5 pointer-coarse:h-11"
        >
          {(['owner', 'admin', 'member'] as const)
            .filter((each) => each !== 'owner' || mine === 'owner')
            .map((each) => (
              <option key={each} value={each}>
                {roleWords[each]}
              </option>
            ))}
        </select>
      ) : (
        <span className="text-sm text-quiet">
          {isAgent ? 'agent' : isGroup ? roleWords[member.role] : ''}
        </span>
      )}
      {governs && !isMe && (
        <Button look="quiet" disabled={busy} aria-label={`Remove ${member.name}`} onClick={onRemove}>
          Remove
        </Button>
      )}
    </li>
  )
}

/** For who is not in the workspace yet: the link brings them into it and straight into this room. */
function InviteHere({ roomId }: { roomId: string }) {
  const [link, setLink] = useState<{ email: string; url: string }>()
  const invite = useAction(async (email: string) => {
    const { url } = await atom.call(accountRoutes.invite, {
      body: { email, role: 'member', roomIds: [roomId] },
    })
    setLink({ email, url })
  })
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    invite.run(String(new FormData(event.currentTarget).get('email')).trim())
  }
  const problem = fieldProblem(invite.error, 'email')
  return (
    <div className="grid gap-2 border-t border-line pt-4">
      {link === undefined ? (
        <form onSubmit={submit} className="flex items-start gap-2" aria-label="Invite into this room">
          <TextField
            label="Invite somebody new"
            name="email"
            type="email"
            placeholder="E-mail"
            required
            autoComplete="off"
            className="min-w-0 flex-1"
            problem={problem}
          />
          <Button type="submit" busy={invite.busy} className="mt-7 h-9">
            Get a link
          </Button>
        </form>
      ) : (
        <Notice tone="good" title={`Give this link to ${link.email}`} onDismiss={() => setLink(undefined)}>
          <p>It works once, is shown only now, and leads into this room.</p>
          <span className="mt-2 flex items-center justify-between gap-2 rounded-control border border-line bg-page py-1 pr-1 pl-2.5">
            <code className="font-mono text-sm break-all select-all">{link.url}</code>
            <CopyButton text={link.url} what="invitation link" />
          </span>
        </Notice>
      )}
      {invite.error !== undefined && problem === undefined && (
        <ProblemNotice error={invite.error} onDismiss={invite.clear} />
      )}
    </div>
  )
}
