import { Transform } from 'node:stream'

export interface Replacement {
  readonly find: Buffer
  readonly put: Buffer
}

/**
 * Replaces byte sequences in a body that passes by, wherever its chunks are cut. Nothing is held back but an end that could
 * be the beginning of what is looked for, so a stream of events stays one.
 */
export class AnswerRewriter {
  readonly #replacements: readonly Replacement[]
  readonly #words: readonly string[]
  readonly #shortest: number
  /** What it replaces has the length of what it finds, so a body keeps its length. */
  readonly keepsLength: boolean

  constructor(replacements: readonly Replacement[]) {
    this.#replacements = replacements.filter(({ find }) => find.length > 0)
    this.#words = this.#replacements.map(({ find }) => find.toString())
    this.#shortest = Math.min(...this.#words.map(({ length }) => length))
    this.keepsLength = this.#replacements.every(({ find, put }) => find.length === put.length)
  }

  /** Whether there is something to replace in it. */
  finds(text: string): boolean {
    return text.length >= this.#shortest && this.#words.some((word) => text.includes(word))
  }

  /** A body that is here as a whole. May write into it. */
  whole(body: Buffer): Buffer {
    return this.#replaced(body)
  }

  stream(): Transform {
    let held: Buffer = Buffer.alloc(0)
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const data = this.#replaced(held.length === 0 ? chunk : Buffer.concat([held, chunk]))
        const end = data.length - this.#unfinished(data)
        // A copy: the chunk's memory may be used anew once it is passed on.
        held = Buffer.from(data.subarray(end))
        done(null, end === 0 ? undefined : data.subarray(0, end))
      },
      flush(done) {
        done(null, held.length === 0 ? undefined : held)
      },
    })
  }

  #replaced(body: Buffer): Buffer {
    let data = body
    for (const { find, put } of this.#replacements) {
      let at = data.indexOf(find)
      if (at === -1) continue
      if (find.length === put.length) {
        for (; at !== -1; at = data.indexOf(find, at + find.length)) put.copy(data, at)
        continue
      }
      const pieces: Buffer[] = []
      let from = 0
      for (; at !== -1; at = data.indexOf(find, from)) {
        pieces.push(data.subarray(from, at), put)
        from = at + find.length
      }
      data = Buffer.concat([...pieces, data.subarray(from)])
    }
    return data
  }

  /** How many bytes at the end could begin something that is looked for. */
  #unfinished(data: Buffer): number {
    let longest = 0
    for (const { find } of this.#replacements) {
      const first = find[0] ?? 0
      let at = data.indexOf(first, Math.max(0, data.length - find.length + 1))
      for (; at !== -1 && data.length - at > longest; at = data.indexOf(first, at + 1)) {
        if (data.compare(find, 0, data.length - at, at) !== 0) continue
        longest = data.length - at
        break
      }
    }
    return longest
  }
}
