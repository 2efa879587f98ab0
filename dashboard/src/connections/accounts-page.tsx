import type { Connection, ProviderView } from '@atom/contract/connections.ts'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { Cable } from 'lucide-react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Button, buttonClass } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { AccountRow } from './account-row.tsx'
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
  const retry = () => void atom.connections.list().catch(() => undefined)
  return (
    <ListPage here="accounts" open={connectionId !== undefined}>
      {connections.error !== undefined && <ProblemNotice error={connections.error} onRetry={retry} />}
      {connections.state === 'loading' ? (
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
  const byId = new Map(providers.map((provider) => [provider.id, provider]))
  const nameOf = (connection: Connection) => byId.get(connection.provider)?.name ?? connection.provider
  const broken = connections.filter(needsSomeone)
  const shown = (needing ? broken : connections)
    .filter((connection) =>
      matches(q, [
        nameOf(connection),
        connection.provider,
        connection.identity.name,
        connection.identity.handle,
        connection.identity.email,
        connection.sandbox ? 'sandbox' : undefined,
        statusWords(connection).words,
      ]),
    )
    .toSorted((a, b) => order(a) - order(b) || compare(nameOf(a), nameOf(b)) || byName(a, b))
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
        <Chip chosen={!needing} onChoose={() => narrow(false)}>
          All <span className="tabular-nums">{connections.length}</span>
        </Chip>
        {(broken.length > 0 || needing) && (
          <Chip chosen={needing} onChoose={() => narrow(true)}>
            Need someone <span className="tabular-nums">{broken.length}</span>
          </Chip>
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
        <ul aria-label="Accounts" className="overflow-hidden rounded-card border border-line">
          {shown.map((connection) => (
            <AccountRow
              key={connection.id}
              connection={connection}
              provider={byId.get(connection.provider)}
              name={nameOf(connection)}
            />
          ))}
        </ul>
      )}
    </>
  )
}

/** What needs someone comes first; the rest keeps its place whatever its state, so that nothing jumps. */
function order(connection: Connection): number {
  return needsSomeone(connection) ? 0 : 1
}

function byName(a: Connection, b: Connection): number {
  return compare(a.identity.name, b.identity.name) || compare(a.id, b.id)
}

function compare(a: string, b: string): number {
  return a.localeCompare(b, 'en')
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
