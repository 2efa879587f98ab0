import { accountRoutes, limits } from '@atom/contract/accounts.ts'
import { type FormEvent, useRef, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { fieldProblem } from '../sign-in/form-problem.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Notice } from '../ui/notice.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { TextField } from '../ui/text-field.tsx'
import { RelativeTime } from '../ui/time.tsx'

const askInvitations = () => atom.call(accountRoutes.invitations, { query: { limit: 200 } })

/** Atom sends no mail: the link is shown once, to be passed on by the person who invites. */
export function Invitations() {
  const form = useRef<HTMLFormElement>(null)
  const invitations = useAnswer(askInvitations)
  const [link, setLink] = useState<{ email: string; url: string }>()
  const invite = useAction(async (email: string, role: 'admin' | 'member') => {
    const { url } = await atom.call(accountRoutes.invite, { body: { email, role } })
    setLink({ email, url })
    form.current?.reset()
    invitations.reload()
  })
  const withdraw = useAction(async (id: string) => {
    await atom.call(accountRoutes.withdrawInvitation, { params: { id } })
    invitations.reload()
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const data = new FormData(event.currentTarget)
    invite.run(String(data.get('email')).trim(), data.get('role') === 'admin' ? 'admin' : 'member')
  }

  const emailProblem = fieldProblem(invite.error, 'email')
  const open =
    invitations.state === 'ready' ? invitations.value.items.filter((item) => item.acceptedAt === null) : []
  return (
    <>
      <form
        ref={form}
        onSubmit={submit}
        className="flex flex-wrap items-start gap-3"
        aria-label="Invite a person"
      >
        <TextField
          label="E-mail"
          name="email"
          type="email"
          maxLength={limits.emailLength}
          required
          autoComplete="off"
          className="min-w-56 flex-1"
          problem={emailProblem}
        />
        <label className="grid gap-1.5 font-medium">
          Role
          <select
            name="role"
            className="h-9 rounded-control border border-edge bg-page px-2 font-normal pointer-coarse:h-11"
            defaultValue="member"
          >
            <option value="member">member</option>
            <option value="admin">admin</option>
          </select>
        </label>
        <Button type="submit" busy={invite.busy} className="mt-7 h-9">
          Invite
        </Button>
      </form>
      {invite.error !== undefined && emailProblem === undefined && (
        <ProblemNotice error={invite.error} onDismiss={invite.clear} />
      )}
      {link !== undefined && (
        <Notice tone="good" title={`Give this link to ${link.email}`} onDismiss={() => setLink(undefined)}>
          <p>It works once, and is shown only now.</p>
          <span className="mt-2 flex items-center justify-between gap-2 rounded-control border border-line bg-page py-1 pr-1 pl-2.5">
            <code className="font-mono text-sm break-all select-all">{link.url}</code>
            <CopyButton text={link.url} what="invitation link" />
          </span>
        </Notice>
      )}
      {withdraw.error !== undefined && <ProblemNotice error={withdraw.error} onDismiss={withdraw.clear} />}
      {invitations.state === 'failed' && (
        <ProblemNotice error={invitations.error} onRetry={invitations.reload} />
      )}
      {invitations.state === 'loading' && (
        <Loading of="the invitations">
          <Bar className="h-5 w-72" />
        </Loading>
      )}
      {open.length > 0 && (
        <ul className="grid gap-2">
          {open.map((invitation) => (
            <li key={invitation.id} className="flex flex-wrap items-center gap-x-3 gap-y-1">
              <span className="min-w-0 flex-1 truncate">{invitation.email}</span>
              <span className="text-sm text-quiet">
                {invitation.role} · {Date.parse(invitation.expiresAt) > Date.now() ? 'expires' : 'expired'}{' '}
                <RelativeTime at={invitation.expiresAt} />
              </span>
              <Button
                look="quiet"
                disabled={withdraw.busy}
                aria-label={`Withdraw the invitation of ${invitation.email}`}
                onClick={() => withdraw.run(invitation.id)}
              >
                Withdraw
              </Button>
            </li>
          ))}
        </ul>
      )}
    </>
  )
}
