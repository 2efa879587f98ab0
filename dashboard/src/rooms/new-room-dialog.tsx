import { limits, type Room } from '@atom/contract/rooms.ts'
import type { FormEvent } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { TextField } from '../ui/text-field.tsx'

export function NewRoomDialog({
  onClose,
  onCreated,
}: {
  onClose: () => void
  onCreated: (room: Room) => void
}) {
  const create = useAction(async (name: string) => onCreated(await atom.rooms.create(name)))
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const name = String(new FormData(event.currentTarget).get('name')).trim()
    if (name !== '') create.run(name)
  }
  return (
    <Dialog title="New room" onClose={onClose}>
      <form onSubmit={submit} className="grid gap-4">
        {create.error !== undefined && <ProblemNotice error={create.error} />}
        <TextField
          label="Name"
          name="name"
          maxLength={limits.roomNameLength}
          required
          autoComplete="off"
          hint="The agent is in it from the start; you add people later."
        />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={create.busy}>
            Create room
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
