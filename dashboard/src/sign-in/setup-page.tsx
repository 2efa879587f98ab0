import { accountRoutes, limits } from '@atom/contract/accounts.ts'
import { Link, useNavigate } from '@tanstack/react-router'
import { type FormEvent, useSyncExternalStore } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { PasswordField } from '../ui/password-field.tsx'
import { TextField } from '../ui/text-field.tsx'
import { ArrivalPage } from './arrival-page.tsx'
import { arrivalToken } from './arrival-token.ts'
import { enterFirstRoom } from './enter-first-room.ts'
import { fieldProblem, isFieldProblem } from './form-problem.ts'

const fields = ['name', 'workspace', 'email', 'password']
const askSetupState = () => atom.call(accountRoutes.setupState)

export function SetupPage() {
  const navigate = useNavigate()
  const token = useSyncExternalStore(arrivalToken.subscribe, () => arrivalToken.of('/setup'))
  const setup = useAnswer(askSetupState)
  const found = useAction(async (body: Parameters<typeof atom.session.setup>[0]) => {
    await atom.session.setup(body)
    await enterFirstRoom(navigate)
    arrivalToken.forget()
  })

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    if (token === undefined) return
    const form = new FormData(event.currentTarget)
    const text = (name: string) => String(form.get(name)).trim()
    found.run({
      token,
      name: text('name'),
      workspace: text('workspace'),
      email: text('email'),
      password: String(form.get('password')),
    })
  }

  if (setup.state === 'ready' && !setup.value.open && !found.busy) {
    return (
      <ArrivalPage
        title="Atom is set up"
        lead="The first owner has arrived already. The setup link worked once."
      >
        <Link to="/sign-in" className={buttonClass('primary')}>
          Sign in
        </Link>
      </ArrivalPage>
    )
  }
  return (
    <ArrivalPage
      title="Welcome to Atom"
      lead="You are the first here: create your account and your workspace."
    >
      {token === undefined && (
        <Notice tone="warn" title="The setup link is incomplete">
          Open the whole link that the server printed when it started. It works once, and only as long as this
          page stays open.
        </Notice>
      )}
      {found.error !== undefined && !isFieldProblem(found.error, fields) && (
        <ProblemNotice error={found.error} />
      )}
      <form onSubmit={submit} className="grid gap-4" aria-label="Set up Atom">
        <TextField
          label="Your name"
          name="name"
          autoComplete="name"
          maxLength={limits.nameLength}
          required
          autoFocus
          problem={fieldProblem(found.error, 'name')}
        />
        <TextField
          label="Workspace"
          name="workspace"
          autoComplete="organization"
          maxLength={limits.nameLength}
          required
          hint="The name of your team or company."
          problem={fieldProblem(found.error, 'workspace')}
        />
        <TextField
          label="E-mail"
          name="email"
          type="email"
          autoComplete="username"
          maxLength={limits.emailLength}
          required
          problem={fieldProblem(found.error, 'email')}
        />
        <PasswordField
          label="Password"
          name="password"
          autoComplete="new-password"
          maxLength={limits.passwordMax}
          required
          hint={`At least ${limits.passwordMin} characters; a sentence is a good one.`}
          problem={fieldProblem(found.error, 'password')}
        />
        <Button
          type="submit"
          look="primary"
          busy={found.busy}
          disabled={token === undefined}
          className="mt-1 h-9"
        >
          Create account
        </Button>
      </form>
    </ArrivalPage>
  )
}
