import type { Secret } from '#foundation/secret.ts'
import type { Replacement } from './answer-rewriter.ts'

/** Shorter than any real credential; what is shorter would be found by chance. */
const shortest = 8

/**
 * Asterisks, as many as there were bytes, in the place of these secrets: as they are, and in the forms in which a server
 * repeats what it was sent: JSON with its escapes, an address, HTML, and base64 at any offset, as in a Basic header or in a
 * decoded-and-quoted JWT.
 */
export function scrubbed(secrets: readonly Secret[]): Replacement[] {
  const forms = new Set(secrets.flatMap((secret) => formsOf(secret.reveal())))
  return [...forms].map((form) => {
    const find = Buffer.from(form)
    return { find, put: Buffer.alloc(find.length, '*') }
  })
}

function formsOf(value: string): string[] {
  if (Buffer.byteLength(value) < shortest) return []
  const written = JSON.stringify(value).slice(1, -1)
  const forms = [
    value,
    written,
    written.replaceAll('/', '\\/'),
    ...[lower, upper].flatMap((cased) => [
      value.replace(unsafe, (sign) => `\\u${cased(hexOf(sign, 4))}`),
      encodeURIComponent(value).replace(/%[0-9A-F]{2}/g, cased),
      strictlyEncoded(value).replace(/%[0-9A-F]{2}/g, cased),
      value.replace(unsafe, (sign) => `&#x${cased(hexOf(sign, 2))};`),
    ]),
    value.replace(unsafe, (sign) => `&#${sign.charCodeAt(0)};`),
    value.replace(/[&<>"]/g, (sign) => entities[sign] ?? sign),
    ...base64Forms(Buffer.from(value)),
  ]
  return forms.filter((form) => form.length >= shortest)
}

/** What some encoder or other escapes. Each alone: a token has few of them, and they are escaped all or none. */
const unsafe = /[^A-Za-z0-9._~-]/g
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function lower(text: string): string {
  return text.toLowerCase()
}

function upper(text: string): string {
  return text.toUpperCase()
}

function hexOf(sign: string, digits: number): string {
  return sign.charCodeAt(0).toString(16).padStart(digits, '0')
}

/** RFC 3986 2.3: everything but unreserved signs; `encodeURIComponent` spares five more. */
function strictlyEncoded(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (sign) => `%${upper(hexOf(sign, 2))}`)
}

/**
 * Three bytes make four signs, so the same bytes look different at each of three offsets. What the neighbours have a part in
 * is left out.
 */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((offset) => {
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes])
    const from = Math.ceil((offset * 8) / 6)
    const to = Math.floor((shifted.length * 8) / 6)
    return [shifted.toString('base64').slice(from, to), shifted.toString('base64url').slice(from, to)]
  })
}
