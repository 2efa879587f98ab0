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
  // Names of our traces, and what a caller wrote onto them, are nobody's business there.
  'baggage',
  'content-length',
  'cookie',
  'cookie2',
  'dpop',
  'expect',
  'forwarded',
  'host',
  'origin',
  'private-token',
  'referer',
  'traceparent',
  'tracestate',
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

/** As Node gives them: names in lower case. */
export type GivenHeaders = Readonly<Record<string, string | readonly string[] | undefined>>
export type AnswerHeaders = Record<string, string | string[]>

export function proxiedRequestHeaders(
  own: GivenHeaders,
  standard: Readonly<Record<string, string>>,
): Record<string, string> {
  const headers: Record<string, string> = {}
  const named = namedByConnection(own)
  for (const name in own) {
    const value = own[name]
    if (value === undefined || stays(name, neverSent, neverSentPrefixes, named)) continue
    // What fetch libraries send by default says nothing that the provider's own default should yield to.
    if (name === 'accept' && value === '*/*') continue
    headers[name] = typeof value === 'string' ? value : value.join(', ')
  }
  for (const name in standard) headers[name] ??= standard[name] ?? ''
  return headers
}

/** @param leaks whether a value holds a credential */
export function proxiedAnswerHeaders(
  answered: GivenHeaders,
  leaks: (value: string) => boolean,
): AnswerHeaders {
  const headers: AnswerHeaders = {}
  const named = namedByConnection(answered)
  for (const name in answered) {
    const value = answered[name]
    if (value === undefined || stays(name, neverReturned, neverReturnedPrefixes, named)) continue
    if (typeof value === 'string') {
      if (!leaks(value)) headers[name] = value
    } else {
      const harmless = value.filter((each) => !leaks(each))
      if (harmless.length > 0) headers[name] = harmless
    }
  }
  const length = answered['content-length']
  if (typeof length === 'string' && answered['content-encoding'] === undefined)
    headers['content-length'] = length
  return headers
}

function namedByConnection({ connection }: GivenHeaders): readonly string[] {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return []
  return String(connection)
    .split(',')
    .map((name) => name.trim().toLowerCase())
}

/** Whether a field goes no further than here. */
function stays(
  name: string,
  never: ReadonlySet<string>,
  prefixes: readonly string[],
  named: readonly string[],
): boolean {
  return never.has(name) || named.includes(name) || prefixes.some((prefix) => name.startsWith(prefix))
}
