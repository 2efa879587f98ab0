import type { useNavigate } from '@tanstack/react-router'
import { atom } from '../shell/atom.ts'

/** A new person lands in a room, not in a list. Where the list cannot be had, the rooms page says why. */
export async function enterFirstRoom(navigate: ReturnType<typeof useNavigate>): Promise<void> {
  const [first] = await atom.rooms.list().catch(() => [])
  if (first === undefined) await navigate({ to: '/rooms', replace: true })
  else await navigate({ to: '/rooms/$roomId', params: { roomId: first.id }, replace: true })
}
