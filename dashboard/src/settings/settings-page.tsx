import { accountRoutes } from '@atom/contract/accounts.ts'
import { type ReactNode, useEffect } from 'react'
import { atom, isOperator, useMe, useObserved } from '../shell/atom.ts'
import { useFrameDialogs } from '../shell/frame-dialogs.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { type Theme, theme } from '../shell/theme.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Avatar } from '../ui/avatar.tsx'
import { Button } from '../ui/button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Invitations } from './invitations.tsx'
import { Sessions } from './sessions.tsx'

const askMembers = () => atom.call(accountRoutes.members, { query: { limit: 200 } })

export function SettingsPage() {
  const me = useMe()
  const open = useFrameDialogs()
  useEffect(() => {
    document.title = 'Settings · Atom'
  }, [])
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <div className="mx-auto grid w-full max-w-[48rem] gap-10 px-4 pt-6 pb-12 md:px-8 md:pt-8">
        <h1 className="text-xl font-semibold">Settings</h1>
        <Section title="You">
          <div className="flex flex-wrap items-center gap-3">
            <Avatar name={me.account.name} />
            <div className="min-w-40 flex-1 leading-tight">
              <p className="font-medium">{me.account.name}</p>
              <p className="text-sm text-quiet">
                {me.account.email} · {me.role} of {me.workspace.name}
              </p>
            </div>
            <Button onClick={() => open('sign-out')}>Sign out</Button>
          </div>
          <ThemeChoice />
        </Section>
        <Section title="People">
          <People />
        </Section>
        {isOperator(me) && (
          <Section title="Invitations">
            <Invitations />
          </Section>
        )}
        <Section title="Where you are signed in">
          <Sessions />
        </Section>
      </div>
    </div>
  )
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="grid gap-4">
      <h2 className="border-b border-line pb-2 text-lg font-semibold">{title}</h2>
      {children}
    </section>
  )
}

const themes = [
  { value: 'light', words: 'Light' },
  { value: 'dark', words: 'Dark' },
  { value: 'system', words: 'As the system' },
] as const satisfies readonly { value: Theme; words: string }[]

function ThemeChoice() {
  const chosen = useObserved(theme)
  return (
    <fieldset className="flex flex-wrap items-center gap-x-4 gap-y-2">
      <legend className="float-left mr-2 font-medium">Theme</legend>
      {themes.map(({ value, words }) => (
        <label key={value} className="flex items-center gap-2 pointer-coarse:min-h-11">
          <input
            type="radio"
            name="theme"
            value={value}
            checked={chosen === value}
            onChange={() => theme.set(value)}
            className="size-4 accent-accent"
          />
          {words}
        </label>
      ))}
    </fieldset>
  )
}

function People() {
  const members = useAnswer(askMembers)
  if (members.state === 'failed') return <ProblemNotice error={members.error} onRetry={members.reload} />
  if (members.state === 'loading') {
    return (
      <Loading of="the people">
        <Bar className="h-8 w-64" />
      </Loading>
    )
  }
  return (
    <ul className="grid gap-3">
      {members.value.items.map(({ account, role }) => (
        <li key={account.id} className="flex items-center gap-3">
          <Avatar name={account.name} />
          <div className="min-w-0 flex-1 leading-tight">
            <p className="truncate font-medium">{account.name}</p>
            <p className="truncate text-sm text-quiet">{account.email}</p>
          </div>
          <span className="text-sm text-quiet">{role}</span>
        </li>
      ))}
    </ul>
  )
}
