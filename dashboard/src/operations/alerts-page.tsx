import { type Alert, monitoringRoutes } from '@atom/contract/monitoring.ts'
import { useCallback, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { Button } from '../ui/button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime, useNow } from '../ui/time.tsx'
import { AlertNotice } from './alert-notice.tsx'
import { AlertTargetsSection } from './alert-targets.tsx'
import { lastedText, urgencies, urgentFirst } from './alert-words.ts'
import { OperationsPage } from './operations-page.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const everyMs = 5_000
const shown = 20
const most = 200
const askFiring = () => atom.call(monitoringRoutes.alerts, { query: { state: 'firing', limit: most } })

/** What is wrong now, where that is told, and what was. */
export function AlertsPage() {
  const [limit, setLimit] = useState(shown)
  const askOver = useCallback(
    () => atom.call(monitoringRoutes.alerts, { query: { state: 'resolved', limit } }),
    [limit],
  )
  const firing = usePolled(askFiring, everyMs)
  const over = usePolled(askOver, everyMs)
  const { value } = firing
  return (
    <OperationsPage title="Alerts" about="What is wrong, who is told, and what was wrong before.">
      <PolledProblem polled={firing} />
      {value === undefined ? (
        firing.error === undefined && (
          <Loading of="the alerts">
            <div className="grid gap-4">
              <Bar className="h-24" />
              <Bar className="h-60" />
            </div>
          </Loading>
        )
      ) : (
        <section aria-label="Firing" className="grid gap-3">
          <h2 className="text-lg font-semibold">
            Firing{value.items.length > 0 && <span className="text-quiet"> {value.items.length}</span>}
          </h2>
          {value.items.length === 0 && (
            <p className="text-quiet">Nothing is wrong that somebody has to know.</p>
          )}
          {urgentFirst(value.items).map((alert) => (
            <AlertNotice key={alert.id} alert={alert} />
          ))}
          {value.next !== null && <p className="text-sm text-quiet">These are the latest {most}.</p>}
        </section>
      )}
      <AlertTargetsSection />
      {over.value !== undefined && (
        <section aria-label="Over" className="grid gap-3">
          <h2 className="text-lg font-semibold">Over</h2>
          {over.value.items.length === 0 ? (
            <p className="text-quiet">Alerts that are over will stay here for about a year.</p>
          ) : (
            <>
              <OverTable alerts={over.value.items} />
              {over.value.next !== null &&
                (limit < most ? (
                  <Button className="justify-self-start" onClick={() => setLimit(most)}>
                    Show more
                  </Button>
                ) : (
                  <p className="text-sm text-quiet">The latest {most}. The API gives all of them.</p>
                ))}
            </>
          )}
        </section>
      )}
      {firing.error === undefined && <PolledProblem polled={over} />}
    </OperationsPage>
  )
}

function OverTable({ alerts }: { alerts: readonly Alert[] }) {
  const now = useNow()
  return (
    <table className="w-full text-left tabular-nums">
      <thead className="border-b border-line text-sm text-quiet">
        <tr>
          <th className="py-2 pr-3 font-medium">Alert</th>
          <th className="px-3 py-2 font-medium max-md:hidden">How urgent</th>
          <th className="px-3 py-2 font-medium">Began</th>
          <th className="py-2 pl-3 text-right font-medium">Lasted</th>
        </tr>
      </thead>
      <tbody>
        {alerts.map((alert) => (
          <tr key={alert.id} className="border-b border-line align-top">
            <th scope="row" className="w-1/2 py-2 pr-3 font-normal">
              <details className="group">
                <summary className="cursor-pointer font-medium [overflow-wrap:anywhere] pointer-coarse:py-2">
                  {alert.title}
                </summary>
                <p className="mt-1 [overflow-wrap:anywhere]">{alert.why}</p>
              </details>
              {alert.resolution !== null && (
                <p className="text-sm text-quiet [overflow-wrap:anywhere]">{alert.resolution}</p>
              )}
            </th>
            <td className="px-3 py-2 max-md:hidden">
              <Status tone="off" words={urgencies[alert.severity].words} />
            </td>
            <td className="px-3 py-2 whitespace-nowrap">
              <RelativeTime at={alert.since} />
            </td>
            <td className="py-2 pl-3 text-right whitespace-nowrap">{lastedText(alert, now)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
