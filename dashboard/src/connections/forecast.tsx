import type { ForecastItem } from '@atom/contract/connections.ts'
import { Link } from '@tanstack/react-router'
import { ChevronDown } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { atom, isOperator, useMe, useObserved } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAnswer } from '../shell/use-answer.ts'
import { buttonClass } from '../ui/button.tsx'
import { plural } from '../ui/clock-text.ts'
import { Status } from '../ui/status.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { severityTone } from './forecast-tone.ts'

const askForecast = () => atom.connections.forecast()
/** More than these would push the accounts off the screen, which are what people come for. */
const shownAtFirst = 2

/** What will end, soonest first; nothing at all where nothing will. */
export function Forecast() {
  // A connection that came, went or was mended changes what will end.
  const forecast = useAnswer(askForecast, useObserved(atom.connections).items)
  const [all, setAll] = useState(false)
  if (forecast.state === 'failed') return <ProblemNotice error={forecast.error} onRetry={forecast.reload} />
  if (forecast.state === 'loading' || forecast.value.length === 0) return null
  const pressing = forecast.value.filter(({ severity }) => severity !== 'low')
  const items = all ? forecast.value : pressing.slice(0, shownAtFirst)
  const more = forecast.value.length - items.length
  return (
    <section aria-labelledby="forecast" className="overflow-hidden rounded-card border border-line">
      <h2 id="forecast" className="border-b border-line bg-panel px-4 py-2 font-semibold">
        What will end
      </h2>
      <ul>
        {items.map((item) => (
          <ForecastRow
            key={`${item.kind} ${item.provider} ${item.connectionId} ${item.title}`}
            item={item}
            action={<WhereToActOn item={item} />}
          />
        ))}
      </ul>
      {more > 0 && (
        <button
          type="button"
          onClick={() => setAll(true)}
          className="flex h-9 w-full items-center gap-1.5 px-4 not-first:border-t text-sm text-quiet hover:bg-hover hover:text-text pointer-coarse:h-11"
        >
          <ChevronDown size={16} aria-hidden />
          {items.length === 0 ? `Show ${plural(more, 'thing')}` : `Show ${more} more`}
        </button>
      )}
    </section>
  )
}

/** One thing that will end; also in the panel of the connection that it is about. */
export function ForecastRow({ item, action }: { item: ForecastItem; action: ReactNode }) {
  const { at, title, detail, severity } = item
  return (
    <li className="flex flex-wrap items-start gap-x-4 gap-y-2 px-4 py-2.5 not-first:border-t not-first:border-line">
      <div className="min-w-48 flex-1">
        <Status tone={severityTone(severity)} words={title} />
        <p className="pl-4 text-sm text-quiet">{detail}</p>
      </div>
      <span className="text-sm text-quiet tabular-nums @max-xl:pl-4">
        {at === null ? 'when is not known' : <RelativeTime at={at} />}
      </span>
      {action !== false && (
        <div className="grid justify-items-start gap-2 @max-xl:w-full @max-xl:pl-4">{action}</div>
      )}
    </li>
  )
}

/** Where it is dealt with: at the account, or where its app is entered, for those who may. */
function WhereToActOn({ item: { connectionId, provider, remedy } }: { item: ForecastItem }) {
  const operator = isOperator(useMe())
  const label = remedy?.label ?? 'Look'
  const look = buttonClass('plain')
  if (connectionId !== undefined) {
    return (
      <Link
        to="/connections/$connectionId"
        params={{ connectionId }}
        search={(kept) => kept}
        className={look}
      >
        {remedy?.whose === 'person' ? label : 'Look'}
      </Link>
    )
  }
  if (!operator || remedy === undefined) return null
  return (
    <Link
      to="/connections/catalogue/$provider/setup"
      params={{ provider }}
      search={(kept) => kept}
      className={look}
    >
      {label}
    </Link>
  )
}
