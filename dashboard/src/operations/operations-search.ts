import { type ErrorCategory, errorTable } from '@atom/contract/errors.ts'
import type { ErrorGroup } from '@atom/contract/failures.ts'

export const errorCategories: readonly ErrorCategory[] = [
  ...new Set(Object.values(errorTable).map(({ category }): ErrorCategory => category)),
]
export const errorDoors = [
  'http',
  'socket',
  'job',
  'process',
] as const satisfies readonly ErrorGroup['door'][]
export const errorStates = ['open', 'resolved'] as const satisfies readonly ErrorGroup['state'][]
export const errorRanges = [60, 1_440, 10_080] as const
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export const trafficRanges = [60, 360, 1_440, 10_080, 43_200] as const
export const objectiveRanges = [6, 72, 720] as const

export type LogLevel = (typeof logLevels)[number]

type Loose = Readonly<Record<string, unknown>>

export interface ErrorsSearch {
  readonly q?: string
  /** Its category; that name is taken in addresses of the catalogue. */
  readonly kind?: ErrorCategory
  readonly door?: ErrorGroup['door']
  readonly state?: ErrorGroup['state']
  /** How far back, in minutes; a day where absent. */
  readonly minutes?: (typeof errorRanges)[number]
}

export interface LogSearch {
  readonly q?: string
  readonly level?: LogLevel
  readonly module?: string
  readonly requestId?: string
  /** The process whose log it is; the one that answers where absent. */
  readonly node?: string
}

export interface TrafficSearch {
  /** How far back; an hour where absent. */
  readonly minutes?: (typeof trafficRanges)[number]
  /** Method and path of the one that the plots are of. */
  readonly route?: string
  readonly by?: 'failed' | 'p99'
}

export interface ObjectiveSearch {
  /** How far the plots reach back; three days where absent. */
  readonly hours?: (typeof objectiveRanges)[number]
}

/** What stands in the address of the page, as far as it makes sense. */
export function errorsSearch(search: Loose): ErrorsSearch {
  return {
    ...text('q', search, 200),
    ...one('kind', search, errorCategories),
    ...one('door', search, errorDoors),
    ...one('state', search, errorStates),
    ...one('minutes', search, errorRanges),
  }
}

export function logSearch(search: Loose): LogSearch {
  return {
    ...text('q', search, 200),
    ...one('level', search, logLevels),
    ...text('module', search, 40),
    ...text('requestId', search, 64),
    ...text('node', search, 200),
  }
}

export function trafficSearch(search: Loose): TrafficSearch {
  return {
    ...one('minutes', search, trafficRanges),
    ...text('route', search, 300),
    ...one('by', search, ['failed', 'p99'] as const),
  }
}

export function objectiveSearch(search: Loose): ObjectiveSearch {
  return one('hours', search, objectiveRanges)
}

function text<N extends string>(name: N, search: Loose, most: number): { readonly [K in N]?: string } {
  const value = search[name]
  // Reading addresses, the router makes numbers of what looks like one.
  const words = typeof value === 'number' ? String(value) : value
  const found: { [K in string]?: string } = {}
  if (typeof words === 'string' && words !== '' && words.length <= most) found[name] = words
  return found as { readonly [K in N]?: string }
}

function one<N extends string, V>(name: N, search: Loose, values: readonly V[]): { readonly [K in N]?: V } {
  const found: { [K in string]?: V } = {}
  const value = values.find((each) => each === search[name])
  if (value !== undefined) found[name] = value
  return found as { readonly [K in N]?: V }
}
