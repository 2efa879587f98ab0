import { errorTable } from '@atom/contract/errors.ts'
import type { Log } from '#foundation/log.ts'
import type { Alerts } from './alerts.ts'
import type { ErrorNews } from './errors-seen.ts'

const kinds = { new: 'error_new', rising: 'error_rising' } as const
/** That an error rises is told every minute. */
const risesForMs = 4 * 60_000

/** What an operator hears of errors without looking: that there is a new one, that one rises, and when either is over. */
export function errorAlerts(alerts: Pick<Alerts, 'raise' | 'resolve'>, log: Log): (news: ErrorNews) => void {
  return (news) => {
    told(alerts, news).catch((error: unknown) =>
      log.warn({ err: error, errorId: news.id }, 'an alert about an error could not be kept'),
    )
  }
}

async function told(alerts: Pick<Alerts, 'raise' | 'resolve'>, news: ErrorNews): Promise<void> {
  const { id, code, title, latest, usual } = news
  const lookAt = `/operations/errors/${id}`
  switch (news.kind) {
    case 'new':
      return await alerts.raise({
        ...{ kind: kinds.new, subject: id, severity: 'ticket', lookAt },
        title: `A new error: ${title}`,
        why: 'Nobody foresaw it, and it has not been seen before, or not since it was resolved.',
      })
    case 'rising':
      return await alerts.raise({
        ...{ kind: kinds.rising, subject: id, lookAt, forMs: risesForMs },
        severity: errorTable[code].severity === 'critical' ? 'page' : 'ticket',
        title: `More errors than usual: ${title}`,
        why: `${latest} in five minutes, where ${Math.round(usual * 10) / 10} were usual in the hour before.`,
      })
    case 'calm':
      return await alerts.resolve(kinds.rising, id, 'It comes no more often than usual.')
    case 'resolved':
      return await alerts.resolve(kinds.new, id, 'An operator has resolved it.')
    case 'forgotten':
      return await alerts.resolve(kinds.new, id, 'It has not come again for ninety days.')
  }
}
