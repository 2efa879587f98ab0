import type { Connection, ProviderView } from '@atom/contract/connections.ts'
import { useId, useState } from 'react'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { connectAccount } from './connect-account.ts'
import { ConnectProblem } from './connect-problem.tsx'
import { furtherScopes } from './further-scopes.ts'

/** Lets the person allow more than they did; consent is asked for at the provider, for the same account. */
export function WidenForm({ connection, provider }: { connection: Connection; provider: ProviderView }) {
  const id = useId()
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const widen = useAction(async () => {
    await connectAccount(connection.provider, { connectionId: connection.id, scopes: [...chosen] })
    setChosen(new Set())
  })
  const offered = furtherScopes(connection, provider)
  if (offered.length === 0) return null
  return (
    <details className="group">
      <summary className="inline-flex items-center gap-1 rounded-control text-accent-text underline underline-offset-2">
        Allow more
      </summary>
      <div className="mt-3 grid gap-3">
        <ul className="grid gap-2">
          {offered.map(({ scope, meaning }) => (
            <li key={scope} className="flex items-start gap-2.5">
              <input
                type="checkbox"
                id={`${id}-${scope}`}
                checked={chosen.has(scope)}
                onChange={({ target: { checked } }) => {
                  const next = new Set(chosen)
                  if (checked) next.add(scope)
                  else next.delete(scope)
                  setChosen(next)
                }}
                className="mt-[3px] size-4 shrink-0 accent-accent"
              />
              <label htmlFor={`${id}-${scope}`} className="min-w-0">
                {meaning}
                {meaning !== scope && (
                  <code className="block font-mono text-xs break-all text-quiet">{scope}</code>
                )}
              </label>
            </li>
          ))}
        </ul>
        <ConnectProblem error={widen.error} onDismiss={widen.clear} />
        <Button
          className="justify-self-start"
          disabled={chosen.size === 0}
          busy={widen.busy}
          onClick={() => widen.run()}
        >
          Ask {provider.name}
        </Button>
      </div>
    </details>
  )
}
