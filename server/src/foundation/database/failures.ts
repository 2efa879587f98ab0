import { AtomError } from '#foundation/errors.ts'

/** Network errors of Node that mean: the server is not there, or not there any more. */
const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  'EACCES',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
])

/**
 * SQLSTATE classes and codes (PostgreSQL manual, appendix A) that are about the session or the server and not about the
 * statement: connection exceptions, refused log-ins, missing database, no free session, shutdown, crash, recovery, ended
 * while idle in a transaction, read-only after a failover, disk or memory exhausted.
 */
const serverStates = /^(08...|28...|3D000|53...|57P0[1-5]|25P03|25006|58030|XX001)$/

/** What `pg` says, without any code, when the session broke under it. */
const driverSentences =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout|timeout exceeded when trying to connect|timeout expired|Cannot use a pool after calling end|The server does not support SSL)/

/** Whether an error means that the database cannot be reached or cannot work, whatever the statement was. */
export function isLostDatabase(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if (error instanceof AggregateError) return error.errors.some(isLostDatabase)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return networkCodes.has(code) || serverStates.test(code) || driverSentences.test(error.message)
}

/** serialization_failure and deadlock_detected: the same transaction may well succeed now. */
export function isTransient(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '40001' || error.code === '40P01')
}

export function unavailable(error: unknown): AtomError {
  return error instanceof AtomError ? error : new AtomError('unavailable', undefined, { cause: error })
}
