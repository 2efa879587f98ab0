import { type ErrorCode, type ErrorRow, errorTable } from '@atom/contract/errors.ts'

export interface FieldProblem {
  /** JSON pointer into the body, or `query/…`, `params/…`. */
  readonly pointer: string
  readonly detail: string
}

interface Circumstances {
  readonly cause?: unknown
  readonly retryAfterMs?: number
  readonly problems?: readonly FieldProblem[]
  /** Names of limits that were met. */
  readonly policies?: readonly string[]
}

/**
 * The one error that rooms throw on purpose: a code of the closed list and a sentence for the person who meets it. `detail`
 * goes over the wire, so it names no secret and quotes no foreign text; what is for the log belongs in `cause`.
 */
export class AtomError extends Error {
  override readonly name = 'AtomError'
  readonly code: ErrorCode
  readonly detail: string
  readonly retryAfterMs: number | undefined
  readonly problems: readonly FieldProblem[] | undefined
  readonly policies: readonly string[] | undefined

  constructor(code: ErrorCode, detail?: string, circumstances: Circumstances = {}) {
    const row: ErrorRow = errorTable[code]
    super(
      `${code}: ${detail ?? row.title}`,
      circumstances.cause === undefined ? undefined : { cause: circumstances.cause },
    )
    this.code = code
    this.detail = detail ?? row.remedy
    this.retryAfterMs = circumstances.retryAfterMs
    this.problems = circumstances.problems
    this.policies = circumstances.policies
  }

  get row(): ErrorRow {
    return errorTable[this.code]
  }
}

/** What a door tells the outside about any thrown thing: its own code, or `internal` for everything unknown. */
export function asAtomError(thrown: unknown): AtomError {
  return thrown instanceof AtomError ? thrown : new AtomError('internal', undefined, { cause: thrown })
}
