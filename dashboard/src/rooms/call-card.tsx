import { Ban, Check, CircleAlert, CircleHelp, CircleSlash, LoaderCircle } from 'lucide-react'
import { ProviderMark } from '../connections/provider-mark.tsx'
import { classNames } from '../ui/class-names.ts'
import { durationText } from '../ui/clock-text.ts'
import { OutsideLink } from '../ui/outside-link.tsx'
import { TimeOfDay } from '../ui/time.tsx'
import type { Call, CallState } from './timeline.ts'

const rowsShown = 5

const looks = {
  asking: { icon: LoaderCircle, words: 'Waiting', colour: 'text-quiet', frame: 'border-line' },
  running: { icon: LoaderCircle, words: 'Running', colour: 'text-accent-text', frame: 'border-line' },
  done: { icon: Check, words: 'Done', colour: 'text-good', frame: 'border-line' },
  failed: { icon: CircleAlert, words: 'Failed', colour: 'text-bad', frame: 'border-bad-line' },
  denied: { icon: Ban, words: 'Not done', colour: 'text-quiet', frame: 'border-line' },
  unknown: {
    icon: CircleHelp,
    words: 'Outcome unknown',
    colour: 'text-warn',
    frame: 'border-dashed border-warn-line',
  },
  cancelled: { icon: CircleSlash, words: 'Not done', colour: 'text-quiet', frame: 'border-line' },
} as const satisfies Record<CallState, object>

/** What an agent did with a tool: a sentence, the result as rows, how long it took. A decided approval is one line of it. */
export function CallCard({ call, state }: { call: Call; state: CallState }) {
  const { icon: Icon, words, colour, frame } = looks[state]
  const { outcome } = call
  const rows = outcome?.rows?.slice(0, rowsShown) ?? []
  const total = outcome?.total ?? outcome?.rows?.length ?? 0
  return (
    <section
      aria-label={`${call.title}: ${words}`}
      className={classNames('overflow-hidden rounded-card border bg-panel', frame)}
    >
      <div className="flex items-start gap-2.5 px-3 py-2">
        {call.provider !== undefined && (
          <span className="mt-[3px] shrink-0">
            <ProviderMark provider={call.provider} size={16} />
          </span>
        )}
        {/* Beside the first line alone, so that a long sentence has the whole width of a narrow card. */}
        <div className="min-w-0 flex-1">
          <span className={classNames('float-right mt-0.5 ml-2.5 flex items-center gap-1.5 text-xs', colour)}>
            <Icon size={14} aria-hidden className={state === 'running' ? 'animate-spin' : ''} />
            {words}
            {outcome !== undefined && outcome.durationMs > 0 && state === 'done' && (
              <span className="text-quiet tabular-nums">{durationText(outcome.durationMs)}</span>
            )}
          </span>
          <p>
            <span className="font-medium">{call.title}</span>
            {call.account !== undefined && <span className="text-quiet"> as {call.account}</span>}
            <DecisionWords call={call} />
            {outcome?.link !== undefined && (
              <>
                {' · '}
                <OutsideLink
                  href={outcome.link.url}
                  className="text-accent-text underline underline-offset-2"
                >
                  {outcome.link.title}
                </OutsideLink>
              </>
            )}
          </p>
        </div>
      </div>
      {outcome !== undefined && rows.length === 0 && outcome.link === undefined && outcome.summary !== '' && (
        <p className="border-t border-line px-3 py-2 text-sm text-quiet">{outcome.summary}</p>
      )}
      {state === 'unknown' && outcome === undefined && (
        <p className="border-t border-line px-3 py-2 text-sm text-quiet">
          It was begun and its end was not seen. Look at the provider before you ask again.
        </p>
      )}
      {rows.length > 0 && (
        <ul className="border-t border-line">
          {rows.map((row, at) => (
            <li
              // biome-ignore lint/suspicious/noArrayIndexKey: the rows of an outcome never change.
              key={at}
              className="flex flex-wrap items-baseline gap-x-3 border-line px-3 py-1.5 not-first:border-t sm:flex-nowrap"
            >
              <span className="min-w-0 flex-1 basis-full truncate sm:basis-0">
                {row.url === undefined ? (
                  row.title
                ) : (
                  <OutsideLink href={row.url} showHost={false} className="hover:underline">
                    {row.title}
                  </OutsideLink>
                )}
              </span>
              {row.detail !== undefined && (
                <span className="min-w-0 flex-1 truncate text-sm text-quiet tabular-nums sm:max-w-[40%] sm:flex-none">
                  {row.detail}
                </span>
              )}
              {row.state !== undefined && (
                <span className="shrink-0 rounded-control border border-line px-1.5 text-xs text-quiet">
                  {row.state}
                </span>
              )}
            </li>
          ))}
        </ul>
      )}
      {total > rows.length && rows.length > 0 && (
        <p className="border-t border-line px-3 py-1.5 text-xs text-quiet tabular-nums">
          {rows.length} of {total.toLocaleString('en')} shown
        </p>
      )}
    </section>
  )
}

const verbs = {
  approved: 'approved by',
  denied: 'denied by',
  withdrawn: 'withdrawn by',
  expired: 'expired',
} as const

function DecisionWords({ call }: { call: Call }) {
  const { decision } = call
  if (decision === undefined) return null
  return (
    <span className="text-quiet">
      {' · '}
      {verbs[decision.decision]}
      {decision.decision !== 'expired' && ` ${decision.by.name}`}, <TimeOfDay at={decision.at} />
      {decision.reason !== undefined && decision.reason !== '' && `: ${decision.reason}`}
    </span>
  )
}
