import { ProblemNotice } from '../shell/problem.tsx'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { TimeOfDay } from '../ui/time.tsx'
import type { Polled } from './use-polled.ts'

/** Why there is nothing to show, or how old it is what is shown; nothing while all is well. */
export function PolledProblem({ polled }: { polled: Polled<unknown> }) {
  if (polled.error === undefined) return null
  if (polled.value === undefined) return <ProblemNotice error={polled.error} onRetry={polled.again} />
  return (
    <Notice
      tone="warn"
      title="What you see is old"
      actions={<Button onClick={polled.again}>Try again</Button>}
    >
      The server did not answer. The newest is of <TimeOfDay at={polled.at ?? ''} />.
    </Notice>
  )
}
