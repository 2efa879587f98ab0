import type { ProviderView } from '@atom/contract/connections.ts'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { atom, isOperator, useMe } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { ConnectForm } from './connect-form.tsx'
import { ProviderMark } from './provider-mark.tsx'
import { useProvider, useProviders } from './providers-context.ts'
import { ScopeLine } from './scope-line.tsx'
import { SidePanel } from './side-panel.tsx'
import { waysOf } from './ways.ts'

/** One provider of the catalogue: connect an account, what it is asked for, where the app comes from. */
export function ProviderPanel() {
  const { provider: id } = useParams({ from: '/inside/connections/catalogue/$provider' })
  const provider = useProvider(id)
  return (
    <SidePanel
      key={id}
      label="Provider"
      title={provider?.name ?? 'Provider'}
      list="/connections/catalogue"
      row={id}
    >
      {provider === undefined ? <NotThere /> : <About provider={provider} />}
    </SidePanel>
  )
}

/** For this panel and the setup: the catalogue is on its way, has failed, or does not hold what the address names. */
export function NotThere() {
  const providers = useProviders()
  if (providers.state === 'failed')
    return <ProblemNotice error={providers.error} onRetry={providers.reload} />
  if (providers.state === 'ready')
    return <p className="text-quiet">The catalogue has no provider of this name. Choose one from the list.</p>
  return (
    <Loading of="the provider">
      <div className="grid gap-4">
        <Bar className="h-10 w-2/3" />
        <Bar className="h-4 w-full" />
        <Bar className="h-4 w-4/5" />
      </div>
    </Loading>
  )
}

function About({ provider }: { provider: ProviderView }) {
  const operator = isOperator(useMe())
  const navigate = useNavigate()
  const { reload } = useProviders()
  const ways = waysOf(provider, operator)
  const open = useAction(async () => {
    await atom.connections.openSandbox()
    reload()
  })
  return (
    <>
      <div className="flex items-center gap-3">
        <ProviderMark provider={provider.id} size={28} />
        <Status
          tone={provider.app === 'none' ? 'off' : 'good'}
          words={
            provider.app === 'configured'
              ? provider.appFacts === undefined
                ? 'Ready'
                : 'Ready, with your own app'
              : provider.app === 'sandbox'
                ? 'Ready, in the sandbox on this machine'
                : 'Not set up yet'
          }
        />
      </div>
      {ways.length > 0 && (
        <ConnectForm
          // What an app makes possible is offered as soon as there is one.
          key={provider.app}
          provider={provider}
          ways={ways}
          onConnected={({ id }) => void navigate({ to: '/connections', search: { connected: id } })}
        />
      )}
      {provider.app !== 'none' ? null : operator ? (
        <div className="grid gap-3">
          {open.error !== undefined && <ProblemNotice error={open.error} onDismiss={open.clear} />}
          <div className="flex flex-wrap gap-2">
            <Link
              to="/connections/catalogue/$provider/setup"
              params={{ provider: provider.id }}
              search={(kept) => kept}
              className={buttonClass(ways.length > 0 ? 'plain' : 'primary')}
            >
              Set up your app
            </Link>
            {provider.sandboxAvailable && (
              <Button busy={open.busy} onClick={() => open.run()}>
                Open the sandbox
              </Button>
            )}
          </div>
        </div>
      ) : (
        ways.length === 0 && (
          <p className="text-quiet">
            An owner or admin of the workspace enters the app of {provider.name} first. Ask one of them.
          </p>
        )
      )}
      {provider.scopes.length > 0 && (
        <section className="grid gap-2">
          <h2 className="text-sm text-quiet">What an account is asked for</h2>
          <ul className="grid gap-2">
            {provider.scopes.map(({ scope, meaning, required }) => (
              <ScopeLine
                key={scope}
                scope={scope}
                meaning={meaning}
                state="asked"
                note={required ? 'always' : undefined}
              />
            ))}
          </ul>
        </section>
      )}
      {operator && provider.app !== 'none' && (
        <div className="border-t border-line pt-4">
          <Link
            to="/connections/catalogue/$provider/setup"
            params={{ provider: provider.id }}
            search={(kept) => kept}
            className={buttonClass('plain')}
          >
            {provider.appFacts !== undefined ? 'Your app' : 'Set up your own app'}
          </Link>
        </div>
      )}
    </>
  )
}
