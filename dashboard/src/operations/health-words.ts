import type { Health, HealthComponent, StatusWord } from '@atom/contract/health.ts'
import type { StatusTone } from '../ui/status.tsx'
import { amountText, bytesText, shareText, waitText } from './amount-text.ts'

export const stateWords: Readonly<Record<StatusWord, { tone: StatusTone; words: string }>> = {
  up: { tone: 'good', words: 'Up' },
  degraded: { tone: 'warn', words: 'Degraded' },
  down: { tone: 'bad', words: 'Down' },
  starting: { tone: 'off', words: 'Starting' },
  draining: { tone: 'off', words: 'Draining' },
}

/** The state in one sentence: what is not well, and why, the worst first. */
export function healthReason({ components = {}, system = {} }: Health): string {
  const unwell = Object.entries({ ...components, ...system })
    .filter(([, { status }]) => status !== 'up')
    .sort(([, a], [, b]) => Number(b.status === 'down') - Number(a.status === 'down'))
  if (unwell.length === 0) return 'Everything that was looked at is well.'
  return unwell.map(([name, { status, detail }]) => detail ?? `${partName(name)} is ${status}.`).join(' ')
}

/** "master_key" as people say it. */
export function partName(name: string): string {
  const words = name.replaceAll('_', ' ')
  return words === 'cpu' ? 'Processors' : words.charAt(0).toUpperCase() + words.slice(1)
}

export interface Gauge {
  /** From 0 to 1, as a bar. */
  readonly share: number
  readonly words: string
}

/** A reading of the machine as a part of what there is; undefined of what is none. */
export function gaugeOf(name: string, { figures = {} }: Pick<HealthComponent, 'figures'>): Gauge | undefined {
  const of = (figure: string) => figures[figure] ?? Number.NaN
  const gauge = gauges[name]?.(of)
  return gauge === undefined || Number.isNaN(gauge.share)
    ? undefined
    : { ...gauge, share: Math.min(1, Math.max(0, gauge.share)) }
}

const gauges: Readonly<Record<string, (of: (figure: string) => number) => Gauge>> = {
  cpu: (of) => ({
    share: of('busyProcessors') / of('processors'),
    words: `${of('busyProcessors').toLocaleString('en', { maximumFractionDigits: 2 })} of ${amountText(of('processors'))}`,
  }),
  event_loop: (of) => ({
    share: of('utilisation'),
    words: `${shareText(of('utilisation'))} busy, p99 ${waitText(of('delayP99Ms'))} late`,
  }),
  memory: (of) => ({
    share: of('usedBytes') / of('limitBytes'),
    words: `${bytesText(of('usedBytes'))} of ${bytesText(of('limitBytes'))}`,
  }),
  disk: (of) => ({
    share: 1 - of('freeBytes') / of('sizeBytes'),
    words: `${bytesText(of('freeBytes'))} of ${bytesText(of('sizeBytes'))} free`,
  }),
  descriptors: (of) => ({
    share: of('open') / of('limit'),
    words: `${amountText(of('open'))} of ${amountText(of('limit'))} open`,
  }),
}
