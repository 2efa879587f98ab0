import type { LiveConnection } from './connection-store.ts'
import type { CredentialPlace } from './credential-vault.ts'

/** Where a credential is sealed: each of a connection has a place of its own. */
export function placeOf(
  { workspaceId, id, further, generation: current }: LiveConnection,
  generation: number = current,
): CredentialPlace {
  return { workspaceId, connectionId: id, generation, further }
}

/** Of the credential: each of a connection is opened and refreshed by itself. */
export function nameOf({ id, further }: LiveConnection): string {
  return further === undefined ? id : `${id} ${further}`
}
