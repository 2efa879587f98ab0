import { type ErrorGroup, failureRoutes } from '@atom/contract/failures.ts'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback, useState } from 'react'
import { Chip } from '../connections/search-field.tsx'
import { atom } from '../shell/atom.ts'
import { Button } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { amountText } from './amount-text.ts'
import { Choice } from './choice.tsx'
import { doorWords, failureState, rangeWords } from './failure-words.ts'
import { LivePlot } from './live-plot.tsx'
import { OperationsPage } from './operations-page.tsx'
import {
  type ErrorsSearch,
  errorCategories,
  errorDoors,
  errorRanges,
  errorStates,
} from './operations-search.ts'
import { PolledProblem } from './polled-problem.tsx'
import { Sparkline } from './sparkline.tsx'
import { TextFilter } from './text-filter.tsx'
import { usePolled } from './use-polled.ts'

const everyMs = 5_000
const shown = 50
const most = 200

/** What went wrong on all processes, by kind, the latest first. */
export function ErrorsPage() {
  const search = useSearch({ from: '/inside/operations/errors/' })
  const { q, kind, door, state, minutes = 1_440 } = search
  const navigate = useNavigate()
  const [limit, setLimit] = useState(shown)
  const ask = useCallback(
    async () => ({
      minutes,
      ...(await atom.call(failureRoutes.errors, {
        query: {
          limit,
          minutes,
          ...(q !== undefined && { q }),
          ...(kind !== undefined && { category: kind }),
          ...(door !== undefined && { door }),
          ...(state !== undefined && { state }),
        },
      })),
    }),
    [q, kind, door, state, minutes, limit],
  )
  const askHistory = useCallback(
    () => atom.call(failureRoutes.errorHistory, { query: { minutes } }),
    [minutes],
  )
  const groups = usePolled(ask, everyMs)
  const history = usePolled(askHistory, everyMs)
  const look = (change: { [K in keyof ErrorsSearch]: ErrorsSearch[K] | undefined }) =>
    void navigate({
      to: '/operations/errors',
      search: Object.fromEntries(
        Object.entries({ ...search, ...change }).filter(([, value]) => value !== undefined),
      ),
      replace: true,
    })
  const narrowed = q !== undefined || kind !== undefined || door !== undefined || state !== undefined
  const { value } = groups
  const sum = total(history.value?.counts ?? [])
  const byCode = new Map(history.value?.codes.map((each) => [each.code, each.counts]))

  return (
    <OperationsPage title="Errors" about="What went wrong, by kind, on all processes.">
      <div className="flex flex-wrap gap-2">
        {errorRanges.map((range) => (
          <Chip key={range} chosen={range === minutes} onChoose={() => look({ minutes: range })}>
            {rangeWords[range]}
          </Chip>
        ))}
      </div>
      <PolledProblem polled={groups} />
      {history.value !== undefined && (
        <LivePlot
          key={minutes}
          title="How much goes wrong?"
          words={
            sum === 0
              ? 'nothing did'
              : `${amountText(sum)} in all; most often ${mostOften(history.value.codes)}`
          }
          at={history.value.at}
          unit={amountText}
          spanSeconds={minutes * 60}
          stepSeconds={history.value.stepMs / 1_000}
          lines={[
            {
              label: `errors in ${stepText(history.value.stepMs)}`,
              values: history.value.counts,
              colour: 'accent',
            },
          ]}
        />
      )}
      <section aria-label="Kinds of errors" className="grid gap-3">
        <div className="flex flex-wrap items-center gap-3">
          <TextFilter
            label="Find a code, a place or a word"
            value={q ?? ''}
            onChange={(words) => look({ q: words === '' ? undefined : words })}
          />
          <Choice
            label="State"
            value={state ?? ''}
            options={[['', 'any'], ...errorStates.map((each) => [each, each] as const)]}
            onChoose={(chosen) => look({ state: chosen === '' ? undefined : chosen })}
          />
          <Choice
            label="Category"
            value={kind ?? ''}
            options={[['', 'any'], ...errorCategories.map((each) => [each, each] as const)]}
            onChoose={(chosen) => look({ kind: chosen === '' ? undefined : chosen })}
          />
          <Choice
            label="Where"
            value={door ?? ''}
            options={[['', 'anywhere'], ...errorDoors.map((each) => [each, doorWords[each]] as const)]}
            onChoose={(chosen) => look({ door: chosen === '' ? undefined : chosen })}
          />
        </div>
        {value === undefined ? (
          groups.error === undefined && (
            <Loading of="the errors">
              <Bar className="h-40" />
            </Loading>
          )
        ) : value.items.length === 0 ? (
          <p className="py-4 text-quiet">
            {narrowed ? 'No error is like that.' : 'Nothing went wrong in this time.'}
          </p>
        ) : (
          <>
            <ErrorTable items={value.items} byCode={byCode} />
            {value.next !== null &&
              (limit < most ? (
                <Button className="justify-self-start" onClick={() => setLimit(most)}>
                  Show more
                </Button>
              ) : (
                <p className="text-sm text-quiet">The latest {most} kinds. Find the others by a word.</p>
              ))}
          </>
        )}
      </section>
    </OperationsPage>
  )
}

function mostOften(codes: readonly { readonly code: string; readonly counts: readonly number[] }[]): string {
  return codes
    .map(({ code, counts }) => ({ code, sum: total(counts) }))
    .sort((a, b) => b.sum - a.sum)
    .slice(0, 2)
    .map(({ code, sum }) => `${code} (${amountText(sum)})`)
    .join(' and ')
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

function ErrorTable({
  items,
  byCode,
}: {
  items: readonly ErrorGroup[]
  byCode: ReadonlyMap<string, readonly number[]>
}) {
  return (
    <table className="w-full text-left tabular-nums">
      <thead className="border-b border-line text-sm text-quiet">
        <tr>
          <th className="py-2 pr-3 font-medium">Error</th>
          <th className="px-3 py-2 font-medium max-sm:hidden">State</th>
          <th className="px-3 py-2 font-medium whitespace-nowrap max-lg:hidden">All of this code</th>
          <th className="px-3 py-2 text-right font-medium whitespace-nowrap max-md:hidden">Last hour</th>
          <th className="px-3 py-2 text-right font-medium">Times</th>
          <th className="px-3 py-2 font-medium max-lg:hidden">First</th>
          <th className="py-2 pl-3 font-medium">Last</th>
        </tr>
      </thead>
      <tbody>
        {items.map((group) => (
          <tr key={group.id} className="border-b border-line">
            <th scope="row" className="w-1/2 max-w-0 py-2 pr-3 font-normal">
              <Link
                to="/operations/errors/$errorId"
                params={{ errorId: group.id }}
                className="block font-medium hover:underline max-sm:[overflow-wrap:anywhere] sm:truncate pointer-coarse:py-2"
              >
                {group.title}
              </Link>
              <p className="text-sm text-quiet max-sm:break-all sm:truncate" title={group.place}>
                <span className="font-mono text-xs">{group.code}</span> at{' '}
                <span className="font-mono text-xs">{group.place}</span>
              </p>
            </th>
            <td className="px-3 py-2 max-sm:hidden">
              <Status {...failureState(group)} />
            </td>
            <td className="px-3 py-2 max-lg:hidden">
              <Sparkline values={byCode.get(group.code) ?? []} />
            </td>
            <td className="px-3 py-2 text-right max-md:hidden">{amountText(group.lastHour)}</td>
            <td className="px-3 py-2 text-right">{amountText(group.count)}</td>
            <td className="px-3 py-2 whitespace-nowrap max-lg:hidden">
              <RelativeTime at={group.firstSeenAt} />
            </td>
            <td className="py-2 pl-3 whitespace-nowrap">
              <RelativeTime at={group.lastSeenAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** "a minute", "15 minutes", "3 hours": how much time one place of a plot stands for. */
export function stepText(stepMs: number): string {
  const minutes = Math.round(stepMs / 60_000)
  if (minutes <= 1) return 'a minute'
  return minutes % 60 === 0 ? plural(minutes / 60, 'hour') : plural(minutes, 'minute')
}
