import { type LogLine, logRoutes } from '@atom/contract/log.ts'
import { operationRoutes } from '@atom/contract/operations.ts'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { ArrowDown } from 'lucide-react'
import { useLayoutEffect, useMemo, useRef, useState } from 'react'
import { Chip } from '../connections/search-field.tsx'
import { atom } from '../shell/atom.ts'
import { ProblemNotice } from '../shell/problem.tsx'
import { useAction } from '../shell/use-action.ts'
import { useAnswer } from '../shell/use-answer.ts'
import { Button } from '../ui/button.tsx'
import { classNames } from '../ui/class-names.ts'
import { exactTime } from '../ui/clock-text.ts'
import { Bar, Loading } from '../ui/skeleton.tsx'
import { Status } from '../ui/status.tsx'
import { TimeOfDay } from '../ui/time.tsx'
import { Choice } from './choice.tsx'
import { LevelDialog } from './level-dialog.tsx'
import { OperationsPage } from './operations-page.tsx'
import { type LogSearch, logLevels } from './operations-search.ts'
import { TextFilter } from './text-filter.tsx'
import { useLog } from './use-log.ts'

const askLevels = () => atom.call(logRoutes.logLevels)
const askNodes = () => atom.call(operationRoutes.nodes)

/** What a process writes down, while it does. */
export function LogPage() {
  const search = useSearch({ from: '/inside/operations/log' })
  const { q, level, module, requestId, node } = search
  const navigate = useNavigate()
  const [follow, setFollow] = useState(true)
  const [choosing, setChoosing] = useState(false)
  const levels = useAnswer(askLevels)
  const nodes = useAnswer(askNodes)
  const wanted = useMemo(
    () => ({
      ...(q !== undefined && { q }),
      ...(level !== undefined && { level }),
      ...(module !== undefined && { module }),
      ...(requestId !== undefined && { requestId }),
    }),
    [q, level, module, requestId],
  )
  const { log, error, live, again, more } = useLog(wanted, follow, node)
  const older = useAction(more)
  const look = (change: { [K in keyof LogSearch]: LogSearch[K] | undefined }) =>
    void navigate({
      to: '/operations/log',
      search: Object.fromEntries(
        Object.entries({ ...search, ...change }).filter(([, value]) => value !== undefined && value !== ''),
      ),
      replace: true,
    })
  const parts = levels.state === 'ready' ? levels.value.items : []
  const processes = new Set([
    ...(nodes.state === 'ready' ? nodes.value.items.map(({ summary }) => summary.node) : []),
    ...(node === undefined ? [] : [node]),
  ])
  const changed = parts.filter(({ until }) => until !== null)

  return (
    <OperationsPage
      title="Log"
      about={
        log === undefined ? (
          'What the process that answers writes down.'
        ) : (
          <>
            What <span className="font-mono text-xs break-all text-text">{log.node}</span> writes down.
          </>
        )
      }
      actions={
        <Button disabled={parts.length === 0} onClick={() => setChoosing(true)}>
          Levels…
        </Button>
      }
    >
      <div className="flex flex-wrap items-center gap-3">
        <TextFilter label="Find a part of a line" value={q ?? ''} onChange={(words) => look({ q: words })} />
        <Choice
          label="From level"
          value={level ?? ''}
          options={[['', 'any'], ...logLevels.map((each) => [each, each] as const)]}
          onChoose={(chosen) => look({ level: chosen === '' ? undefined : chosen })}
        />
        <Choice
          label="Part"
          value={module ?? ''}
          options={[
            ['', 'all'],
            ...[
              ...new Set([...parts.map((part) => part.module), ...(module === undefined ? [] : [module])]),
            ].map((each) => [each, each] as const),
          ]}
          onChoose={(chosen) => look({ module: chosen })}
        />
        {processes.size > 1 && (
          <Choice
            label="Process"
            value={node ?? ''}
            options={[['', 'the one that answers'], ...[...processes].map((each) => [each, each] as const)]}
            onChoose={(chosen) => look({ node: chosen })}
            className="max-w-full"
          />
        )}
        <Chip chosen={follow} onChoose={() => setFollow(!follow)}>
          Follow
        </Chip>
        <span aria-live="polite">
          {follow && (
            <Status
              tone={live ? 'good' : 'off'}
              words={live ? (node === undefined ? 'Live' : 'Asked every 2 s') : 'Not connected'}
            />
          )}
        </span>
      </div>
      {requestId !== undefined && (
        <p className="flex flex-wrap items-center gap-2 text-quiet">
          Only of request <code className="font-mono text-xs break-all text-text">{requestId}</code>
          <Button look="quiet" onClick={() => look({ requestId: undefined })}>
            Show all
          </Button>
        </p>
      )}
      {changed.length > 0 && (
        <ul className="grid gap-1 text-sm text-quiet">
          {changed.map((part) => (
            <li key={part.module}>
              <code className="font-mono text-xs text-text">{part.module}</code> says {part.level} until{' '}
              <TimeOfDay at={part.until ?? ''} />.
            </li>
          ))}
        </ul>
      )}
      {error !== undefined && <ProblemNotice error={error} onRetry={again} />}
      {older.error !== undefined && <ProblemNotice error={older.error} onDismiss={older.clear} />}
      {log === undefined ? (
        error === undefined && (
          <Loading of="the log">
            <Bar className="h-80" />
          </Loading>
        )
      ) : (
        <Lines
          lines={log.lines}
          older={log.older === null ? undefined : older}
          onRequest={(id) => look({ requestId: id })}
          nothing={
            Object.keys(wanted).length > 0 ? 'No line is like that yet.' : 'Nothing has been written yet.'
          }
        />
      )}
      {choosing && <LevelDialog parts={parts} onClose={() => setChoosing(false)} onDone={levels.reload} />}
    </OperationsPage>
  )
}

/** What is being read never moves: the view stays with the end only where it is there. */
function Lines({
  lines,
  older,
  onRequest,
  nothing,
}: {
  lines: readonly LogLine[]
  older: { readonly run: () => void; readonly busy: boolean } | undefined
  onRequest: (requestId: string) => void
  nothing: string
}) {
  const frame = useRef<HTMLElement>(null)
  const atEnd = useRef(true)
  const [seen, setSeen] = useState(0)
  const [open, setOpen] = useState<number>()
  const last = lines.at(-1)?.number ?? 0
  const first = useRef<{ number: number; height: number }>(undefined)

  // biome-ignore lint/correctness/useExhaustiveDependencies: moved with the lines alone.
  useLayoutEffect(() => {
    const element = frame.current
    if (element === null) return
    const number = lines[0]?.number ?? 0
    const before = first.current
    if (atEnd.current) {
      element.scrollTop = element.scrollHeight
      setSeen(last)
    } else if (before !== undefined && number < before.number) {
      // Older ones came in above what is read.
      element.scrollTop += element.scrollHeight - before.height
    }
    first.current = { number, height: element.scrollHeight }
  }, [lines])

  const news = lines.filter(({ number }) => number > seen).length
  return (
    <div className="relative">
      <section
        ref={frame}
        aria-label="Lines of the log"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so it has to be reached by keyboard.
        tabIndex={0}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          atEnd.current = scrollHeight - scrollTop - clientHeight < 24
          if (atEnd.current) setSeen(last)
        }}
        className="h-[max(20rem,58dvh)] overflow-y-auto rounded-card border border-line bg-panel py-1 font-mono text-xs [overflow-anchor:none]"
      >
        {older !== undefined && (
          <div className="px-2 py-1 font-sans">
            <Button look="quiet" busy={older.busy} onClick={() => older.run()}>
              Show older lines
            </Button>
          </div>
        )}
        {lines.length === 0 && <p className="px-4 py-4 font-sans text-base text-quiet">{nothing}</p>}
        <ol>
          {lines.map((line) => (
            <Line
              key={line.number}
              line={line}
              open={open === line.number}
              onOpen={() => setOpen(open === line.number ? undefined : line.number)}
              onRequest={onRequest}
            />
          ))}
        </ol>
      </section>
      {news > 0 && (
        <Button
          className="absolute bottom-3 left-1/2 -translate-x-1/2 !rounded-full shadow-float"
          onClick={() => {
            const element = frame.current
            if (element !== null) element.scrollTop = element.scrollHeight
          }}
        >
          <ArrowDown size={16} aria-hidden />
          {news.toLocaleString('en')} new
        </Button>
      )}
    </div>
  )
}

const levelColours: Readonly<Record<string, string>> = {
  warn: 'text-warn',
  error: 'text-bad',
  fatal: 'text-bad font-semibold',
}

function Line({
  line,
  open,
  onOpen,
  onRequest,
}: {
  line: LogLine
  open: boolean
  onOpen: () => void
  onRequest: (requestId: string) => void
}) {
  const { requestId } = line
  const time = new Date(line.time)
  return (
    <li className="[content-visibility:auto] [contain-intrinsic-size:auto_24px]">
      <button
        type="button"
        aria-expanded={open}
        onClick={onOpen}
        className={classNames(
          'flex w-full gap-x-3 px-4 py-1 text-left -outline-offset-2 hover:bg-hover pointer-coarse:min-h-11 pointer-coarse:items-center',
          'max-sm:flex-wrap',
          open && 'bg-hover',
        )}
      >
        <time dateTime={line.time} title={exactTime(time)} className="shrink-0 text-quiet tabular-nums">
          {clockText(time)}
        </time>
        <span className={classNames('w-10 shrink-0', levelColours[line.level] ?? 'text-quiet')}>
          {line.level}
        </span>
        <span className="w-24 shrink-0 truncate text-quiet max-md:hidden">{line.module ?? ''}</span>
        <span
          className={classNames(
            'min-w-0 flex-1 max-sm:basis-full',
            open ? 'break-words' : 'truncate max-sm:whitespace-normal max-sm:[overflow-wrap:anywhere]',
          )}
        >
          {line.message}
          {!open && <span className="text-quiet"> {shortFields(line.fields)}</span>}
        </span>
      </button>
      {open && (
        <div className="grid gap-2 bg-hover px-4 pt-1 pb-3">
          <pre className="break-all whitespace-pre-wrap">
            {JSON.stringify(
              {
                number: line.number,
                ...(line.module !== undefined && { module: line.module }),
                ...(requestId !== undefined && { requestId }),
                ...line.fields,
              },
              undefined,
              2,
            )}
          </pre>
          {requestId !== undefined && (
            <div className="font-sans">
              <Button onClick={() => onRequest(requestId)}>Only this request</Button>
            </div>
          )}
        </div>
      )}
    </li>
  )
}

/** The plain ones of them, as far as a line has space. */
function shortFields(fields: LogLine['fields']): string {
  return Object.entries(fields)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ')
}

/** To the millisecond: lines of one request lie close together. */
function clockText(at: Date): string {
  const two = (part: number) => String(part).padStart(2, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`
}
