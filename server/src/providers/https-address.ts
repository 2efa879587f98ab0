import type { Provider } from './provider.ts'

/**
 * A whole address that somebody names: https, a host with a dot, the standard port, plain path segments; no user, query or
 * fragment. As a pattern, because whatever is made of it (hosts that get a token, endpoints) has to be decided by one rule.
 */
export const httpsAddress =
  /^https:\/\/[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~-]+)*\/?$/

/** The API at an address: paths go below it, its host is the only one that gets the token. */
export function apiAt(address: string): { readonly base: string; readonly hosts: readonly string[] } {
  return { base: address.replace(/\/+$/, ''), hosts: [new URL(address).host] }
}

/** `{name}` and nothing else, where the particular is a whole https address by its pattern. */
export function isWholeAddress({ particulars = {} }: Provider, address: string): boolean {
  const name = /^\{(\w+)\}$/.exec(address)?.[1]
  return name !== undefined && particulars[name]?.pattern.source === httpsAddress.source
}
