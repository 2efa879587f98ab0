import type { Archive } from '#foundation/database/archive.ts'
import type { DatabaseLoad } from '#foundation/database/pool.ts'
import type { Log } from '#foundation/log.ts'
import { diskOf, type SystemReadings } from '#foundation/system/system-readings.ts'
import type { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import type { Finding, HealthCheck } from '#http/health.ts'
import { backupFinding } from './backup-finding.ts'

/** What health is read from; `app.ts` fills it. */
export interface HealthSources {
  readonly database: {
    ask(): Promise<{ readonly latencyMs: number; readonly clockAheadMs: number }>
    load(): DatabaseLoad
    /** Whether what other processes tell is heard. */
    hears(): boolean
  }
  /** What PostgreSQL says of its archive. */
  archive(): Promise<Archive>
  readonly cache: {
    /** Undefined: nothing is shared but by the database. */
    readonly redis: { check(): Promise<void> } | undefined
    /** Limits are counted by all processes together. */
    together(): boolean
    /** What this process keeps itself. */
    readonly own: Readonly<Record<string, CacheCounts>>
  }
  readonly masterKeys: { check(): Promise<void>; readonly versions: readonly number[] }
  readonly queue: {
    standing(): Promise<{
      readonly waiting: number
      readonly oldestMs: number
      readonly running: number
      readonly places: number
    }>
  }
  readonly realtime: {
    sockets(): number
    behind(): number
    streams(): number
  }
  /** Providers that failed again and again and are left alone for now. */
  resting(): readonly {
    readonly provider: string
    readonly connections: number
    readonly detail: string
  }[]
  readonly system: Pick<SystemReadings, 'cpu' | 'descriptors' | 'eventLoop' | 'memory'>
  readonly dataDir: string
  readonly log: Log
}

/** From here on something is not well. Sizes in bytes, shares from 0 to 1. */
const marks = {
  poolWaiting: 100,
  dueMs: 60_000,
  clockMs: 2_000,
  jumpMs: 2_000,
  /** A jump is told for so long. */
  jumpToldMs: 60_000,
  slowReaders: 0.5,
  fewSockets: 10,
  diskShare: 0.1,
  diskBytes: 2 * 1024 ** 3,
  fullShare: 0.01,
  fullBytes: 32 * 1024 ** 2,
  filesShare: 0.02,
  memory: 0.92,
  descriptors: 0.8,
  loopBusy: 0.98,
  loopDelayMs: 1_000,
}

/** Machines change slowly, and reading them costs a little. */
const systemEveryMs = 5_000
/** PostgreSQL tries again after a minute where archiving failed. */
const backupsEveryMs = 10_000
/** The pool gives up before. */
const backupsTimeoutMs = 8_000

/** Every part of the process and of the machine under it, each with what says that it is well. */
export function healthChecks(sources: HealthSources): readonly HealthCheck[] {
  const { database, cache, masterKeys, queue, realtime, system, dataDir } = sources
  const clock = new ClockWatch(sources)
  let loopWatched = false
  let archived: Finding | undefined
  return [
    {
      name: 'database',
      required: true,
      // Its own time limits are a second for a new session and one for the answer.
      timeoutMs: 1_500,
      check: async () => {
        const answer = await database.ask()
        clock.heard(answer.clockAheadMs)
        const { size, inUse, waiting, refusal } = database.load()
        const state =
          refusal !== undefined
            ? ({ status: 'down', detail: `It answers, but opens no new session: ${refusal}.` } as const)
            : waiting > marks.poolWaiting
              ? degraded(`It answers, but ${waiting} callers wait for one of ${size} sessions.`)
              : up
        return {
          ...state,
          figures: {
            answerMs: rounded(answer.latencyMs),
            poolSessions: size,
            poolSessionsInUse: inUse,
            poolCallersWaiting: waiting,
          },
        }
      },
    },
    {
      name: 'cache',
      // Nodes then hear of each other through PostgreSQL, and each counts its limits alone.
      required: false,
      check: async () => {
        const counts = Object.values(cache.own)
        const sum = (of: (one: CacheCounts) => number) => counts.reduce((all, one) => all + of(one), 0)
        const figures = { entries: sum(({ entries }) => entries()), hits: sum(({ hits }) => hits) }
        if (cache.redis === undefined)
          return { ...up, detail: 'In this process. There is no Redis.', figures }
        await cache.redis.check()
        return {
          ...(cache.together()
            ? up
            : degraded('Redis answers, but this process counts its limits by itself.')),
          figures,
        }
      },
    },
    {
      name: 'backups',
      required: false,
      everyMs: backupsEveryMs,
      timeoutMs: backupsTimeoutMs,
      check: async () => {
        try {
          archived = backupFinding(await sources.archive())
        } catch (error) {
          // That the database says nothing is for its own component to tell.
          sources.log.debug({ err: error }, 'PostgreSQL does not say how its archive is')
        }
        return archived
      },
    },
    {
      name: 'master_key',
      // What is in memory goes on being opened, and everything that needs no credential goes on.
      required: false,
      check: async () => {
        await masterKeys.check()
        return { ...up, figures: { keys: masterKeys.versions.length } }
      },
    },
    {
      name: 'queue',
      required: false,
      check: async () => {
        const { waiting, oldestMs, running, places } = await queue.standing()
        const late = oldestMs > marks.dueMs
        return {
          ...(late ? degraded(`Turns wait for ${Math.round(oldestMs / 1_000)} s; nobody takes them.`) : up),
          figures: { turnsWaiting: waiting, oldestMs: rounded(oldestMs), turnsRunning: running, places },
        }
      },
    },
    {
      name: 'realtime',
      required: false,
      check: async () => {
        const figures = {
          sockets: realtime.sockets(),
          socketsBehind: realtime.behind(),
          streams: realtime.streams(),
        }
        const slow =
          figures.sockets >= marks.fewSockets && figures.socketsBehind > figures.sockets * marks.slowReaders
        if (!database.hears()) return { ...degraded('What other processes tell is not heard.'), figures }
        return { ...(slow ? degraded('Most sockets read too slowly.') : up), figures }
      },
    },
    {
      name: 'providers',
      required: false,
      check: async () => {
        const resting = sources.resting()
        const figures = Object.fromEntries(
          resting.map(({ provider, connections }) => [`${provider}Resting`, connections]),
        )
        const detail = resting.map((one) => `${one.provider}: ${one.detail}`).join(' ')
        return { ...(resting.length > 0 ? degraded(detail) : up), figures }
      },
    },
    { name: 'clock', required: false, check: async () => clock.finding() },
    {
      name: 'disk',
      required: false,
      group: 'system',
      everyMs: systemEveryMs,
      check: () => diskFinding(dataDir),
    },
    {
      name: 'memory',
      required: false,
      group: 'system',
      everyMs: systemEveryMs,
      check: async () => {
        const { rss, heap, used, limit } = await system.memory()
        return {
          ...(used > limit * marks.memory ? degraded(`${percent(used / limit)} of the limit is used.`) : up),
          figures: { usedBytes: used, limitBytes: limit, rssBytes: rss, heapBytes: heap },
        }
      },
    },
    {
      name: 'descriptors',
      required: false,
      group: 'system',
      everyMs: systemEveryMs,
      check: async () => {
        const reading = await system.descriptors()
        if (reading === undefined) return undefined
        const { open, limit } = reading
        return {
          ...(open > limit * marks.descriptors
            ? degraded(`${open} of ${limit} are open; raise the limit (ulimit -n).`)
            : up),
          figures: { open, limit },
        }
      },
    },
    {
      name: 'event_loop',
      required: false,
      group: 'system',
      everyMs: systemEveryMs,
      check: async () => {
        const { utilisation, delayP99Ms, delayMaxMs } = system.eventLoop()
        // What was busy until the first look is the start.
        const busy = loopWatched && (utilisation > marks.loopBusy || delayP99Ms > marks.loopDelayMs)
        loopWatched = true
        return {
          ...(busy ? degraded('The process has more to do than it can.') : up),
          figures: {
            utilisation: rounded(utilisation, 1_000),
            delayP99Ms: rounded(delayP99Ms),
            delayMaxMs: rounded(delayMaxMs),
          },
        }
      },
    },
    {
      name: 'cpu',
      required: false,
      group: 'system',
      everyMs: systemEveryMs,
      check: async () => {
        const { busy, processors } = system.cpu()
        return { ...up, figures: { busyProcessors: rounded(busy, 1_000), processors } }
      },
    },
  ]
}

/** Whether the data folder's file system has room left for what is written every day. */
export async function diskFinding(folder: string): Promise<Finding> {
  const { free, size, freeFiles, files } = await diskOf(folder)
  const figures = {
    freeBytes: free,
    sizeBytes: size,
    ...(freeFiles !== undefined && { freeFiles }),
  }
  if (free < Math.min(marks.fullBytes, size * marks.fullShare)) {
    return { status: 'down', detail: `The disk of ${folder} is full.`, figures }
  }
  if (free < Math.min(marks.diskBytes, size * marks.diskShare)) {
    return { ...degraded(`The disk of ${folder} has ${percent(free / size)} left.`), figures }
  }
  if (freeFiles !== undefined && files !== undefined && freeFiles < files * marks.filesShare) {
    return { ...degraded(`The file system of ${folder} takes only ${freeFiles} more files.`), figures }
  }
  return { ...up, figures }
}

/** This machine's clock against the database's, and against itself: leases and tokens end by it. */
class ClockWatch {
  readonly #log: Log
  #aheadMs: number | undefined
  #jump: { readonly byMs: number; readonly at: number } | undefined

  constructor(options: { readonly log: Log }) {
    this.#log = options.log
  }

  /** A change of the offset that no drift makes between two looks is a jump, of this clock or of the database's. */
  heard(aheadMs: number): void {
    const byMs = this.#aheadMs === undefined ? 0 : aheadMs - this.#aheadMs
    this.#aheadMs = aheadMs
    if (Math.abs(byMs) < marks.jumpMs) return
    this.#jump = { byMs, at: performance.now() }
    this.#log.warn({ byMs: Math.round(byMs) }, 'a clock jumped')
  }

  finding(): Finding {
    // That the database says nothing is for its own component to tell.
    if (this.#aheadMs === undefined) return { ...up, detail: 'The database has not told its time yet.' }
    const figures = {
      aheadMs: rounded(this.#aheadMs),
      ...(this.#jump !== undefined && { lastJumpMs: rounded(this.#jump.byMs) }),
    }
    const seconds = rounded(Math.abs(this.#aheadMs) / 1_000)
    if (Math.abs(this.#aheadMs) > marks.clockMs) {
      const where = this.#aheadMs > 0 ? 'ahead of' : 'behind'
      return {
        ...degraded(`This machine is ${seconds} s ${where} its database. Synchronise their clocks.`),
        figures,
      }
    }
    if (this.#jump !== undefined && performance.now() - this.#jump.at < marks.jumpToldMs) {
      return { ...degraded('A clock jumped within the last minute.'), figures }
    }
    return { ...up, figures }
  }
}

const up = { status: 'up' } as const

function degraded(detail: string): Finding {
  return { status: 'degraded', detail }
}

function rounded(value: number, to = 10): number {
  return Math.round(value * to) / to
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.01 ? 1 : 0)} %`
}
