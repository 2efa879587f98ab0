import { AtomClientError } from '@atom/client'
import type { Connection, DisconnectReceipt, ForecastItem, ProviderView } from '@atom/contract/connections.ts'
import { useParams } from '@tanstack/react-router'
import { type ReactNode, useCallback, useState } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Dialog } from '../ui/dialog.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { accessOf } from './access-of.ts'
import { AccountPicture } from './account-picture.tsx'
import { adminRequest } from './admin-request.ts'
import { checkConnection } from './check-connection.ts'
import { connectAccount } from './connect-account.ts'
import { ConnectForm } from './connect-form.tsx'
import { ConnectProblem } from './connect-problem.tsx'
import { Expiry } from './expiry.tsx'
import { flowWords, opensWindow } from './flow-words.ts'
import { ForecastRow } from './forecast.tsx'
import { History } from './history.tsx'
import { useProvider } from './providers-context.ts'
import { Receipt } from './receipt.tsx'
import { ScopeLine } from './scope-line.tsx'
import { SidePanel } from './side-panel.tsx'
import { needsSomeone, statusWords } from './status-words.ts'
import { useMend } from './use-mend.ts'
import { WidenForm } from './widen-form.tsx'

/** One connected account. */
export function ConnectionPanel() {
  const { connectionId } = useParams({ from: '/inside/connections/accounts/$connectionId' })
  return <Panel key={connectionId} connectionId={connectionId} />
}

function Panel({ connectionId }: { connectionId: string }) {
  const connections = useObserved(atom.connections)
  const asked = useAnswer(useCallback(() => atom.connections.get(connectionId), [connectionId]))
  const [receipt, setReceipt] = useState<DisconnectReceipt>()
  // What was asked for alone is in the list as well; what has left the list is gone, whoever ended it.
  const connection = connections.items.find((item) => item.id === connectionId)
  const provider = useProvider(connection?.provider ?? receipt?.provider)
  return (
    <SidePanel
      label="Connected account"
      title={provider?.name ?? 'Connection'}
      list="/connections"
      row={connectionId}
    >
      {receipt !== undefined ? (
        <Receipt receipt={receipt} provider={provider?.name ?? receipt.provider} />
      ) : connection !== undefined ? (
        <Details connection={connection} provider={provider} onGone={setReceipt} />
      ) : asked.state === 'ready' || (asked.state === 'failed' && isNowhere(asked.error)) ? (
        <p className="text-quiet">
          This account is not connected any more, or it is not yours. Choose one from the list.
        </p>
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
    </SidePanel>
  )
}

/** Nothing is at this address, or nothing ever could be. */
function isNowhere(error: unknown): boolean {
  return (
    error instanceof AtomClientError && (error.code === 'not_found' || error.code === 'validation_failed')
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
  const [entering, setEntering] = useState(false)
  return (
    <>
      <div className="flex items-center gap-3">
        <AccountPicture connection={connection} />
        <div className="min-w-0">
          <p className="truncate font-medium">{identity.name}</p>
          <p className="truncate text-sm text-quiet">{identity.handle ?? identity.email ?? identity.id}</p>
        </div>
      </div>
      <State
        connection={connection}
        provider={provider}
        entering={entering}
        onEnter={() => setEntering(true)}
        onEntered={() => setEntering(false)}
      />
      <Facts connection={connection} name={name} />
      <WhatWillEnd connection={connection} onEnter={() => setEntering(true)} />
      <Access connection={connection} provider={provider} />
      <History connection={connection} />
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

/** How it is, and the one button that mends it. */
function State({
  connection,
  provider,
  entering,
  onEnter,
  onEntered,
}: {
  connection: Connection
  provider: ProviderView | undefined
  /** The person wants to enter anew what they entered first. */
  entering: boolean
  onEnter: () => void
  onEntered: () => void
}) {
  const { tone, words } = statusWords(connection)
  const mend = useMend(connection)
  const [checked, setChecked] = useState(false)
  const check = useAction(async () => {
    setChecked(false)
    await checkConnection(connection.id)
    setChecked(true)
  })
  const again = useReconnect(connection, onEnter)
  const renewable = connection.status === 'active' || connection.status === 'degraded'
  const askAdmin = mend.offer?.does === 'show_request'
  // A key or a code is entered here, where it is said what is wrong.
  const entersHere = !opensWindow(connection.flow) && (entering || mend.offer?.does === 'reconnect')
  return (
    <div className="grid gap-3">
      <Status tone={tone} words={words} />
      <p role="status" className="text-sm text-quiet empty:hidden">
        {checked && connection.status === 'active' && 'Checked just now: it works.'}
      </p>
      <ConnectProblem
        error={mend.error ?? check.error ?? again.error}
        onDismiss={() => {
          mend.clear()
          check.clear()
          again.clear()
        }}
      />
      {askAdmin && (
        <ToSend
          title="Send this to your admin"
          text={adminRequest(connection, provider?.name ?? connection.provider)}
        />
      )}
      <div className="flex flex-wrap gap-2">
        {mend.offer !== undefined && !askAdmin && !(entersHere && mend.offer.does === 'reconnect') && (
          <Button
            look={mend.offer.does === 'check' ? 'plain' : 'primary'}
            busy={mend.busy}
            onClick={mend.run}
          >
            {mend.offer.label}
          </Button>
        )}
        {renewable && mend.offer?.does !== 'check' && (
          <Button busy={check.busy} onClick={() => check.run()}>
            Check now
          </Button>
        )}
        {askAdmin && !entersHere && (
          <Button busy={again.busy} onClick={() => again.run()}>
            They have allowed it
          </Button>
        )}
      </div>
      {entersHere && provider !== undefined && (
        <ConnectForm
          provider={provider}
          ways={[connection.flow]}
          mending={connection}
          label={connection.flow === 'device_code' ? undefined : (mend.offer?.label ?? 'Connect again')}
          onConnected={onEntered}
        />
      )}
    </div>
  )
}

/** A message to somebody who does not use Atom: to be read first, then copied. */
function ToSend({ title, text }: { title: string; text: string }) {
  return (
    <div className="grid gap-2 rounded-card border border-line bg-panel p-3">
      <div className="flex items-center justify-between gap-2">
        <h2 className="font-medium">{title}</h2>
        <CopyButton text={text} what="message" />
      </div>
      <p className="text-sm whitespace-pre-line select-all">{text}</p>
    </div>
  )
}

function Facts({ connection, name }: { connection: Connection; name: string }) {
  const { credentials, expiresAt, status, flow } = connection
  const { how } = flowWords(flow, name)
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1.5">
      <Fact name="Connected">
        <RelativeTime at={connection.connectedAt} />
        {how !== '' && ` ${how}`}
      </Fact>
      <Fact name="Last used">
        {connection.lastUsedAt === null ? 'never' : <RelativeTime at={connection.lastUsedAt} />}
      </Fact>
      {credentials.length > 1
        ? credentials.map((credential) => (
            <Fact key={credential.slot} name={`Token “${credential.slot}”`}>
              <Lifetime {...credential} />
            </Fact>
          ))
        : status === 'active' && (
            <Fact name="Access">
              <Lifetime expiresAt={expiresAt} refreshExpiresAt={credentials[0]?.refreshExpiresAt ?? null} />
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

function Lifetime({
  expiresAt,
  refreshExpiresAt,
}: {
  expiresAt: string | null
  refreshExpiresAt: string | null
}) {
  return (
    <>
      {expiresAt === null ? 'lasts until somebody ends it' : <Expiry at={expiresAt} />}
      {refreshExpiresAt !== null && (
        <>
          ; has to be allowed again <RelativeTime at={refreshExpiresAt} />
        </>
      )}
    </>
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

/** Of this connection alone; the list has the whole of it, so its failure is told there. */
function WhatWillEnd({ connection, onEnter }: { connection: Connection; onEnter: () => void }) {
  const forecast = useAnswer(askForecast)
  if (forecast.state !== 'ready') return null
  const items = forecast.value.filter((item) => item.connectionId === connection.id)
  if (items.length === 0) return null
  return (
    <section className="grid gap-2" aria-labelledby="ends">
      <h2 id="ends" className="text-sm text-quiet">
        What will end
      </h2>
      <ul className="overflow-hidden rounded-card border border-line">
        {items.map((item) => (
          <ForecastRow
            key={`${item.kind} ${item.title}`}
            item={item}
            action={
              item.remedy?.action === 'reconnect' && (
                <Renew connection={connection} item={item} onEnter={onEnter} />
              )
            }
          />
        ))}
      </ul>
    </section>
  )
}

/** Consent given anew begins the time anew; it may be given before it is needed. */
function Renew({
  connection,
  item,
  onEnter,
}: {
  connection: Connection
  item: ForecastItem
  onEnter: () => void
}) {
  const renew = useReconnect(connection, onEnter)
  return (
    <>
      <Button busy={renew.busy} onClick={() => renew.run()}>
        {item.remedy?.label}
      </Button>
      <ConnectProblem error={renew.error} onDismiss={renew.clear} />
    </>
  )
}

/** Anew by the way it came by: in a window, or where it is entered. */
function useReconnect({ id, provider, flow }: Connection, onEnter: () => void) {
  return useAction(async () => {
    if (opensWindow(flow)) await connectAccount(provider, { connectionId: id, flow })
    else onEnter()
  })
}

const askForecast = () => atom.connections.forecast()

/** What was asked for, what of it was given, and what the provider names besides. */
function Access({ connection, provider }: { connection: Connection; provider: ProviderView | undefined }) {
  const meaning = new Map(
    [...(provider?.scopes ?? []), ...(provider?.furtherScopes ?? [])].map((entry) => [
      entry.scope,
      entry.meaning,
    ]),
  )
  const { asked, further } = accessOf(connection)
  const name = provider?.name ?? 'The provider'
  return (
    <section className="grid gap-2" aria-labelledby="access">
      <h2 id="access" className="text-sm text-quiet">
        Access
      </h2>
      {asked.length > 0 && (
        <ul className="grid gap-2">
          {asked.map(({ scope, granted }) => (
            <ScopeLine
              key={scope}
              scope={scope}
              meaning={meaning.get(scope)}
              state={granted ? 'granted' : 'missing'}
            />
          ))}
        </ul>
      )}
      {further.length > 0 && (
        <p className="text-sm text-quiet">
          {asked.length > 0 ? `${name} names besides:` : `${name} names:`}{' '}
          <span className="font-mono text-xs break-all">{further.join(' ')}</span>
        </p>
      )}
      {asked.length + further.length === 0 && (
        <p className="text-quiet">{name} does not say: what the account may do, Atom may do for it.</p>
      )}
      {/* Of an account that is lost, being mended comes first. */}
      {provider !== undefined && connection.flow === 'authorization_code' && !needsSomeone(connection) && (
        <WidenForm connection={connection} provider={provider} />
      )}
    </section>
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
    <Dialog title={`Disconnect ${connection.identity.name} at ${provider}?`} onClose={onClose}>
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
