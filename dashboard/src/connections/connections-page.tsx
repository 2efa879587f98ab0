import { AtomClientError } from '@atom/client'
import type { Connection, ProviderView } from '@atom/contract/connections.ts'
import { Link, Outlet, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { type ReactNode, useEffect, useState } from 'react'
import { atom, isOperator, useMe, useObserved } from '../shell/atom.ts'
import { codeWords, ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Avatar } from '../ui/avatar.tsx'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { Notice } from '../ui/notice.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { AppDialog } from './app-dialog.tsx'
import { connectAccount } from './connect-account.ts'
import { ProviderMark } from './provider-mark.tsx'
import { statusWords } from './status-words.ts'

const askProviders = () => atom.connections.providers()

export function ConnectionsPage() {
  const { connectionId } = useParams({ strict: false })
  const providers = useAnswer(askProviders)
  const connections = useObserved(atom.connections)

  useEffect(() => {
    document.title = 'Connections · Atom'
    void atom.connections.list().catch(() => undefined)
  }, [])

  const open = connectionId !== undefined
  return (
    <div className="flex min-h-0 flex-1">
      <div className={classNames('min-h-0 min-w-0 flex-1 overflow-y-auto', open && 'max-lg:hidden')}>
        <div className="mx-auto grid w-full max-w-[48rem] gap-6 px-4 pt-6 pb-12 md:px-8 md:pt-8">
          <div className="grid gap-1">
            <h1 className="text-xl font-semibold">Connections</h1>
            <p className="text-quiet">
              Your accounts elsewhere. An agent acts on one only for you, and asks before it changes anything.
            </p>
          </div>
          <Arrival
            providers={providers.state === 'ready' ? providers.value : []}
            connections={connections.items}
          />
          {connections.state === 'failed' && (
            <ProblemNotice
              error={connections.error}
              onRetry={() => void atom.connections.list().catch(() => undefined)}
            />
          )}
          {providers.state === 'loading' && <Shape />}
          {providers.state === 'failed' && (
            <ProblemNotice error={providers.error} onRetry={providers.reload} />
          )}
          {providers.state === 'ready' && (
            <ul className="grid gap-3">
              {providers.value.map((provider) => (
                <ProviderCard
                  key={provider.id}
                  provider={provider}
                  connections={connections.items.filter((item) => item.provider === provider.id)}
                  onProvidersChanged={providers.reload}
                />
              ))}
            </ul>
          )}
        </div>
      </div>
      <Outlet />
    </div>
  )
}

/** What came of a consent that left this page: said once, calmly, and taken out of the address. */
function Arrival({
  providers,
  connections,
}: {
  providers: readonly ProviderView[]
  connections: readonly Connection[]
}) {
  const search = useSearch({ strict: false })
  const navigate = useNavigate()
  const [arrived, setArrived] = useState<{ connected?: string; problem?: string }>({})
  const { connected, problem } = search
  useEffect(() => {
    if (connected === undefined && problem === undefined) return
    setArrived({
      ...(connected === undefined ? {} : { connected }),
      ...(problem === undefined ? {} : { problem }),
    })
    void navigate({ to: '/connections', search: {}, replace: true })
  }, [connected, problem, navigate])

  const dismiss = () => setArrived({})
  if (arrived.problem !== undefined) {
    const words = codeWords(arrived.problem)
    return (
      <Notice
        tone={arrived.problem === 'consent_denied' ? 'plain' : 'warn'}
        title={words?.title ?? 'The account was not connected'}
        onDismiss={dismiss}
      >
        {words?.next ?? 'Start again from this page.'}
      </Notice>
    )
  }
  const connection = connections.find((item) => item.id === arrived.connected)
  if (connection === undefined) return null
  const provider = providers.find((item) => item.id === connection.provider)
  return (
    <Notice
      tone="good"
      title={`${provider?.name ?? connection.provider} is connected as ${connection.identity.name}`}
      onDismiss={dismiss}
    >
      Ask in a room for what you want done with it.
    </Notice>
  )
}

function ProviderCard({
  provider,
  connections,
  onProvidersChanged,
}: {
  provider: ProviderView
  connections: readonly Connection[]
  onProvidersChanged: () => void
}) {
  const operator = isOperator(useMe())
  const navigate = useNavigate()
  const [appOpen, setAppOpen] = useState(false)
  const connect = useAction(async () => {
    const connection = await connectAccount(provider.id)
    if (connection !== undefined) await navigate({ to: '/connections', search: { connected: connection.id } })
  })
  const useSandbox = useAction(async () => {
    await atom.connections.openSandbox()
    onProvidersChanged()
    const connection = await connectAccount(provider.id)
    if (connection !== undefined) await navigate({ to: '/connections', search: { connected: connection.id } })
  })
  const error = connect.error ?? useSandbox.error
  const gaveUp = error instanceof AtomClientError && error.code === 'window_closed'

  const buttons: ReactNode =
    provider.app !== 'none' ? (
      <Button
        look={connections.length === 0 ? 'primary' : 'plain'}
        busy={connect.busy}
        aria-label={
          connections.length === 0 ? `Connect ${provider.name}` : `Connect another ${provider.name} account`
        }
        onClick={() => connect.run()}
      >
        {connections.length === 0 ? 'Connect' : 'Connect another'}
      </Button>
    ) : operator ? (
      provider.sandboxAvailable && (
        <Button
          look="primary"
          busy={useSandbox.busy}
          aria-label={`Use the sandbox for ${provider.name}`}
          onClick={() => useSandbox.run()}
        >
          Use the sandbox
        </Button>
      )
    ) : null

  return (
    <li className="overflow-hidden rounded-card border border-line" aria-label={provider.name}>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-3">
        <ProviderMark provider={provider.id} size={20} />
        <div className="min-w-40 flex-1">
          <h2 className="font-semibold">{provider.name}</h2>
          <p className="text-sm text-quiet">{appWords(provider, operator)}</p>
        </div>
        <div className="flex flex-wrap items-center gap-2 max-sm:w-full max-sm:flex-row-reverse max-sm:justify-end">
          {operator && (
            <Button
              look="quiet"
              aria-label={`Your own app for ${provider.name}`}
              onClick={() => setAppOpen(true)}
            >
              Your own app
            </Button>
          )}
          {buttons}
        </div>
      </div>
      {error !== undefined && !gaveUp && (
        <div className="px-4 pb-3">
          <ProblemNotice
            error={error}
            onDismiss={() => {
              connect.clear()
              useSandbox.clear()
            }}
          />
        </div>
      )}
      {connections.length > 0 && (
        <ul className="border-t border-line">
          {connections.map((connection) => (
            <ConnectionRow
              key={connection.id}
              connection={connection}
              onMend={() => connect.run()}
              mending={connect.busy}
            />
          ))}
        </ul>
      )}
      {appOpen && (
        <AppDialog provider={provider} onClose={() => setAppOpen(false)} onChanged={onProvidersChanged} />
      )}
    </li>
  )
}

function ConnectionRow({
  connection,
  onMend,
  mending,
}: {
  connection: Connection
  onMend: () => void
  mending: boolean
}) {
  const { identity } = connection
  const { tone, words } = statusWords(connection)
  return (
    <li className="relative flex flex-wrap items-center gap-x-3 gap-y-2 px-4 py-2.5 not-first:border-t not-first:border-line hover:bg-panel">
      <Avatar name={identity.name} src={identity.avatarUrl} />
      <div className="min-w-40 flex-1">
        <Link
          to="/connections/$connectionId"
          params={{ connectionId: connection.id }}
          className="font-medium after:absolute after:inset-0"
          activeProps={{ 'aria-current': 'true' }}
        >
          {identity.name}
        </Link>
        <p className="truncate text-sm text-quiet">
          {[identity.handle ?? identity.email, connection.sandbox ? 'sandbox' : undefined]
            .filter(Boolean)
            .join(' · ')}
        </p>
      </div>
      <div className="grid justify-items-end gap-0.5 text-right max-sm:w-full max-sm:justify-items-start max-sm:pl-11 max-sm:text-left">
        <Status tone={tone} words={words} />
        <span className="text-xs text-quiet">
          {connection.lastUsedAt === null ? (
            'never used'
          ) : (
            <>
              used <RelativeTime at={connection.lastUsedAt} />
            </>
          )}
        </span>
      </div>
      {connection.status !== 'active' && connection.status !== 'degraded' && (
        <Button
          look="primary"
          className="relative max-sm:ml-11"
          busy={mending}
          onClick={onMend}
          aria-label={`Reconnect ${identity.name}`}
        >
          Reconnect
        </Button>
      )}
    </li>
  )
}

function appWords(provider: ProviderView, operator: boolean): string {
  if (provider.app === 'configured') return 'With your own app'
  if (provider.app === 'sandbox') return 'With the sandbox on this machine'
  if (!operator) return 'Not set up yet: an owner or admin of the workspace can do it'
  return provider.sandboxAvailable
    ? 'Try it in the sandbox at once, or enter your own app'
    : 'Enter your own app to connect accounts'
}

function Shape() {
  return (
    <Loading of="the providers">
      <div className="grid gap-3">
        {[0, 1].map((row) => (
          <div key={row} className="flex items-center gap-3 rounded-card border border-line px-4 py-4">
            <Bar className="size-6" />
            <div className="grid flex-1 gap-2">
              <Bar className="h-4 w-24" />
              <Bar className="h-3.5 w-56" />
            </div>
            <Bar className="h-8 w-24" />
          </div>
        ))}
      </div>
    </Loading>
  )
}
