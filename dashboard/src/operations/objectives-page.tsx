import { monitoringRoutes, type Objective } from '@atom/contract/monitoring.ts'
import { Link } from '@tanstack/react-router'
import { atom } from '../shell/atom.ts'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { amountText, shareText } from './amount-text.ts'
import { BudgetBar } from './budget-bar.tsx'
import { budgetLeft, budgetState, fastestBurn, objectiveName, promiseText } from './objective-words.ts'
import { OperationsPage } from './operations-page.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const everyMs = 10_000
const askObjectives = () => atom.call(monitoringRoutes.objectives)

/** What the server is meant to be, and whether it is. */
export function ObjectivesPage() {
  const objectives = usePolled(askObjectives, everyMs)
  const { value } = objectives
  return (
    <OperationsPage
      title="Objectives"
      about="What this server is meant to be, over the last three days. At a burn rate of 1 what may go wrong in 30 days lasts 30 days."
    >
      <PolledProblem polled={objectives} />
      {value === undefined ? (
        objectives.error === undefined && (
          <Loading of="the objectives">
            <Bar className="h-80" />
          </Loading>
        )
      ) : (
        <table className="w-full text-left tabular-nums">
          <thead className="border-b border-line text-sm text-quiet">
            <tr>
              <th className="py-2 pr-3 font-medium">Objective</th>
              <th className="px-3 py-2 font-medium">Left of its budget</th>
              <th className="px-3 py-2 text-right font-medium whitespace-nowrap max-md:hidden">Burn rate</th>
              <th className="px-3 py-2 text-right font-medium max-md:hidden">Requests</th>
              <th className="py-2 pl-3 font-medium max-sm:hidden">State</th>
            </tr>
          </thead>
          <tbody>
            {value.items.map((objective) => (
              <Row key={objective.id} objective={objective} />
            ))}
          </tbody>
        </table>
      )}
    </OperationsPage>
  )
}

function Row({ objective }: { objective: Objective }) {
  const left = objective.enabled ? budgetLeft(objective) : undefined
  const burn = fastestBurn(objective)
  const state = budgetState(objective)
  return (
    <tr className="border-b border-line">
      <th scope="row" className="py-2 pr-3 font-normal">
        <Link
          to="/operations/objectives/$objectiveId"
          params={{ objectiveId: objective.id }}
          className="font-medium hover:underline pointer-coarse:py-2"
        >
          {objectiveName(objective)}
        </Link>
        <p className="text-sm text-quiet">{promiseText(objective)}</p>
        <p className="sm:hidden">
          <Status {...state} />
        </p>
      </th>
      <td className="w-40 px-3 py-2 lg:w-56">
        {left === undefined ? (
          <span className="text-quiet">–</span>
        ) : (
          <div className="grid gap-1">
            <span>{shareText(Math.max(0, left))}</span>
            <BudgetBar left={left} />
          </div>
        )}
      </td>
      <td className="px-3 py-2 text-right max-md:hidden">
        {left === undefined || burn === undefined ? '–' : amountText(burn)}
      </td>
      <td className="px-3 py-2 text-right max-md:hidden">
        {objective.requests === null ? '–' : amountText(objective.requests)}
      </td>
      <td className="py-2 pl-3 max-sm:hidden">
        <Status {...state} />
      </td>
    </tr>
  )
}
