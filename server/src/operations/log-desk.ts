import type { LogLine, ModuleLevel } from '@atom/contract/log.ts'
import type { AccountPrincipal } from '#access/principal.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Notes } from '#foundation/database/notes.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { LogModules } from '#foundation/log-modules.ts'
import type { LogEntry, LogLevel, LogQuery, LogTail } from '#foundation/log-tail.ts'
import * as store from './log-level-store.ts'

const topic = 'log-levels'
/** Read again at least this often, in ms: levels end by themselves, and a note may be lost. */
const readMs = 30_000
const defaultLimit = 200

interface Options {
  readonly node: string
  readonly tail: LogTail
  readonly modules: LogModules
  readonly database: Database
  readonly notes: Pick<Notes, 'tell' | 'hear'>
  readonly clock: Clock
  readonly log: Log
}

interface LinesWanted extends LogQuery {
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}

/** The log as an operator sees it while it is written, and how much is written. */
export class LogDesk implements AsyncDisposable {
  readonly node: string
  readonly #with: Options
  readonly #timer: NodeJS.Timeout
  readonly #listening: Disposable
  #levels: readonly store.LogLevelRow[] = []
  #reading: Promise<void> | undefined

  constructor(options: Options) {
    this.node = options.node
    this.#with = options
    const read = () => void this.#read()
    this.#listening = options.notes.hear(topic, read, read)
    this.#timer = setInterval(read, readMs)
    this.#timer.unref()
    read()
  }

  lines(wanted: LinesWanted): { items: LogLine[]; next: string | null } {
    const { cursor, limit = defaultLimit, ...query } = wanted
    if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) {
      throw new AtomError('validation_failed', 'The cursor is not one of this list.', {
        problems: [{ pointer: 'query/cursor', detail: 'Give back what `next` was.' }],
      })
    }
    const items: LogLine[] = []
    for (const entry of this.#with.tail.entries(query, cursor === undefined ? undefined : Number(cursor))) {
      if (items.length === limit) return { items, next: String(items.at(-1)?.number) }
      items.push(lineOf(entry))
    }
    return { items, next: null }
  }

  listen(query: LogQuery, heard: (line: LogLine) => void): Disposable {
    return this.#with.tail.subscribe(query, (entry) => heard(lineOf(entry)))
  }

  levels(): ModuleLevel[] {
    const { modules } = this.#with
    return modules.names.map((module) => {
      const own = this.#levels.find((row) => row.module === module)
      return {
        module,
        level: modules.level(module) ?? modules.ordinary,
        until: own === undefined ? null : own.until.toISOString(),
      }
    })
  }

  /** On every node that runs or starts within `minutes`. @throws AtomError `not_found` */
  async setLevel(
    principal: AccountPrincipal,
    module: string,
    { level, minutes }: { level: LogLevel; minutes: number },
  ): Promise<ModuleLevel> {
    const { database, modules, notes, clock, log } = this.#with
    if (!modules.names.includes(module)) {
      throw new AtomError('not_found', `There is no such part. There are: ${modules.names.join(', ')}.`)
    }
    const until = new Date(clock.now().getTime() + minutes * 60_000)
    await store.setLogLevel(database, { module, level, until, setBy: principal.id })
    log.warn({ part: module, to: level, until, accountId: principal.id }, 'the level of the log was changed')
    notes.tell(topic, {})
    await this.#reading
    await this.#read()
    return { module, level, until: until.toISOString() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#listening[Symbol.dispose]()
    await this.#reading
  }

  #read(): Promise<void> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readOnce(): Promise<void> {
    const { database, modules, clock, log } = this.#with
    try {
      this.#levels = await store.logLevels(database, clock.now())
      modules.apply(new Map(this.#levels.map(({ module, level }) => [module, level])))
    } catch (error) {
      log.debug({ err: error }, 'the levels of the log could not be read; trying again')
    }
  }
}

function lineOf({ module, requestId, ...entry }: LogEntry): LogLine {
  return {
    ...entry,
    fields: { ...entry.fields },
    ...(module !== undefined && { module }),
    ...(requestId !== undefined && { requestId }),
  }
}
