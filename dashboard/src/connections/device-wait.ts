import type { DeviceCode } from '@atom/contract/connections.ts'

/** A code that the person is about to enter somewhere else. */
export interface DeviceWait {
  readonly flowId: string
  readonly device: DeviceCode
  /** What the provider had to be told for it, and is told again for another. */
  readonly particulars: Readonly<Record<string, string>>
  /** By this device's clock, in ms: when the code ends. */
  readonly endsAt: number
}

/**
 * Kept for this tab, because the server shows a code only once and a reload must not cost the person theirs. The code alone
 * opens nothing here: it is worth something to whoever enters it at the provider, which is the person who sees it.
 * @param purpose the provider's id, or the id of the connection that it is to mend
 */
export function keepDeviceWait(
  purpose: string,
  begun: { readonly flowId: string; readonly device: DeviceCode },
  particulars: Readonly<Record<string, string>>,
): DeviceWait {
  const wait = {
    flowId: begun.flowId,
    device: begun.device,
    particulars,
    endsAt: Date.now() + begun.device.expiresIn * 1000,
  }
  sessionStorage.setItem(keyOf(purpose), JSON.stringify(wait))
  return wait
}

export function keptDeviceWait(purpose: string): DeviceWait | undefined {
  const kept = sessionStorage.getItem(keyOf(purpose))
  if (kept === null) return undefined
  // Written above and nowhere else: a tab's storage is its own.
  const wait = JSON.parse(kept) as DeviceWait
  if (wait.endsAt > Date.now()) return wait
  forgetDeviceWait(purpose)
  return undefined
}

export function forgetDeviceWait(purpose: string): void {
  sessionStorage.removeItem(keyOf(purpose))
}

function keyOf(purpose: string): string {
  return `atom:device-code:${purpose}`
}
