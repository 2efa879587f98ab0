import type { Connection } from '@atom/contract/connections.ts'
import type { ConnectionRow } from './connection-store.ts'

/** A connection as its owner is shown it. */
export function viewOf(row: ConnectionRow): Connection {
  return {
    id: row.id,
    provider: row.provider,
    flow: row.flow,
    status: row.status,
    ...(row.reason !== null && { reason: row.reason }),
    ...(row.remedy !== null && { remedy: row.remedy }),
    identity: { id: row.identityId, ...row.identity },
    askedScopes: [...row.askedScopes],
    scopes: [...row.scopes],
    missingScopes: [...row.missingScopes],
    sandbox: row.sandbox,
    ownerId: row.ownerId,
    expiresAt: row.expiresAt?.toISOString() ?? null,
    credentials: [row, ...row.others].map(({ slot, expiresAt, refreshExpiresAt }) => ({
      slot,
      expiresAt: expiresAt?.toISOString() ?? null,
      refreshExpiresAt: refreshExpiresAt?.toISOString() ?? null,
    })),
    connectedAt: row.connectedAt.toISOString(),
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  }
}
