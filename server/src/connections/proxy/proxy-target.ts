import { AtomError } from '#foundation/errors.ts'
import type { ProviderApi } from '#providers/provider.ts'

/** The last label of a name is never a number (RFC 3696 2), so `v1.0` is a path and `127.0.0.1` no way to another host. */
const hostLike = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*$/i

/**
 * The real address that a proxied path means: on one of the provider's hosts, and not touched by any reading of `..`,
 * encodings or slashes that two parsers could see differently.
 *
 * @throws AtomError `proxy_target_refused`
 */
export function proxyTarget(api: ProviderApi, path: string): URL {
  const [address = '', ...query] = path.split('?')
  if (!address.startsWith('/') || address.startsWith('//') || path.includes('#')) throw refused()
  if (/[\p{Cc}\s\\]/u.test(path)) throw refused()
  const segments = address.slice(1).split('/')
  segments.forEach(requirePlain)
  const first = segments[0] ?? ''
  const base = baseOf(api)
  let { origin } = base
  let below = base.path + address
  if (hostLike.test(first) && !api.hosts.includes(first.toLowerCase())) {
    // Where methods have dots in their names (Slack's `auth.test`), what is no host of the provider is a path on its own.
    if (api.dottedPaths !== true) throw refused()
  } else if (hostLike.test(first)) {
    origin = `https://${first.toLowerCase()}`
    below = address.slice(first.length + 1) || '/'
    if (below.startsWith('//')) throw refused()
  }
  const text = `${origin}${below}${query.length > 0 ? `?${query.join('?')}` : ''}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  // Whatever the parser would still have rewritten was not what the caller showed us.
  if (url === undefined || url.origin !== origin || decoded(url.pathname) !== decoded(below)) throw refused()
  return url
}

/**
 * Where a redirect leads, as a real address, if that is one of the provider's hosts over https.
 * @param from the address that was dialled · `real` finds the real address behind a stand-in's
 */
export function redirectTarget(
  api: ProviderApi,
  answer: {
    readonly status: number
    readonly headers: Readonly<Record<string, string | string[] | undefined>>
  },
  from: URL,
  real: (url: URL) => URL | undefined,
): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(answer.status)) return undefined
  const { location } = answer.headers
  if (typeof location !== 'string' || !URL.canParse(location, from.href)) return undefined
  const dialled = new URL(location, from)
  const target = real(dialled) ?? dialled
  const own = target.protocol === 'https:' && target.port === '' && api.hosts.includes(target.hostname)
  return own && target.username === '' && target.password === '' ? target : undefined
}

/** Decoded as often as anyone behind us might decode it, a segment must still be one plain segment. */
function requirePlain(segment: string, at: number): void {
  if (/^[\w~-][\w.~-]*$/.test(segment)) return
  let text = segment
  for (let round = 0; ; round++) {
    const parts = text.split('/')
    if (parts.some((part) => /^\.{1,2}(?:;.*)?$/.test(part)) || /[\p{Cc}\\]/u.test(text)) throw refused()
    if (at === 0 && (text.startsWith('/') || /^[a-z][a-z0-9+.-]*:/i.test(text))) throw refused()
    const next = decoded(text)
    if (next === text) return
    if (round === 3) throw refused()
    text = next
  }
}

const bases = new WeakMap<ProviderApi, { readonly origin: string; readonly path: string }>()

function baseOf(api: ProviderApi): { readonly origin: string; readonly path: string } {
  const known = bases.get(api)
  if (known !== undefined) return known
  const { origin, pathname } = new URL(api.base)
  const base = { origin, path: pathname.replace(/\/+$/, '') }
  bases.set(api, base)
  return base
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refused()
  }
}

function refused(): AtomError {
  return new AtomError('proxy_target_refused')
}
