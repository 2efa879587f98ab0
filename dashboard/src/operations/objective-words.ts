import type { Objective, ObjectiveHistory } from '@atom/contract/monitoring.ts'
import { plural } from '../ui/clock-text.ts'
import type { StatusTone } from '../ui/status.tsx'

export const classWords: Readonly<Record<Objective['class'], string>> = {
  api: 'The API',
  sign_in: 'Signing in',
  messages: 'Messages',
  proxy: 'Requests to providers',
}

export function objectiveName({ class: of, kind }: Pick<Objective, 'class' | 'kind'>): string {
  return `${classWords[of]}, ${kind}`
}

/** What is promised, in a sentence. */
export function promiseText({
  target,
  kind,
  thresholdMs,
}: Pick<Objective, 'target' | 'kind' | 'thresholdMs'>): string {
  const share = `${(target * 100).toLocaleString('en', { maximumFractionDigits: 3 })} %`
  return kind === 'latency' && thresholdMs !== null
    ? `${share} within ${thresholdMs.toLocaleString('en')} ms`
    : `${share} without a failure of this server`
}

/**
 * What is left of that which may go wrong among the requests there were: 1 all of it, 0 nothing, below 0 more went wrong.
 * Undefined where nothing was asked.
 */
export function budgetLeft({
  requests,
  goodShare,
  target,
}: Pick<Objective, 'requests' | 'goodShare' | 'target'>): number | undefined {
  if (requests === null || requests === 0 || goodShare === null) return undefined
  return 1 - (1 - goodShare) / (1 - target)
}

/** The rate of the pair of windows that is nearest to raising an alert: both have to be above its factor, so the lower counts. */
export function fastestBurn({ burns }: Pick<Objective, 'burns'>): number | undefined {
  const nearest = burns
    .map(({ factor, long, short }) => ({ rate: Math.min(long, short), part: Math.min(long, short) / factor }))
    .sort((a, b) => b.part - a.part)[0]
  return nearest?.rate
}

/** Whether somebody has to look. */
export function budgetState({
  firing,
  requests,
  enabled,
}: Pick<Objective, 'firing' | 'requests' | 'enabled'>): {
  tone: StatusTone
  words: string
} {
  if (!enabled) return { tone: 'off', words: 'Not watched' }
  if (firing !== null) return { tone: firing === 'page' ? 'bad' : 'warn', words: 'Burns too fast' }
  return requests === null || requests === 0
    ? { tone: 'off', words: 'Nothing to judge yet' }
    : { tone: 'good', words: 'Within its budget' }
}

/** Of each step, in percent. */
export function badShares({ total, bad }: Pick<ObjectiveHistory, 'total' | 'bad'>): number[] {
  return total.map((each, place) => (each === 0 ? 0 : (100 * (bad[place] ?? 0)) / each))
}

/** What was left at the end of each step of that which may go wrong among all requests of the time, in percent; below 0 more did. */
export function leftOverTime(
  { total, bad }: Pick<ObjectiveHistory, 'total' | 'bad'>,
  target: number,
): number[] {
  const budget = total.reduce((sum, each) => sum + each, 0) * (1 - target)
  let used = 0
  return bad.map((each) => {
    used += each
    return budget === 0 ? 100 : 100 * (1 - used / budget)
  })
}

/** "5 minutes", "1 hour", "3 days". */
export function windowText(minutes: number): string {
  if (minutes < 60) return plural(minutes, 'minute')
  return minutes < 24 * 60 ? plural(minutes / 60, 'hour') : plural(minutes / 60 / 24, 'day')
}
