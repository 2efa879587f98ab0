import type { ProviderApi } from '#providers/provider.ts'

/**
 * Patterns of a capability: `/repos/atom-labs/app/issues`, `*` for one segment, `**` at the end for everything below. They
 * are of the provider's base address; a pattern for another of its hosts begins with that host: `/gmail.googleapis.com/**`.
 */
export const pathPattern = /^(?:\/(?:\*|[^\s/*?#%\\]+))*(?:\/\*\*|\/)?$/

/**
 * Whether one of the patterns covers the address. A provider may read `%2F` as a slash or as part of a name, also where it is
 * encoded twice, so both readings have to be covered.
 */
export function isCovered(patterns: readonly string[], api: ProviderApi, target: URL): boolean {
  const base = new URL(api.base)
  const below = base.pathname.replace(/\/+$/, '')
  const atBase = target.host === base.host && target.pathname.startsWith(`${below}/`)
  const path = atBase ? target.pathname.slice(below.length) : `/${target.host}${target.pathname}`
  const written = path.slice(1).split('/')
  // A redirect may lead to what no caller could ask for.
  if (!written.every(decodes)) return false
  const segments = written.map(decodeURIComponent)
  const parts = segments.flatMap((segment) => fullyDecoded(segment).split('/'))
  const readings = parts.length === segments.length ? [segments] : [segments, parts]
  return readings.every((reading) =>
    patterns.some((pattern) => covers(pattern.slice(1).split('/'), reading, !atBase)),
  )
}

/** @param hosted the first segment is a host, which no wildcard stands for */
function covers(pattern: readonly string[], segments: readonly string[], hosted: boolean): boolean {
  if (hosted && pattern[0] !== segments[0]) return false
  for (const [at, part] of pattern.entries()) {
    if (part === '**') return segments.length > at
    const segment = segments[at]
    if (segment === undefined || (part === '*' ? segment === '' : segment !== part)) return false
  }
  return segments.length === pattern.length
}

function fullyDecoded(segment: string): string {
  for (let text = segment; ; ) {
    const next = decodeURIComponent(text)
    if (next === text) return text
    text = next
  }
}

/** Whether it can be decoded as often as anyone might decode it. */
function decodes(segment: string): boolean {
  try {
    fullyDecoded(segment)
    return true
  } catch (error) {
    if (error instanceof URIError) return false
    throw error
  }
}
