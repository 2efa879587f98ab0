import type { Archive } from '#foundation/database/archive.ts'
import type { Finding } from '#http/health.ts'

/** From so many times `archive_timeout` on, and no sooner than this, the archive is too old, in ms. */
const lateTimes = 3
const lateMs = 3_600_000
/** Where a segment leaves only when it is full: Atom writes one in hours, however little is done. */
const lateWithoutTimeoutMs = 24 * 3_600_000

/**
 * How old what could be restored is. There being no archive is said and is nothing unwell: nobody promised one, and what copies a
 * database from outside is not seen from inside.
 */
export function backupFinding(archive: Archive): Finding {
  if (!archive.on) {
    return {
      status: 'up',
      detail: 'No backups are made by PostgreSQL: archive_mode is off. What else copies it is not seen here.',
    }
  }
  const { ageMs, any, failing, failures, timeoutMs } = archive
  const figures = { ageMs: Math.round(ageMs), failures }
  const last = any
    ? `The last was archived ${age(ageMs)} ago.`
    : `Nothing was archived in the ${age(ageMs)} in which it could have been.`
  if (failing) {
    return {
      status: 'degraded',
      detail: `PostgreSQL cannot archive what it writes, and keeps it all. ${last} Its log says why.`,
      figures,
    }
  }
  const mostMs = timeoutMs === 0 ? lateWithoutTimeoutMs : Math.max(lateMs, lateTimes * timeoutMs)
  if (ageMs > mostMs)
    return { status: 'degraded', detail: `${last} It should be ${age(mostMs)} at most.`, figures }
  return { status: 'up', detail: last, figures }
}

function age(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 1) return `${Math.max(0, Math.round(ms / 1_000))} s`
  if (minutes < 120) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} days`
}
