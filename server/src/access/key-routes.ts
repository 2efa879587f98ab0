import { operationRoutes } from '@atom/contract/operations.ts'
import type { Guard } from './guarded-route.ts'
import type { AccessTokens } from './tokens.ts'

/** Kept shorter by its readers than a retired key is published. */
const cacheControl = 'public, max-age=300'

/** Lets other services verify Atom's access tokens by themselves. */
export function keyRoutes(guard: Guard, rooms: { tokens: Pick<AccessTokens, 'keySet'> }): void {
  guard(operationRoutes.keySet, async () => ({
    status: 200,
    body: rooms.tokens.keySet,
    headers: { 'cache-control': cacheControl, 'cross-origin-resource-policy': 'cross-origin' },
  }))
}
