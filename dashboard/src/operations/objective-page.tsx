import { monitoringRoutes, type Objective, type ObjectiveHistory } from '@atom/contract/monitoring.ts'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { ArrowLeft } from 'lucide-react'
import { useCallback, useState } from 'react'
import { Chip } from '../connections/search-field.tsx'
import { atom } from '../shell/atom.ts'
import { Button } from '../ui/button.tsx'
import { Notice } from '../ui/notice.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { amountText, shareText } from './amount-text.ts'
import { BudgetBar } from './budget-bar.tsx'
import { LivePlot } from './live-plot.tsx'
import { ObjectiveDialog } from './objective-dialog.tsx'
import {
  badShares,
  budgetLeft,
  budgetState,
  leftOverTime,
  objectiveName,
  promiseText,
  windowText,
} from './objective-words.ts'
import { OperationsPage } from './operations-page.tsx'
import { objectiveRanges } from './operations-search.ts'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const everyMs = 10_000
const rangeWords = { 6: 'Last 6 hours', 72: 'Last 3 days', 720: 'Last 30 days' } as const
const askObjectives = () => atom.call(monitoringRoutes.objectives)

/** One objective: what is promised, how it was kept, and how fast what may go wrong is used up. */
export function ObjectivePage() {
  const { objectiveId } = useParams({ from: '/inside/operations/objectives/$objectiveId' })
  const { hours = 72 } = useSearch({ from: '/inside/operations/objectives/$objectiveId' })
  const navigate = useNavigate()
  const [changing, setChanging] = useState(false)
  const askHistory = useCallback(
    async () => ({
      of: `${objectiveId} ${hours}`,
      ...(await atom.call(monitoringRoutes.objectiveHistory, {
        params: { id: objectiveId },
        query: { hours },
      })),
    }),
    [objectiveId, hours],
  )
  const objectives = usePolled(askObjectives, everyMs)
  const history = usePolled(askHistory, everyMs)
  const objective = objectives.value?.items.find(({ id }) => id === objectiveId)
  const kept = history.value?.of === `${objectiveId} ${hours}` ? history.value : undefined
  return (
    <OperationsPage
      title={objective === undefined ? 'Objective' : objectiveName(objective)}
      about={
        <Link
          to="/operations/objectives"
          className="inline-flex items-center gap-1.5 hover:text-text pointer-coarse:py-2"
        >
          <ArrowLeft size={16} aria-hidden /> All objectives
        </Link>
      }
      actions={objective !== undefined && <Button onClick={() => setChanging(true)}>Change…</Button>}
    >
      <PolledProblem polled={objectives} />
      {objectives.value === undefined
        ? objectives.error === undefined && (
            <Loading of="the objective">
              <div className="grid gap-4">
                <Bar className="h-24" />
                <Bar className="h-52" />
              </div>
            </Loading>
          )
        : objective === undefined && (
            <Notice tone="plain" title="There is no such objective">
              The address is old, or somebody shortened it.
            </Notice>
          )}
      {objective !== undefined && (
        <>
          <Standing objective={objective} />
          <div className="flex flex-wrap gap-2">
            {objectiveRanges.map((range) => (
              <Chip
                key={range}
                chosen={range === hours}
                onChoose={() =>
                  void navigate({
                    to: '/operations/objectives/$objectiveId',
                    params: { objectiveId },
                    search: range === 72 ? {} : { hours: range },
                    replace: true,
                  })
                }
              >
                {rangeWords[range]}
              </Chip>
            ))}
          </div>
          {objectives.error === undefined && <PolledProblem polled={history} />}
          {kept === undefined ? (
            history.error === undefined && (
              <Loading of="its history">
                <div className="grid gap-4 lg:grid-cols-2">
                  <Bar className="h-60" />
                  <Bar className="h-60" />
                </div>
              </Loading>
            )
          ) : (
            <Plots key={kept.of} objective={objective} kept={kept} hours={hours} />
          )}
          {objective.burns.length > 0 && <Burns objective={objective} />}
        </>
      )}
      {changing && objective !== undefined && (
        <ObjectiveDialog
          objective={objective}
          onClose={() => setChanging(false)}
          onDone={() => {
            objectives.again()
            history.again()
          }}
        />
      )}
    </OperationsPage>
  )
}

function Standing({ objective }: { objective: Objective }) {
  const left = objective.enabled ? budgetLeft(objective) : undefined
  const { requests, goodShare, target } = objective
  return (
    <section aria-label="How it stands" className="grid gap-2 rounded-card border border-line p-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4 gap-y-1">
        <p className="text-lg font-semibold">{promiseText(objective)}</p>
        <Status {...budgetState(objective)} />
      </div>
      {left === undefined || requests === null || goodShare === null ? (
        <p className="text-quiet">
          {objective.enabled
            ? 'Nothing was asked in the last three days.'
            : 'Nobody is told when it is missed.'}
        </p>
      ) : (
        <>
          <p className="tabular-nums">
            {left >= 0 ? `${shareText(left)} of its budget left` : 'Its budget is used up'}: of{' '}
            {amountText(requests)} requests in three days {amountText(requests * (1 - goodShare))} did not
            hold to it, and {amountText(requests * (1 - target))} may.
          </p>
          <BudgetBar left={left} />
        </>
      )}
    </section>
  )
}

function Plots({ objective, kept, hours }: { objective: Objective; kept: ObjectiveHistory; hours: number }) {
  const { target } = objective
  const span = { at: kept.at, spanSeconds: hours * 3_600, stepSeconds: kept.step }
  const total = kept.total.reduce((sum, each) => sum + each, 0)
  const bad = kept.bad.reduce((sum, each) => sum + each, 0)
  const left = leftOverTime(kept, target)
  const end = left.at(-1)
  // In binary 1 - 0.99 is not 0.01.
  const allowed = Number((100 * (1 - target)).toPrecision(6))
  const percent = (value: number) => shareText(value / 100)
  return (
    <div className="grid gap-4 lg:grid-cols-2">
      <LivePlot
        title="How much does not hold to it?"
        words={
          total === 0
            ? 'nothing was asked'
            : `${shareText(bad / total)} of ${amountText(total)} requests; ${percent(allowed)} may`
        }
        {...span}
        unit={percent}
        leastTop={allowed * 2}
        objective={{ value: allowed, label: `${percent(allowed)} may` }}
        lines={[{ label: 'did not hold to it', values: badShares(kept), colour: 'warn' }]}
      />
      <LivePlot
        title="What is left of its budget?"
        words={
          end === undefined
            ? 'nothing was asked'
            : end > 0
              ? `${percent(end)} of what may go wrong among the requests of this time`
              : 'nothing: more went wrong in this time than may'
        }
        {...span}
        unit={percent}
        leastTop={100}
        lines={[{ label: 'left', values: left.map((each) => Math.max(0, each)), colour: 'accent' }]}
      />
    </div>
  )
}

const urgency = { page: 'at once', ticket: 'in working hours' } as const

function Burns({ objective: { burns } }: { objective: Objective }) {
  return (
    <section aria-label="Burn rates" className="grid gap-3">
      <div className="grid gap-0.5">
        <h2 className="text-lg font-semibold">How fast is its budget used up?</h2>
        <p className="text-sm text-quiet">
          In times of the rate at which it lasts 30 days. Where both windows reach the limit, somebody is
          told.
        </p>
      </div>
      <table className="w-full text-left tabular-nums">
        <thead className="border-b border-line text-sm text-quiet">
          <tr>
            <th className="py-2 pr-3 font-medium">Told</th>
            <th className="px-3 py-2 font-medium">Windows</th>
            <th className="px-3 py-2 text-right font-medium">Burn rates</th>
            <th className="px-3 py-2 text-right font-medium">Limit</th>
            <th className="w-1/4 py-2 pl-3 max-sm:hidden">
              <span className="sr-only">Part of the limit</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {burns.map(({ severity, longMinutes, shortMinutes, factor, long, short }) => {
            const part = Math.min(long, short) / factor
            return (
              <tr key={longMinutes} className="border-b border-line">
                <th scope="row" className="py-2 pr-3 font-normal">
                  {urgency[severity]}
                </th>
                <td className="px-3 py-2">
                  {windowText(longMinutes)} and {windowText(shortMinutes)}
                </td>
                <td className={`px-3 py-2 text-right whitespace-nowrap ${part >= 1 ? 'text-bad' : ''}`}>
                  {amountText(long)} and {amountText(short)}
                </td>
                <td className="px-3 py-2 text-right">{factor.toLocaleString('en')}</td>
                <td className="py-2 pl-3 max-sm:hidden">
                  <span aria-hidden className="block h-1.5 overflow-hidden rounded-full bg-chosen">
                    <span
                      className={`block h-full ${part >= 1 ? 'bg-bad-dot' : part >= 0.5 ? 'bg-warn-dot' : 'bg-accent'}`}
                      style={{ width: `${Math.min(1, part) * 100}%` }}
                    />
                  </span>
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
    </section>
  )
}
