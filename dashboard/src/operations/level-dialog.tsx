import { logRoutes, type ModuleLevel } from '@atom/contract/log.ts'
import { useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Choice } from './choice.tsx'
import { type LogLevel, logLevels } from './operations-search.ts'

const times = [
  ['15', '15 minutes'],
  ['60', 'an hour'],
  ['480', '8 hours'],
  ['1440', 'a day'],
] as const

/** Lets one part of the server say more, or less, on every node and for a while. */
export function LevelDialog({
  parts,
  onClose,
  onDone,
}: {
  parts: readonly ModuleLevel[]
  onClose: () => void
  onDone: () => void
}) {
  const [module, setModule] = useState(parts[0]?.module ?? '')
  const [level, setLevel] = useState<LogLevel>('debug')
  const [minutes, setMinutes] = useState<(typeof times)[number][0]>('15')
  const now = parts.find((part) => part.module === module)
  const change = useAction(async () => {
    await atom.call(logRoutes.setLogLevel, { params: { module }, body: { level, minutes: Number(minutes) } })
    onDone()
    onClose()
  })
  return (
    <Dialog title="How much a part says" onClose={onClose}>
      <p className="text-quiet">On every process. When the time is over it says as much as before.</p>
      <div className="grid gap-3 [&>label]:justify-between">
        <Choice
          label="Part"
          value={module}
          options={parts.map((part) => [part.module, part.module] as const)}
          onChoose={setModule}
        />
        <Choice
          label={`From level${now === undefined ? '' : ` (now ${now.level})`}`}
          value={level}
          options={logLevels.map((each) => [each, each] as const)}
          onChoose={setLevel}
        />
        <Choice label="For" value={minutes} options={times} onChoose={setMinutes} />
      </div>
      {change.error !== undefined && <ProblemNotice error={change.error} onDismiss={change.clear} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave it</Button>
        <Button look="primary" busy={change.busy} onClick={() => change.run()}>
          Change
        </Button>
      </div>
    </Dialog>
  )
}
