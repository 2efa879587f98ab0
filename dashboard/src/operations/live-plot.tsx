import { useEffect, useId, useRef, useState } from 'react'
import type uPlot from 'uplot'
import { Bar } from '../ui/skeleton.tsx'

export interface Line {
  readonly label: string
  readonly values: readonly (number | null)[]
  readonly colour: 'accent' | 'quiet' | 'warn'
  readonly dashed?: boolean
}

interface PlotProps {
  /** The one question that it answers. */
  readonly title: string
  /** The same in words, for whoever does not see the lines. */
  readonly words: string
  /** Milliseconds since 1970. */
  readonly at: readonly number[]
  readonly lines: readonly Line[]
  readonly unit: (value: number) => string
  /** What is promised, as a line. */
  readonly objective?: { readonly value: number; readonly label: string }
  /** How much time is shown, a quarter of an hour where absent. It stays as long as the plot: another one needs another `key`. */
  readonly spanSeconds?: number
  /** What one place stands for, a second where absent. */
  readonly stepSeconds?: number
  /** The axis reaches at least here: 4 where absent, so that a few of something look like few. */
  readonly leastTop?: number
}

const height = 148
/** A hole this long is no second that was a bit late. */
const gapSeconds = 5
const quarterSeconds = 15 * 60
const daySeconds = 86_400
const libraryAgainMs = 5_000

/** One question as lines over time. All plots of the page share their cursor. */
export function LivePlot({
  title,
  words,
  at,
  lines,
  unit,
  objective,
  spanSeconds = quarterSeconds,
  stepSeconds = 1,
  leastTop = 4,
}: PlotProps) {
  const id = useId()
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const [drawn, setDrawn] = useState(false)
  const data = useRef<uPlot.AlignedData>([[]])
  data.current = alignedData(at, lines, objective?.value, spanSeconds, stepSeconds)
  const described = useRef({ lines, unit, objective, spanSeconds, leastTop })
  described.current = { lines, unit, objective, spanSeconds, leastTop }

  useEffect(() => {
    const element = place.current
    if (element === null) return undefined
    let wanted = true
    let Plot: typeof uPlot | undefined
    function draw() {
      plot.current?.destroy()
      if (Plot === undefined || element === null) return
      plot.current = new Plot(options(element.clientWidth, described.current), data.current, element)
    }
    // Drawn by its colours, so another theme means another drawing.
    const themes = new MutationObserver(draw)
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }))
    let later: ReturnType<typeof setTimeout> | undefined
    const begin = () =>
      import('./plot-library.ts').then(
        (library) => {
          if (!wanted) return
          Plot = library.uPlot
          draw()
          setDrawn(true)
          themes.observe(document.documentElement, { attributeFilter: ['class'] })
          sizes.observe(element)
        },
        () => {
          if (!wanted) return
          // Without the lines the words still answer the question; the server that has the library may come back.
          setDrawn(true)
          later = setTimeout(begin, libraryAgainMs)
        },
      )
    void begin()
    return () => {
      wanted = false
      clearTimeout(later)
      themes.disconnect()
      sizes.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [])

  // biome-ignore lint/correctness/useExhaustiveDependencies: the data is renewed with the samples.
  useEffect(() => plot.current?.setData(data.current), [at])

  return (
    <figure
      aria-labelledby={id}
      className="grid min-w-0 content-start gap-1 rounded-card border border-line p-4"
    >
      <figcaption className="grid gap-0.5">
        <h3 id={id} className="font-medium">
          {title}
        </h3>
        <p className="text-sm text-quiet tabular-nums">{words}</p>
      </figcaption>
      <div ref={place} aria-hidden className="min-w-0" style={{ minHeight: height }}>
        {!drawn && <Bar className="h-[140px] w-full" />}
      </div>
      <ul className="flex flex-wrap gap-x-4 gap-y-1 text-sm text-quiet">
        {lines.map((line) => (
          <li key={line.label} className="flex items-center gap-2">
            <svg aria-hidden="true" width="16" height="4" className={strokes[line.colour]}>
              <line
                x1="0"
                x2="16"
                y1="2"
                y2="2"
                stroke="currentColor"
                strokeWidth="2"
                strokeDasharray={line.dashed === true ? '4 3' : undefined}
              />
            </svg>
            {line.label}
          </li>
        ))}
        {objective !== undefined && (
          <li className="flex items-center gap-2">
            <svg aria-hidden="true" width="16" height="4" className="text-edge">
              <line x1="0" x2="16" y1="2" y2="2" stroke="currentColor" strokeDasharray="2 2" />
            </svg>
            {objective.label}
          </li>
        )}
      </ul>
    </figure>
  )
}

const strokes = { accent: 'text-accent', quiet: 'text-quiet', warn: 'text-warn' } as const
const tokens = { accent: '--iris-9', quiet: '--slate-11', warn: '--amber-11' } as const

function alignedData(
  at: readonly number[],
  lines: readonly Line[],
  objective: number | undefined,
  spanSeconds: number,
  stepSeconds: number,
): uPlot.AlignedData {
  if (at.length === 0) {
    const now = Date.now() / 1_000
    return [
      [now - spanSeconds, now],
      ...lines.map(() => [null, null]),
      ...(objective === undefined ? [] : [[objective, objective]]),
    ]
  }
  const seconds = at.map((ms) => ms / 1_000)
  const columns = lines.map(({ values }) => [...values])
  // Where a process stood still or the page slept nothing is known, and nothing is drawn.
  for (let place = 1; place < seconds.length; place++) {
    if ((seconds[place] ?? 0) - (seconds[place - 1] ?? 0) > Math.max(gapSeconds, 2.5 * stepSeconds)) {
      for (const column of columns) column[place] = null
    }
  }
  return [seconds, ...columns, ...(objective === undefined ? [] : [seconds.map(() => objective)])]
}

function options(
  width: number,
  {
    lines,
    unit,
    objective,
    spanSeconds,
    leastTop,
  }: Required<Pick<PlotProps, 'lines' | 'unit' | 'spanSeconds' | 'leastTop'>> & {
    objective: PlotProps['objective']
  },
): uPlot.Options {
  const style = getComputedStyle(document.documentElement)
  const colour = (token: string) => style.getPropertyValue(token).trim()
  const font = `12px ${getComputedStyle(document.body).fontFamily}`
  const axis = {
    stroke: colour('--slate-11'),
    font,
    grid: { stroke: colour('--slate-4'), width: 1 },
    ticks: { show: false },
  }
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: 'live' }, y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      // A young process has its few samples at the right end.
      x: { time: true, range: (_plot, _first, last) => [last - spanSeconds, last] },
      y: {
        range: (_plot, _low, high) => [
          0,
          Math.max(leastTop, (high ?? 0) * 1.1, (objective?.value ?? 0) * 1.1),
        ],
      },
    },
    axes: [
      { ...axis, size: 24, gap: 4, space: 80, values: (_plot, splits) => splits.map(timeText(spanSeconds)) },
      { ...axis, size: 56, gap: 6, space: 36, values: (_plot, splits) => splits.map((value) => unit(value)) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(tokens[line.colour]),
        width: 1.5,
        points: { show: true, size: 4, width: 0, fill: colour(tokens[line.colour]), filter: lonely },
        ...(line.dashed === true && { dash: [4, 3] }),
      })),
      ...(objective === undefined
        ? []
        : [
            {
              label: objective.label,
              stroke: colour('--slate-8'),
              width: 1,
              dash: [2, 2],
              points: { show: false },
            },
          ]),
    ],
  }
}

/** A second that stands alone has no line to be part of. */
function lonely(plot: uPlot, place: number): number[] {
  const values = plot.data[place] ?? []
  const alone: number[] = []
  for (let at = 0; at < values.length; at++) {
    if (values[at] != null && values[at - 1] == null && values[at + 1] == null) alone.push(at)
  }
  return alone
}

function timeText(spanSeconds: number): (seconds: number) => string {
  return (seconds) => {
    const at = new Date(seconds * 1_000)
    return spanSeconds > 2 * daySeconds
      ? at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
      : at.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
  }
}
