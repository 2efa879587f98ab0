import type { ProviderView } from '@atom/contract/connections.ts'
import { Link, useNavigate } from '@tanstack/react-router'
import { atom, isOperator, useMe } from '../shell/atom.ts'
import { useAction } from '../shell/use-action.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { categoryWords } from './category-words.ts'
import { connectAccount } from './connect-account.ts'
import { ConnectProblem } from './connect-problem.tsx'
import { ProviderMark } from './provider-mark.tsx'
import { useProviders } from './providers-context.ts'
import { needsForm, waysOf } from './ways.ts'

export function ProviderCard({ provider, accounts }: { provider: ProviderView; accounts: number }) {
  const operator = isOperator(useMe())
  const navigate = useNavigate()
  const ways = waysOf(provider, operator)
  const { reload } = useProviders()
  const connect = useAction(async (how: 'as_it_is' | 'in_the_sandbox') => {
    if (how === 'in_the_sandbox') {
      await atom.connections.openSandbox()
      reload()
    }
    const connection = await connectAccount(provider.id)
    if (connection !== undefined) await navigate({ to: '/connections', search: { connected: connection.id } })
  })
  return (
    <li
      aria-label={provider.name}
      className="relative grid content-start gap-3 rounded-card border border-line px-4 py-3 has-[a[aria-current]]:border-accent has-[a[aria-current]]:bg-panel hover:bg-panel"
    >
      <div className="flex min-w-0 items-center gap-3">
        <ProviderMark provider={provider.id} size={20} />
        <div className="min-w-0 flex-1">
          <h2>
            <Link
              to="/connections/catalogue/$provider"
              params={{ provider: provider.id }}
              search={(kept) => kept}
              data-row={provider.id}
              className="font-semibold outline-offset-[-2px] after:absolute after:inset-0"
              activeProps={{ 'aria-current': 'true' }}
            >
              {provider.name}
            </Link>
          </h2>
          <p className="truncate text-sm text-quiet">
            {[
              categoryWords[provider.category],
              accounts > 0 ? plural(accounts, 'account') : appWords(provider, operator, ways.length > 0),
            ].join(' · ')}
          </p>
        </div>
        {provider.app !== 'none' ? (
          needsForm(provider) ? (
            <Link
              to="/connections/catalogue/$provider"
              params={{ provider: provider.id }}
              search={(kept) => kept}
              aria-label={`Connect ${provider.name}`}
              className={`${buttonClass('plain')} relative`}
            >
              Connect
            </Link>
          ) : (
            <Button
              className="relative"
              busy={connect.busy}
              aria-label={
                accounts === 0 ? `Connect ${provider.name}` : `Connect another ${provider.name} account`
              }
              onClick={() => connect.run('as_it_is')}
            >
              Connect
            </Button>
          )
        ) : operator && provider.sandboxAvailable ? (
          <Button
            className="relative"
            busy={connect.busy}
            aria-label={`Use the sandbox for ${provider.name}`}
            onClick={() => connect.run('in_the_sandbox')}
          >
            Use the sandbox
          </Button>
        ) : operator && ways.length === 0 ? (
          <Link
            to="/connections/catalogue/$provider/setup"
            params={{ provider: provider.id }}
            search={(kept) => kept}
            aria-label={`Set up ${provider.name}`}
            className={`${buttonClass('plain')} relative`}
          >
            Set up
          </Link>
        ) : ways.length > 0 ? (
          <Link
            to="/connections/catalogue/$provider"
            params={{ provider: provider.id }}
            search={(kept) => kept}
            aria-label={`Connect ${provider.name}`}
            className={`${buttonClass('plain')} relative`}
          >
            Connect
          </Link>
        ) : null}
      </div>
      {connect.error !== undefined && (
        <div className="relative">
          <ConnectProblem error={connect.error} onDismiss={connect.clear} />
        </div>
      )}
    </li>
  )
}

function appWords(provider: ProviderView, operator: boolean, withoutApp: boolean): string {
  if (provider.app === 'configured') return 'ready'
  if (provider.app === 'sandbox') return 'in the sandbox'
  if (operator && provider.sandboxAvailable) return 'try it at once'
  if (withoutApp) return 'with a key'
  return operator ? 'not set up yet' : 'an owner or admin has to set it up'
}
