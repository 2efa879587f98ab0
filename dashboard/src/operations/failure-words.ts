import type { ErrorGroup } from '@atom/contract/failures.ts'
import type { StatusTone } from '../ui/status.tsx'

export const rangeWords = {
  60: 'Last hour',
  360: 'Last 6 hours',
  1440: 'Last day',
  10080: 'Last 7 days',
  43200: 'Last 30 days',
} as const

export const doorWords: Readonly<Record<ErrorGroup['door'], string>> = {
  http: 'API',
  socket: 'Socket',
  job: 'Work in the background',
  process: 'The process itself',
}

/** Whether somebody has to look, by how grave it is. */
export function failureState({ state, severity }: Pick<ErrorGroup, 'state' | 'severity'>): {
  tone: StatusTone
  words: string
} {
  if (state === 'resolved') return { tone: 'off', words: 'Resolved' }
  return { tone: severity === 'critical' || severity === 'high' ? 'bad' : 'warn', words: 'Open' }
}
