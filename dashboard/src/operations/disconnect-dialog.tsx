import { type OpenSocket, operationRoutes } from '@atom/contract/operations.ts'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'

export function DisconnectDialog({
  socket,
  node,
  onClose,
  onDone,
}: {
  socket: OpenSocket
  /** The process that has it; whichever answers where none is named. */
  node: string | undefined
  onClose: () => void
  onDone: () => void
}) {
  const end = useAction(async (comeBack: boolean) => {
    await atom.call(operationRoutes.disconnectSocket, {
      params: { id: socket.id },
      body: { comeBack, ...(node !== undefined && { node }) },
    })
    onDone()
    onClose()
  })
  return (
    <Dialog title={`Disconnect ${socket.account.name}?`} onClose={onClose}>
      <dl className="grid gap-2">
        <div>
          <dt className="font-medium">Move</dt>
          <dd className="text-quiet">
            It comes back by itself, where your balancer sends it, and misses nothing.
          </dd>
        </div>
        <div>
          <dt className="font-medium">Disconnect</dt>
          <dd className="text-quiet">
            It stays away until {socket.account.name} reloads. The session stays: end that to keep somebody
            out.
          </dd>
        </div>
      </dl>
      {end.error !== undefined && <ProblemNotice error={end.error} onDismiss={end.clear} />}
      <div className="flex flex-wrap justify-end gap-2">
        <Button onClick={onClose}>Leave it</Button>
        <Button disabled={end.busy} onClick={() => end.run(true)}>
          Move
        </Button>
        <Button look="danger" disabled={end.busy} onClick={() => end.run(false)}>
          Disconnect
        </Button>
      </div>
    </Dialog>
  )
}
