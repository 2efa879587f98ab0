import type { ProviderCategory, ProviderView } from '@atom/contract/connections.ts'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { LibraryBig } from 'lucide-react'
import { atom, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Button } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Empty } from '../ui/empty.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { categoryWords } from './category-words.ts'
import { matches } from './matches.ts'
import { ProviderCard } from './provider-card.tsx'
import { useProviders } from './providers-context.ts'
import { Chip, SearchField } from './search-field.tsx'

/** Everything that can be connected. Also found by what it lets an agent do: "calendar" finds Google. */
export function Catalogue() {
  const providers = useProviders()
  if (providers.state === 'loading') return <Shape />
  if (providers.state === 'failed')
    return <ProblemNotice error={providers.error} onRetry={providers.reload} />
  return <Providers providers={providers.value} />
}

function Providers({ providers }: { providers: readonly ProviderView[] }) {
  const { q = '', category } = useSearch({ from: '/inside/connections' })
  const navigate = useNavigate()
  const connections = useObserved(atom.connections)
  const categories = (Object.keys(categoryWords) as ProviderCategory[]).filter((name) =>
    providers.some((provider) => provider.category === name),
  )
  const shown = providers.filter(
    (provider) =>
      (category === undefined || provider.category === category) &&
      matches(q, [
        provider.name,
        provider.id,
        categoryWords[provider.category],
        ...provider.scopes.map(({ meaning }) => meaning),
      ]),
  )
  const choose = (chosen: ProviderCategory | undefined) =>
    void navigate({
      to: '.',
      search: ({ category: _, ...kept }) => (chosen === undefined ? kept : { ...kept, category: chosen }),
      replace: true,
    })
  return (
    <>
      <div className="grid gap-2">
        <SearchField label="Search the catalogue" />
        <fieldset aria-label="Category" className="flex flex-wrap gap-1.5">
          <Chip chosen={category === undefined} onChoose={() => choose(undefined)}>
            All
          </Chip>
          {categories.map((name) => (
            <Chip key={name} chosen={category === name} onChoose={() => choose(name)}>
              {categoryWords[name]}
            </Chip>
          ))}
        </fieldset>
      </div>
      <p role="status" className="sr-only">
        {plural(shown.length, 'provider')}
      </p>
      {shown.length === 0 ? (
        <Empty
          icon={<LibraryBig size={24} aria-hidden />}
          action={<Button onClick={() => void navigate({ to: '.', search: {} })}>Show everything</Button>}
        >
          Nothing here goes by “{q}”. Any provider that speaks OAuth 2.0 can be added as one file.
        </Empty>
      ) : (
        <ul aria-label="Providers" className="grid items-start gap-3 @2xl:grid-cols-2">
          {shown.map((provider) => (
            <ProviderCard
              key={provider.id}
              provider={provider}
              accounts={connections.items.filter((item) => item.provider === provider.id).length}
            />
          ))}
        </ul>
      )}
    </>
  )
}

function Shape() {
  return (
    <Loading of="the catalogue">
      <div className="grid gap-3 @2xl:grid-cols-2">
        {[0, 1, 2, 3].map((row) => (
          <div key={row} className="flex items-center gap-3 rounded-card border border-line px-4 py-4">
            <Bar className="size-6" />
            <div className="grid flex-1 gap-2">
              <Bar className="h-4 w-24" />
              <Bar className="h-3.5 w-32" />
            </div>
            <Bar className="h-8 w-20" />
          </div>
        ))}
      </div>
    </Loading>
  )
}
