import { operationRoutes as routes } from '@atom/contract/operations.ts'
import type { Guard } from '#access/guarded-route.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Nodes } from './nodes.ts'

/** `sandbox` undefined: the server is configured without one. */
export function operationDoors(
  guard: Guard,
  { sandbox, nodes }: { sandbox: { open(): Promise<unknown> } | undefined; nodes: Nodes },
): void {
  guard(routes.openSandbox, async () => {
    if (sandbox === undefined) {
      throw new AtomError('forbidden', 'This server is configured without a sandbox (ATOM_SANDBOX=0).')
    }
    await sandbox.open()
    return { status: 200, body: { running: true } }
  })

  guard(routes.sockets, async ({ principal, query }) => ({
    status: 200,
    body: await nodes.sockets(principal, query),
  }))

  guard(routes.liveRooms, async ({ principal, query }) => ({
    status: 200,
    body: await nodes.rooms(principal, query),
  }))

  guard(routes.liveHistory, async ({ query }) => ({ status: 200, body: await nodes.history(query) }))

  guard(routes.nodes, async () => ({ status: 200, body: await nodes.list() }))

  guard(routes.disconnectSocket, async ({ principal, params, body }) => ({
    status: 200,
    body: await nodes.disconnect(principal, params.id, body),
  }))

  guard(routes.drain, async ({ principal, body }) => ({
    status: 202,
    body: await nodes.drain(principal, body),
  }))
}
