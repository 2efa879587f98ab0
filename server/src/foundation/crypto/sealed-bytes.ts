import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'

/** What a ciphertext belongs to, such as table, row and field. Moved elsewhere, it does not open. */
export type Binding = Readonly<Record<string, string>>

/** Something sealed does not open: it was edited or moved, or its master key is not in the keyring. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError'
}

const algorithm = 'aes-256-gcm'
/** NIST SP 800-38D 8.2: 96 bits, random; one key seals far fewer than the 2^32 values that this allows. */
const nonceBytes = 12
const tagBytes = 16

/** `nonce 12 | ciphertext | tag 16` */
export function encrypt(key: KeyObject, plaintext: Buffer, associated: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(associated)
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** @throws EnvelopeError unless it is what `encrypt` made under this key with the same associated data */
export function decrypt(key: KeyObject, sealed: Buffer, associated: Buffer): Buffer {
  if (sealed.length < nonceBytes + tagBytes) throw new EnvelopeError('something sealed is too short')
  // Without the explicit length Node accepts a tag cut down to 4 bytes, which can be guessed.
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  })
  decipher.setAAD(associated)
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const opened = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
  try {
    // A stream mode: all is there already, and this only judges the tag.
    decipher.final()
    return opened
  } catch (cause) {
    opened.fill(0)
    throw editedOrMoved(cause)
  }
}

export function editedOrMoved(cause?: unknown): EnvelopeError {
  return new EnvelopeError('something sealed was edited or moved, or was sealed under another key', { cause })
}

/**
 * What authenticates something sealed: its clear bytes, and its binding. The same bytes for the same entries in any order, and
 * other bytes for any others: every part carries its length.
 */
export function bound(clear: Buffer, purpose: 'data key' | 'value', binding: Binding): Buffer {
  const texts: string[] = [purpose]
  for (const name of Object.keys(binding).sort()) texts.push(name, own(binding, name))
  return canonical(texts, clear)
}

/** Those entries of a binding that are named, and they have to be there. */
export function entriesOf(binding: Binding, names: readonly string[]): Binding {
  return Object.fromEntries(names.map((name) => [name, own(binding, name)]))
}

function own(binding: Binding, name: string): string {
  const value = Object.hasOwn(binding, name) ? binding[name] : undefined
  if (value === undefined) throw new EnvelopeError(`a data key is bound to "${name}", which was not given`)
  return value
}

/** Each text behind its length; behind what comes first, if anything. */
export function canonical(texts: readonly string[], first: Buffer = nothing): Buffer {
  let length = first.length
  for (const text of texts) length += 4 + Buffer.byteLength(text)
  const bytes = Buffer.allocUnsafe(length)
  let at = first.copy(bytes)
  for (const text of texts) {
    const written = bytes.write(text, at + 4)
    bytes.writeUInt32BE(written, at)
    at += 4 + written
  }
  return bytes
}

const nothing = Buffer.alloc(0)

/** What `canonical` made it of. */
export function parts(encoded: Buffer): string[] {
  const texts: string[] = []
  for (let at = 0; at < encoded.length; ) {
    const end = at + 4 + (at + 4 <= encoded.length ? encoded.readUInt32BE(at) : Number.POSITIVE_INFINITY)
    if (end > encoded.length) throw new EnvelopeError('a data key has an unknown format')
    texts.push(encoded.toString('utf8', at + 4, end))
    at = end
  }
  return texts
}
