import { AtomClientError } from '@atom/client'
import { accountRoutes } from '@atom/contract/accounts.ts'
import { useNavigate, useRouter, useSearch } from '@tanstack/react-router'
import { type FormEvent, useEffect } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { PasswordField } from '../ui/password-field.tsx'
import { TextField } from '../ui/text-field.tsx'
import { ArrivalPage } from './arrival-page.tsx'

const askSetupState = () => atom.call(accountRoutes.setupState)

export function SignInPage() {
  const { next } = useSearch({ from: '/sign-in' })
  const router = useRouter()
  const navigate = useNavigate()
  const session = useObserved(atom.session)
  const setup = useAnswer(askSetupState)
  const signIn = useAction((email: string, password: string) => atom.session.login({ email, password }))

  useEffect(() => {
    if (session.state !== 'signed_in') return
    if (next === undefined) void navigate({ to: '/rooms', replace: true })
    else router.history.replace(next)
  }, [session.state, next, navigate, router])

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    signIn.run(String(form.get('email')).trim(), String(form.get('password')))
  }

  const wrong = signIn.error instanceof AtomClientError && signIn.error.code === 'invalid_credentials'
  return (
    <ArrivalPage title="Sign in" lead="Talk with your agents; they act on the accounts you connect.">
      {setup.state === 'ready' && setup.value.open && (
        <Notice tone="plain" title="This server waits for its first owner">
          Open the setup link that the server printed when it started.
        </Notice>
      )}
      {signIn.error !== undefined && !wrong && <ProblemNotice error={signIn.error} />}
      <form onSubmit={submit} className="grid gap-4" aria-label="Sign in">
        <TextField label="E-mail" name="email" type="email" autoComplete="username" required autoFocus />
        <PasswordField
          label="Password"
          name="password"
          autoComplete="current-password"
          required
          problem={wrong ? 'E-mail or password is wrong.' : undefined}
        />
        <Button type="submit" look="primary" busy={signIn.busy} className="mt-1 h-9">
          Sign in
        </Button>
      </form>
      <p className="text-sm text-quiet">No account? Ask an owner of your workspace for an invitation.</p>
    </ArrivalPage>
  )
}
