import type { ForecastItem } from '@atom/contract/connections.ts'
import type { StatusTone } from '../ui/status.tsx'

export function severityTone(severity: ForecastItem['severity']): StatusTone {
  switch (severity) {
    case 'critical':
    case 'high':
      return 'bad'
    case 'medium':
      return 'warn'
    case 'low':
      return 'off'
  }
}
