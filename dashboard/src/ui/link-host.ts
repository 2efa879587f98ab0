/** Where a link leads, if it is one we follow: http, https (the host with its port) or mail (the address). */
export function hostOf(href: string | undefined): string | undefined {
  if (href === undefined) return undefined
  const url = URL.parse(href)
  if (url === null) return undefined
  if (url.protocol === 'http:' || url.protocol === 'https:') return url.host
  if (url.protocol === 'mailto:') return url.pathname
  return undefined
}
