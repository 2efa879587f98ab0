import type { Objective } from '@atom/contract/monitoring.ts'
import type { StatusTone } from '../ui/status.tsx'

export const classWords: Readonly<Record<Objective['class'], string>> = {
  api: 'The API',
  sign_in: 'Signing in',
  messages: 'Messages',
  proxy: 'Requests to providers',
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
export function budgetState({ firing, requests }: Pick<Objective, 'firing' | 'requests'>): {
  tone: StatusTone
  words: string
} {
  if (firing !== null) return { tone: firing === 'page' ? 'bad' : 'warn', words: 'Burns too fast' }
  return requests === null || requests === 0
    ? { tone: 'off', words: 'Nothing to judge yet' }
    : { tone: 'good', words: 'Within its budget' }
}
