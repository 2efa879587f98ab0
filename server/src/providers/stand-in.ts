/**
 * Real origins and the base addresses that stand in for them: `https://api.github.com` → `http://127.0.0.1:4010/github/api`.
 * Empty for an app at the real provider. Provider files name real addresses only; this map is all that a sandbox is.
 */
export type StandIns = Readonly<Record<string, string>>

export const noStandIns: StandIns = Object.freeze({})

/** Where a request for the real address goes. */
export function placed(url: string | URL, standIns: StandIns): URL {
  const real = url instanceof URL ? url : new URL(url)
  const base = Object.hasOwn(standIns, real.origin) ? standIns[real.origin] : undefined
  if (base === undefined) return real
  return new URL(`${base.replace(/\/+$/, '')}${real.pathname}${real.search}${real.hash}`)
}

/** The real address behind one that an answer named; undefined where no stand-in covers it. */
export function unplaced(url: URL, standIns: StandIns): URL | undefined {
  // The longest base first: `/github/api` lies within `/github`.
  const longestFirst = Object.entries(standIns).sort(([, a], [, b]) => b.length - a.length)
  for (const [origin, base] of longestFirst) {
    const stand = new URL(base)
    const prefix = stand.pathname.replace(/\/+$/, '')
    if (url.origin !== stand.origin) continue
    if (url.pathname !== prefix && !url.pathname.startsWith(`${prefix}/`)) continue
    return new URL(`${origin}${url.pathname.slice(prefix.length)}${url.search}${url.hash}`)
  }
  return undefined
}
