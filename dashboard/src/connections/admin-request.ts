import type { Connection } from '@atom/contract/connections.ts'

/** What a person sends to whoever administers their organisation at the provider; enough to act on without asking back. */
export function adminRequest(
  { identity, reason, askedScopes }: Pick<Connection, 'identity' | 'reason' | 'askedScopes'>,
  provider: string,
): string {
  const account = [identity.name, identity.email ?? identity.handle].filter(Boolean).join(', ')
  return [
    `Hello, my ${provider} account (${account}) is connected to Atom and has stopped working.`,
    ...(reason === undefined ? [] : [`The reason: ${reason.replace(/\.$/, '')}.`]),
    'Could you allow it in the administration of our organisation?',
    ...(askedScopes.length === 0 ? [] : [`It asks for: ${askedScopes.join(', ')}.`]),
  ].join('\n')
}
