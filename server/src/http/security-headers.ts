import { randomBytes } from 'node:crypto'
import type { FieldList } from './answer.ts'

/**
 * Every answer carries these unless its door says otherwise. They are for a client that is not a browser page: nothing in
 * such an answer may be rendered, framed, sniffed or kept. Not frozen: each answer copies it, and a frozen list was measured
 * to take a twentieth of a whole request for that.
 */
const everyAnswer: FieldList = [
  ...[
    'content-security-policy',
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
  ...['x-content-type-options', 'nosniff'],
  ...['referrer-policy', 'no-referrer'],
  ...['cross-origin-resource-policy', 'same-origin'],
  // Not `same-origin`: it would cut the tie to the window in which a person grants access, which then reads as closed.
  ...['cross-origin-opener-policy', 'same-origin-allow-popups'],
  ...['permissions-policy', 'camera=(), geolocation=(), microphone=(), payment=()'],
  ...['cache-control', 'no-store'],
]

/** Two years, the shortest the preload lists accept being one; only said over https, where it means something. */
const everyAnswerOverHttps: FieldList = [
  ...everyAnswer,
  ...['strict-transport-security', 'max-age=63072000; includeSubDomains'],
]

export function securityFields(secure: boolean): FieldList {
  return secure ? everyAnswerOverHttps : everyAnswer
}

/** A fresh value for `'nonce-…'`: 128 bits, never used twice (CSP level 3, 2.3.1). */
export function newNonce(): string {
  return randomBytes(16).toString('base64')
}

/**
 * What the dashboard may do: run and load its own files, speak to its own origin (`'self'` covers its WebSocket), show the
 * pictures that Atom keeps as `data:` URLs. The dialog parts of the interface write a style element to hold the page still
 * while they are open; it carries the nonce. `style` attributes have no nonce in CSP and cannot load or run anything.
 */
export function dashboardPolicy(nonce: string): string {
  return [
    "default-src 'self'",
    `script-src 'self'`,
    `style-src 'self' 'nonce-${nonce}'`,
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; ')
}

/** The policy of pages that the server itself writes: one style element, no script, no request. */
export function pagePolicy(nonce: string): string {
  return `default-src 'none'; style-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}
