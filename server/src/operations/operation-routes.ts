import { operationRoutes as routes } from '@atom/contract/operations.ts'
import type { Guard } from '#access/guarded-route.ts'
import { AtomError } from '#foundation/errors.ts'

/** `sandbox` undefined: the server is configured without one. */
export function operationDoors(
  guard: Guard,
  { sandbox }: { sandbox: { open(): Promise<unknown> } | undefined },
): void {
  guard(routes.openSandbox, async () => {
    if (sandbox === undefined) {
      throw new AtomError('forbidden', 'This server is configured without a sandbox (ATOM_SANDBOX=0).')
    }
    await sandbox.open()
    return { status: 200, body: { running: true } }
  })
}
