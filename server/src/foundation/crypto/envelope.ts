import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { Secret } from '#foundation/secret.ts'
import type { Keyring } from './keyring.ts'

/** What a ciphertext belongs to, such as table, row and field. Moved elsewhere, it does not open. */
export type Binding = Readonly<Record<string, string>>

/** Something sealed does not open: it was edited or moved, or its master key is not in the keyring. */
export class EnvelopeError extends Error {
  override readonly name = 'EnvelopeError'
}

const algorithm = 'aes-256-gcm'
const format = 1
const keyBytes = 32
/** NIST SP 800-38D 8.2: 96 bits, random; one data key seals far fewer than the 2^32 values that this allows. */
const nonceBytes = 12
const tagBytes = 16
/** Format, version of the master key, length of the names. */
const keyHeaderBytes = 1 + 4 + 2

/**
 * Sealing in two steps (AES-256-GCM): a value is encrypted under a data key, and the data key, wrapped by a master key that
 * is outside the database, is stored beside it. Replacing the master key rewraps data keys and leaves values alone.
 *
 * Wrapped key: `01 | master key version u32 | length u16 | names of the binding | nonce 12 | key 32 | tag 16`.
 * Sealed value: `01 | nonce 12 | ciphertext | tag 16`. All that is in the clear is authenticated, and so is the binding.
 */
export class Envelope {
  readonly #keyring: Keyring

  constructor(dependencies: { keyring: Keyring }) {
    this.#keyring = dependencies.keyring
  }

  /**
   * A new data key, wrapped. It serves every binding that has these entries, whatever others it has: made for a row, it
   * seals the row's fields.
   */
  async createKey(binding: Binding): Promise<Buffer> {
    const names = Object.keys(binding).sort()
    if (names.length === 0) throw new Error('a data key must be bound to something')
    const raw = randomBytes(keyBytes)
    try {
      return this.#wrap(raw, canonical(names), binding)
    } finally {
      raw.fill(0)
    }
  }

  /** The version of the master key that wraps it; undefined for what is no wrapped key. */
  static versionOf(wrappedKey: Buffer): number | undefined {
    return wrappedKey.length < keyHeaderBytes || wrappedKey[0] !== format
      ? undefined
      : wrappedKey.readUInt32BE(1)
  }

  /**
   * The same data key under the current master key; what it sealed stays as it is. A key that is current already comes back
   * as it came.
   *
   * @throws EnvelopeError where it was edited or moved, or its master key is not in the keyring
   */
  async rewrap(wrappedKey: Buffer, binding: Binding): Promise<Buffer> {
    const { raw, names, place } = this.#opened(wrappedKey, binding)
    try {
      if (Envelope.versionOf(wrappedKey) === this.#keyring.current.version) return wrappedKey
      return this.#wrap(raw, names, place)
    } finally {
      raw.fill(0)
    }
  }

  async seal(wrappedKey: Buffer, plaintext: string, binding: Binding): Promise<Buffer> {
    const key = this.#unwrap(wrappedKey, binding)
    const clear = Buffer.of(format)
    return Buffer.concat([clear, encrypt(key, Buffer.from(plaintext), [clear, bound('value', binding)])])
  }

  async open(wrappedKey: Buffer, sealed: Buffer, binding: Binding): Promise<Secret> {
    const key = this.#unwrap(wrappedKey, binding)
    const clear = sealed.subarray(0, 1)
    if (clear[0] !== format) throw new EnvelopeError('a sealed value has an unknown format')
    const opened = decrypt(key, sealed.subarray(1), [clear, bound('value', binding)])
    return new Secret(opened.toString('utf8'))
  }

  #wrap(raw: Buffer, names: Buffer, place: Binding): Buffer {
    const { version, key } = this.#keyring.current
    const header = Buffer.alloc(keyHeaderBytes)
    header.writeUInt8(format, 0)
    header.writeUInt32BE(version, 1)
    header.writeUInt16BE(names.length, 5)
    const clear = Buffer.concat([header, names])
    return Buffer.concat([clear, encrypt(key, raw, [clear, bound('data key', place)])])
  }

  #unwrap(wrappedKey: Buffer, binding: Binding): KeyObject {
    const { raw } = this.#opened(wrappedKey, binding)
    const key = createSecretKey(raw)
    raw.fill(0)
    return key
  }

  /** The data key in the clear: whoever gets it overwrites it. */
  #opened(wrappedKey: Buffer, binding: Binding): { raw: Buffer; names: Buffer; place: Binding } {
    const version = Envelope.versionOf(wrappedKey)
    if (version === undefined) throw new EnvelopeError('a data key has an unknown format')
    const master = this.#keyring.find(version)
    if (master === undefined) {
      throw new EnvelopeError(
        `something was sealed under master key v${version}, which is not among the master keys`,
      )
    }
    const end = keyHeaderBytes + wrappedKey.readUInt16BE(5)
    const names = wrappedKey.subarray(keyHeaderBytes, end)
    const place = Object.fromEntries(parts(names).map((name) => [name, own(binding, name)]))
    const clear = wrappedKey.subarray(0, end)
    return {
      raw: decrypt(master.key, wrappedKey.subarray(end), [clear, bound('data key', place)]),
      names,
      place,
    }
  }
}

function encrypt(key: KeyObject, plaintext: Buffer, associated: readonly Buffer[]): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(Buffer.concat(associated))
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: KeyObject, sealed: Buffer, associated: readonly Buffer[]): Buffer {
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
    throw new EnvelopeError('something sealed was edited or moved, or was sealed under another key', {
      cause,
    })
  } finally {
    opened.fill(0)
  }
}

/** The same bytes for the same entries in any order, and other bytes for any others: every part carries its length. */
function bound(purpose: 'data key' | 'value', binding: Binding): Buffer {
  return canonical([
    purpose,
    ...Object.keys(binding)
      .sort()
      .flatMap((name) => [name, own(binding, name)]),
  ])
}

function own(binding: Binding, name: string): string {
  const value = Object.hasOwn(binding, name) ? binding[name] : undefined
  if (value === undefined) throw new EnvelopeError(`a data key is bound to "${name}", which was not given`)
  return value
}

function canonical(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      return [length, bytes]
    }),
  )
}

function parts(encoded: Buffer): string[] {
  const texts: string[] = []
  for (let at = 0; at < encoded.length; ) {
    const end = at + 4 + (at + 4 <= encoded.length ? encoded.readUInt32BE(at) : Number.POSITIVE_INFINITY)
    if (end > encoded.length) throw new EnvelopeError('a data key has an unknown format')
    texts.push(encoded.toString('utf8', at + 4, end))
    at = end
  }
  return texts
}
