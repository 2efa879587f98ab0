import { type LimitedCallers, type LimitState, type LoadState, limitRoutes } from '@atom/contract/limits.ts'
import { useState } from 'react'
import { atom } from '../shell/atom.ts'
import { Button } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { amountText, shareText } from './amount-text.ts'
import { CallerRules } from './caller-rules.tsx'
import { LimitDialog } from './limit-dialog.tsx'
import { OperationsPage } from './operations-page.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const everyMs = 5_000
const askLimits = () => atom.call(limitRoutes.limits)
const shown = 20
const askCallers = () => atom.call(limitRoutes.limitedCallers, { query: { limit: shown } })

/** How much anybody may ask, who asks too much, and who is let through or kept out. */
export function LimitsPage() {
  const limits = usePolled(askLimits, everyMs)
  const callers = usePolled(askCallers, everyMs)
  const [changing, setChanging] = useState<LimitState>()
  const { value } = limits
  return (
    <OperationsPage
      title="Limits"
      about={
        value === undefined ? (
          'How much anybody may ask.'
        ) : (
          <>
            How much anybody may ask.{' '}
            {value.together ? 'Processes count together' : 'Each process counts for itself'}; the numbers are
            of <span className="font-mono text-xs break-all text-text">{value.node}</span>.
          </>
        )
      }
    >
      <PolledProblem polled={limits} />
      {value === undefined ? (
        limits.error === undefined && (
          <Loading of="the limits">
            <Bar className="h-60" />
          </Loading>
        )
      ) : (
        <>
          <Load load={value.load} open={value.connections.open} />
          <Policies policies={value.policies} onChange={setChanging} />
        </>
      )}
      <Callers callers={callers.value} />
      {limits.error === undefined && <PolledProblem polled={callers} />}
      <CallerRules />
      {changing !== undefined && (
        <LimitDialog limit={changing} onClose={() => setChanging(undefined)} onDone={limits.again} />
      )}
    </OperationsPage>
  )
}

function Load({ load, open }: { load: LoadState; open: number }) {
  const shed = Object.values(load.shed).reduce((sum, count) => sum + count, 0)
  return (
    <p className="flex flex-wrap gap-x-4 gap-y-1">
      <Status
        tone={load.admitting < 1 ? 'bad' : 'good'}
        words={
          load.admitting < 1
            ? `Too much comes: ${shareText(load.admitting)} of it is let in`
            : 'Everything that comes is let in'
        }
      />
      <span className="text-sm text-quiet tabular-nums">
        {shareText(load.utilisation)} busy, {plural(open, 'connection')}, {amountText(shed)} turned away since
        the start
      </span>
    </p>
  )
}

function Policies({
  policies,
  onChange,
}: {
  policies: readonly LimitState[]
  onChange: (limit: LimitState) => void
}) {
  return (
    <section aria-label="Policies" className="grid gap-3">
      <div className="grid gap-0.5">
        <h2 className="text-lg font-semibold">Policies</h2>
        <p className="text-sm text-quiet">
          A request costs a point, one that writes two. So many points at once, and so many come back each
          second.
        </p>
      </div>
      <table className="w-full text-left tabular-nums">
        <thead className="border-b border-line text-sm text-quiet">
          <tr>
            <th className="py-2 pr-3 font-medium">Policy</th>
            <th className="px-3 py-2 text-right max-sm:px-1.5 font-medium whitespace-nowrap">At once</th>
            <th className="px-3 py-2 text-right max-sm:px-1.5 font-medium whitespace-nowrap">Per second</th>
            <th className="px-3 py-2 text-right max-sm:px-1.5 font-medium max-md:hidden">Refused</th>
            <th className="py-2 pl-3">
              <span className="sr-only">What to do</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {policies.map((limit) => (
            <tr key={limit.policy} className="border-b border-line">
              <th scope="row" className="w-1/2 py-2 pr-3 font-normal">
                <span className="font-medium">{limit.policy}</span>
                <p className="text-sm text-quiet max-sm:hidden">
                  {limit.title}
                  {limit.changed !== null && (
                    <>
                      ; changed <RelativeTime at={limit.changed.at} />, usually{' '}
                      {amountText(limit.usual.burst)} and {rateText(limit.usual.perSecond)}
                    </>
                  )}
                </p>
              </th>
              <td className="px-3 py-2 text-right max-sm:px-1.5">{amountText(limit.burst)}</td>
              <td className="px-3 py-2 text-right max-sm:px-1.5 whitespace-nowrap">
                {rateText(limit.perSecond)}
              </td>
              <td className="px-3 py-2 text-right max-sm:px-1.5 max-md:hidden">
                {amountText(limit.refused)}
              </td>
              <td className="py-1 pl-3 text-right max-sm:pl-0">
                <Button look="quiet" aria-label={`Change ${limit.policy}`} onClick={() => onChange(limit)}>
                  Change…
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Callers({ callers }: { callers: LimitedCallers | undefined }) {
  if (callers === undefined) return null
  const near = callers.busiest.filter(({ used, heldBack }) => heldBack || used >= 0.5)
  return (
    <section aria-label="Who is limited" className="grid gap-3">
      <h2 className="text-lg font-semibold">Who is limited</h2>
      {near.length === 0 && callers.refusals.length === 0 ? (
        <p className="text-quiet">
          Nobody is near a limit, and nobody was refused in the last quarter of an hour.
        </p>
      ) : (
        <ul className="grid">
          {near.map(({ policy, subject, used, heldBack }) => (
            <li
              key={`near ${policy} ${subject}`}
              className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line py-2"
            >
              <code className="min-w-0 flex-1 font-mono text-xs break-all">{subject}</code>
              <Status
                tone={heldBack ? 'bad' : 'warn'}
                words={
                  heldBack ? `Held back by ${policy}` : `${shareText(Math.min(1, used))} of ${policy} used`
                }
              />
            </li>
          ))}
          {callers.refusals.map(({ policy, subject, refused, lastAt }) => (
            <li
              key={`refused ${policy} ${subject}`}
              className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line py-2"
            >
              <code className="min-w-0 flex-1 font-mono text-xs break-all">{subject}</code>
              <span className="text-sm text-quiet">
                {amountText(refused)} refused by {policy}, last <RelativeTime at={lastAt} />
              </span>
            </li>
          ))}
        </ul>
      )}
      {Math.max(near.length, callers.refusals.length) === shown && (
        <p className="text-sm text-quiet">These are {shown} of them. The API gives up to 100.</p>
      )}
    </section>
  )
}

/** Slow ones by the minute: "0.03" a second says nothing. */
export function rateText(perSecond: number): string {
  return perSecond < 0.1
    ? `${amountText(perSecond * 60)} a minute`
    : perSecond.toLocaleString('en', { maximumFractionDigits: 2 })
}
