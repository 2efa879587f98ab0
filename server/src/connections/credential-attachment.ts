import type { FlowName } from '@atom/contract/connections.ts'
import type { Secret } from '#foundation/secret.ts'
import { filled, type Provider } from '#providers/provider.ts'
import type { CredentialValues, KeyAttachment } from '#providers/provider-flows.ts'

/** What a key is, once its fields are put together: `attach` sends it, and no part of it is needed apart. */
export function keyOf(attachment: KeyAttachment, values: CredentialValues): string {
  return attachment.as === 'basic'
    ? `${filled(attachment.user, values)}:${filled(attachment.password, values)}`
    : filled(attachment.key, values)
}

/** The header that a connection's credential is sent in: a bearer token (RFC 6750 2.1), or as the provider wants its keys. */
export function attachment(
  provider: Provider,
  flow: FlowName,
  secret: Secret,
): { readonly header: string; readonly value: string } {
  const key = flow === 'api_key' ? provider.flows?.api_key?.attach : undefined
  switch (key?.as) {
    case 'basic':
      return {
        header: 'authorization',
        value: `Basic ${Buffer.from(secret.reveal()).toString('base64')}`,
      }
    case 'header':
      return { header: key.header, value: secret.reveal() }
    default:
      return { header: 'authorization', value: `Bearer ${secret.reveal()}` }
  }
}
