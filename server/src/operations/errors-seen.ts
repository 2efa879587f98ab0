import { type ErrorCode, errorCodes, errorTable } from '@atom/contract/errors.ts'
import type { ErrorCounts, ErrorGroup } from '@atom/contract/failures.ts'
import type { Clock } from '#foundation/clock.ts'
import type { Database } from '#foundation/database/pool.ts'
import { AtomError } from '#foundation/errors.ts'
import type { FailureDoor, Failures } from '#foundation/failure-groups.ts'
import type { Log } from '#foundation/log.ts'
import * as store from './error-store.ts'

/** Kept in the database this often, in ms; a crash loses what came since. */
const keepMs = 10_000
const forgetMs = 60 * 60_000
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
/** Minutes are kept for so long, and kinds that did not come again. */
const kept = { countsMs: 14 * dayMs, groupsMs: 90 * dayMs }
/** A kind rises when it came four times as often as usual, and often enough to be no chance. */
const rise = { times: 4, atLeast: 20 }
/** That it still rises is told so often; and so long it has to be calm before that is told. */
const tellMs = minuteMs
const defaultLimit = 50

/** Something about errors that an operator should hear of without looking. */
export interface ErrorNews {
  /**
   * `rising`: told again every minute while it lasts. `calm`: it rises no more. `resolved`: by an operator. `forgotten`: it has not
   * come for so long that nothing of it is kept.
   */
  readonly kind: 'new' | 'rising' | 'calm' | 'resolved' | 'forgotten'
  readonly id: string
  readonly code: ErrorCode
  readonly title: string
  /** In the last five minutes. */
  readonly latest: number
  /** In five minutes of the hour before, on average. */
  readonly usual: number
}

interface Options {
  readonly failures: Failures
  readonly database: Database
  readonly clock: Clock
  readonly log: Log
  /** Since when the installation has run for so long; undefined: it has not yet. */
  readonly ranSince: (ms: number) => Promise<Date | undefined>
  /** Told of what nobody foresaw when it is new, and of anything grave when it rises. */
  readonly tell: (news: ErrorNews) => void
  readonly keepMs?: number
}

export interface ErrorsWanted {
  readonly cursor?: string
  readonly limit?: number
  readonly minutes?: number
  readonly category?: string
  readonly door?: FailureDoor
  readonly state?: 'open' | 'resolved'
  readonly q?: string
}

/** What went wrong, over all nodes and restarts, by kind. */
export class ErrorsSeen implements AsyncDisposable {
  readonly #with: Options
  readonly #timer: NodeJS.Timeout
  #keeping: Promise<void> | undefined
  #forgotten = Number.NEGATIVE_INFINITY
  /** `at`: when it was last seen to rise; `toldAt`: when that was last told; ms since 1970. */
  readonly #rising = new Map<
    string,
    { readonly news: ErrorNews; readonly at: number; readonly toldAt: number }
  >()

  constructor(options: Options) {
    this.#with = options
    this.#timer = setInterval(() => void this.keep(), options.keepMs ?? keepMs)
    this.#timer.unref()
  }

  /** Writes down what was gathered. Never rejects: what cannot be kept now is kept the next time. */
  keep(): Promise<void> {
    this.#keeping ??= this.#keep().finally(() => {
      this.#keeping = undefined
    })
    return this.#keeping
  }

  async list(wanted: ErrorsWanted): Promise<{ items: ErrorGroup[]; next: string | null }> {
    const limit = wanted.limit ?? defaultLimit
    const rows = await store.listErrors(
      this.#with.database,
      {
        since: this.#since(wanted.minutes ?? 1_440),
        door: wanted.door,
        codes:
          wanted.category === undefined
            ? undefined
            : errorCodes.filter((code) => errorTable[code].category === wanted.category),
        state: wanted.state,
        text: wanted.q,
      },
      { limit: limit + 1, after: wanted.cursor === undefined ? undefined : placeOf(wanted.cursor) },
    )
    const items = rows.slice(0, limit)
    const last = items.at(-1)
    return {
      items: items.map(shown),
      next: rows.length > limit && last !== undefined ? cursorOf(last) : null,
    }
  }

  /** @throws AtomError `not_found` */
  async group(
    id: string,
    minutes = 1_440,
  ): Promise<ErrorGroup & { stack: string | null; history: ErrorCounts }> {
    const row = await store.findError(this.#with.database, id)
    if (row === undefined) throw new AtomError('not_found')
    const { since, stepMs, at } = this.#steps(minutes)
    const counted = await store.countErrors(this.#with.database, { since, stepMs, groupId: id })
    return { ...shown(row), stack: row.stack, history: { stepMs, at, counts: spread(at, counted) } }
  }

  async history(minutes = 1_440): Promise<ErrorCounts & { codes: { code: string; counts: number[] }[] }> {
    const { since, stepMs, at } = this.#steps(minutes)
    const counted = await store.countErrors(this.#with.database, { since, stepMs })
    const codes = [...new Set(counted.map(({ code }) => code))].sort()
    return {
      ...{ stepMs, at, counts: spread(at, counted) },
      codes: codes.map((code) => ({
        code,
        counts: spread(
          at,
          counted.filter((one) => one.code === code),
        ),
      })),
    }
  }

  /** @throws AtomError `not_found` */
  async resolve(id: string): Promise<void> {
    const known = await store.resolveError(this.#with.database, id, this.#with.clock.now())
    if (!known) throw new AtomError('not_found')
    this.#with.tell(endOf('resolved', id))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#keeping
    await this.keep()
  }

  async #keep(): Promise<void> {
    const { failures, database, log } = this.#with
    const groups = failures.take()
    try {
      const added = await database.transaction((tx) => store.addErrors(tx, groups))
      this.#tellNew(groups, added)
      if (groups.length > 0 || this.#rising.size > 0) await this.#tellRising()
      const now = this.#with.clock.now()
      if (now.getTime() - this.#forgotten < forgetMs) return
      this.#forgotten = now.getTime()
      const before = { counts: await this.#before(kept.countsMs), groups: await this.#before(kept.groupsMs) }
      for (const id of await store.forgetErrors(database, before)) this.#with.tell(endOf('forgotten', id))
    } catch (error) {
      failures.giveBack(groups)
      log.warn({ err: error, kinds: groups.length }, 'what went wrong could not be kept; trying again')
    }
  }

  /** So long ago, by the clock and by how long the installation has run: either alone may be wrong. */
  async #before(ms: number): Promise<Date> {
    const ran = await this.#with.ranSince(ms)
    return new Date(Math.min(this.#with.clock.now().getTime() - ms, ran?.getTime() ?? 0))
  }

  #tellNew(groups: ReturnType<Failures['take']>, added: readonly store.Added[]): void {
    const fresh = new Set(added.filter(({ isNew }) => isNew).map(({ id }) => id))
    for (const { id, code, title, count } of groups) {
      if (code !== 'internal' || !fresh.has(id)) continue
      this.#with.tell({ kind: 'new', id, code, title, latest: count, usual: 0 })
    }
  }

  async #tellRising(): Promise<void> {
    const now = this.#with.clock.now()
    const at = now.getTime()
    for (const { id, code, title, latest, usual } of await store.compareErrors(this.#with.database, now)) {
      const { severity } = errorTable[code as ErrorCode] ?? errorTable.internal
      if (severity === 'low' || latest < rise.atLeast || latest < rise.times * usual) continue
      const news: ErrorNews = { kind: 'rising', id, code: code as ErrorCode, title, latest, usual }
      const toldAt = this.#rising.get(id)?.toldAt
      const isDue = toldAt === undefined || at - toldAt >= tellMs
      this.#rising.set(id, { news, at, toldAt: isDue ? at : toldAt })
      if (isDue) this.#with.tell(news)
    }
    // Nodes whose clocks differ a little must not contradict each other at the end of a minute.
    for (const [id, { news, at: seenAt }] of this.#rising) {
      if (at - seenAt < tellMs) continue
      this.#rising.delete(id)
      this.#with.tell({ ...news, kind: 'calm' })
    }
  }

  #since(minutes: number): Date {
    return new Date(this.#with.clock.now().getTime() - minutes * minuteMs)
  }

  /** About a hundred steps, of whole minutes. */
  #steps(minutes: number): { since: Date; stepMs: number; at: number[] } {
    const stepMs = Math.max(1, Math.ceil(minutes / 120)) * minuteMs
    const now = this.#with.clock.now().getTime()
    const first = Math.floor((now - minutes * minuteMs) / stepMs) * stepMs
    const at: number[] = []
    for (let step = first; step <= now; step += stepMs) at.push(step)
    return { since: new Date(first), stepMs, at }
  }
}

function endOf(kind: 'resolved' | 'forgotten', id: string): ErrorNews {
  return { kind, id, code: 'internal', title: '', latest: 0, usual: 0 }
}

function spread(
  at: readonly number[],
  counted: readonly { readonly at: string; readonly count: string }[],
): number[] {
  const byStep = new Map<number, number>()
  for (const { at: step, count } of counted) {
    byStep.set(Number(step), (byStep.get(Number(step)) ?? 0) + Number(count))
  }
  return at.map((step) => byStep.get(step) ?? 0)
}

function shown(row: store.ErrorRow): ErrorGroup {
  const { category, severity } = errorTable[row.code as ErrorCode] ?? errorTable.internal
  return {
    ...{ id: row.id, code: row.code as ErrorCode, category, severity, door: row.door as FailureDoor },
    ...{ place: row.place, title: row.title, count: Number(row.count), lastHour: Number(row.lastHour) },
    firstSeenAt: row.firstSeenAt.toISOString(),
    lastSeenAt: row.lastSeenAt.toISOString(),
    state: row.resolvedAt === null ? 'open' : 'resolved',
    exampleRequestId: row.exampleRequestId,
    exampleTraceId: row.exampleTraceId,
  }
}

function cursorOf({ lastSeenAt, id }: store.ErrorRow): string {
  return Buffer.from(`${lastSeenAt.getTime()} ${id}`).toString('base64url')
}

/** @throws AtomError `validation_failed` */
function placeOf(cursor: string): { at: Date; id: string } {
  const [at, id] = Buffer.from(cursor, 'base64url').toString().split(' ')
  if (!/^\d{1,15}$/.test(at ?? '') || !/^[0-9a-f]{16}$/.test(id ?? '')) {
    throw new AtomError('validation_failed', 'The cursor is not one of this list.', {
      problems: [{ pointer: 'query/cursor', detail: 'Give back what `next` was.' }],
    })
  }
  return { at: new Date(Number(at)), id: id ?? '' }
}
