import type { DeviceCode } from '@atom/contract/connections.ts'

/** A code that the person is about to enter somewhere else. */
export interface DeviceWait {
  readonly flowId: string
  readonly device: DeviceCode
  /** By this device's clock, in ms: when the code ends. */
  readonly endsAt: number
}

/**
 * Kept for this tab, because the server shows a code only once and a reload must not cost the person theirs. The code alone
 * opens nothing here: it is worth something to whoever enters it at the provider, which is the person who sees it.
 */
export function keepDeviceWait(
  provider: string,
  begun: { readonly flowId: string; readonly device: DeviceCode },
): DeviceWait {
  const wait = {
    flowId: begun.flowId,
    device: begun.device,
    endsAt: Date.now() + begun.device.expiresIn * 1000,
  }
  sessionStorage.setItem(keyOf(provider), JSON.stringify(wait))
  return wait
}

export function keptDeviceWait(provider: string): DeviceWait | undefined {
  const kept = sessionStorage.getItem(keyOf(provider))
  if (kept === null) return undefined
  // Written above and nowhere else: a tab's storage is its own.
  const wait = JSON.parse(kept) as DeviceWait
  if (wait.endsAt > Date.now()) return wait
  forgetDeviceWait(provider)
  return undefined
}

export function forgetDeviceWait(provider: string): void {
  sessionStorage.removeItem(keyOf(provider))
}

function keyOf(provider: string): string {
  return `atom:device-code:${provider}`
}
