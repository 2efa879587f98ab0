import { type LiveHistory, type LiveSummary, operationRoutes } from '@atom/contract/operations.ts'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useCallback, useEffect, useRef, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { Button } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Notice } from '../ui/notice.tsx'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { TimeOfDay } from '../ui/time.tsx'
import { amountText, bytesText, waitText } from './amount-text.ts'
import { BusyRooms } from './busy-rooms.tsx'
import { DrainDialog } from './drain-dialog.tsx'
import { joined } from './live-history.ts'
import { LivePlot } from './live-plot.tsx'
import { NodeTable } from './node-table.tsx'
import { Sockets } from './sockets.tsx'
import { usePolled } from './use-polled.ts'

/** A stored message is acknowledged faster than this for all but one in a hundred, also under load. */
const objectiveMs = 60

/** What the live side of this process does now, and did in the last quarter of an hour. */
export function LivePage() {
  useEffect(() => {
    document.title = 'Live · Operations · Atom'
  }, [])
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <div className="mx-auto grid w-full max-w-[75rem] gap-8 px-4 pt-6 pb-12 md:px-8 md:pt-8">
        <Live />
      </div>
    </div>
  )
}

const askNodes = () => atom.call(operationRoutes.nodes)

function Live() {
  const { node: chosen } = useSearch({ from: '/inside/operations/live' })
  const [draining, setDraining] = useState(false)
  const nodes = usePolled(askNodes)
  const several = nodes.value !== undefined && nodes.value.items.length + nodes.value.silent.length > 1
  const held = useRef<LiveHistory>(undefined)
  const ask = useCallback(async () => {
    const node = chosen === undefined ? {} : { node: chosen }
    const after = held.current?.at.at(-1)
    const [{ summary }, more] = await Promise.all([
      atom.call(operationRoutes.sockets, { query: { limit: 1, ...node } }),
      atom.call(operationRoutes.liveHistory, { query: after === undefined ? node : { after, ...node } }),
    ])
    // Another process answered, which knows nothing of the samples of the first: its own from the beginning.
    if (held.current !== undefined && held.current.node !== more.node && after !== undefined) {
      held.current = await atom.call(operationRoutes.liveHistory, { query: node })
    } else held.current = joined(held.current, more)
    return { summary, history: held.current }
  }, [chosen])
  const live = usePolled(ask)
  const { value } = live

  // Whichever the balancer chose is the one to stay with: the numbers of one must not come and go with those of another.
  const navigate = useNavigate()
  const first = value?.summary.node
  useEffect(() => {
    if (!several || chosen !== undefined || first === undefined) return
    void navigate({ to: '/operations/live', search: (kept) => ({ ...kept, node: first }), replace: true })
  }, [several, chosen, first, navigate])

  return (
    <>
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="grid min-w-0 gap-1">
          <h1 className="text-xl font-semibold">Live</h1>
          <p className="text-quiet">
            Sockets and rooms of {several ? 'one of several processes' : 'this process'}
            {value !== undefined && (
              <>
                , <span className="font-mono text-xs break-all text-text">{value.summary.node}</span>
              </>
            )}
            .
          </p>
        </div>
        <Button
          look="danger"
          disabled={value === undefined || value.summary.sockets === 0}
          onClick={() => setDraining(true)}
        >
          Drain…
        </Button>
      </div>

      {nodes.value !== undefined && several && (
        <NodeTable nodes={nodes.value.items} silent={nodes.value.silent} shown={chosen ?? first ?? ''} />
      )}
      {live.error !== undefined &&
        (value === undefined ? (
          <ProblemNotice error={live.error} onRetry={live.again} />
        ) : (
          <Notice
            tone="warn"
            title="These numbers are old"
            actions={<Button onClick={live.again}>Try again</Button>}
          >
            {chosen === undefined ? 'The server' : 'The process'} did not answer. The newest ones are of{' '}
            <TimeOfDay at={live.at ?? ''} />.
          </Notice>
        ))}
      {value !== undefined && value.summary.moving > 0 && (
        <Notice tone="plain" title={`Moving ${plural(value.summary.moving, 'socket')}`}>
          They are closed in waves, and come back by themselves.
        </Notice>
      )}

      {value === undefined ? (
        live.error === undefined && <Shape />
      ) : (
        <>
          <Headline summary={value.summary} />
          <Plots history={value.history} />
        </>
      )}
      {value !== undefined && (
        <>
          <Sockets summary={value.summary} onChanged={live.again} />
          <BusyRooms node={chosen} />
        </>
      )}
      {draining && value !== undefined && (
        <DrainDialog summary={value.summary} onClose={() => setDraining(false)} onDone={live.again} />
      )}
    </>
  )
}

function Headline({ summary }: { summary: LiveSummary }) {
  const { acknowledgedP50Ms: p50, acknowledgedP99Ms: p99 } = summary
  const slow = summary.behind + summary.crowded
  const waiting = summary.lanes.reduce((rows, lane) => rows + lane.rows, 0)
  return (
    <dl className="grid grid-cols-2 gap-4 lg:grid-cols-4">
      <Figure
        name="Sockets"
        value={amountText(summary.sockets)}
        beside={`${plural(summary.people, 'person', 'people')} in ${plural(summary.rooms, 'room')}`}
      />
      <Figure
        name="Said per second"
        value={amountText(summary.published)}
        beside={
          waiting === 0 ? 'nothing waits to be stored' : `${plural(waiting, 'event')} wait to be stored`
        }
      />
      <Figure
        name="Acknowledged, p99"
        value={p99 === null ? '–' : waitText(p99)}
        beside={p50 === null ? 'nothing in the last minute' : `usually ${waitText(p50)}`}
        warn={p99 !== null && p99 > objectiveMs}
      />
      <Figure
        name="Slow readers"
        value={amountText(slow)}
        beside={`${bytesText(summary.unsentBytes)} unread`}
        warn={summary.behind > 0}
      />
    </dl>
  )
}

function Figure({
  name,
  value,
  beside,
  warn = false,
}: {
  name: string
  value: string
  beside: string
  warn?: boolean
}) {
  return (
    <div className="grid content-start gap-0.5 rounded-card border border-line p-4">
      <dt className="text-sm text-quiet">{name}</dt>
      <dd className="grid gap-0.5">
        <span className={`text-2xl font-semibold tabular-nums ${warn ? 'text-warn' : ''}`}>{value}</span>
        <span className="text-sm text-quiet tabular-nums">{beside}</span>
      </dd>
    </div>
  )
}

function Plots({ history }: { history: LiveHistory }) {
  const { at } = history
  const most = (values: readonly (number | null)[]) => Math.max(0, ...values.map((value) => value ?? 0))
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  const now = (values: readonly number[]) => values.at(-1) ?? 0
  const slowest = most(history.acknowledgedP99Ms)
  return (
    <section aria-label="The last 15 minutes" className="grid gap-4">
      <h2 className="text-lg font-semibold">The last 15 minutes</h2>
      <div className="grid gap-4 lg:grid-cols-2">
        <LivePlot
          title="How many are connected?"
          words={`${amountText(now(history.sockets))} now, at most ${amountText(most(history.sockets))}`}
          at={at}
          unit={amountText}
          lines={[
            { label: 'sockets', values: history.sockets, colour: 'accent' },
            { label: 'behind', values: history.behind, colour: 'warn', dashed: true },
          ]}
        />
        <LivePlot
          title="How much is said?"
          words={`${amountText(sum(history.published))} in all, at most ${amountText(most(history.published))} in a second`}
          at={at}
          unit={amountText}
          lines={[{ label: 'events per second', values: history.published, colour: 'accent' }]}
        />
        <LivePlot
          title="How long until it is stored?"
          words={
            slowest === 0
              ? 'nothing was stored'
              : `the slowest second: p99 ${waitText(slowest)}, p50 at most ${waitText(most(history.acknowledgedP50Ms))}`
          }
          at={at}
          unit={waitText}
          lines={[
            { label: 'p50', values: history.acknowledgedP50Ms, colour: 'accent' },
            { label: 'p99', values: history.acknowledgedP99Ms, colour: 'quiet' },
          ]}
          objective={{ value: objectiveMs, label: `promised: p99 under ${objectiveMs} ms` }}
        />
        <LivePlot
          title="Who comes back?"
          words={`${amountText(sum(history.returned))} of ${plural(sum(history.handshakes), 'handshake')} came back; ${plural(sum(history.resumes), 'room')} had news for them`}
          at={at}
          unit={amountText}
          lines={[
            { label: 'handshakes per second', values: history.handshakes, colour: 'accent' },
            { label: 'rooms resumed with news', values: history.resumes, colour: 'quiet', dashed: true },
          ]}
        />
      </div>
    </section>
  )
}

function Shape() {
  return (
    <Loading of="the live numbers">
      <div className="grid gap-8">
        <div className="grid grid-cols-2 gap-4 lg:grid-cols-4">
          {['sockets', 'said', 'acknowledged', 'slow'].map((name) => (
            <Bar key={name} className="h-28" />
          ))}
        </div>
        <div className="grid gap-4 lg:grid-cols-2">
          <Bar className="h-60" />
          <Bar className="h-60" />
        </div>
      </div>
    </Loading>
  )
}
