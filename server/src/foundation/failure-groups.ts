import { createHash } from 'node:crypto'
import { textOf } from './described-error.ts'
import type { AtomError } from './errors.ts'
import { scrub } from './log-line.ts'
import { currentSpan } from './telemetry/trace.ts'

/** Where a failure came to light: each has one translation of what was thrown. */
export type FailureDoor = 'http' | 'socket' | 'job' | 'process'

export interface Failure {
  readonly door: FailureDoor
  /** Route template, frame name, kind of job: from a closed set, never what a caller wrote. */
  readonly place: string
  readonly error: AtomError
  readonly requestId?: string | undefined
  /** Where absent, that of the work that failed, if it is kept. */
  readonly traceId?: string | undefined
}

/** Failures of one kind since they were last taken. */
export interface FailureGroup {
  /** The same for the same kind, in every process and after each start. */
  readonly id: string
  readonly door: FailureDoor
  readonly place: string
  readonly code: AtomError['code']
  /** What happened, without secrets. */
  readonly title: string
  /** Only of what nobody foresaw. */
  readonly stack: string | undefined
  count: number
  lastAt: Date
  requestId: string | undefined
  traceId: string | undefined
}

/** Kinds that are told apart between two takings; more than that is one storm. */
const mostGroups = 500

/**
 * What went wrong in this process, gathered by kind until somebody takes it. Of a known code the kind is code, door and place; of
 * what nobody foresaw it is what was thrown, and where from.
 */
export class Failures {
  #groups = new Map<string, FailureGroup>()
  /** By kind: hashing is dear for whoever is turned away a thousand times a second. */
  readonly #ids = new Map<string, string>()

  note(failure: Failure, at = new Date()): void {
    const { door, place, error } = failure
    const unforeseen = error.code === 'internal' ? describe(error.cause) : undefined
    const id = this.#idOf(unforeseen?.kind ?? `${door} ${place} ${error.code}`)
    let group = this.#groups.get(id)
    if (group === undefined) {
      if (this.#groups.size >= mostGroups) return
      group = {
        ...{ id, door, place, code: error.code, count: 0, lastAt: at },
        title: unforeseen?.title ?? error.row.title,
        stack: unforeseen?.stack,
        ...{ requestId: undefined, traceId: undefined },
      }
      this.#groups.set(id, group)
    }
    group.count++
    group.lastAt = at
    group.requestId = failure.requestId ?? group.requestId
    group.traceId = failure.traceId ?? currentSpan()?.traceId ?? group.traceId
  }

  /** Everything since the last time. */
  take(): readonly FailureGroup[] {
    const taken = [...this.#groups.values()]
    this.#groups = new Map()
    return taken
  }

  /** Puts back what could not be kept. */
  giveBack(groups: readonly FailureGroup[]): void {
    for (const group of groups) {
      const known = this.#groups.get(group.id)
      if (known !== undefined) known.count += group.count
      else if (this.#groups.size < mostGroups) this.#groups.set(group.id, group)
    }
  }

  #idOf(kind: string): string {
    let id = this.#ids.get(kind)
    if (id === undefined) {
      id = shortHash(kind)
      if (this.#ids.size >= 2 * mostGroups) this.#ids.clear()
      this.#ids.set(kind, id)
    }
    return id
  }
}

interface Description {
  readonly kind: string
  readonly title: string
  readonly stack: string
}

/** Whatever was thrown: its getters may throw, its message may be a megabyte, and it may be no error at all. */
function describe(thrown: unknown): Description {
  const name = textOf(thrown, 'name') ?? typeof thrown
  const code = textOf(thrown, 'code')
  const message = textOf(thrown, 'message') ?? (typeof thrown === 'string' ? thrown : '')
  const stack = textOf(thrown, 'stack') ?? ''
  const said = scrub(`${code === undefined ? name : `${name} ${code}`}: ${message}`.slice(0, 1_000))
  return {
    // Lines move with each change, ids and amounts with each occurrence; file and function stay.
    kind: `${name} ${code ?? ''} ${withoutParticulars(message)} ${framesOf(stack).join(' ')}`,
    title: said.slice(0, 300),
    stack: scrub(stack.slice(0, 6_000)),
  }
}

function withoutParticulars(message: string): string {
  return message
    .slice(0, 500)
    .replaceAll(/"[^"]*"|'[^']*'|`[^`]*`/g, '…')
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{16,}\b|\d+(?:\.\d+)*/gi, '…')
}

/** The three innermost places of our own and of libraries, without Node's: `file function`. */
function framesOf(stack: string): string[] {
  const frames: string[] = []
  for (const [, where = '', file = ''] of stack.matchAll(/^\s+at (?:(.*?) \()?(.*?)(?::\d+:\d+)?\)?$/gm)) {
    if (file.startsWith('node:')) continue
    frames.push(`${file.slice(file.lastIndexOf('/') + 1)} ${where}`)
    if (frames.length === 3) break
  }
  return frames
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
