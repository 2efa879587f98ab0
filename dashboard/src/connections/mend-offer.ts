import type { Connection } from '@atom/contract/connections.ts'

export interface MendOffer {
  readonly does: 'reconnect' | 'allow_more' | 'show_request' | 'open_setup' | 'check'
  readonly label: string
  /** Belongs into the row already: without it the connection does not work. */
  readonly prominent: boolean
}

/** What this person can do about a connection now; undefined where there is nothing, or nothing for them. */
export function mendOffer(
  connection: Pick<Connection, 'status' | 'remedy' | 'missingScopes'>,
  operator: boolean,
): MendOffer | undefined {
  const { status, remedy, missingScopes } = connection
  if (remedy !== undefined) {
    const prominent = status !== 'degraded' || remedy.action !== 'wait'
    switch (remedy.action) {
      case 'reconnect':
        return { does: 'reconnect', label: remedy.label, prominent }
      case 'allow_more':
        return { does: 'allow_more', label: remedy.label, prominent }
      case 'ask_admin':
        return { does: 'show_request', label: remedy.label, prominent }
      case 'configure_app':
        // Everybody else is told whose job it is by the status.
        return operator ? { does: 'open_setup', label: remedy.label, prominent } : undefined
      case 'wait':
        return { does: 'check', label: 'Check now', prominent }
    }
  }
  if (status === 'revoked' || status === 'needs_reconnect')
    return { does: 'reconnect', label: 'Reconnect', prominent: true }
  if (missingScopes.length > 0) return { does: 'allow_more', label: 'Allow the rest', prominent: false }
  return undefined
}
