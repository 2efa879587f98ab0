import type { Connection } from '@atom/contract/connections.ts'

/**
 * What was asked for with what became of it, and what the provider names besides: many answer with other names than those
 * that were asked for, so that a name alone does not tell what was given unasked.
 */
export function accessOf({
  askedScopes,
  scopes,
  missingScopes,
}: Pick<Connection, 'askedScopes' | 'scopes' | 'missingScopes'>): {
  readonly asked: readonly { readonly scope: string; readonly granted: boolean }[]
  readonly further: readonly string[]
} {
  const missing = new Set(missingScopes)
  const asked = [...new Set([...askedScopes, ...missingScopes])]
  return {
    asked: asked.map((scope) => ({ scope, granted: !missing.has(scope) })),
    further: scopes.filter((scope) => !asked.includes(scope)),
  }
}
