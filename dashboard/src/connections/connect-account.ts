import { AtomClientError } from '@atom/client'
import type { Connection } from '@atom/contract/connections.ts'
import { atom } from '../shell/atom.ts'

/**
 * Consent in a window of its own, or in this one where the browser blocks that. Call it directly in the click handler. Where
 * this window has to leave, it comes back to the Connections page, which says what came of it.
 * @returns undefined where this page goes away
 * @throws AtomClientError `window_closed` where the person gave up, `provider_not_configured`, `consent_denied`, …
 */
export async function connectAccount(provider: string): Promise<Connection | undefined> {
  try {
    return await atom.connections.authorize(provider, { mode: 'popup' })
  } catch (error) {
    if (!(error instanceof AtomClientError && error.code === 'popup_blocked')) throw error
    return atom.connections.authorize(provider, { mode: 'redirect' })
  }
}
