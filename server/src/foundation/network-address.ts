import { isIP } from 'node:net'

/**
 * Who counts as one caller: an IPv4 address by itself, an IPv6 address by its first 64 bits, which is what one customer is
 * given (RFC 6177); anything else as it is.
 */
export function networkOf(from: string): string {
  const address = withoutPort(from)
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  return isIP(address) === 6 ? `${groupsOf(address, 4).join(':')}::/64` : address
}

/** Some proxies write the port beside the address that they forward: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
export function withoutPort(address: string): string {
  const [, six, four] = /^(?:\[([\da-f:.]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/i.exec(address) ?? []
  return six ?? four ?? address
}

/** The neighbourhood of what `networkOf` names: 24 bits of IPv4, 48 of IPv6. */
export function neighbourhoodOf(network: string): string {
  const address = network.split('/', 1)[0] ?? ''
  if (isIP(address) === 4) return `${address.split('.').slice(0, 3).join('.')}.0/24`
  return isIP(address) === 6 ? `${groupsOf(address, 3).join(':')}::/48` : network
}

/** What one customer may be given at most, of what `networkOf` names: 48 bits of IPv6 (RFC 6177). Undefined for any other. */
export function siteOf(network: string): string | undefined {
  const site = neighbourhoodOf(network)
  return site.endsWith('::/48') ? site : undefined
}

function groupsOf(address: string, count: number): string[] {
  const [before = '', after] = (address.split('%')[0] ?? '').split('::')
  const head = before === '' ? [] : before.split(':')
  const tail = after === undefined || after === '' ? [] : after.split(':')
  // A dotted tail stands for two groups.
  const written = head.length + tail.length + (tail.at(-1)?.includes('.') === true ? 1 : 0)
  const zeros = after === undefined ? [] : Array.from({ length: 8 - written }, () => '0')
  return [...head, ...zeros, ...tail].slice(0, count).map((group) => Number.parseInt(group, 16).toString(16))
}
