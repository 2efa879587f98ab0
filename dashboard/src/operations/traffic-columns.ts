import type { History } from '@atom/contract/monitoring.ts'

/** How many there were per second, by step, of a history of durations. */
export function perSecond({ count, step }: Pick<History, 'count' | 'step'>): number[] {
  return count.map((each) => each / step)
}

/** The values of one history at the steps of another; 0 where nothing of it was written. */
export function alignedTo(at: readonly number[], history: Pick<History, 'at' | 'value'>): number[] {
  const byStep = new Map(history.at.map((step, place) => [step, history.value[place] ?? 0]))
  return at.map((step) => byStep.get(step) ?? 0)
}
