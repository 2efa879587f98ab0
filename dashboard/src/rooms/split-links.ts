/** A text in parts: addresses of the web, and what stands between them. A full stop or bracket after one is not part of it. */
export function splitLinks(text: string): { text: string; link: boolean }[] {
  const parts: { text: string; link: boolean }[] = []
  let end = 0
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"]+/g)) {
    const address = match[0].replace(/[.,;:!?)\]}'’]+$/, '')
    if (match.index > end) parts.push({ text: text.slice(end, match.index), link: false })
    parts.push({ text: address, link: true })
    end = match.index + address.length
  }
  if (end < text.length) parts.push({ text: text.slice(end), link: false })
  return parts
}
