import {
  type History,
  type HistoryMetric,
  monitoringRoutes,
  type RouteTraffic,
} from '@atom/contract/monitoring.ts'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback } from 'react'
import { Chip } from '../connections/search-field.tsx'
import { atom } from '../shell/atom.ts'
import { Button } from '../ui/button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { amountText, bytesText, shareText, waitText } from './amount-text.ts'
import { rangeWords } from './failure-words.ts'
import { LivePlot } from './live-plot.tsx'
import { OperationsPage } from './operations-page.tsx'
import { type TrafficSearch, trafficRanges } from './operations-search.ts'
import { PolledProblem } from './polled-problem.tsx'
import { alignedTo, perSecond } from './traffic-columns.ts'
import { usePolled } from './use-polled.ts'

const everyMs = 10_000

/** What is asked of all processes: how much, how much of it fails, how long it takes. */
export function TrafficPage() {
  const search = useSearch({ from: '/inside/operations/traffic' })
  const { minutes = 60, route, by } = search
  const navigate = useNavigate()
  const askTraffic = useCallback(() => atom.call(monitoringRoutes.traffic, { query: { minutes } }), [minutes])
  const askHistory = useCallback(async () => {
    const to = new Date()
    const from = new Date(to.getTime() - minutes * 60_000)
    const ask = (metric: HistoryMetric) =>
      atom.call(monitoringRoutes.history, {
        query: {
          metric,
          from: from.toISOString(),
          to: to.toISOString(),
          ...(route !== undefined && { label: route }),
        },
      })
    const [duration, failed, refused] = await Promise.all([
      ask('http.duration'),
      ask('http.failed'),
      ask('http.refused'),
    ])
    return { of: `${minutes} ${route ?? ''}`, duration, failed, refused }
  }, [minutes, route])
  const traffic = usePolled(askTraffic, everyMs)
  const history = usePolled(askHistory, everyMs)
  const look = (change: { [K in keyof TrafficSearch]: TrafficSearch[K] | undefined }) =>
    void navigate({
      to: '/operations/traffic',
      search: Object.fromEntries(
        Object.entries({ ...search, ...change }).filter(([, value]) => value !== undefined),
      ),
      replace: true,
    })
  const { value } = traffic
  const summary = route === undefined ? value?.total : value?.items.find((each) => labelOf(each) === route)
  const plots = history.value?.of === `${minutes} ${route ?? ''}` ? history.value : undefined

  return (
    <OperationsPage title="Traffic" about="What is asked of all processes together.">
      <div className="flex flex-wrap items-center gap-2">
        {trafficRanges.map((range) => (
          <Chip key={range} chosen={range === minutes} onChoose={() => look({ minutes: range })}>
            {rangeWords[range]}
          </Chip>
        ))}
      </div>
      {route !== undefined && (
        <p className="flex flex-wrap items-center gap-2 text-quiet">
          Plots of <code className="font-mono text-xs break-all text-text">{route}</code>
          <Button look="quiet" onClick={() => look({ route: undefined })}>
            Show all routes
          </Button>
        </p>
      )}
      <PolledProblem polled={traffic} />
      {traffic.error === undefined && <PolledProblem polled={history} />}
      {plots === undefined ? (
        history.error === undefined && (
          <Loading of="the traffic">
            <div className="grid gap-4 lg:grid-cols-2">
              <Bar className="h-60" />
              <Bar className="h-60" />
            </div>
          </Loading>
        )
      ) : (
        <Plots key={plots.of} minutes={minutes} summary={summary} {...plots} />
      )}
      {value !== undefined && (
        <section aria-label="Routes" className="grid gap-3">
          <h2 className="text-lg font-semibold">Routes</h2>
          {value.items.length === 0 ? (
            <p className="py-4 text-quiet">Nothing was asked in this time.</p>
          ) : (
            <RouteTable
              items={value.items}
              by={by}
              chosen={route}
              onSort={(column) => look({ by: column })}
              onChoose={(each) => look({ route: each === route ? undefined : each })}
            />
          )}
        </section>
      )}
    </OperationsPage>
  )
}

function Plots({
  minutes,
  summary,
  duration,
  failed,
  refused,
}: {
  minutes: number
  summary: RouteTraffic | undefined
  duration: History
  failed: History
  refused: History
}) {
  const rate = perSecond(duration)
  const failing = alignedTo(duration.at, failed)
  const share = rate.map((each, place) => (each === 0 ? 0 : (100 * (failing[place] ?? 0)) / each))
  const span = { at: duration.at, spanSeconds: minutes * 60, stepSeconds: duration.step }
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      <LivePlot
        title="How much is asked?"
        words={
          summary === undefined
            ? 'nothing was'
            : `${amountText(summary.requests)} in all, ${rateNumber(summary)} per second on average`
        }
        {...span}
        unit={amountText}
        leastTop={1}
        lines={[
          { label: 'requests per second', values: rate, colour: 'accent' },
          {
            label: 'of them refused',
            values: alignedTo(duration.at, refused),
            colour: 'quiet',
            dashed: true,
          },
        ]}
      />
      <LivePlot
        title="How much of it fails?"
        words={
          summary === undefined
            ? 'nothing did'
            : `${shareText(summary.failedShare)}: ${amountText(summary.failed)} by this server, ${amountText(summary.upstream)} more by others such as providers`
        }
        {...span}
        unit={(value) => `${amountText(value)} %`}
        leastTop={1}
        lines={[{ label: 'failed by this server', values: share, colour: 'warn' }]}
      />
      <LivePlot
        title="How long does it take?"
        words={
          summary === undefined || summary.p99Ms === null
            ? 'nothing was asked'
            : `p50 ${timeText(summary.p50Ms)}, p95 ${timeText(summary.p95Ms)}, p99 ${timeText(summary.p99Ms)}; the slowest ${timeText(summary.slowestMs)}`
        }
        {...span}
        unit={waitText}
        lines={[
          { label: 'p50', values: duration.p50 ?? [], colour: 'accent' },
          { label: 'p95', values: duration.p95 ?? [], colour: 'quiet', dashed: true },
          { label: 'p99', values: duration.p99 ?? [], colour: 'quiet' },
        ]}
      />
      <Totals summary={summary} />
    </div>
  )
}

function Totals({ summary }: { summary: RouteTraffic | undefined }) {
  if (summary === undefined) return null
  return (
    <dl className="grid grid-cols-2 content-start gap-4 rounded-card border border-line p-4">
      {(
        [
          ['Received', bytesText(summary.receivedBytes)],
          ['Sent', bytesText(summary.sentBytes)],
          ['Refused', amountText(summary.refused)],
          ['In progress now', amountText(summary.inFlight)],
        ] as const
      ).map(([name, words]) => (
        <div key={name}>
          <dt className="text-sm text-quiet">{name}</dt>
          <dd className="text-lg font-semibold tabular-nums">{words}</dd>
        </div>
      ))}
    </dl>
  )
}

const columns = [
  { by: undefined, words: 'Per second' },
  { by: 'failed', words: 'Failed' },
  { by: 'p99', words: 'p99' },
] as const

function RouteTable({
  items,
  by,
  chosen,
  onSort,
  onChoose,
}: {
  items: readonly RouteTraffic[]
  by: TrafficSearch['by']
  chosen: string | undefined
  onSort: (by: TrafficSearch['by']) => void
  onChoose: (label: string) => void
}) {
  const sorted = items.toSorted((a, b) =>
    by === 'failed'
      ? b.failedShare - a.failedShare || b.failed - a.failed
      : by === 'p99'
        ? (b.p99Ms ?? 0) - (a.p99Ms ?? 0)
        : b.requests - a.requests,
  )
  return (
    <table className="w-full text-left tabular-nums">
      <thead className="border-b border-line text-sm text-quiet">
        <tr>
          <th className="py-2 pr-3 font-medium">Route</th>
          {columns.map((column) => (
            <th
              key={column.words}
              aria-sort={column.by === by ? 'descending' : 'none'}
              className="px-1 py-1 text-right font-medium whitespace-nowrap"
            >
              <button
                type="button"
                onClick={() => onSort(column.by)}
                className={`rounded-control px-2 py-1 max-sm:px-0.5 hover:bg-hover hover:text-text pointer-coarse:min-h-11 ${column.by === by ? 'text-text' : ''}`}
              >
                {column.words}
                <span aria-hidden>{column.by === by ? ' ↓' : ''}</span>
              </button>
            </th>
          ))}
          <th className="px-3 py-2 text-right font-medium max-md:hidden">p50</th>
          <th className="px-3 py-2 text-right font-medium max-md:hidden">p95</th>
          <th className="py-2 pl-3 text-right font-medium max-md:hidden">Refused</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((each) => {
          const label = labelOf(each)
          return (
            <tr key={label} className={`border-b border-line ${label === chosen ? 'bg-hover' : ''}`}>
              <th scope="row" className="w-1/2 max-w-0 py-1.5 pr-3 font-normal">
                <button
                  type="button"
                  aria-pressed={label === chosen}
                  title={label}
                  onClick={() => onChoose(label)}
                  className="block w-full text-left font-mono text-xs hover:underline max-sm:break-all sm:truncate pointer-coarse:min-h-11"
                >
                  {label}
                </button>
              </th>
              <td className="px-3 py-1.5 max-sm:px-1 text-right">{rateNumber(each)}</td>
              <td
                className={`px-3 py-1.5 max-sm:px-1 text-right whitespace-nowrap ${each.failed > 0 ? 'text-bad' : ''}`}
              >
                {shareText(each.failedShare)}
              </td>
              <td className="px-3 py-1.5 max-sm:px-1 text-right whitespace-nowrap">{timeText(each.p99Ms)}</td>
              <td className="px-3 py-1.5 max-sm:px-1 text-right whitespace-nowrap max-md:hidden">
                {timeText(each.p50Ms)}
              </td>
              <td className="px-3 py-1.5 max-sm:px-1 text-right whitespace-nowrap max-md:hidden">
                {timeText(each.p95Ms)}
              </td>
              <td className="py-1.5 pl-3 text-right max-md:hidden">{amountText(each.refused)}</td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}

function labelOf({ method, route }: RouteTraffic): string {
  return `${method} ${route}`
}

function timeText(ms: number | null): string {
  return ms === null ? '–' : waitText(ms)
}

/** What comes seldom is still more than nothing. */
function rateNumber({ requests, perSecond }: RouteTraffic): string {
  return requests > 0 && perSecond < 0.1 ? 'under 0.1' : amountText(perSecond)
}
