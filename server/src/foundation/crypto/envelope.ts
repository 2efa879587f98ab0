import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { Secret } from '#foundation/secret.ts'
import type { CacheCounts } from '#foundation/telemetry/cache-counts.ts'
import { DataKeyCache } from './data-key-cache.ts'
import type { Keyring } from './keyring.ts'
import {
  type Binding,
  bound,
  canonical,
  decrypt,
  EnvelopeError,
  encrypt,
  entriesOf,
  parts,
} from './sealed-bytes.ts'

/** What stands before a sealed value: its format. */
const clearOfValue = Buffer.of(1)
const keyBytes = 32
/** Format, version of the master key, length of the names. */
const keyHeaderBytes = 1 + 4 + 2

/** A wrapped key, taken apart. */
interface Wrapped {
  readonly version: number
  /** The names of the binding, as they stand in it. */
  readonly names: Buffer
  /** Everything in it that is not encrypted. */
  readonly clear: Buffer
  readonly body: Buffer
  /** The entries that it is bound to, of those that were given. */
  readonly place: Binding
}

/**
 * Sealing in two steps (AES-256-GCM): a value is encrypted under a data key, and the data key, wrapped by a master key that
 * is outside the database, is stored beside it. Replacing the master key rewraps data keys and leaves values alone.
 *
 * Wrapped key: `01 | master key version u32 | length u16 | names of the binding | nonce 12 | key 32 | tag 16`, or under a
 * master key of a key service: `02 | version u32 | length u16 | names | what the service made of it`.
 * Sealed value: `01 | nonce 12 | ciphertext | tag 16`. All that is in the clear is authenticated, and so is the binding.
 */
export class Envelope {
  readonly #keyring: Keyring
  readonly #cache: DataKeyCache

  constructor(dependencies: { keyring: Keyring; cache?: DataKeyCache }) {
    this.#keyring = dependencies.keyring
    this.#cache = dependencies.cache ?? new DataKeyCache()
  }

  /** Of the data keys in this process's memory. */
  get keyCache(): CacheCounts {
    return this.#cache.counts
  }

  /**
   * A new data key, wrapped. It serves every binding that has these entries, whatever others it has: made for a row, it
   * seals the row's fields.
   *
   * @throws AtomError `unavailable` where the master key cannot be reached now; so does everything below
   */
  async createKey(binding: Binding): Promise<Buffer> {
    const names = Object.keys(binding).sort()
    if (names.length === 0) throw new Error('a data key must be bound to something')
    const raw = randomBytes(keyBytes)
    try {
      const wrapped = await this.#wrap(raw, canonical(names), binding)
      this.#cache.put(wrapped, binding, createSecretKey(raw))
      return wrapped
    } finally {
      raw.fill(0)
    }
  }

  /** The version of the master key that wraps it; undefined for what is no wrapped key. */
  static versionOf(wrappedKey: Buffer): number | undefined {
    return wrappedKey.length < keyHeaderBytes || (wrappedKey[0] !== 1 && wrappedKey[0] !== 2)
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
    const wrapped = takenApart(wrappedKey, binding)
    // Past the cache: a rotation walks over every key there is, and would leave all of them in memory.
    const raw = await this.#unwrap(wrapped)
    try {
      if (wrapped.version === this.#keyring.current.version) return wrappedKey
      return await this.#wrap(raw, wrapped.names, wrapped.place)
    } finally {
      raw.fill(0)
    }
  }

  async seal(wrappedKey: Buffer, plaintext: string, binding: Binding): Promise<Buffer> {
    const key = await this.#key(wrappedKey, binding)
    return Buffer.concat([clearOfValue, encrypt(key, Buffer.from(plaintext), valueAt(binding))])
  }

  async open(wrappedKey: Buffer, sealed: Buffer, binding: Binding): Promise<Secret> {
    const key = await this.#key(wrappedKey, binding)
    if (sealed[0] !== clearOfValue[0]) throw new EnvelopeError('a sealed value has an unknown format')
    const opened = decrypt(key, sealed.subarray(1), valueAt(binding))
    const secret = new Secret(opened.toString('utf8'))
    opened.fill(0)
    return secret
  }

  #key(wrappedKey: Buffer, binding: Binding): KeyObject | Promise<KeyObject> {
    const known = this.#cache.find(wrappedKey, binding)
    if (known !== undefined) return known
    const wrapped = takenApart(wrappedKey, binding)
    return this.#cache.ask(wrappedKey, wrapped.place, async () => {
      const raw = await this.#unwrap(wrapped)
      const key = createSecretKey(raw)
      raw.fill(0)
      return key
    })
  }

  async #wrap(raw: Buffer, names: Buffer, binding: Binding): Promise<Buffer> {
    const master = this.#keyring.current
    const header = Buffer.alloc(keyHeaderBytes)
    header.writeUInt8(master.format, 0)
    header.writeUInt32BE(master.version, 1)
    header.writeUInt16BE(names.length, 5)
    const clear = Buffer.concat([header, names])
    return Buffer.concat([clear, await master.wrap(raw, { clear, binding })])
  }

  async #unwrap({ version, clear, body, place }: Wrapped): Promise<Buffer> {
    const master = this.#keyring.find(version)
    if (master === undefined) {
      throw new EnvelopeError(
        `something was sealed under master key v${version}, which is not among the master keys`,
      )
    }
    if (clear[0] !== master.format) {
      throw new EnvelopeError(`something was sealed under another master key v${version} than there is now`)
    }
    return await master.unwrap(body, { clear, binding: place })
  }
}

function valueAt(binding: Binding): Buffer {
  return bound(clearOfValue, 'value', binding)
}

function takenApart(wrappedKey: Buffer, binding: Binding): Wrapped {
  const version = Envelope.versionOf(wrappedKey)
  if (version === undefined) throw new EnvelopeError('a data key has an unknown format')
  const end = keyHeaderBytes + wrappedKey.readUInt16BE(5)
  const names = wrappedKey.subarray(keyHeaderBytes, end)
  return {
    version,
    names,
    clear: wrappedKey.subarray(0, end),
    body: wrappedKey.subarray(end),
    place: entriesOf(binding, parts(names)),
  }
}
