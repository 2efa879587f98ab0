import type { ConnectionEvent, ConnectionEventKind } from '@atom/contract/connections.ts'
import type { StatusTone } from '../ui/status.tsx'

const kinds: Readonly<Record<ConnectionEventKind, { readonly tone: StatusTone; readonly words: string }>> = {
  connected: { tone: 'good', words: 'Connected' },
  reconnected: { tone: 'good', words: 'Connected again' },
  widened: { tone: 'good', words: 'Allowed more' },
  refreshed: { tone: 'off', words: 'Renewed' },
  refresh_failed: { tone: 'warn', words: 'Could not be renewed' },
  lost: { tone: 'bad', words: 'Access lost' },
  kept_alive: { tone: 'off', words: 'Kept alive' },
  called_first: { tone: 'off', words: 'Used for the first time' },
}

/** A line of a connection's history: "Renewed 12 times · token “bot”". */
export function eventWords({ kind, times, slot }: Pick<ConnectionEvent, 'kind' | 'times' | 'slot'>): {
  tone: StatusTone
  words: string
} {
  const { tone, words } = kinds[kind]
  const often = times > 1 ? `${words} ${times.toLocaleString('en')} times` : words
  return { tone, words: slot === undefined ? often : `${often} · token “${slot}”` }
}
