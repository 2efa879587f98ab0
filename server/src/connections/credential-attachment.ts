import type { FlowName } from '@atom/contract/connections.ts'
import { Secret } from '#foundation/secret.ts'
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

/** The key without what is written around it, which a server may repeat by itself. */
export function bareKey(attachment: KeyAttachment, key: Secret): Secret {
  const text = key.reveal()
  // RFC 7617 2: a user-id holds no colon.
  if (attachment.as === 'basic') return new Secret(text.slice(text.indexOf(':') + 1))
  const [before = '', after = ''] = attachment.key.split(/\{\w+\}/)
  return new Secret(text.slice(before.length, text.length - after.length))
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
