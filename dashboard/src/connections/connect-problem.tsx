import { AtomClientError } from '@atom/client'
import { ProblemNotice, problemWords } from '../shell/problem.tsx'
import { Notice } from '../ui/notice.tsx'
import { isGivenUp } from './connect-account.ts'

/** Why nothing was connected. What the person decided themselves is no alarm, or is not mentioned at all. */
export function ConnectProblem({ error, onDismiss }: { error: unknown; onDismiss: () => void }) {
  if (error === undefined || isGivenUp(error)) return null
  const code = error instanceof AtomClientError ? error.code : undefined
  if (code !== 'consent_denied' && code !== 'other_account' && code !== 'flow_expired')
    return <ProblemNotice error={error} onDismiss={onDismiss} />
  const { title, next } = problemWords(error)
  return (
    <Notice tone={code === 'other_account' ? 'warn' : 'plain'} title={title} onDismiss={onDismiss}>
      {next}
    </Notice>
  )
}
