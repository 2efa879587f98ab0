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
export function encrypt(key: KeyObject, plaintext: Buffer, associated: readonly Buffer[]): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(Buffer.concat(associated))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** @throws EnvelopeError unless it is what `encrypt` made under this key with the same associated data */
export function decrypt(key: KeyObject, sealed: Buffer, associated: readonly Buffer[]): Buffer {
  if (sealed.length < nonceBytes + tagBytes) throw new EnvelopeError('something sealed is too short')
  // Without the explicit length Node accepts a tag cut down to 4 bytes, which can be guessed.
  const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  })
  decipher.setAAD(Buffer.concat(associated))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const opened = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
  try {
    return Buffer.concat([opened, decipher.final()])
  } catch (cause) {
    throw editedOrMoved(cause)
  } finally {
    opened.fill(0)
  }
}

export function editedOrMoved(cause?: unknown): EnvelopeError {
  return new EnvelopeError('something sealed was edited or moved, or was sealed under another key', { cause })
}

/** The same bytes for the same entries in any order, and other bytes for any others: every part carries its length. */
export function bound(purpose: 'data key' | 'value', binding: Binding): Buffer {
  return canonical([
    purpose,
    ...Object.keys(binding)
      .sort()
      .flatMap((name) => [name, own(binding, name)]),
  ])
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

export function canonical(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      return [length, bytes]
    }),
  )
}

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
