import type { Provider } from './provider.ts'

/**
 * A whole address that somebody names: https, a host with a dot, the standard port, plain path segments; no user, query or
 * fragment. As a pattern, because whatever is made of it (hosts that get a token, endpoints) has to be decided by one rule.
 */
export const httpsAddress =
  /^https:\/\/[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~-]+)*\/?$/

/** What is wrong with what should be such an address, for the person who typed it; undefined where nothing is. */
export function addressTrouble(text: string): string | undefined {
  if (httpsAddress.test(text)) return undefined
  if (!text.startsWith('https://')) return 'Has to begin with https://.'
  if (/[?#]/.test(text)) return 'Has to end before “?” and “#”.'
  const [host = ''] = text.slice('https://'.length).split('/', 1)
  if (/[@:]/.test(host)) return 'Has to be without user name and port.'
  if (/[A-Z]/.test(host)) return 'Has to have its host in small letters.'
  if (!host.includes('.')) return 'Names no host: one such as login.example.com has to follow https://.'
  return 'Is no address that can be reached: only letters, digits and . _ ~ - may stand in it, and no “..” or “//”.'
}

/** The API at an address: paths go below it, its host is the only one that gets the token. */
export function apiAt(address: string): { readonly base: string; readonly hosts: readonly string[] } {
  return { base: address.replace(/\/+$/, ''), hosts: [new URL(address).host] }
}

/** `{name}` and nothing else, where the particular is a whole https address by its pattern. */
export function isWholeAddress({ particulars = {} }: Provider, address: string): boolean {
  const name = /^\{(\w+)\}$/.exec(address)?.[1]
  return name !== undefined && particulars[name]?.pattern.source === httpsAddress.source
}
