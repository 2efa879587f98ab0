/** One line of the log, taken apart. */
export interface LogEntry {
  /** Counts up from 1 in this process. */
  readonly number: number
  readonly level: string
  readonly time: string
  readonly module: string | undefined
  readonly requestId: string | undefined
  readonly message: string
  /** Everything else that it said. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** What to look for; each that is given must fit. */
export interface LogQuery {
  /** This level and everything graver. */
  readonly level?: LogLevel | undefined
  readonly module?: string | undefined
  readonly requestId?: string | undefined
  /** A part of the line, whatever the case. */
  readonly text?: string | undefined
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof logLevels)[number]

interface Limits {
  readonly lines: number
  readonly characters: number
}

/** The last lines of this process, to be looked at while it runs. Kept as they were written, so keeping one costs nearly nothing. */
export class LogTail {
  readonly #limits: Limits
  readonly #heard = new Set<(entry: LogEntry) => void>()
  #lines: string[] = []
  #characters = 0
  #dropped = 0

  constructor(limits: Limits = { lines: 5_000, characters: 4 * 1024 * 1024 }) {
    this.#limits = limits
  }

  /** @param line as it left the process, so without secrets */
  keep(line: string): void {
    this.#lines.push(line)
    this.#characters += line.length
    if (this.#lines.length >= 2 * this.#limits.lines || this.#characters > 2 * this.#limits.characters) {
      this.#forget()
    }
    if (this.#heard.size === 0) return
    const entry = read(line, this.#dropped + this.#lines.length)
    for (const heard of this.#heard) heard(entry)
  }

  /** Newest first, those before `before` where given. */
  *entries(query: LogQuery, before = Number.POSITIVE_INFINITY): Iterable<LogEntry> {
    const fits = filter(query)
    for (let at = this.#lines.length - 1; at >= 0; at--) {
      const number = this.#dropped + at + 1
      const line = this.#lines[at]
      if (line === undefined || number >= before) continue
      const entry = read(line, number)
      if (fits(entry, line)) yield entry
    }
  }

  /** Each line from now on that fits. */
  subscribe(query: LogQuery, heard: (entry: LogEntry) => void): Disposable {
    const fits = filter(query)
    const told = (entry: LogEntry) => {
      if (fits(entry, JSON.stringify(entry))) heard(entry)
    }
    this.#heard.add(told)
    return { [Symbol.dispose]: () => void this.#heard.delete(told) }
  }

  /** Half at a time, so that it is seldom. */
  #forget(): void {
    let characters = 0
    let from = this.#lines.length
    while (from > 0 && this.#lines.length - from < this.#limits.lines) {
      characters += this.#lines[from - 1]?.length ?? 0
      if (characters > this.#limits.characters) break
      from--
    }
    this.#characters = this.#lines.slice(from).reduce((sum, line) => sum + line.length, 0)
    this.#lines = this.#lines.slice(from)
    this.#dropped += from
  }
}

function filter({ level, module, requestId, text }: LogQuery): (entry: LogEntry, line: string) => boolean {
  const from = level === undefined ? 0 : logLevels.indexOf(level)
  const part = text?.toLowerCase()
  return (entry, line) =>
    logLevels.indexOf(entry.level as LogLevel) >= from &&
    (module === undefined || entry.module === module) &&
    (requestId === undefined || entry.requestId === requestId) &&
    (part === undefined || line.toLowerCase().includes(part))
}

function read(line: string, number: number): LogEntry {
  const { level, time, module, requestId, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  // A tail is of one process, which says so once.
  delete fields['node']
  return {
    number,
    level: String(level),
    time: String(time),
    module: typeof module === 'string' ? module : undefined,
    requestId: typeof requestId === 'string' ? requestId : undefined,
    message: typeof msg === 'string' ? msg : '',
    fields,
  }
}
