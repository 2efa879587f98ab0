import { AtomClientError } from '@atom/client'
import type { Choice } from '@atom/contract/rooms.ts'
import { Link } from '@tanstack/react-router'
import { use } from 'react'
import { connectAccount } from '../connections/connect-account.ts'
import { ProviderMark } from '../connections/provider-mark.tsx'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { LastPersonContext, useRoomView } from './room-context.ts'
import type { TurnFacts } from './timeline.ts'

/** Buttons under an answer. One that sends a text is gone once somebody has answered; one that connects stays. */
export function Choices({ choices, turn }: { choices: readonly Choice[]; turn: TurnFacts }) {
  const { say } = useRoomView()
  const lastPersonAt = use(LastPersonContext)
  const connect = useAction(connectAccount)
  const answered = turn.startedAt !== undefined && lastPersonAt > turn.startedAt
  const shown = choices.filter((choice) => choice.connect !== undefined || !answered)
  if (shown.length === 0) return null
  return (
    <div className="mt-2.5 grid gap-2">
      <div className="flex flex-wrap gap-2">
        {shown.map((choice) => {
          const { connect: provider, send } = choice
          if (provider !== undefined) {
            return (
              <Button key={choice.label} busy={connect.busy} onClick={() => connect.run(provider)}>
                <ProviderMark provider={provider} size={16} />
                {choice.label}
              </Button>
            )
          }
          return (
            <Button key={choice.label} onClick={() => say(send ?? choice.label)}>
              {choice.label}
            </Button>
          )
        })}
      </div>
      <ConnectTrouble error={connect.error} onDismiss={connect.clear} />
    </div>
  )
}

function ConnectTrouble({ error, onDismiss }: { error: unknown; onDismiss: () => void }) {
  if (error === undefined) return null
  if (error instanceof AtomClientError && error.code === 'window_closed') return null
  if (error instanceof AtomClientError && error.code === 'provider_not_configured') {
    return (
      <Notice
        tone="plain"
        title="No app is set up for this provider yet"
        onDismiss={onDismiss}
        actions={
          <Link to="/connections" className={buttonClass('plain')}>
            Open Connections
          </Link>
        }
      >
        The Connections page offers the sandbox, or takes the app of your own.
      </Notice>
    )
  }
  return <ProblemNotice error={error} onDismiss={onDismiss} />
}
