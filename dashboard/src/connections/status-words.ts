import type { Connection } from '@atom/contract/connections.ts'
import type { StatusTone } from '../ui/status.tsx'

/** A connection's state as dot and words: "Needs you: access was revoked at GitHub". */
export function statusWords(
  connection: Pick<Connection, 'provider' | 'status' | 'reason' | 'missingScopes' | 'remedy'>,
): {
  tone: StatusTone
  words: string
} {
  const { status } = connection
  const reason = connection.reason === undefined ? undefined : insideSentence(connection.reason, connection)
  switch (status) {
    case 'active':
      return connection.missingScopes.length > 0
        ? { tone: 'warn', words: 'Active, with less access than asked for' }
        : { tone: 'good', words: 'Active' }
    case 'degraded':
      return { tone: 'warn', words: reason === undefined ? 'Degraded' : `Degraded: ${reason}` }
    case 'needs_reconnect':
      return {
        tone: 'bad',
        words: `${needs(connection)}: ${reason ?? 'connect again'}`,
      }
    case 'revoked':
      return { tone: 'off', words: reason === undefined ? 'Revoked' : `Revoked: ${reason}` }
  }
}

/** Does not work, and will not by itself. */
export function needsSomeone({ status }: Pick<Connection, 'status'>): boolean {
  return status === 'needs_reconnect' || status === 'revoked'
}

/** Whose job it is, in the first words: the person who reads this may not be able to do it. */
function needs({ remedy }: Pick<Connection, 'remedy'>): string {
  switch (remedy?.whose) {
    case 'admin':
      return 'Needs your admin'
    case 'operator':
      return 'Needs the operator'
    default:
      return 'Needs you'
  }
}

/** Without the capital and the full stop of a sentence; "Slack", "GitHub" and "OAuth" stay as they are. */
function insideSentence(text: string, { provider }: Pick<Connection, 'provider'>): string {
  const words = text.replace(/\.$/, '')
  const isName = words.toLowerCase().startsWith(provider) || !/^[A-Z][a-z]*(\s|$)/.test(words)
  return isName ? words : words.charAt(0).toLowerCase() + words.slice(1)
}
