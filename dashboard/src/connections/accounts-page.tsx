import type { Connection, ProviderView } from '@atom/contract/connections.ts'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { Cable } from 'lucide-react'
import { useMemo } from 'react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { serverAway } from '../shell/server-away.ts'
import { Button, buttonClass } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { AccountList } from './account-list.tsx'
import type { Account } from './account-row.tsx'
import { Catalogue } from './catalogue.tsx'
import { Forecast } from './forecast.tsx'
import { ListPage } from './list-page.tsx'
import { matches } from './matches.ts'
import { useProviders } from './providers-context.ts'
import { Chip, SearchField } from './search-field.tsx'
import { needsSomeone, statusWords } from './status-words.ts'

/** My connected accounts; the catalogue, where there is none yet. */
export function AccountsPage() {
  const { connectionId } = useParams({ strict: false })
  const connections = useObserved(atom.connections)
  const providers = useProviders()
  // The line at the top says it, and asks again.
  const away = useObserved(serverAway).error !== undefined
  const retry = () => void atom.connections.list().catch(() => undefined)
  return (
    <ListPage here="accounts" open={connectionId !== undefined}>
      {connections.error !== undefined && !away && (
        <ProblemNotice error={connections.error} onRetry={retry} />
      )}
      {connections.state === 'loading' || (connections.state === 'failed' && away) ? (
        <Shape />
      ) : connections.items.length > 0 ? (
        <Accounts
          connections={connections.items}
          providers={providers.state === 'ready' ? providers.value : []}
        />
      ) : (
        connections.state === 'ready' && (
          <>
            <p>No account is connected yet. Choose where yours is; connecting takes a minute.</p>
            <Catalogue />
          </>
        )
      )}
    </ListPage>
  )
}

function Accounts({
  connections,
  providers,
}: {
  connections: readonly Connection[]
  providers: readonly ProviderView[]
}) {
  const { q = '', needing = false } = useSearch({ from: '/inside/connections' })
  const navigate = useNavigate()
  const accounts = useMemo(() => inOrder(connections, providers), [connections, providers])
  const broken = accounts.filter(({ connection }) => needsSomeone(connection))
  const shown = (needing ? broken : accounts).filter(({ connection, name }) =>
    matches(q, [
      name,
      connection.provider,
      connection.identity.name,
      connection.identity.handle,
      connection.identity.email,
      connection.sandbox ? 'sandbox' : undefined,
      statusWords(connection).words,
    ]),
  )
  const narrow = (only: boolean) =>
    void navigate({
      to: '.',
      search: ({ needing: _, ...kept }) => (only ? { ...kept, needing: true } : kept),
      replace: true,
    })
  return (
    <>
      <Forecast />
      <div className="flex flex-wrap items-center gap-2">
        <SearchField label="Search accounts" />
        {(broken.length > 0 || needing) && (
          <>
            <Chip chosen={!needing} onChoose={() => narrow(false)}>
              All <span className="tabular-nums">{connections.length}</span>
            </Chip>
            <Chip chosen={needing} onChoose={() => narrow(true)}>
              Need someone <span className="tabular-nums">{broken.length}</span>
            </Chip>
          </>
        )}
        <Link to="/connections/catalogue" search={{}} className={`${buttonClass('plain')} max-sm:w-full`}>
          Connect an account
        </Link>
      </div>
      <p role="status" className="sr-only">
        {plural(shown.length, 'account')}
      </p>
      {shown.length === 0 ? (
        <Empty
          icon={<Cable size={24} aria-hidden />}
          action={<Button onClick={() => void navigate({ to: '.', search: {} })}>Show all accounts</Button>}
        >
          {needing && q === '' ? 'Every account works.' : `No account goes by “${q}”.`}
        </Empty>
      ) : (
        <AccountList accounts={shown} />
      )}
    </>
  )
}

const collator = new Intl.Collator('en', { numeric: true })

/** What needs someone comes first; the rest keeps its place whatever its state, so that nothing jumps. */
function inOrder(connections: readonly Connection[], providers: readonly ProviderView[]): readonly Account[] {
  const names = new Map(providers.map(({ id, name }) => [id, name]))
  const rank = (account: Account) => (needsSomeone(account.connection) ? 0 : 1)
  return connections
    .map((connection) => ({ connection, name: names.get(connection.provider) ?? connection.provider }))
    .toSorted(
      (a, b) =>
        rank(a) - rank(b) ||
        collator.compare(a.name, b.name) ||
        collator.compare(a.connection.identity.name, b.connection.identity.name) ||
        collator.compare(a.connection.id, b.connection.id),
    )
}

function Shape() {
  return (
    <Loading of="your accounts">
      <div className="overflow-hidden rounded-card border border-line">
        {[0, 1, 2].map((row) => (
          <div
            key={row}
            className="flex items-center gap-3 px-4 py-3 not-first:border-t not-first:border-line"
          >
            <Bar className="size-8 rounded-full" />
            <div className="grid flex-1 gap-2">
              <Bar className="h-4 w-32" />
              <Bar className="h-3.5 w-48" />
            </div>
            <Bar className="h-4 w-20" />
          </div>
        ))}
      </div>
    </Loading>
  )
}
