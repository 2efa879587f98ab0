import type { Connection, ConnectionEvent } from '@atom/contract/connections.ts'
import { useCallback, useState } from 'react'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { durationText } from '../ui/clock-text.ts'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { eventWords } from './event-words.ts'

const pageSize = 20

/** What has happened to a connection, newest first. */
export function History({ connection }: { connection: Connection }) {
  const { id } = connection
  const ask = useCallback(() => atom.connections.events(id, { limit: pageSize }), [id])
  // Whatever changes a connection is a line of its history.
  const newest = useAnswer(ask, connection)
  const [older, setOlder] = useState<{ items: readonly ConnectionEvent[]; next: string | null }>()
  const next = older === undefined ? (newest.state === 'ready' ? newest.value.next : null) : older.next
  const more = useAction(async () => {
    if (next === null) return
    const page = await atom.connections.events(id, { cursor: next, limit: pageSize })
    setOlder({ items: [...(older?.items ?? []), ...page.items], next: page.next })
  })
  const items = newest.state === 'ready' ? joined(newest.value.items, older?.items ?? []) : []
  return (
    <section className="grid gap-2" aria-labelledby="history">
      <h2 id="history" className="text-sm text-quiet">
        What happened
      </h2>
      {newest.state === 'loading' && (
        <Loading of="what happened">
          <div className="grid gap-2">
            <Bar className="h-4 w-3/4" />
            <Bar className="h-4 w-1/2" />
          </div>
        </Loading>
      )}
      {newest.state === 'failed' && <ProblemNotice error={newest.error} onRetry={newest.reload} />}
      {newest.state === 'ready' && items.length === 0 && <p className="text-quiet">Nothing yet.</p>}
      {items.length > 0 && (
        <ol className="grid gap-2.5">
          {items.map((event) => (
            <Line key={event.id} event={event} />
          ))}
        </ol>
      )}
      {more.error !== undefined && <ProblemNotice error={more.error} onRetry={() => more.run()} />}
      {next !== null && more.error === undefined && (
        <Button className="justify-self-start" busy={more.busy} onClick={() => more.run()}>
          Show what was before
        </Button>
      )}
    </section>
  )
}

function Line({ event }: { event: ConnectionEvent }) {
  const { tone, words } = eventWords(event)
  return (
    <li className="grid gap-0.5">
      <span className="flex items-baseline justify-between gap-3">
        <Status tone={tone} words={words} />
        <span className="shrink-0 text-xs text-quiet">
          <RelativeTime at={event.lastAt} />
        </span>
      </span>
      <span className="pl-4 text-sm text-quiet">
        {event.detail}
        {event.durationMs !== undefined && (
          <span className="tabular-nums"> Took {durationText(event.durationMs)}.</span>
        )}
        {event.times > 1 && (
          <>
            {' '}
            Since <RelativeTime at={event.at} />.
          </>
        )}
      </span>
    </li>
  )
}

/** The newest page is asked for again from time to time, so the two may overlap. */
function joined(
  newest: readonly ConnectionEvent[],
  older: readonly ConnectionEvent[],
): readonly ConnectionEvent[] {
  const known = new Set(newest.map(({ id }) => id))
  return [...newest, ...older.filter(({ id }) => !known.has(id))]
}
