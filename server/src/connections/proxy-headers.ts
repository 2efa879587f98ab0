import type { Secret } from '#foundation/secret.ts'
import type { KeyAttachment } from '#providers/provider-flows.ts'
import { attached } from './credential-attachment.ts'

/** RFC 9110 7.6.1: meant for one hop. */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Of the caller, and not for the provider: credentials, where it sits, what the dial decides by itself. */
const neverSent = new Set([
  ...hopByHop,
  'accept-encoding',
  'atom-credential',
  'authorization',
  'content-length',
  'cookie',
  'cookie2',
  'dpop',
  'expect',
  'forwarded',
  'host',
  'origin',
  'referer',
  'via',
  'x-api-key',
  'x-csrf-token',
  'x-goog-api-key',
  // One method allowed must not become another behind us.
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-real-ip',
])
const neverSentPrefixes = ['sec-', 'x-forwarded-', 'x-atom-', 'cf-']

/** Of the provider, and not for the caller: credentials, and orders to a browser that would hold for Atom's own origin. */
const neverReturned = new Set([
  ...hopByHop,
  'alt-svc',
  'authorization',
  'authentication-info',
  'clear-site-data',
  // The body arrives decoded, so its encoded length is not its length.
  'content-encoding',
  'content-length',
  'content-security-policy',
  'content-security-policy-report-only',
  'cross-origin-embedder-policy',
  'cross-origin-opener-policy',
  'cross-origin-resource-policy',
  'dpop-nonce',
  'nel',
  'permissions-policy',
  'referrer-policy',
  'refresh',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'set-cookie',
  'set-cookie2',
  'sourcemap',
  'speculation-rules',
  'strict-transport-security',
  'www-authenticate',
  'x-content-type-options',
  'x-frame-options',
  'x-request-id',
  'x-xss-protection',
])
const neverReturnedPrefixes = ['access-control-', 'x-accel-', 'sec-']

export function proxiedRequestHeaders(
  own: Headers | Readonly<Record<string, string>> | undefined,
  standard: Readonly<Record<string, string>>,
): Headers {
  const given = new Headers(own)
  const headers = kept(given, neverSent, neverSentPrefixes)
  // What fetch libraries send by default says nothing that the provider's own default should yield to.
  if (headers.get('accept') === '*/*') headers.delete('accept')
  for (const [name, value] of Object.entries(standard)) if (!headers.has(name)) headers.set(name, value)
  return headers
}

/** @param attachment how the credential was sent, where that is not as a bearer token */
export function proxiedAnswerHeaders(answered: Headers, token: Secret, attachment?: KeyAttachment): Headers {
  const headers = kept(answered, neverReturned, neverReturnedPrefixes)
  const length = answered.get('content-length')
  if (length !== null && !answered.has('content-encoding')) headers.set('content-length', length)
  const secrets = [
    token.reveal(),
    ...(attachment === undefined ? [] : Object.values(attached(attachment, token))),
  ]
  for (const [name, value] of [...headers])
    if (secrets.some((secret) => value.includes(secret))) headers.delete(name)
  return headers
}

function kept(headers: Headers, never: ReadonlySet<string>, prefixes: readonly string[]): Headers {
  const named = (headers.get('connection') ?? '').split(',').map((name) => name.trim().toLowerCase())
  const result = new Headers()
  for (const [name, value] of headers) {
    if (never.has(name) || named.includes(name) || prefixes.some((prefix) => name.startsWith(prefix)))
      continue
    result.append(name, value)
  }
  return result
}
