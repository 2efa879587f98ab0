import { type ErrorCode, errorTable, type FrameError, type Problem } from '@atom/contract/errors.ts'

/** What can go wrong on this side of the wire, where no server has answered. */
export const clientErrorTable = {
  offline: { retryable: true, detail: 'The server cannot be reached. Check the network, and try again.' },
  timeout: { retryable: true, detail: 'The server did not answer in time. Try again.' },
  aborted: { retryable: false, detail: 'The request was given up.' },
  closed: { retryable: false, detail: 'This client was closed.' },
  bad_answer: { retryable: true, detail: 'The answer was not one of Atom’s. Is a proxy in the way?' },
  popup_blocked: { retryable: false, detail: 'The browser blocked the window. Allow pop-ups for this page.' },
  window_closed: { retryable: false, detail: 'The window was closed before access was granted.' },
  discarded: { retryable: false, detail: 'The message was discarded before it was sent.' },
  timeline_reset: {
    retryable: false,
    detail: 'The room was restored from a backup. Read it again from the beginning.',
  },
  storage_failed: {
    retryable: true,
    detail: 'The message could not be kept on this device, so it was not sent.',
  },
  browser_needed: { retryable: false, detail: 'This works in a browser only.' },
} as const satisfies Record<string, { retryable: boolean; detail: string }>

export type ClientErrorCode = keyof typeof clientErrorTable
export type FieldTrouble = NonNullable<Problem['errors']>[number]

interface Particulars {
  readonly detail?: string | undefined
  readonly status?: number | undefined
  readonly retryable?: boolean | undefined
  readonly requestId?: string | undefined
  readonly retryAfterMs?: number | undefined
  readonly errors?: readonly FieldTrouble[] | undefined
  readonly cause?: unknown
}

/** The one error this package throws. `code` is of the server's closed list, or of `clientErrorTable`. */
export class AtomClientError extends Error {
  override readonly name = 'AtomClientError'
  readonly code: ErrorCode | ClientErrorCode
  /** A sentence for the person, with what to do next. */
  readonly detail: string
  /** HTTP status the code stands for; 0 where no server has answered. */
  readonly status: number
  /** The same request may succeed later without being changed. */
  readonly retryable: boolean
  readonly requestId?: string
  readonly retryAfterMs?: number
  /** Which fields are wrong, for `validation_failed`. */
  readonly errors?: readonly FieldTrouble[]

  constructor(code: ErrorCode | ClientErrorCode, particulars: Particulars = {}) {
    const known = code in errorTable ? errorTable[code as ErrorCode] : undefined
    const local = code in clientErrorTable ? clientErrorTable[code as ClientErrorCode] : undefined
    const detail = particulars.detail ?? (known ? `${known.title}. ${known.remedy}` : (local?.detail ?? code))
    super(detail, particulars.cause === undefined ? undefined : { cause: particulars.cause })
    this.code = code
    this.detail = detail
    this.status = particulars.status ?? known?.status ?? 0
    this.retryable = particulars.retryable ?? known?.retryable ?? local?.retryable ?? false
    if (particulars.requestId !== undefined) this.requestId = particulars.requestId
    if (particulars.retryAfterMs !== undefined) this.retryAfterMs = particulars.retryAfterMs
    if (particulars.errors !== undefined) this.errors = particulars.errors
  }

  static fromProblem(problem: Problem): AtomClientError {
    return new AtomClientError(problem.code, problem)
  }

  static fromFrame(error: FrameError): AtomClientError {
    return new AtomClientError(error.code, error)
  }
}

/** An unknown thing that was caught, as the one error of this package. */
export function asAtomClientError(thrown: unknown): AtomClientError {
  if (thrown instanceof AtomClientError) return thrown
  return new AtomClientError('bad_answer', { detail: String(thrown), retryable: false, cause: thrown })
}
