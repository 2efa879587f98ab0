import { AtomClientError } from '@atom/client'
import { atom } from '../shell/atom.ts'

/**
 * Renews the access now. That it is lost is no failure of the question but its answer, which the connection then says itself.
 * @throws AtomClientError where nothing could be found out
 */
export async function checkConnection(id: string): Promise<void> {
  try {
    await atom.connections.refresh(id)
  } catch (thrown) {
    const connection = await atom.connections.get(id)
    const answered = thrown instanceof AtomClientError && thrown.code === 'connection_needs_reconnect'
    if (!answered || connection.status !== 'needs_reconnect') throw thrown
  }
}
