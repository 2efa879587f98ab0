import { type DestinationStream, type Logger, pino } from 'pino'
import { prettyFactory } from 'pino-pretty'

export type Log = Logger

/**
 * What a secret looks like whatever field it is in: bearer headers, JWTs, tokens with the providers' prefixes, OAuth
 * parameters in a URL or form. Applied to the finished line, because lists of field names were measured to miss most planted
 * secrets and this misses almost none, for half a microsecond per line.
 */
const secretShapes =
  /(\bBearer\s+|\bBasic\s+)[\w.~+/=-]{8,}|\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*|\b(?:gh[opusr]_|github_pat_|ya29\.|1\/\/|xox[a-z]-|ntn_|secret_)[\w./-]{8,}|("?(?:access_token|refresh_token|id_token|client_secret|code_verifier|password|token|authorization|cookie|set-cookie)"?\s*[:=]\s*"?)(?!\[secret\])[^"&\s,}]{6,}/gi

/** The line with everything that looks like a secret replaced. */
export function scrub(line: string): string {
  return line.replace(
    secretShapes,
    (_whole, scheme?: string, field?: string) => `${scheme ?? field ?? ''}[secret]`,
  )
}

export interface LogOptions {
  readonly level: string
  /** Where finished lines go; standard output where absent. */
  readonly write?: (line: string) => void
  /** For a person at a terminal instead of a machine. */
  readonly readable?: boolean
}

/** An error with its causes. Drivers hang whole objects onto theirs, keys of a session among them: those stay out. */
function describedError(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined
  return {
    type: thrown.name,
    message: thrown.message,
    ...(code !== undefined && { code }),
    stack: thrown.stack,
    ...(thrown.cause !== undefined && { cause: describedError(thrown.cause) }),
  }
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

/** Structured JSON lines, one event each; secrets are scrubbed from the finished line. */
export function createLog(options: LogOptions): Log {
  const print = options.write ?? ((line: string) => process.stdout.write(line))
  const pretty = prettyFactory({ colorize: true, translateTime: 'HH:MM:ss', ignore: 'requestId' })
  const write = options.readable ? (line: string) => print(pretty(line)) : print
  const destination: DestinationStream = { write: (line) => write(scrub(line)) }
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: isoTime(),
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describedError },
    },
    destination,
  )
}
