import type { Connection } from '@atom/contract/connections.ts'
import { useNavigate } from '@tanstack/react-router'
import { isOperator, useMe } from '../shell/atom.ts'
import { useAction } from '../shell/use-action.ts'
import { checkConnection } from './check-connection.ts'
import { connectAccount } from './connect-account.ts'
import { opensWindow } from './flow-words.ts'
import { type MendOffer, mendOffer } from './mend-offer.ts'

export interface Mend {
  /** undefined: nothing to mend, or nothing that this person can do about it. */
  readonly offer: MendOffer | undefined
  readonly run: () => void
  readonly busy: boolean
  readonly error: unknown
  readonly clear: () => void
}

/** The one button that mends a connection, as the server names it, and what it does. */
export function useMend(connection: Connection): Mend {
  const navigate = useNavigate()
  const operator = isOperator(useMe())
  const { id, provider, flow, missingScopes } = connection
  const offer = mendOffer(connection, operator)
  const { run, busy, error, clear } = useAction(async () => {
    switch (offer?.does) {
      case 'reconnect':
        // A key or a code is entered at the account.
        if (opensWindow(flow)) await connectAccount(provider, { connectionId: id, flow })
        else
          await navigate({
            to: '/connections/$connectionId',
            params: { connectionId: id },
            search: (kept) => kept,
          })
        return
      case 'allow_more':
        // What came by a code or a key is allowed more in a window all the same: that is where scopes are asked for.
        await connectAccount(provider, {
          connectionId: id,
          scopes: missingScopes,
          flow: opensWindow(flow) ? flow : 'authorization_code',
        })
        return
      case 'show_request':
        await navigate({
          to: '/connections/$connectionId',
          params: { connectionId: id },
          search: (kept) => kept,
        })
        return
      case 'open_setup':
        await navigate({ to: '/connections/catalogue/$provider/setup', params: { provider } })
        return
      case 'check':
        await checkConnection(id)
        return
      default:
    }
  })
  return { offer, run, busy, error, clear }
}
