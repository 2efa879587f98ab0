import { type LiveSummary, operationRoutes } from '@atom/contract/operations.ts'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { durationText, plural } from '../ui/clock-text.ts'
import { Dialog } from '../ui/dialog.tsx'

export function DrainDialog({
  summary,
  onClose,
  onDone,
}: {
  summary: LiveSummary
  onClose: () => void
  onDone: () => void
}) {
  const drain = useAction(async () => {
    await atom.call(operationRoutes.drain, { body: { confirm: summary.node, node: summary.node } })
    onDone()
    onClose()
  })
  return (
    <Dialog title="Drain this process?" onClose={onClose}>
      <div className="grid gap-2">
        <p>
          All {plural(summary.sockets, 'socket')} of <code className="font-mono text-xs">{summary.node}</code>{' '}
          are moved, in waves over {durationText(Math.max(summary.spreadMs, 100))}. Each client opens another
          one, where your balancer sends it, and misses nothing.
        </p>
        <p className="text-quiet">
          To empty the process for good, take it out of the balancer first, or stop it: that drains it, too.
        </p>
      </div>
      {drain.error !== undefined && <ProblemNotice error={drain.error} onDismiss={drain.clear} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave it</Button>
        <Button look="danger" busy={drain.busy} onClick={() => drain.run()}>
          Drain {plural(summary.sockets, 'socket')}
        </Button>
      </div>
    </Dialog>
  )
}
