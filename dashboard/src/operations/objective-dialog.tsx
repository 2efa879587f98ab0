import { monitoringRoutes, type Objective } from '@atom/contract/monitoring.ts'
import { useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/text-field.tsx'
import { objectiveName, promiseText } from './objective-words.ts'

/** Says anew what is promised, and whether anybody is told when it is missed. */
export function ObjectiveDialog({
  objective,
  onClose,
  onDone,
}: {
  objective: Objective
  onClose: () => void
  onDone: () => void
}) {
  const [percent, setPercent] = useState(String(rounded(objective.target * 100)))
  const [thresholdMs, setThresholdMs] = useState(String(objective.thresholdMs ?? ''))
  const [leastBad, setLeastBad] = useState(String(objective.leastBad))
  const [enabled, setEnabled] = useState(objective.enabled)
  const change = useAction(async () => {
    await atom.call(monitoringRoutes.changeObjective, {
      params: { id: objective.id },
      body: {
        target: rounded(Number(percent) / 100),
        ...(objective.thresholdMs !== null && { thresholdMs: Number(thresholdMs) }),
        leastBad: Number(leastBad),
        enabled,
      },
    })
    onDone()
    onClose()
  })
  return (
    <Dialog title={`${objectiveName(objective)}: what is promised`} onClose={onClose}>
      <p className="text-quiet">Now {promiseText(objective)}. It is judged anew from the last three days.</p>
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          change.run()
        }}
      >
        <TextField
          label="Percent of requests"
          type="number"
          required
          min={50.1}
          max={99.999}
          step="any"
          value={percent}
          hint="The more is promised, the less may go wrong."
          onChange={({ target }) => setPercent(target.value)}
        />
        {objective.thresholdMs !== null && (
          <TextField
            label="Answered within, in ms"
            type="number"
            required
            min={1}
            max={600_000}
            step={1}
            value={thresholdMs}
            onChange={({ target }) => setThresholdMs(target.value)}
          />
        )}
        <TextField
          label="Fewest failures that are told"
          type="number"
          required
          min={1}
          max={1_000_000}
          step={1}
          value={leastBad}
          hint="One failure of three requests is no trend."
          onChange={({ target }) => setLeastBad(target.value)}
        />
        <label className="flex items-center gap-2.5 pointer-coarse:min-h-11">
          <input type="checkbox" checked={enabled} onChange={() => setEnabled(!enabled)} />
          Tell when it is missed
        </label>
        {change.error !== undefined && <ProblemNotice error={change.error} onDismiss={change.clear} />}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          <Button type="submit" look="primary" busy={change.busy}>
            Change
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

/** 99.9 / 100 is not 0.999 in binary. */
function rounded(value: number): number {
  return Number(value.toPrecision(7))
}
