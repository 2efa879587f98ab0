import type { Connection, ProviderScope, ProviderView } from '@atom/contract/connections.ts'

/** What an account could be asked for and was not: what others are asked for first, then what this provider has besides. */
export function furtherScopes(
  { scopes, askedScopes, missingScopes }: Pick<Connection, 'scopes' | 'askedScopes' | 'missingScopes'>,
  provider: Pick<ProviderView, 'scopes' | 'furtherScopes'>,
): readonly ProviderScope[] {
  const known = new Set([...scopes, ...askedScopes, ...missingScopes])
  return [...provider.scopes, ...provider.furtherScopes].filter(({ scope }) => {
    if (known.has(scope)) return false
    known.add(scope)
    return true
  })
}
