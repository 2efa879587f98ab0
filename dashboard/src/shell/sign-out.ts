import type { AtomClient } from '@atom/client'
import { forgetDrafts } from '../rooms/unsent-text.ts'

/** Ends the session, and leaves nothing half-written for the next person at this machine. */
export async function signOut(atom: AtomClient): Promise<void> {
  forgetDrafts()
  // Without a server the session still ends here; the server's own end comes with its expiry.
  await atom.session.logout().catch(() => undefined)
}
