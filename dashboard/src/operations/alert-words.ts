import type { Alert } from '@atom/contract/monitoring.ts'
import { plural } from '../ui/clock-text.ts'
import type { StatusTone } from '../ui/status.tsx'

const minuteMs = 60_000

export const urgencies: Readonly<Record<Alert['severity'], { tone: StatusTone; words: string }>> = {
  page: { tone: 'bad', words: 'Cannot wait' },
  ticket: { tone: 'warn', words: 'Can wait for working hours' },
}

/** What cannot wait first; the order within stays. */
export function urgentFirst(alerts: readonly Alert[]): readonly Alert[] {
  return alerts.toSorted((a, b) => Number(b.severity === 'page') - Number(a.severity === 'page'))
}

/** "under a minute", "4 min", "3 h", "2 days": as long as it fired. */
export function lastedText({ since, resolvedAt }: Pick<Alert, 'since' | 'resolvedAt'>, now: Date): string {
  const minutes = Math.floor(
    ((resolvedAt === null ? now : new Date(resolvedAt)).getTime() - new Date(since).getTime()) / minuteMs,
  )
  if (minutes < 1) return 'under a minute'
  if (minutes < 120) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : plural(Math.floor(minutes / 60 / 24), 'day')
}

/** Where to look first is an address of this dashboard, or a sentence. */
export function errorOf({ lookAt }: Pick<Alert, 'lookAt'>): string | undefined {
  return /^\/operations\/errors\/([\da-f]{16})$/.exec(lookAt)?.[1]
}
