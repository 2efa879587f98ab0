import { accountRoutes } from '@atom/contract/accounts.ts'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { browserName } from './browser-name.ts'

const askSessions = () => atom.call(accountRoutes.sessions, { query: { limit: 200 } })

export function Sessions() {
  const sessions = useAnswer(askSessions)
  const end = useAction(async (id: string) => {
    await atom.call(accountRoutes.endSession, { params: { id } })
    sessions.reload()
  })
  if (sessions.state === 'failed') return <ProblemNotice error={sessions.error} onRetry={sessions.reload} />
  if (sessions.state === 'loading') {
    return (
      <Loading of="your sessions">
        <Bar className="h-5 w-72" />
      </Loading>
    )
  }
  return (
    <>
      {end.error !== undefined && <ProblemNotice error={end.error} onDismiss={end.clear} />}
      <ul className="grid gap-3">
        {sessions.value.items.map((session) => (
          <li key={session.id} className="flex min-h-8 flex-wrap items-center gap-x-3 gap-y-1">
            <span className="min-w-0 flex-1 truncate" title={session.userAgent}>
              {browserName(session.userAgent)}
            </span>
            <span className="text-sm text-quiet">
              {session.current ? (
                'this one'
              ) : (
                <>
                  used <RelativeTime at={session.lastUsedAt} />
                </>
              )}
            </span>
            {!session.current && (
              <Button
                look="quiet"
                disabled={end.busy}
                aria-label={`End the session of ${browserName(session.userAgent)}`}
                onClick={() => end.run(session.id)}
              >
                End
              </Button>
            )}
          </li>
        ))}
      </ul>
    </>
  )
}
