import type { Alert } from '@atom/contract/monitoring.ts'
import { Link } from '@tanstack/react-router'
import { Notice } from '../ui/notice.tsx'
import { RelativeTime } from '../ui/time.tsx'
import { errorOf, urgencies } from './alert-words.ts'

/** One alert that fires: what, why, and where to look first. */
export function AlertNotice({ alert }: { alert: Alert }) {
  return (
    <Notice tone={alert.severity === 'page' ? 'bad' : 'warn'} title={alert.title}>
      <p>{alert.why}</p>
      <p className="mt-1">
        <LookAt alert={alert} />
      </p>
      <p className="mt-1 text-sm text-quiet">
        Began <RelativeTime at={alert.since} />. {urgencies[alert.severity].words}.
      </p>
    </Notice>
  )
}

export function LookAt({ alert }: { alert: Pick<Alert, 'lookAt'> }) {
  const errorId = errorOf(alert)
  if (errorId === undefined) return alert.lookAt
  return (
    <Link
      to="/operations/errors/$errorId"
      params={{ errorId }}
      className="text-accent-text underline underline-offset-2 pointer-coarse:py-2"
    >
      The error, with an example
    </Link>
  )
}
