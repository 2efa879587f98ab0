import { AtomClientError, type AuthorizeOptions } from '@atom/client'
import type { Connection } from '@atom/contract/connections.ts'
import { atom } from '../shell/atom.ts'

/**
 * Consent in a window of its own, or in this one where the browser blocks that. Call it directly in the click handler. Where
 * this window has to leave, it comes back to the Connections page, which says what came of it.
 * @returns undefined where this page goes away
 * @throws AtomClientError `window_closed` where the person gave up, `provider_not_configured`, `consent_denied`, …
 */
export async function connectAccount(
  provider: string,
  options: Omit<AuthorizeOptions, 'mode'> = {},
): Promise<Connection | undefined> {
  const inPopup = await atom.connections.authorize(provider, { ...options, mode: 'popup' })
  const ended =
    inPopup.outcome === 'popup_blocked'
      ? await atom.connections.authorize(provider, { ...options, mode: 'redirect' })
      : inPopup
  if (ended.outcome === 'connected') return ended.connection
  if (ended.outcome === 'leaving') return undefined
  throw ended.problem
}

/** The person closed the window: their decision, and nothing to be told about. */
export function isGivenUp(error: unknown): boolean {
  return error instanceof AtomClientError && error.code === 'window_closed'
}
