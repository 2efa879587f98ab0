import type { DisconnectReceipt } from '@atom/contract/connections.ts'

/** Whether the access is gone at the provider too, in words. */
export function receiptWords(
  { revocation }: Pick<DisconnectReceipt, 'revocation'>,
  provider: string,
): { gone: boolean; atProvider: string } {
  switch (revocation) {
    case 'revoked':
      return { gone: true, atProvider: `The access is revoked at ${provider}.` }
    case 'failed':
      return {
        gone: false,
        atProvider: `${provider} did not confirm the revocation. Remove Atom in your settings there.`,
      }
    case 'kept':
      return {
        gone: false,
        atProvider: `The access at ${provider} stays: another connection of yours lives from it.`,
      }
    case 'unsupported':
      return {
        gone: false,
        atProvider: `${provider} offers no revocation. Remove Atom in your settings there.`,
      }
  }
}
