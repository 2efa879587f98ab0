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

/** How a connection's credential is attached; undefined: as a bearer token. */
export function keyAttachment(provider: Provider, flow: FlowName): KeyAttachment | undefined {
  return flow === 'api_key' ? provider.flows?.api_key?.attach : undefined
}

/** The header that a key is sent in. */
export function attached(attachment: KeyAttachment, key: Secret): Record<string, string> {
  switch (attachment.as) {
    case 'basic':
      return { authorization: `Basic ${Buffer.from(key.reveal()).toString('base64')}` }
    case 'header':
      return { [attachment.header]: key.reveal() }
    case 'bearer':
      return { authorization: `Bearer ${key.reveal()}` }
  }
}
