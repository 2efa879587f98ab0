import type { ReactNode } from 'react'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'

/** Asks once before something that cannot be taken back. Enter does it, Esc leaves it. */
export function ConfirmDialog({
  title,
  action,
  onConfirm,
  onClose,
  children,
}: {
  title: string
  /** What the button says. */
  action: string
  onConfirm: () => Promise<unknown>
  onClose: () => void
  children: ReactNode
}) {
  const confirm = useAction(async () => {
    await onConfirm()
    onClose()
  })
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          confirm.run()
        }}
        className="grid gap-4"
      >
        {confirm.error !== undefined && <ProblemNotice error={confirm.error} />}
        {children}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="danger" busy={confirm.busy} autoFocus>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
