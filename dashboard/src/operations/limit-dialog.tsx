import { type LimitState, limitRoutes } from '@atom/contract/limits.ts'
import { useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/text-field.tsx'
import { amountText } from './amount-text.ts'

/** Changes one limit for everybody, after what it is and will be was seen side by side. */
export function LimitDialog({
  limit,
  onClose,
  onDone,
}: {
  limit: LimitState
  onClose: () => void
  onDone: () => void
}) {
  const [burst, setBurst] = useState(String(limit.burst))
  const [perSecond, setPerSecond] = useState(String(limit.perSecond))
  const params = { policy: limit.policy }
  const change = useAction(async () => {
    await atom.call(limitRoutes.changeLimit, {
      params,
      body: { burst: Number(burst), perSecond: Number(perSecond) },
    })
    onDone()
    onClose()
  })
  const reset = useAction(async () => {
    await atom.call(limitRoutes.resetLimit, { params })
    onDone()
    onClose()
  })
  const error = change.error ?? reset.error
  return (
    <Dialog title={`Change ${limit.policy}?`} onClose={onClose}>
      <p className="text-quiet">{limit.title}. It holds on all processes, from now on, for everybody.</p>
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault()
          change.run()
        }}
      >
        <TextField
          label="Points at once"
          type="number"
          required
          min={1}
          max={1_000_000}
          step={1}
          value={burst}
          hint={`Now ${amountText(limit.burst)}, usually ${amountText(limit.usual.burst)}.`}
          onChange={({ target }) => setBurst(target.value)}
        />
        <TextField
          label="Points per second"
          type="number"
          required
          min={0.001}
          max={1_000_000}
          step="any"
          value={perSecond}
          hint={`Now ${limit.perSecond.toLocaleString('en')}, usually ${limit.usual.perSecond.toLocaleString('en')}.`}
          onChange={({ target }) => setPerSecond(target.value)}
        />
        {error !== undefined && (
          <ProblemNotice
            error={error}
            onDismiss={() => {
              change.clear()
              reset.clear()
            }}
          />
        )}
        <div className="flex flex-wrap justify-end gap-2">
          <Button onClick={onClose}>Leave it</Button>
          {limit.changed !== null && (
            <Button busy={reset.busy} onClick={() => reset.run()}>
              As usual
            </Button>
          )}
          <Button type="submit" look="danger" busy={change.busy}>
            Change the limit
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
