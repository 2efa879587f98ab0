import { createHash, randomBytes, randomFillSync } from 'node:crypto'
import { v5, v7 } from 'uuid'

/** Random bytes in store: fetching 16 of them for each id was six times the work of all the rest. */
const store = new Uint8Array(4_096)
let used = store.length
/** Of the newest id: those of one millisecond differ by a counter, so they sort too (RFC 9562 6.2, method 1). */
let born = 0
let counter = 0

/** A new UUIDv7 (RFC 9562 5.7): sorts by time of birth. Not a secret: use `randomToken` for anything that opens a door. */
export function newId(): string {
  if (used === store.length) {
    randomFillSync(store)
    used = 0
  }
  const random = store.subarray(used, used + 16)
  used += 16
  const now = Date.now()
  if (now > born) {
    born = now
    // 31 random bits: there is room to count up.
    counter = new DataView(random.buffer, random.byteOffset).getUint32(0) >>> 1
  } else if (++counter === 2 ** 32) {
    counter = 0
    born++
  }
  return v7({ random, msecs: born, seq: counter })
}

/** Each id takes ten of them: one for the two bits of the variant, the others as they are. */
const drawn = Buffer.alloc(4_090)
const bytesPerId = 10
let drawnAsHex = ''
let taken = drawn.length
let headMs = 0
let head = ''

/**
 * An id for what comes thousands of times a second, such as a request: a UUIDv7 like the others, but those of one millisecond
 * are in no order, its randomness is drawn and written for many at once, and its time once a millisecond. Measured: a system
 * call for each cost more than the rest of it, and writing it byte by byte the most of that.
 */
export function newPassingId(): string {
  const now = Date.now()
  if (now !== headMs) {
    headMs = now
    const time = now.toString(16).padStart(12, '0')
    head = `${time.slice(0, 8)}-${time.slice(8)}-7`
  }
  if (taken === drawn.length) {
    randomFillSync(drawn)
    drawnAsHex = drawn.toString('hex')
    taken = 0
  }
  const variant = '89ab'[(drawn[taken] ?? 0) & 3]
  const at = taken * 2 + 2
  taken += bytesPerId
  const hex = drawnAsHex
  return `${head}${hex.slice(at, at + 3)}-${variant}${hex.slice(at + 3, at + 6)}-${hex.slice(at + 6, at + 18)}`
}

const namespace = '6f0f2f0e-0f0b-4a0c-9d7e-a70a70a70a70'

/** The same id for the same parts, always (UUIDv5, RFC 9562 5.5): what makes a replayed step harmless. */
export function derivedId(...parts: readonly string[]): string {
  return v5(JSON.stringify(parts), namespace)
}

/** An unguessable token of `bytes` random bytes, base64url. 32 bytes = 256 bits. */
export function randomToken(bytes = 32): string {
  return randomBytes(bytes).toString('base64url')
}

/** SHA-256, hex: how tokens that we only have to recognise are stored. */
export function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
