import { limits } from '@atom/contract/accounts.ts'
import { Link, useNavigate } from '@tanstack/react-router'
import { type FormEvent, useSyncExternalStore } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { PasswordField } from '../ui/password-field.tsx'
import { TextField } from '../ui/text-field.tsx'
import { ArrivalPage } from './arrival-page.tsx'
import { arrivalToken } from './arrival-token.ts'
import { enterFirstRoom } from './enter-first-room.ts'
import { fieldProblem, isFieldProblem } from './form-problem.ts'

export function JoinPage() {
  const navigate = useNavigate()
  const token = useSyncExternalStore(arrivalToken.subscribe, () => arrivalToken.of('/join'))
  const join = useAction(async (body: Parameters<typeof atom.session.acceptInvitation>[0]) => {
    await atom.session.acceptInvitation(body)
    await enterFirstRoom(navigate)
    arrivalToken.forget()
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    if (token === undefined) return
    const form = new FormData(event.currentTarget)
    join.run({ token, name: String(form.get('name')).trim(), password: String(form.get('password')) })
  }

  if (token === undefined) {
    return (
      <ArrivalPage
        title="Open your invitation again"
        lead="The link is incomplete, or this page was reloaded. Open the whole link from your invitation, or ask for a new one."
      >
        <Link to="/sign-in" className={buttonClass('plain')}>
          Sign in instead
        </Link>
      </ArrivalPage>
    )
  }
  return (
    <ArrivalPage
      title="Join the workspace"
      lead="You were invited. Choose a name and a password, and you are in."
    >
      {join.error !== undefined && !isFieldProblem(join.error, ['name', 'password']) && (
        <ProblemNotice error={join.error} />
      )}
      <form onSubmit={submit} className="grid gap-4" aria-label="Join the workspace">
        <TextField
          label="Your name"
          name="name"
          autoComplete="name"
          maxLength={limits.nameLength}
          required
          autoFocus
          problem={fieldProblem(join.error, 'name')}
        />
        <PasswordField
          label="Password"
          name="password"
          autoComplete="new-password"
          maxLength={limits.passwordMax}
          required
          hint={`At least ${limits.passwordMin} characters; a sentence is a good one.`}
          problem={fieldProblem(join.error, 'password')}
        />
        <Button type="submit" look="primary" busy={join.busy} className="mt-1 h-9">
          Join
        </Button>
      </form>
    </ArrivalPage>
  )
}
