import { failureRoutes } from '@atom/contract/failures.ts'
import { Link, useParams } from '@tanstack/react-router'
import { ArrowLeft } from 'lucide-react'
import { type ReactNode, useCallback } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { Button } from '../ui/button.tsx'
import { CopyButton } from '../ui/copy-button.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { amountText } from './amount-text.ts'
import { stepText } from './errors-page.tsx'
import { doorWords, failureState } from './failure-words.ts'
import { LivePlot } from './live-plot.tsx'
import { OperationsPage } from './operations-page.tsx'
import { PolledProblem } from './polled-problem.tsx'
import { usePolled } from './use-polled.ts'

const minutes = 1_440

/** One kind of error: how often, since when, and the newest example of it. */
export function ErrorPage() {
  const { errorId } = useParams({ from: '/inside/operations/errors/$errorId' })
  const ask = useCallback(
    () => atom.call(failureRoutes.errorGroup, { params: { id: errorId }, query: { minutes } }),
    [errorId],
  )
  const group = usePolled(ask, 5_000)
  const resolve = useAction(async () => {
    await atom.call(failureRoutes.resolveError, { params: { id: errorId } })
    group.again()
  })
  const { value } = group
  return (
    <OperationsPage
      title={value?.title ?? 'Error'}
      about={
        <Link
          to="/operations/errors"
          className="inline-flex items-center gap-1.5 hover:text-text pointer-coarse:py-2"
        >
          <ArrowLeft size={16} aria-hidden /> All errors
        </Link>
      }
      actions={
        value?.state === 'open' && (
          <Button look="primary" busy={resolve.busy} onClick={() => resolve.run()}>
            Resolve
          </Button>
        )
      }
    >
      {resolve.error !== undefined && <ProblemNotice error={resolve.error} onDismiss={resolve.clear} />}
      <PolledProblem polled={group} />
      {value === undefined
        ? group.error === undefined && (
            <Loading of="the error">
              <div className="grid gap-4">
                <Bar className="h-32" />
                <Bar className="h-52" />
              </div>
            </Loading>
          )
        : value.id === errorId && (
            <>
              <div className="grid gap-1" aria-live="polite">
                <Status {...failureState(value)} />
                {value.state === 'resolved' && (
                  <p className="text-sm text-quiet">When it comes again, it is open again.</p>
                )}
              </div>
              <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-6 gap-y-1.5">
                <Fact name="Code">
                  <code className="font-mono text-xs">{value.code}</code>
                </Fact>
                <Fact name="Category">{value.category}</Fact>
                <Fact name="Where">
                  {doorWords[value.door]}, <code className="font-mono text-xs break-all">{value.place}</code>
                </Fact>
                <Fact name="Times">
                  {amountText(value.count)}, of them {amountText(value.lastHour)} in the last hour
                </Fact>
                <Fact name="First seen">
                  <RelativeTime at={value.firstSeenAt} />
                </Fact>
                <Fact name="Last seen">
                  <RelativeTime at={value.lastSeenAt} />
                </Fact>
                <Fact name="Example">
                  {value.exampleRequestId === null ? (
                    'no request'
                  ) : (
                    <span className="flex flex-wrap items-center gap-x-2">
                      <code className="font-mono text-xs break-all">{value.exampleRequestId}</code>
                      <CopyButton text={value.exampleRequestId} what="request id" />
                      <Link
                        to="/operations/log"
                        search={{ requestId: value.exampleRequestId }}
                        className="text-accent-text underline underline-offset-2 pointer-coarse:py-2"
                      >
                        Its lines in the log
                      </Link>
                    </span>
                  )}
                </Fact>
                {value.exampleTraceId !== null && (
                  <Fact name="Trace">
                    <span className="flex flex-wrap items-center gap-x-2">
                      <code className="font-mono text-xs break-all">{value.exampleTraceId}</code>
                      <CopyButton text={value.exampleTraceId} what="trace id" />
                    </span>
                  </Fact>
                )}
              </dl>
              <LivePlot
                key={errorId}
                title="How often does it happen?"
                words={`${amountText(value.history.counts.reduce((sum, count) => sum + count, 0))} in the last day`}
                at={value.history.at}
                unit={amountText}
                spanSeconds={minutes * 60}
                stepSeconds={value.history.stepMs / 1_000}
                lines={[
                  {
                    label: `times in ${stepText(value.history.stepMs)}`,
                    values: value.history.counts,
                    colour: 'accent',
                  },
                ]}
              />
              <section aria-labelledby="stack" className="grid gap-2">
                <div className="flex items-center gap-2">
                  <h2 id="stack" className="text-lg font-semibold">
                    Where it was thrown
                  </h2>
                  {value.stack !== null && <CopyButton text={value.stack} what="stack" />}
                </div>
                {value.stack === null ? (
                  <p className="text-quiet">Nothing of that was kept.</p>
                ) : (
                  <pre className="rounded-card border border-line bg-panel p-4 font-mono text-xs break-all whitespace-pre-wrap">
                    {value.stack}
                  </pre>
                )}
              </section>
            </>
          )}
    </OperationsPage>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-quiet">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  )
}
