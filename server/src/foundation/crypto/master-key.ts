import type { KeyObject } from 'node:crypto'
import { type Binding, bound, decrypt, encrypt } from './sealed-bytes.ts'

/** What a wrapped data key is tied to: its clear bytes, and the row that it is for. */
export interface KeyPlace {
  readonly clear: Buffer
  readonly binding: Binding
}

/** A master key, wherever it lives: all that is ever asked of it is to wrap data keys and to unwrap them. */
export interface MasterKey {
  readonly version: number
  /** The first byte of what it wraps, by which the layout is told apart. */
  readonly format: 1 | 2
  /** @throws AtomError `unavailable` where it cannot be reached now */
  wrap(dataKey: Buffer, place: KeyPlace): Promise<Buffer>
  /**
   * The data key in the clear: whoever gets it overwrites it.
   * @throws EnvelopeError unless this key wrapped it for this place · AtomError `unavailable` where it cannot be reached now
   */
  unwrap(wrapped: Buffer, place: KeyPlace): Promise<Buffer>
  /** Whether it did not answer when it was asked last. */
  readonly failing: boolean
  /** Wraps and unwraps something that nobody needs. Throws where that does not work, as the two do. */
  probe(): Promise<void>
}

/** A master key in this process's memory: 32 bytes, AES-256-GCM. */
export class LocalMasterKey implements MasterKey {
  readonly version: number
  readonly format = 1
  readonly key: KeyObject
  readonly failing = false

  constructor(version: number, key: KeyObject) {
    this.version = version
    this.key = key
  }

  async wrap(dataKey: Buffer, place: KeyPlace): Promise<Buffer> {
    return encrypt(this.key, dataKey, associated(place))
  }

  async unwrap(wrapped: Buffer, place: KeyPlace): Promise<Buffer> {
    return decrypt(this.key, wrapped, associated(place))
  }

  async probe(): Promise<void> {
    // It is in memory: there is nothing that could fail.
  }
}

function associated({ clear, binding }: KeyPlace): Buffer {
  return bound(clear, 'data key', binding)
}
