import { createHash, randomBytes } from 'node:crypto'
import { v5, v7 } from 'uuid'

/** A new UUIDv7 (RFC 9562 5.7): sorts by time of birth. Not a secret: use `randomToken` for anything that opens a door. */
export function newId(): string {
  return v7()
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
