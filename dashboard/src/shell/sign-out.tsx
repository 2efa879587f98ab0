import { useEffect } from 'react'
import { forgetDrafts } from '../rooms/unsent-text.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { atom } from './atom.ts'
import { ProblemNotice } from './problem.tsx'
import { useAction } from './use-action.ts'

let onPurpose = false

/** Whether the person left by themselves; then the next one to sign in here starts anew. Asked once for each leaving. */
export function leftOnPurpose(): boolean {
  const answer = onPurpose
  onPurpose = false
  return answer
}

/**
 * Ends the session, and leaves nothing half-written for the next person at this machine. Shows itself only where the server
 * could not be told: the session then goes on, and nobody may believe otherwise.
 */
export function SignOut({ onClose }: { onClose: () => void }) {
  const { run, busy, error } = useAction(async () => {
    onPurpose = true
    try {
      await atom.session.logout()
    } catch (thrown) {
      onPurpose = false
      throw thrown
    }
    forgetDrafts()
  })
  useEffect(() => run(), [run])
  if (error === undefined) return null
  return (
    <Dialog title="You are still signed in" onClose={onClose}>
      <ProblemNotice error={error} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Stay</Button>
        <Button look="primary" busy={busy} onClick={() => run()}>
          Sign out
        </Button>
      </div>
    </Dialog>
  )
}
