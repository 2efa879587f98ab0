import type { Health, HealthComponent } from '@atom/contract/health.ts'
import { type Alert, monitoringRoutes, type Objective } from '@atom/contract/monitoring.ts'
import { operationRoutes } from '@atom/contract/operations.ts'
import { Link } from '@tanstack/react-router'
import { atom } from '../shell/atom.ts'
import { classNames } from '../ui/class-names.ts'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { AlertNotice } from './alert-notice.tsx'
import { urgentFirst } from './alert-words.ts'
import { amountText, shareText, waitText } from './amount-text.ts'
import { askHealth } from './ask-health.ts'
import { BudgetBar } from './budget-bar.tsx'
import { gaugeOf, healthReason, partName, stateWords } from './health-words.ts'
import { NodeTable } from './node-table.tsx'
import { budgetLeft, budgetState, classWords, fastestBurn, promiseText } from './objective-words.ts'
import { OperationsPage } from './operations-page.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const everyMs = 5_000
const askAlerts = () => atom.call(monitoringRoutes.alerts, { query: { state: 'firing', limit: 20 } })
const askObjectives = () => atom.call(monitoringRoutes.objectives)
const askNodes = () => atom.call(operationRoutes.nodes)

/** How it goes, in one word and then in detail. */
export function OverviewPage() {
  const health = usePolled(askHealth, everyMs)
  const alerts = usePolled(askAlerts, everyMs)
  const objectives = usePolled(askObjectives, 30_000)
  const nodes = usePolled(askNodes, everyMs)
  const { value } = health
  return (
    <OperationsPage title="Overview" about="How it goes.">
      <PolledProblem polled={health} />
      {value === undefined ? (
        health.error === undefined && (
          <Loading of="the state">
            <div className="grid gap-4">
              <Bar className="h-20" />
              <Bar className="h-60" />
            </div>
          </Loading>
        )
      ) : (
        <Word health={value} />
      )}
      {alerts.value !== undefined && <Alerts alerts={alerts.value.items} />}
      {health.error === undefined && <PolledProblem polled={alerts} />}
      {value?.components !== undefined && <Parts parts={value.components} />}
      {value?.system !== undefined && <Machine readings={value.system} />}
      {objectives.value !== undefined && <Objectives objectives={objectives.value.items} />}
      {nodes.value !== undefined && (
        <NodeTable nodes={nodes.value.items} silent={nodes.value.silent} shown={value?.node ?? ''} />
      )}
    </OperationsPage>
  )
}

function Word({ health }: { health: Health }) {
  const { tone, words } = stateWords[health.state ?? health.status]
  return (
    <section aria-label="State" className="grid gap-2 rounded-card border border-line p-4">
      <p
        role="status"
        className={classNames(
          'text-2xl font-semibold',
          tone === 'bad' && 'text-bad',
          tone === 'warn' && 'text-warn',
          tone === 'good' && 'text-good',
        )}
      >
        {words}
      </p>
      <p>{healthReason(health)}</p>
      <p className="text-sm text-quiet">
        {health.node !== undefined && (
          <>
            As <span className="font-mono text-xs break-all">{health.node}</span> sees it
          </>
        )}
        {health.version !== undefined && `, version ${health.version}`}
        {health.startedAt !== undefined && (
          <>
            , started <RelativeTime at={health.startedAt} />
          </>
        )}
      </p>
    </section>
  )
}

function Alerts({ alerts }: { alerts: readonly Alert[] }) {
  return (
    <section aria-label="Alerts" className="grid gap-3">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h2 className="text-lg font-semibold">Alerts</h2>
        <PageLink to="/operations/alerts">All alerts, and who is told</PageLink>
      </div>
      {alerts.length === 0 && <p className="text-quiet">None is firing.</p>}
      {urgentFirst(alerts).map((alert) => (
        <AlertNotice key={alert.id} alert={alert} />
      ))}
    </section>
  )
}

function PageLink({
  to,
  children,
}: {
  to: '/operations/alerts' | '/operations/objectives'
  children: string
}) {
  return (
    <Link to={to} className="text-accent-text underline underline-offset-2 pointer-coarse:py-2">
      {children}
    </Link>
  )
}

function Parts({ parts }: { parts: Readonly<Record<string, HealthComponent>> }) {
  return (
    <section aria-label="Parts" className="grid gap-3">
      <h2 className="text-lg font-semibold">Parts</h2>
      <table className="w-full text-left tabular-nums">
        <thead className="border-b border-line text-sm text-quiet">
          <tr>
            <th className="py-2 pr-3 font-medium">Part</th>
            <th className="px-3 py-2 font-medium">State</th>
            <th className="px-3 py-2 font-medium max-sm:hidden">Since</th>
            <th className="px-3 py-2 text-right font-medium max-sm:hidden">Took</th>
            <th className="py-2 pl-3 font-medium max-md:hidden">Last error</th>
          </tr>
        </thead>
        <tbody>
          {Object.entries(parts).map(([name, part]) => (
            <tr key={name} className="border-b border-line">
              <th scope="row" className="py-2 pr-3 font-medium">
                {partName(name)}
                {!part.required && <span className="sr-only"> (works without it)</span>}
              </th>
              <td className="px-3 py-2">
                <Status {...stateWords[part.status]} />
                {part.detail !== undefined && <p className="text-sm text-quiet">{part.detail}</p>}
              </td>
              <td className="px-3 py-2 whitespace-nowrap max-sm:hidden">
                <RelativeTime at={part.since} />
              </td>
              <td className="px-3 py-2 text-right whitespace-nowrap max-sm:hidden">
                {waitText(part.latencyMs)}
              </td>
              <td className="py-2 pl-3 text-sm text-quiet max-md:hidden">
                {part.lastError === undefined ? (
                  'none'
                ) : (
                  <>
                    <RelativeTime at={part.lastError.at} />: {part.lastError.detail}
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

const fills = { up: 'bg-accent', degraded: 'bg-warn-dot', down: 'bg-bad-dot' } as const

function Machine({ readings }: { readings: Readonly<Record<string, HealthComponent>> }) {
  return (
    <section aria-label="Machine" className="grid gap-3">
      <h2 className="text-lg font-semibold">Machine</h2>
      <dl className="grid gap-4 sm:grid-cols-2 lg:grid-cols-3">
        {Object.entries(readings).map(([name, reading]) => {
          const gauge = gaugeOf(name, reading)
          return (
            <div key={name} className="grid content-start gap-1.5 rounded-card border border-line p-4">
              <dt className="flex items-center justify-between gap-2 text-sm text-quiet">
                {partName(name)}
                {reading.status !== 'up' && <Status {...stateWords[reading.status]} />}
              </dt>
              <dd className="grid gap-1.5 tabular-nums">
                {gauge === undefined ? (
                  stateWords[reading.status].words
                ) : (
                  <>
                    <span className="font-medium">{gauge.words}</span>
                    <Fill share={gauge.share} colour={fills[reading.status]} />
                  </>
                )}
                {reading.detail !== undefined && <p className="text-sm text-quiet">{reading.detail}</p>}
              </dd>
            </div>
          )
        })}
      </dl>
    </section>
  )
}

/** Says the same as the words beside it. */
function Fill({ share, colour }: { share: number; colour: string }) {
  return (
    <span aria-hidden className="block h-1.5 overflow-hidden rounded-full bg-chosen">
      <span className={`block h-full ${colour}`} style={{ width: `${share * 100}%` }} />
    </span>
  )
}

function Objectives({ objectives }: { objectives: readonly Objective[] }) {
  const watched = objectives.filter(({ enabled }) => enabled)
  return (
    <section aria-label="Objectives" className="grid gap-3">
      <div className="grid gap-0.5">
        <div className="flex flex-wrap items-baseline justify-between gap-x-4">
          <h2 className="text-lg font-semibold">Objectives</h2>
          <PageLink to="/operations/objectives">All objectives</PageLink>
        </div>
        <p className="text-sm text-quiet">
          Of the last three days. At a burn rate of 1 what may go wrong in 30 days lasts 30 days.
        </p>
      </div>
      {watched.length === 0 ? (
        <p className="text-quiet">None is watched.</p>
      ) : (
        <ul className="grid gap-x-8 lg:grid-cols-2">
          {watched.map((objective) => {
            const left = budgetLeft(objective)
            const burn = fastestBurn(objective)
            return (
              <li key={objective.id} className="grid gap-1.5 border-b border-line py-3">
                <div className="flex flex-wrap items-baseline justify-between gap-x-4">
                  <h3 className="font-medium">
                    <Link
                      to="/operations/objectives/$objectiveId"
                      params={{ objectiveId: objective.id }}
                      className="hover:underline pointer-coarse:py-2"
                    >
                      {classWords[objective.class]}
                    </Link>
                  </h3>
                  <Status {...budgetState(objective)} />
                </div>
                <p className="text-sm text-quiet">{promiseText(objective)}</p>
                <p className="text-sm tabular-nums">
                  {left === undefined
                    ? 'Nothing was asked yet.'
                    : `${shareText(Math.max(0, left))} of its budget left after ${amountText(objective.requests ?? 0)} requests`}
                  {left !== undefined && burn !== undefined && `; burn rate ${amountText(burn)}`}
                </p>
                {left !== undefined && <BudgetBar left={left} />}
              </li>
            )
          })}
        </ul>
      )}
    </section>
  )
}
