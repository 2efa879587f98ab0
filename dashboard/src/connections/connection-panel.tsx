import { AtomClientError } from '@atom/client'
import type { Connection, DisconnectReceipt, ProviderView } from '@atom/contract/connections.ts'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { ArrowLeft, Check, Minus, X } from 'lucide-react'
import { type ReactNode, useCallback, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Avatar } from '../ui/avatar.tsx'
import { Button, buttonClass } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { connectAccount } from './connect-account.ts'
import { receiptWords } from './receipt-words.ts'
import { statusWords } from './status-words.ts'

const askProviders = () => atom.connections.providers()

/** One connected account, beside the list that it was opened from; a page of its own on narrow screens. */
export function ConnectionPanel() {
  const { connectionId } = useParams({ from: '/inside/connections/$connectionId' })
  return <Panel key={connectionId} connectionId={connectionId} />
}

function Panel({ connectionId }: { connectionId: string }) {
  const navigate = useNavigate()
  const connections = useObserved(atom.connections)
  const asked = useAnswer(useCallback(() => atom.connections.get(connectionId), [connectionId]))
  const providers = useAnswer(askProviders)
  const [receipt, setReceipt] = useState<DisconnectReceipt>()
  const connection =
    connections.items.find((item) => item.id === connectionId) ??
    (asked.state === 'ready' ? asked.value : undefined)
  const provider =
    providers.state === 'ready'
      ? providers.value.find((item) => item.id === (connection?.provider ?? receipt?.provider))
      : undefined
  const close = () => void navigate({ to: '/connections', search: {} })

  return (
    <section
      aria-label="Connected account"
      className="flex min-h-0 w-full flex-col overflow-y-auto border-line lg:w-96 lg:shrink-0 lg:border-l"
    >
      <div className="flex h-12 shrink-0 items-center gap-2 px-4 lg:justify-between">
        <Link
          to="/connections"
          search={{}}
          aria-label="All connections"
          className="-ml-2 grid size-8 place-items-center rounded-control text-quiet hover:bg-hover lg:hidden pointer-coarse:size-11"
        >
          <ArrowLeft size={16} aria-hidden />
        </Link>
        <h1 className="font-semibold">{provider?.name ?? 'Connection'}</h1>
        <Button look="quiet" square aria-label="Close" className="max-lg:hidden" onClick={close}>
          <X size={16} aria-hidden />
        </Button>
      </div>
      <div className="grid gap-6 px-4 pt-2 pb-12">
        {receipt !== undefined ? (
          <Receipt receipt={receipt} provider={provider} />
        ) : connection !== undefined ? (
          <Details connection={connection} provider={provider} onGone={setReceipt} />
        ) : asked.state === 'failed' ? (
          <ProblemNotice error={asked.error} onRetry={asked.reload} />
        ) : (
          <Loading of="the connection">
            <div className="grid gap-4">
              <Bar className="h-10 w-2/3" />
              <Bar className="h-4 w-full" />
              <Bar className="h-4 w-4/5" />
            </div>
          </Loading>
        )}
      </div>
    </section>
  )
}

function Details({
  connection,
  provider,
  onGone,
}: {
  connection: Connection
  provider: ProviderView | undefined
  onGone: (receipt: DisconnectReceipt) => void
}) {
  const { identity } = connection
  const name = provider?.name ?? connection.provider
  const [asking, setAsking] = useState(false)
  const refresh = useAction(() => atom.connections.refresh(connection.id))
  const mend = useAction(() => connectAccount(connection.provider))
  const meaning = new Map(provider?.scopes.map(({ scope, meaning }) => [scope, meaning]))
  const { tone, words } = statusWords(connection)
  const broken = connection.status === 'needs_reconnect' || connection.status === 'revoked'
  const error = refresh.error ?? mend.error
  const gaveUp = error instanceof AtomClientError && error.code === 'window_closed'
  return (
    <>
      <div className="flex items-center gap-3">
        <Avatar name={identity.name} src={identity.avatarUrl} />
        <div className="min-w-0">
          <p className="truncate font-medium">{identity.name}</p>
          <p className="truncate text-sm text-quiet">{identity.handle ?? identity.email ?? identity.id}</p>
        </div>
      </div>
      <div className="grid gap-3">
        <Status tone={tone} words={words} />
        {error !== undefined && !gaveUp && (
          <ProblemNotice
            error={error}
            onDismiss={() => {
              refresh.clear()
              mend.clear()
            }}
          />
        )}
        <div className="flex flex-wrap gap-2">
          {(broken || connection.missingScopes.length > 0) && (
            <Button look="primary" busy={mend.busy} onClick={() => mend.run()}>
              {broken ? 'Reconnect' : 'Grant the rest'}
            </Button>
          )}
          {!broken && (
            <Button busy={refresh.busy} onClick={() => refresh.run()}>
              Check now
            </Button>
          )}
        </div>
      </div>
      <Facts connection={connection} />
      <div className="grid gap-2">
        <h2 className="text-sm text-quiet">Access</h2>
        <ul className="grid gap-2">
          {connection.scopes.map((scope) => (
            <Scope key={scope} scope={scope} meaning={meaning.get(scope)} granted />
          ))}
          {connection.missingScopes.map((scope) => (
            <Scope key={scope} scope={scope} meaning={meaning.get(scope)} granted={false} />
          ))}
        </ul>
      </div>
      <div className="border-t border-line pt-4">
        <Button look="danger" onClick={() => setAsking(true)}>
          Disconnect
        </Button>
      </div>
      {asking && (
        <DisconnectDialog
          connection={connection}
          provider={name}
          onClose={() => setAsking(false)}
          onGone={(receipt) => {
            setAsking(false)
            onGone(receipt)
          }}
        />
      )}
    </>
  )
}

function Facts({ connection }: { connection: Connection }) {
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1.5">
      <Fact name="Connected">
        <RelativeTime at={connection.connectedAt} />
      </Fact>
      <Fact name="Last used">
        {connection.lastUsedAt === null ? 'never' : <RelativeTime at={connection.lastUsedAt} />}
      </Fact>
      {connection.expiresAt !== null && connection.status === 'active' && (
        <Fact name="Expires">
          <RelativeTime at={connection.expiresAt} />; Atom renews it by itself
        </Fact>
      )}
      {connection.sandbox && <Fact name="Provider">the sandbox on this machine</Fact>}
      <Fact name="Id">
        <span className="flex items-center gap-1">
          <code className="font-mono text-xs" title={connection.id}>
            {connection.id.slice(-8)}
          </code>
          <CopyButton text={connection.id} what="connection id" />
        </span>
      </Fact>
    </dl>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-quiet">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  )
}

function Scope({
  scope,
  meaning,
  granted,
}: {
  scope: string
  meaning: string | undefined
  granted: boolean
}) {
  return (
    <li className="flex items-start gap-2">
      {granted ? (
        <Check size={16} aria-hidden className="mt-[3px] shrink-0 text-good" />
      ) : (
        <Minus size={16} aria-hidden className="mt-[3px] shrink-0 text-warn" />
      )}
      <span className="min-w-0">
        {meaning ?? scope}
        {!granted && <span className="text-warn"> (not granted)</span>}
        {meaning !== undefined && (
          <code className="block font-mono text-xs break-all text-quiet">{scope}</code>
        )}
      </span>
    </li>
  )
}

function DisconnectDialog({
  connection,
  provider,
  onClose,
  onGone,
}: {
  connection: Connection
  provider: string
  onClose: () => void
  onGone: (receipt: DisconnectReceipt) => void
}) {
  const disconnect = useAction(async () => onGone(await atom.connections.disconnect(connection.id)))
  return (
    <Dialog title={`Disconnect ${connection.identity.name}?`} onClose={onClose}>
      <p>
        Atom gives its access back to {provider} and destroys the credential. Agents cannot act on this
        account any more. What they did stays done.
      </p>
      {disconnect.error !== undefined && <ProblemNotice error={disconnect.error} />}
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>Keep it</Button>
        <Button look="danger" busy={disconnect.busy} onClick={() => disconnect.run()}>
          Disconnect
        </Button>
      </div>
    </Dialog>
  )
}

/** What is gone, and what is not. */
function Receipt({ receipt, provider }: { receipt: DisconnectReceipt; provider: ProviderView | undefined }) {
  const words = receiptWords(receipt, provider?.name ?? receipt.provider)
  return (
    <div role="status" className="grid gap-3">
      <h2 className="font-semibold">Disconnected</h2>
      <ul className="grid gap-2">
        <li className="flex items-start gap-2">
          <Check size={16} aria-hidden className="mt-[3px] shrink-0 text-good" />
          The credential is destroyed here.
        </li>
        <li className="flex items-start gap-2">
          {words.gone ? (
            <Check size={16} aria-hidden className="mt-[3px] shrink-0 text-good" />
          ) : (
            <Minus size={16} aria-hidden className="mt-[3px] shrink-0 text-warn" />
          )}
          {words.atProvider}
        </li>
      </ul>
      <p className="text-sm text-quiet">
        {receipt.detail} <RelativeTime at={receipt.at} />
      </p>
      <Link to="/connections" search={{}} className={`${buttonClass('plain')} justify-self-start`}>
        Back to all connections
      </Link>
    </div>
  )
}
