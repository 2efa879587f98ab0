import { type DestinationStream, type Logger, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { describedError } from './described-error.ts'
import { finished, forTerminal } from './log-line.ts'
import { NoiseGate, type NoiseLimit, ordinaryNoise } from './log-noise.ts'
import type { LogTail } from './log-tail.ts'
import { currentSpan } from './telemetry/trace.ts'

export type Log = Logger

const fatal = 60

export interface LogOptions {
  readonly level: string
  /** Where finished lines go; standard output where absent. */
  readonly write?: (line: string) => void
  /** For a person at a terminal instead of a machine. */
  readonly readable?: boolean
  /** Keeps the last lines, to be looked at while the process runs. */
  readonly tail?: LogTail
  readonly noise?: NoiseLimit
}

/** RFC 3339 in UTC, written anew once a second and but for its milliseconds kept: a line per request asks for it often. */
function isoTime(): () => string {
  let second = Number.NaN
  let begun = ''
  return () => {
    const now = Date.now()
    const current = Math.floor(now / 1000)
    if (current !== second) {
      second = current
      begun = new Date(current * 1000).toISOString().slice(0, 20)
    }
    return `,"time":"${begun}${String(now - current * 1000).padStart(3, '0')}Z"`
  }
}

/** The arguments of a line that says `more`, whichever way it was written. */
function withMore(args: readonly unknown[], more: object): [object, ...undefined[]] {
  const [first, ...rest] = args
  if (first instanceof Error) return [{ ...more, err: first }, ...(rest as undefined[])]
  if (typeof first === 'object' && first !== null) return [{ ...more, ...first }, ...(rest as undefined[])]
  return [more, ...(args as undefined[])]
}

/** What was left out is told at the latest after this time, in ms. */
const owedMs = 5_000

/**
 * Structured JSON lines, one event each, of bounded length; secrets are scrubbed from the finished line. Of one kind of line,
 * which is its text, no more are written than `noise` allows.
 */
export function createLog(options: LogOptions): Log {
  const print = options.write ?? ((line: string) => process.stdout.write(line))
  const pretty = prettyFactory({ colorize: true, translateTime: 'HH:MM:ss', ignore: 'requestId' })
  const write = options.readable ? (line: string) => print(pretty(forTerminal(line))) : print
  const destination: DestinationStream = {
    write: (raw) => {
      const line = finished(raw)
      options.tail?.keep(line)
      write(line)
    },
  }
  const gate = new NoiseGate(options.noise ?? ordinaryNoise)
  let owing = false
  const tellOwed = () => {
    owing = false
    for (const [kind, omitted] of gate.owed()) log.warn({ kind, omitted }, 'log lines were left out')
  }
  const log = pino(
    {
      level: options.level,
      base: null,
      timestamp: isoTime(),
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (thrown: unknown) => describedError(thrown) },
      hooks: {
        logMethod(args, method, level) {
          const [first, second] = args as unknown[]
          const text = typeof second === 'string' ? second : typeof first === 'string' ? first : ''
          const omitted = level >= fatal ? 0 : gate.pass(text)
          if (omitted === undefined) {
            if (!owing) setTimeout(tellOwed, owedMs).unref()
            owing = true
            return
          }
          const traceId = currentSpan()?.traceId
          if (omitted === 0 && traceId === undefined) {
            method.apply(this, args)
            return
          }
          // What a line, or its log in all of its lines, says already is not said twice.
          const told = Object.hasOwn(Object(first), 'traceId') || Object.hasOwn(this.bindings(), 'traceId')
          const more = {
            ...(traceId !== undefined && !told && { traceId }),
            ...(omitted > 0 && { omitted }),
          }
          method.apply(this, withMore(args, more))
        },
      },
    },
    destination,
  )
  return log
}
