import type { Problem } from '@atom/contract/errors.ts'
import type { AtomError } from '#foundation/errors.ts'

export const problemType = 'application/problem+json'

/** RFC 9457 form of an error. `instance` names this one occurrence: the request id as a URN. */
export function problemOf(error: AtomError, occurrence: { requestId: string; publicUrl: string }): Problem {
  const { row } = error
  return {
    type: `${occurrence.publicUrl}/docs/errors#${error.code}`,
    title: row.title,
    status: row.status,
    detail: error.detail,
    instance: `urn:uuid:${occurrence.requestId}`,
    code: error.code,
    category: row.category,
    severity: row.severity,
    retryable: row.retryable,
    requestId: occurrence.requestId,
    ...(error.retryAfterMs !== undefined && { retryAfterMs: error.retryAfterMs }),
    ...(error.policies !== undefined && { violatedPolicies: [...error.policies] }),
    ...(error.problems !== undefined && { errors: error.problems.map((problem) => ({ ...problem })) }),
  }
}
