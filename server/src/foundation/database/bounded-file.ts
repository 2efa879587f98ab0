import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'

/**
 * A file for rarely written lines that never holds more than `maxBytes`, with one predecessor beside it (`.1`). Written
 * at once, so that the last line before a crash is there.
 */
export class BoundedFile {
  readonly #path: string
  readonly #maxBytes: number
  #descriptor: number | undefined
  #bytes = 0

  constructor(path: string, maxBytes: number) {
    this.#path = path
    this.#maxBytes = maxBytes
  }

  write(text: string): void {
    const bytes = Buffer.from(text)
    if (this.#descriptor !== undefined && this.#bytes + bytes.length > this.#maxBytes) {
      this.close()
      renameSync(this.#path, `${this.#path}.1`)
    }
    if (this.#descriptor === undefined) {
      this.#descriptor = openSync(this.#path, 'a', 0o600)
      this.#bytes = fstatSync(this.#descriptor).size
    }
    this.#bytes += writeSync(this.#descriptor, bytes)
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
