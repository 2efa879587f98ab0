import { operationRoutes as routes } from '@atom/contract/operations.ts'
import type { Guard } from '#access/guarded-route.ts'
import { AtomError } from '#foundation/errors.ts'
import type { Live } from './live.ts'

/** `sandbox` undefined: the server is configured without one. */
export function operationDoors(
  guard: Guard,
  { sandbox, live }: { sandbox: { open(): Promise<unknown> } | undefined; live: Live },
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
    body: { summary: live.summary(), ...live.list(principal, query) },
  }))

  guard(routes.liveRooms, async ({ principal, query }) => ({
    status: 200,
    body: { node: live.node, items: await live.rooms(principal, query.limit) },
  }))

  guard(routes.liveHistory, async ({ query }) => ({ status: 200, body: live.history(query) }))

  guard(routes.disconnectSocket, async ({ principal, params, body }) => {
    live.disconnect(principal, params.id, body.comeBack)
    return { status: 200, body: { closed: true } }
  })

  guard(routes.drain, async ({ principal, body }) => ({
    status: 202,
    body: live.drain(principal, body.confirm),
  }))
}
