import type { Connection, ProviderView } from '@atom/contract/connections.ts'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { isOperator, useMe } from '../shell/atom.ts'
import { useAction } from '../shell/use-action.ts'
import { adminRequest } from './admin-request.ts'
import { checkConnection } from './check-connection.ts'
import { connectAccount, isGivenUp } from './connect-account.ts'
import { type MendOffer, mendOffer } from './mend-offer.ts'

export interface Mend {
  /** undefined: nothing to mend, or nothing that this person can do about it. */
  readonly offer: MendOffer | undefined
  readonly run: () => void
  readonly busy: boolean
  readonly error: unknown
  readonly clear: () => void
  /** The words for the admin are in the clipboard. */
  readonly copied: boolean
}

/** The one button that mends a connection, as the server names it, and what it does. */
export function useMend(connection: Connection, provider: ProviderView | undefined): Mend {
  const navigate = useNavigate()
  const operator = isOperator(useMe())
  const [copied, setCopied] = useState(false)
  const offer = mendOffer(connection, operator)
  const { run, busy, error, clear } = useAction(async () => {
    switch (offer?.does) {
      case 'reconnect':
        await connectAccount(connection.provider, { connectionId: connection.id, flow: connection.flow })
        return
      case 'allow_more':
        await connectAccount(connection.provider, {
          connectionId: connection.id,
          scopes: [...new Set([...connection.askedScopes, ...connection.missingScopes])],
        })
        return
      case 'copy_request':
        await navigator.clipboard.writeText(adminRequest(connection, provider?.name ?? connection.provider))
        setCopied(true)
        return
      case 'open_setup':
        await navigate({
          to: '/connections/catalogue/$provider/setup',
          params: { provider: connection.provider },
        })
        return
      case 'check':
        await checkConnection(connection.id)
        return
      default:
    }
  })
  return { offer, run, busy, error: isGivenUp(error) ? undefined : error, clear, copied }
}
